//! `hangar-guest`: process 1 of a sandbox.
//!
//! It starts in its own namespaces with a socket to its host and nothing else, and is given two orders: one ahead of need makes it a **slot** ([`stage`]),
//! one later makes the slot a sandbox ([`claim`]) that has given every right up ([`lockdown`]). From then on it answers requests ([`serve`]) until the
//! socket closes. When it ends, the kernel ends every process of the sandbox with it, so a host that is killed leaves nothing behind.
//!
//! ```text
//!   exec ──Stage + mounts──▶ stage::apply ──Staged + border──▶ slot ──Claim + root──▶ claim::apply ──▶ lockdown::apply ──Claimed──▶ serve::run
//! ```
//!
//! Where another runtime has built the sandbox, the guest is started as `hangar-guest contained` and begins at the lock-down; in a
//! virtual machine it is `hangar-guest machine`, loads drivers and mounts first
//! (`contained.rs`, `machine.rs`).
//!
//! Architecture invariant: whatever runs in the sandbox has the same user id as this process. What the guest can do, a command can do
//! as well, and nothing more: every path is resolved by the kernel with the sandbox's rights in the sandbox's mounts. The guest is not a
//! border. It is only kept from being read or traced by the commands (it is not dumpable).

mod claim;
mod contained;
mod exec;
mod fault;
mod files;
mod guard;
mod inbox;
mod kernel;
mod lockdown;
mod machine;
mod mounts;
mod network;
mod pool;
mod prepare;
mod runners;
mod search;
mod serve;
mod spawn;
mod stage;
mod starter;
mod tree;
mod watch;
mod wire;

use std::{fs::File, io::Write, path::Path, process::ExitCode};

use hangar_protocol::guest::{ExchangeId, Failure, FailureKind, Order, Reply};

use crate::{contained::Way, fault::SetupError, starter::Bounds};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => slot(),
        ["contained"] => contained(&Way::Inherited),
        ["contained", socket] => contained(&Way::Dial(Path::new(socket))),
        ["machine"] => machine(),
        _ => ExitCode::from(2),
    }
}

/// The first entrance: a slot of hangar's own engine.
fn slot() -> ExitCode {
    match kernel::inherited_socket() {
        Ok(socket) => live(socket, become_sandbox),
        Err(_) => ExitCode::from(2),
    }
}

/// The second entrance: inside a sandbox that somebody else has built.
fn contained(way: &Way<'_>) -> ExitCode {
    match contained::reach(way) {
        Ok(host) => live(host, contained::become_sandbox),
        Err(error) => {
            // Without a way to the host, the container's own log is all there is.
            let _ = writeln!(std::io::stderr(), "hangar-guest: {error}");
            ExitCode::from(2)
        }
    }
}

/// The third entrance: process 1 of a virtual machine.
fn machine() -> ExitCode {
    match machine::boot() {
        Ok(host) => live(host, machine::become_sandbox),
        Err(error) => {
            // The console is all there is; the kernel panics when process 1 ends, upon which the machine is switched off.
            let _ = writeln!(std::io::stderr(), "hangar-guest: {error}");
            ExitCode::from(2)
        }
    }
}

/// Becomes a sandbox and serves it until the host is gone.
fn live(host: File, become_sandbox: impl FnOnce(&File) -> Result<serve::Surroundings, SetupError>) -> ExitCode {
    match become_sandbox(&host) {
        Ok(surroundings) => {
            serve::run(host, surroundings);
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The host reads this as the reason why there is no sandbox. If it is gone as well, nobody is left to tell.
            let failure = Failure { kind: FailureKind::System, message: error.to_string() };
            let _ = wire::Writer::new(&host).map(|writer| writer.send(ExchangeId::NONE, &Reply::Failed(failure), &[]));
            ExitCode::FAILURE
        }
    }
}

/// From a process to a slot, and from a slot to a sandbox. Returns what commands start with.
fn become_sandbox(socket: &File) -> Result<serve::Surroundings, SetupError> {
    kernel::set_name(c"hangar-guest");
    let out_of_turn = || SetupError::new("an order came out of turn".into());
    let (Order::Stage(stage), mounts) = wire::read_order(socket)? else { return Err(out_of_turn()) };
    let stage::Border { sockets, network_us } = stage::apply(&stage, mounts)?;
    lockdown::prepare();
    wire::answer(socket, &Reply::Staged { network_us }, sockets)?;
    let (Order::Claim(claim), mut root) = wire::read_order(socket)? else { return Err(out_of_turn()) };
    claim::apply(&claim, root.pop().flatten())?;
    lockdown::apply(claim.ids, claim.account)?;
    wire::answer(socket, &Reply::Claimed, vec![])?;
    Ok(serve::Surroundings { env: claim.env, limits: claim.limits, bounds: Bounds::Of(claim.account) })
}
