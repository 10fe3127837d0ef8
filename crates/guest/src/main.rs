//! `hangar-guest`: process 1 of a sandbox.
//!
//! It is started once for an engine, as the **nursery** from which all process 1s are forked ([`mod@nursery`]). Each becomes a **slot** ahead of need ([`stage`]);
//! an order later makes the slot a sandbox ([`claim`]) that has given every right up ([`lockdown`]). From then on it answers requests ([`serve`]) until its
//! socket closes. When it ends, the kernel ends every process of the sandbox with it, so a host that is killed leaves nothing behind.
//!
//! ```text
//!   exec ──▶ nursery ──fork──▶ stage::apply ──Staged + border──▶ slot ──Claim + root──▶ claim::apply ──▶ lockdown::apply ──Claimed──▶ serve::run
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
mod hold;
mod inbox;
mod kernel;
mod lockdown;
mod machine;
mod mounts;
mod network;
mod nursery;
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

use hangar_protocol::guest::{ExchangeId, Failure, FailureKind, Reply};

use crate::{contained::Way, fault::SetupError};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => nursery(),
        ["contained"] => contained(&Way::Inherited),
        ["contained", socket] => contained(&Way::Dial(Path::new(socket))),
        ["machine"] => machine(),
        _ => ExitCode::from(2),
    }
}

/// The first entrance: the nursery of hangar's own engine.
fn nursery() -> ExitCode {
    match kernel::inherited_socket() {
        Ok(socket) => nursery::run(socket),
        Err(_) => ExitCode::from(2),
    }
}

/// The second entrance: inside a sandbox that somebody else has built.
fn contained(way: &Way<'_>) -> ExitCode {
    match contained::reach(way) {
        Ok(host) => code(live(host, contained::become_sandbox)),
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
        Ok(host) => code(live(host, machine::become_sandbox)),
        Err(error) => {
            // The console is all there is; the kernel panics when process 1 ends, upon which the machine is switched off.
            let _ = writeln!(std::io::stderr(), "hangar-guest: {error}");
            ExitCode::from(2)
        }
    }
}

/// Becomes a sandbox and serves it until the host is gone. Returns the exit code.
fn live(host: File, become_sandbox: impl FnOnce(&File) -> Result<serve::Surroundings, SetupError>) -> i32 {
    match become_sandbox(&host) {
        Ok(surroundings) => {
            serve::run(host, surroundings);
            0
        }
        Err(error) => {
            say_why_not(&host, &error);
            1
        }
    }
}

/// The host reads this as the reason why there is no sandbox. If it is gone as well, nobody is left to tell.
fn say_why_not(host: &File, error: &SetupError) {
    let failure = Failure { kind: FailureKind::System, message: error.to_string() };
    let _ = wire::Writer::new(host).map(|writer| writer.send(ExchangeId::NONE, &Reply::Failed(failure), &[]));
}

fn code(code: i32) -> ExitCode {
    if code == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
