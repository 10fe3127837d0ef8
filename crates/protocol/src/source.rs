//! Where hangar's own source is inside a sandbox.

/// The directory: `INDEX.md` says what is where, the exact source is in `src`. Read only.
pub const OWN_SOURCE: &str = "/opt/hangar";
