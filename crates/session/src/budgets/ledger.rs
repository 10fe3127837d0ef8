//! What all sessions together used up today, by person. A cache of what the logs say: at the start it is read from the sessions of the day, afterwards every
//! session tells its own part whenever that changes.
//!
//! More than one day is kept, because the machine's clock may be put right by days: what was used up on the day that it comes back to still counts.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::{SessionId, Spent, UserId, budget::DaySpent};

/// Days that are kept: today, and the last ones that were today or were to come.
const DAYS_MAX: usize = 4;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order in which they were told of first.
    days: Mutex<VecDeque<Day>>,
}

#[derive(Debug, Default)]
struct Day {
    number: u32,
    /// What each session told last.
    told: BTreeMap<SessionId, BTreeMap<UserId, Spent>>,
    by: BTreeMap<UserId, Spent>,
    all: Spent,
}

impl Day {
    fn take_in(&mut self, session: &SessionId, spent: &BTreeMap<UserId, Spent>) {
        let before = self.told.insert(session.clone(), spent.clone()).unwrap_or_default();
        for (user, now) in spent {
            let more = now.without(before.get(user).copied().unwrap_or_default());
            self.all.add(more);
            self.by.entry(user.clone()).or_default().add(more);
        }
    }
}

impl Ledger {
    fn days(&self) -> MutexGuard<'_, VecDeque<Day>> {
        // Sums that are added to in one go; a thread that died has not left half of one.
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in all that a session used up on its last day. Telling the same again changes nothing. A day that is over counts only where it was
    /// once today.
    pub(crate) fn tell(&self, session: &SessionId, spent: &DaySpent, today: u32) {
        let mut days = self.days();
        if let Some(day) = days.iter_mut().find(|day| day.number == spent.day) {
            day.take_in(session, &spent.by);
            return;
        }
        if spent.day < today {
            return;
        }
        let mut day = Day { number: spent.day, ..Day::default() };
        day.take_in(session, &spent.by);
        days.push_back(day);
        if days.len() > DAYS_MAX
            && let Some(first) = days.iter().position(|day| day.number != today)
        {
            drop(days.remove(first));
        }
    }

    /// What a person used up on the day of this number, and what everybody did.
    pub(crate) fn spent(&self, number: u32, user: &UserId) -> (Spent, Spent) {
        let days = self.days();
        let day = days.iter().find(|day| day.number == number);
        day.map_or_else(Default::default, |day| (day.by.get(user).copied().unwrap_or_default(), day.all))
    }

    /// What all people together used up on the day of this number, and each of them.
    pub(crate) fn all(&self, number: u32) -> (Spent, BTreeMap<UserId, Spent>) {
        let days = self.days();
        let day = days.iter().find(|day| day.number == number);
        day.map_or_else(Default::default, |day| (day.all, day.by.clone()))
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
        ledger.tell(&one, &spent(7, &[("jane", 10)]), 7);
        ledger.tell(&one, &spent(7, &[("jane", 30), ("joe", 1)]), 7);
        ledger.tell(&one, &spent(7, &[("jane", 30), ("joe", 1)]), 7);
        ledger.tell(&two, &spent(7, &[("jane", 5)]), 7);
        assert_eq!((tokens(7, &jane), tokens(7, &joe)), ((35, 36), (1, 36)));
        ledger.tell(&two, &spent(6, &[("jane", 900)]), 7);
        assert_eq!((tokens(6, &jane), tokens(7, &jane)), ((0, 0), (35, 36)), "yesterday's is not today's");
        ledger.tell(&two, &spent(8, &[("joe", 2)]), 8);
        assert_eq!((tokens(8, &jane), tokens(8, &joe)), ((0, 2), (2, 2)));
        assert_eq!((ledger.all(8).0.tokens, ledger.all(8).1.len()), (2, 1));
        assert_eq!(tokens(9, &joe), (0, 0), "of which nobody told");
    }

    #[test]
    fn a_clock_that_was_put_right_finds_its_day_as_it_was() {
        let ledger = Ledger::default();
        let (one, two) = ("aaaaaaaaaaaa".parse().unwrap(), "bbbbbbbbbbbb".parse().unwrap());
        let jane = "jane".parse().unwrap();
        ledger.tell(&one, &spent(7, &[("jane", 10)]), 7);
        // It stands a year ahead, and sessions from before it are looked at.
        ledger.tell(&two, &spent(400, &[("jane", 3)]), 400);
        (100..110).for_each(|day| ledger.tell(&two, &spent(day, &[("jane", 9)]), 400));
        assert_eq!((ledger.spent(400, &jane).0.tokens, ledger.spent(7, &jane).0.tokens), (3, 10));
        ledger.tell(&two, &spent(7, &[("jane", 5)]), 7);
        assert_eq!(ledger.spent(7, &jane).0.tokens, 15);
        for today in 8..200 {
            ledger.tell(&one, &spent(today, &[("jane", 1)]), today);
        }
        assert_eq!(ledger.days().len(), DAYS_MAX, "days that are over go");
        assert_eq!(ledger.spent(199, &jane).0.tokens, 1);
    }
}
