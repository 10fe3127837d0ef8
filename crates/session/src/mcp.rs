//! The MCP servers of a session: which it has, and where they run.
//!
//! Those of the configuration come first, then those that the repository brings in the commit that the session began with. Programs run in the session's
//! sandbox; addresses are reached over its border, on a socket that is known to this process alone.

use std::{
    collections::BTreeMap,
    os::{linux::net::SocketAddrExt as _, unix::net as std_unix},
    sync::Arc,
};

use async_trait::async_trait;
use globset::{Glob, GlobSet, GlobSetBuilder};
use hangar_agent::{
    acp::{Command, Program},
    mcp::{McpFiles, McpHost, McpInput, McpServer, McpTimes, McpWay},
};
use hangar_network::{Behalf, Origin};
use hangar_protocol::RepoPath;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use crate::{harness::run, home::Home};

/// How much of the environment of commands is read.
const ENVIRONMENT_BYTES_MAX: usize = 256 * 1024;

/// The servers that the administrator configured.
#[derive(Clone, Debug, Default)]
pub struct McpServers(Arc<[Placed]>);

#[derive(Debug)]
struct Placed {
    server: McpServer,
    /// `None` holds for every repository.
    repositories: Option<GlobSet>,
}

impl McpServers {
    /// Servers, each with the repositories it is for, e.g. `acme/*`; none for all.
    ///
    /// # Errors
    /// The pattern that cannot be used, and why.
    pub fn new(servers: Vec<(McpServer, Vec<String>)>) -> Result<Self, String> {
        let placed = |(server, patterns): (McpServer, Vec<String>)| {
            let repositories = globs(&patterns).map_err(|fault| format!("{}: {fault}", server.name))?;
            Ok(Placed { server, repositories })
        };
        Ok(Self(servers.into_iter().map(placed).collect::<Result<_, String>>()?))
    }

    /// What a turn on a repository needs that brings these servers. Where both name one, the administrator's counts.
    pub(crate) fn of(&self, repo: &RepoPath, brought: &McpFiles, home: &Arc<Home>) -> McpInput {
        let holds = |placed: &&Placed| placed.repositories.as_ref().is_none_or(|set| set.is_match(repo.to_string()));
        let mut servers: Vec<McpServer> = self.0.iter().filter(holds).map(|placed| placed.server.clone()).collect();
        for server in &brought.servers {
            if !servers.iter().any(|known| known.name == server.name) {
                servers.push(server.clone());
            }
        }
        McpInput {
            servers,
            faults: brought.faults.iter().map(|(file, fault)| format!("{file}: {fault}")).collect(),
            host: Arc::new(SandboxMcp { home: Arc::clone(home) }),
            times: McpTimes::default(),
        }
    }
}

fn globs(patterns: &[String]) -> Result<Option<GlobSet>, String> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| error.to_string())?);
    }
    set.build().map(Some).map_err(|error| error.to_string())
}

/// Servers in the sandbox of a session, and over its border.
struct SandboxMcp {
    home: Arc<Home>,
}

#[async_trait]
impl McpHost for SandboxMcp {
    async fn environment(&self) -> Result<BTreeMap<String, String>, String> {
        let ran = self.home.sandbox.run("env -0", Vec::new(), ENVIRONMENT_BYTES_MAX).await;
        let ran = ran.map_err(|refusal| refusal.to_string())?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let pair = |entry: &str| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(text.split('\0').filter_map(pair).collect())
    }

    async fn writable(&self) -> Result<(), String> {
        self.home.writable().await
    }

    async fn start(&self, command: Command) -> Result<Program, String> {
        let place = self.home.sandbox.get().await.map_err(|refusal| refusal.to_string())?;
        run(place, command).await
    }

    async fn reach(&self, url: &str) -> Result<McpWay, String> {
        let origin = Origin::parse(url).map_err(|fault| fault.to_string())?;
        let place = self.home.sandbox.get().await.map_err(|refusal| refusal.to_string())?;
        let (name, listener) = socket().map_err(|error| format!("no socket can be made for it ({error})"))?;
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, place.behalf, origin)));
        Ok(McpWay { socket: format!("@{name}"), open: Box::new(serving) })
    }
}

/// A socket without a file. Its name can be seen on this machine, so nobody else is served there.
fn socket() -> std::io::Result<(String, UnixListener)> {
    let name = format!("hangar-mcp-{:032x}", rand::random::<u128>());
    let listener = std_unix::UnixListener::bind_addr(&std_unix::SocketAddr::from_abstract_name(&name)?)?;
    listener.set_nonblocking(true)?;
    Ok((name, UnixListener::from_std(listener)?))
}

/// Serves what comes to a socket until it is dropped, with every connection.
async fn serve(listener: UnixListener, behalf: Behalf, origin: Origin) {
    let mut running = Vec::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) if is_own(&stream) => stream,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%error, "a way to an MCP server ends");
                return;
            }
        };
        running.retain(|task: &AbortOnDropHandle<()>| !task.is_finished());
        let (behalf, origin) = (behalf.clone(), origin.clone());
        running.push(AbortOnDropHandle::new(tokio::spawn(async move { behalf.serve(stream, &origin).await })));
    }
}

/// Whether this very process is at the other end.
fn is_own(stream: &UnixStream) -> bool {
    let own = i32::try_from(std::process::id()).ok();
    stream.peer_cred().is_ok_and(|peer| peer.pid().is_some() && peer.pid() == own)
}
