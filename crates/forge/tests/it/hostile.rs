//! Repositories that want the host to run something: whatever stands in a `.git` that hangar is given, or comes by a push, no program of it runs, nothing of it stays
//! in hangar's own repository, and nothing is written outside.
//!
//! The trap is a program that leaves a mark. That it works is shown first, with stock git in the same repository.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use hangar_forge::{CommitId, ImportSource, NewRepo, Signature, WorkspaceClone, WorkspaceHead};

use crate::{
    broker::border,
    house::{House, commit, git, path, try_git, write},
};

/// A program that leaves a mark, and a file outside that must stay.
struct Trap {
    program: PathBuf,
    mark: PathBuf,
    outside: PathBuf,
}

impl Trap {
    fn set(house: &House) -> Self {
        let dir = house.dir("trap");
        let trap = Self { program: dir.join("spring"), mark: dir.join("sprung"), outside: dir.join("outside") };
        fs::create_dir(&trap.outside).unwrap();
        fs::write(trap.outside.join("kept"), "kept\n").unwrap();
        trap.write(&trap.program);
        trap
    }

    /// Writes the program.
    fn write(&self, place: &Path) {
        let text = format!("#!/bin/sh\necho \"$0 $*\" >>{}\nexit 1\n", self.mark.display());
        fs::write(place, text).unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn word(&self) -> String {
        self.program.display().to_string()
    }

    /// Whether it was sprung; it is set again.
    fn sprung(&self) -> Option<String> {
        let mark = fs::read_to_string(&self.mark).ok();
        let _ = fs::remove_file(&self.mark);
        mark
    }

    fn unsprung(&self, what: &str) {
        assert_eq!(self.sprung(), None, "{what} ran a program of the repository");
        let inside: Vec<_> = fs::read_dir(&self.outside).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(inside, ["kept"], "{what} wrote outside");
        assert_eq!(fs::read_to_string(self.outside.join("kept")).unwrap(), "kept\n", "{what} wrote outside");
    }
}

/// Settings by which git runs programs. `TRAP` is the program.
const SETTINGS: &[(&str, &str)] = &[
    ("core.fsmonitor", "TRAP"),
    ("core.sshCommand", "TRAP"),
    ("core.gitProxy", "TRAP"),
    ("core.pager", "TRAP"),
    ("core.editor", "TRAP"),
    ("core.askPass", "TRAP"),
    ("core.alternateRefsCommand", "TRAP"),
    ("core.worktree", "/"),
    ("credential.helper", "!TRAP"),
    ("diff.external", "TRAP"),
    ("diff.evil.textconv", "TRAP"),
    ("diff.evil.command", "TRAP"),
    ("merge.evil.driver", "TRAP"),
    ("filter.evil.clean", "TRAP"),
    ("filter.evil.smudge", "TRAP"),
    ("filter.evil.process", "TRAP"),
    ("filter.evil.required", "true"),
    ("gpg.program", "TRAP"),
    ("log.showSignature", "true"),
    ("sequence.editor", "TRAP"),
    ("trailer.evil.command", "TRAP"),
    ("uploadpack.packObjectsHook", "TRAP"),
    ("uploadpack.allowFilter", "true"),
    ("remote.origin.uploadpack", "TRAP"),
    ("remote.origin.receivepack", "TRAP"),
    ("remote.origin.vcs", "evil"),
    ("protocol.ext.allow", "always"),
    ("submodule.recurse", "true"),
    ("submodule.sub.update", "!TRAP"),
    ("alias.upload-pack", "!TRAP"),
];

/// Hooks that git knows.
const HOOKS: &[&str] = &[
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
    "post-upload-pack",
];

/// A repository with two commits, attributes that ask for every program, and all settings in a file beside its configuration.
async fn victim(house: &House, trap: &Trap, name: &str) -> PathBuf {
    let dir = house.dir(name);
    git(&dir, &["init", "-q", "-b", "main"]).await;
    write(&dir, ".gitattributes", "* filter=evil diff=evil merge=evil ident\n");
    write(&dir, "a.txt", "a\n");
    commit(&dir, "alice", "One").await;
    write(&dir, "a.txt", "b\n");
    commit(&dir, "alice", "Two").await;
    for (key, value) in SETTINGS {
        git(&dir, &["config", "--file", ".git/evil", "--add", key, &value.replace("TRAP", &trap.word())]).await;
    }
    let hooks = dir.join(".git/evil-hooks");
    fs::create_dir(&hooks).unwrap();
    HOOKS.iter().for_each(|hook| trap.write(&hooks.join(hook)));
    git(&dir, &["config", "--file", ".git/evil", "core.hooksPath", &hooks.display().to_string()]).await;
    dir
}

/// One way in which the settings come to count.
struct Arm {
    name: &'static str,
    set: fn(&Path, &Trap),
    /// Stock git runs this in the repository and springs the trap.
    control: &'static [&'static str],
}

