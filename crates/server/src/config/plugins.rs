//! JavaScript plugins that watch over sessions.

use std::path::PathBuf;

use hangar_plugins::{PluginSettings, limits};
use hangar_protocol::OnFailure;
use serde::{Deserialize, Serialize};

use super::{Shape, keys::section};

section! {
    /// `[[plugins]]`: a JavaScript plugin that watches over sessions. See plugins.md.
    PluginConfig in "plugins" {
        /// Its name, as events have it: letters, digits, `-` and `_`.
        name: String = String::new(), Shape::Text;
        /// Its file. A relative path begins where the server was started.
        path: PathBuf = PathBuf::new(), Shape::Text;
        /// The repositories it holds for, e.g. `acme/*`; empty for all.
        repos: Vec<String> = Vec::new(), Shape::List;
        /// What counts when it gives no answer: `closed` refuses, `open` passes.
        on_failure: FailureWord = FailureWord::Closed, Shape::Choice(&["closed", "open"]);
        /// How long it may take for an answer.
        timeout_ms: u32 = limits::TIMEOUT_MS_DEFAULT, Shape::Number("milliseconds");
        /// How much memory it may use.
        memory_mb: u32 = limits::MEMORY_MIB_DEFAULT, Shape::Number("MiB");
        /// Texts that it reads as `options`.
        options: Vec<String> = Vec::new(), Shape::List;
    }
}

/// What a plugin's failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureWord {
    /// It counts as a refusal.
    Closed,
    /// It counts as if the plugin were not there.
    Open,
}

impl PluginConfig {
    /// What the plugin is loaded with.
    pub(crate) fn settings(&self) -> PluginSettings {
        PluginSettings {
            name: self.name.clone(),
            path: self.path.clone(),
            repos: self.repos.clone(),
            on_failure: match self.on_failure {
                FailureWord::Closed => OnFailure::Closed,
                FailureWord::Open => OnFailure::Open,
            },
            timeout_ms: self.timeout_ms,
            memory_mib: self.memory_mb,
            options: self.options.clone(),
        }
    }
}
