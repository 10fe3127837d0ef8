//! What all sessions together used up today, by person. A cache of what the logs say: at the start it is read from the sessions of the day, afterwards every
//! session tells its own part whenever that changes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::{SessionId, Spent, UserId, budget::DaySpent};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    day: Mutex<Day>,
}

#[derive(Debug, Default)]
struct Day {
    number: u32,
    /// What each session told last.
    told: BTreeMap<SessionId, BTreeMap<UserId, Spent>>,
    by: BTreeMap<UserId, Spent>,
    all: Spent,
}

impl Ledger {
    fn day(&self) -> MutexGuard<'_, Day> {
        // Sums that are added to in one go; a thread that died has not left half of one.
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in all that a session used up on its last day. Telling the same again changes nothing.
    pub(crate) fn tell(&self, session: &SessionId, spent: &DaySpent) {
        let mut day = self.day();
        if spent.day < day.number {
            return;
        }
        if spent.day > day.number {
            *day = Day { number: spent.day, ..Day::default() };
        }
        let before = day.told.insert(session.clone(), spent.by.clone()).unwrap_or_default();
        for (user, now) in &spent.by {
            let more = now.without(before.get(user).copied().unwrap_or_default());
            day.all.add(more);
            day.by.entry(user.clone()).or_default().add(more);
        }
    }

    /// What a person used up on the day of this number, and what everybody did.
    pub(crate) fn spent(&self, number: u32, user: &UserId) -> (Spent, Spent) {
        let day = self.day();
        if day.number != number {
            return Default::default();
        }
        (day.by.get(user).copied().unwrap_or_default(), day.all)
    }

    /// What all people together used up on the day of this number, and each of them.
    pub(crate) fn all(&self, number: u32) -> (Spent, BTreeMap<UserId, Spent>) {
        let day = self.day();
        if day.number == number { (day.all, day.by.clone()) } else { Default::default() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn spent(day: u32, all: &[(&str, u64)]) -> DaySpent {
        let by =
            all.iter().map(|(user, tokens)| (user.parse().unwrap(), Spent { tokens: *tokens, ..Spent::default() }));
        DaySpent { day, by: by.collect() }
    }

    #[test]
    fn what_sessions_tell_adds_up_once_and_a_new_day_begins_at_nothing() {
        let ledger = Ledger::default();
        let (one, two) = ("aaaaaaaaaaaa".parse().unwrap(), "bbbbbbbbbbbb".parse().unwrap());
        let (jane, joe) = ("jane".parse().unwrap(), "joe".parse().unwrap());
        let tokens = |day, user| {
            let (own, all) = ledger.spent(day, user);
            (own.tokens, all.tokens)
        };
        ledger.tell(&one, &spent(7, &[("jane", 10)]));
        ledger.tell(&one, &spent(7, &[("jane", 30), ("joe", 1)]));
        ledger.tell(&one, &spent(7, &[("jane", 30), ("joe", 1)]));
        ledger.tell(&two, &spent(7, &[("jane", 5)]));
        assert_eq!((tokens(7, &jane), tokens(7, &joe)), ((35, 36), (1, 36)));
        ledger.tell(&two, &spent(6, &[("jane", 900)]));
        assert_eq!(tokens(7, &jane), (35, 36), "yesterday's is not today's");
        ledger.tell(&two, &spent(8, &[("joe", 2)]));
        assert_eq!((tokens(8, &jane), tokens(8, &joe), tokens(7, &jane)), ((0, 2), (2, 2), (0, 0)));
        assert_eq!((ledger.all(8).0.tokens, ledger.all(8).1.len()), (2, 1));
    }
}