fn append(file: &Path, text: &str) {
    let before = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, format!("{before}{text}")).unwrap();
}

const ARMS: &[Arm] = &[
    Arm {
        name: "configuration",
        set: |dir, _| {
            let evil = fs::read_to_string(dir.join(".git/evil")).unwrap();
            append(&dir.join(".git/config"), &evil);
        },
        control: &["-c", "core.worktree=.", "status"],
    },
    Arm {
        name: "include",
        set: |dir, _| append(&dir.join(".git/config"), "[include]\n\tpath = evil\n"),
        control: &["-c", "core.worktree=.", "status"],
    },
    Arm {
        name: "include-if",
        set: |dir, _| append(&dir.join(".git/config"), "[includeIf \"onbranch:main\"]\n\tpath = evil\n"),
        control: &["-c", "core.worktree=.", "status"],
    },
    Arm {
        name: "worktree-configuration",
        set: |dir, _| {
            append(&dir.join(".git/config"), "[extensions]\n\tworktreeConfig = true\n");
            fs::copy(dir.join(".git/evil"), dir.join(".git/config.worktree")).unwrap();
        },
        control: &["-c", "core.worktree=.", "status"],
    },
    Arm {
        name: "hooks",
        set: |dir, trap| {
            fs::create_dir_all(dir.join(".git/hooks")).unwrap();
            HOOKS.iter().for_each(|hook| trap.write(&dir.join(".git/hooks").join(hook)));
        },
        control: &["update-ref", "refs/heads/new", "HEAD"],
    },
    Arm {
        // What it has not it would have somebody fetch: by a program of its own choice.
        name: "promisor",
        set: |dir, trap| {
            let text = format!(
                "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n[remote \"origin\"]\n\turl = {0}\n\tpromisor = true\n\tuploadpack = {1}\n",
                dir.display(),
                trap.word()
            );
            append(&dir.join(".git/config"), &text);
            // The blob of a.txt in the newest commit: "b\n".
            fs::remove_file(dir.join(".git/objects/61/780798228d17af2d34fce4cfbdf35556832472")).unwrap();
        },
        control: &["cat-file", "-p", "HEAD:a.txt"],
    },
    Arm {
        name: "git-file",
        set: |dir, _| {
            let evil = fs::read_to_string(dir.join(".git/evil")).unwrap();
            append(&dir.join(".git/config"), &evil);
            let elsewhere = dir.with_extension("elsewhere");
            fs::rename(dir.join(".git"), &elsewhere).unwrap();
            fs::write(dir.join(".git"), format!("gitdir: {}\n", elsewhere.display())).unwrap();
        },
        control: &["-c", "core.worktree=.", "status"],
    },
    Arm {
        name: "git-link",
        set: |dir, _| {
            let evil = fs::read_to_string(dir.join(".git/evil")).unwrap();
            append(&dir.join(".git/config"), &evil);
            let elsewhere = dir.with_extension("linked");
            fs::rename(dir.join(".git"), &elsewhere).unwrap();
            symlink(&elsewhere, dir.join(".git")).unwrap();
        },
        control: &["-c", "core.worktree=.", "status"],
    },
];

