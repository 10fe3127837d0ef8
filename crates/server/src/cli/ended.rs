//! How a command ended, and its exit status (all of them are listed in `docs/cli.md`).

use std::io;

use hangar_protocol::{Refusal, RefusalCode, event::TurnOutcome};

/// The turn was stopped by somebody.
const STOPPED: u8 = 10;
/// The turn or the build failed.
const FAILED: u8 = 11;
/// The turn waits for its budget.
const PAUSED: u8 = 12;
/// The turn ended with a question.
const ASKING: u8 = 13;
/// `doctor` found something missing that hangar needs, or `check` or `rebuild` something that is not as it should be.
const MISSING: u8 = 1;
/// Ctrl-C: 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;
/// Output could not be written.
const OUTPUT: u8 = 1;

/// What a command gives back.
pub(super) type Outcome = Result<Ended, Failure>;

/// How a command ended that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It did what it was asked.
    Well,
    /// The agent's turn was stopped.
    TurnStopped,
    /// The agent's turn failed.
    TurnFailed,
    /// The agent's turn waits: a budget is used up.
    TurnPaused,
    /// The agent's turn ended with a question, which nobody has answered.
    TurnAsked,
    /// The image could not be built.
    BuildFailed,
    /// The machine lacks something hangar needs, or something on its disk is not as it should be.
    Missing,
    /// The person pressed Ctrl-C; the session goes on.
    Interrupted,
}

impl Ended {
    pub(super) fn exit_status(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::TurnStopped => STOPPED,
            Self::TurnFailed | Self::BuildFailed => FAILED,
            Self::TurnPaused => PAUSED,
            Self::TurnAsked => ASKING,
            Self::Missing => MISSING,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

impl From<&TurnOutcome> for Ended {
    fn from(outcome: &TurnOutcome) -> Self {
        match outcome {
            TurnOutcome::Done => Self::Well,
            TurnOutcome::Stopped { .. } => Self::TurnStopped,
            TurnOutcome::Failed { .. } => Self::TurnFailed,
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused, or could not be reached.
    Client(hangar_client::Error),
    /// Nobody reads what is printed, or it cannot be printed.
    Output(io::Error),
}

impl Failure {
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_status(),
            // `hangar sessions | head -1` is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => OUTPUT,
        }
    }

    /// The failure as a refusal, whose parts are shown one by one; `None` when there is nothing to say.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Client(hangar_client::Error::Refused(refusal)) => Some(refusal.clone()),
            Self::Client(hangar_client::Error::Unreachable { url, cause }) => Some(Refusal::new(
                RefusalCode::Unavailable,
                format!("No hangar answers at {url}: {cause}."),
                "Is `hangar up` running there? `hangar login --url URL` or HANGAR_URL choose another address.",
            )),
            Self::Client(hangar_client::Error::NotHangar { url, cause }) => Some(Refusal::new(
                RefusalCode::Internal,
                format!("The answer from {url} is not one of hangar's: {cause}."),
                "Check the address; if it is right, update this `hangar` program.",
            )),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(error) => {
                Some(Refusal::new(RefusalCode::Internal, format!("Reading or printing failed: {error}."), ""))
            }
        }
    }
}

impl From<hangar_client::Error> for Failure {
    fn from(error: hangar_client::Error) -> Self {
        Self::Client(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Client(refusal.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
