//! Background commands of a session.

/// The background commands of one session. Clones share them; they end when the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Jobs {}
