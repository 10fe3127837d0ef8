//! Packs the source that is being built, so that the program carries it: every file that git knows, or in a tree without git every file that
//! `.gitignore` does not name.

use std::{
    env,
    error::Error,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

/// More takes longer than it saves: most of what is large are pictures.
const LEVEL: i32 = 9;
/// How much of a hash names a version of the source.
const ID_BYTES: usize = 8;
/// What the source is called where git cannot say it.
const NO_COMMIT: &str = "no commit: built from a tree without git";

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here.ancestors().nth(2).ok_or("this crate lies two directories below the workspace")?.to_owned();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (files, commit) = match tracked(&root) {
        Some(files) => {
            let commit = commit(&root);
            (files, commit)
        }
        None => (walked(&root)?, NO_COMMIT.to_owned()),
    };
    for file in &files {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let (archive, index) = (packed(&root, &files)?, index(&root, &files, &commit)?);
    fs::write(out.join("source.tar.zst"), &archive)?;
    fs::write(out.join("source-index.md"), &index)?;
    let hash = Sha256::new().chain_update(&archive).chain_update(&index).finalize();
    let id: String = hash.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=HANGAR_SOURCE_ID={id}");
    println!("cargo::rustc-env=HANGAR_SOURCE_COMMIT={commit}");
    Ok(())
}

/// What git has on its list, sorted; `None` where there is no git or the tree is no work tree of its own.
fn tracked(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    for path in ["HEAD", "index"] {
        let place = git(root, &["rev-parse", "--git-path", path])?;
        println!("cargo::rerun-if-changed={}", root.join(place.trim()).display());
    }
    let listed = git(root, &["ls-files", "-z"])?;
    // A file that was deleted and not yet committed is no part of what is built.
    let there = |file: &&str| !file.is_empty() && fs::symlink_metadata(root.join(file)).is_ok();
    let mut files: Vec<String> = listed.split('\0').filter(there).map(str::to_owned).collect();
    files.sort();
    Some(files)
}

/// The commit, and whether the tree is that commit.
fn commit(root: &Path) -> String {
    let head = git(root, &["rev-parse", "HEAD"]).map(|head| head.trim().to_owned());
    let changed = git(root, &["status", "--porcelain", "--untracked-files=no"]).is_none_or(|said| !said.is_empty());
    match head {
        Some(head) if changed => format!("{head} with changes"),
        Some(head) => head,
        None => NO_COMMIT.to_owned(),
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let ran = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    if ran.status.success() { String::from_utf8(ran.stdout).ok() } else { None }
}

fn walked(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    let walk = ignore::WalkBuilder::new(root).hidden(false).require_git(false).git_global(false).parents(false).build();
    for entry in walk {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| !kind.is_dir()) {
            let path = entry.path().strip_prefix(root)?;
            files.push(path.to_str().ok_or("a file's name is not UTF-8")?.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// The files as an archive that is the same wherever and whenever it is made.
fn packed(root: &Path, files: &[String]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), LEVEL)?);
    for file in files {
        let path = root.join(file);
        let meta = fs::symlink_metadata(&path)?;
        let mut header = tar::Header::new_gnu();
        if meta.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            archive.append_link(&mut header, file, fs::read_link(&path)?)?;
            continue;
        }
        let content = fs::read(&path)?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
        archive.append_data(&mut header, file, content.as_slice())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

/// What is where: every crate with its description, every page with its title.
fn index(root: &Path, files: &[String], commit: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = Vec::new();
    writeln!(
        page,
        "# The source of this hangar\n\nVersion {}, commit {commit}. ARCHITECTURE.md explains how it works.\n",
        env::var("CARGO_PKG_VERSION")?
    )?;
    writeln!(page, "## Crates\n")?;
    for manifest in files.iter().filter(|file| file.starts_with("crates/") && file.ends_with("/Cargo.toml")) {
        let text = fs::read_to_string(root.join(manifest))?;
        let about = text.lines().find_map(|line| line.strip_prefix("description = \"")).unwrap_or_default();
        let folder = manifest.trim_end_matches("/Cargo.toml");
        writeln!(page, "- `{folder}`: {}", about.trim_end_matches('"'))?;
    }
    writeln!(page, "\n## Pages\n")?;
    for doc in files.iter().filter(|file| file.starts_with("docs/") && file.ends_with(".md")) {
        let text = fs::read_to_string(root.join(doc))?;
        let title = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        writeln!(page, "- `{doc}`: {title}")?;
    }
    Ok(page)
}
