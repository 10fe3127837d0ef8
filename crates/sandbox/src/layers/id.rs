//! The name of a layer.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::error::LayerError;

/// Letters of an id.
const CHARS: usize = 64;

/// The name of a layer: the SHA-256 of what is in it, in small hexadecimal letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerId(String);

impl LayerId {
    pub(super) fn of(digest: &[u8]) -> Self {
        Self(hex(digest))
    }

    /// The 64 letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LayerId {
    type Err = LayerError;

    fn from_str(text: &str) -> Result<Self, LayerError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for LayerId {
    type Error = LayerError;

    fn try_from(text: String) -> Result<Self, LayerError> {
        let fits = text.len() == CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits { Ok(Self(text)) } else { Err(LayerError::BadId(text)) }
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.0
    }
}
