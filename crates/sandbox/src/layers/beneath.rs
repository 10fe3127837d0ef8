//! Touching trees that a sandbox has filled.
//!
//! Every name is looked up with `openat2` beneath a directory that is already open; links, magic links and mount points are refused by the kernel. What the system
//! only offers for paths (extended attributes of things that cannot be opened) goes through `/proc/self/fd/<directory>/<one name>` with calls that do not follow
//! the last name.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use rustix::{
    buffer::spare_capacity,
    fs::{
        AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, Stat, XattrFlags, lgetxattr, llistxattr, lremovexattr,
        lsetxattr, openat2, statat,
    },
    path::Arg,
};

/// Bytes of all names of one thing's extended attributes, and of one value (the kernel's own limits).
const ATTRIBUTE_BYTES_MAX: usize = 65_536;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Opens a tree of the host's by its path. Only the last name must not be a link: what leads there is the host's own.
pub(super) fn root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?)
}

pub(super) fn directory(at: impl AsFd, path: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat2(at, path, flags, Mode::empty(), RESOLVE)?)
}

/// Opens a regular file for reading; anything else fails, and nothing else is waited for.
pub(super) fn file(at: impl AsFd, path: impl Arg) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat2(at, path, flags, Mode::empty(), RESOLVE)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
}

/// Makes a file that was not there.
pub(super) fn new_file(at: impl AsFd, name: impl Arg) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat2(at, name, flags, Mode::from_raw_mode(0o600), RESOLVE)?))
}

pub(super) fn stat(at: impl AsFd, name: &CStr) -> io::Result<Stat> {
    Ok(statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Names in a directory, sorted by their bytes.
pub(super) fn names(directory: impl AsFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A path to one name below an open directory, for calls that know no directories.
fn by_descriptor(at: impl AsFd, name: &CStr) -> io::Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", at.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    CString::new(path).map_err(io::Error::other)
}

/// Names of the extended attributes of something, sorted.
pub(super) fn attribute_names(at: impl AsFd, name: &CStr) -> io::Result<Vec<CString>> {
    let path = by_descriptor(at, name)?;
    let mut list = Vec::with_capacity(256);
    loop {
        list.clear();
        match llistxattr(&path, spare_capacity(&mut list)) {
            Ok(_) => break,
            Err(rustix::io::Errno::RANGE) if list.capacity() < ATTRIBUTE_BYTES_MAX => {
                list = Vec::with_capacity(ATTRIBUTE_BYTES_MAX);
            }
            Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
    let mut names: Vec<CString> = list
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CString::from_vec_with_nul(name.to_vec()).ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The value of an extended attribute, where there is one.
pub(super) fn attribute(at: impl AsFd, name: &CStr, attribute: &CStr) -> io::Result<Option<Vec<u8>>> {
    let path = by_descriptor(at, name)?;
    let mut value = Vec::with_capacity(256);
    loop {
        value.clear();
        match lgetxattr(&path, attribute, spare_capacity(&mut value)) {
            Ok(_) => return Ok(Some(value)),
            Err(rustix::io::Errno::RANGE) if value.capacity() < ATTRIBUTE_BYTES_MAX => {
                value = Vec::with_capacity(ATTRIBUTE_BYTES_MAX);
            }
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn set_attribute(at: impl AsFd, name: &CStr, attribute: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(lsetxattr(&by_descriptor(at, name)?, attribute, value, XattrFlags::empty())?)
}

pub(super) fn remove_attribute(at: impl AsFd, name: &CStr, attribute: &CStr) -> io::Result<()> {
    match lremovexattr(&by_descriptor(at, name)?, attribute) {
        Ok(()) | Err(rustix::io::Errno::NODATA) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
