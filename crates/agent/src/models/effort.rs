//! How hard a model thinks, in the words that its services use.

use serde::{Deserialize, Serialize};

/// How hard a model thinks before it speaks. It is sent as it is: a service refuses what its model does not know, and says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// As most tasks need it.
    Medium,
    /// Hard.
    High,
    /// Harder.
    XHigh,
    /// Without a limit of its own.
    Max,
}

impl Effort {
    /// Every word there is, the least first.
    pub const WORDS: &'static [&'static str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

    /// The service's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_is_sent() {
        for word in Effort::WORDS {
            let effort: Effort = serde_json::from_value((*word).into()).unwrap();
            assert_eq!(effort.word(), *word);
        }
    }
}
