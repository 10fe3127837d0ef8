//! Tells which files change below a directory, as far as git would care.
//!
//! inotify watches single directories, so a watch is set on every directory that is not ignored, and on each new one as it
//! appears. What happens in a directory before its watch stands is made good by listing it.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use hangar_protocol::guest::{
    CHANGES_MAX, CHANGES_WINDOW_MS, ExchangeId, Failure, FileChange, Reply, WATCHED_DIRS_MAX, reply::Change,
};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::inotify::{self, ReadFlags, WatchFlags},
};

use crate::{
    files::{UNFINISHED_PREFIX, failure, resolve},
    wire::Writer,
};

/// Ends a watch from another thread.
pub(crate) struct Ender {
    ended: AtomicBool,
    wake: OwnedFd,
}

impl Ender {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { ended: AtomicBool::new(false), wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        // Fails only when the counter is full, and then the thread is awake anyway.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// Watches until it is ended.
pub(crate) fn run(path: &str, id: ExchangeId, writer: &Writer, ender: &Ender) -> Result<(), Failure> {
    let wrap = |error: io::Error| failure(path, &error);
    let root = resolve(path);
    if !fs::metadata(&root).map_err(wrap)?.is_dir() {
        return Err(wrap(io::ErrorKind::NotADirectory.into()));
    }
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(|error| wrap(error.into()))?;
    let mut watch = Watch {
        root: root.clone(),
        inotify,
        directories: HashMap::new(),
        rules: BTreeMap::new(),
        changes: BTreeMap::new(),
        overflow: false,
        moved: false,
    };
    watch.enter(&root, Seen::Before);
    // When the host is gone, the reader of the socket ends the process.
    let _ = writer.send(id, &Reply::Watching, &[]);
    watch.until(ender, |reply| {
        let _ = writer.send(id, &reply, &[]);
    })
}

/// Whether the files of a directory are news.
#[derive(Clone, Copy)]
enum Seen {
    /// They were there when the watch began.
    Before,
    /// The directory has just appeared, and they with it.
    Now,
}

struct Watch {
    root: PathBuf,
    inotify: OwnedFd,
    directories: HashMap<i32, PathBuf>,
    /// The `.gitignore` of each directory that has one.
    rules: BTreeMap<PathBuf, Gitignore>,
    changes: BTreeMap<String, Change>,
    overflow: bool,
    /// The file system that was watched is gone: a snapshot has put the same files on another.
    moved: bool,
}

impl Watch {
    fn until(mut self, ender: &Ender, mut tell: impl FnMut(Reply)) -> Result<(), Failure> {
        let mut tell_at: Option<Instant> = None;
        loop {
            let patience = tell_at.map(|at| at.saturating_duration_since(Instant::now()));
            let patience = patience.and_then(|patience| rustix::event::Timespec::try_from(patience).ok());
            let mut polled = [PollFd::new(&ender.wake, PollFlags::IN), PollFd::new(&self.inotify, PollFlags::IN)];
            match poll(&mut polled, patience.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failure("watching", &error.into())),
            }
            if ender.ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.read();
            let news = !self.changes.is_empty() || self.overflow;
            if news && tell_at.is_none() {
                tell_at = Some(Instant::now() + Duration::from_millis(CHANGES_WINDOW_MS));
            }
            if news && tell_at.is_some_and(|at| Instant::now() >= at) {
                tell_at = None;
                let changes = std::mem::take(&mut self.changes);
                let changes = changes.into_iter().map(|(path, change)| FileChange { path, change }).collect();
                tell(Reply::Changed { changes, overflow: std::mem::take(&mut self.overflow) });
            }
        }
    }

    /// Watches a directory and all below it.
    fn enter(&mut self, directory: &Path, seen: Seen) {
        let mut waiting = vec![directory.to_owned()];
        while let Some(directory) = waiting.pop() {
            if self.directories.len() >= WATCHED_DIRS_MAX {
                self.overflow = true;
                return;
            }
            let flags = WatchFlags::CREATE
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::ATTRIB
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW;
            let Ok(number) = inotify::add_watch(self.inotify.as_fd(), &directory, flags) else {
                // Gone again, or the kernel's number of watches is used up; either way: look again.
                self.overflow |= directory.exists();
                continue;
            };
            self.directories.insert(number, directory.clone());
            self.learn_rules(&directory);
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if self.is_ignored(&path, is_dir) {
                    continue;
                }
                match (is_dir, seen) {
                    (true, _) => waiting.push(path),
                    (false, Seen::Now) => self.note(&path, Change::Written),
                    (false, Seen::Before) => {}
                }
            }
        }
    }

