//! What external agents find in a sandbox to ask hangar before their calls: the hook program, and what names it to each of them.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hangar_agent::acp::hook_files;
use hangar_protocol::{
    guest::hook::{HOOKS, PROGRAM},
    source::OWN_SOURCE,
};
use hangar_sandbox::HOOK_PROGRAM;

/// Writes it into the directory that sandboxes see as [`OWN_SOURCE`].
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(own: &Path) -> io::Result<()> {
    let directory = within(own);
    fs::create_dir_all(&directory)?;
    let program = directory.join(PROGRAM);
    fs::write(&program, HOOK_PROGRAM)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    hook_files().into_iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))
}

/// Where the directory of hooks is, below the one that sandboxes see.
fn within(own: &Path) -> PathBuf {
    let below = HOOKS.strip_prefix(OWN_SOURCE).unwrap_or(HOOKS);
    own.join(below.trim_start_matches('/'))
}
