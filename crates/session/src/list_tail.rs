//! The changes of the list of sessions, for those who follow it.
//!
//! The same as a session's tail: a follower holds a position here, and one who is too far behind reads the list anew.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::{Frame, SessionId, UserId, api::SessionSummary, people::role_in};
use slab::Slab;

use crate::{
    bell::{Bell, Slot},
    ring::{Framed, frame_json},
};

/// Changes kept for those who are a little behind.
const CHANGES_MAX: usize = 512;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct ListTail {
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    changes: VecDeque<Change>,
    /// Position of `changes[0]`.
    first: u64,
    readers: Slab<Reader>,
    bye: Option<Arc<str>>,
}

#[derive(Debug)]
struct Reader {
    bell: Arc<Bell>,
    slot: Slot,
    rung: bool,
}

/// One session's entry is another now.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) session: SessionId,
    /// What it is, and its frame; `None` when the session was removed.
    pub(crate) now: Option<(Arc<SessionSummary>, Arc<str>)>,
}

impl Change {
    /// The frame for somebody who may see the session.
    pub(crate) fn shown_to(&self, user: &UserId) -> Option<Framed> {
        let (summary, frame) = self.now.as_ref()?;
        role_in(summary.visibility, &summary.members, user)?;
        Some(Framed::hint(Arc::clone(frame)))
    }
}

/// What a follower gets.
#[derive(Debug)]
pub(crate) enum Changes {
    /// The newest change of each session after the position, whoever may see it.
    New { changes: Vec<Change>, position: u64 },
    /// Too much has changed: read the list, then go on from this position.
    ReadAnew(u64),
    /// The stream has ended, for this reason.
    Bye(Arc<str>),
}

impl ListTail {
    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list shows this now.
    pub(crate) fn changed(&self, summary: &SessionSummary) {
        let now = || Some((Arc::new(summary.clone()), changed_frame(summary.clone())));
        self.push(&summary.id, now);
    }

    /// The list does not show this session any more.
    pub(crate) fn removed(&self, session: &SessionId) {
        self.push(session, || None);
    }

    fn push(&self, session: &SessionId, now: impl FnOnce() -> Option<(Arc<SessionSummary>, Arc<str>)>) {
        let mut end = self.end();
        if end.readers.is_empty() {
            // Nobody has a position, so nobody can miss anything.
            return;
        }
        end.changes.push_back(Change { session: session.clone(), now: now() });
        if end.changes.len() > CHANGES_MAX {
            end.changes.pop_front();
            end.first += 1;
        }
        end.announce();
    }

    /// Ends every follower's stream.
    pub(crate) fn bye(&self, reason: &str) {
        let mut end = self.end();
        end.bye = Some(reason.into());
        end.announce();
    }

    pub(crate) fn enter(&self, bell: &Arc<Bell>, slot: Slot) -> usize {
        self.end().readers.insert(Reader { bell: Arc::clone(bell), slot, rung: true })
    }

    pub(crate) fn leave(&self, key: usize) {
        let mut end = self.end();
        let _gone = end.readers.try_remove(key);
        if end.readers.is_empty() {
            end.first += end.changes.len() as u64;
            end.changes = VecDeque::new();
        }
    }

    /// The changes after a position; `None` stands for somebody who has read nothing yet.
    pub(crate) fn fetch(&self, key: usize, position: Option<u64>) -> Changes {
        let mut end = self.end();
        if let Some(reader) = end.readers.get_mut(key) {
            reader.rung = false;
        }
        if let Some(bye) = &end.bye {
            return Changes::Bye(Arc::clone(bye));
        }
        let last = end.first + end.changes.len() as u64;
        let Some(skip) = position.and_then(|position| position.checked_sub(end.first)) else {
            return Changes::ReadAnew(last);
        };
        let mut told = HashSet::new();
        let new = end.changes.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).rev();
        let mut changes: Vec<Change> = new.filter(|change| told.insert(&change.session)).cloned().collect();
        changes.reverse();
        Changes::New { changes, position: last }
    }
}

impl End {
    fn announce(&mut self) {
        for (_, reader) in &mut self.readers {
            if !std::mem::replace(&mut reader.rung, true) {
                reader.bell.ring(reader.slot);
            }
        }
    }
}

/// The frame of a change.
pub(crate) fn changed_frame(summary: SessionSummary) -> Arc<str> {
    frame_json(&Frame::SessionChanged { summary: Box::new(summary) })
}
