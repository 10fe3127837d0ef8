//! Paths inside a layer.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::oci::limits::{DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};

/// How layers of images say that something of a lower layer is gone.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// How they say that all of a directory of lower layers is gone.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// A path below a layer's root: no `..`, no absolute path, no reserved name, within limits. Empty for the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InsidePath(PathBuf);

/// What an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A file, directory or link.
    Path(InsidePath),
    /// This path of lower layers is gone.
    Whiteout(InsidePath),
    /// Everything that lower layers have in this directory is gone.
    Opaque(InsidePath),
    /// Book-keeping of a union file system of old; means nothing.
    Nothing,
}

impl InsidePath {
    /// Checks a path as an archive has it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > PATH_BYTES_MAX {
            return Err("has too long a path");
        }
        if bytes.contains(&0) {
            return Err("has a path with a zero byte");
        }
        if bytes.first() == Some(&b'/') {
            return Err("has an absolute path");
        }
        let mut path = PathBuf::new();
        let mut depth = 0;
        for name in bytes.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err("leads upwards out of its directory"),
                name if name.len() > NAME_BYTES_MAX => return Err("has too long a name"),
                name => path.push(OsStr::from_bytes(name)),
            }
            depth += 1;
        }
        if depth > DEPTH_MAX {
            return Err("lies too deep");
        }
        Ok(Self(path))
    }

    /// The directory it is in, and its name there. `None` for the root.
    pub(crate) fn split(&self) -> Option<(Self, OsString)> {
        let name = self.0.file_name()?.to_owned();
        Some((Self(self.0.parent().map(Path::to_owned).unwrap_or_default()), name))
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    fn join(&self, name: &[u8]) -> Self {
        Self(self.0.join(OsStr::from_bytes(name)))
    }
}

impl Named {
    /// Reads an entry's name.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let path = InsidePath::parse(bytes)?;
        let Some((parent, name)) = path.split() else { return Ok(Self::Path(path)) };
        if parent.0.iter().any(|name| name.as_bytes().starts_with(WHITEOUT)) {
            return Err("lies in a directory with a name that is reserved for what is gone");
        }
        let name = name.into_vec();
        let Some(gone) = name.strip_prefix(WHITEOUT) else { return Ok(Self::Path(path)) };
        if name == OPAQUE {
            return if parent.is_root() { Err("hides the whole root") } else { Ok(Self::Opaque(parent)) };
        }
        match gone {
            b"" | b"." | b".." => Err("names nothing that could be gone"),
            gone if gone.starts_with(WHITEOUT) => Ok(Self::Nothing),
            gone => Ok(Self::Whiteout(parent.join(gone))),
        }
    }
}
