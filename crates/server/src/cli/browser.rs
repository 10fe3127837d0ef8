//! Opens the sign-in page on a desktop.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Only this user may read the page: there is a link in it that signs its reader in.
const PAGE_MODE: u32 = 0o600;

/// The page that was opened; it is removed when this is dropped.
pub(super) struct Opened {
    page: PathBuf,
}

impl Drop for Opened {
    fn drop(&mut self) {
        // The link in it works once and not for long; a page that cannot be removed does no harm.
        let _ = fs::remove_file(&self.page);
    }
}

/// Opens a one-time link in the desktop's browser, where there is a desktop. The link goes through a private page and not
/// through the browser's arguments, which everybody on the machine could read.
pub(super) fn open(link: &str, data: &Path) -> Option<Opened> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let desktop = (set("DISPLAY") || set("WAYLAND_DISPLAY")) && !set("SSH_CONNECTION");
    if !desktop || rustix::process::geteuid().is_root() {
        return None;
    }
    let page = data.join("run/sign-in.html");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(PAGE_MODE).open(&page).ok()?;
    let opened = Opened { page };
    writeln!(file, "<!doctype html><meta http-equiv=refresh content=\"0;url={link}\"><a href=\"{link}\">hangar</a>")
        .ok()?;
    let mut browser = Command::new("xdg-open");
    // Its own process group: Ctrl-C is for hangar.
    let browser = browser.arg(&opened.page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = browser.process_group(0).spawn().ok()?;
    std::thread::spawn(move || child.wait());
    Some(opened)
}
