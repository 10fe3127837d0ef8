//! One plugin, and the questions that tests ask it.

use std::path::Path;

use hangar_agent::{
    ToolCall, ToolResult, Verdict,
    hooks::{Installed, Occasion, Scene},
};
use hangar_plugins::{LoadError, PluginSettings, Plugins, limits};
use hangar_protocol::{OnFailure, event::ToolStatus};
use serde_json::Value;

/// As it is configured without any setting but its file.
pub(crate) fn settings(name: &str, path: &Path) -> PluginSettings {
    PluginSettings {
        name: name.to_owned(),
        path: path.to_owned(),
        repos: Vec::new(),
        on_failure: OnFailure::Closed,
        // A loaded machine never takes so long for what ends by itself.
        timeout_ms: 20_000,
        memory_mib: limits::MEMORY_MIB_DEFAULT,
        options: Vec::new(),
    }
}

/// Loads a plugin of this text.
pub(crate) fn load(text: &str, change: impl FnOnce(&mut PluginSettings)) -> Result<Plugin, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plugin.js");
    std::fs::write(&file, text).unwrap();
    let mut settings = settings("tried", &file);
    change(&mut settings);
    Plugin::load(settings)
}

pub(crate) fn plugin(text: &str) -> Plugin {
    load(text, |_| {}).unwrap()
}

pub(crate) struct Plugin(Installed);

impl Plugin {
    pub(crate) fn load(settings: PluginSettings) -> Result<Self, LoadError> {
        let plugins = Plugins::load(&[settings])?;
        Ok(Self(plugins.of(&"acme/shop".parse().unwrap()).pop().unwrap()))
    }

    /// Asks in the session `s1`.
    pub(crate) async fn ask(&self, occasion: Occasion<'_>) -> Result<Verdict, String> {
        self.ask_in("s1", occasion).await
    }

    /// Asks in this session.
    pub(crate) async fn ask_in(&self, session: &str, occasion: Occasion<'_>) -> Result<Verdict, String> {
        assert!(self.0.hook.listens(occasion.point()), "it has no hook {}", occasion.point().name());
        let scene = Scene {
            session: session.parse().unwrap(),
            repo: "acme/shop".parse().unwrap(),
            branch: "hangar/s1".to_owned(),
            base_branch: "main".to_owned(),
            turn: hangar_protocol::TurnId(1),
            author: "ada".parse().unwrap(),
            model: "scripted/test".to_owned(),
        };
        self.0.hook.ask(&scene, occasion).await
    }

    /// Asks before a call of `tool`.
    pub(crate) async fn before(&self, tool: &str, args: Value) -> Result<Verdict, String> {
        self.ask(Occasion::ToolExecuteBefore(&call(tool, args))).await
    }

    /// Asks after a call of `tool` that gave `output`.
    pub(crate) async fn after(&self, tool: &str, args: Value, ok: bool, output: &str) -> Result<Verdict, String> {
        let status = if ok { ToolStatus::Ok } else { ToolStatus::Error };
        let result = ToolResult { status, output: output.to_owned() };
        self.ask(Occasion::ToolExecuteAfter(&call(tool, args), &result)).await
    }
}

pub(crate) fn call(tool: &str, args: Value) -> ToolCall {
    let mutates = !matches!(tool, "read" | "list" | "glob" | "grep");
    ToolCall { call: "c1".parse().unwrap(), name: tool.to_owned(), input: args, mutates }
}
