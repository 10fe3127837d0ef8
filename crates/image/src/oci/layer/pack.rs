//! From a tree to a tar stream: the same bytes for the same tree, always.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, openat, readlinkat, statat},
    io::Errno,
};
use tar::{Builder, EntryType, Header};

use crate::oci::{
    Error,
    layer::{
        Owners,
        path::{OPAQUE, WHITEOUT},
        place::{beneath, is_whiteout},
        records::XATTR_RECORD,
    },
    limits::{DEPTH_MAX, XATTR_BYTES_MAX},
};

/// Longest name a header of its own can hold, in bytes; a longer one is said in a record ahead of it.
const HEADER_NAME_BYTES: usize = 100;
/// Why a directory cannot be written that overlayfs notes to have been elsewhere.
pub(crate) const RENAMED: &str =
    "was renamed together with what lower layers have in it, which no image can say; squash the image's layers first";
/// Largest file a header can describe, in bytes.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024 - 1;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Files, directories, links, and marks of what is gone.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes a layer's tree as the uncompressed stream that images have. Blocks.
///
/// Names are in byte order; owners are numbers as inside; times are the files' own. What overlayfs marks as gone is marked as images do.
///
/// # Errors
/// When the tree cannot be read, or has something no image can say.
pub fn pack(tree: &Path, owners: Owners, to: &mut dyn Write) -> Result<Packed, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, tree, flags, Mode::empty()).map_err(Error::host(tree))?;
    let mut pack = Pack { owners, to: Builder::new(to), links: HashMap::new(), done: Packed::default() };
    let stat = fstat(&root).map_err(Error::host(tree))?;
    pack.write(Path::new("."), EntryType::Directory, &stat, &[], pack_xattrs(owners, &root)?, &mut io::empty())?;
    pack.directory(&root, Path::new(""), 0)?;
    pack.to.finish().map_err(Error::stream("write a layer"))?;
    Ok(pack.done)
}

struct Pack<'a> {
    owners: Owners,
    to: Builder<&'a mut dyn Write>,
    /// Files with several names: where the first one was written.
    links: HashMap<(u64, u64), PathBuf>,
    done: Packed,
}

