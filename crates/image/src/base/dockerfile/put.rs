//! Puts files into a new layer on top of a stack.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::{
    base::{
        BaseError,
        dockerfile::pick::{From, Picked, Root, Thing},
    },
    oci::{
        Limits, Owners,
        layer::merged::{Lies, Merged},
    },
};

/// The time of what is copied (1 January 2025): that of a checkout says only when it was checked out.
const MTIME_SECONDS: i64 = 1_735_689_600;

/// Whose the files become, and what may be done with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub uid: u32,
    pub gid: u32,
    pub mode: Option<u32>,
}

/// A layer that is being filled. Its tree is made here and by nobody else, and every path in it was resolved in the stack below, so plain paths do no harm.
pub(super) struct Put<'a> {
    tree: PathBuf,
    below: &'a Merged,
    owners: Owners,
    limits: Limits,
    bytes: u64,
    files: u64,
}

impl<'a> Put<'a> {
    pub(super) fn new(tree: &Path, below: &'a Merged, owners: Owners, limits: Limits) -> Result<Self, BaseError> {
        fs::create_dir(tree).map_err(BaseError::host(tree))?;
        let put = Self { tree: tree.to_owned(), below, owners, limits, bytes: 0, files: 0 };
        put.look(Path::new(""), put.look_below(Path::new(""))?)?;
        Ok(put)
    }

    /// Makes a directory and those it is in, unless they are there. Links of the stack are followed; the path without them comes back.
    pub(super) fn directory(&self, path: &Path, new: Given) -> Result<PathBuf, BaseError> {
        let led = self.below.follow(path).map_err(BaseError::host(path))?;
        if led.lies.as_ref().is_some_and(|lies| !lies.is_directory()) {
            return Err(BaseError::unfit(
                format!("`/{}` is a file, not a directory", led.path.display()),
                "write another path",
            ));
        }
        let mut so_far = PathBuf::new();
        for name in &led.path {
            so_far.push(name);
            let at = self.tree.join(&so_far);
            match fs::symlink_metadata(&at) {
                Ok(meta) if meta.is_dir() => continue,
                // Copied a moment ago; following it would lead anywhere.
                Ok(_) => {
                    let what = format!("`/{}` is copied as a link or file and as a directory", so_far.display());
                    return Err(BaseError::unfit(what, "copy one of them"));
                }
                Err(_) => {}
            }
            fs::create_dir(&at).map_err(BaseError::host(&so_far))?;
            let look = self.look_below(&so_far)?.unwrap_or((new.mode.unwrap_or(0o755) | 0o111, new.uid, new.gid));
            self.look(&so_far, Some(look))?;
        }
        Ok(led.path)
    }

    /// How a directory looks in the stack, if it is there.
    fn look_below(&self, path: &Path) -> Result<Option<(u32, u32, u32)>, BaseError> {
        let led = self.below.follow(path).map_err(BaseError::host(path))?;
        let Some(Lies::Directory(directory)) = led.lies else { return Ok(None) };
        let Ok(stat) = self.below.stat(&directory) else { return Ok(None) };
        Ok(Some((stat.st_mode & 0o7777, self.owners.inside(stat.st_uid), self.owners.inside(stat.st_gid))))
    }

    fn look(&self, path: &Path, look: Option<(u32, u32, u32)>) -> Result<(), BaseError> {
        let (mode, uid, gid) = look.unwrap_or((0o755, 0, 0));
        let at = self.tree.join(path);
        let set = || -> io::Result<()> {
            if let Some((uid, gid)) = self.owners.on_disk(uid, gid) {
                chown(&at, Some(uid), Some(gid))?;
            }
            fs::set_permissions(&at, fs::Permissions::from_mode(self.owners.directory_mode(mode)))
        };
        set().map_err(BaseError::host(path))
    }

