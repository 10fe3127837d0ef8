//! What a `COPY` takes: from the context or from another stage, both read as stacks of layers.

use std::{
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, OFlags, Stat, readlinkat};
use sha2::{Digest as _, Sha256};

use crate::{
    base::{
        BaseError,
        dockerfile::ignore::{Ignore, matcher},
    },
    oci::{
        Digest, beneath,
        layer::merged::{Lies, Merged, MergedDir},
        limits::DEPTH_MAX,
    },
};

/// Read at once, in bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// Where a `COPY` takes from.
pub(super) struct From<'a> {
    pub files: &'a Merged,
    pub ignore: &'a Ignore,
}

/// Something that is taken.
pub(super) struct Picked<'a> {
    /// From what was named; empty for that itself.
    pub inside: &'a Path,
    pub thing: Thing,
    pub stat: Stat,
}

/// What it is.
pub(super) enum Thing {
    Directory,
    File(File),
    Symlink(PathBuf),
}

/// Something that was named.
pub(super) struct Root {
    /// Its path, links followed.
    path: PathBuf,
    lies: Lies,
}

impl Root {
    pub(super) fn is_directory(&self) -> bool {
        self.lies.is_directory()
    }

    /// The last name of its path.
    pub(super) fn name(&self) -> PathBuf {
        self.path.file_name().map(PathBuf::from).unwrap_or_default()
    }
}

impl From<'_> {
    /// What the sources name, in order; patterns may name several.
    pub(super) fn roots(&self, sources: &[String]) -> Result<Vec<Root>, BaseError> {
        let mut roots = Vec::new();
        for source in sources {
            let before = roots.len();
            for path in self.expanded(Path::new(source))? {
                let led = self.files.follow(&path).map_err(BaseError::host(path))?;
                let left_out = self.ignore.leaves_out(&led.path);
                if let Some(lies) = led.lies.filter(|lies| !left_out || lies.is_directory()) {
                    roots.push(Root { path: led.path, lies });
                }
            }
            if roots.len() == before {
                let what = format!("there is no `{source}` to copy");
                return Err(BaseError::unfit(
                    what,
                    "correct the path; it begins at the context, and `.dockerignore` leaves things out",
                ));
            }
        }
        Ok(roots)
    }

    /// Paths a source with `*`, `?` and `[…]` stands for.
    fn expanded(&self, source: &Path) -> Result<Vec<PathBuf>, BaseError> {
        let mut paths = vec![PathBuf::new()];
        for part in source.components() {
            let name = match part {
                std::path::Component::Normal(name) => name,
                std::path::Component::ParentDir => {
                    paths.iter_mut().for_each(|path| path.push(".."));
                    continue;
                }
                std::path::Component::RootDir | std::path::Component::CurDir | std::path::Component::Prefix(_) => {
                    continue;
                }
            };
            if !name.as_bytes().iter().any(|byte| b"*?[".contains(byte)) {
                paths.iter_mut().for_each(|path| path.push(name));
                continue;
            }
            let pattern = matcher(&name.to_string_lossy())?;
            let mut matching = Vec::new();
            for path in paths {
                let led = self.files.follow(&path).map_err(BaseError::host(&path))?;
                let Some(Lies::Directory(directory)) = led.lies else { continue };
                let names = self.files.names(&directory).map_err(BaseError::host(&path))?;
                matching.extend(names.iter().filter(|name| pattern.is_match(name)).map(|name| path.join(name)));
            }
            paths = matching;
        }
        Ok(paths)
    }

    /// Everything of one root, directories before what is in them.
    pub(super) fn each(
        &self,
        root: &Root,
        visit: &mut dyn FnMut(Picked<'_>) -> Result<(), BaseError>,
    ) -> Result<(), BaseError> {
        match &root.lies {
            Lies::Directory(directory) => self.directory(directory, &root.path, Path::new(""), 0, visit),
            Lies::Other { .. } => self.other(&root.lies, &root.path, Path::new(""), visit),
        }
    }

    fn directory(
        &self,
        directory: &MergedDir,
        path: &Path,
        inside: &Path,
        depth: usize,
        visit: &mut dyn FnMut(Picked<'_>) -> Result<(), BaseError>,
    ) -> Result<(), BaseError> {
        if depth > DEPTH_MAX {
            return Err(BaseError::unfit(
                format!("`{}` lies too deep to copy", path.display()),
                "leave it out with `.dockerignore`",
            ));
        }
        // A directory that is left out may have something in it that is not.
        if !self.ignore.leaves_out(path) {
            let stat = self.files.stat(directory).map_err(BaseError::host(path))?;
            visit(Picked { inside, thing: Thing::Directory, stat })?;
        }
        for name in self.files.names(directory).map_err(BaseError::host(path))? {
            let (path, inside) = (path.join(&name), inside.join(&name));
            match self.files.lookup(directory, &name).map_err(BaseError::host(&path))? {
                Some(Lies::Directory(below)) => self.directory(&below, &path, &inside, depth + 1, visit)?,
                Some(lies) if !self.ignore.leaves_out(&path) => self.other(&lies, &path, &inside, visit)?,
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn other(
        &self,
        lies: &Lies,
        path: &Path,
        inside: &Path,
        visit: &mut dyn FnMut(Picked<'_>) -> Result<(), BaseError>,
    ) -> Result<(), BaseError> {
        let Lies::Other { parent, stat } = lies else { return Ok(()) };
        let name = path.file_name().unwrap_or_default();
        let thing = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let opened = beneath(parent, Path::new(name), OFlags::RDONLY | OFlags::NONBLOCK);
                Thing::File(File::from(opened.map_err(BaseError::host(path))?))
            }
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new()).map_err(BaseError::host(path))?;
                Thing::Symlink(std::ffi::OsStr::from_bytes(target.as_bytes()).into())
            }
            // Pipes and sockets have no content to copy, and layers no devices.
            FileType::Directory
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => return Ok(()),
        };
        visit(Picked { inside, thing, stat: *stat })
    }

    /// The digest of everything that would be taken.
    pub(super) fn digest(&self, roots: &[Root]) -> Result<Digest, BaseError> {
        let mut whole = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        for root in roots {
            part(&mut whole, root.name().as_os_str().as_bytes());
            self.each(root, &mut |picked| {
                part(&mut whole, picked.inside.as_os_str().as_bytes());
                whole.update((picked.stat.st_mode & 0o170_777).to_le_bytes());
                match picked.thing {
                    Thing::Directory => {}
                    Thing::Symlink(target) => part(&mut whole, target.as_os_str().as_bytes()),
                    Thing::File(mut file) => {
                        let mut content = Sha256::new();
                        loop {
                            let count = file.read(&mut chunk).map_err(BaseError::host(picked.inside))?;
                            if count == 0 {
                                break;
                            }
                            content.update(chunk.get(..count).unwrap_or_default());
                        }
                        whole.update(content.finalize());
                    }
                }
                Ok(())
            })?;
        }
        Ok(Digest::of(&whole.finalize()))
    }
}

/// Bytes preceded by their number.
fn part(whole: &mut Sha256, bytes: &[u8]) {
    whole.update((bytes.len() as u64).to_le_bytes());
    whole.update(bytes);
}
