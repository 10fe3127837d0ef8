//! Hooks see every tool call before and after it runs, and can change or block it.
//!
//! They run in the order in which they were installed; the first that blocks ends the matter. There is no way to a tool
//! around them: [`crate::turn`] calls tools in one place, behind the hooks.

use async_trait::async_trait;
use hangar_protocol::{CallId, event::ToolStatus};
use serde_json::Value;

use crate::{tools::patched_paths, workspace::SandboxPath};

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

/// What a hook says about a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It may run with these arguments instead.
    Change(Value),
    /// It may not run; the model is told why and goes on.
    Block(String),
}

/// Something that watches over tool calls.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Before the call, and before its start is recorded.
    async fn before(&self, call: &ToolCall) -> Verdict;

    /// After the call, before its end is recorded. A call that was blocked never gets here.
    async fn after(&self, call: &ToolCall, result: &mut ToolResult);
}

/// Keeps the `write`, `edit` and `apply_patch` tools out of directories that are not the model's to write, such as `.git`.
///
/// A seat belt, not a lock: a shell command can still write there. The sandbox and the broker are the locks.
#[derive(Clone, Debug)]
pub struct ProtectedPaths {
    paths: Vec<SandboxPath>,
}

impl ProtectedPaths {
    /// Protects these paths and everything below them.
    #[must_use]
    pub fn new(paths: Vec<SandboxPath>) -> Self {
        Self { paths }
    }

    fn covering(&self, path: &SandboxPath) -> Option<&SandboxPath> {
        self.paths.iter().find(|protected| {
            path.as_str().strip_prefix(protected.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[async_trait]
impl Hook for ProtectedPaths {
    async fn before(&self, call: &ToolCall) -> Verdict {
        let path = call.input.get("path").and_then(Value::as_str).and_then(|path| SandboxPath::parse(path).ok());
        let paths = path.into_iter().chain(patched_paths(&call.input));
        match paths.filter(|_| call.mutates).find_map(|path| self.covering(&path).cloned()) {
            Some(protected) => Verdict::Block(format!(
                "{} is protected: files there are not written by hand. Use git commands for what belongs to git.",
                protected.shown()
            )),
            None => Verdict::Allow,
        }
    }

    async fn after(&self, _call: &ToolCall, _result: &mut ToolResult) {}
}
