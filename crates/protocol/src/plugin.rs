//! What plugins are asked, and what of their answers stands in a session's log.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// A place where plugins are asked. The names are those that OpenCode's plugins know, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS, ToSchema)]
pub enum HookPoint {
    /// The session's first turn begins. Words for the model may be added.
    #[serde(rename = "session.start")]
    SessionStart,
    /// A person's words are about to be shown to the model. They may be refused: the turn then fails. Words for the model may be added.
    #[serde(rename = "prompt.submit")]
    PromptSubmit,
    /// A turn begins. Words for the model may be added.
    #[serde(rename = "context.inject")]
    ContextInject,
    /// A tool is about to be called. Its arguments may be replaced, or the call refused. Words may be added below its result.
    #[serde(rename = "tool.execute.before")]
    ToolExecuteBefore,
    /// A call has passed that, with the arguments it will be made with. A person may be asked to allow it, or it may be refused.
    #[serde(rename = "permission.ask")]
    PermissionAsk,
    /// A tool has run. What the model is told may be replaced, or withheld. Words may be added below it.
    #[serde(rename = "tool.execute.after")]
    ToolExecuteAfter,
    /// The model says that it is done. The turn may be refused to end: the model is told why and goes on.
    #[serde(rename = "turn.end")]
    TurnEnd,
}

impl HookPoint {
    /// All of them, in the order in which a session comes to them.
    pub const ALL: [Self; 7] = [
        Self::SessionStart,
        Self::PromptSubmit,
        Self::ContextInject,
        Self::ToolExecuteBefore,
        Self::PermissionAsk,
        Self::ToolExecuteAfter,
        Self::TurnEnd,
    ];

    /// Its name, as plugins and events have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionStart => "session.start",
            Self::PromptSubmit => "prompt.submit",
            Self::ContextInject => "context.inject",
            Self::ToolExecuteBefore => "tool.execute.before",
            Self::PermissionAsk => "permission.ask",
            Self::ToolExecuteAfter => "tool.execute.after",
            Self::TurnEnd => "turn.end",
        }
    }
}

/// What becomes of what a plugin was asked about when it gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It does not happen: for plugins that guard something.
    Closed,
    /// It happens as if the plugin were not there.
    Open,
}

/// What a person is asked to allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Permission {
    /// The plugin that wants to know.
    pub plugin: String,
    /// SHA-256 in hex of the tool's name and the call's arguments as JSON: it is this very call that is allowed, once.
    pub call: String,
}

impl Permission {
    /// The answer that allows it. Any other does not.
    pub const ALLOW: &str = "Allow it";
    /// The other answer that people are offered.
    pub const REFUSE: &str = "Do not";
}

/// What a plugin decided, where it did not simply let something pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PluginDecision {
    /// It put something else in the place: the arguments that stand in `tool_started`, the result that stands in `tool_finished`.
    Replaced,
    /// It refused.
    Denied {
        /// Why; the model is told.
        words: String,
    },
    /// It wants a person to allow the call. What people are asked is the event that follows.
    Asked {
        /// Why.
        words: String,
    },
    /// It would ask, and a person has allowed the call.
    Permitted {
        /// The call, as [`Permission::call`] has it. It is allowed this once.
        call: String,
    },
    /// It added words for the model.
    Injected {
        /// The words.
        text: String,
    },
    /// It gave no answer.
    Failed {
        /// What went wrong.
        reason: String,
        /// What became of what it was asked about.
        on_failure: OnFailure,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_named_the_same_everywhere() {
        for point in HookPoint::ALL {
            assert_eq!(serde_json::to_value(point).unwrap(), point.name());
        }
    }
}
