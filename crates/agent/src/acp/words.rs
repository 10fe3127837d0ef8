//! The words of the Agent Client Protocol, version 1 (<https://agentclientprotocol.com/protocol/v1/overview>), as far as hangar uses them.
//!
//! Types of our own, and tolerant: agents leave out and add what they like. The published types would turn on a feature of `serde_json` that
//! changes the order of every JSON object hangar writes.

use serde::Deserialize;
use serde_json::Value;

/// The version that hangar speaks.
pub(super) const VERSION: u32 = 1;
/// JSON-RPC's code for a method that there is not.
pub(super) const NO_SUCH_METHOD: i32 = -32601;
/// JSON-RPC's code for parameters that make no sense.
pub(super) const UNUSABLE_PARAMS: i32 = -32602;

/// What an agent answers to `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Initialized {
    pub(super) protocol_version: u32,
    pub(super) agent_capabilities: Capabilities,
    pub(super) agent_info: Option<AgentName>,
}

/// What an agent can do.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Capabilities {
    pub(super) load_session: bool,
}

/// What an agent calls itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AgentName {
    pub(super) name: String,
    pub(super) version: String,
}

/// What an agent answers to `session/new`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSession {
    pub(super) session_id: String,
}

/// What an agent answers to `session/prompt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prompted {
    pub(super) stop_reason: Stopped,
}

/// Why an agent ended its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stopped {
    EndTurn,
    MaxTokens,
    MaxTurnRequests,
    Refusal,
    Cancelled,
}

/// What stands in a `session/update`.
#[derive(Debug, Deserialize)]
pub(super) struct Updated {
    pub(super) update: Update,
}

/// One line of an agent: an answer, a notification, or a request of its own.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    #[serde(default)]
    pub(super) id: Option<Value>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) params: Value,
    #[serde(default)]
    pub(super) result: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<RpcError>,
}

/// Why an agent does not do what it was asked.
#[derive(Debug, Deserialize)]
pub(super) struct RpcError {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) data: Option<Value>,
}

impl RpcError {
    /// In words: most agents put the cause into `data`.
    pub(super) fn words(&self) -> String {
        let more = match &self.data {
            None | Some(Value::Null) => return self.message.clone(),
            Some(Value::String(text)) => text.clone(),
            Some(data) => data["message"].as_str().map_or_else(|| data.to_string(), str::to_owned),
        };
        format!("{}: {more}", self.message)
    }
}

/// What an agent tells while it works.
#[derive(Debug, Deserialize)]
#[serde(tag = "sessionUpdate", rename_all = "snake_case")]
pub(super) enum Update {
    /// More of its words.
    AgentMessageChunk { content: Value },
    /// More of its thoughts.
    AgentThoughtChunk { content: Value },
    /// It calls a tool.
    ToolCall(Call),
    /// A call goes on or ends.
    #[serde(rename = "tool_call_update")]
    CallNews(Call),
    /// Its to-do list.
    Plan { entries: Vec<PlanEntry> },
    /// What hangar has no use for.
    #[serde(other)]
    Other,
}

/// A call, or what is new of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) tool_call_id: String,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) status: Option<CallStatus>,
    #[serde(default)]
    pub(super) content: Value,
    #[serde(default)]
    pub(super) raw_input: Value,
    #[serde(default)]
    pub(super) raw_output: Value,
    #[serde(default)]
    pub(super) locations: Value,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallStatus {
    Pending,
    InProgress,
    Completed,
    Failed,
    /// One that this version of the protocol does not have.
    #[serde(other)]
    Other,
}

/// An entry of a plan.
#[derive(Debug, Deserialize)]
pub(super) struct PlanEntry {
    pub(super) content: String,
    #[serde(default)]
    pub(super) status: String,
}

/// What an agent may be answered when it asks for leave.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PermissionOption {
    pub(super) option_id: String,
    #[serde(default)]
    pub(super) kind: String,
}

