//! Who may see which session, answered without opening its log.
//!
//! The log is the truth. A session's task puts what follows from it here before it shows the event to anybody, so an answer is never older than
//! what followers have seen; what is not here is folded from the log once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::{Seq, SessionId, SessionRole, SessionState, UserId, Visibility, people::role_in};

/// Sessions of which this is remembered. Of those beyond it some are forgotten, and folded again when somebody asks.
const REMEMBERED_MAX: usize = 2_000;

/// Who may see one session, after the event `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    seq: Seq,
    visibility: Visibility,
    members: BTreeMap<UserId, SessionRole>,
}

impl Access {
    pub(crate) fn of(state: &SessionState) -> Self {
        Self { seq: state.seq, visibility: state.visibility, members: state.members.clone() }
    }

    /// Whether it still says what is true in `state`.
    pub(crate) fn holds(&self, state: &SessionState) -> bool {
        self.visibility == state.visibility && self.members == state.members
    }

    /// Whether it says the same as another, whenever each was true.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.visibility == other.visibility && self.members == other.members
    }

    /// What somebody may do; `None`: not even see it.
    pub(crate) fn role_of(&self, user: &UserId) -> Option<SessionRole> {
        role_in(self.visibility, &self.members, user)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct AccessList(Mutex<HashMap<SessionId, Arc<Access>>>);

impl AccessList {
    fn entries(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Access>>> {
        // Every change is one insertion or removal: the map is whole whenever the lock is free.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<Arc<Access>> {
        self.entries().get(id).cloned()
    }

    /// Remembers what is true after an event. Something newer that is known already stays: a fold may be overtaken by the task.
    pub(crate) fn note(&self, id: &SessionId, access: Arc<Access>) -> Arc<Access> {
        let mut entries = self.entries();
        if let Some(known) = entries.get(id)
            && known.seq > access.seq
        {
            return Arc::clone(known);
        }
        if entries.len() >= REMEMBERED_MAX
            && !entries.contains_key(id)
            && let Some(other) = entries.keys().next().cloned()
        {
            entries.remove(&other);
        }
        entries.insert(id.clone(), Arc::clone(&access));
        access
    }

    pub(crate) fn forget(&self, id: &SessionId) {
        self.entries().remove(id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn access(seq: u64, members: &[&str]) -> Arc<Access> {
        let members = members.iter().map(|user| (user.parse().unwrap(), SessionRole::Viewer)).collect();
        Arc::new(Access { seq: Seq(seq), visibility: Visibility::Private, members })
    }

    #[test]
    fn a_fold_that_was_overtaken_lets_nobody_back_in() {
        let (list, id) = (AccessList::default(), "abc".parse().unwrap());
        list.note(&id, access(9, &[]));
        let answered = list.note(&id, access(8, &["bob"]));
        assert_eq!(answered.role_of(&"bob".parse().unwrap()), None);
        assert_eq!(list.get(&id), Some(access(9, &[])));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let list = AccessList::default();
        for number in 0..REMEMBERED_MAX + 10 {
            list.note(&format!("s{number}").parse().unwrap(), access(1, &[]));
        }
        assert_eq!(list.entries().len(), REMEMBERED_MAX);
    }
}
