//! Random secrets and their hashes.

use std::fmt::Write as _;

use rand::TryRng as _;
use sha2::{Digest as _, Sha256};

use hangar_protocol::{Refusal, RefusalCode};

/// Random bytes of a code, cookie or token.
const SECRET_BYTES: usize = 32;

/// What the database keeps of a secret.
pub(super) type Hash = [u8; 32];

/// A new secret of hexadecimal digits behind `prefix`, from the kernel's random numbers.
pub(crate) fn mint(prefix: &str) -> Result<String, Refusal> {
    let mut bytes = [0_u8; SECRET_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the kernel gave no random numbers");
        Refusal::new(RefusalCode::Internal, "The kernel gave no random numbers.", "Try again.")
    })?;
    let mut text = String::with_capacity(prefix.len() + SECRET_BYTES * 2);
    text.push_str(prefix);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The same hash in hexadecimal digits, as a session's log keeps it.
pub(crate) fn hash_hex(secret: &str) -> String {
    hash(secret).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of a secret. A plain hash is enough: 256 random bits cannot be guessed, however fast the hash is.
pub(super) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}
