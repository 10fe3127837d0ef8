//! What backends that start another runtime share with `namespace`: the same directories and layers, the same limits, and a root that the host
//! mounts where nobody else sees it.

use std::{
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use hangar_protocol::guest::{
    Claim,
    setup::{Contained, IdMapping, RootFile},
};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    mount::{MoveMountFlags, UnmountFlags, move_mount, unmount},
};

use crate::{
    backend::{BackendKind, Capabilities, SlotCounts},
    error::Error,
    frozen::Frozen,
    ids::IdRange,
    namespace::{
        Prepared,
        base::Base,
        berth::{Number, Numbers},
        cgroup::{Cgroups, Group},
        launcher::{Launcher, Stage},
        mounts::{self, Allow, IdMaps, View},
        rights::Rights,
        skeleton::Skeleton,
        slot,
    },
    random,
    spec::{Base as BaseKind, EngineConfig, Limits, SandboxSpec},
};

/// Where the guest's program is inside: in a layer of its own above all others.
pub(crate) const GUEST: &str = "/.hangar/guest";

/// Where a root may be mounted for a moment, seen by nobody but the launcher.
const PLACES: &[&str] = &["/mnt", "/media", "/srv"];

/// See the module's documentation.
pub(crate) struct Ground {
    pub data_dir: PathBuf,
    /// The engine's own state.
    pub state: PathBuf,
    pub launcher: Launcher,
    pub cgroups: Cgroups,
    base: Base,
    skeleton: Skeleton,
    /// The layer with the guest's program.
    entrance: PathBuf,
    /// The layer with the mount points of the host's trees.
    points: PathBuf,
    numbers: Numbers,
    maps: IdMaps,
    made: AtomicU64,
    /// Held as long as the backend lives.
    _lock: File,
}

/// What one sandbox has of its own. When it is dropped, its files go and its number is free again.
#[derive(Debug)]
pub(crate) struct Plot {
    pub number: Number,
    /// Its ids on the host.
    pub range: IdRange,
    /// A directory of its own below the engine's state.
    pub directory: PathBuf,
    data_dir: PathBuf,
    state: PathBuf,
}

impl Plot {
    /// Copies the changes of its sandbox, which is paused, as a layer's tree. Blocks.
    pub(crate) fn freeze(&self, changes: &Path) -> Result<Frozen, Error> {
        super::frozen::copy(&self.data_dir, &self.state, changes)
    }
}

