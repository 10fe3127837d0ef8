//! What a layer's id is made of.
//!
//! The SHA-256 of a text that names everything in the tree, in the order of `walk.rs`. For each thing: its path, its type, its mode, its owner and group as
//! a sandbox sees them, its time of change, its extended attributes, and
//! * for a file its size and the SHA-256 of its content (holes count as zeros),
//! * for a symbolic link its target,
//! * for a second name of a file the path of the first, and nothing else,
//! * for a whiteout nothing else.
//!
//! Times belong to it although the content does not depend on them: build tools decide by them what to build again, and a layer that stands in for another must
//! lead to the same decision. The tree's own directory has no time: it changes when a layer is moved. Every part is preceded by its length, so no two trees have
//! the same text.

use std::{
    collections::HashMap,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::fs::Stat;
use sha2::{Digest, Sha256};

use super::{
    beneath,
    content::{self, Fate, Thing},
    error::LayerError,
    owners::{Owners, Who},
    walk::{Seen, walk},
};

/// Files hashed at once. More would take the disk and the processors from sandboxes for no gain.
const HASHERS_MAX: usize = 4;
/// Fewer files than this are hashed by one thread.
const FILES_PER_HASHER_MIN: usize = 32;
/// Read at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// What was found in a tree.
pub(super) struct Digested {
    pub digest: [u8; 32],
    pub files: u64,
    pub bytes: u64,
    pub disk_bytes: u64,
}

/// Hashes a tree that holds only what a layer may hold; anything else is an error.
pub(super) fn digest(root: &OwnedFd, owners: Owners) -> Result<Digested, LayerError> {
    let mut listed = list(root, owners)?;
    hash_contents(root, &listed.contents)?;
    let mut whole = Sha256::new();
    part(&mut whole, b"hangar layer 1");
    for line in listed.lines {
        whole.update(&line.text);
        if let Some(content) = line.content {
            let content = &listed.contents[content];
            // Every content was hashed, or hash_contents had failed.
            whole.update(content.hash.get().copied().unwrap_or_default());
        }
    }
    listed.found.digest = whole.finalize().into();
    Ok(listed.found)
}

/// Everything but the content of files.
struct List {
    lines: Vec<Line>,
    contents: Vec<Content>,
    found: Digested,
}

struct Line {
    text: Vec<u8>,
    /// Which content's hash follows.
    content: Option<usize>,
}

struct Content {
    path: PathBuf,
    stat: Stat,
    hash: OnceLock<[u8; 32]>,
}

fn list(root: &OwnedFd, owners: Owners) -> Result<List, LayerError> {
    let mut list = List {
        lines: Vec::new(),
        contents: Vec::new(),
        found: Digested { digest: [0; 32], files: 0, bytes: 0, disk_bytes: 0 },
    };
    // For files with several names: the first name, and how many are still to come.
    let mut names: HashMap<u64, (PathBuf, u64)> = HashMap::new();
    walk(root, &mut |seen| {
        list.found.files += u64::from(!seen.is_root());
        let mut line = Line { text: Vec::new(), content: None };
        part(&mut line.text, seen.path.as_os_str().as_bytes());
        if let (Thing::File | Thing::Symlink | Thing::Pipe, 2..) = (&seen.thing, content::names(&seen.stat)) {
            if let Some((first, missing)) = names.get_mut(&seen.stat.st_ino) {
                *missing = missing.saturating_sub(1);
                part(&mut line.text, b"link");
                part(&mut line.text, first.as_os_str().as_bytes());
                list.lines.push(line);
                return Ok(());
            }
            names.insert(seen.stat.st_ino, (seen.path.to_owned(), content::names(&seen.stat) - 1));
        }
        describe(seen, owners, &mut line.text)?;
        list.found.disk_bytes += seen.stat.st_blocks.unsigned_abs() * 512;
        match seen.thing {
            Thing::File => {
                list.found.bytes += seen.stat.st_size.unsigned_abs();
                line.content = Some(list.contents.len());
                list.contents.push(Content { path: seen.path.to_owned(), stat: seen.stat, hash: OnceLock::new() });
            }
            Thing::Directory | Thing::Symlink | Thing::Pipe | Thing::Whiteout | Thing::Socket | Thing::Device => {}
        }
        list.lines.push(line);
        Ok(())
    })?;
    match names.values().find(|(_, missing)| *missing > 0) {
        Some((path, _)) => Err(LayerError::refused(path, "the file has another name outside of the tree")),
        None => Ok(list),
    }
}

/// Appends what there is to say about one thing, but for a file's content.
fn describe(seen: &Seen<'_>, owners: Owners, text: &mut Vec<u8>) -> Result<(), LayerError> {
    let kind: &[u8] = match seen.thing {
        Thing::Directory => b"directory",
        Thing::File => b"file",
        Thing::Symlink => b"symlink",
        Thing::Pipe => b"pipe",
        Thing::Whiteout => {
            part(text, b"whiteout");
            return Ok(());
        }
        Thing::Socket => return Err(LayerError::refused(seen.path, "it is a socket")),
        Thing::Device => return Err(LayerError::refused(seen.path, "it is a device file")),
    };
    part(text, kind);
    let mode = seen.stat.st_mode & 0o7777;
    if let (Thing::File, true) = (&seen.thing, mode & content::SET_ID_BITS != 0) {
        return Err(LayerError::refused(seen.path, "it has a set-user-id or set-group-id bit"));
    }
    let host = || LayerError::refused(seen.path, "it belongs to a user or group of the host");
    let owner = owners.inside(Who::User, seen.stat.st_uid).ok_or_else(host)?;
    let group = owners.inside(Who::Group, seen.stat.st_gid).ok_or_else(host)?;
    for number in [mode, owner, group] {
        text.extend_from_slice(&number.to_le_bytes());
    }
    if !seen.is_root() {
        text.extend_from_slice(&seen.stat.st_mtime.to_le_bytes());
        text.extend_from_slice(&seen.stat.st_mtime_nsec.to_le_bytes());
    }
    describe_attributes(seen, owners, text)?;
    match seen.thing {
        Thing::Symlink => {
            let target = rustix::fs::readlinkat(seen.parent, seen.name, Vec::new());
            part(text, target.map_err(LayerError::at("read", seen.path))?.as_bytes());
        }
        Thing::File => text.extend_from_slice(&seen.stat.st_size.to_le_bytes()),
        Thing::Directory | Thing::Pipe | Thing::Whiteout | Thing::Socket | Thing::Device => {}
    }
    Ok(())
}

fn describe_attributes(seen: &Seen<'_>, owners: Owners, text: &mut Vec<u8>) -> Result<(), LayerError> {
    let read = || LayerError::at("read the attributes of", seen.path);
    let mut kept = Vec::new();
    for name in beneath::attribute_names(seen.parent, seen.name).map_err(read())? {
        let fate = content::fate(&name, owners);
        match fate {
            Fate::Ignore => continue,
            Fate::Clean => return Err(LayerError::refused(seen.path, "it has an attribute that layers do not have")),
            Fate::Refuse(why) => return Err(LayerError::refused(seen.path, why)),
            Fate::Keep | Fate::KeepIds | Fate::Opaque | Fate::Redirect => {}
        }
        let value = beneath::attribute(seen.parent, seen.name, &name).map_err(read())?.unwrap_or_default();
        let foreign = || LayerError::refused(seen.path, "its access control list names a user or group of the host");
        let odd = || LayerError::refused(seen.path, "it has a note of an overlay that hangar does not make");
        kept.push(match fate {
            // The same name for both kinds of overlay, so that an id does not depend on who runs hangar.
            Fate::Opaque if value == content::OPAQUE => (c"overlay.opaque".to_owned(), value),
            Fate::Opaque => return Err(odd()),
            Fate::Redirect => (c"overlay.redirect".to_owned(), value),
            Fate::KeepIds => (name, content::list_as_inside(&value, owners).ok_or_else(foreign)?),
            Fate::Keep | Fate::Clean | Fate::Ignore | Fate::Refuse(_) => (name, value),
        });
    }
    kept.sort_unstable();
    text.extend_from_slice(&(kept.len() as u64).to_le_bytes());
    for (name, value) in kept {
        part(text, name.to_bytes());
        part(text, &value);
    }
    Ok(())
}

/// Fills in the hashes, on as many threads as are worth it.
fn hash_contents(root: &OwnedFd, contents: &[Content]) -> Result<(), LayerError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let hashers = (contents.len() / FILES_PER_HASHER_MIN).clamp(1, processors.min(HASHERS_MAX));
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), LayerError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Some(content) = contents.get(next.fetch_add(1, Ordering::Relaxed)) {
            let hash = hash_content(root, content, &mut buffer)?;
            // Nobody else has this index.
            let _ = content.hash.set(hash);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..hashers).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for other in others {
            let ended =
                other.join().unwrap_or_else(|_| Err(LayerError::io("hash")(std::io::Error::other("a thread died"))));
            result = result.and(ended);
        }
        result
    })
}

