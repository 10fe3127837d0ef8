//! Where the parts of an image are read from: a directory, or a tar file that is read in place.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::oci::{
    Error, Limits,
    digest::{Bounded, Digest},
    limits::{ARCHIVE_ENTRIES_MAX, DOCUMENT_BYTES_MAX},
};

/// How far a link inside an archive may lead to another one.
const LINKS_MAX: usize = 8;

/// The files of an image from elsewhere.
pub(crate) enum Source {
    /// A directory.
    Directory { root: OwnedFd },
    /// A tar file: where each of its files lies in it.
    Archive { file: Arc<File>, files: HashMap<PathBuf, Lies> },
}

/// Where a file of an archive is.
#[derive(Clone, Debug)]
pub(crate) enum Lies {
    At {
        offset: u64,
        bytes: u64,
    },
    /// At another name of the archive.
    Link(PathBuf),
}

/// A file of an image, to be read once.
pub(crate) struct Part {
    pub bytes: u64,
    pub content: Box<dyn Read + Send>,
}

impl Source {
    /// Opens a directory or an archive, which may be packed with gzip or zstd. A packed archive is unpacked to a nameless file in `scratch` first.
    pub(crate) fn open(path: &Path, scratch: &Path, limits: Limits) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::host(path))?;
        let meta = file.metadata().map_err(Error::host(path))?;
        if meta.is_dir() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return Ok(Self::Directory { root: openat(CWD, path, flags, Mode::empty()).map_err(Error::host(path))? });
        }
        Self::of_file(file, path, scratch, limits)
    }

    /// Opens an archive that is open as a file.
    pub(crate) fn of_file(file: File, name: &Path, scratch: &Path, limits: Limits) -> Result<Self, Error> {
        let meta = file.metadata().map_err(Error::host(name))?;
        if !meta.is_file() {
            return Err(Error::not_an_image(format!("{} is neither a file nor a directory", name.display())));
        }
        let file = unpacked(file, meta.len(), name, scratch, limits)?;
        let files = index(&file)?;
        Ok(Self::Archive { file: Arc::new(file), files })
    }

    /// Whether there is a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.part(name).is_ok()
    }

    /// Opens one file.
    pub(crate) fn part(&self, name: &str) -> Result<Part, Error> {
        let missing = || Error::not_an_image(format!("`{}` is missing", name.chars().take(200).collect::<String>()));
        match self {
            Self::Directory { root } => {
                // An image may be laid out with links between its own files, but none leads out of it.
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat2(root, name, flags, Mode::empty(), resolve).map_err(|_| missing())?;
                let file = File::from(file);
                let meta = file.metadata().map_err(Error::host(name))?;
                if !meta.is_file() {
                    return Err(missing());
                }
                Ok(Part { bytes: meta.len(), content: Box::new(BufReader::new(file)) })
            }
            Self::Archive { file, files } => {
                let mut path = inside(Path::new(name)).ok_or_else(missing)?;
                for _ in 0..LINKS_MAX {
                    match files.get(&path).ok_or_else(missing)? {
                        Lies::Link(to) => path = to.clone(),
                        Lies::At { offset, bytes } => {
                            let slice = Slice { file: Arc::clone(file), at: *offset, left: *bytes };
                            return Ok(Part { bytes: *bytes, content: Box::new(BufReader::new(slice)) });
                        }
                    }
                }
                Err(missing())
            }
        }
    }

    /// Reads a small file whole.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let part = self.part(name)?;
        if part.bytes > DOCUMENT_BYTES_MAX {
            return Err(Error::TooMuch { what: "bytes in a manifest or configuration", limit: DOCUMENT_BYTES_MAX });
        }
        let mut bytes = Vec::new();
        part.content.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).map_err(Error::stream("read the image"))?;
        Ok(bytes)
    }

    /// Reads a small blob whole and checks it.
    pub(crate) fn blob_document(&self, digest: Digest) -> Result<Vec<u8>, Error> {
        let bytes = self.document(&blob_name(digest))?;
        digest.expect(|| "a manifest or configuration of the image".into(), &Digest::of(&bytes))?;
        Ok(bytes)
    }
}

/// Where an OCI layout has a blob.
pub(crate) fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads a part of a file, wherever others read.
struct Slice {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Not,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the first bytes of a stream.
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Not,
        }
    }

    /// The stream as it was before it was packed.
    pub(crate) fn open<'a>(self, packed: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
        Ok(match self {
            Self::Not => Box::new(packed),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::Decoder::new(packed).map_err(Error::stream("unpack the image"))?),
        })
    }
}

fn unpacked(mut file: File, bytes: u64, path: &Path, scratch: &Path, limits: Limits) -> Result<File, Error> {
    let mut first = [0; 4];
    let count = file.read_at(&mut first, 0).map_err(Error::host(path))?;
    let packing = Packing::of(first.get(..count).unwrap_or_default());
    if packing == Packing::Not {
        return Ok(file);
    }
    file.seek(SeekFrom::Start(0)).map_err(Error::host(path))?;
    let mut plain = Bounded::new(packing.open(BufReader::new(file))?, bytes, limits);
    let mut whole = tempfile::tempfile_in(scratch).map_err(Error::host(scratch))?;
    io::copy(&mut plain, &mut whole).map_err(Error::stream("unpack the image"))?;
    whole.seek(SeekFrom::Start(0)).map_err(Error::host(scratch))?;
    Ok(whole)
}

/// Notes where each file of an archive lies.
fn index(file: &File) -> Result<HashMap<PathBuf, Lies>, Error> {
    let mut files = HashMap::new();
    let mut archive = tar::Archive::new(BufReader::new(file));
    // Raw: the names of an image's files are short, and nothing that is said about them ahead needs to be believed.
    let entries = archive.entries().map_err(|_| Error::not_an_image("the file is no tar archive"))?.raw(true);
    for (count, entry) in entries.enumerate() {
        if count >= ARCHIVE_ENTRIES_MAX {
            return Err(Error::TooMuch { what: "files in the archive", limit: ARCHIVE_ENTRIES_MAX as u64 });
        }
        let entry =
            entry.map_err(|error| Error::not_an_image(format!("the file is no whole tar archive ({error})")))?;
        let Some(path) = inside(Path::new(OsStr::from_bytes(&entry.header().path_bytes()))) else { continue };
        let lies = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                Lies::At { offset: entry.raw_file_position(), bytes: entry.size() }
            }
            // Older `docker save` writes a layer once and links to it.
            tar::EntryType::Symlink => {
                let target = entry.header().link_name_bytes().unwrap_or_default().into_owned();
                let from = path.parent().unwrap_or(Path::new("")).join(OsStr::from_bytes(&target));
                match inside(&from) {
                    Some(to) => Lies::Link(to),
                    None => continue,
                }
            }
            tar::EntryType::Link => {
                let target = entry.header().link_name_bytes().unwrap_or_default().into_owned();
                match inside(Path::new(OsStr::from_bytes(&target))) {
                    Some(to) => Lies::Link(to),
                    None => continue,
                }
            }
            _ => continue,
        };
        files.insert(path, lies);
    }
    Ok(files)
}

/// A path without `.` and `..`, if it stays inside.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !inside.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}
