//! What the engine may do on this machine.

use rustix::thread::{CapabilitySet, capabilities};

/// Which way of making sandboxes is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Root over the machine: id ranges, idmapped layers and cgroups are at hand.
    Root,
    /// An ordinary user: one id, and whatever the kernel lets unprivileged user namespaces do.
    Rootless,
}

impl Rights {
    /// The rights of this process.
    #[must_use]
    pub fn detect() -> Self {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
        let has = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
        if rustix::process::geteuid().is_root() && has { Self::Root } else { Self::Rootless }
    }
}
