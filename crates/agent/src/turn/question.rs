//! What a model is asked in a turn, and what comes of it.

use std::time::Duration;

use super::Halt;
use crate::{provider::Reply, sink::TurnOver};

/// What a model is asked.
#[derive(Clone, Copy)]
pub(super) enum Question {
    /// To go on with the work.
    Work {
        /// As which request of the turn.
        step: u32,
    },
    /// To sum up the conversation.
    Summary {
        /// Before which request of the turn.
        step: u32,
        /// In how many steps the conversation was made shorter for that.
        shortened: u32,
    },
}

impl Question {
    pub(super) fn step(self) -> u32 {
        match self {
            Self::Work { step } | Self::Summary { step, .. } => step,
        }
    }

    /// Whether a reply is one to this question.
    pub(super) fn is_answered_by(self, reply: &Reply) -> bool {
        match self {
            Self::Work { .. } => true,
            Self::Summary { .. } => !reply.words().trim().is_empty(),
        }
    }
}

/// A whole reply and when its parts came.
pub(super) struct Timed {
    pub(super) reply: Reply,
    pub(super) first_token: Duration,
    pub(super) whole: Duration,
}

/// Why a model gave no reply.
pub(super) enum NoReply {
    /// The turn has to end.
    Halt(Halt),
    /// It makes no sense to ask this model again, for this reason.
    GivenUp(String),
    /// What it was shown is more than it can read.
    TooLong(String),
}

impl From<Halt> for NoReply {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<TurnOver> for NoReply {
    fn from(over: TurnOver) -> Self {
        Self::Halt(over.into())
    }
}