impl Drop for Plot {
    fn drop(&mut self) {
        // What stays is swept when the number is used again, or at the next start.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Ground {
    /// Opens the state directory and removes what a killed engine left behind.
    pub(crate) async fn open(config: &EngineConfig, kind: BackendKind) -> Result<Self, Error> {
        let config = config.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&config, kind));
        let (prepared, entrance, points) = prepared.await.map_err(|error| Error::Setup(error.to_string()))??;
        let launcher = Launcher::start("hangar-launcher", prepared.state.join("stage"), Rights::Root).await?;
        if let Some(reason) = prepared.cgroups.missing() {
            tracing::warn!(%reason, "sandboxes run without limits on memory, processor and processes; see `hangar doctor`");
        }
        Ok(Self {
            data_dir: prepared.data_dir,
            state: prepared.state,
            launcher,
            cgroups: prepared.cgroups,
            base: prepared.base,
            skeleton: prepared.skeleton,
            entrance,
            points,
            numbers: Numbers::default(),
            maps: IdMaps::default(),
            made: AtomicU64::new(0),
            _lock: prepared.lock,
        })
    }

    /// What a backend over it can do.
    pub(crate) fn capabilities(&self, kind: BackendKind) -> Capabilities {
        Capabilities {
            kind,
            rootless: false,
            pause: self.cgroups.can_freeze(),
            snapshot: self.cgroups.can_freeze(),
            fork: true,
            late_bound: false,
            border: true,
            layers: true,
            limits: self.cgroups.missing().is_none(),
            hold: false,
        }
    }

    /// One more sandbox was made.
    pub(crate) fn count_made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// None waits: each sandbox is made when it is asked for.
    pub(crate) fn slots(&self) -> SlotCounts {
        let made = self.made.load(Ordering::Relaxed);
        SlotCounts { ready: 0, made, hits: 0, misses: made }
    }

    /// A place for one more sandbox.
    pub(crate) fn plot(&self) -> Result<Plot, Error> {
        let number = self.numbers.take();
        let range = IdRange::of(number.value());
        let directory = self.state.join("plots").join(number.value().to_string());
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(Error::host(&directory))?;
        }
        fs::create_dir_all(&directory).map_err(Error::host(&directory))?;
        Ok(Plot { number, range, directory, data_dir: self.data_dir.clone(), state: self.state.clone() })
    }

    /// Its control group.
    pub(crate) fn group(&self, plot: &Plot, limits: &Limits) -> Result<Group, Error> {
        self.cgroups.create(&plot.number.value().to_string(), limits)
    }

    /// What the guest is told to become. The surroundings are there already.
    pub(crate) fn contained(&self, spec: &SandboxSpec, ids: IdMapping) -> Contained {
        let Claim { env, limits, .. } = self.base.claim(spec);
        Contained { env, limits, account: spec.account, ids }
    }

    /// Names the engine of this state directory, also after a restart.
    pub(crate) fn engine_id(&self) -> Result<String, Error> {
        crate::namespace::engine_id(&self.state)
    }

    /// Trees of the host that lie over the root: target and path.
    pub(crate) fn trees(&self, spec: &SandboxSpec) -> &[(String, PathBuf)] {
        match spec.root.base {
            BaseKind::Host => self.base.trees(),
            BaseKind::Tree => self.base.everywhere(),
        }
    }

    /// All layers of a sandbox as they lie on disk, the topmost first; the files that are its own are written.
    pub(crate) fn layers(&self, spec: &SandboxSpec, plot: &Plot, own: Vec<RootFile>) -> Result<Vec<PathBuf>, Error> {
        let top = plot.directory.join("own");
        let root = IdRange::DISK.first;
        for RootFile { path, content } in own {
            let place = top.join(path.trim_start_matches('/'));
            let parent = place.parent().unwrap_or(&top);
            fs::create_dir_all(parent).map_err(Error::host(parent))?;
            fs::write(&place, content).map_err(Error::host(&place))?;
            for made in place.ancestors().take_while(|made| made.starts_with(&top)) {
                let mode = if made.is_dir() { 0o755 } else { 0o644 };
                fs::set_permissions(made, fs::Permissions::from_mode(mode)).map_err(Error::host(made))?;
                chown(made, Some(root), Some(root)).map_err(Error::host(made))?;
            }
        }
        let skeleton = match spec.root.base {
            BaseKind::Host => self.skeleton.host.clone(),
            BaseKind::Tree => self.skeleton.tree.clone(),
        };
        let mut layers = vec![top, self.entrance.clone()];
        layers.extend(spec.root.layers.iter().cloned());
        match spec.root.base {
            BaseKind::Host => layers.push(self.points.clone()),
            BaseKind::Tree => {}
        }
        layers.push(skeleton);
        Ok(layers)
    }

    /// Makes what is missing of a session's directory. Returns the directory of its changes.
    pub(crate) fn session(&self, spec: &SandboxSpec) -> Result<PathBuf, Error> {
        crate::namespace::session(&spec.session_dir, Rights::Root)
    }

    /// Mounts a sandbox's root in the launcher's mount namespace. A process that is cloned with mounts of its own meanwhile keeps it.
    ///
    /// On the launcher's thread.
    pub(crate) fn mount(
        &self,
        spec: &SandboxSpec,
        plot: &Plot,
        own: Vec<RootFile>,
        stage: &Stage,
    ) -> Result<Mounted, Error> {
        let overlay = self.overlay(spec, plot, own, stage)?;
        let mounted = Mounted::attach(&overlay, self.place()?)?;
        for (target, path) in self.trees(spec) {
            attach_below(&mounts::copy(path, Allow::Read)?, &mounted.place, target)?;
        }
        Ok(mounted)
    }

    /// A sandbox's root without the host's trees, detached. On the launcher's thread.
    pub(crate) fn overlay(
        &self,
        spec: &SandboxSpec,
        plot: &Plot,
        own: Vec<RootFile>,
        stage: &Stage,
    ) -> Result<OwnedFd, Error> {
        let layers = self.layers(spec, plot, own)?;
        let below = |path: &Path| crate::namespace::below(&self.data_dir, path);
        let lower = layers.iter().map(|layer| below(layer)).collect::<Result<Vec<PathBuf>, Error>>()?;
        let session = below(&spec.session_dir)?;
        let view = View::new(&self.data_dir, self.maps.of(plot.number.value())?)?;
        view.overlay(&lower, &session, &stage.directory)
    }

    /// Where a root can be mounted for a moment in the launcher's mount namespace: a directory that a process without rights over the host can
    /// reach, and below which nothing is that the runtime needs.
    pub(crate) fn place(&self) -> Result<PathBuf, Error> {
        let fits = |place: &&&str| Path::new(*place).is_dir() && !self.data_dir.starts_with(*place);
        let none = || Error::Setup(format!("none of {PLACES:?} is a directory beside the data directory; make one"));
        PLACES.iter().find(fits).map(PathBuf::from).ok_or_else(none)
    }
}

