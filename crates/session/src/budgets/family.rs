//! What a session and all those below it used up together: a budget counts for what its session's agent began, too.
//!
//! ```text
//!   root            its budget counts the spending of root + a + b + c
//!   ├── a           its share counts a + c
//!   │   └── c       its share counts c
//!   └── b           its share counts b
//! ```
//!
//! A cache of what the logs say. It lives as long as one of the family is awake, and is read from the logs when the first one wakes; each tells its own
//! part when its log grows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hangar_protocol::{Budget, SessionId, SessionState, Spent, limits::DESCENDANTS_MAX};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Family {
    members: Mutex<BTreeMap<SessionId, Member>>,
    /// Held while one more begins: the same call twice begins one.
    pub(crate) beginning: tokio::sync::Mutex<()>,
    /// Where it is found until nobody of it is awake.
    known: Weak<Mutex<Known>>,
}

/// A session of a family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    parent: Option<SessionId>,
    budget: Option<Budget>,
    spent: Spent,
}

impl Member {
    /// What its log says.
    pub(crate) fn of(state: &SessionState) -> Self {
        let parent = state.parent.as_ref().map(|parent| parent.session.clone());
        Self { parent, budget: state.budget, spent: state.spent }
    }

    /// One of which only this is known any more: it was removed.
    pub(crate) fn gone(parent: &SessionId, spent: Spent) -> Self {
        Self { parent: Some(parent.clone()), budget: None, spent }
    }
}

impl Family {
    /// These, and nobody else yet.
    pub(crate) fn new(members: BTreeMap<SessionId, Member>) -> Self {
        Self { members: Mutex::new(members), beginning: tokio::sync::Mutex::default(), known: Weak::new() }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<SessionId, Member>> {
        // Every change is one insertion or removal: the map is whole whenever the lock is free.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a session's log says now.
    pub(crate) fn tell(&self, state: &SessionState) {
        self.members().insert(state.id.clone(), Member::of(state));
    }

    /// One more is to begin. `false`: there are as many as there may be. One that is known already takes no place.
    pub(crate) fn admit(&self, child: &SessionId, parent: &SessionId) -> bool {
        let mut members = self.members();
        // The one that a person began is no descendant.
        if !members.contains_key(child) && members.len() > DESCENDANTS_MAX {
            return false;
        }
        members.entry(child.clone()).or_insert_with(|| Member::gone(parent, Spent::default()));
        true
    }

    /// It did not begin after all.
    pub(crate) fn forget(&self, child: &SessionId) {
        self.members().remove(child);
    }

    /// What a session used up with all those below it, and then the same of each session above, with their budgets.
    pub(crate) fn lineage(&self, session: &SessionId) -> Vec<(Option<Budget>, Spent)> {
        let members = self.members();
        let mut lineage = Vec::new();
        let mut at = Some(session);
        while let Some((id, member)) = at.and_then(|id| members.get_key_value(id)) {
            lineage.push((member.budget, with_below(&members, id)));
            // More are never above one; a log that says otherwise shall not be followed for ever.
            at = member.parent.as_ref().filter(|_| lineage.len() <= members.len());
        }
        lineage
    }
}

fn with_below(members: &BTreeMap<SessionId, Member>, top: &SessionId) -> Spent {
    let is_below = |id: &SessionId| {
        let mut above = members.get(id).and_then(|member| member.parent.as_ref());
        for _ in 0..members.len() {
            match above {
                Some(known) if known == top => return true,
                Some(known) => above = members.get(known).and_then(|member| member.parent.as_ref()),
                None => return false,
            }
        }
        false
    };
    let mut spent = Spent::default();
    members.iter().filter(|(id, _)| *id == top || is_below(id)).for_each(|(_, member)| spent.add(member.spent));
    spent
}

impl Drop for Family {
    fn drop(&mut self) {
        let Some(known) = self.known.upgrade() else { return };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever woke since has read it anew.
        for id in self.members().keys() {
            if known.get(id).is_some_and(|family| family.strong_count() == 0) {
                known.remove(id);
            }
        }
    }
}

/// The families of which one is awake, by each of their sessions.
#[derive(Debug, Default)]
pub(crate) struct Families(Arc<Mutex<Known>>);

type Known = HashMap<SessionId, Weak<Family>>;

impl Families {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The family of a session, where one of it is awake.
    pub(crate) fn of(&self, session: &SessionId) -> Option<Arc<Family>> {
        self.known().get(session).and_then(Weak::upgrade)
    }

    /// Takes in a family that was read, unless somebody else read it meanwhile; the one that counts.
    pub(crate) fn enter(&self, mut read: Family) -> Arc<Family> {
        let ids: Vec<SessionId> = read.members().keys().cloned().collect();
        let mut known = self.known();
        if let Some(family) = ids.iter().find_map(|id| known.get(id).and_then(Weak::upgrade)) {
            return family;
        }
        read.known = Arc::downgrade(&self.0);
        let family = Arc::new(read);
        known.extend(ids.into_iter().map(|id| (id, Arc::downgrade(&family))));
        family
    }

    /// One more belongs to a family.
    pub(crate) fn join(&self, session: &SessionId, family: &Arc<Family>) {
        self.known().insert(session.clone(), Arc::downgrade(family));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        text.parse().unwrap()
    }

    fn member(parent: Option<&str>, tokens: u64) -> Member {
        Member { parent: parent.map(id), budget: None, spent: Spent { tokens, ..Spent::default() } }
    }

    fn family() -> Family {
        let members = [("root", None, 1), ("a", Some("root"), 10), ("b", Some("root"), 100), ("c", Some("a"), 1_000)];
        Family::new(members.map(|(name, parent, tokens)| (id(name), member(parent, tokens))).into())
    }

    #[test]
    fn a_budget_counts_what_is_below_it() {
        let tokens = |session| family().lineage(&id(session)).iter().map(|(_, spent)| spent.tokens).collect::<Vec<_>>();
        assert_eq!(tokens("root"), [1_111]);
        assert_eq!(tokens("b"), [100, 1_111]);
        assert_eq!(tokens("c"), [1_000, 1_010, 1_111]);
        assert!(tokens("stranger").is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_the_same_takes_no_second_place() {
        let family = family();
        for number in 3..DESCENDANTS_MAX {
            assert!(family.admit(&id(&format!("more{number}")), &id("b")));
        }
        assert!(!family.admit(&id("one2many"), &id("b")));
        assert!(family.admit(&id("more3"), &id("b")));
        family.forget(&id("more3"));
        assert!(family.admit(&id("one2many"), &id("a")));
    }

    #[test]
    fn who_reads_a_family_second_gets_the_one_that_was_read_first() {
        let families = Families::default();
        let first = families.enter(family());
        assert!(Arc::ptr_eq(&first, &families.enter(family())));
        assert!(families.of(&id("c")).is_some_and(|known| Arc::ptr_eq(&known, &first)));
        drop(first);
        assert!(families.of(&id("c")).is_none(), "nobody of it is awake");
        assert!(families.known().is_empty(), "and nothing of it is kept");
    }
}
