//! The agent's account on top of a base that has none.
//!
//! Commands of a session run as user 1000, whatever the base calls it. Where the base calls nobody so, programs that look up their own name would fail.

use std::{fs, io, io::Read, os::unix::fs::PermissionsExt, path::Path};

use hangar_sandbox::layers::{About, Kind, LayerId, LayerStore};
use rustix::fs::{FileType, OFlags, fstat};

use crate::{
    base::BaseError,
    oci::{
        Owners, beneath,
        layer::merged::{Lies, Merged},
    },
};

/// The id of a session's user and group. The same number as in the engine, which tells the guest.
const AGENT: u32 = 1000;
/// Largest `/etc/passwd` that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Makes the layer that goes on top of `layers` (topmost first), if one is needed.
pub(super) fn on_top(store: &LayerStore, layers: &[LayerId], work: &Path) -> Result<Option<LayerId>, BaseError> {
    let trees: Vec<_> = layers.iter().map(|layer| store.tree(layer)).collect();
    let trees = Merged::open(&trees, Owners::detect()).map_err(BaseError::host("layers"))?;
    let passwd = read(&trees, "etc/passwd").unwrap_or_else(|| "root:x:0:0:root:/root:/bin/sh\n".into());
    let group = read(&trees, "etc/group").unwrap_or_else(|| "root:x:0:\n".into());
    let shell = if has(&trees, "bin/bash") || has(&trees, "usr/bin/bash") { "/bin/bash" } else { "/bin/sh" };
    let user = line(&passwd, 2).then(|| format!("agent:x:{AGENT}:{AGENT}:agent:/home/agent:{shell}\n"));
    let own_group = line(&group, 2).then(|| format!("agent:x:{AGENT}:\n"));
    if user.is_none() && own_group.is_none() {
        return Ok(None);
    }
    let tree = work.join("account");
    let write = || -> io::Result<()> {
        let etc = tree.join("etc");
        fs::create_dir_all(&etc)?;
        for directory in [&tree, &etc] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
            give(directory)?;
        }
        for (name, text, line) in [("passwd", passwd, user), ("group", group, own_group)] {
            let path = etc.join(name);
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            fs::write(&path, text + gap + &line.unwrap_or_default())?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
            give(&path)?;
            // The same account on the same base is the same layer, whenever it is made.
            let file = fs::File::options().write(true).open(&path)?;
            file.set_modified(io::Result::Ok(std::time::UNIX_EPOCH)?)?;
        }
        fs::File::open(&etc)?.set_modified(std::time::UNIX_EPOCH)
    };
    write().map_err(BaseError::host(&tree))?;
    let id = store.seal(&tree, About::new(Kind::Base, "the agent's account"))?;
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(BaseError::host(&tree))?;
    }
    Ok(Some(id))
}

/// Whether no line has the agent's id in this column.
fn line(text: &str, column: usize) -> bool {
    !text.lines().any(|line| line.split(':').nth(column) == Some("1000"))
}

fn give(path: &Path) -> io::Result<()> {
    match Owners::detect().on_disk(0, 0) {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Reads a text of the layers; links are followed inside of them.
pub(super) fn read(layers: &Merged, path: &str) -> Option<String> {
    let Some(Lies::Other { parent, .. }) =
        layers.follow(Path::new(path)).ok()?.lies.filter(|lies| !lies.is_directory())
    else {
        return None;
    };
    let name = layers.follow(Path::new(path)).ok()?.path.file_name()?.to_owned();
    let file = beneath(&parent, Path::new(&name), OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    if FileType::from_raw_mode(fstat(&file).ok()?.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = String::new();
    fs::File::from(file).take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn has(layers: &Merged, path: &str) -> bool {
    layers.follow(Path::new(path)).is_ok_and(|led| led.lies.is_some())
}
