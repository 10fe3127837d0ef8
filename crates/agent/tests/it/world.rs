//! A directory to work in, a scripted model that listens, and a log with an open turn.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use hangar_agent::{
    Bus, Conversation, Jobs, Model, ModelConfig, Models, SandboxPath, Sandboxes, TurnEnd, TurnInput, Workspace,
    WorkspaceError,
    hooks::{Installed, ProtectedPaths},
    limits::{OWN_HOOK_DEADLINE, TurnLimits},
    mcp::{McpInput, McpServer, McpTimes},
    models::{ProviderKind, Rates},
    provider::{Fault, ModelRequest, Piece, Provider, Timeouts},
    run_turn,
    scripted::{self, Transcript},
};
use hangar_protocol::{EventBody, OnFailure, Person, event::ToolStatus};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{directory::Directory, log::Log, mcp::Host};

/// Time-outs that a loaded machine never reaches.
pub(crate) const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(20),
    first_byte: Duration::from_secs(20),
    idle: Duration::from_secs(20),
    attempts_max: 3,
    pause_first: Duration::from_millis(10),
};

/// Time-outs that a test can wait for.
const IMPATIENT: Timeouts = Timeouts { first_byte: Duration::from_secs(1), idle: Duration::from_secs(1), ..PATIENT };

pub(crate) struct World {
    root: TempDir,
    pub(crate) directory: Arc<Directory>,
    pub(crate) log: Arc<Log>,
    pub(crate) stop: CancellationToken,
    pub(crate) jobs: Jobs,
    pub(crate) claims: Arc<AtomicUsize>,
    /// Every request to the model, as it was put together.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    pub(crate) limits: TurnLimits,
    /// MCP servers, and where they run.
    pub(crate) servers: Vec<McpServer>,
    pub(crate) host: Arc<Host>,
    pub(crate) times: McpTimes,
    /// Asked before hangar's own hooks.
    pub(crate) plugins: Vec<Installed>,
    model: Arc<Model>,
    server: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Hands out the directory and counts how often it was asked.
struct Claim(Arc<Directory>, Arc<AtomicUsize>);

#[async_trait]
impl Sandboxes for Claim {
    async fn workspace(&self) -> Result<Arc<dyn Workspace>, WorkspaceError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

/// Remembers what was asked, and asks the real provider.
struct Recording(Arc<dyn Provider>, Arc<Mutex<Vec<String>>>);

impl Provider for Recording {
    fn reply(&self, request: &ModelRequest<'_>) -> BoxStream<'static, Result<Piece, Fault>> {
        self.1.lock().unwrap().push(format!("{:?}", (request.system, request.messages)));
        self.0.reply(request)
    }
}

/// A model, and those it falls back to, with an ear on what they are asked.
fn recorded(model: &Arc<Model>, requests: &Arc<Mutex<Vec<String>>>) -> Arc<Model> {
    let mut model = Model::clone(model);
    model.provider = Arc::new(Recording(model.provider.clone(), requests.clone()));
    model.fallback = model.fallback.map(|fallback| recorded(&fallback, requests));
    Arc::new(model)
}

/// A scripted model that plays on a port of its own, and what ends it.
pub(crate) async fn play(transcript: &Value) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let transcript = Transcript::parse(&transcript.to_string()).unwrap();
    (address, tokio::spawn(async move { scripted::serve(transcript, listener).await.unwrap() }))
}

pub(crate) fn ada() -> Person {
    Person { user: "ada".parse().unwrap(), name: "Ada Lovelace".into(), email: "ada@example.org".into() }
}

impl World {
    /// A world whose model says these replies to any wish.
    pub(crate) async fn of(replies: Value) -> Self {
        Self::playing(&json!({"name": "test", "scripts": [{"replies": replies}]}), "Do it.").await
    }

    pub(crate) async fn playing(transcript: &Value, wish: &str) -> Self {
        Self::with_timeouts(transcript, wish, ProviderKind::Anthropic, PATIENT).await
    }

    /// A world that does not wait long for its model, which speaks this wire.
    pub(crate) async fn impatient(transcript: &Value, wire: ProviderKind) -> Self {
        Self::with_timeouts(transcript, "Do it.", wire, IMPATIENT).await
    }