fn detect(dir: &Path) -> ImportSource {
    let author = Signature { name: "Ann".into(), email: "ann@example.com".into() };
    ImportSource::detect(dir.to_str().unwrap(), author, "Import".into())
}

/// Everything hangar does with the commits of a repository on the host.
async fn work(house: &House, name: &str, old: &CommitId, new: &CommitId) -> PathBuf {
    let (forge, repo) = (&house.forge, path(name));
    forge.diff(&repo, old, new).await.unwrap();
    forge.diff_text(&repo, old, new).await.unwrap();
    forge.mergeability(&repo, old, new).await.unwrap();
    forge.commits_between(&repo, old, new).await.unwrap();
    forge.delta(&repo, old, new, &house.root.path().join("pack")).await.unwrap();
    let dir = house.root.path().join(format!("work-{}", name.replace('/', "-")));
    let wish = WorkspaceClone {
        commit: new.clone(),
        head: WorkspaceHead::Detached,
        dir: dir.clone(),
        origin_url: "http://hangar.internal/x.git".into(),
    };
    forge.clone_to(&repo, wish).await.unwrap();
    dir
}

/// That nothing of the trap came along.
fn clean(dir: &Path, trap: &Trap) {
    let config = fs::read_to_string(dir.join("config")).unwrap();
    assert!(!config.contains(&trap.word()) && !config.contains("evil"), "{config}");
    for left in ["hooks", "objects/info/alternates", "info/grafts", "config.worktree", "info/attributes"] {
        assert!(!dir.join(left).exists(), "{left} in {}", dir.display());
    }
}

#[tokio::test]
async fn a_hostile_repository_runs_nothing_when_it_is_imported() {
    let house = House::build().await;
    let trap = Trap::set(&house);
    for Arm { name, set, control } in ARMS {
        let dir = victim(&house, &trap, name).await;
        let (old, new) = (git(&dir, &["rev-parse", "HEAD^"]).await.out, git(&dir, &["rev-parse", "HEAD"]).await.out);
        set(&dir, &trap);
        try_git(&dir, control, &[("GIT_ALLOW_PROTOCOL", "file")]).await;
        assert!(trap.sprung().is_some(), "{name}: with stock git the trap is sprung");
        let repo = format!("acme/{name}");
        let new_repo = NewRepo { path: path(&repo), description: String::new() };
        let imported = house.forge.import(new_repo, detect(&dir)).await;
        trap.unsprung(name);
        if *name == "promisor" {
            // It lacks an object, and nobody is asked for it.
            assert!(imported.is_err());
            continue;
        }
        imported.unwrap_or_else(|error| panic!("{name}: {error}"));
        let work = work(&house, &repo, &old.parse().unwrap(), &new.parse().unwrap()).await;
        trap.unsprung(name);
        clean(&house.root.path().join(format!("forge/repos/{repo}.git")), &trap);
        clean(&work.join(".git"), &trap);
        assert_eq!(fs::read_to_string(work.join("a.txt")).unwrap(), "b\n");
    }
}

#[tokio::test]
async fn a_plain_directory_with_hostile_repositories_in_it_runs_nothing() {
    let house = House::build().await;
    let trap = Trap::set(&house);
    let dir = house.dir("plain");
    write(&dir, ".gitattributes", "* filter=evil diff=evil merge=evil\n");
    write(&dir, ".gitmodules", &format!("[submodule \"sub\"]\n\tpath = sub\n\turl = {}\n", trap.word()));
    write(&dir, "a.txt", "a\n");
    symlink(&trap.outside, dir.join("escape")).unwrap();
    let sub = victim(&house, &trap, "plain/sub").await;
    append(&sub.join(".git/config"), &fs::read_to_string(sub.join(".git/evil")).unwrap());
    try_git(&sub, &["-c", "core.worktree=.", "status"], &[]).await;
    assert!(trap.sprung().is_some(), "with stock git the trap is sprung");
    let new_repo = NewRepo { path: path("acme/plain"), description: String::new() };
    let imported = house.forge.import(new_repo, detect(&dir)).await;
    trap.unsprung("the import of a directory");
    let repo = imported.unwrap();
    let head = house.forge.branch_tip(&repo.path, &repo.default_branch).await.unwrap();
    let work = work(&house, "acme/plain", &head, &head).await;
    trap.unsprung("work on it");
    clean(&house.root.path().join("forge/repos/acme/plain.git"), &trap);
    // The link is a link, and the submodule an empty place.
    assert_eq!(fs::read_link(work.join("escape")).unwrap(), trap.outside);
    assert!(!work.join("sub/a.txt").exists());
}

