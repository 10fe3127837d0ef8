//! The second entrance: a sandbox that somebody else has built.
//!
//! Inside a container of another runtime (gVisor, Docker) or a virtual machine the root, the mounts and the namespaces are there before this
//! program starts. What is left to do is the same everywhere: hear what commands start with, become the sandbox's user, lock down, serve.
//!
//! ```text
//!   container ──Contained──▶ lockdown::apply ──Claimed──▶ serve::run ──closed──▶ exit
//! ```

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

use hangar_protocol::guest::{ExchangeId, Reply, setup::Contained};
use rustix::{fs::Mode, process::chdir};

use crate::{
    fault::SetupError,
    kernel, lockdown,
    runners::Runners,
    serve::Surroundings,
    spawn::{Bounds, Spare, processes},
    wire,
};

/// Where this process finds its host.
pub(crate) enum Way<'a> {
    /// The runtime passed the socket on as descriptor [`SOCKET_FD`](hangar_protocol::guest::SOCKET_FD).
    Inherited,
    /// The host listens on a socket in the file system, until this process has connected.
    Dial(&'a Path),
}

/// Opens the way to the host.
pub(crate) fn reach(way: &Way<'_>) -> Result<File, SetupError> {
    match way {
        Way::Inherited => kernel::inherited_socket().map_err(SetupError::at("take over the host's socket")),
        Way::Dial(path) => {
            let socket = UnixStream::connect(path);
            let socket = socket.map_err(SetupError::at(format!("reach the host at {}", path.display())))?;
            Ok(File::from(OwnedFd::from(socket)))
        }
    }
}

/// From container to sandbox. Returns what commands start with.
pub(crate) fn become_sandbox(host: &File) -> Result<Surroundings, SetupError> {
    kernel::set_name(c"hangar-guest");
    lock_down(host, wire::read_first(host)?)
}

/// The rest of the way, the same for containers and machines.
pub(crate) fn lock_down(
    host: &File,
    Contained { env, limits, account, ids }: Contained,
) -> Result<Surroundings, SetupError> {
    chdir("/").map_err(SetupError::at("enter the root"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    lockdown::apply(ids, account)?;
    let bounds = Bounds::Of(account);
    let what = "get ready for commands";
    let first = processes("/proc").and_then(|processes| Spare::ahead(bounds, &processes)).and_then(Spare::settle);
    let first = first.map_err(SetupError::at(what))?;
    let runners = Runners::start().map_err(SetupError::at(what))?;
    let writer = wire::Writer::new(host).map_err(SetupError::at("answer"))?;
    writer.send(ExchangeId::NONE, &Reply::Claimed, &[]).map_err(SetupError::at("answer"))?;
    Ok(Surroundings { env, limits, bounds, first, apart: None, runners })
}
