//! MCP servers: tools of other makers, which the agent finds and calls.
//!
//! ```text
//!   find_tool ─┐              ┌─ first need ─▶ program in the sandbox, over its standard input and output
//!              ├──▶ Servers ──┤
//!   use_tool ──┘              └─ first need ─▶ Streamable HTTP, over the border of the sandbox
//!   (as mcp__server__tool on the bus of plugins)
//! ```
//!
//! A server runs from the first call of a turn that needs it to the turn's end, and everything that it started ends with it. The protocol is
//! rmcp's; here is what hangar adds: where servers stand, names, limits, and what becomes of results.
//!
//! Architecture invariant: a server has the rights of a command in the sandbox and no more, whoever named it: a program runs inside, and an
//! address is reached over the sandbox's border, where rules, credentials and denials are those of every connection of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::acp::{Command, Program};

mod carried;
mod catalog;
mod connection;
mod file;
mod find;
mod names;
pub(crate) mod result;
mod servers;
mod variables;

pub use file::McpFiles;
pub(crate) use names::canonical;
pub use names::{NameFault, ServerName};
pub(crate) use servers::Servers;

/// Servers that one session has; those of the configuration come first.
pub const SERVERS_MAX: usize = 16;
/// Tools that are kept of one server; others are left out, and the model is told.
pub const TOOLS_MAX: usize = 1_000;
/// Pages in which one server may list them.
pub const PAGES_MAX: usize = 100;
/// What is kept of one server's tools in all: names, descriptions and schemas.
pub const CATALOG_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How much of a tool's description is kept.
pub const DESCRIPTION_BYTES_MAX: usize = 2 * 1024;
/// Largest schema of a tool's arguments that the model is shown; of a larger one it is told the size.
pub const SCHEMA_BYTES_MAX: usize = 8 * 1024;
/// One message of a server. A larger one ends it.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages of a server that is a program, in one turn. More end it.
pub const MESSAGES_MAX: u32 = 100_000;
/// How much of the end of a server's standard error is kept, for the words in which its end is told.
pub const COMPLAINTS_BYTES_MAX: usize = 4 * 1024;
/// How often a program is started in one turn.
pub const STARTS_MAX: u32 = 3;

/// How long a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McpTimes {
    /// From its start until its tools are known.
    pub start_max: Duration,
    /// For one call.
    pub call_max: Duration,
    /// For each step of its end: to take the word that nobody waits for a call, to close the connection, to end by itself. Then its process tree is
    /// ended.
    pub farewell_max: Duration,
}

impl Default for McpTimes {
    fn default() -> Self {
        Self {
            start_max: Duration::from_secs(60),
            call_max: Duration::from_secs(600),
            farewell_max: Duration::from_millis(250),
        }
    }
}

/// A server, as a configuration or a repository names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Its name; tools are called `mcp__<name>__<tool>`.
    pub name: ServerName,
    /// Where it is. `${NAME}` and `${NAME:-words}` in it stand for variables that commands in the sandbox have.
    pub place: McpPlace,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum McpPlace {
    /// A program in the sandbox.
    Program(Command),
    /// An address, reached over the border of the sandbox.
    Address {
        /// `https://…`, or `http://…`.
        url: String,
        /// Sent with every request.
        headers: BTreeMap<String, String>,
    },
}

/// What a turn needs of MCP servers.
#[derive(Clone)]
pub struct McpInput {
    /// The servers, each name once.
    pub servers: Vec<McpServer>,
    /// What the repository's own files say that cannot be used.
    pub faults: Vec<String>,
    /// Where they run.
    pub host: Arc<dyn McpHost>,
    /// How long they may take.
    pub times: McpTimes,
}

/// Where servers run and how they are reached. The session's adapter does it in its sandbox; this crate's tests in a directory.
#[async_trait]
pub trait McpHost: Send + Sync {
    /// The variables that commands have.
    ///
    /// # Errors
    /// Why there can be no sandbox, for the model.
    async fn environment(&self) -> Result<BTreeMap<String, String>, String>;

    /// Returns once the workspace can be written, within the time that the session allows for that.
    ///
    /// # Errors
    /// Why it cannot, for the model.
    async fn writable(&self) -> Result<(), String>;

    /// Starts a program in the workspace, with the environment of commands and what the command adds.
    ///
    /// # Errors
    /// Why it cannot be started, for the model.
    async fn start(&self, command: Command) -> Result<Program, String>;

    /// Opens a way to the host of an address, over the border of the sandbox.
    ///
    /// # Errors
    /// Why there can be none, for the model.
    async fn reach(&self, url: &str) -> Result<McpWay, String>;
}

/// A way to a host, over the border of a sandbox.
pub struct McpWay {
    /// A Unix socket, `@` before its name where that is abstract. Requests that are sent there go to that host and no other.
    pub socket: String,
    /// Closes the way when it is dropped.
    pub open: Box<dyn Send + Sync>,
}
