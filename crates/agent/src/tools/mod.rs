//! What a model can do. Each tool is a file with its schema, its words for the model, and its rules.
//!
//! A tool's error is one of two: a [`Tell`] goes to the model, which may do better; everything else ends the turn.

mod apply_patch;
pub(crate) mod ask;
mod attempts;
mod bash;
mod edit;
mod find_tool;
mod glob;
mod grep;
mod job;
mod list;
pub(crate) mod output;
mod pull_request;
mod read;
mod sessions;
pub(crate) mod todo;
mod use_tool;
mod web_fetch;
mod write;

pub(crate) use apply_patch::paths as patched_paths;
use async_trait::async_trait;
use hangar_protocol::{CallId, TurnId};
pub use read::picture::Picture;
pub(crate) use read::picture::of as picture_of;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

use crate::{
    jobs::Jobs,
    mcp::Servers,
    sink::{TurnOver, TurnSink},
    web::Web,
    workspace::{PathFault, SandboxPath, Sandboxes, Workspace, WorkspaceError},
};

/// Words for the model: why a call did not do what it asked, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Tell(pub String);

/// Why a tool gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The model is told and goes on.
    #[error(transparent)]
    Tell(#[from] Tell),
    /// No call can work: the turn fails with this reason.
    #[error("{0}")]
    Fatal(String),
    /// The turn is no longer the session's.
    #[error(transparent)]
    Over(#[from] TurnOver),
}

impl From<WorkspaceError> for ToolError {
    fn from(error: WorkspaceError) -> Self {
        match error {
            WorkspaceError::Failed(failure) => Self::Tell(Tell(failure.message)),
            WorkspaceError::Lost(reason) => Self::Tell(Tell(format!(
                "The sandbox went away during this call ({reason}). Files are kept; processes are gone. The next call gets a \
                 new sandbox."
            ))),
        }
    }
}

impl From<PathFault> for ToolError {
    fn from(fault: PathFault) -> Self {
        Self::Tell(Tell(format!("{fault}.")))
    }
}

/// A tool, as a model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does and when to use it.
    pub description: &'static str,
    /// The JSON schema of its arguments: always an object.
    pub schema: Value,
}

/// What a call may touch: decides what it may run beside, and whether it must wait for a writable workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It looks and changes nothing.
    Reads,
    /// It changes only what hangar keeps about the session; beside everything but its own kind.
    Notes,
    /// It changes other sessions and nothing of this one: beside everything but its own kind, once earlier commands are done.
    Elsewhere,
    /// It changes this one file.
    Changes(SandboxPath),
    /// It may change anything: it runs alone.
    ChangesAnything,
}

impl Effect {
    /// Whether something that people care about may be another afterwards: the workspace, the forge, another session.
    #[must_use]
    pub fn mutates(&self) -> bool {
        match self {
            Self::Reads | Self::Notes => false,
            Self::Elsewhere | Self::Changes(_) | Self::ChangesAnything => true,
        }
    }

    /// Whether a call with this effect must wait for an earlier call with that effect.
    #[must_use]
    pub fn waits_for(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Notes, Self::Notes) => true,
            (Self::Notes, _) | (_, Self::Notes) | (Self::Reads, Self::Reads) => false,
            // What is asked about sessions comes after what is done to them; a branch is pushed before somebody works on it.
            (Self::Elsewhere | Self::Reads, Self::Elsewhere) | (Self::Elsewhere, Self::ChangesAnything) => true,
            (Self::Elsewhere, Self::Reads | Self::Changes(_))
            | (Self::Changes(_) | Self::ChangesAnything, Self::Elsewhere) => false,
            (Self::Changes(one), Self::Changes(other)) => one == other,
            (Self::Reads, Self::Changes(_) | Self::ChangesAnything)
            | (Self::Changes(_), Self::Reads | Self::ChangesAnything)
            | (Self::ChangesAnything, Self::Reads | Self::Changes(_) | Self::ChangesAnything) => true,
        }
    }
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// For the model. May be longer than the model is shown.
    pub text: String,
    /// Whether it did what it was asked; a command that failed did not.
    pub ok: bool,
    /// An image that the model is shown beside the words, which are then few.
    pub image: Option<Picture>,
}

