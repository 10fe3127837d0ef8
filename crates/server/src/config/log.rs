//! What is logged, and how.

use serde::{Deserialize, Serialize};

use super::{Shape, keys::section};

section! {
    /// `[log]`: what is logged to standard error, and how.
    LogConfig in "log" {
        /// `auto` writes for people on a terminal and JSON otherwise.
        format: LogFormat = LogFormat::Auto, Shape::Choice(&["auto", "human", "json"]);
        /// Which lines are written, in the words of `tracing`'s filters: `info`, or `warn,hangar=debug`.
        filter: String = "info".to_owned(), Shape::Text;
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
