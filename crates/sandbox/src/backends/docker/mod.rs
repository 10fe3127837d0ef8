//! The backend `docker`: every sandbox is a container of a Docker daemon on this machine.
//!
//! For machines where containers are run by a daemon that somebody else looks after, and for the runtimes such a daemon may have.
//! The daemon mounts: each top-level directory of the root is a volume of its own, an overlay over the same layers and into the same session directory as
//! everywhere else, so a session can move between backends. The wall is the daemon's; inside, the guest locks down as everywhere.
//!
//! ```text
//!   hangar ──API──▶ dockerd ──▶ container ── guest ──dials──▶ a socket in a directory that only this container has
//!      └──────────── the border's sockets, opened in the container's network namespace
//! ```
//!
//! Commands are user [`IdRange::DISK`]'s agent also inside: without a user namespace, ids are the host's, and that one owns nothing there.

mod body;
mod container;
mod image;

use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker as Api, query_parameters as query};
use futures::future::BoxFuture;
use hangar_protocol::guest::{Account, setup::IdMapping};
use tokio::net::{UnixListener, UnixStream};

use self::{body::ContainerBody, image::Images};
use crate::{
    backend::{Backend, BackendKind, Capabilities, Made, SlotCounts},
    backends::{
        ground::{Ground, Plot},
        hello, network,
    },
    error::Error,
    ids::IdRange,
    spec::{EngineConfig, SandboxSpec},
};

/// How long the daemon may take for one request.
const REQUEST_PATIENCE_S: u64 = 60;
/// How long a container may take until its guest dials.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);
/// The label by which a restarted hangar finds what a killed one left.
const LABEL: &str = "hangar.engine";

/// See the module's documentation.
pub(crate) struct Docker {
    inner: Arc<Inner>,
}

struct Inner {
    ground: Ground,
    api: Api,
    images: Images,
    /// Names this engine's containers and images.
    engine: String,
    made: AtomicU64,
}

/// Turns an error of the daemon into one of ours.
fn daemon(what: &'static str) -> impl FnOnce(bollard::errors::Error) -> Error {
    move |error| Error::Setup(format!("the Docker daemon did not {what}: {error}"))
}

impl Docker {
    /// Reaches the daemon, opens the state directory and removes what a killed engine left behind.
    pub(crate) async fn open(config: &EngineConfig) -> Result<Self, Error> {
        let socket = config.docker_socket.to_string_lossy().into_owned();
        let unreachable = |error: bollard::errors::Error| Error::Unsupported {
            backend: BackendKind::Docker.name(),
            what: "make sandboxes",
            why: format!("no Docker daemon answers at {socket} ({error}); start one, or set sandbox.docker_socket"),
        };
        let api = Api::connect_with_unix(&socket, REQUEST_PATIENCE_S, API_DEFAULT_VERSION).map_err(unreachable)?;
        let api = api.negotiate_version().await.map_err(unreachable)?;
        let ground = Ground::open(config, BackendKind::Docker).await?;
        let engine = ground.engine_id()?;
        sweep(&api, &engine).await?;
        let images = Images::new(api.clone(), engine.clone());
        Ok(Self { inner: Arc::new(Inner { ground, api, images, engine, made: AtomicU64::new(0) }) })
    }
}

/// Removes containers and images of an earlier life. Containers end with the hangar that made them; this is for what a stopped daemon kept.
async fn sweep(api: &Api, engine: &str) -> Result<(), Error> {
    let ours = HashMap::from([("label".to_owned(), vec![format!("{LABEL}={engine}")])]);
    let options = query::ListContainersOptionsBuilder::new().all(true).filters(&ours).build();
    for container in api.list_containers(Some(options)).await.map_err(daemon("list containers"))? {
        if let Some(id) = container.id {
            body::remove(api, &id).await;
        }
    }
    image::sweep(api, engine).await
}

