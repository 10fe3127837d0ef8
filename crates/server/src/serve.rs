//! Puts the parts together and listens.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::Router;
use hangar_forge::{ForgeConfig, LocalForge, http::Faces};
use hangar_image::{Images, Means, Outside, Pool, base::EveryBase};
use hangar_protocol::{Refusal, RefusalCode, UserId, api::SignInLink};
use hangar_sandbox::{Engine, EngineConfig, MachineKernel, layers::LayerStore};
use hangar_session::{BroughtByCommits, Clones, Ports, Sessions, forge_refusal};
use hangar_store::Writers;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    accept, acp, agents,
    app::{App, Parts},
    bases,
    config::{AgentConfig, Config, HttpConfig, McpServerConfig, Secret},
    data_dir::DataDir,
    doorkeeper::Door,
    gate::{Busy, KnownHosts},
    images::{self, ForgeSource, SetupOutside},
    mcp, memory,
    models::{self, Catalogue},
    outbound::outbound,
    own_api::OwnApi,
    people::{People, SignInRate, first_owner},
    plugins, routes, source,
    stream::StreamPlaces,
};

/// A server that listens. Dropping it leaves it running; [`Server::shut_down`] ends it in order.
#[must_use]
pub struct Server {
    app: App,
    address: SocketAddr,
    owner: UserId,
    first_link: Option<SignInLink>,
    stop: CancellationToken,
    listening: JoinHandle<()>,
    looking: JoinHandle<()>,
    engine: Engine,
    // Plays until everything that asks it has ended.
    player: Option<AbortOnDropHandle<()>>,
    // Held until everything that uses the directory has ended.
    data: DataDir,
}

/// Starts everything: API, web app, forge, sandboxes, sessions. When this answers, the server listens.
///
/// # Errors
/// A refusal that says what is in the way (port in use, directory in use or not writable, disk full, a kernel feature missing) and what to
/// do about it. Nothing is left running.
pub async fn serve(config: Config) -> Result<Server, Refusal> {
    let data = DataDir::open(&config.data).await?;
    let listener = listen(&config.http).await?;
    let address = listener.local_addr().map_err(|error| no_port(&config.http, &error))?;
    let url = address_of(&config.http, address);
    let writers = Writers::start().map_err(|error| {
        Refusal::new(
            RefusalCode::Unavailable,
            format!("No thread can be started: {error}."),
            "Raise the limit on threads.",
        )
    })?;
    let people = People::open(&writers, &data.database()).await?;
    let login = std::env::var("USER").ok();
    let wish = first_owner(&config.people, login.as_deref())?;
    let first = people.add_first(wish).await?;
    let owner = people.first_owner().await?.person.user;
    let forge_config = ForgeConfig { data_dir: data.forge(), limits: hangar_forge::Limits::default() };
    let forge = LocalForge::open(forge_config).await.map_err(|error| forge_refusal(&error))?;
    let Catalogue { models, player } = models::catalogue(&config).await?;
    let harnesses = agents::harnesses(&config, &models)?;
    let mcp_servers = agents::mcp_servers(&config)?;
    let plugins = plugins::load(&config).await?;
    let mut engine_config = EngineConfig::new(&config.data);
    engine_config.backend = config.sandbox.backend.kind();
    engine_config.docker_socket.clone_from(&config.sandbox.docker_socket);
    engine_config.machine_kernel = config.sandbox.machine_kernel.as_ref().map(MachineKernel::beside);
    engine_config.own_source = Some(own_source(&config).await?);
    let toolchains = engine_config.toolchains.clone();
    engine_config.toolchains.extend(config.agents.iter().filter_map(AgentConfig::toolchain));
    engine_config.toolchains.extend(config.mcp_servers.iter().filter_map(McpServerConfig::toolchain));
    let engine = Engine::new(engine_config).await.map_err(|error| no_sandboxes(&error))?;
    let layers = LayerStore::open(&config.data).map_err(|error| unusable(&error))?;
    let (layers, outbound) = (Arc::new(layers), Arc::new(outbound(&config)?));
    let outside: Arc<dyn Outside> = Arc::new(SetupOutside(Arc::clone(&outbound)));
    let maker = bases::open(&config, &layers)?;
    let bases = EveryBase::new(maker.clone(), engine.clone(), Arc::clone(&outside), &toolchains);
    let means = Means {
        engine: engine.clone(),
        store: Arc::clone(&layers),
        source: Arc::new(ForgeSource(forge.clone())),
        outside,
        bases: Arc::new(bases),
    };
    let source = Arc::clone(&means.source);
    let images = images::open(&config, means)?;
    let pool = images::pool(&config, &engine, &layers, &images, source)?;
    let door = Door(people.clone());
    let ports = Ports {
        sessions_dir: data.sessions(),
        clones: Clones::open(data.clones()).map_err(|error| unusable(&error))?,
        images: images.clone(),
        pool: pool.clone(),
        engine: engine.clone(),
        layers,
        outbound,
        forge: forge.clone(),
        models: models.clone(),
        gateway: config.sessions.model_gateway.into(),
        harnesses: harnesses.clone(),
        plugins,
        mcp: mcp_servers,
        brought: BroughtByCommits::default(),
        budgets: config.budgets.budgets(),
        people: Box::new(door.clone()),
    };
    let sessions = Sessions::open(ports).await.map_err(|error| {
        Refusal::new(
            RefusalCode::Unavailable,
            format!("{error}."),
            "Look whether the disk is full or the directory is not writable.",
        )
    })?;
    let faces = Faces { forge: forge.clone(), door: Arc::new(door), base_url: url.clone() };
    let app = App::new(Parts {
        url,
        people,
        forge,
        models,
        harnesses,
        sessions,
        images,
        pool,
        bases: maker,
        engine: engine.clone(),
        toolchains,
        known_hosts: KnownHosts::new(&config.http),
        busy: Busy::new(&config.http),
        sign_in_rate: SignInRate::new(config.people.sign_in_attempts_per_minute),
        streams: StreamPlaces::new(config.http.streams_per_person_max),
        config,
    });
    let first_link = match first {
        Some(account) => Some(app.sign_in_link(&account.person.user).await?),
        None => None,
    };
    let stop = CancellationToken::new();
    let api = Arc::new(OwnApi::at(address));
    let tools = mcp::service(Arc::clone(&api), app.config.http.body_bytes_max as usize, &stop);
    let tools = Router::new().route_service("/mcp", tools).merge(acp::route(api, stop.child_token()));
    let router = routes::router(&app, hangar_forge::http::router(faces), tools);
    let looking = tokio::spawn(images::look_after(app.clone(), stop.clone()));
    tokio::spawn(memory::look_after(stop.clone()));
    // What the beginning needed, and nothing after it.
    memory::give_back();
    let listening = tokio::spawn(accept::serve(listener, router, stop.clone()));
    tracing::debug!(url = app.url, "requests are answered");
    Ok(Server { app, address, owner, first_link, stop, listening, looking, engine, player, data })
}

