//! Backends that start another runtime: `gvisor`, `docker` and `vm`.
//!
//! ```text
//!   ground.rs    what they share with `namespace`: directories, layers, limits, one root mounted on the host
//!   program.rs   a program of the host that a sandbox consists of; dies with hangar
//!   network.rs   a network namespace with the border in it, made from outside
//!   body.rs      a sandbox that is one such program
//!   frozen.rs    snapshots by copying while nothing runs
//!   hello.rs     the first words with the guest
//!   gvisor/      runsc: a kernel of its own in user space
//!   docker/      a container of a Docker daemon
//!   vm/          QEMU: a machine of its own
//! ```
//!
//! Inside runs the same guest with the same frames as everywhere: it is started by its second or third entrance and given a claim.

pub(crate) mod body;
pub(crate) mod docker;
mod frozen;
pub(crate) mod ground;
pub(crate) mod gvisor;
pub(crate) mod hello;
pub(crate) mod network;
pub(crate) mod program;
pub(crate) mod vm;
