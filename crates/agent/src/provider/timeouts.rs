//! How long a model service may take.

use std::time::Duration;

/// Waiting for a connection.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Waiting for the first byte of an answer. Large prompts are read before the first byte comes.
pub const FIRST_BYTE_MAX: Duration = Duration::from_secs(180);
/// Waiting between two chunks of a stream.
pub const IDLE_MAX: Duration = Duration::from_secs(90);
/// How often a request is sent before hangar gives up.
pub const ATTEMPTS_MAX: u32 = 8;
/// The first pause between two attempts; each further one is twice as long.
pub const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause that hangar chooses by itself.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest pause that a provider may ask for by `Retry-After`; beyond it hangar gives up and says so.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How long a model service may take. The constants of this module are the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Waiting for a connection.
    pub connect: Duration,
    /// Waiting for the first byte of an answer.
    pub first_byte: Duration,
    /// Waiting between two chunks.
    pub idle: Duration,
    /// Attempts before giving up.
    pub attempts_max: u32,
    /// The first pause between two attempts.
    pub pause_first: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_MAX,
            first_byte: FIRST_BYTE_MAX,
            idle: IDLE_MAX,
            attempts_max: ATTEMPTS_MAX,
            pause_first: PAUSE_FIRST,
        }
    }
}