    async fn with_timeouts(transcript: &Value, wish: &str, wire: ProviderKind, timeouts: Timeouts) -> Self {
        let (address, server) = play(transcript).await;
        let mut config = match wire {
            ProviderKind::Anthropic => ModelConfig::scripted("test", &address),
            ProviderKind::OpenAi | ProviderKind::OpenAiResponses => {
                ModelConfig::new("scripted", "test", wire, &format!("{address}/v1"), None)
            }
        };
        config.timeouts = timeouts;
        Self::with_model(config, server, wish)
    }

    /// A world whose model reads so many tokens at once and speaks this wire.
    pub(crate) async fn reading(tokens: u32, scripts: Value, wire: ProviderKind) -> Self {
        let (address, server) = play(&json!({"name": "test", "scripts": scripts})).await;
        let path = if wire == ProviderKind::Anthropic { "" } else { "/v1" };
        let mut config = ModelConfig::new("scripted", "test", wire, &format!("{address}{path}"), None);
        config.timeouts = PATIENT;
        config.context_tokens = Some(tokens);
        config.rates = Some(Rates { input: 1_000_000, ..Rates::default() });
        Self::with_model(config, server, "Do it.")
    }

    pub(crate) fn with_model(config: ModelConfig, server: JoinHandle<()>, wish: &str) -> Self {
        Self::with_models(vec![config], server, wish)
    }

    /// A world whose session has the first of these models.
    pub(crate) fn with_models(configs: Vec<ModelConfig>, server: JoinHandle<()>, wish: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let models = Models::new(configs).unwrap();
        let model = recorded(&models.find(models.default_id()).unwrap(), &requests);
        let world = Self {
            directory: Arc::new(Directory::new(root.path())),
            log: Arc::new(Log::default()),
            stop: CancellationToken::new(),
            jobs: Jobs::default(),
            claims: Arc::default(),
            requests,
            limits: TurnLimits::default(),
            servers: Vec::new(),
            host: Arc::new(Host::of(&root.path().join("workspace"))),
            times: McpTimes::default(),
            plugins: Vec::new(),
            model,
            server,
            root,
        };
        world.begin(wish);
        world
    }

    fn begin(&self, wish: &str) {
        self.log.begin(wish);
    }

    pub(crate) fn prompt(&self, number: u32, author: &str, text: &str) {
        self.log.prompt(number, author, text);
    }

    /// Reads of `*.txt` from now on end only when so many run at once.
    pub(crate) fn let_reads_meet(&mut self, reads: usize) {
        self.directory = Arc::new(Directory::meeting(self.root.path(), reads));
    }

    /// What the sandbox sees as `/`.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join("workspace").join(path)
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    pub(crate) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    /// Runs the open turn from whatever is in the log.
    pub(crate) async fn run(&self) -> TurnEnd {
        self.run_on(self.log.clone()).await
    }

    pub(crate) async fn run_on(&self, log: Arc<Log>) -> TurnEnd {
        let input = self.input(log.conversation());
        tokio::time::timeout(Duration::from_secs(120), run_turn(input, log, self.stop.clone())).await.unwrap()
    }

    fn input(&self, conversation: Conversation) -> TurnInput {
        let protected = ProtectedPaths::new(vec![SandboxPath::parse(".git").unwrap()]);
        let own = Installed {
            plugin: ProtectedPaths::PLUGIN.to_owned(),
            hook: Arc::new(protected),
            on_failure: OnFailure::Closed,
            deadline: OWN_HOOK_DEADLINE,
        };
        TurnInput {
            conversation,
            model: self.model.clone(),
            sandboxes: Arc::new(Claim(self.directory.clone(), self.claims.clone())),
            jobs: self.jobs.clone(),
            mcp: McpInput {
                servers: self.servers.clone(),
                faults: Vec::new(),
                host: self.host.clone(),
                times: self.times,
            },
            web: Arc::new(crate::web::Pages),
            hooks: Bus::new(self.plugins.iter().cloned().chain([own]).collect()),
            limits: self.limits,
        }
    }

    /// How each call ended and what the model was told, in the order of the calls.
    pub(crate) fn results(&self) -> Vec<(ToolStatus, String)> {
        let finished = |body| match body {
            EventBody::ToolFinished { status, output, .. } => Some((status, output)),
            _ => None,
        };
        self.log.bodies().into_iter().filter_map(finished).collect()
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The last request to the model.
    pub(crate) fn last_request(&self) -> String {
        self.requests.lock().unwrap().last().unwrap().clone()
    }
}

/// A reply that calls one tool.
pub(crate) fn calling(tool: &str, input: Value) -> Value {
    json!({"calls": [{"tool": tool, "input": input}]})
}
