//! The lowest layers: mount points, and for the base `host` the few files of `/etc` that programs need.
//!
//! Written anew at every start of an engine, so that a change of the machine (new certificates) reaches new sandboxes.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use hangar_protocol::{
    guest::{AGENT_ID, HOME, WORKSPACE},
    source::OWN_SOURCE,
};

use crate::{
    error::Error,
    ids::IdRange,
    namespace::{
        base::{ETC, EVERYWHERE, OWN_FILES, PROGRAMS},
        rights::Rights,
    },
    toolchains::{TOOLCHAINS, Toolchain},
};

/// Most that is copied of one part of `/etc`. A machine with more there than programs need would slow every start.
const PART_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Deepest directory that is copied.
const DEPTH_MAX: usize = 16;

/// Where the layers are.
#[derive(Clone, Debug)]
pub(crate) struct Skeleton {
    /// Below everything over the base `host`.
    pub host: PathBuf,
    /// Below a complete root: mount points it may lack.
    pub tree: PathBuf,
}

impl Skeleton {
    /// Writes both layers into `folder`, in place of those of an earlier start. No sandbox runs.
    pub(crate) fn write(
        folder: &Path,
        rights: Rights,
        own_source: Option<&Path>,
        toolchains: &[Toolchain],
    ) -> Result<Self, Error> {
        let skeleton = Self { host: folder.join("host"), tree: folder.join("tree") };
        let write = || -> io::Result<()> {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            let mut layer = Layer { root: skeleton.tree.clone(), rights };
            layer.mount_points(own_source)?;
            layer.root.clone_from(&skeleton.host);
            layer.mount_points(own_source)?;
            layer.host(toolchains)
        };
        write().map_err(Error::host(folder))?;
        Ok(skeleton)
    }
}

struct Layer {
    root: PathBuf,
    rights: Rights,
}

impl Layer {
    fn mount_points(&self, own_source: Option<&Path>) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        self.own(&self.root)?;
        for path in EVERYWHERE {
            self.directory(path)?;
        }
        if own_source.is_some() {
            self.directory(OWN_SOURCE)?;
        }
        for path in OWN_FILES {
            self.file(path, "")?;
        }
        for path in [HOME, WORKSPACE] {
            self.directory(path)?;
            match self.rights {
                Rights::Root => {
                    let agent = IdRange::DISK.agent();
                    chown(self.at(path), Some(agent), Some(agent))?;
                }
                Rights::Rootless => {}
            }
        }
        Ok(())
    }

    fn host(&self, toolchains: &[Toolchain]) -> io::Result<()> {
        for name in PROGRAMS {
            let path = format!("/{name}");
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => self.link(&path, &fs::read_link(&path)?)?,
                Ok(meta) if meta.is_dir() => self.directory(&path)?,
                Ok(_) | Err(_) => {}
            }
        }
        for name in ETC {
            let mut left = PART_BYTES_MAX;
            self.copy(Path::new(&format!("/etc/{name}")), 0, &mut left)?;
        }
        for (path, target) in [("/etc/mtab", "/proc/self/mounts"), ("/var/tmp", "/tmp"), ("/var/run", "/run")] {
            self.link(path, Path::new(target))?;
        }
        if !toolchains.is_empty() {
            self.directory(TOOLCHAINS)?;
        }
        for toolchain in toolchains {
            for path in &toolchain.also_at {
                self.link(path, Path::new(&toolchain.target()))?;
            }
        }
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/bash\nagent:x:{AGENT_ID}:{AGENT_ID}:agent:{HOME}:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
        );
        self.file("/etc/passwd", &passwd)?;
        self.file("/etc/group", &format!("root:x:0:\ntty:x:5:\nagent:x:{AGENT_ID}:\nnogroup:x:65534:\n"))?;
        self.file(
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n",
        )
    }

    /// Copies what everybody may read. Links stay links, and anything else is left out.
    fn copy(&self, path: &Path, depth: usize, left: &mut u64) -> io::Result<()> {
        let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
        let place = path.to_string_lossy();
        if meta.is_symlink() {
            return self.link(&place, &fs::read_link(path)?);
        }
        if meta.permissions().mode() & 0o004 == 0 || meta.len() > *left || depth > DEPTH_MAX {
            return Ok(());
        }
        if meta.is_file() {
            *left -= meta.len();
            let to = self.at(&place);
            self.parents(&to)?;
            fs::copy(path, &to)?;
            self.own(&to)?;
        } else if meta.is_dir() {
            self.directory(&place)?;
            for entry in fs::read_dir(path)? {
                self.copy(&entry?.path(), depth + 1, left)?;
            }
        }
        Ok(())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn directory(&self, path: &str) -> io::Result<()> {
        let place = self.at(path);
        self.parents(&place)?;
        if !place.is_dir() {
            fs::create_dir(&place)?;
            self.own(&place)?;
        }
        Ok(())
    }

    fn file(&self, path: &str, content: &str) -> io::Result<()> {
        let place = self.at(path);
        self.parents(&place)?;
        fs::write(&place, content)?;
        self.own(&place)
    }

    fn link(&self, path: &str, target: &Path) -> io::Result<()> {
        let place = self.at(path);
        self.parents(&place)?;
        if fs::symlink_metadata(&place).is_ok() {
            return Ok(());
        }
        symlink(target, &place)?;
        match self.rights {
            Rights::Root => std::os::unix::fs::lchown(&place, Some(IdRange::DISK.first), Some(IdRange::DISK.first)),
            Rights::Rootless => Ok(()),
        }
    }

    fn parents(&self, place: &Path) -> io::Result<()> {
        let Some(parent) = place.parent().filter(|parent| !parent.exists()) else { return Ok(()) };
        self.parents(parent)?;
        fs::create_dir(parent)?;
        self.own(parent)
    }

    /// Gives a file or directory to the sandbox's root, for everybody to read.
    fn own(&self, place: &Path) -> io::Result<()> {
        let directory = place.is_dir();
        match self.rights {
            Rights::Root => {
                fs::set_permissions(place, fs::Permissions::from_mode(if directory { 0o755 } else { 0o644 }))?;
                chown(place, Some(IdRange::DISK.first), Some(IdRange::DISK.first))
            }
            // All belongs to the one user there is; a mode keeps commands from changing it by mistake.
            Rights::Rootless => {
                fs::set_permissions(place, fs::Permissions::from_mode(if directory { 0o755 } else { 0o444 }))
            }
        }
    }
}
