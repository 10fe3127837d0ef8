//! Which sessions are awake, and who follows which.
//!
//! A cache of running tasks, not a source of truth: it is empty after a start, and a session that is not in it is on disk.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use hangar_protocol::SessionId;
use tokio::sync::mpsc;

use crate::{
    driver::Message,
    home::{Home, Inbox},
    tail::Tail,
    woken_again::CutOff,
};

/// Fewer entries than this are not worth a search.
const SWEEP_ENTRIES_MIN: usize = 64;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Registry {
    entries: Mutex<HashMap<SessionId, Entry>>,
    /// Those whose task ended because of their log.
    pub(crate) cut_off: CutOff,
    /// With so many entries those that nobody holds are looked for.
    sweep_at: AtomicUsize,
}

/// A session that somebody follows or that has a task.
struct Entry {
    tail: Arc<Tail>,
    task: Option<Task>,
    waking: Arc<tokio::sync::Mutex<()>>,
}

/// A session's running task.
#[derive(Clone)]
pub(crate) struct Task {
    /// Where it is reached.
    pub(crate) inbox: Inbox,
    /// What it works with.
    pub(crate) home: Arc<Home>,
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        // Every change of the map is one insertion or removal: it is whole whenever the lock is free.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task, if the session is awake.
    pub(crate) fn task(&self, id: &SessionId) -> Option<Task> {
        self.entries().get(id).and_then(|entry| entry.task.clone())
    }

    /// The tail, if somebody follows the session or it is awake.
    pub(crate) fn followed(&self, id: &SessionId) -> Option<Arc<Tail>> {
        self.entries().get(id).map(|entry| Arc::clone(&entry.tail))
    }

    /// How many sessions are awake.
    pub(crate) fn awake_count(&self) -> usize {
        self.entries().values().filter(|entry| entry.task.is_some()).count()
    }

    /// The tail that followers share, and the lock under which the session is woken: two commands at once wake it once.
    /// Entries that nobody holds are forgotten on the way.
    pub(crate) fn enter(&self, id: &SessionId) -> (Arc<Tail>, Arc<tokio::sync::Mutex<()>>) {
        let mut entries = self.entries();
        if entries.len() >= self.sweep_at.load(Ordering::Relaxed) {
            entries.retain(|_, entry| entry.task.is_some() || Arc::strong_count(&entry.tail) > 1);
            // Twice what is left: looking through all of them costs each newcomer a little, however many there are.
            self.sweep_at.store((entries.len() * 2).max(SWEEP_ENTRIES_MIN), Ordering::Relaxed);
        }
        let entry = entries.entry(id.clone()).or_insert_with(|| Entry {
            tail: Arc::new(Tail::new(id.clone())),
            task: None,
            waking: Arc::default(),
        });
        (Arc::clone(&entry.tail), Arc::clone(&entry.waking))
    }

    /// Notes that the session has a task now.
    pub(crate) fn awake(&self, id: &SessionId, task: Task) {
        if let Some(entry) = self.entries().get_mut(id) {
            entry.tail.wake();
            entry.task = Some(task);
        }
    }

    /// Takes the task's inbox away unless a message waits or somebody holds a way to send one. The register and the task
    /// hold one each.
    pub(crate) fn try_sleep(&self, id: &SessionId, inbox: &mpsc::Receiver<Message>) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(id) else { return true };
        let lonely = entry.task.as_ref().is_none_or(|task| task.inbox.strong_count() <= 2);
        if !lonely || !inbox.is_empty() {
            return false;
        }
        entry.tail.sleep();
        entry.task = None;
        true
    }

    /// Forgets this task, and with it the tail that it has said goodbye on: whoever comes next gets a new one.
    pub(crate) fn forget(&self, id: &SessionId, inbox: &Inbox) {
        let mut entries = self.entries();
        let known = entries.get(id).and_then(|entry| entry.task.as_ref());
        if known.is_some_and(|task| task.inbox.same_channel(inbox)) {
            entries.remove(id);
        }
    }

    /// Says goodbye to whoever follows a session that has no task to do it.
    pub(crate) fn bye(&self, reason: &str) {
        self.entries().values().for_each(|entry| entry.tail.bye(reason));
    }

    /// All tasks.
    pub(crate) fn all(&self) -> Vec<Task> {
        self.entries().values().filter_map(|entry| entry.task.clone()).collect()
    }
}
