//! Who has a session open, and who is typing. Nothing of it is in the log, and nobody is woken by it.
//!
//! Comings and goings are gathered for [`GATHER`] and told together, so that a thousand people who join at once cost each of them a
//! few frames and not a thousand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use hangar_protocol::{
    Frame, UserId,
    frame::{PresenceScope, Present},
    limits::{PRESENCE_PEOPLE_MAX, TYPING_MS},
};

use crate::ring::frame_json;

/// How long comings and goings are gathered.
pub(crate) const GATHER: Duration = Duration::from_millis(250);
/// Somebody's typing is told at most so often.
const TYPING_EVERY: Duration = Duration::from_secs(2);
/// People whose typing is told at a time; that of others is not.
const TYPING_PEOPLE_MAX: usize = 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct People {
    here: BTreeMap<UserId, Here>,
    /// With whom something happened that was not told yet.
    changed: BTreeSet<UserId>,
    /// Whether somebody waits to tell it.
    pub(crate) gathering: bool,
    typing: HashMap<UserId, Instant>,
    /// Made for one newcomer, good for the next until something changes.
    everybody: Option<Arc<str>>,
}

#[derive(Debug)]
struct Here {
    name: Arc<str>,
    connections: u32,
}

impl People {
    /// Whether there is nobody to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.changed.is_empty() && !self.gathering
    }

    pub(crate) fn joined(&mut self, user: &UserId, name: &str) {
        let here = self.here.entry(user.clone()).or_insert_with(|| Here { name: name.into(), connections: 0 });
        here.connections += 1;
        self.note(user);
    }

    pub(crate) fn left(&mut self, user: &UserId) {
        if let Some(here) = self.here.get_mut(user) {
            here.connections = here.connections.saturating_sub(1);
            self.note(user);
        }
    }

    fn note(&mut self, user: &UserId) {
        self.changed.insert(user.clone());
        self.everybody = None;
    }

    /// The frame that tells everything.
    pub(crate) fn everybody(&mut self) -> Arc<str> {
        if let Some(frame) = &self.everybody {
            return Arc::clone(frame);
        }
        let here = self.here.iter().filter(|(_, here)| here.connections > 0);
        let people = here.take(PRESENCE_PEOPLE_MAX).map(|(user, here)| present(user, here)).collect();
        let frame = frame_json(&Frame::Presence { scope: PresenceScope::Everybody, people, total: self.total() });
        self.everybody = Some(Arc::clone(&frame));
        frame
    }

    /// The frame that tells what was gathered, if there is anything. Where that is too much for one frame, it tells everything instead.
    pub(crate) fn gathered(&mut self) -> Option<Arc<str>> {
        self.gathering = false;
        let changed = std::mem::take(&mut self.changed);
        let people: Vec<Present> =
            changed.iter().filter_map(|user| self.here.get(user).map(|here| present(user, here))).collect();
        self.here.retain(|_, here| here.connections > 0);
        match people.len() {
            0 => None,
            1..=PRESENCE_PEOPLE_MAX => {
                let frame = Frame::Presence { scope: PresenceScope::Changed, people, total: self.total() };
                Some(frame_json(&frame))
            }
            _ => Some(self.everybody()),
        }
    }

    /// The frame that tells that somebody is typing, unless that was told a moment ago or too many are.
    pub(crate) fn typing(&mut self, user: &UserId, name: &str) -> Option<Arc<str>> {
        self.typing.retain(|_, told| told.elapsed() < TYPING_EVERY);
        if self.typing.contains_key(user) || self.typing.len() >= TYPING_PEOPLE_MAX {
            return None;
        }
        self.typing.insert(user.clone(), Instant::now());
        Some(frame_json(&Frame::Typing { user: user.clone(), name: name.to_owned(), for_ms: TYPING_MS }))
    }

    fn total(&self) -> u32 {
        let here = self.here.values().filter(|here| here.connections > 0).count();
        u32::try_from(here).unwrap_or(u32::MAX)
    }
}

fn present(user: &UserId, here: &Here) -> Present {
    Present { user: user.clone(), name: here.name.to_string(), connections: here.connections }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    type Told = (PresenceScope, Vec<(String, u32)>, u32);

    fn told(frame: Option<Arc<str>>) -> Option<Told> {
        let Frame::Presence { scope, people, total } = serde_json::from_str(&frame?).unwrap() else {
            panic!("another")
        };
        Some((scope, people.into_iter().map(|who| (who.user.to_string(), who.connections)).collect(), total))
    }

    #[test]
    fn comings_and_goings_are_told_together() {
        let mut people = People::default();
        people.joined(&user("jane"), "Jane");
        people.joined(&user("jane"), "Jane");
        people.joined(&user("rob"), "Rob");
        people.left(&user("rob"));
        let both = vec![("jane".to_owned(), 2), ("rob".to_owned(), 0)];
        assert_eq!(told(people.gathered()), Some((PresenceScope::Changed, both, 1)));
        assert_eq!(told(people.gathered()), None);
        let jane = vec![("jane".to_owned(), 2)];
        assert_eq!(told(Some(people.everybody())), Some((PresenceScope::Everybody, jane, 1)));
        people.left(&user("jane"));
        people.left(&user("jane"));
        assert_eq!(told(people.gathered()), Some((PresenceScope::Changed, vec![("jane".to_owned(), 0)], 0)));
        assert!(people.is_empty());
    }

    #[test]
    fn a_crowd_fits_into_one_frame() {
        let mut people = People::default();
        for number in 0..1_000 {
            people.joined(&user(&format!("u{number}")), "U");
        }
        let (scope, named, total) = told(people.gathered()).unwrap();
        assert_eq!((scope, named.len(), total), (PresenceScope::Everybody, PRESENCE_PEOPLE_MAX, 1_000));
    }

    #[test]
    fn typing_is_told_once_in_a_while_and_of_a_few() {
        let mut people = People::default();
        assert!(people.typing(&user("jane"), "Jane").is_some());
        assert!(people.typing(&user("jane"), "Jane").is_none());
        let told = (0..100).filter(|n| people.typing(&user(&format!("u{n}")), "U").is_some()).count();
        assert_eq!(told, TYPING_PEOPLE_MAX - 1);
    }
}