impl ToolOutput {
    /// The words of a call that worked.
    #[must_use]
    pub fn done(text: impl Into<String>) -> Self {
        Self { text: text.into(), ok: true, image: None }
    }
}

/// One thing a model can do.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What the model is told of it.
    fn spec(&self) -> &ToolSpec;

    /// What a call with these arguments may touch. Arguments that make no sense count as the worst the tool can do.
    fn effect(&self, input: &Value) -> Effect;

    /// The tool and the arguments that are meant by a call with these, where that is another tool: plugins and people see that one, and
    /// [`run`](Self::run) is given its arguments.
    fn meant(&self, _input: &Value) -> Option<(String, Value)> {
        None
    }

    /// Whether it needs a sandbox: its first call then carries the repository's instructions.
    fn uses_workspace(&self) -> bool {
        true
    }

    /// Does it. Dropping the future ends whatever it started.
    ///
    /// # Errors
    /// [`ToolError`].
    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError>;
}

/// What a call can reach.
pub struct CallContext<'a> {
    /// In which turn.
    pub turn: TurnId,
    /// The call.
    pub call: &'a CallId,
    /// The tool, as plugins and people see it.
    pub tool: &'a str,
    /// Where the workspace comes from.
    pub sandboxes: &'a dyn Sandboxes,
    /// The session.
    pub sink: &'a dyn TurnSink,
    /// The session's background commands.
    pub jobs: &'a Jobs,
    /// The web.
    pub web: &'a dyn Web,
    /// Environment of every command: the name and address that commits carry.
    pub env: &'a [(String, String)],
}

impl CallContext<'_> {
    /// The workspace, made if need be.
    ///
    /// # Errors
    /// [`ToolError::Fatal`] when there can be none: no call would work.
    pub async fn workspace(&self) -> Result<Arc<dyn Workspace>, ToolError> {
        self.sandboxes.workspace().await.map_err(|error| {
            let reason = match error {
                WorkspaceError::Failed(failure) => failure.message,
                WorkspaceError::Lost(reason) => reason,
            };
            ToolError::Fatal(format!("The sandbox could not be made: {reason}"))
        })
    }
}

/// Reads a call's arguments.
///
/// # Errors
/// Words for the model that name the argument that is wrong.
pub(crate) fn arguments<T: DeserializeOwned>(input: Value) -> Result<T, ToolError> {
    serde_json::from_value(input)
        .map_err(|error| ToolError::Tell(Tell(format!("The arguments do not fit the tool's schema: {error}."))))
}

/// The effect of a tool that changes the file named `path`.
fn file_effect(input: &Value) -> Effect {
    let path = input.get("path").and_then(Value::as_str).and_then(|path| SandboxPath::parse(path).ok());
    path.map_or(Effect::ChangesAnything, Effect::Changes)
}

/// Every tool, in the order in which models are told of them.
pub(crate) fn toolbox() -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(read::Read::new()),
        Arc::new(write::Write::new()),
        Arc::new(edit::Edit::new()),
        Arc::new(apply_patch::ApplyPatch::new()),
        Arc::new(list::List::new()),
        Arc::new(glob::Glob::new()),
        Arc::new(grep::Grep::new()),
        Arc::new(bash::Bash::new()),
        Arc::new(job::JobTool::new()),
        Arc::new(web_fetch::WebFetch::new()),
        Arc::new(todo::Todo::new()),
        Arc::new(ask::Ask::new()),
        Arc::new(pull_request::PullRequest::new()),
        Arc::new(sessions::Spawn::new()),
        Arc::new(sessions::Status::new()),
        Arc::new(sessions::Message::new()),
        Arc::new(sessions::Cancel::new()),
        Arc::new(sessions::Wait::new()),
    ]
}

