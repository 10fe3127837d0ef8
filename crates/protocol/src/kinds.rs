//! Which kinds of events somebody wants.

use std::str::FromStr;

use strum::VariantArray as _;

use crate::{
    event::EventKind,
    refusal::{Refusal, RefusalCode},
};

/// A set of [`EventKind`]s, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u128);

impl Kinds {
    /// Whether the kind is in it.
    #[must_use]
    pub fn has(self, kind: EventKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// Their names, as events have them in `type`.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        EventKind::VARIANTS.iter().filter(|kind| self.has(**kind)).map(|&kind| kind.into()).collect()
    }
}

impl FromIterator<EventKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | bit(kind)))
    }
}

impl FromStr for Kinds {
    type Err = Refusal;

    /// Names with commas between them, as `kinds=` carries them.
    fn from_str(names: &str) -> Result<Self, Refusal> {
        names.split(',').map(|name| name.trim().parse::<EventKind>().map_err(|_| no_kind(name))).collect()
    }
}

fn bit(kind: EventKind) -> u128 {
    // There are far fewer kinds than bits, and a shift beyond them would be caught by the test below.
    1_u128 << (kind as u32)
}

fn no_kind(name: &str) -> Refusal {
    let shown = crate::limits::clip(name, 60);
    Refusal::new(
        RefusalCode::BadRequest,
        format!("There is no kind of event {shown:?}."),
        "Name kinds as events have them in `type`, with commas between them.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_in_events_and_kept_apart() {
        let kinds: Kinds = "prompt_added, turn_ended".parse().unwrap();
        assert!(kinds.has(EventKind::PromptAdded) && kinds.has(EventKind::TurnEnded));
        assert!(!kinds.has(EventKind::TurnStarted) && !kinds.has(EventKind::SessionCreated));
        assert_eq!("prompt_added,nonsense".parse::<Kinds>().unwrap_err().code, RefusalCode::BadRequest);
        assert_eq!("".parse::<Kinds>().unwrap_err().code, RefusalCode::BadRequest);
        assert_eq!(kinds.names(), ["prompt_added", "turn_ended"]);
        assert_eq!(serde_json::to_value(EventKind::PromptAdded).unwrap(), "prompt_added");
        assert!(EventKind::VARIANTS.len() < 128);
    }
}
