//! Credentials, and what stands for them inside a sandbox.

use std::{fmt, str::FromStr};

use rand::Rng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};

/// A credential. Its text is overwritten when it is dropped; it cannot be printed, compared or written into an event, and only
/// this crate can read it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// A text cannot be used as a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// It would be found in other text by chance.
    #[error(
        "The credential has fewer than {SECRET_BYTES_MIN} characters. It is too short to be masked in answers; use a longer one."
    )]
    Short,
    /// No service has credentials of this size.
    #[error("The credential has more than {SECRET_BYTES_MAX} bytes. Check that it is not a whole file.")]
    Long,
    /// It would not fit into a header.
    #[error(
        "The credential has characters that cannot stand in a header (a line break at its end, perhaps). Remove them."
    )]
    Characters,
}

impl Secret {
    /// Takes a credential: 8 bytes to 8 KiB of visible ASCII characters and inner spaces.
    pub fn new(text: String) -> Result<Self, BadSecret> {
        let text = Zeroizing::new(text);
        if text.len() < SECRET_BYTES_MIN {
            return Err(BadSecret::Short);
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(BadSecret::Long);
        }
        let fits = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !fits || text.starts_with(' ') || text.ends_with(' ') {
            return Err(BadSecret::Characters);
        }
        Ok(Self(text))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What stands for a credential inside a sandbox: `hangar-secret-` and 32 random hexadecimal digits. It is worth nothing
/// anywhere else, so it may be seen, logged and stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Placeholder(String);

/// What every placeholder begins with.
pub(crate) const PLACEHOLDER_PREFIX: &str = "hangar-secret-";
const PLACEHOLDER_DIGITS: usize = 32;

impl Placeholder {
    /// A new one. Make one for each credential and session.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0u8; PLACEHOLDER_DIGITS / 2];
        rand::rng().fill_bytes(&mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{PLACEHOLDER_PREFIX}{digits}"))
    }

    /// The text that the sandbox sees.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length of every placeholder, in bytes.
    pub(crate) const fn length() -> usize {
        PLACEHOLDER_PREFIX.len() + PLACEHOLDER_DIGITS
    }
}

impl FromStr for Placeholder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(PLACEHOLDER_PREFIX).unwrap_or_default();
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == PLACEHOLDER_DIGITS && digits.bytes().all(hexadecimal) {
            Ok(Self(text.to_owned()))
        } else {
            Err("This is not a placeholder of hangar.".to_owned())
        }
    }
}

impl TryFrom<String> for Placeholder {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Placeholder> for String {
    fn from(placeholder: Placeholder) -> Self {
        placeholder.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        let secret = Secret::new("ghp_0123456789".to_owned()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(Secret::new("short".to_owned()).unwrap_err(), BadSecret::Short);
        assert_eq!(Secret::new("has a\r\nHeader: x".to_owned()).unwrap_err(), BadSecret::Characters);
        assert_eq!(Secret::new("x".repeat(9000)).unwrap_err(), BadSecret::Long);
    }

    #[test]
    fn placeholders_differ_and_are_read_back() {
        let one = Placeholder::random();
        assert_ne!(one, Placeholder::random());
        assert_eq!(one.as_str().len(), Placeholder::length());
        assert_eq!(one.as_str().parse::<Placeholder>().unwrap(), one);
        assert!("hangar-secret-xyz".parse::<Placeholder>().is_err());
    }
}
