//! How each agent is started, and where it comes from.

use hangar_protocol::AgentKind;

/// Where agents are mounted inside a sandbox.
pub const INSTALLED_BELOW: &str = "/opt/toolchains/agents";

/// An npm package in which an agent comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Exactly this version: agents change their words between versions.
    pub version: &'static str,
    /// The folder in which it is installed.
    pub folder: &'static str,
    /// Its program there.
    pub program: &'static str,
}

/// OpenAI's Codex behind Zed's adapter, both in one program.
const CODEX: Package = Package {
    name: "@zed-industries/codex-acp",
    version: "0.16.0",
    folder: "codex-acp-0.16.0",
    program: if cfg!(target_arch = "aarch64") {
        "node_modules/@zed-industries/codex-acp-linux-arm64/bin/codex-acp"
    } else {
        "node_modules/@zed-industries/codex-acp-linux-x64/bin/codex-acp"
    },
};

/// Where an agent comes from; `None` for hangar's own.
#[must_use]
pub fn package_of(agent: AgentKind) -> Option<Package> {
    match agent {
        AgentKind::Hangar => None,
        AgentKind::Codex => Some(CODEX),
    }
}

/// The command that starts Codex on a model, with the gateway as its only service.
///
/// Every command asks for leave, so that plugins are asked; its own sandbox is off, since it is in one. What it would look up on the web, and
/// tell its makers, is off too.
pub(super) fn command(model: &str, gateway: &str, token_variable: &str) -> Vec<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let provider = format!(
        "{{name=\"hangar\",base_url={},wire_api=\"responses\",env_key={}}}",
        quoted(&format!("{gateway}/openai/v1")),
        quoted(token_variable)
    );
    let settings = [
        ("model", quoted(model)),
        ("model_provider", quoted("hangar")),
        ("model_providers.hangar", provider),
        ("approval_policy", quoted("untrusted")),
        ("sandbox_mode", quoted("danger-full-access")),
        ("web_search", quoted("disabled")),
        ("analytics.enabled", "false".to_owned()),
        ("check_for_update_on_startup", "false".to_owned()),
    ];
    let program = format!("{INSTALLED_BELOW}/{}/{}", CODEX.folder, CODEX.program);
    let settings = settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    std::iter::once(program).chain(settings).collect()
}
