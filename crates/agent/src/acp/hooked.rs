//! Agents that ask before each of their calls by a hook program, and how each of them is told to.
//!
//! Everything that an agent is told is an argument, a variable or a word of the protocol that names a file of the sandbox's read-only
//! directory of hooks. So nothing is written into its home, and what a person or a repository has configured there stays as it is.

use std::collections::BTreeMap;

use hangar_protocol::guest::hook::{HOOKS, PATIENCE_S, PROGRAM, SAYS_ALLOW};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The file that names the program to Claude Code.
const CLAUDE_SETTINGS: &str = "claude.json";
/// The plugin that starts the program in OpenCode.
const OPENCODE_PLUGIN: &str = "opencode.js";
/// Where OpenCode takes configuration from besides files.
const OPENCODE_CONFIG: &str = "OPENCODE_CONFIG_CONTENT";
/// How Codex names what is configured by arguments. It trusts a hook there only if told the hash of what it says.
const CODEX_FLAGS_HOOK: &str = "/<session-flags>/config.toml:pre_tool_use:0:0";

/// How an agent is told of its hook program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookFormat {
    /// Claude Code's settings, by `@agentclientprotocol/claude-agent-acp`.
    Claude,
    /// Codex's `hooks` table.
    Codex,
    /// A plugin of OpenCode.
    OpenCode,
}

/// The program, by its path in a sandbox.
fn program() -> String {
    format!("{HOOKS}/{PROGRAM}")
}

/// What lies beside the program in a sandbox, by name.
#[must_use]
pub fn hook_files() -> [(&'static str, String); 2] {
    let command = format!("{} {SAYS_ALLOW}", program());
    let ask =
        json!([{"hooks": [{"type": "command", "command": command, "timeout": PATIENCE_S, "onFailure": "block"}]}]);
    // A repository that switches hooks off does not mean this one.
    let claude = json!({"disableAllHooks": false, "hooks": {"PreToolUse": ask}});
    let opencode = include_str!("hooked/opencode.js").replace("{program}", &program());
    [(CLAUDE_SETTINGS, claude.to_string()), (OPENCODE_PLUGIN, opencode)]
}

impl HookFormat {
    /// What keeps an agent with these variables from having its hook, in words for whoever configures it.
    #[must_use]
    pub fn complaint(self, env: &[(String, String)]) -> Option<String> {
        let config = env.iter().find(|(name, _)| name == OPENCODE_CONFIG).filter(|_| self == Self::OpenCode)?;
        let read = serde_json::from_str::<serde_json::Map<String, Value>>(&config.1);
        read.err()
            .map(|error| format!("{OPENCODE_CONFIG} is no JSON object ({error}), and the hook would be added to it"))
    }

    /// What its program is started with besides.
    pub(super) fn arguments(self) -> Vec<String> {
        match self {
            Self::Codex => vec!["-c".to_owned(), codex_hooks()],
            Self::Claude | Self::OpenCode => vec![],
        }
    }

    /// Adds what its program finds in its environment.
    pub(super) fn furnish(self, env: &mut BTreeMap<String, String>) {
        match self {
            Self::OpenCode => {
                let config = env.entry(OPENCODE_CONFIG.to_owned()).or_insert_with(|| "{}".to_owned());
                *config = with_plugin(config);
                // It would install packages into the home before anything else, for plugins that need them. This one needs none, and takes the
                // word back for commands.
                env.insert("npm_config_offline".to_owned(), "true".to_owned());
                env.insert("OPENCODE_DISABLE_MODELS_FETCH".to_owned(), "1".to_owned());
                env.insert("OPENCODE_DISABLE_AUTOUPDATE".to_owned(), "1".to_owned());
            }
            Self::Claude | Self::Codex => {}
        }
    }

    /// What its protocol's sessions begin with, under `_meta`.
    pub(super) fn meta(self) -> Option<Value> {
        match self {
            Self::Claude => {
                Some(json!({"claudeCode": {"options": {"settings": format!("{HOOKS}/{CLAUDE_SETTINGS}")}}}))
            }
            Self::Codex | Self::OpenCode => None,
        }
    }

    /// The mode in which its conversations begin: the one in which it asks leave for what its hook has not allowed.
    pub(super) fn mode(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some("default"),
            Self::Codex | Self::OpenCode => None,
        }
    }

    /// Whether a call is told before the hook asks about it.
    pub(super) fn is_told_first(self) -> bool {
        match self {
            Self::Claude | Self::OpenCode => true,
            Self::Codex => false,
        }
    }
}

/// The hook in Codex's own words, and that it is trusted.
fn codex_hooks() -> String {
    let program = program();
    let said = json!({"event_name": "pre_tool_use", "hooks": [
        {"type": "command", "command": program, "timeout": PATIENCE_S, "async": false}
    ]});
    let hash: String = Sha256::digest(said.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "hooks={{PreToolUse=[{{hooks=[{{type=\"command\",command=\"{program}\",timeout={PATIENCE_S}}}]}}],\
         state={{\"{CODEX_FLAGS_HOOK}\"={{trusted_hash=\"sha256:{hash}\"}}}}}}"
    )
}

/// A configuration of OpenCode with the plugin. One that is no object is complained of before (`complaint`).
fn with_plugin(config: &str) -> String {
    let Ok(mut all @ Value::Object(_)) = serde_json::from_str(config) else { return config.to_owned() };
    let mut plugins = all["plugin"].as_array().cloned().unwrap_or_default();
    plugins.push(format!("file://{HOOKS}/{OPENCODE_PLUGIN}").into());
    all["plugin"] = plugins.into();
    all.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codex_is_told_a_hook_that_it_trusts() {
        assert_eq!(
            codex_hooks(),
            "hooks={PreToolUse=[{hooks=[{type=\"command\",command=\"/opt/hangar/hooks/hangar-hook\",timeout=1200}]}],\
             state={\"/<session-flags>/config.toml:pre_tool_use:0:0\"={trusted_hash=\
             \"sha256:f04811dc49cdfa3f15550edc69cad27d6582dd3ac9cc81501be934f45268ec97\"}}}"
        );
    }

    #[test]
    fn opencode_keeps_what_it_was_configured_with() {
        let mut env = BTreeMap::from([(OPENCODE_CONFIG.to_owned(), r#"{"model":"a/b","plugin":["own"]}"#.to_owned())]);
        HookFormat::OpenCode.furnish(&mut env);
        let config: Value = serde_json::from_str(&env[OPENCODE_CONFIG]).unwrap();
        assert_eq!(config, json!({"model": "a/b", "plugin": ["own", "file:///opt/hangar/hooks/opencode.js"]}));
        assert_eq!(with_plugin("no json"), "no json");
    }
}