    /// Copies what was named to a path, as `COPY` does: into it when it is a directory or ends in a slash.
    pub(super) fn copy(&mut self, from: &From<'_>, roots: &[Root], to: &str, given: Given) -> Result<(), BaseError> {
        let led = self.below.follow(Path::new(to)).map_err(BaseError::host(to))?;
        let into = to.ends_with('/')
            || to.ends_with("/.")
            || led.lies.as_ref().is_some_and(Lies::is_directory)
            || led.path.as_os_str().is_empty();
        if !into && roots.len() > 1 {
            return Err(BaseError::unfit(
                format!("several things cannot be copied to one file `{to}`"),
                "let the path end in a slash",
            ));
        }
        for root in roots {
            let base = match (root.is_directory(), into) {
                (true, _) => self.directory(Path::new(to), given)?,
                (false, true) => self.directory(Path::new(to), given)?.join(root.name()),
                (false, false) => {
                    let parent = led.path.parent().unwrap_or(Path::new(""));
                    self.directory(parent, given)?.join(led.path.file_name().unwrap_or(OsStr::new("")))
                }
            };
            from.each(root, &mut |picked| self.put(&base, picked, given))?;
        }
        Ok(())
    }

    fn put(&mut self, base: &Path, picked: Picked<'_>, given: Given) -> Result<(), BaseError> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(match &picked.thing {
            Thing::File(_) => picked.stat.st_size.unsigned_abs(),
            Thing::Directory | Thing::Symlink(_) => 0,
        });
        if self.files > self.limits.files || self.bytes > self.limits.bytes {
            return Err(BaseError::unfit(
                "more is copied than an image may have",
                "leave something out with `.dockerignore`",
            ));
        }
        let to = if picked.inside.as_os_str().is_empty() { base.to_owned() } else { base.join(picked.inside) };
        let mode = given.mode.unwrap_or(picked.stat.st_mode & 0o777);
        if let Thing::Directory = picked.thing {
            let new = Given { mode: Some(picked.stat.st_mode & 0o777 | 0o700), ..given };
            return self.directory(&to, new).map(drop);
        }
        let parent = self.directory(to.parent().unwrap_or(Path::new("")), Given { mode: None, ..given })?;
        let path = parent.join(to.file_name().unwrap_or_default());
        let there = self.below.follow(&parent).map_err(BaseError::host(&path))?;
        if let Some(Lies::Directory(directory)) = &there.lies
            && let Ok(Some(Lies::Directory(_))) = self.below.lookup(directory, path.file_name().unwrap_or_default())
        {
            return Err(BaseError::unfit(
                format!("`/{}` is a directory, over which no file can be copied", path.display()),
                "write another path",
            ));
        }
        let at = self.tree.join(&path);
        let write = || -> io::Result<()> {
            match fs::symlink_metadata(&at) {
                Ok(meta) if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(_) => fs::remove_file(&at)?,
                Err(_) => {}
            }
            match picked.thing {
                Thing::File(mut file) => {
                    let mut to = fs::File::options().write(true).create_new(true).open(&at)?;
                    io::copy(&mut file, &mut to)?;
                    if let Some((uid, gid)) = self.owners.on_disk(given.uid, given.gid) {
                        chown(&at, Some(uid), Some(gid))?;
                    }
                    fs::set_permissions(&at, fs::Permissions::from_mode(self.owners.file_mode(mode)))?;
                    let time = UNIX_EPOCH + Duration::from_secs(MTIME_SECONDS.unsigned_abs());
                    to.set_modified(SystemTime::min(time, SystemTime::now()))
                }
                Thing::Symlink(target) => {
                    symlink(target, &at)?;
                    if let Some((uid, gid)) = self.owners.on_disk(given.uid, given.gid) {
                        lchown(&at, Some(uid), Some(gid))?;
                    }
                    Ok(utimensat(CWD, &at, &dated(), AtFlags::SYMLINK_NOFOLLOW)?)
                }
                Thing::Directory => Ok(()),
            }
        };
        write().map_err(BaseError::host(&path))
    }

    /// Dates every directory, after all that is in them, so that the same files make the same layer.
    pub(super) fn finish(self) -> Result<PathBuf, BaseError> {
        date(&self.tree).map_err(BaseError::host(&self.tree))?;
        Ok(self.tree)
    }
}

fn dated() -> Timestamps {
    let time = Timespec { tv_sec: MTIME_SECONDS, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn date(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            date(&entry.path())?;
        }
    }
    Ok(utimensat(CWD, directory, &dated(), AtFlags::SYMLINK_NOFOLLOW)?)
}
