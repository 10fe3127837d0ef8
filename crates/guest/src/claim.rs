//! Turns a slot into one particular sandbox. Somebody is waiting: nothing is done here that could have been done before.

use std::{fs, os::fd::OwnedFd};

use hangar_protocol::guest::{
    Claim,
    setup::{DATA, RootSource},
};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{MoveMountFlags, UnmountFlags, move_mount, unmount},
};

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    mounts::{make_parent, overlay, resize},
};

/// Moves into the sandbox's root and takes along what was staged.
///
/// The root is mounted over the slot's own small root, which so becomes unreachable; an unmount would cost a grace period of the kernel.
pub(crate) fn apply(claim: &Claim, sent: Option<OwnedFd>) -> Result<(), SetupError> {
    for file in &claim.files {
        fs::write(&file.path, &file.content).map_err(SetupError::at(format!("write {}", file.path)))?;
    }
    claim.sizes.iter().try_for_each(|(path, bytes)| resize(path, *bytes))?;
    let root = match &claim.root {
        RootSource::Sent => sent.ok_or_else(|| SetupError::new("cannot enter the root: it was not sent".into()))?,
        RootSource::Overlay { lower, upper, work } => {
            let root = overlay(lower, upper, work)?;
            // The overlay keeps its layers itself.
            unmount(DATA, UnmountFlags::DETACH).map_err(SetupError::at("leave the data directory"))?;
            root
        }
    };
    if stands(Guard::UtsNamespace) {
        rustix::system::sethostname(claim.hostname.as_bytes()).map_err(SetupError::at("set the host name"))?;
    }
    let what = "enter the root";
    let staged = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(SetupError::at(what))?;
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(SetupError::at(what))?;
    rustix::process::fchdir(&root).map_err(SetupError::at(what))?;
    rustix::process::chroot(".").map_err(SetupError::at(what))?;
    for path in &claim.attach {
        take_along(&staged, path)?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Moves one staged mount to the same place in the root.
fn take_along(staged: &OwnedFd, path: &str) -> Result<(), SetupError> {
    let from = path.trim_start_matches('/');
    let attach = || move_mount(staged, from, CWD, path, MoveMountFlags::empty());
    match attach() {
        Ok(()) => Ok(()),
        // A root may lack it, or have a link in its place, which must not lead the mount astray.
        Err(_) => {
            make_mount_point(staged, from, path)?;
            attach().map_err(SetupError::at(format!("attach {path}")))
        }
    }
}

fn make_mount_point(staged: &OwnedFd, from: &str, path: &str) -> Result<(), SetupError> {
    let what = || format!("make {path}");
    let kind =
        rustix::fs::statat(staged, from, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).map_err(SetupError::at(what()))?;
    let directory = rustix::fs::FileType::from_raw_mode(kind.st_mode).is_dir();
    make_parent(std::path::Path::new(path))?;
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() == directory && !there.is_symlink() => return Ok(()),
        Ok(_) => fs::remove_file(path).map_err(SetupError::at(what()))?,
        Err(_) => {}
    }
    if directory {
        fs::create_dir(path).map_err(SetupError::at(what()))
    } else {
        fs::write(path, b"").map_err(SetupError::at(what()))
    }
}
