//! What machines start from: a kernel of this machine's distribution, and the few drivers it needs.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    backends::vm::{archive::Archive, unpack::unpacked},
    error::Error,
    namespace::slot,
    spec::{EngineConfig, MachineKernel},
};
use hangar_protocol::guest::setup::MACHINE_MODULES;

use super::unsupported;

/// Drivers of what a machine has: its bus, the port, the shares, the card.
const DRIVERS: &[&str] = &["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "virtio_net"];
/// Without this one a kernel is not looked at twice.
const SHARES: &str = "9p";
/// Drivers in one kernel; a distribution's has about 4,000.
const MODULES_MAX: usize = 50_000;
/// Where distributions put kernels.
const BOOT: &str = "/boot";
/// The guest's program in the archive.
pub(super) const GUEST: &str = "/guest";
/// How a kernel is installed.
pub(crate) const INSTALL_KERNEL: &str = "apt-get install linux-image-amd64 (the -cloud kernels of Debian 12 have no 9p), or set sandbox.machine_kernel to a kernel that has it";

impl MachineKernel {
    /// A kernel with its drivers beside it, as packages lay them out: `…/boot/vmlinuz-VERSION` and `…/lib/modules/VERSION`.
    #[must_use]
    pub fn beside(image: impl Into<PathBuf>) -> Self {
        let image = image.into();
        let name = image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let version = name.strip_prefix("vmlinuz-").unwrap_or(&name);
        let top = image.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let modules = top.join("lib/modules").join(version);
        Self { image, modules }
    }
}

/// The configured kernel, or the newest installed one that can share files with its host.
pub(crate) fn find(configured: Option<&MachineKernel>) -> Result<MachineKernel, String> {
    if let Some(kernel) = configured {
        return match Modules::of(kernel) {
            Ok(modules) if modules.has(SHARES) => Ok(kernel.clone()),
            Ok(_) => Err(format!("the kernel {} has no 9p; {INSTALL_KERNEL}", kernel.image.display())),
            Err(error) => Err(error.to_string()),
        };
    }
    let entries = fs::read_dir(BOOT).into_iter().flatten().flatten();
    let names = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")));
    let mut kernels: Vec<MachineKernel> = names.map(MachineKernel::beside).collect();
    kernels.sort_by_key(|kernel| numbers(&kernel.image.to_string_lossy()));
    let fits = |kernel: &MachineKernel| Modules::of(kernel).is_ok_and(|modules| modules.has(SHARES));
    let found = kernels.into_iter().rev().find(fits);
    found.ok_or_else(|| format!("there is no kernel with 9p below {BOOT}; {INSTALL_KERNEL}"))
}

/// The numbers in a name, for finding the newest.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Finds the kernel and puts what machines start from into `folder`, for every user to read. Returns the kernel's own path.
pub(super) fn prepare(config: &EngineConfig, folder: &Path) -> Result<PathBuf, Error> {
    let kernel = find(config.machine_kernel.as_ref()).map_err(unsupported)?;
    fs::create_dir_all(folder).map_err(Error::host(folder))?;
    put(&folder.join("archive"), &archive(&Modules::of(&kernel)?)?)?;
    // Which kernel lies there, written behind it.
    let (place, label) = (folder.join("kernel"), folder.join("kernel-of"));
    let meta = fs::metadata(&kernel.image).map_err(Error::host(&kernel.image))?;
    let wanted = format!("{} {} {}", kernel.image.display(), meta.size(), meta.mtime());
    if fs::read_to_string(&label).is_ok_and(|there| there == wanted) && place.exists() {
        return Ok(kernel.image);
    }
    let image = fs::read(&kernel.image).map_err(Error::host(&kernel.image))?;
    put(&place, &unpacked(&image).unwrap_or(image))?;
    put(&label, wanted.as_bytes())?;
    Ok(kernel.image)
}

/// Writes a file anew: what a machine has open stays as it is.
fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::host(path)(error)),
        Ok(()) | Err(_) => {}
    }
    fs::write(path, content).map_err(Error::host(path))?;
    // QEMU has ids of its own.
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(Error::host(path))
}

/// The guest and the drivers, named so that their order is the one in which they can be loaded.
fn archive(modules: &Modules) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    archive.program(GUEST, slot::GUEST);
    archive.directory(MACHINE_MODULES);
    for (number, path) in modules.closure(DRIVERS)?.into_iter().enumerate() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let content = fs::read(&path).map_err(Error::host(&path))?;
        archive.file(&format!("{MACHINE_MODULES}/{number:02}-{name}"), &content);
    }
    Ok(archive.finish())
}

/// The drivers of one kernel.
struct Modules {
    folder: PathBuf,
    /// By name, with `_` for `-`.
    files: HashMap<String, PathBuf>,
    /// Parts of the kernel itself.
    builtin: Vec<String>,
}

