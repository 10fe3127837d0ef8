//! Who may see which session, answered without opening its log.
//!
//! The log is the truth. A session's task puts what follows from it here before it shows the event to anybody, so an answer is never older than
//! what followers have seen; what is not here is folded from the log once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::{Seq, SessionId, SessionRole, SessionState, UserId, Visibility};

/// Sessions of which this is remembered. Of those beyond it some are forgotten, and folded again when somebody asks.
const REMEMBERED_MAX: usize = 2_000;

/// Who may see one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    visibility: Visibility,
    /// Sorted by their names. A map has room for eleven where most sessions have one.
    members: Box<[(UserId, SessionRole)]>,
}

impl Access {
    pub(crate) fn of(state: &SessionState) -> Self {
        Self {
            visibility: state.visibility,
            members: state.members.iter().map(|(user, role)| (user.clone(), *role)).collect(),
        }
    }

    /// Whether it still says what is true in `state`.
    pub(crate) fn holds(&self, state: &SessionState) -> bool {
        self.visibility == state.visibility
            && self.members.iter().map(|(user, role)| (user, role)).eq(state.members.iter())
    }

    /// What somebody may do; `None`: not even see it.
    pub(crate) fn role_of(&self, user: &UserId) -> Option<SessionRole> {
        let own = self.members.binary_search_by(|(member, _)| member.cmp(user)).ok().map(|place| self.members[place].1);
        own.max(self.visibility.role_of_everybody())
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct AccessList(Mutex<HashMap<SessionId, Known>>);

#[derive(Debug)]
struct Known {
    /// The event after which it is true.
    seq: Seq,
    access: Arc<Access>,
}

impl AccessList {
    fn entries(&self) -> MutexGuard<'_, HashMap<SessionId, Known>> {
        // Every change is one insertion or removal: the map is whole whenever the lock is free.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<Arc<Access>> {
        self.entries().get(id).map(|known| Arc::clone(&known.access))
    }

    /// Remembers what is true in this state. Something newer that is known already stays: a fold may be overtaken by the task.
    pub(crate) fn note(&self, id: &SessionId, state: &SessionState) -> Arc<Access> {
        self.note_at(id, state.seq, Access::of(state))
    }

    fn note_at(&self, id: &SessionId, seq: Seq, access: Access) -> Arc<Access> {
        let mut entries = self.entries();
        if let Some(known) = entries.get_mut(id) {
            // The same in the same place: what a session leaves when it sleeps again shall not lie amid what it gives back.
            if known.seq > seq || *known.access == access {
                known.seq = known.seq.max(seq);
                return Arc::clone(&known.access);
            }
        }
        if entries.len() >= REMEMBERED_MAX
            && !entries.contains_key(id)
            && let Some(other) = entries.keys().next().cloned()
        {
            entries.remove(&other);
        }
        let access = Arc::new(access);
        entries.insert(id.clone(), Known { seq, access: Arc::clone(&access) });
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

    fn access(members: &[&str]) -> Access {
        let members = members.iter().map(|user| (user.parse().unwrap(), SessionRole::Viewer)).collect();
        Access { visibility: Visibility::Private, members }
    }

    #[test]
    fn a_fold_that_was_overtaken_lets_nobody_back_in() {
        let (list, id) = (AccessList::default(), "abc".parse().unwrap());
        let may = |access: Arc<Access>| access.role_of(&"bob".parse().unwrap());
        list.note_at(&id, Seq(5), access(&["bob"]));
        list.note_at(&id, Seq(7), access(&[]));
        // It says the same, and is true for longer.
        list.note_at(&id, Seq(9), access(&[]));
        assert_eq!(may(list.note_at(&id, Seq(8), access(&["bob"]))), None);
        assert_eq!(list.get(&id).map(may), Some(None));
        assert_eq!(may(list.note_at(&id, Seq(10), access(&["bob"]))), Some(SessionRole::Viewer));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let list = AccessList::default();
        for number in 0..REMEMBERED_MAX + 10 {
            list.note_at(&format!("s{number}").parse().unwrap(), Seq(1), access(&[]));
        }
        assert_eq!(list.entries().len(), REMEMBERED_MAX);
    }
}