impl Backend for Docker {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: BackendKind::Docker,
            rootless: false,
            pause: true,
            snapshot: true,
            fork: true,
            late_bound: false,
            border: true,
            layers: true,
            limits: true,
            hold: false,
        }
    }

    fn slots(&self) -> SlotCounts {
        let made = self.inner.made.load(Ordering::Relaxed);
        SlotCounts { ready: 0, made, hits: 0, misses: made }
    }

    fn make<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Made, Error>> {
        Box::pin(async { self.inner.make(spec).await })
    }

    fn close(&self) {
        self.inner.ground.cgroups.remove_roots();
        let (api, engine) = (self.inner.api.clone(), self.inner.engine.clone());
        // Without a runtime the process is ending; the images are then swept at the next start.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { image::sweep(&api, &engine).await });
        }
    }
}

impl Inner {
    async fn make(&self, spec: &SandboxSpec) -> Result<Made, Error> {
        match spec.account {
            Account::Agent => {}
            Account::Builder => {
                return Err(Error::Unsupported {
                    backend: BackendKind::Docker.name(),
                    what: "build images",
                    why: "its containers share the host's user ids; build with `namespace` or `gvisor`".into(),
                });
            }
        }
        let plot = self.ground.plot()?;
        let changes = self.ground.session(spec)?;
        let root = container::Root::new(&self.ground, spec, &plot)?;
        let image = self.images.of(&root).await?;
        let door = Door::open(&plot)?;
        let body = container::describe(spec, &plot, &root, &image, &self.engine);
        let made = self.api.create_container(None::<query::CreateContainerOptions>, body).await;
        let id = made.map_err(daemon("make the container"))?.id;
        // From here on, dropping this ends the container, also when nobody waits any more.
        let mut body = ContainerBody::new(self.api.clone(), id.clone(), plot, changes);
        let started = self.api.start_container(&id, None::<query::StartContainerOptions>).await;
        started.map_err(daemon("start the container"))?;
        let (mut socket, pid) = door.admit().await?;
        body.settle(pid)?;
        let network = format!("/proc/{pid}/ns/net");
        let network = OwnedFd::from(File::open(&network).map_err(Error::host(network))?);
        let border = network::open(network).await?;
        let contained = self.ground.contained(spec, IdMapping::Single);
        hello::introduce(&mut socket, &contained, DIAL_PATIENCE).await?;
        let (reader, writer) = socket.into_split();
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Made { reader: Box::new(reader), writer: Box::new(writer), body: Box::new(body), border: Some(border) })
    }
}

/// The socket at which the one guest is waited for. It is gone once the guest has come in.
struct Door {
    listener: UnixListener,
}

/// The directory of the door, in a plot and inside.
const DOOR: &str = "door";
const DOOR_INSIDE: &str = "/.hangar/door";
const DOOR_SOCKET: &str = "socket";

impl Door {
    fn open(plot: &Plot) -> Result<Self, Error> {
        use std::os::unix::fs::PermissionsExt;
        let directory = plot.directory.join(DOOR);
        std::fs::create_dir(&directory).map_err(Error::host(&directory))?;
        let path = directory.join(DOOR_SOCKET);
        let listener = UnixListener::bind(&path).map_err(Error::host(&path))?;
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Error::host(path))
        };
        open(&directory, 0o755)?;
        open(&path, 0o666)?;
        Ok(Self { listener })
    }

    /// Lets the guest in and closes. Returns its process id on the host.
    async fn admit(self) -> Result<(UnixStream, i32), Error> {
        let late = |_| Error::Setup("the container's guest did not answer in time".into());
        let come = tokio::time::timeout(DIAL_PATIENCE, self.listener.accept()).await.map_err(late)?;
        let (socket, _) = come.map_err(Error::kernel("talk to a container's guest"))?;
        let peer = rustix::net::sockopt::socket_peercred(socket.as_fd())
            .map_err(Error::kernel("ask who a container's guest is"))?;
        if peer.uid.as_raw() != IdRange::DISK.agent() {
            return Err(Error::Setup(format!("user {} came to a container's door", peer.uid.as_raw())));
        }
        Ok((socket, peer.pid.as_raw_nonzero().get()))
    }
}
