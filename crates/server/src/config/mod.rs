//! What an operator can set: `hangar.toml`, `HANGAR_*` variables and flags of `hangar up`, in this order of weight.
//!
//! Every key is declared once, in a `section!`: its doc comment is its entry in `docs/configuration.md` (a test compares),
//! its default is the documented one, and what is not declared is refused by name.

mod agent;
mod agents;
mod bases;
mod budgets;
mod http;
mod images;
mod keys;
mod load;
mod log;
mod mcp_servers;
mod network;
mod people;
mod plugins;
mod pool;
mod sandbox;
mod secret;
mod sessions;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use agent::{ModelConfig, TitlesWord, Wire};
pub use agents::{AgentConfig, AgentKind};
pub use bases::{BasesConfig, RegistryConfig, Scheme};
pub use budgets::BudgetsConfig;
pub use http::{HttpConfig, PublicUrl};
pub use images::ImagesConfig;
pub use keys::{Key, Shape, keys, reference};
pub use load::ConfigSources;
pub use log::{LogConfig, LogFormat};
pub use mcp_servers::McpServerConfig;
pub use network::{NetworkConfig, OfferWord, SecretConfig, TrustedConfig};
pub use people::PeopleConfig;
pub use plugins::{FailureWord, PluginConfig};
pub use pool::PoolConfig;
pub use sandbox::{SandboxConfig, Wall};
pub use secret::Secret;
pub use sessions::{GatewayWord, SessionsConfig};

/// Everything that can be set, with its defaults. Printing it (`Debug` or serialized) shows no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory that holds everything: people, sessions, repositories, images. Only one server may use it at a time.
    pub data: PathBuf,
    /// `provider/model` that new sessions use unless they say otherwise; empty for the first that is there.
    pub default_model: String,
    /// A transcript for the scripted model, which is no model; without it the one of the demo. It is offered where no other model is, or where this is set.
    pub scripted_transcript: Option<PathBuf>,
    /// Who gives a session its title until a person does: its model, asked once beside the first turn, or the first words of the first prompt.
    pub titles: TitlesWord,
    /// Where and how the server listens.
    pub http: HttpConfig,
    /// The first person, and how long they stay signed in.
    pub people: PeopleConfig,
    /// Who sees new sessions, what their sandboxes may ask models, and how long deleted ones are kept.
    pub sessions: SessionsConfig,
    /// How images are built and kept.
    pub images: ImagesConfig,
    /// How bases of images are made.
    pub bases: BasesConfig,
    /// How many sandboxes are kept ready.
    pub pool: PoolConfig,
    /// How much work may be used up.
    pub budgets: BudgetsConfig,
    /// What every session may reach.
    pub network: NetworkConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// What kind of wall stands around sandboxes.
    pub sandbox: SandboxConfig,
    /// Models beyond those of `ANTHROPIC_API_KEY` and `OPENAI_API_KEY`: any endpoint that speaks one of the three wires.
    pub models: Vec<ModelConfig>,
    /// External agents that may work in sessions.
    pub agents: Vec<AgentConfig>,
    /// MCP servers whose tools the agent can call.
    pub mcp_servers: Vec<McpServerConfig>,
    /// Registries that want a password or have no TLS.
    pub registries: Vec<RegistryConfig>,
    /// Names that may lead to inner addresses.
    pub trusted: Vec<TrustedConfig>,
    /// Credentials that agents can use and never see.
    pub secrets: Vec<SecretConfig>,
    /// What watches over sessions, in the order in which it is asked.
    pub plugins: Vec<PluginConfig>,
}

impl Config {
    /// The defaults, with everything under `data`.
    #[must_use]
    pub fn in_directory(data: PathBuf) -> Self {
        Self {
            data,
            default_model: String::new(),
            scripted_transcript: None,
            titles: TitlesWord::Model,
            http: HttpConfig::default(),
            people: PeopleConfig::default(),
            sessions: SessionsConfig::default(),
            images: ImagesConfig::default(),
            bases: BasesConfig::default(),
            pool: PoolConfig::default(),
            budgets: BudgetsConfig::default(),
            network: NetworkConfig::default(),
            log: LogConfig::default(),
            sandbox: SandboxConfig::default(),
            models: Vec::new(),
            agents: Vec::new(),
            mcp_servers: Vec::new(),
            registries: Vec::new(),
            trusted: Vec::new(),
            secrets: Vec::new(),
            plugins: Vec::new(),
        }
    }
}
