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
        let data = Self { root: root.to_owned(), _lock: lock };
        data.must_have_room()?;
        for part in ["sessions", "forge", "images", "clones", "run"] {
            make_private(&root.join(part))?;
        }
        Ok(data)
    }

    /// Users, tokens, sign-in codes.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("hangar.db")
    }

    /// The sessions, a directory each.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    /// The embedded forge.
    pub(crate) fn forge(&self) -> PathBuf {
        self.root.join("forge")
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
    let mut entries = fs::read_dir(directory).map_err(|error| cannot(directory, &error))?;
    if entries.next().is_none() || directory.join(LOCK).exists() || directory.join("hangar.toml").exists() {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("{} holds other things, and others on this machine may look into it.", directory.display()),
        "Name an empty directory with --data, or one that does not exist yet.",
    ))
}

async fn lock(root: &Path) -> Result<File, Refusal> {
    let path = root.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let mut file = options.open(&path).map_err(|error| cannot(root, &error))?;
    for attempt in 1.. {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if attempt < LOCK_TRIES => tokio::time::sleep(LOCK_PAUSE).await,
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(root, &path)),
            Err(error) => return Err(cannot(root, &error.into())),
        }
    }
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
