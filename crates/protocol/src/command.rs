//! What a client can ask of a session. There is no other way to change one.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    Budget,
    api::{OpenPullRequest, RepoTarget},
    ids::{Person, PromptId, RequestId},
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
    /// Take a prompt that has not begun out of the queue. Its author or the session's owner may.
    CancelPrompt {
        /// The prompt.
        prompt: PromptId,
    },
    /// End the running turn now.
    Stop,
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
    /// Commit what is not committed, push, and open a pull request in this person's name.
    OpenPullRequest(OpenPullRequest),
}

/// A command and the person it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Commanded {
    /// Who asks.
    pub by: Person,
    /// What for.
    pub command: Command,
}