fn hash_content(root: &OwnedFd, content: &Content, buffer: &mut [u8]) -> Result<[u8; 32], LayerError> {
    let path = &content.path;
    let mut file = beneath::file(root, path.as_path()).map_err(LayerError::at("open", path))?;
    let mut hash = Sha256::new();
    loop {
        let count = file.read(buffer).map_err(LayerError::at("read", path))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let now = rustix::fs::fstat(&file).map_err(LayerError::at("look at", path))?;
    if moment(&now) == moment(&content.stat) {
        Ok(hash.finalize().into())
    } else {
        Err(LayerError::Changed(path.clone()))
    }
}

/// What changes when a file does.
fn moment(stat: &Stat) -> (u64, i64, i64, u64) {
    // The types of nanoseconds differ between architectures.
    #[allow(clippy::unnecessary_cast, reason = "not the same type everywhere")]
    (stat.st_ino, stat.st_size, stat.st_ctime as i64, stat.st_ctime_nsec as u64)
}

/// A cheap digest of everything that changes when anybody touches a file: names, inodes, sizes, owners, modes and times of change.
/// It fits one disk only.
pub(super) fn witness(root: &OwnedFd) -> Result<String, LayerError> {
    let mut whole = Sha256::new();
    walk(root, &mut |seen: &Seen<'_>| {
        part(&mut whole, seen.path.as_os_str().as_bytes());
        let stat = &seen.stat;
        if let Thing::Whiteout = seen.thing {
            // The overlay makes all of them names of one file, whose times tell nothing.
            whole.update(b"whiteout");
            return Ok(());
        }
        for number in [stat.st_mode, stat.st_uid, stat.st_gid] {
            whole.update(number.to_le_bytes());
        }
        if seen.is_root() {
            // Moving the tree changes the time of its own directory.
            return Ok(());
        }
        let (inode, size, seconds, nanoseconds) = moment(stat);
        whole.update(inode.to_le_bytes());
        whole.update(size.to_le_bytes());
        whole.update(seconds.to_le_bytes());
        whole.update(nanoseconds.to_le_bytes());
        Ok(())
    })?;
    Ok(super::id::hex(&whole.finalize()))
}

/// Something that takes bytes.
trait Take {
    fn take(&mut self, bytes: &[u8]);
}

impl Take for Sha256 {
    fn take(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Take for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Bytes preceded by their number.
fn part(to: &mut impl Take, bytes: &[u8]) {
    to.take(&(bytes.len() as u64).to_le_bytes());
    to.take(bytes);
}
