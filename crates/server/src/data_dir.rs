//! The data directory: everything of one hangar, for one server at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hangar_protocol::{Refusal, RefusalCode};
use rustix::fs::{FlockOperation, flock};

/// Only the user who runs the server may look in.
const DIRECTORY_MODE: u32 = 0o700;
/// Likewise for the files the server makes here itself.
const FILE_MODE: u32 = 0o600;
/// Permission bits of others.
const OTHERS: u32 = 0o077;
/// A server does not start with less room than this.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// The file whose lock says that a server runs here.
const LOCK: &str = "hangar.lock";
/// Users, tokens, sign-in codes. A directory with this file is one that a server has used.
pub(crate) const DATABASE: &str = "hangar.db";
/// The sessions, a directory each, and their list.
pub(crate) const SESSIONS: &str = "sessions";
/// The embedded forge.
pub(crate) const FORGE: &str = "forge";
/// What the directory's owner sets.
pub(crate) const CONFIGURATION: &str = "hangar.toml";
/// Holds a backup while it is unpacked and checked.
pub(crate) const RESTORING: &str = "restoring";
/// What a new file system has: a directory with nothing else is empty.
const LOST_AND_FOUND: &str = "lost+found";
/// How often, and after which pauses, the lock is tried: a server that was killed leaves sandboxes that take a moment to end.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The locked directory. Dropping it lets the next server in.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be used, holds other things, is in use, or its disk is full.
    pub(crate) async fn open(root: &Path) -> Result<Self, Refusal> {
        make_private(root)?;
        let lock = lock(root).await?;
        must_not_be_half_restored(root)?;
        let data = Self { root: root.to_owned(), _lock: lock };
        data.must_have_room()?;
        for part in [SESSIONS, FORGE, "images", "clones", "run"] {
            make_private(&root.join(part))?;
        }
        Ok(data)
    }

    /// Users, tokens, sign-in codes.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    /// The sessions, a directory each.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.root.join(SESSIONS)
    }

    /// The embedded forge.
    pub(crate) fn forge(&self) -> PathBuf {
        self.root.join(FORGE)
    }

    /// Prepared clones; all of it can be made again.
    pub(crate) fn clones(&self) -> PathBuf {
        self.root.join("clones")
    }

    fn must_have_room(&self) -> Result<(), Refusal> {
        let disk = rustix::fs::statvfs(&self.root).map_err(|error| cannot(&self.root, &error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= FREE_BYTES_MIN {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::Unavailable,
            format!("The disk of {} has only {} MiB left.", self.root.display(), free / (1024 * 1024)),
            format!(
                "Free some space (at least {} MiB), or name another directory with --data.",
                FREE_BYTES_MIN / (1024 * 1024)
            ),
        ))
    }
}

/// An empty data directory, locked: no server starts on it. Whatever was announced with [`EmptyDir::will_hold`] is removed when it is dropped, unless
/// it is to be kept.
#[derive(Debug)]
pub(crate) struct EmptyDir {
    root: PathBuf,
    made: Made,
    ours: Vec<String>,
    _lock: File,
}

/// Whose a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    ByUs,
    Before,
}

impl EmptyDir {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be used, holds anything, or a server runs on it.
    pub(crate) fn claim(root: &Path) -> Result<Self, Refusal> {
        let made = if root.exists() { Made::Before } else { Made::ByUs };
        if made == Made::Before && !holds_nothing(root)? {
            must_be_free(root)?;
            return Err(not_empty(root));
        }
        make_private(root)?;
        let lock = lock_at_once(root)?;
        // Whoever came in between the look and the lock has the directory.
        if !holds_nothing(root)? {
            return Err(not_empty(root));
        }
        Ok(Self { root: root.to_owned(), made, ours: vec![LOCK.to_owned()], _lock: lock })
    }

    /// Announces an entry that will be made.
    pub(crate) fn will_hold(&mut self, name: &str) {
        self.ours.push(name.to_owned());
    }

    /// Keeps everything.
    pub(crate) fn keep(mut self) {
        self.ours.clear();
        self.made = Made::Before;
    }
}

impl Drop for EmptyDir {
    fn drop(&mut self) {
        // The lock goes last, so that nobody takes what is being removed for a data directory.
        for name in self.ours.iter().rev() {
            let path = self.root.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %path.display(), "it could not be removed");
            }
        }
        if self.made == Made::ByUs {
            // Somebody may have put something in.
            let _not_empty = fs::remove_dir(&self.root);
        }
    }
}

/// Refuses a directory that a server runs on, and makes no lock where there is none.
fn must_be_free(root: &Path) -> Result<(), Refusal> {
    match root.join(LOCK).exists() {
        true => try_lock(root, &lock_file(root)?),
        false => Ok(()),
    }
}

