//! What sessions are given to work with.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use hangar_agent::{Models, acp::Harnesses};
use hangar_forge::{ForgeUser, LocalForge};
use hangar_image::{Images, Pool};
use hangar_plugins::Plugins;
use hangar_protocol::{Refusal, UserId};
use hangar_sandbox::{Engine, layers::LayerStore};

use crate::{
    brought::BroughtByCommits, budgets::Budgets, clones::Clones, gateway::ModelGateway, mcp::McpServers,
    outbound::Outbound,
};

/// The parts of this machine that sessions drive.
pub struct Ports {
    /// Where sessions are kept, a folder each.
    pub sessions_dir: PathBuf,
    /// Prepared clones of repositories, for sessions without an image.
    pub clones: Clones,
    /// What sessions on a repository start from.
    pub images: Images,
    /// Sandboxes over those that are ready ahead of need.
    pub pool: Pool,
    /// Makes sandboxes.
    pub engine: Engine,
    /// What sandboxes are made of.
    pub layers: Arc<LayerStore>,
    /// What sandboxes may reach.
    pub outbound: Arc<Outbound>,
    /// Holds the repositories.
    pub forge: LocalForge,
    /// Knows the models.
    pub models: Models,
    /// Whether programs in sandboxes may ask them.
    pub gateway: ModelGateway,
    /// The external agents that may work in sessions.
    pub harnesses: Harnesses,
    /// What the administrator lets watch over sessions.
    pub plugins: Plugins,
    /// The MCP servers that the administrator gives to sessions.
    pub mcp: McpServers,
    /// What repositories bring into their own sessions.
    pub brought: BroughtByCommits,
    /// What sessions may use up.
    pub budgets: Budgets,
    /// Knows the people.
    pub people: Box<dyn People>,
}

/// Who is who at the forge. The server knows its users; sessions ask.
#[async_trait]
pub trait People: Send + Sync {
    /// The forge's view of a user.
    ///
    /// # Errors
    /// A refusal when there is no such user any more: what they asked for is not done in another's name.
    async fn forge_user(&self, user: &UserId) -> Result<ForgeUser, Refusal>;
}