impl Server {
    /// Where it listens, with the port it got where `http.port` is 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address people type, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// The owner who has been here longest.
    #[must_use]
    pub fn owner(&self) -> &UserId {
        &self.owner
    }

    /// The images it builds: for programs that have the server in their own process.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.app.images
    }

    /// The sandboxes it keeps ready, likewise.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.app.pool
    }

    /// The owner's one-time sign-in link, where this was the first start.
    #[must_use]
    pub fn first_link(&self) -> Option<&SignInLink> {
        self.first_link.as_ref()
    }

    /// A new one-time sign-in link for the owner.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn owner_link(&self) -> Result<SignInLink, Refusal> {
        self.app.sign_in_link(&self.owner).await
    }

    /// A personal access token for the owner in place of every other with this label: for the command line of the person
    /// who started the server.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn owner_token(&self, label: &str) -> Result<Secret<String>, Refusal> {
        let owner = self.app.people.user(&self.owner).await?;
        Ok(self.app.people.replace_token(owner.id, label).await?.secret)
    }

    /// Ends in order: running turns are put aside for the next start, streams say goodbye, open requests are answered.
    pub async fn shut_down(self) {
        self.stop.cancel();
        self.app.sessions.shut_down().await;
        self.app.streams.empty().await;
        if let Err(error) = self.listening.await {
            tracing::error!(%error, "the listener ended badly");
        }
        if let Err(error) = self.looking.await {
            tracing::error!(%error, "the images were not looked after to the end");
        }
        self.app.pool.close().await;
        self.app.images.close().await;
        // Tasks that follow the forge or the sessions may still hold the engine when the process is gone.
        self.engine.close();
        drop(self.player);
        drop(self.data);
    }
}

/// hangar's own source, where sandboxes are to see it.
async fn own_source(config: &Config) -> Result<PathBuf, Refusal> {
    let data = config.data.clone();
    // The first start of a version writes a thousand files.
    match tokio::task::spawn_blocking(move || source::place(&data)).await {
        Ok(placed) => placed.map_err(|error| unusable(&error)),
        Err(error) => Err(unusable(&error)),
    }
}

async fn listen(config: &HttpConfig) -> Result<TcpListener, Refusal> {
    TcpListener::bind((config.host, config.port)).await.map_err(|error| no_port(config, &error))
}

fn no_port(config: &HttpConfig, error: &io::Error) -> Refusal {
    let (host, port) = (config.host, config.port);
    match error.kind() {
        io::ErrorKind::AddrInUse => Refusal::new(
            RefusalCode::Conflict,
            format!("Port {port} of {host} is in use."),
            "Stop what uses it, or choose another with --port (0 takes a free one) or http.port in hangar.toml.",
        ),
        io::ErrorKind::PermissionDenied => Refusal::new(
            RefusalCode::Forbidden,
            format!("This user may not listen on port {port}."),
            "Choose a port above 1023 with --port, and let a proxy forward to it.",
        ),
        _ => Refusal::new(
            RefusalCode::Unavailable,
            format!("Port {port} of {host} cannot be listened on: {error}."),
            "Look at http.host and http.port in hangar.toml.",
        ),
    }
}

/// The address people type: the configured one, else the one listened on, with a name a browser can reach.
fn address_of(config: &HttpConfig, address: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.to_string();
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn unusable(error: &impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("{error}."), "Look whether the disk is full or not writable.")
}

fn no_sandboxes(error: &hangar_sandbox::Error) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("Sandboxes cannot be made: {error}."),
        "`hangar doctor` says what is missing.",
    )
}