/// A wish for leave.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permission {
    pub(super) tool_call: Call,
    #[serde(default)]
    pub(super) options: Vec<PermissionOption>,
}

impl PermissionOption {
    /// Whether it lets the call be made this once.
    pub(super) fn allows_once(&self) -> bool {
        self.kind == "allow_once"
    }

    /// Whether it keeps the call from being made.
    pub(super) fn rejects(&self) -> bool {
        self.kind.starts_with("reject")
    }
}

impl Call {
    /// Takes in what is new.
    pub(super) fn update(&mut self, new: Self) {
        let Self { tool_call_id: _, title, kind, status, content, raw_input, raw_output, locations } = new;
        self.title = title.or(self.title.take());
        self.kind = kind.or(self.kind.take());
        self.status = status.or(self.status);
        for (known, new) in [
            (&mut self.content, content),
            (&mut self.raw_input, raw_input),
            (&mut self.raw_output, raw_output),
            (&mut self.locations, locations),
        ] {
            if !new.is_null() {
                *known = new;
            }
        }
    }

    /// Whether it says what it is about to do.
    pub(super) fn is_whole(&self) -> bool {
        let pending = matches!(self.status, None | Some(CallStatus::Pending));
        !pending || self.raw_input.as_object().is_some_and(|input| !input.is_empty())
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status, Some(CallStatus::Completed | CallStatus::Failed))
    }

    /// The files it names.
    pub(super) fn paths(&self) -> Vec<String> {
        let named = [&self.locations, &self.content].into_iter().filter_map(Value::as_array).flatten();
        let mut paths: Vec<String> = named.filter_map(|place| place["path"].as_str().map(str::to_owned)).collect();
        paths.dedup();
        paths
    }

    /// The tool in hangar's words and its arguments, so that plugins and people know a command of any agent for one.
    pub(super) fn named(&self) -> (String, Value) {
        let kind = self.kind.as_deref().unwrap_or("other");
        // Some call a shell's calls `other`. An editor's have a file beside their command.
        let is_shell = kind == "execute"
            || (kind == "other" && !self.raw_input["command"].is_null() && self.raw_input["path"].is_null());
        match (is_shell, self.command()) {
            (true, Some(command)) => ("bash".to_owned(), serde_json::json!({ "command": command })),
            _ => {
                let mut input = match &self.raw_input {
                    Value::Object(_) => self.raw_input.clone(),
                    Value::Null => serde_json::json!({}),
                    other => serde_json::json!({ "input": other }),
                };
                if let Some(title) = &self.title {
                    input["title"] = title.clone().into();
                }
                if let Some(path) = self.paths().first() {
                    input["path"] = path.clone().into();
                }
                (kind.to_owned(), input)
            }
        }
    }

    /// The command of a shell's call.
    fn command(&self) -> Option<String> {
        let command = match &self.raw_input["command"] {
            Value::String(command) => return Some(command.clone()),
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
            _ => return self.title.clone(),
        };
        match command.as_slice() {
            [shell, flag, script] if shell.ends_with("sh") && flag.starts_with('-') => Some((*script).to_owned()),
            words => Some(words.join(" ")),
        }
    }

    /// Whether it may change something, as far as its kind says.
    pub(super) fn mutates(&self) -> bool {
        !matches!(self.kind.as_deref(), Some("read" | "search" | "think" | "fetch"))
    }

    /// What it gave, in words.
    pub(super) fn output(&self) -> String {
        for name in ["formatted_output", "aggregated_output", "output", "stdout"] {
            if let Some(text) = self.raw_output[name].as_str() {
                return text.to_owned();
            }
        }
        if let Some(text) = self.raw_output.as_str() {
            return text.to_owned();
        }
        let parts = self.content.as_array().into_iter().flatten();
        let words: Vec<&str> = parts.filter_map(|part| part["content"]["text"].as_str()).collect();
        match (words.is_empty(), &self.raw_output) {
            (false, _) => words.join("\n"),
            (true, Value::Null) => String::new(),
            (true, output) => output.to_string(),
        }
    }
}