/// The tools of a session that has [attempts](crate::Conversation::has_attempts).
#[must_use]
pub(crate) fn attempt_tools() -> Vec<Arc<dyn Tool>> {
    vec![Arc::new(attempts::Compare::new()), Arc::new(attempts::Keep::new())]
}

/// The tools by which those of MCP servers are found and called; none where there is no server.
#[must_use]
pub(crate) fn mcp_tools(servers: &Arc<Servers>) -> Vec<Arc<dyn Tool>> {
    if servers.is_empty() {
        return Vec::new();
    }
    vec![Arc::new(find_tool::FindTool::new(Arc::clone(servers))), Arc::new(use_tool::UseTool::new(Arc::clone(servers)))]
}

/// Whether a call of this tool that is made again does no more than one that is made once. It goes on where the server was killed in it.
#[must_use]
pub fn is_repeatable(name: &str) -> bool {
    sessions::NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        Conversation,
        acp::{Command, Program},
        limits::PREAMBLE_BYTES_MAX,
        mcp::{McpHost, McpInput, McpPlace, McpServer, McpTimes, McpWay, SERVERS_MAX, ServerName},
        prompt,
    };

    struct Nowhere;

    #[async_trait]
    impl McpHost for Nowhere {
        async fn environment(&self) -> Result<BTreeMap<String, String>, String> {
            Err("there is none".to_owned())
        }

        async fn writable(&self) -> Result<(), String> {
            Err("there is none".to_owned())
        }

        async fn start(&self, _command: Command) -> Result<Program, String> {
            Err("there is none".to_owned())
        }

        async fn reach(&self, _url: &str) -> Result<McpWay, String> {
            Err("there is none".to_owned())
        }
    }

    #[test]
    fn prompt_and_schemas_stay_small() {
        let server = |number: usize| McpServer {
            name: ServerName::parse(&format!("server-number-{number}")).unwrap(),
            place: McpPlace::Program(Command { argv: vec!["x".to_owned()], env: BTreeMap::new() }),
        };
        let servers = Arc::new(Servers::new(McpInput {
            servers: (0..SERVERS_MAX + 1).map(server).collect(),
            faults: Vec::new(),
            host: Arc::new(Nowhere),
            times: McpTimes::default(),
        }));
        assert_eq!(servers.names().len(), SERVERS_MAX);
        let mut tools = toolbox();
        tools.extend(mcp_tools(&servers));
        tools.extend(attempt_tools());
        let schemas: usize = tools
            .iter()
            .map(|tool| tool.spec().name.len() + tool.spec().description.len() + tool.spec().schema.to_string().len())
            .sum();
        let prompt = prompt::system(&Conversation::default(), &servers.names()).len();
        assert!(prompt + schemas <= PREAMBLE_BYTES_MAX, "{prompt} + {schemas} bytes");
    }

    #[test]
    fn what_is_repeatable_is_there() {
        let names: Vec<&str> =
            toolbox().iter().map(|tool| tool.spec().name).filter(|name| is_repeatable(name)).collect();
        assert_eq!(names, sessions::NAMES);
    }

    #[test]
    fn only_what_can_disturb_waits() {
        let file = |path: &str| Effect::Changes(SandboxPath::parse(path).unwrap());
        let check = |later: Effect, earlier: Effect, waits: bool| assert_eq!(later.waits_for(&earlier), waits);
        check(Effect::Reads, Effect::Reads, false);
        check(file("a"), file("./a"), true);
        check(file("a"), file("b"), false);
        check(Effect::Reads, file("a"), true);
        check(Effect::ChangesAnything, Effect::Reads, true);
        check(Effect::Notes, Effect::ChangesAnything, false);
        check(Effect::Notes, Effect::Notes, true);
        check(Effect::Elsewhere, Effect::Elsewhere, true);
        check(Effect::Elsewhere, Effect::ChangesAnything, true);
        check(Effect::ChangesAnything, Effect::Elsewhere, false);
        check(Effect::Reads, Effect::Elsewhere, true);
        check(Effect::Elsewhere, Effect::Reads, false);
    }
}
