//! Faults that are put into a sandbox on purpose: leaks as a broken engine would leave them, so that it is seen that the cases notice.
//!
//! For what no single guard holds back, because a sandbox is built so that there is nothing to find. `scripts/mutations.sh` names them in
//! `HANGAR_PLANTED`; otherwise nothing is ever planted.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use hangar_sandbox::{ExecSpec, Sandbox};

use super::canaries::Canaries;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The host's files and sockets, under their own names, in every sandbox.
    Files,
    /// The host's environment in every command.
    Environment,
    /// Files of the host, writable settings and a `/sys`, in a layer.
    Layer,
    /// Commands begin in another directory.
    Directory,
    /// Nothing is ended.
    Survivors,
    /// Two sandboxes are one.
    Twin,
}

/// Whether it is planted: `HANGAR_PLANTED` names it, as `PlantedFiles`.
pub(super) fn planted(fault: Fault) -> bool {
    let name = format!("Planted{fault:?}");
    std::env::var("HANGAR_PLANTED").is_ok_and(|all| all.split(',').any(|word| word == name))
}

/// Into the layer below every sandbox.
pub(super) fn in_layer(layer: &Path, canaries: &Canaries) {
    if !planted(Fault::Layer) {
        return;
    }
    let secret = canaries.secret.as_str();
    for (path, content, mode) in [
        ("etc/shadow", "root:*:1::::::\n", 0o644),
        ("etc/ssh/ssh_host_key", "key\n", 0o644),
        ("etc/profile", "\n", 0o666),
        ("etc/planted", secret, 0o644),
        ("home/somebody/notes", "mine\n", 0o644),
        ("sys/kernel/uevent_helper", "", 0o666),
        ("workspace/planted", "below\n", 0o644),
    ] {
        let place = layer.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, content).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Into every sandbox, once it is there.
pub(super) async fn in_sandbox(sandbox: &Sandbox, canaries: &Canaries) {
    if !planted(Fault::Files) {
        return;
    }
    sandbox.write(&canaries.file(), canaries.secret.as_bytes()).await.unwrap();
    for path in ["/run/docker.sock", "/tmp/feather", "/run/left"] {
        sandbox.write(path, b"").await.unwrap();
    }
    let socket = canaries.socket();
    let listen = format!(
        "perl -e 'use Socket; socket S, PF_UNIX, SOCK_STREAM, 0; bind S, sockaddr_un(\"{socket}\") or die; listen S, 5; close STDOUT; close STDERR; fork and exit; sleep 600'"
    );
    sandbox.exec(&ExecSpec::shell(listen)).await.unwrap();
}

/// Into every command.
pub(super) fn in_command(spec: ExecSpec) -> ExecSpec {
    let spec = if planted(Fault::Directory) { spec.cwd("/") } else { spec };
    if !planted(Fault::Environment) {
        return spec;
    }
    let place = std::env::temp_dir().to_string_lossy().into_owned();
    spec.env("CANARY", "a canary that sings-at-dawn")
        .env("CARGO_MANIFEST_DIR", "/src")
        .env("SSH_AUTH_SOCK", "/run/agent")
        .env("https_proxy", "http://127.0.0.1:1")
        .env("HANGAR_DATA", &place)
}