/// Whether there is nothing in a directory but what says nothing of its use.
fn holds_nothing(root: &Path) -> Result<bool, Refusal> {
    let mut entries = fs::read_dir(root).map_err(|error| cannot(root, &error))?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK || entry.file_name() == LOST_AND_FOUND)))
}

fn not_empty(root: &Path) -> Refusal {
    let (what, hint) = match root.join(RESTORING).exists() {
        true => ("holds what an interrupted restore left", "Remove everything in it and restore again."),
        false => ("is not empty", "Name an empty directory with --data, or one that does not exist yet."),
    };
    Refusal::new(RefusalCode::Conflict, format!("{} {what}.", root.display()), hint)
}

/// The refusal for a directory that no server has used.
pub(crate) fn not_a_data_directory(root: &Path) -> Refusal {
    Refusal::new(
        RefusalCode::NotFound,
        format!("{} is no data directory of hangar: it has no {DATABASE}.", root.display()),
        "Name the one that `hangar up` uses with --data DIR or HANGAR_DATA.",
    )
}

fn must_not_be_half_restored(root: &Path) -> Result<(), Refusal> {
    match root.join(RESTORING).exists() {
        true => Err(not_empty(root)),
        false => Ok(()),
    }
}

/// Makes a directory that only this user may look into. One that is there already must be empty or hangar's own: somebody
/// may have named the wrong one.
fn make_private(directory: &Path) -> Result<(), Refusal> {
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Err(Refusal::new(
            RefusalCode::Conflict,
            format!("{} is not a directory.", directory.display()),
            "Name another one with --data.",
        )),
        Ok(found) => {
            if found.permissions().mode() & OTHERS != 0 {
                must_be_ours(directory)?;
                let private = Permissions::from_mode(DIRECTORY_MODE);
                fs::set_permissions(directory, private).map_err(|error| cannot(directory, &error))?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|error| cannot(directory, &error)),
        Err(error) => Err(cannot(directory, &error)),
    }
}

fn must_be_ours(directory: &Path) -> Result<(), Refusal> {
    if holds_nothing(directory)? || directory.join(LOCK).exists() || directory.join(CONFIGURATION).exists() {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("{} holds other things, and others on this machine may look into it.", directory.display()),
        "Name an empty directory with --data, or one that does not exist yet.",
    ))
}

async fn lock(root: &Path) -> Result<File, Refusal> {
    let file = lock_file(root)?;
    for _try in 1..LOCK_TRIES {
        match try_lock(root, &file) {
            Err(refusal) if refusal.code == RefusalCode::Conflict => tokio::time::sleep(LOCK_PAUSE).await,
            tried => return tried.and_then(|()| sign(root, file)),
        }
    }
    try_lock(root, &file)?;
    sign(root, file)
}

/// Likewise, for whoever does not come after a server that was just killed.
fn lock_at_once(root: &Path) -> Result<File, Refusal> {
    let file = lock_file(root)?;
    try_lock(root, &file)?;
    sign(root, file)
}

/// The lock where no server has it; none starts while it is held. `None`: a server runs.
///
/// # Errors
/// When the directory cannot be used.
pub(crate) fn hold_unless_in_use(root: &Path) -> Result<Option<File>, Refusal> {
    let file = lock_file(root)?;
    match try_lock(root, &file) {
        Ok(()) => sign(root, file).map(Some),
        Err(refusal) if refusal.code == RefusalCode::Conflict => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn lock_file(root: &Path) -> Result<File, Refusal> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options.open(root.join(LOCK)).map_err(|error| cannot(root, &error))
}

fn try_lock(root: &Path, file: &File) -> Result<(), Refusal> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => in_use(root, &root.join(LOCK)),
        error => cannot(root, &error.into()),
    })
}

/// Writes into the lock who holds it.
fn sign(root: &Path, mut file: File) -> Result<File, Refusal> {
    let id = std::process::id();
    let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
    written.map_err(|error| cannot(root, &error))?;
    Ok(file)
}

fn in_use(root: &Path, lock: &Path) -> Refusal {
    let holder = fs::read_to_string(lock).unwrap_or_default();
    let holder = match holder.trim() {
        "" => String::new(),
        id => format!(" (process {id})"),
    };
    Refusal::new(
        RefusalCode::Conflict,
        format!("Another hangar{holder} is using {}.", root.display()),
        "Use that one, stop it first, or name another directory with --data.",
    )
}

fn cannot(directory: &Path, error: &io::Error) -> Refusal {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "Free some space, or name a directory on another disk with --data.",
        _ => "Name a directory this user may write to with --data DIR or HANGAR_DATA.",
    };
    Refusal::new(RefusalCode::Unavailable, format!("{} cannot be used: {error}.", directory.display()), hint)
}
