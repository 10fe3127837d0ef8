//! What the daemon is told about one container.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig, ResourcesUlimits,
};
use hangar_protocol::guest::HOME;

use super::{DOOR, DOOR_INSIDE, DOOR_SOCKET, LABEL};
use crate::{
    backends::ground::{GUEST, Ground, Plot, own_files},
    error::Error,
    ids::IdRange,
    layers::{chain, chain::Facts},
    namespace::base::{MASKED, READ_ONLY},
    spec::SandboxSpec,
};

/// Directories that the daemon makes itself.
const DAEMONS: &[&str] = &["dev", "proc", "sys", "tmp", "run", ".hangar"];
/// What the daemon mounts and no other backend has: the host's devices, and its control groups by name.
const DAEMONS_MASK: &str = "/sys";
/// Files that the daemon would otherwise write itself.
const ETC_FILES: &[&str] = &["etc/hosts", "etc/hostname", "etc/resolv.conf"];
/// The span over which processor time is counted, in microseconds.
const CPU_PERIOD_US: i64 = 100_000;
/// What mount(2) takes as options.
const OPTIONS_BYTES_MAX: usize = 4000;

/// A root, taken apart into what the daemon mounts.
pub(super) struct Root {
    /// Symbolic links at the top: name and target. They are part of the image.
    pub links: BTreeMap<String, PathBuf>,
    /// Directories at the top. They are part of the image as mount points.
    pub directories: BTreeSet<String>,
    /// Directories made of layers: name, and the layers that have it, the topmost first.
    overlays: BTreeMap<String, Vec<PathBuf>>,
    /// The host's trees that lie over it.
    trees: Vec<(String, PathBuf)>,
    session: PathBuf,
}

impl Root {
    /// Looks at the layers and makes the session's directories.
    pub(super) fn new(ground: &Ground, spec: &SandboxSpec, plot: &Plot) -> Result<Self, Error> {
        let layers = ground.layers(spec, plot, container_files(&spec.name))?;
        let shelf = plot.directory.join("l");
        fs::create_dir(&shelf).map_err(Error::host(&shelf))?;
        let trees = ground.trees(spec).to_vec();
        let covered: BTreeSet<&str> = trees
            .iter()
            .filter_map(|(target, _)| Some(target.trim_start_matches('/')).filter(|at| !at.contains('/')))
            .collect();
        let mut root = Self {
            links: BTreeMap::new(),
            directories: DAEMONS.iter().map(|name| (*name).to_owned()).collect(),
            overlays: BTreeMap::new(),
            trees: trees.clone(),
            session: spec.session_dir.clone(),
        };
        root.directories.extend(covered.iter().map(|name| (*name).to_owned()));
        for (number, layer) in layers.iter().enumerate() {
            // Short names: the kernel takes a page of options.
            let short = shelf.join(number.to_string());
            symlink(layer, &short).map_err(Error::host(&short))?;
            for entry in fs::read_dir(layer).map_err(Error::host(layer))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if DAEMONS.contains(&name.as_str()) || covered.contains(name.as_str()) {
                    continue;
                }
                let meta = entry.metadata().map_err(Error::host(entry.path()))?;
                if meta.is_symlink() && !root.directories.contains(&name) {
                    let target = fs::read_link(entry.path()).map_err(Error::host(entry.path()))?;
                    root.links.entry(name).or_insert(target);
                } else if meta.is_dir() && !root.links.contains_key(&name) {
                    root.directories.insert(name.clone());
                    root.overlays.entry(name.clone()).or_default().push(short.join(name));
                }
            }
        }
        for (name, lower) in &root.overlays {
            root.make_upper(name, lower)?;
        }
        Ok(root)
    }

    /// The session's directory for the changes to one top-level directory, looking as the topmost layer's.
    fn make_upper(&self, name: &str, lower: &[PathBuf]) -> Result<(), Error> {
        let work = self.work(name);
        if !work.is_dir() {
            fs::create_dir_all(&work).map_err(Error::host(&work))?;
        }
        let upper = self.upper(name);
        let Some(like) = lower.first().filter(|_| !upper.is_dir()) else { return Ok(()) };
        let like = fs::metadata(like).map_err(Error::host(like))?;
        let facts = Facts { mode: like.mode() & 0o7777, owner: Some((like.uid(), like.gid())) };
        Ok(chain::make_part(&self.session, &upper, &facts)?)
    }

    fn upper(&self, name: &str) -> PathBuf {
        self.session.join("upper").join(name)
    }

    fn work(&self, name: &str) -> PathBuf {
        self.session.join("docker-work").join(name)
    }

    fn mounts(&self, plot: &Plot) -> Vec<Mount> {
        let mut mounts = vec![bind(&plot.directory.join(DOOR), DOOR_INSIDE)];
        for (name, lower) in &self.overlays {
            mounts.push(volume(&format!("/{name}"), &self.options(name, lower)));
        }
        for file in ETC_FILES {
            mounts.push(bind(&plot.directory.join("own").join(file), &format!("/{file}")));
        }
        mounts.extend(self.trees.iter().map(|(target, path)| bind(path, target)));
        mounts
    }

    fn options(&self, name: &str, lower: &[PathBuf]) -> String {
        let lower: Vec<String> = lower.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        format!(
            "nosuid,nodev,redirect_dir=on,lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            self.upper(name).display(),
            self.work(name).display()
        )
    }

    /// Refuses what the kernel would refuse with fewer words.
    pub(super) fn check(&self) -> Result<(), Error> {
        let longest = self.overlays.iter().map(|(name, lower)| self.options(name, lower).len()).max().unwrap_or(0);
        if longest > OPTIONS_BYTES_MAX {
            return Err(Error::Setup(format!(
                "the image has more layers than a Docker volume can name ({longest} bytes of options); squash it, or use another backend"
            )));
        }
        Ok(())
    }
}

