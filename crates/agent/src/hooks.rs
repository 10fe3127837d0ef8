//! The bus: what plugins are asked, what they may answer, and in which order.
//!
//! A [`Hook`] is asked at [`HookPoint`]s and gives a [`Verdict`]. The hooks of a turn stand on one [`Bus`], in the order in
//! which they were installed: each sees what those before it made of the matter, and the first that refuses ends it. A hook
//! that gives no answer in its time, or fails, counts as it was installed: closed refuses, open passes.
//!
//! There is no way to a tool around the bus: [`crate::turn`] calls tools in one place, behind it, whoever the caller is and
//! however often the server was restarted in between.

mod bus;
mod commands;
mod protected;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hangar_protocol::{CallId, HookPoint, OnFailure, RepoPath, SessionId, TurnId, UserId, event::ToolStatus};
use serde_json::Value;

pub(crate) use bus::Held;
pub use bus::{Bus, Decided};
pub use commands::RepositoryHooks;
pub use protected::ProtectedPaths;

use crate::conversation::{Facts, OpenTurn};

/// In which session and turn something is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The session.
    pub session: SessionId,
    /// The repository it works on.
    pub repo: RepoPath,
    /// The branch it works on.
    pub branch: String,
    /// The branch its pull request goes to.
    pub base_branch: String,
    /// The turn.
    pub turn: TurnId,
    /// Whose prompt it works on.
    pub author: UserId,
    /// The model that is asked, as sessions name it.
    pub model: String,
}

impl Scene {
    /// Where this turn of a session stands, and which model it asks.
    pub(crate) fn of(facts: &Facts, open: &OpenTurn, model: &str) -> Self {
        Self {
            session: facts.session.clone(),
            repo: facts.repo.clone(),
            branch: facts.branch.clone(),
            base_branch: facts.base_branch.clone(),
            turn: open.id,
            author: open.author.user.clone(),
            model: model.to_owned(),
        }
    }
}

/// A call as hooks see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The model's name for it.
    pub call: CallId,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub input: Value,
    /// Whether the tool may change something.
    pub mutates: bool,
}

/// What a tool gave, before the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// How it ended.
    pub status: ToolStatus,
    /// What the model is told.
    pub output: String,
}

/// What a hook is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Occasion<'a> {
    /// See [`HookPoint::SessionStart`].
    SessionStart,
    /// See [`HookPoint::PromptSubmit`].
    PromptSubmit {
        /// Who says it.
        by: &'a UserId,
        /// The words.
        text: &'a str,
    },
    /// See [`HookPoint::ContextInject`].
    ContextInject,
    /// See [`HookPoint::ToolExecuteBefore`].
    ToolExecuteBefore(&'a ToolCall),
    /// See [`HookPoint::PermissionAsk`].
    PermissionAsk(&'a ToolCall),
    /// See [`HookPoint::ToolExecuteAfter`].
    ToolExecuteAfter(&'a ToolCall, &'a ToolResult),
    /// See [`HookPoint::TurnEnd`].
    TurnEnd {
        /// The model's last words.
        said: &'a str,
        /// How often the turn was not let end before.
        sent_back: u32,
    },
}

impl Occasion<'_> {
    /// Where it arises.
    #[must_use]
    pub fn point(&self) -> HookPoint {
        match self {
            Self::SessionStart => HookPoint::SessionStart,
            Self::PromptSubmit { .. } => HookPoint::PromptSubmit,
            Self::ContextInject => HookPoint::ContextInject,
            Self::ToolExecuteBefore(_) => HookPoint::ToolExecuteBefore,
            Self::PermissionAsk(_) => HookPoint::PermissionAsk,
            Self::ToolExecuteAfter(..) => HookPoint::ToolExecuteAfter,
            Self::TurnEnd { .. } => HookPoint::TurnEnd,
        }
    }
}

/// What a hook says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Let it pass. It may be said everywhere.
    Allow,
    /// Call the tool with these arguments. For [`HookPoint::ToolExecuteBefore`].
    Arguments(Value),
    /// Tell the model this result. For [`HookPoint::ToolExecuteAfter`].
    Output(String),
    /// Add these words for the model. For [`HookPoint::SessionStart`] and [`HookPoint::ContextInject`].
    Context(String),
    /// Let a person decide, with words that say why. For [`HookPoint::PermissionAsk`] and [`HookPoint::ToolExecuteBefore`].
    Ask(String),
    /// Refuse, with words for the model, or for people where no model is told. Not for the two points that only add words.
    Deny(String),
    /// Add these words for the model beside another verdict. For a call, whose result they stand below, and for [`HookPoint::PromptSubmit`].
    Adding {
        /// The words.
        words: String,
        /// What else it says; no more words.
        and: Box<Self>,
    },
}

/// Something that is asked. Plugins are hooks, and so is what hangar itself guards.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Whether it wants to be asked here. Where it does not, asking costs nothing.
    fn listens(&self, point: HookPoint) -> bool;

    /// Its verdict. Dropping the future gives the question up.
    ///
    /// # Errors
    /// What went wrong, in words for people; it then counts as failed.
    async fn ask(&self, scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String>;
}

/// Whose a hook is, by the name it was installed with: for words to the model and to people.
pub(crate) fn origin(plugin: &str) -> &'static str {
    if plugin.starts_with(RepositoryHooks::PREFIX) { "a hook of the repository" } else { "a plugin of this server" }
}

/// A hook with what was said about it when it was installed.
#[derive(Clone)]
pub struct Installed {
    /// The plugin's name, as events have it. Those that begin with `hangar.` are hangar's own, those with [`RepositoryHooks::PREFIX`] the repository's.
    pub plugin: String,
    /// What is asked.
    pub hook: Arc<dyn Hook>,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// After so long without an answer it has failed.
    pub deadline: Duration,
}