    fn learn_rules(&mut self, directory: &Path) {
        let file = directory.join(".gitignore");
        if !file.is_file() {
            self.rules.remove(directory);
            return;
        }
        let mut builder = GitignoreBuilder::new(directory);
        // A bad line is left out, the others count; git does the same.
        let _ = builder.add(file);
        if let Ok(rules) = builder.build() {
            self.rules.insert(directory.to_owned(), rules);
        }
    }

    /// Whether git would not look at this path: the nearest `.gitignore` that says something decides.
    fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name == ".git" || name.starts_with(UNFINISHED_PREFIX) {
            return true;
        }
        for directory in path.ancestors().skip(1) {
            match self.rules.get(directory).map(|rules| rules.matched(path, is_dir)) {
                Some(Match::Ignore(_)) => return true,
                Some(Match::Whitelist(_)) => return false,
                Some(Match::None) | None => {}
            }
            if directory == self.root {
                break;
            }
        }
        false
    }

    fn note(&mut self, path: &Path, change: Change) {
        let Ok(relative) = path.strip_prefix(&self.root) else { return };
        let relative = relative.to_string_lossy().into_owned();
        if self.changes.len() >= CHANGES_MAX && !self.changes.contains_key(&relative) {
            self.overflow = true;
            return;
        }
        self.changes.insert(relative, change);
    }

    /// Takes all events that are there.
    fn read(&mut self) {
        let mut space = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = Vec::new();
        {
            let mut reader = inotify::Reader::new(&self.inotify, &mut space);
            // Ends with WOULDBLOCK when there is no more.
            while let Ok(event) = reader.next() {
                let name = event.file_name().map(|name| PathBuf::from(name.to_string_lossy().into_owned()));
                events.push((event.wd(), event.events(), name));
                if events.len() >= CHANGES_MAX * 4 {
                    break;
                }
            }
        }
        for (number, flags, name) in events {
            self.take(number, flags, name.as_deref());
        }
        if std::mem::take(&mut self.moved) {
            self.begin_anew();
        }
    }

    /// Watches the same directories where they are now.
    fn begin_anew(&mut self) {
        self.directories.clear();
        self.rules.clear();
        let root = self.root.clone();
        self.enter(&root, Seen::Before);
        // Something may have changed before the new watches stood.
        self.overflow = true;
    }

    fn take(&mut self, number: i32, flags: ReadFlags, name: Option<&Path>) {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.overflow = true;
            return;
        }
        if flags.contains(ReadFlags::UNMOUNT) {
            self.moved = true;
            return;
        }
        if flags.contains(ReadFlags::IGNORED) {
            self.directories.remove(&number);
            return;
        }
        let Some((directory, name)) = self.directories.get(&number).cloned().zip(name) else { return };
        let path = directory.join(name);
        let is_dir = flags.contains(ReadFlags::ISDIR);
        if name == Path::new(".gitignore") {
            self.learn_rules(&directory);
        }
        if self.is_ignored(&path, is_dir) {
            return;
        }
        let gone = flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        match (is_dir, gone) {
            (false, true) => self.note(&path, Change::Removed),
            // A link or an empty file is complete when it is made; for the others CLOSE_WRITE follows and counts once.
            (false, false) => self.note(&path, Change::Written),
            (true, true) => self.leave(&path),
            (true, false) if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => self.enter(&path, Seen::Now),
            (true, false) => {}
        }
    }

    /// A directory is gone: so are the watches below it, which would else report under the old name after a move.
    fn leave(&mut self, directory: &Path) {
        let gone: Vec<i32> = self
            .directories
            .iter()
            .filter(|(_, path)| path.starts_with(directory))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.directories.remove(&number);
            // After a deletion the kernel has removed it itself.
            let _ = inotify::remove_watch(self.inotify.as_fd(), number);
        }
        self.note(directory, Change::Removed);
    }
}