/// The container's own files. Ids are the host's, so the agent has another number than elsewhere.
fn container_files(name: &str) -> Vec<hangar_protocol::guest::setup::RootFile> {
    let (root, agent) = (IdRange::DISK.first, IdRange::DISK.agent());
    let file = |path: &str, content: String| hangar_protocol::guest::setup::RootFile { path: path.into(), content };
    let mut files = own_files(name, "127.0.0.1", "127.0.0.1");
    files.push(file(
        "/etc/passwd",
        format!("root:x:{root}:{root}:root:/root:/bin/bash\nagent:x:{agent}:{agent}:agent:{HOME}:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"),
    ));
    files.push(file("/etc/group", format!("root:x:{root}:\ntty:x:5:\nagent:x:{agent}:\nnogroup:x:65534:\n")));
    files
}

fn bind(source: &Path, target: &str) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    }
}

/// A volume without a name, which goes with its container.
fn volume(target: &str, options: &str) -> Mount {
    let options = HashMap::from([
        ("type".to_owned(), "overlay".to_owned()),
        ("device".to_owned(), "overlay".to_owned()),
        ("o".to_owned(), options.to_owned()),
    ]);
    let driver = MountVolumeOptionsDriverConfig { name: Some("local".into()), options: Some(options) };
    let volume = MountVolumeOptions { no_copy: Some(true), driver_config: Some(driver), ..Default::default() };
    Mount {
        target: Some(target.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(volume),
        ..Mount::default()
    }
}

/// Everything about the container of this sandbox.
pub(super) fn describe(spec: &SandboxSpec, plot: &Plot, root: &Root, image: &str, engine: &str) -> ContainerCreateBody {
    let limits = &spec.limits;
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let agent = IdRange::DISK.agent();
    let memory =
        |mode: &str, bytes: u64| format!("rw,exec,nosuid,nodev,mode={mode},size={bytes},uid={agent},gid={agent}");
    let share = |part: u64| limits.memory_bytes / part;
    let host = HostConfig {
        auto_remove: Some(true),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges:true".into()]),
        network_mode: Some("none".into()),
        ipc_mode: Some("private".into()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // Instead of the daemon's own list, which is shorter.
        masked_paths: Some(MASKED.iter().chain([&DAEMONS_MASK]).map(|path| (*path).to_owned()).collect()),
        readonly_paths: Some(READ_ONLY.iter().map(|path| (*path).to_owned()).collect()),
        readonly_rootfs: Some(true),
        mounts: Some(root.mounts(plot)),
        tmpfs: Some(HashMap::from([
            ("/tmp".to_owned(), memory("1777", limits.tmp_bytes.min(share(4)))),
            ("/run".to_owned(), memory("1777", share(16))),
        ])),
        shm_size: Some(bytes(share(8))),
        memory: Some(bytes(limits.memory_bytes)),
        memory_swap: Some(bytes(limits.memory_bytes)),
        cpu_period: Some(CPU_PERIOD_US),
        cpu_quota: Some(i64::from(limits.cpu_percent) * CPU_PERIOD_US / 100),
        pids_limit: Some(i64::from(limits.processes)),
        ulimits: Some(vec![ResourcesUlimits {
            name: Some("nofile".into()),
            soft: Some(bytes(limits.open_files)),
            hard: Some(bytes(limits.open_files)),
        }]),
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        hostname: Some(spec.name.clone()),
        user: Some(format!("{agent}:{agent}")),
        image: Some(image.to_owned()),
        entrypoint: Some(vec![GUEST.into(), "contained".into(), format!("{DOOR_INSIDE}/{DOOR_SOCKET}")]),
        working_dir: Some("/".into()),
        labels: Some(HashMap::from([(LABEL.to_owned(), engine.to_owned())])),
        network_disabled: Some(false),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}