#[tokio::test]
async fn a_push_from_a_sandbox_brings_nothing_that_runs_or_writes_outside() {
    let house = House::build().await;
    let trap = Trap::set(&house);
    let web = house.web().await;
    let base = house.forge.branch_tip(&web.path, &web.default_branch).await.unwrap();
    let border = border(&house).await;
    let dir = house.dir("box");
    git(&dir, &["clone", "-q", &format!("{}/acme/web.git", border.base), "."]).await;
    git(&dir, &["checkout", "-q", "-b", "hangar/s1"]).await;
    write(&dir, ".gitattributes", "* filter=evil diff=evil merge=evil ident\n");
    write(&dir, ".gitconfig", &format!("[core]\n\tfsmonitor = {}\n", trap.word()));
    // What is a directory on one side and a link on the other.
    symlink(&trap.outside, dir.join("escape")).unwrap();
    fs::remove_dir_all(dir.join("src")).unwrap();
    symlink(&trap.outside, dir.join("src")).unwrap();
    commit(&dir, "bob", "A link out").await;
    let linked: CommitId = git(&dir, &["rev-parse", "HEAD"]).await.out.parse().unwrap();
    fs::remove_file(dir.join("escape")).unwrap();
    write(&dir, "escape/kept", "overwritten\n");
    commit(&dir, "bob", "And a file behind it").await;
    let behind: CommitId = git(&dir, &["rev-parse", "HEAD"]).await.out.parse().unwrap();
    git(&dir, &["push", "-q", "origin", "HEAD"]).await;
    trap.unsprung("a push");
    let work = work(&house, "acme/web", &base, &linked).await;
    assert_eq!(fs::read_link(work.join("escape")).unwrap(), trap.outside);
    fs::remove_dir_all(&work).unwrap();
    let work = self::work(&house, "acme/web", &linked, &behind).await;
    assert_eq!(fs::read_to_string(work.join("escape/kept")).unwrap(), "overwritten\n");
    trap.unsprung("work on what was pushed");
    clean(&house.root.path().join("forge/repos/acme/web.git"), &trap);
    clean(&work.join(".git"), &trap);
}

#[tokio::test]
async fn refs_by_which_a_repository_could_be_bent_are_refused() {
    let house = House::build().await;
    let web = house.web().await;
    let base = house.forge.branch_tip(&web.path, &web.default_branch).await.unwrap();
    let bare = house.root.path().join("forge/repos/acme/web.git");
    let before = git(&bare, &["for-each-ref"]).await.out;
    let head = fs::read_to_string(bare.join("HEAD")).unwrap();
    let border = border(&house).await;
    let dir = house.dir("box");
    git(&dir, &["clone", "-q", &format!("{}/acme/web.git", border.base), "."]).await;
    write(&dir, "README.md", "bent\n");
    commit(&dir, "bob", "Bent").await;
    for to in [
        format!("refs/replace/{base}"),
        "refs/heads/main".into(),
        "refs/hangar/s1".into(),
        "refs/pull/1/head".into(),
        "refs/tags/hangar/s1".into(),
        "refs/notes/commits".into(),
        "refs/stash".into(),
        "refs/remotes/origin/main".into(),
        "refs/heads/hangar/s1x".into(),
        "refs/heads/hangar".into(),
        "refs/heads/HEAD".into(),
        "refs/worktree/x".into(),
        "refs/bisect/bad".into(),
    ] {
        let said = try_git(&dir, &["push", "--force", "origin", &format!("HEAD:{to}")], &[]).await;
        assert!(!said.ok, "{to} was taken: {}", said.err);
    }
    // As a client that checks no name would send them.
    let new = git(&dir, &["rev-parse", "HEAD"]).await.out;
    for to in [
        "HEAD",
        "refs/heads/hangar/s1/../../main",
        "refs/heads/hangar/s1/..",
        "../../config",
        "refs/heads/hangar/s1.lock",
        "/etc/x",
        "refs/heads/hangar/s1\nx",
    ] {
        let line = format!("{} {new} {to}\0report-status", "0".repeat(40));
        let body = format!("{:04x}{line}0000", line.len() + 4);
        let pack = std::process::Command::new("git")
            .args(["pack-objects", "--stdout", "--all", "-q"])
            .current_dir(&dir)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let answer = reqwest::Client::new()
            .post(format!("{}/acme/web.git/git-receive-pack", border.base))
            .header("content-type", "application/x-git-receive-pack-request")
            .body([body.into_bytes(), pack.stdout].concat())
            .send()
            .await
            .unwrap();
        let text = answer.text().await.unwrap();
        assert!(!text.contains("000eunpack ok") || text.contains("ng "), "{to:?}: {text}");
    }
    assert_eq!(git(&bare, &["for-each-ref"]).await.out, before);
    assert_eq!(fs::read_to_string(bare.join("HEAD")).unwrap(), head);
    assert_eq!(house.forge.branch_tip(&web.path, &web.default_branch).await.unwrap(), base);
}

