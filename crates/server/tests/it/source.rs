//! The packing of hangar's own source, as the build script does it.

#[path = "../../build/pack.rs"]
mod pack;

use std::{fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

fn put(root: &Path, path: &str, content: &str) {
    let place = root.join(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, content).unwrap();
}

fn git(root: &Path, arguments: &[&str]) -> String {
    let ran = Command::new("git").arg("-C").arg(root).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// A source tree, with what people have lying about in one.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    put(root, "Cargo.toml", "[workspace]\n");
    put(root, ".gitignore", "/target\nnode_modules\n*.log\n");
    put(root, "crates/one/Cargo.toml", "description = \"The first.\"\n");
    put(root, "crates/one/src/lib.rs", "pub fn one() {}\n");
    put(root, "docs/plugins.md", "# Plugins\n\nWords.\n");
    put(root, "scripts/run.sh", "#!/bin/sh\n");
    fs::set_permissions(root.join("scripts/run.sh"), fs::Permissions::from_mode(0o775)).unwrap();
    std::os::unix::fs::symlink("../docs/plugins.md", root.join("plugins.md")).unwrap();
    fs::create_dir_all(root.join("plugins")).unwrap();
    fs::rename(root.join("plugins.md"), root.join("plugins/README.md")).unwrap();
    for (path, content) in [
        ("hangar.toml", "api_key = \"sk-secret\"\n"),
        (".env", "KEY=secret\n"),
        ("data/hangar.db", "people"),
        ("target/debug/hangar", "program"),
        ("clients/node_modules/a/index.js", "a"),
        ("crates/one/build.log", "built"),
        ("evals/a-task/check.sh", "true"),
    ] {
        put(root, path, content);
    }
    tree
}

const OURS: [&str; 6] = [
    ".gitignore",
    "Cargo.toml",
    "crates/one/Cargo.toml",
    "crates/one/src/lib.rs",
    "docs/plugins.md",
    "plugins/README.md",
];

fn expected() -> Vec<String> {
    OURS.into_iter().chain(["scripts/run.sh"]).map(str::to_owned).collect()
}

#[test]
fn a_tree_without_git_gives_what_one_with_git_does_and_nothing_that_lies_about() {
    let tree = tree();
    let root = tree.path();
    assert_eq!((pack::tracked(root), pack::commit(root)), (None, None));
    let walked = pack::walked(root).unwrap();
    assert_eq!(walked, expected());
    let packed = pack::packed(root, &walked).unwrap();

    git(root, &["init", "-q", "-b", "main"]);
    let known: Vec<&str> = OURS.into_iter().chain(["scripts/run.sh", "evals/a-task/check.sh"]).collect();
    git(root, &[&["add"][..], &known].concat());
    let author = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
    git(root, &[&author[..], &["commit", "-q", "-m", "first"]].concat());
    let tracked = pack::tracked(root).unwrap();
    assert_eq!(tracked, walked);
    let head = git(root, &["rev-parse", "HEAD"]);
    assert_eq!(pack::commit(root).unwrap(), head.trim());
    // Neither when the files were written nor what this user's umask took away can be seen in it.
    let sometime = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(root.join("Cargo.toml")).unwrap().set_modified(sometime).unwrap();
    fs::set_permissions(root.join("scripts/run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(root.join("Cargo.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(pack::packed(root, &tracked).unwrap() == packed, "the same source is another archive");

    put(root, "crates/one/src/lib.rs", "pub fn two() {}\n");
    assert_eq!(pack::commit(root).unwrap(), format!("{} with changes", head.trim()));
    assert!(pack::packed(root, &tracked).unwrap() != packed, "another source is the same archive");
}

#[test]
fn the_archive_has_every_file_as_it_is_and_the_index_says_what_is_where() {
    let tree = tree();
    let root = tree.path();
    let packed = pack::packed(root, &pack::walked(root).unwrap()).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed.as_slice()).unwrap());
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let link = entry.link_name().unwrap().map(|to| to.display().to_string());
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        match link {
            Some(to) => assert_eq!(Path::new(&to), fs::read_link(root.join(&path)).unwrap()),
            None => assert_eq!(content, fs::read_to_string(root.join(&path)).unwrap(), "{path}"),
        }
        let may_run = entry.header().mode().unwrap() == 0o755;
        assert_eq!(may_run, path == "scripts/run.sh", "{path}");
        seen.push(path);
    }
    assert_eq!(seen, expected());
    let index = String::from_utf8(pack::index(root, &expected(), "abc").unwrap()).unwrap();
    assert!(index.contains(&format!("Version {}, commit abc.", env!("CARGO_PKG_VERSION"))), "{index}");
    assert!(index.contains("- `src/crates/one`: The first.\n"), "{index}");
    assert!(index.contains("- `src/docs/plugins.md`: Plugins\n"), "{index}");
}

#[test]
fn everything_at_the_top_of_this_source_is_known_to_the_packing_of_a_tree_without_git() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let files = pack::tracked(root).unwrap_or_else(|| pack::walked(root).unwrap());
    let mut top: Vec<&str> = files.iter().map(|file| file.split('/').next().unwrap()).collect();
    top.dedup();
    assert_eq!(top, pack::TOP);
}
