//! Models as the turn sees them: a request goes out, pieces of a reply come in.
//!
//! A reply is atomic. What a provider streams is shown to people, but nothing of it happens before the whole reply is
//! there; when a stream breaks, the whole reply is asked for again.

use std::time::Duration;

use futures::stream::BoxStream;
use hangar_protocol::{ModelUsage, StopReason, frame::TextChannel};
use serde_json::Value;

use crate::{conversation::Message, tools::ToolSpec};

pub mod anthropic;
pub mod openai;
pub mod responses;
pub mod timeouts;
pub(crate) mod wire;

pub use timeouts::Timeouts;

/// One kind of model service.
pub trait Provider: Send + Sync {
    /// Asks for a reply. The request is put together at once and sent when the stream is first polled; dropping the
    /// stream ends the request. After [`Piece::Done`] or a [`Fault`] the stream ends.
    fn reply(&self, request: &ModelRequest<'_>) -> BoxStream<'static, Result<Piece, Fault>>;
}

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub struct ModelRequest<'a> {
    /// Who it is and how it works.
    pub system: &'a str,
    /// What it may call.
    pub tools: &'a [ToolSpec],
    /// What was said so far; the last message is from the user.
    pub messages: &'a [Message<'a>],
    /// How much it may write.
    pub length: ReplyLength,
    /// The same for all requests that begin alike, where a service wants to be told; `None` for a request that stands alone.
    pub cache_key: Option<&'a str>,
}

/// How much a reply may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyLength {
    /// As much as the model's configuration says, with its thinking.
    #[default]
    Whole,
    /// At most so many tokens, without thinking where that can be chosen.
    Short(u32),
}

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// More text of a block, to be shown.
    Text {
        /// Position of the block in the reply, from 0.
        block: u32,
        /// Thoughts or words.
        channel: TextChannel,
        /// The new text alone.
        text: String,
    },
    /// The whole reply. Always the last piece.
    Done(Reply),
}

/// A whole reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// What it says, in order.
    pub blocks: Vec<ReplyBlock>,
    /// What it cost, as far as the provider told.
    pub usage: ModelUsage,
    /// Why the model stopped.
    pub stop: Option<StopReason>,
}

impl Reply {
    /// Its words alone.
    #[must_use]
    pub fn words(&self) -> String {
        let text = |block: &ReplyBlock| match block {
            ReplyBlock::Text(text) => Some(text.clone()),
            ReplyBlock::Reasoning { .. } | ReplyBlock::Call { .. } => None,
        };
        self.blocks.iter().filter_map(text).collect()
    }
}

/// One block of a reply, as the provider sent it.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyBlock {
    /// Words.
    Text(String),
    /// Thoughts, and the provider's own block.
    Reasoning {
        /// Readable form.
        text: String,
        /// To be replayed untouched.
        provider: Value,
    },
    /// A call.
    Call {
        /// The provider's id; empty where it gave none.
        id: String,
        /// The tool.
        name: String,
        /// The arguments, JSON as the model wrote it, perhaps malformed.
        arguments: String,
    },
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    /// Whether trying again may help.
    pub kind: FaultKind,
    /// What happened and, where something can be done, what. Never holds a key.
    pub reason: String,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It may pass. The provider may have said when to come back.
    Passing {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It will not pass by itself.
    Lasting,
    /// The request has more tokens than the model can read.
    TooLong,
}

impl Fault {
    /// A fault that may pass.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { kind: FaultKind::Passing { retry_after: None }, reason: reason.into() }
    }

    /// A request that has more tokens than the model can read.
    pub fn too_long(reason: impl Into<String>) -> Self {
        Self { kind: FaultKind::TooLong, reason: reason.into() }
    }

    /// A fault that will not pass by itself.
    pub fn lasting(reason: impl Into<String>) -> Self {
        Self { kind: FaultKind::Lasting, reason: reason.into() }
    }
}