/// A tree with one entry of this name, mode and content, pushed to the session's branch.
#[tokio::test]
async fn trees_that_would_write_where_they_must_not_are_refused() {
    let house = House::build().await;
    house.web().await;
    let border = border(&house).await;
    let dir = house.dir("box");
    git(&dir, &["clone", "-q", &format!("{}/acme/web.git", border.base), "."]).await;
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = -u./spring\n";
    let update = "[submodule \"../../evil\"]\n\tpath = x\n\turl = https://example.org/x.git\n\tupdate = !./spring\n";
    for (mode, name, content) in [
        ("100644", ".git", "x"),
        ("40000", ".git", ""),
        ("100644", ".GIT", "x"),
        ("100644", "git~1", "x"),
        ("100644", ".g\u{200c}it", "x"),
        ("100644", "..", "x"),
        ("100644", ".", "x"),
        ("100644", "a/b", "x"),
        ("120000", ".gitmodules", "/etc/passwd"),
        ("100644", ".gitmodules", modules),
        ("100644", ".gitmodules", update),
    ] {
        write(&dir, ".git/content", content);
        let object = if mode == "40000" {
            git(&dir, &["rev-parse", "HEAD^{tree}"]).await.out
        } else {
            git(&dir, &["hash-object", "-w", "--no-filters", ".git/content"]).await.out
        };
        let id = (0..40).step_by(2).map(|at| u8::from_str_radix(&object[at..at + 2], 16).unwrap());
        let raw: Vec<u8> = format!("{mode} {name}\0").into_bytes().into_iter().chain(id).collect();
        fs::write(dir.join(".git/raw"), raw).unwrap();
        let tree = git(&dir, &["hash-object", "-t", "tree", "-w", "--literally", ".git/raw"]).await.out;
        let env = [
            ("GIT_AUTHOR_NAME", "e"),
            ("GIT_AUTHOR_EMAIL", "e@e"),
            ("GIT_COMMITTER_NAME", "e"),
            ("GIT_COMMITTER_EMAIL", "e@e"),
        ];
        let evil = try_git(&dir, &["commit-tree", "-m", "evil", &tree], &env).await.out;
        let said = try_git(&dir, &["push", "--force", "origin", &format!("{evil}:refs/heads/hangar/s1")], &[]).await;
        assert!(!said.ok, "{mode} {name:?} with {content:?} was taken: {}", said.err);
    }
    // The same way with a harmless name is taken, so it is the names that were refused.
    let object = git(&dir, &["rev-parse", "HEAD"]).await.out;
    git(&dir, &["push", "-q", "origin", &format!("{object}:refs/heads/hangar/s1")]).await;
}