impl Modules {
    fn of(kernel: &MachineKernel) -> Result<Self, Error> {
        let folder = kernel.modules.clone();
        let mut files = HashMap::new();
        walk(&folder.join("kernel"), &mut files).map_err(Error::host(&folder))?;
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        let builtin = builtin.lines().map(|line| name(Path::new(line))).collect();
        Ok(Self { folder, files, builtin })
    }

    fn has(&self, driver: &str) -> bool {
        self.files.contains_key(driver) || self.builtin.iter().any(|builtin| builtin == driver)
    }

    /// The files of these drivers and of all that they need, each behind what it needs itself.
    fn closure(&self, drivers: &[&str]) -> Result<Vec<PathBuf>, Error> {
        let listed = fs::read_to_string(self.folder.join("modules.dep")).unwrap_or_default();
        let mut order = Vec::new();
        for driver in drivers {
            self.add(driver, &listed, &mut order)?;
        }
        Ok(order.iter().filter_map(|driver: &String| self.files.get(driver).cloned()).collect())
    }

    fn add(&self, driver: &str, listed: &str, order: &mut Vec<String>) -> Result<(), Error> {
        if order.iter().any(|known| known == driver) {
            return Ok(());
        }
        let Some(file) = self.files.get(driver) else {
            // A part of the kernel; or one that is not there, which only matters if what needs it says so.
            return Ok(());
        };
        for needed in self.needed(driver, file, listed)? {
            self.add(&needed, listed, order)?;
        }
        order.push(driver.to_owned());
        Ok(())
    }

    /// What a driver needs: as `depmod` listed it when the kernel was installed, else as the driver itself says.
    fn needed(&self, driver: &str, file: &Path, listed: &str) -> Result<Vec<String>, Error> {
        let line = listed.lines().find_map(|line| {
            let (path, needed) = line.split_once(':')?;
            (name(Path::new(path)) == driver).then_some(needed)
        });
        if let Some(needed) = line {
            return Ok(needed.split_whitespace().map(|path| name(Path::new(path))).collect());
        }
        let content = fs::read(file).map_err(Error::host(file))?;
        let key = b"\0depends=";
        let Some(at) = content.windows(key.len()).position(|window| window == key) else {
            return Ok(Vec::new());
        };
        let value = content[at + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
        let value = String::from_utf8_lossy(value);
        Ok(value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
    }
}

/// A driver's name: that of its file without `.ko` and what it may be packed with.
fn name(path: &Path) -> String {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn walk(folder: &Path, found: &mut HashMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.to_string_lossy().contains(".ko") && found.len() < MODULES_MAX {
            found.insert(name(&path), path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_drivers_lie_beside_it() {
        let kernel = MachineKernel::beside("/somewhere/boot/vmlinuz-6.1.0-56-amd64");
        assert_eq!(kernel.modules, Path::new("/somewhere/lib/modules/6.1.0-56-amd64"));
    }

    #[test]
    fn the_newest_kernel_has_the_largest_numbers() {
        assert!(numbers("vmlinuz-6.1.0-56-amd64") > numbers("vmlinuz-6.1.0-9-amd64"));
        assert!(numbers("vmlinuz-6.12.95+deb12-amd64") > numbers("vmlinuz-6.1.0-56-amd64"));
    }

    /// A kernel's folder with these files.
    fn modules(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Result<Modules, Error>) {
        let directory = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(directory.path().join("kernel/deep")).unwrap();
        for (path, content) in files {
            fs::write(directory.path().join(path), content).unwrap();
        }
        let kernel = MachineKernel { image: "/nowhere".into(), modules: directory.path().to_owned() };
        let modules = Modules::of(&kernel);
        (directory, modules)
    }

    fn names(paths: Vec<PathBuf>) -> Vec<String> {
        paths.into_iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_needed_comes_first() {
        let own: &[(&str, &[u8])] = &[
            ("kernel/deep/9p.ko", b"x\0depends=9pnet,net-fs\0y"),
            ("kernel/deep/9pnet.ko", b"x\0depends=\0y"),
            ("kernel/net-fs.ko", b"x\0depends=9pnet,inside\0y"),
            ("modules.builtin", b"kernel/inside.ko\n"),
        ];
        let (_directory, found) = modules(own);
        let found = found.unwrap();
        assert_eq!(names(found.closure(&["9p", "inside"]).unwrap()), ["9pnet.ko", "net-fs.ko", "9p.ko"]);
        assert!(found.has("9p") && found.has("inside") && !found.has("other"));
        let packed: &[(&str, &[u8])] = &[
            ("kernel/9p.ko.xz", b"?"),
            ("kernel/9pnet.ko.xz", b"?"),
            ("modules.dep", b"kernel/9p.ko.xz: kernel/9pnet.ko.xz\nkernel/9pnet.ko.xz:\n"),
        ];
        let (_directory, found) = modules(packed);
        assert_eq!(names(found.unwrap().closure(&["9p"]).unwrap()), ["9pnet.ko.xz", "9p.ko.xz"]);
    }
}
