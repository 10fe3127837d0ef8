//! `hangar.protected-paths`: what git keeps in `.git` is not written by hand.

use async_trait::async_trait;
use hangar_protocol::HookPoint;
use serde_json::Value;

use super::{Hook, Occasion, Scene, Verdict};
use crate::{tools::patched_paths, workspace::SandboxPath};

/// Keeps the `write`, `edit` and `apply_patch` tools out of directories that are not the model's to write, such as `.git`.
///
/// A seat belt, not a lock: a shell command can still write there. The sandbox and the broker are the locks.
#[derive(Clone, Debug)]
pub struct ProtectedPaths {
    paths: Vec<SandboxPath>,
}

impl ProtectedPaths {
    /// The plugin's name in events.
    pub const PLUGIN: &str = "hangar.protected-paths";

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
    fn listens(&self, point: HookPoint) -> bool {
        point == HookPoint::ToolExecuteBefore
    }

    async fn ask(&self, _scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        let Occasion::ToolExecuteBefore(call) = occasion else { return Ok(Verdict::Allow) };
        let path = call.input.get("path").and_then(Value::as_str).and_then(|path| SandboxPath::parse(path).ok());
        let mut paths = path.into_iter().chain(patched_paths(&call.input)).filter(|_| call.mutates);
        Ok(match paths.find_map(|path| self.covering(&path).cloned()) {
            Some(protected) => Verdict::Deny(format!(
                "{} is protected: files there are not written by hand. Use git commands for what belongs to git.",
                protected.shown()
            )),
            None => Verdict::Allow,
        })
    }
}
