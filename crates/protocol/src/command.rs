//! What a client can ask of a session. There is no other way to change one.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    Budget,
    api::{OpenPullRequest, RepoTarget},
    ids::{Person, PromptId, RequestId, SessionId, TurnId, UserId},
    people::{InvitationId, SessionRole, Visibility},
    state::Place,
};

/// A wish of a person, carried to a session's task together with who wished it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Begin the session. Only the first command of a session may be this one.
    Create(Box<RepoTarget>),
    /// Add a prompt to the queue.
    Prompt {
        /// The same id with the same text is answered like the first time and adds nothing; with another text it is a conflict.
        request_id: RequestId,
        /// At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
        text: String,
    },
    /// Say something to the running turn: it hears it before its next request to the model. Where none runs, this is a prompt as any other.
    Steer {
        /// As with a prompt, whose number space it shares: the same id with the same text is answered like the first time.
        request_id: RequestId,
        /// At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
        text: String,
    },
    /// Add a prompt and let a paused queue go on with it. Where the queue is not paused, this is a prompt as any other.
    PromptAndResume {
        /// As with a prompt.
        request_id: RequestId,
        /// At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
        text: String,
    },
    /// Take a prompt that has not begun out of the queue. Its author or the session's owner may.
    CancelPrompt {
        /// The prompt.
        prompt: PromptId,
        /// The same id for the same prompt is answered like the first time; without one, a second time is a conflict.
        request_id: Option<RequestId>,
    },
    /// Give a waiting prompt other words. Its author or the session's owner may.
    EditPrompt {
        /// The prompt.
        prompt: PromptId,
        /// The same id with the same content is answered like the first time; with other content it is a conflict.
        request_id: RequestId,
        /// At most [`crate::limits::PROMPT_BYTES_MAX`] bytes.
        text: String,
    },
    /// Put a waiting prompt elsewhere in the queue. Its author or the session's owner may.
    MovePrompt {
        /// The prompt.
        prompt: PromptId,
        /// As with an edit.
        request_id: RequestId,
        /// The waiting prompt that it comes before; `None` for the end of the queue.
        before: Option<PromptId>,
    },
    /// Say a waiting prompt to the running turn instead of giving it a turn of its own. Its author or the session's owner may.
    SteerPrompt {
        /// The prompt.
        prompt: PromptId,
        /// As with an edit.
        request_id: RequestId,
    },
    /// End the running turn now.
    Stop {
        /// The turn that is meant, so that a stop which is sent twice never ends the next one; `None` for whichever runs.
        turn: Option<TurnId>,
        /// What becomes of the prompts that wait.
        then: AfterStop,
        /// Whether the sessions that this one began are stopped with it.
        #[serde(default)]
        reach: Reach,
    },
    /// Let a paused queue go on.
    Resume,
    /// Let a turn go on that waits for its budget. It waits again if the budget is still used up.
    ContinueTurn,
    /// Give the session another budget; a turn that waited for it goes on. Only who may raise budgets is let through to this.
    SetBudget(Budget),
    /// Give the session another title.
    Rename {
        /// 1 to [`crate::limits::TITLE_CHARS_MAX`] characters.
        title: String,
    },
    /// Open the network of this session's sandbox towards a place, for as long as the session lives.
    AllowNetwork(Place),
    /// Make the sandbox once more after it has failed.
    RetrySandbox {
        /// Where its workspace begins.
        begin_at: BeginAt,
    },
    /// Go on with one of several attempts at the same wish.
    KeepAttempt {
        /// The session that it is.
        session: SessionId,
    },
    /// Commit what is not committed, push, and open a pull request in this person's name.
    OpenPullRequest(OpenPullRequest),
    /// Give somebody a role of their own, or another one.
    SetRole {
        /// Who.
        person: Person,
        /// What they may do.
        role: SessionRole,
    },
    /// Take somebody's own role away; everybody may take their own.
    RemoveMember {
        /// Who.
        user: UserId,
    },
    /// Make oneself an owner of the session. The server lets its owners send this, and nobody else.
    TakeOwnership,
    /// Open the session to everybody of the server, or to its members alone.
    SetVisibility {
        /// To whom.
        visibility: Visibility,
    },
    /// Make a link by which people become members.
    Invite {
        /// What they may do.
        role: SessionRole,
        /// SHA-256 of the link's secret, 64 hex digits.
        hash: String,
        /// When it stops working: milliseconds since 1970-01-01 UTC.
        #[ts(type = "number")]
        expires_ms: u64,
        /// What time it is by the server's clock.
        #[ts(type = "number")]
        now_ms: u64,
    },
    /// Take an invitation back.
    RevokeInvitation {
        /// Which.
        invitation: InvitationId,
    },
    /// Accept an invitation.
    Join {
        /// SHA-256 of the link's secret, 64 hex digits.
        hash: String,
        /// What time it is by the server's clock.
        #[ts(type = "number")]
        now_ms: u64,
    },
    /// Put the session away: lists leave it out. The next prompt takes it out again.
    Archive,
    /// Take it out again.
    Unarchive,
    /// Delete the session. It can be taken back for a while.
    Delete {
        /// From when on it is removed for good: milliseconds since 1970-01-01 UTC.
        #[ts(type = "number")]
        purge_ms: u64,
    },
    /// Take a deleted session back.
    Restore,
}

/// What becomes of the prompts that wait when a turn is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterStop {
    /// The next one's turn begins.
    #[default]
    Drain,
    /// They wait until somebody lets the queue go on.
    Pause,
}

/// Where the workspace of a session begins whose sandbox has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BeginAt {
    /// At the session's commit, as it should have.
    #[default]
    Base,
    /// At the commit of the session's image, which is older. The session's base moves there for good.
    Image,
}

/// How far a stop goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The sessions that the agent of this one began are stopped too, and those that they began.
    #[default]
    WithChildren,
    /// This session alone.
    Alone,
}

/// A command and the person it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Commanded {
    /// Who asks.
    pub by: Person,
    /// What for.
    pub command: Command,
}
