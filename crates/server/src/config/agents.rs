//! External agents that may work in sessions.

use std::{collections::BTreeMap, path::PathBuf};

use hangar_agent::{
    acp::{Harness, HarnessWire, HookFormat},
    gateway::ModelWire,
};
use hangar_protocol::Refusal;
use hangar_sandbox::toolchains::Toolchain;
use serde::{Deserialize, Serialize};

use super::{Shape, Wire, keys::section, load::refusal};

/// What sessions without an external agent have.
const OWN: &str = "hangar";
/// Longest id of an agent.
const ID_CHARS_MAX: usize = 40;

section! {
    /// `[[agents]]`: an external agent that works inside the sandbox. See harnesses.md.
    AgentConfig in "agents" {
        /// How sessions name it: lower-case letters, digits, `-` and `_`.
        id: String = String::new(), Shape::Text;
        /// How it is driven: by the Agent Client Protocol over its standard input and output.
        kind: AgentKind = AgentKind::Acp, Shape::Choice(&["acp"]);
        /// The program, by its absolute path inside the sandbox, and its arguments. `{model}` and `{models_url}` in them stand for the session's model and the gateway's address.
        command: Vec<String> = Vec::new(), Shape::List;
        /// Variables it needs, as `NAME=value`; besides those two, `{models_token}` stands for the gateway's token.
        environment: Vec<String> = Vec::new(), Shape::List;
        /// The wire over which it asks models; sessions with a model that is not reached over it are refused. Where none is named, all are let through.
        wire: Option<Wire> = None, Shape::Choice(&["anthropic", "openai", "openai_responses"]);
        /// `provider/model` that its sessions use unless they say otherwise; empty for the server's default.
        model: String = String::new(), Shape::Text;
        /// A directory of this machine, mounted read only at `/opt/toolchains/agent-<id>` in every sandbox over this machine's own programs. Images with a base of their own have to bring the program along.
        folder: Option<PathBuf> = None, Shape::Text;
        /// How it is told to ask plugins before each of its calls: `claude` (Claude Code by claude-agent-acp), `codex`, `opencode`. Where nothing is said, it is heard when it asks leave and when it tells of a call.
        hooks: Option<HookWord> = None, Shape::Choice(&["claude", "codex", "opencode"]);
    }
}

/// How an agent is told to ask before its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookWord {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// OpenCode.
    OpenCode,
}

/// How an agent is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// The Agent Client Protocol.
    Acp,
}

impl AgentConfig {
    /// What sessions drive.
    pub(crate) fn harness(&self) -> Harness {
        let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Harness {
            id: self.id.clone(),
            command: self.command.clone(),
            env: self.environment.iter().filter_map(pair).collect(),
            wire: self.wire.map(wire),
            model: (!self.model.is_empty()).then(|| self.model.clone()),
            hooks: self.hooks.map(HookWord::format),
        }
    }

    /// Its directory, as sandboxes find it. Nothing of it is on `PATH`: an agent is started by its whole path.
    pub(crate) fn toolchain(&self) -> Option<Toolchain> {
        let host_path = self.folder.clone()?;
        Some(Toolchain {
            name: format!("agent-{}", self.id),
            host_path,
            bin: vec![],
            also_at: vec![],
            env: BTreeMap::new(),
        })
    }

    /// # Errors
    /// What cannot be used, and how it is written.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.id.is_empty() || self.id.len() > ID_CHARS_MAX || !self.id.chars().all(word) || self.id == OWN {
            return Err(refusal(
                format!("agents.id is {:?}.", self.id),
                &format!(
                    "Write up to {ID_CHARS_MAX} lower-case letters, digits, - and _; hangar's own agent has no entry."
                ),
            ));
        }
        if !self.command.first().is_some_and(|program| program.starts_with('/')) {
            return Err(refusal(
                format!("agents.command of {} begins with no absolute path.", self.id),
                "Write the program as it is found inside the sandbox, then its arguments: [\"/opt/toolchains/agent-codex/bin/codex-acp\"].",
            ));
        }
        if let Some(entry) =
            self.environment.iter().find(|entry| entry.split_once('=').is_none_or(|(name, _)| name.is_empty()))
        {
            return Err(refusal(format!("agents.environment of {} has {entry:?}.", self.id), "Write NAME=value."));
        }
        let harness = self.harness();
        if let Some(complaint) = harness.hooks.and_then(|hooks| hooks.complaint(&harness.env)) {
            return Err(refusal(
                format!("agents.hooks of {} cannot be had: {complaint}.", self.id),
                "Write the configuration as JSON, or leave agents.hooks out.",
            ));
        }
        match &self.folder {
            Some(folder) if !(folder.is_absolute() && folder.is_dir()) => Err(refusal(
                format!("agents.folder of {} ({}) is no directory.", self.id, folder.display()),
                "Write the absolute path of the directory in which the agent is installed.",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl HookWord {
    fn format(self) -> HookFormat {
        match self {
            Self::Claude => HookFormat::Claude,
            Self::Codex => HookFormat::Codex,
            Self::OpenCode => HookFormat::OpenCode,
        }
    }
}

fn wire(wire: Wire) -> HarnessWire {
    match wire {
        Wire::Anthropic => ModelWire::Messages,
        Wire::OpenAi => ModelWire::Chat,
        Wire::OpenAiResponses => ModelWire::Responses,
    }
}
