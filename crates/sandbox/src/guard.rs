//! Whether a guard stands. In every program that is shipped they all do, and this is a constant.
//!
//! The other half of the guest's `guard.rs`: what the host puts in place. The feature `mutations`, which nothing but `scripts/mutations.sh` switches on, builds
//! an engine that leaves out what `HANGAR_WITHOUT` names, and hands the names on to its guests.

use crate::spec::Limits;

/// What holds a sandbox, as far as the host puts it in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Processes,
    Memory,
    Processor,
    Disk,
    OpenFiles,
    FileSize,
    TemporaryFiles,
    OwnIds,
    OwnRange,
    MachineId,
    Names,
    Hold,
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

/// The environment of a guest. Empty, but for mutations.
pub(crate) fn environment() -> Vec<std::ffi::CString> {
    #[cfg(feature = "mutations")]
    {
        let without = std::env::var("HANGAR_WITHOUT").unwrap_or_default();
        std::ffi::CString::new(format!("HANGAR_WITHOUT={without}")).into_iter().collect()
    }
    #[cfg(not(feature = "mutations"))]
    vec![]
}

/// The limits as far as they stand.
pub(crate) fn standing(mut limits: Limits) -> Limits {
    const GIB: u64 = 1 << 30;
    for guard in [
        Guard::Processes,
        Guard::Memory,
        Guard::Processor,
        Guard::Disk,
        Guard::OpenFiles,
        Guard::FileSize,
        Guard::TemporaryFiles,
    ] {
        if stands(guard) {
            continue;
        }
        match guard {
            Guard::Processes => limits.processes = 4096,
            Guard::Memory => limits.memory_bytes = 4 * GIB,
            Guard::Processor => limits.cpu_percent = 800,
            Guard::Disk => (limits.disk_bytes, limits.disk_files) = (100 * GIB, 100_000_000),
            Guard::OpenFiles => limits.open_files = 16_384,
            Guard::FileSize => limits.file_bytes = 64 * GIB,
            Guard::TemporaryFiles => (limits.tmp_bytes, limits.memory_bytes) = (GIB, 4 * GIB),
            Guard::OwnIds | Guard::OwnRange | Guard::MachineId | Guard::Names | Guard::Hold => {}
        }
    }
    limits
}
