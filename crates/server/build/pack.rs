//! Packs the source of hangar: what belongs to it, as an archive that is the same wherever it is made, and a page that says what is where.
//!
//! Part of the build script, and of the test that tries it.

use std::{env, error::Error, fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

/// What belongs to the source at its top, for a tree without git: whatever else lies there (a configuration with keys, data) is somebody's own.
pub(super) const TOP: [&str; 17] = [
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clients",
    "clippy.toml",
    "crates",
    "docs",
    "plugins",
    "rustfmt.toml",
    "scripts",
];
/// What is no part of what sandboxes are shown: an agent that is tried would find how it is judged.
pub(super) const HIDDEN: &str = "evals/";
/// Higher levels take many times as long in a build script, which is not optimised, and save a tenth.
const LEVEL: i32 = 9;

/// What git has on its list but [`HIDDEN`], sorted; `None` where the tree is no work tree of its own, or git cannot be asked.
pub(super) fn tracked(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let listed = git(root, &["ls-files", "-z"])?;
    // A file that was deleted and not yet committed is no part of what is built.
    let there =
        |file: &&str| !file.is_empty() && !file.starts_with(HIDDEN) && fs::symlink_metadata(root.join(file)).is_ok();
    let mut files: Vec<String> = listed.split('\0').filter(there).map(str::to_owned).collect();
    files.sort();
    Some(files)
}

/// What belongs to the source in a tree without git, sorted: everything below [`TOP`] that `.gitignore` does not name.
pub(super) fn walked(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    let mut walk = ignore::WalkBuilder::new(root);
    walk.hidden(false)
        .require_git(false)
        .git_global(false)
        .parents(false)
        .filter_entry(|entry| entry.depth() != 1 || entry.file_name().to_str().is_some_and(|name| TOP.contains(&name)));
    for entry in walk.build() {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| !kind.is_dir()) {
            let path = entry.path().strip_prefix(root)?;
            files.push(path.to_str().ok_or("a file's name is not UTF-8")?.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// The commit, and whether the tree is that commit; `None` where git cannot be asked.
pub(super) fn commit(root: &Path) -> Option<String> {
    let head = git(root, &["rev-parse", "HEAD"])?;
    let changes = git(root, &["status", "--porcelain", "--untracked-files=no"])?;
    let with = if changes.is_empty() { "" } else { " with changes" };
    Some(format!("{}{with}", head.trim()))
}

/// What git says, without writing anything for itself.
pub(super) fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let ran = Command::new("git").arg("--no-optional-locks").arg("-C").arg(root).args(arguments).output().ok()?;
    if ran.status.success() { String::from_utf8(ran.stdout).ok() } else { None }
}

/// The files as an archive that is the same wherever and whenever it is made.
pub(super) fn packed(root: &Path, files: &[String]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), LEVEL)?);
    for file in files {
        let path = root.join(file);
        let meta = fs::symlink_metadata(&path)?;
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
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
pub(super) fn index(root: &Path, files: &[String], commit: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = Vec::new();
    let version = env::var("CARGO_PKG_VERSION")?;
    writeln!(page, "# The source of this hangar\n")?;
    writeln!(page, "Version {version}, commit {commit}. All of it is in `src`; begin with `src/ARCHITECTURE.md`.\n")?;
    writeln!(page, "## Crates\n")?;
    for manifest in files.iter().filter(|file| file.starts_with("crates/") && file.ends_with("/Cargo.toml")) {
        let text = fs::read_to_string(root.join(manifest))?;
        let about = text.lines().find_map(|line| line.strip_prefix("description = \"")).unwrap_or_default();
        let folder = manifest.trim_end_matches("/Cargo.toml");
        writeln!(page, "- `src/{folder}`: {}", about.trim_end_matches('"'))?;
    }
    writeln!(page, "\n## Pages\n")?;
    for doc in files.iter().filter(|file| file.starts_with("docs/") && file.ends_with(".md")) {
        let text = fs::read_to_string(root.join(doc))?;
        let title = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        writeln!(page, "- `src/{doc}`: {title}")?;
    }
    Ok(page)
}
