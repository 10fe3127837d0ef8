//! The exact source of this program, which it carries inside: for agents, who find it in every sandbox, and for people.
//!
//! ```text
//! build script ──tar, zstd──▶ the program ──once a version and boot──▶ data/source/<id>-<boot>/{INDEX.md, src/} ──mounted read only──▶ /opt/hangar in sandboxes
//!                                     └────hangar source DIR──▶ DIR
//! ```

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{agent_hooks, memory};

/// Every file, as `tar` in `zstd`.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/source.tar.zst"));
/// What is where.
const INDEX: &str = include_str!(concat!(env!("OUT_DIR"), "/source-index.md"));
/// The commit it is, or why there is none.
pub(crate) const COMMIT: &str = env!("HANGAR_SOURCE_COMMIT");
/// Names this source: no other has it.
const ID: &str = env!("HANGAR_SOURCE_ID");
/// Another one after every start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Writes every file below a directory, which is made.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn unpack(into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    let mut archive = tar::Archive::new(zstd::Decoder::new(ARCHIVE)?);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(false);
    archive.unpack(into)?;
    memory::give_back_pages(ARCHIVE);
    Ok(())
}

/// The directory that sandboxes see, unpacked if this version's is not there yet. Those of other versions are removed: no sandbox outlives
/// its server, which holds the lock of the data directory.
///
/// It is unpacked anew when the machine has started since: so nothing here has to be fsynced, and what a power cut left is never shown.
///
/// # Errors
/// When the data directory cannot be written.
pub(crate) fn place(data: &Path) -> io::Result<PathBuf> {
    let all = data.join("source");
    let boot = fs::read_to_string(BOOT_ID)?;
    let place = all.join(format!("{ID}-{}", boot.trim()));
    fs::create_dir_all(&all)?;
    for entry in fs::read_dir(&all)? {
        let entry = entry?;
        if entry.path() != place {
            fs::remove_dir_all(entry.path())?;
        }
    }
    if !place.exists() {
        // Complete before it has its name: a server that is killed meanwhile leaves nothing that is used.
        let unfinished = all.join("unfinished");
        unpack(&unfinished.join("src"))?;
        fs::write(unfinished.join("INDEX.md"), INDEX)?;
        agent_hooks::write(&unfinished)?;
        open_to_all(&unfinished)?;
        fs::rename(&unfinished, &place)?;
    }
    Ok(place)
}

/// Sandboxes read with other ids than the server's: everybody may look, whatever the server's umask says.
fn open_to_all(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            open_to_all(&entry.path())?;
        } else if kind.is_file() {
            let mode = entry.metadata()?.permissions().mode();
            let mode = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
