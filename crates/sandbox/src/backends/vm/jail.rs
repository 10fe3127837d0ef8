//! All that QEMU sees of the host's files: its own program, what the machine starts from, and this sandbox's root.

use std::{
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen},
};

use crate::{
    backends::ground::{Mounted, attach},
    error::Error,
    ids::IdRange,
    namespace::{
        base::PROGRAMS,
        mounts::{self, Allow},
    },
};

/// Where things are inside.
pub(super) const KERNEL: &str = "/machine/kernel";
pub(super) const ARCHIVE: &str = "/machine/archive";
pub(super) const ROOT: &str = "/root";
pub(super) const TREES: &str = "/trees";
/// The jail's own files: directories, links and what the machine says on its console, which ends where this does.
const SIZE: &str = "512k";
/// Where libraries are, for the program's loader.
const LIBRARIES: &str = "/etc/ld.so.cache";
/// Device files: number, and whether it is the sandbox's own.
const DEVICES: &[(&str, u32, u32)] = &[("null", 1, 3), ("urandom", 1, 9)];
const KVM: (u32, u32) = (10, 232);

/// A jail that is being built. The launcher's thread sees it until this is dropped; a process that is cloned meanwhile keeps it.
pub(super) struct Building {
    mounted: Mounted,
}

impl Building {
    /// Builds what every machine has at `place`. `folder` is where [`prepare`](super::kernel::prepare) put what it starts from.
    pub(super) fn new(place: PathBuf, folder: &Path) -> Result<Self, Error> {
        let what = || Error::kernel("build a machine's jail");
        let own = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(what())?;
        fsconfig_set_string(&own, "size", SIZE).map_err(what())?;
        fsconfig_set_string(&own, "mode", "0755").map_err(what())?;
        fsconfig_create(&own).map_err(what())?;
        // Its device files are meant.
        let own = fsmount(&own, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOSUID).map_err(what())?;
        let building = Self { mounted: Mounted::attach(&own, place)? };
        for name in PROGRAMS {
            let host = PathBuf::from(format!("/{name}"));
            match fs::symlink_metadata(&host) {
                Ok(meta) if meta.is_symlink() => {
                    let target = fs::read_link(&host).map_err(Error::host(&host))?;
                    let link = building.at(&host);
                    symlink(target, &link).map_err(Error::host(link))?;
                }
                Ok(meta) if meta.is_dir() => building.tree(&format!("/{name}"), &mounts::copy(&host, Allow::Read)?)?,
                Ok(_) | Err(_) => {}
            }
        }
        building.file(KERNEL, &folder.join("kernel"))?;
        building.file(ARCHIVE, &folder.join("archive"))?;
        if Path::new(LIBRARIES).exists() {
            building.file(LIBRARIES, Path::new(LIBRARIES))?;
        }
        // QEMU changes a file's mode by way of its descriptors there.
        building.directory("/proc")?;
        building.directory("/dev")?;
        for (name, major, minor) in DEVICES {
            building.device(name, (*major, *minor), 0, 0o666)?;
        }
        Ok(building)
    }

    /// Where it is for the launcher.
    pub(super) fn root(&self) -> &Path {
        &self.mounted.place
    }

    /// Puts a detached mount into it.
    pub(super) fn tree(&self, path: &str, mount: &OwnedFd) -> Result<(), Error> {
        self.directory(path)?;
        attach(mount, &self.at(Path::new(path)))
    }

    /// Lets it use the processor's own virtualisation.
    pub(super) fn kvm(&self, range: IdRange) -> Result<(), Error> {
        self.device("kvm", KVM, range.first, 0o600)
    }

    /// A file for what the machine says. It can be read by [`File`] alone once this is dropped.
    pub(super) fn log(&self) -> Result<File, Error> {
        let path = self.at(Path::new("/log"));
        File::options().read(true).append(true).create_new(true).open(&path).map_err(Error::host(path))
    }

    fn file(&self, path: &str, host: &Path) -> Result<(), Error> {
        let place = self.at(Path::new(path));
        self.directory(&Path::new(path).parent().unwrap_or(Path::new("/")).to_string_lossy())?;
        fs::write(&place, b"").map_err(Error::host(&place))?;
        attach(&mounts::copy(host, Allow::Read)?, &place)
    }

    /// Makes a directory in it.
    pub(super) fn directory(&self, path: &str) -> Result<(), Error> {
        let place = self.at(Path::new(path));
        fs::create_dir_all(&place).map_err(Error::host(place))
    }

    fn device(&self, name: &str, (major, minor): (u32, u32), owner: u32, mode: u32) -> Result<(), Error> {
        let place = self.at(&Path::new("/dev").join(name));
        let number = makedev(major, minor);
        mknodat(CWD, &place, FileType::CharacterDevice, Mode::from_raw_mode(mode), number)
            .map_err(Error::host(&place))?;
        // Whatever the file mode mask of this process took away.
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).map_err(Error::host(&place))?;
        chown(&place, Some(owner), Some(owner)).map_err(Error::host(&place))
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.mounted.place.join(path.strip_prefix("/").unwrap_or(path))
    }
}
