//! `hangar-guest`: process 1 of a sandbox.
//!
//! It starts as an unclaimed **slot**: in its own namespaces, with a socket to its host and nothing else. The first frame
//! tells it what to become ([`setup`]); it mounts that, turns into the sandbox's user without any capability ([`lockdown`]), and
//! from then on answers requests ([`serve`]) until the socket closes. When it ends, the kernel ends every process
//! of the sandbox with it, so a host that is killed leaves nothing behind.
//!
//! ```text
//!   slot ──Setup + mounts──▶ setup::apply ──▶ lockdown::apply ──Claimed + border──▶ serve::run ──socket closed──▶ exit
//! ```
//!
//! Architecture invariant: whatever runs in the sandbox has the same user id as this process. What the guest can do, a command can do
//! as well, and nothing more: every path is resolved by the kernel with the sandbox's rights in the sandbox's mounts. The guest is not a
//! border. It is only kept from being read or traced by the commands (it is not dumpable).

mod exec;
mod files;
mod inbox;
mod kernel;
mod lockdown;
mod pool;
mod prepare;
mod search;
mod serve;
mod setup;
mod spawn;
mod tree;
mod watch;
mod wire;

use std::process::ExitCode;

use hangar_protocol::guest::{ExchangeId, Failure, FailureKind, Reply};

fn main() -> ExitCode {
    let socket = match kernel::inherited_socket() {
        Ok(socket) => socket,
        Err(_) => return ExitCode::from(2),
    };
    match become_sandbox(&socket) {
        Ok(env) => {
            serve::run(socket, env);
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The host reads this as the reason why there is no sandbox. If it is gone as well, nobody is left to tell.
            let failure = Failure { kind: FailureKind::System, message: error.to_string() };
            let _ =
                wire::Writer::new(&socket).map(|writer| writer.send(ExchangeId::NONE, &Reply::Failed(failure), &[]));
            ExitCode::FAILURE
        }
    }
}

/// From slot to sandbox. Returns the environment for commands.
fn become_sandbox(socket: &std::os::unix::net::UnixStream) -> Result<serve::Surroundings, setup::SetupError> {
    setup::stage()?;
    let (setup, mounts) = wire::read_setup(socket)?;
    let border = setup::apply(&setup, mounts)?;
    lockdown::apply(setup.ids)?;
    wire::send_claimed(socket, border)?;
    Ok(serve::Surroundings { env: setup.env, limits: setup.limits })
}
