//! Whether a guard stands. In every program that is shipped they all do, and this is a constant.
//!
//! A test is worth something only if it fails when its guard is gone. The feature `mutations`, which nothing but `scripts/mutations.sh` switches on, builds
//! a guest from which guards can be taken away by name.

/// What holds a sandbox, as far as the guest puts it in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Seccomp,
    Landlock,
    Capabilities,
    NoNewPrivileges,
    NotDumpable,
    Keyring,
    Masks,
    ReadOnly,
    MountFlags,
    OwnProc,
    ControlGroupNamespace,
    Network,
    IpcNamespace,
    NoCoreDumps,
    UtsNamespace,
    BorderPorts,
    CloseDescriptors,
    RegularFiles,
    ListingLimit,
}

/// Whether it stands.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn stands(_: Guard) -> bool {
    true
}

/// Whether it stands: not when the environment names it.
#[cfg(feature = "mutations")]
pub(crate) fn stands(guard: Guard) -> bool {
    let without = std::env::var("HANGAR_WITHOUT").unwrap_or_default();
    let name = format!("{guard:?}");
    !without.split(',').any(|word| word == name)
}
