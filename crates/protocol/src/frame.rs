//! What a stream carries, over WebSocket (one JSON object a message) and Server-Sent Events (one a `data:`), and what a client may
//! say on a WebSocket.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    api::SessionSummary,
    event::Event,
    ids::{CallId, Seq, SessionId, TurnId, UserId},
    refusal::Refusal,
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
    /// How far the stream has come. Sent only where `kinds=` leaves events out: the number of the last event that was looked at, sent
    /// or not, which is where to go on.
    Cursor {
        /// The last event looked at.
        seq: Seq,
    },
    /// Who has the session open. Sent to those who are counted themselves (`presence=true`).
    Presence {
        /// Whether `people` is everybody or those with whom something changed.
        scope: PresenceScope,
        /// At most 100. Who has no connection any more has left.
        people: Vec<Present>,
        /// How many people have the session open, those included who did not fit into `people`.
        total: u32,
    },
    /// Somebody is typing a prompt. Nobody says when they stop: show it for `for_ms` from now, or until a prompt of theirs comes.
    Typing {
        /// Who.
        user: UserId,
        /// Their name.
        name: String,
        /// For how many milliseconds this holds.
        for_ms: u32,
    },
    /// What lists show of a session has changed, or the session is new. Only where the list is followed.
    SessionChanged {
        /// The session as lists show it now.
        summary: Box<SessionSummary>,
    },
    /// A session that this stream has shown in the list is no longer there for this person: removed for good, or hidden from them. Only
    /// where the list is followed.
    SessionUnlisted {
        /// Which.
        id: SessionId,
    },
    /// Every session that lists show has been sent; what follows are changes. Only where the list is followed.
    ListComplete {},
    /// What the client asked for on this stream was refused; the stream goes on.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The server ends the stream; connect again with the last sequence number seen.
    Bye {
        /// Why.
        reason: String,
        /// The last event that was put on its way, where one session is followed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        after: Option<Seq>,
    },
}

/// A frame of a stream of many sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
pub struct SessionFrame {
    /// The session it belongs to; left out in frames about the list or the whole stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub session: Option<SessionId>,
    /// The frame.
    #[serde(flatten)]
    pub frame: Frame,
}

/// Whom a `presence` frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceScope {
    /// Everybody: it replaces what was known.
    Everybody,
    /// Those who came, left or have another number of connections.
    Changed,
}

/// Somebody who has a session open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Present {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// With how many connections; 0 for somebody who left.
    pub connections: u32,
}

/// What a client may say on a WebSocket. Anything else is ignored on the stream of one session, and refused on that of many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Follow these sessions too. One that is followed already is followed anew from here.
    Follow {
        /// Each with its cursor.
        sessions: Vec<FollowFrom>,
    },
    /// Follow these no more. The session's frames that are on their way may still come.
    Unfollow {
        /// Which.
        sessions: Vec<SessionId>,
    },
    /// The person is typing a prompt.
    Typing {
        /// In which session; may be left out on the stream of one.
        #[serde(default)]
        session: Option<SessionId>,
    },
}

/// A session to follow and where to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowFrom {
    /// The session.
    pub session: SessionId,
    /// The last event already known; 0 for none.
    #[serde(default)]
    pub after: Seq,
    /// Whether the person is shown to others as having it open, and is told who has.
    #[serde(default)]
    pub presence: bool,
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