/// A root in the launcher's mount namespace, until this is dropped on the launcher's thread.
pub(crate) struct Mounted {
    pub place: PathBuf,
}

impl Mounted {
    /// Attaches a detached mount there. On the launcher's thread.
    pub(crate) fn attach(mount: &OwnedFd, place: PathBuf) -> Result<Self, Error> {
        attach(mount, &place)?;
        Ok(Self { place })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.place, UnmountFlags::DETACH) {
            tracing::warn!(%error, path = %self.place.display(), "a root stays attached in the launcher's mount namespace");
        }
    }
}

/// Attaches a detached mount.
pub(crate) fn attach(mount: &OwnedFd, at: &Path) -> Result<(), Error> {
    move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::kernel(format!("attach {}", at.display())))
}

/// Attaches a detached mount to a place in a root that is mounted at `root`. A link in that root leads nowhere but into it.
fn attach_below(mount: &OwnedFd, root: &Path, target: &str) -> Result<(), Error> {
    let what = || Error::kernel(format!("attach {target} below {}", root.display()));
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, directory, Mode::empty()).map_err(what())?;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let at = openat2(&root, target, directory, Mode::empty(), within).map_err(what())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", &at, "", flags).map_err(what())
}

/// Makes a layer's directory with those above it, as the sandbox's root has them.
fn mount_point(layer: &Path, target: &str) -> Result<(), Error> {
    let place = layer.join(target.trim_start_matches('/'));
    let root = IdRange::DISK.first;
    fs::create_dir_all(&place).map_err(Error::host(&place))?;
    for made in place.ancestors().take_while(|made| made.starts_with(layer)) {
        fs::set_permissions(made, fs::Permissions::from_mode(0o755)).map_err(Error::host(made))?;
        chown(made, Some(root), Some(root)).map_err(Error::host(made))?;
    }
    Ok(())
}

/// Everything that blocks.
fn prepare(config: &EngineConfig, kind: BackendKind) -> Result<(Prepared, PathBuf, PathBuf), Error> {
    match Rights::detect() {
        Rights::Root => {}
        Rights::Rootless => {
            return Err(Error::Unsupported {
                backend: kind.name(),
                what: "make sandboxes as an ordinary user",
                why: "it mounts layers and makes network namespaces; run hangar as root, or choose `namespace`".into(),
            });
        }
    }
    let prepared = Prepared::new(config, Rights::Root)?;
    for left in ["plots", "entrance", "points", super::frozen::FOLDER] {
        let left = prepared.state.join(left);
        if left.exists() {
            fs::remove_dir_all(&left).map_err(Error::host(&left))?;
        }
    }
    let entrance = prepared.state.join("entrance");
    let program = entrance.join(GUEST.trim_start_matches('/'));
    let parent = program.parent().unwrap_or(&entrance);
    fs::create_dir_all(parent).map_err(Error::host(parent))?;
    fs::write(&program, slot::GUEST).map_err(Error::host(&program))?;
    let root = IdRange::DISK.first;
    for made in [&entrance, &parent.to_owned(), &program] {
        fs::set_permissions(made, fs::Permissions::from_mode(0o755)).map_err(Error::host(made))?;
        chown(made, Some(root), Some(root)).map_err(Error::host(made))?;
    }
    // Above an image's own layers: whatever it has there is no place for a mount.
    prepared.base.everywhere().iter().try_for_each(|(target, _)| mount_point(&entrance, target))?;
    let points = prepared.state.join("points");
    fs::create_dir_all(&points).map_err(Error::host(&points))?;
    prepared.base.trees().iter().try_for_each(|(target, _)| mount_point(&points, target))?;
    Ok((prepared, entrance, points))
}

/// The files of a sandbox's own in `/etc`.
pub(crate) fn own_files(name: &str, nameserver: &str, border: &str) -> Vec<RootFile> {
    let file = |path: &str, content: String| RootFile { path: path.into(), content };
    vec![
        file("/etc/hostname", format!("{name}\n")),
        file(
            "/etc/hosts",
            format!(
                "127.0.0.1 localhost {name}\n::1 localhost ip6-localhost\n{border} {}\n",
                hangar_protocol::guest::BORDER_HOST
            ),
        ),
        file("/etc/resolv.conf", format!("nameserver {nameserver}\noptions timeout:5 attempts:2\n")),
        file("/etc/machine-id", format!("{}\n", random::hex())),
    ]
}