impl Pack<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::NotExportable { path: path.into(), reason: "lies too deep for an image" });
        }
        let failed = |errno: Errno| Error::host(path)(errno);
        let mut names: Vec<OsString> = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort();
        for name in names {
            self.entry(directory, &name, &path.join(&name), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, directory: &OwnedFd, name: &OsStr, path: &Path, depth: usize) -> Result<(), Error> {
        let failed = |errno: Errno| Error::host(path)(errno);
        if name.as_bytes().starts_with(WHITEOUT) {
            let reason = "has a name that means something else in an image; rename it and take a snapshot again";
            return Err(Error::NotExportable { path: path.into(), reason });
        }
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if is_whiteout(&stat) {
            let mut gone = OsString::from_vec(WHITEOUT.to_vec());
            gone.push(name);
            return self.mark(&path.with_file_name(gone));
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_dir() && stat.st_nlink > 1 {
            // Inode numbers fit however wide the platform has them.
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode).cloned() {
                return self.write(
                    path,
                    EntryType::Link,
                    &stat,
                    first.as_os_str().as_bytes(),
                    Xattrs::new(),
                    &mut io::empty(),
                );
            }
            self.links.insert(inode, path.to_owned());
        }
        match kind {
            FileType::Directory => {
                let below = beneath(directory, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
                let overlay = overlay_marks(self.owners, &below, path)?;
                self.write(
                    path,
                    EntryType::Directory,
                    &stat,
                    &[],
                    pack_xattrs(self.owners, &below)?,
                    &mut io::empty(),
                )?;
                if overlay {
                    self.mark(&path.join(OsStr::from_bytes(OPAQUE)))?;
                }
                self.directory(&below, path, depth + 1)
            }
            FileType::RegularFile => {
                let file = beneath(directory, Path::new(name), OFlags::RDONLY).map_err(failed)?;
                overlay_marks(self.owners, &file, path)?;
                let stat = fstat(&file).map_err(failed)?;
                let xattrs = pack_xattrs(self.owners, &file)?;
                let bytes = stat.st_size.unsigned_abs();
                if bytes > FILE_BYTES_MAX {
                    return Err(Error::NotExportable { path: path.into(), reason: "is larger than 8 GiB" });
                }
                self.done.bytes += bytes;
                // A file that shrinks meanwhile would shift all that follows.
                let mut content = File::from(file).take(bytes).chain(io::repeat(0)).take(bytes);
                self.write(path, EntryType::Regular, &stat, &[], xattrs, &mut content)
            }
            FileType::Symlink => {
                let target = readlinkat(directory, name, Vec::new()).map_err(failed)?;
                self.write(path, EntryType::Symlink, &stat, target.as_bytes(), Xattrs::new(), &mut io::empty())
            }
            FileType::Fifo => self.write(path, EntryType::Fifo, &stat, &[], Xattrs::new(), &mut io::empty()),
            // A socket means nothing without the process that listens.
            FileType::Socket => Ok(()),
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
                Err(Error::NotExportable { path: path.into(), reason: "is a device file, which no layer should have" })
            }
        }
    }

    /// A mark about lower layers.
    fn mark(&mut self, path: &Path) -> Result<(), Error> {
        let mut header = header(EntryType::Regular);
        header.set_mode(0);
        header.set_size(0);
        self.append(path, header, &[], Xattrs::new(), &mut io::empty())
    }

    fn write(
        &mut self,
        path: &Path,
        kind: EntryType,
        stat: &Stat,
        target: &[u8],
        mut records: Xattrs,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let mut header = header(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(u64::from(self.owners.inside(stat.st_uid)));
        header.set_gid(u64::from(self.owners.inside(stat.st_gid)));
        header.set_size(if kind == EntryType::Regular { stat.st_size.unsigned_abs() } else { 0 });
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        header.set_mtime(seconds);
        if stat.st_mtime_nsec != 0 && kind != EntryType::Link {
            let fraction = format!("{seconds}.{:09}", stat.st_mtime_nsec);
            records.insert("mtime".into(), fraction.into_bytes());
        }
        self.append(path, header, target, records, content)
    }

    fn append(
        &mut self,
        path: &Path,
        mut header: Header,
        target: &[u8],
        mut records: Xattrs,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let mut name = path.as_os_str().as_bytes().to_vec();
        if header.entry_type() == EntryType::Directory {
            name.push(b'/');
        }
        let old = header.as_old_mut();
        for (key, text, field) in [("path", name.as_slice(), &mut old.name), ("linkpath", target, &mut old.linkname)] {
            for (to, from) in field.iter_mut().zip(text) {
                *to = *from;
            }
            if text.len() > HEADER_NAME_BYTES {
                records.insert(key.into(), text.to_vec());
            }
        }
        header.set_cksum();
        let failed = || Error::stream("write a layer");
        if !records.is_empty() {
            let said = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.to.append_pax_extensions(said).map_err(failed())?;
        }
        self.done.entries += 1;
        self.to.append(&header, content).map_err(failed())
    }
}

fn header(kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// What is said ahead of an entry, in order.
type Xattrs = BTreeMap<String, Vec<u8>>;

fn pack_xattrs(owners: Owners, file: &OwnedFd) -> Result<Xattrs, Error> {
    let mut records = Xattrs::new();
    for name in names(file)? {
        let value = value(file, &name)?;
        if let Some(value) = owners.xattr_out(&name, &value) {
            records.insert(format!("{XATTR_RECORD}{name}"), value.into_owned());
        }
    }
    Ok(records)
}

/// Whether a directory hides those below. Other marks of overlayfs cannot be said in an image.
fn overlay_marks(owners: Owners, file: &OwnedFd, path: &Path) -> Result<bool, Error> {
    let mut opaque = false;
    for name in names(file)? {
        let Some(mark) = name.strip_prefix("trusted.overlay.").or_else(|| name.strip_prefix("user.overlay.")) else {
            continue;
        };
        match mark {
            "opaque" => opaque |= name == owners.opaque() && value(file, &name)? == b"y",
            "redirect" | "metacopy" => {
                return Err(Error::NotExportable { path: path.into(), reason: RENAMED });
            }
            // Origin, impure, nlink, uuid: how overlayfs numbers inodes. It finds out anew.
            _ => {}
        }
    }
    Ok(opaque)
}

fn names(file: &OwnedFd) -> Result<Vec<String>, Error> {
    let mut buffer = vec![0; XATTR_BYTES_MAX];
    let length = match flistxattr(file, &mut buffer) {
        Err(Errno::NOTSUP) => 0,
        other => other.map_err(Error::stream("read extended attributes"))?,
    };
    let listed = buffer.get(..length).unwrap_or_default();
    Ok(listed
        .split(|byte| *byte == 0)
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .filter(|name| !name.is_empty())
        .collect())
}

fn value(file: &OwnedFd, name: &str) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0; XATTR_BYTES_MAX];
    let length = fgetxattr(file, name, &mut buffer).map_err(Error::stream("read an extended attribute"))?;
    buffer.truncate(length);
    Ok(buffer)
}
