//! Where sandboxes live.

use std::path::PathBuf;

use hangar_sandbox::{BackendKind, DOCKER_SOCKET_DEFAULT};
use serde::{Deserialize, Serialize};

use super::{Shape, keys::section};

section! {
    /// `[sandbox]`: what kind of wall stands around sandboxes. See backends.md.
    SandboxConfig in "sandbox" {
        /// `namespace` shares the host's kernel, is fast, and is for people who trust each other; for tenants who do not, choose `gvisor` or `vm`. `hangar doctor` recommends one.
        backend: Wall = Wall::Namespace, Shape::Choice(&["namespace", "gvisor", "docker", "vm"]);
        /// Where the Docker daemon listens, for the backend `docker`.
        docker_socket: PathBuf = DOCKER_SOCKET_DEFAULT.into(), Shape::Text;
        /// The kernel that machines of the backend `vm` start from, `…/boot/vmlinuz-VERSION` with its drivers in `…/lib/modules/VERSION`; the newest installed one with 9p where none is named.
        machine_kernel: Option<PathBuf> = None, Shape::Text;
    }
}

/// What kind of wall stands around sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// Linux namespaces over the host's kernel.
    Namespace,
    /// A kernel of its own in user space (runsc).
    Gvisor,
    /// A container of a Docker daemon on this machine.
    Docker,
    /// A virtual machine with a kernel of its own (QEMU).
    Vm,
}

impl Wall {
    /// The backend that builds it.
    #[must_use]
    pub const fn kind(self) -> BackendKind {
        match self {
            Self::Namespace => BackendKind::Namespace,
            Self::Gvisor => BackendKind::Gvisor,
            Self::Docker => BackendKind::Docker,
            Self::Vm => BackendKind::Vm,
        }
    }
}
