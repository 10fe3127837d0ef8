//! What a program in a sandbox shows instead of a key.

use std::fmt;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Opens one sandbox's gateway, or the door of its agent's hooks, and nothing else: it is no key, and any other place refuses it.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayToken(String);

impl GatewayToken {
    /// One that nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self::named("hangar-models")
    }

    /// One that nobody can guess, and that says what it is for.
    pub(crate) fn named(what: &str) -> Self {
        let bytes: [u8; TOKEN_BYTES] = rand::random();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{what}-{hex}"))
    }

    /// For the environment of the sandbox that it opens the gateway of.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is this token. Looks at all of it, however soon the two differ.
    pub(crate) fn is(&self, shown: &str) -> bool {
        let differs = |differ: u8, (own, theirs): (u8, u8)| differ | (own ^ theirs);
        self.0.len() == shown.len() && self.0.bytes().zip(shown.bytes()).fold(0, differs) == 0
    }
}

impl fmt::Debug for GatewayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}
