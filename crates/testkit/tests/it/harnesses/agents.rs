//! The agents that are tried, as docs/harnesses.md has them, and the double of the services that they ask.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use hangar_protocol::{
    SessionId,
    api::{NewPrompt, NewSession},
};
use hangar_testkit::{Person, Setting, Transcript, within};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// The key of the services, which no program in a sandbox sees.
pub(super) const KEY: &str = "sk-of-the-services-0123456789";

/// The double of the services. It ends with its standard input.
pub(super) struct Services {
    url: String,
    _child: Child,
}

/// Where the programs are installed; `None`, and said aloud, where they are not and need not be.
#[allow(clippy::print_stderr, reason = "whoever runs the tests is told what they did not check")]
pub(super) fn installed() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/harness-conformance");
    if directory.join("node_modules").exists() {
        return Some(directory.canonicalize().unwrap());
    }
    let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!ci, "run `npm ci` in clients/harness-conformance first");
    eprintln!("NOT CHECKED: run `npm ci` in clients/harness-conformance to try the agents of other makers");
    None
}

impl Services {
    pub(super) async fn start(directory: &Path) -> Self {
        let mut child = Command::new("node")
            .arg("services.mjs")
            .current_dir(directory)
            .env("SERVICE_KEY", KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = within("the services", told.next_line()).await.unwrap().expect("they say where they are");
        Self { url, _child: child }
    }
}

/// How OpenCode is told where to ask.
const OPENCODE_CONFIG: &str = concat!(
    r#"OPENCODE_CONFIG_CONTENT={"model":"hangar/{model}","small_model":"hangar/{model}","share":"disabled","#,
    r#""provider":{"hangar":{"npm":"@ai-sdk/anthropic","#,
    r#""options":{"baseURL":"{models_url}/anthropic/v1","apiKey":"{models_token}"},"#,
    r#""models":{"{model}":{"limit":{"context":200000,"output":32000}}}}}}"#,
);

/// The agents that are tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Agent {
    Claude,
    Codex,
    Goose,
    OpenCode,
}

impl Agent {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Goose => "goose",
            Self::OpenCode => "opencode",
        }
    }

    /// Its entry in the configuration, as docs/harnesses.md has it.
    fn entry(self, directory: &Path) -> String {
        let npm = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let folder = format!("/opt/toolchains/agent-{}/node_modules", self.id());
        let (command, environment, wire, hooks): (Vec<String>, &[&str], _, _) = match self {
            Self::Claude => {
                let node = format!("{folder}/node-linux-{npm}/bin/node");
                let program = format!("{folder}/@agentclientprotocol/claude-agent-acp/dist/index.js");
                let environment = &[
                    "ANTHROPIC_BASE_URL={models_url}/anthropic",
                    "ANTHROPIC_API_KEY={models_token}",
                    "ANTHROPIC_MODEL={model}",
                    "ANTHROPIC_DEFAULT_HAIKU_MODEL={model}",
                    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
                    "DISABLE_AUTOUPDATER=1",
                ];
                (vec![node, program], environment, "anthropic", Some("claude"))
            }
            Self::Codex => {
                let settings = [
                    r#"model="{model}""#,
                    r#"model_provider="hangar""#,
                    r#"model_providers.hangar={name="hangar",base_url="{models_url}/openai/v1",wire_api="responses",env_key="HANGAR_MODELS_TOKEN"}"#,
                    r#"approval_policy="untrusted""#,
                    r#"sandbox_mode="danger-full-access""#,
                    "features.unified_exec=false",
                    r#"web_search="disabled""#,
                    "analytics.enabled=false",
                    "check_for_update_on_startup=false",
                ];
                let program = format!("{folder}/@zed-industries/codex-acp-linux-{npm}/bin/codex-acp");
                let words = settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]);
                ([program].into_iter().chain(words).collect(), &[], "openai_responses", Some("codex"))
            }
            Self::Goose => {
                let program = format!("{folder}/@aaif/goose-binary-linux-{npm}/bin/goose");
                let environment = &[
                    "GOOSE_PROVIDER=anthropic",
                    "GOOSE_MODEL={model}",
                    "ANTHROPIC_HOST={models_url}/anthropic",
                    "ANTHROPIC_API_KEY={models_token}",
                    "GOOSE_MODE=approve",
                    "GOOSE_DISABLE_KEYRING=1",
                ];
                (vec![program, "acp".to_owned()], environment, "anthropic", None)
            }
            Self::OpenCode => {
                let program = format!("{folder}/opencode-linux-{npm}/bin/opencode");
                (vec![program, "acp".to_owned()], &[OPENCODE_CONFIG], "anthropic", Some("opencode"))
            }
        };
        let model = if wire == "anthropic" { "services/claude" } else { "services/gpt-5.1" };
        let hooks = hooks.map_or_else(String::new, |hooks| format!("hooks = {hooks:?}\n"));
        format!(
            "[[agents]]\nid = {:?}\nwire = {wire:?}\nmodel = {model:?}\nfolder = {:?}\ncommand = {command:?}\nenvironment = {environment:?}\n{hooks}",
            self.id(),
            directory,
        )
    }

    /// A server that has it.
    pub(super) fn setting(self, directory: &Path, services: &Services) -> Setting {
        let url = &services.url;
        let top = "titles = \"first_words\"\nimages.every_minutes = 0\nsessions.model_gateway = \"commands\"\n";
        let model = |id: &str, wire: &str, base_url: &str| {
            format!(
                "[[models]]\nid = {id:?}\nwire = {wire:?}\nbase_url = {base_url:?}\nkey = {KEY:?}\ninput_usd = \"1\"\noutput_usd = \"1\"\n"
            )
        };
        let lines = [
            top.to_owned(),
            model("services/gpt-5.1", "openai_responses", &format!("{url}/v1")),
            model("services/claude", "anthropic", url),
            self.entry(directory),
        ];
        Setting::new(Transcript::new()).configured(&lines.concat())
    }

    pub(super) async fn begin(self, person: &Person, repo: &str, wish: &str) -> SessionId {
        let prompt = Some(NewPrompt { request_id: None, text: wish.to_owned() });
        let new = NewSession { prompt, ..new_session(repo, self.id()) };
        within("the session", person.client().create_session(&new)).await.expect("the session begins").id
    }
}

pub(super) fn new_session(repo: &str, agent: &str) -> NewSession {
    NewSession {
        repo: repo.parse().unwrap(),
        base_branch: None,
        model: None,
        agent: Some(agent.to_owned()),
        prompt: None,
        visibility: None,
    }
}
