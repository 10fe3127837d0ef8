//! Who else is here, and who is typing: one line of words that is only true for the moment.

use std::time::{Duration, Instant};

use hangar_protocol::UserId;

/// People whose typing is named; of more only the number is told.
const NAMED_MAX: usize = 2;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Others {
    here: u32,
    typing: Vec<Typing>,
}

#[derive(Debug)]
struct Typing {
    user: UserId,
    name: String,
    until: Instant,
}

impl Others {
    /// So many people have the session open, oneself among them.
    pub(super) fn here(&mut self, total: u32) {
        self.here = total;
    }

    pub(super) fn typing(&mut self, user: &UserId, name: &str, lasts: Duration) {
        self.settled(user);
        self.typing.push(Typing { user: user.clone(), name: name.to_owned(), until: Instant::now() + lasts });
    }

    /// They have said it.
    pub(super) fn settled(&mut self, user: &UserId) {
        self.typing.retain(|typing| typing.user != *user);
    }

    /// Forgets those who have not typed for a while; whether there were any.
    pub(super) fn tick(&mut self) -> bool {
        let before = self.typing.len();
        let now = Instant::now();
        self.typing.retain(|typing| typing.until > now);
        before != self.typing.len()
    }

    /// What there is to say; empty when one is alone.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        if self.here > 1 {
            words.push(format!("{} people here", self.here));
        }
        let names: Vec<&str> = self.typing.iter().map(|typing| typing.name.as_str()).collect();
        match names.as_slice() {
            [] => {}
            [one] => words.push(format!("{one} is typing")),
            some if some.len() <= NAMED_MAX => words.push(format!("{} are typing", some.join(" and "))),
            many => words.push(format!("{} people are typing", many.len())),
        }
        words.join(" · ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    #[test]
    fn who_types_is_named_until_they_stop_or_say_it() {
        let mut others = Others::default();
        others.here(1);
        assert_eq!(others.words(), "");
        let (jane, rob): (UserId, UserId) = ("jane".parse().unwrap(), "rob".parse().unwrap());
        others.here(3);
        others.typing(&jane, "Jane Doe", Duration::from_secs(5));
        assert_eq!(others.words(), "3 people here · Jane Doe is typing");
        others.typing(&rob, "Rob", Duration::ZERO);
        others.typing(&jane, "Jane Doe", Duration::from_secs(5));
        assert_eq!(others.words(), "3 people here · Rob and Jane Doe are typing");
        assert!(others.tick() && !others.tick());
        others.settled(&jane);
        assert_eq!(others.words(), "3 people here");
    }
}
