//! What is written to standard error.

use std::io::{self, IsTerminal as _};

use hangar_protocol::{Refusal, RefusalCode};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{LogConfig, LogFormat};

/// rmcp writes what servers and clients say into the log; from it, only what went wrong in itself is written, unless `log.filter` names it.
const QUIETER: &str = "rmcp=error";

/// Begins to write the log of this process to standard error. Called once, by the program.
///
/// # Errors
/// When `log.filter` cannot be understood, or something else writes a log already.
pub fn start_logging(config: &LogConfig) -> Result<(), Refusal> {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", config.filter)).map_err(|error| {
        let message = format!("log.filter is {:?}: {error}.", config.filter);
        Refusal::new(RefusalCode::BadRequest, message, "Write it as `info`, or `warn,hangar=debug`.")
    })?;
    let human = match config.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let all = tracing_subscriber::registry().with(filter);
    let begun = match human {
        true => all.with(tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false)).try_init(),
        false => {
            all.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
        }
    };
    begun.map_err(|error| Refusal::new(RefusalCode::Internal, format!("The log cannot be written: {error}."), ""))
}
