//! What the stream of a session carries, over WebSocket (one JSON object a message) and Server-Sent Events (one a `data:`).

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    event::Event,
    ids::{CallId, Seq, TurnId},
};

/// One message of a stream.
///
/// Only `event` frames are numbered and durable. The others are hints about something that an event will later say in
/// full: a client that misses them has missed nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Frame {
    /// The next event of the log. Frames of this kind arrive in order, without gaps and without doubles.
    Event {
        /// The event.
        event: Box<Event>,
    },
    /// Everything that was in the log when the subscription began has been sent; what follows is live.
    CaughtUp {
        /// The last event sent.
        seq: Seq,
    },
    /// More text of a reply that is still being written.
    Text {
        /// In which turn.
        turn: TurnId,
        /// In which reply.
        step: u32,
        /// Which of the reply's blocks, from 0.
        block: u32,
        /// Whether these are thoughts or words.
        channel: TextChannel,
        /// Where `text` begins in the block, in UTF-8 bytes. A frame that a client has already seen is recognised by it.
        offset: u32,
        /// The new text alone, never what came before.
        text: String,
    },
    /// The attempt whose text was being shown failed; what was shown of this reply is void and will be sent anew.
    TextReset {
        /// In which turn.
        turn: TurnId,
        /// Which reply.
        step: u32,
    },
    /// More output of a tool that is still running.
    ToolOutput {
        /// The call.
        call: CallId,
        /// Where `text` begins in the output, in UTF-8 bytes.
        offset: u32,
        /// The new output alone.
        text: String,
    },
    /// The server ends the stream; connect again with the last sequence number seen.
    Bye {
        /// Why.
        reason: String,
    },
}

/// What streamed text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextChannel {
    /// Thoughts.
    Reasoning,
    /// Words for people.
    Text,
}
