//! The part of a commit that recipes are read from: a few small files and the names around them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CStr,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use hangar_protocol::guest::WORKSPACE;
use hangar_sandbox::{FileKind, Sandbox};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2};

use super::RecipeError;

/// Longest file that is read.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Names of one directory that are looked at.
const NAMES_MAX: usize = 4096;
/// Directories below the root that are looked into.
const DIRECTORIES_MAX: usize = 256;

/// Files whose text decides something, wherever they lie.
const WANTED: &[&str] = &[
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "Gemfile",
    "composer.json",
    "deno.json",
    "mise.toml",
    ".mise.toml",
    ".tool-versions",
    "Rakefile",
];
/// Directories, by path, whose every file is read although their name is hidden.
const HIDDEN: &[&str] =
    &[".hangar", ".hangar/environments", ".devcontainer", ".cursor", ".config", ".github", ".github/workflows"];
/// Files of hidden places, and of the root, that are recipes themselves.
const RECIPES: &[&str] = &[
    "environment.toml",
    "environment.json",
    "devcontainer.json",
    ".devcontainer.json",
    "copilot-setup-steps.yml",
    "copilot-setup-steps.yaml",
    "mise.toml",
];

/// The files of a commit that a recipe can be read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    texts: BTreeMap<String, String>,
    names: BTreeSet<String>,
}

impl Files {
    /// From pairs of path and text; what tests and programs with the files at hand use.
    pub fn of<P: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let texts: BTreeMap<String, String> =
            files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        let mut names: BTreeSet<String> = texts.keys().cloned().collect();
        for path in texts.keys() {
            let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            names.extend(parents);
        }
        Self { texts, names }
    }

    /// Looks through a checkout on this machine. Its content is somebody else's: no link is followed and nothing outside is opened.
    ///
    /// # Errors
    /// When the directory itself cannot be opened.
    pub fn of_directory(root: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        let mut files = Self::default();
        let mut looked_into = 0;
        for (name, kind) in entries(&root)? {
            match kind {
                FileType::Directory if look_into(&name) && looked_into < DIRECTORIES_MAX => {
                    looked_into += 1;
                    files.add_directory(&root, &name);
                }
                FileType::RegularFile => files.add_file(&root, name),
                _ => drop(files.names.insert(name)),
            }
        }
        Ok(files)
    }

    fn add_directory(&mut self, root: &OwnedFd, path: &str) {
        self.names.insert(path.to_owned());
        // A directory that cannot be read is as good as empty.
        let Ok(directory) = open(root, path, OFlags::DIRECTORY) else { return };
        for (name, kind) in entries(&directory).unwrap_or_default() {
            let inner = format!("{path}/{name}");
            match kind {
                FileType::RegularFile => self.add_file(root, inner),
                FileType::Directory if descend(path, &inner) => {
                    self.add_directory(root, &inner);
                }
                _ => drop(self.names.insert(inner)),
            }
        }
    }

    fn add_file(&mut self, root: &OwnedFd, path: String) {
        if wanted(&path)
            && let Ok(file) = open(root, &path, OFlags::NONBLOCK)
            && let Ok(text) = text(file)
        {
            self.texts.insert(path.clone(), text);
        }
        self.names.insert(path);
    }

    /// Looks through `/workspace` of a sandbox, with the sandbox's rights. What cannot be read is as good as absent.
    ///
    /// # Errors
    /// When the workspace itself cannot be listed.
    pub async fn of_sandbox(sandbox: &Sandbox) -> Result<Self, hangar_sandbox::Error> {
        let mut files = Self::default();
        let mut ahead = vec![String::new()];
        let mut looked_into = 0;
        while let Some(directory) = ahead.pop() {
            let listed = sandbox.list(&format!("{WORKSPACE}/{directory}")).await;
            let entries = match listed {
                Ok((entries, _)) => entries,
                Err(error) if directory.is_empty() => return Err(error),
                Err(_) => continue,
            };
            for entry in entries.into_iter().filter(|entry| entry.name != ".git") {
                let path = joined(&directory, &entry.name);
                match entry.kind {
                    FileKind::Directory if descend(&directory, &path) && looked_into < DIRECTORIES_MAX => {
                        looked_into += 1;
                        ahead.push(path.clone());
                    }
                    FileKind::File if wanted(&path) => files.read(sandbox, &path).await,
                    _ => {}
                }
                files.names.insert(path);
            }
        }
        Ok(files)
    }

    async fn read(&mut self, sandbox: &Sandbox, path: &str) {
        let Ok(content) = sandbox.read(&format!("{WORKSPACE}/{path}"), 0, FILE_BYTES_MAX).await else { return };
        if let (false, Ok(text)) = (content.truncated, String::from_utf8(content.bytes.to_vec())) {
            self.texts.insert(path.to_owned(), text);
        }
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The text of a file that decides the recipe. `None` when there is no such file.
    ///
    /// # Errors
    /// When there is one that cannot be read: it is a link, is too long, or is not text.
    pub(crate) fn deciding(&self, path: &str) -> Result<Option<&str>, RecipeError> {
        match (self.text(path), self.has(path)) {
            (Some(text), _) => Ok(Some(text)),
            (None, false) => Ok(None),
            (None, true) => Err(RecipeError {
                file: path.to_owned(),
                line: None,
                message: format!(
                    "cannot be read; make it a plain UTF-8 file of at most {FILE_BYTES_MAX} bytes, not a link"
                ),
            }),
        }
    }

    /// Whether there is a file or directory of this path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    /// The root, as an empty string, and the directories in it that were looked into.
    pub(crate) fn projects(&self) -> Vec<String> {
        let inner = self.names.iter().filter_map(|path| path.split_once('/')).map(|(top, _)| top);
        let inner: BTreeSet<&str> = inner.filter(|top| !top.starts_with('.')).collect();
        std::iter::once(String::new()).chain(inner.into_iter().map(str::to_owned)).collect()
    }

    /// Names in a directory; the root is an empty string.
    pub(crate) fn names_in<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        self.names.iter().filter_map(move |path| match directory {
            "" => (!path.contains('/')).then_some(path.as_str()),
            inner => path.strip_prefix(inner)?.strip_prefix('/').filter(|name| !name.contains('/')),
        })
    }

    /// Every path.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Joins a directory (the root is empty) and a name.
pub(crate) fn joined(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Whether `path`, a directory in `directory`, is looked into.
fn descend(directory: &str, path: &str) -> bool {
    match directory {
        "" => look_into(path),
        ".devcontainer" => true,
        _ => HIDDEN.contains(&path),
    }
}

/// Whether a directory of the root is looked into: what is installed rather than written is not.
fn look_into(name: &str) -> bool {
    const INSTALLED: &[&str] = &["node_modules", "target", "vendor", "dist", "build", "venv", "__pycache__"];
    if name.starts_with('.') { HIDDEN.contains(&name) } else { !INSTALLED.contains(&name) }
}

fn wanted(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let hidden = folder.starts_with('.');
    if hidden || folder.is_empty() && RECIPES.contains(&name) {
        return RECIPES.contains(&name) || folder == ".hangar/environments" && name.ends_with(".toml");
    }
    WANTED.contains(&name)
}

fn open(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), resolve)?)
}

fn text(file: OwnedFd) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::from(file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn entries(directory: &OwnedFd) -> io::Result<Vec<(String, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        // Names that are not text are nobody's lock file.
        let Ok(name) = name.to_str() else { continue };
        if name == "." || name == ".." || name == ".git" {
            continue;
        }
        found.push((name.to_owned(), entry.file_type()));
        if found.len() >= NAMES_MAX {
            break;
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}
