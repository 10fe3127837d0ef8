//! How hangar says no.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Why a request was not carried out. Nothing of it was: a refusal leaves no half-done work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema, thiserror::Error)]
#[error("{message} {hint}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// What happened, one sentence.
    pub message: String,
    /// What to do now, one sentence. May be empty where nothing can be done.
    pub hint: String,
}

impl Refusal {
    /// A refusal of the given kind that says what happened and what to do now.
    pub fn new(code: RefusalCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }
}

/// The kinds of refusal. The command line's exit codes and HTTP's status codes follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The input is not of the right form.
    BadRequest,
    /// Nobody is signed in, or the token is not valid.
    Unauthenticated,
    /// Signed in, but not allowed.
    Forbidden,
    /// There is no such thing, or it may not be seen: the two look the same.
    NotFound,
    /// It does not fit what is true now (already stopped, branch exists, same request id with other content).
    Conflict,
    /// Larger than the limit that the message names.
    TooLarge,
    /// A queue or quota is full; trying later may work.
    TooMany,
    /// The machine cannot do it now: disk full, kernel feature missing, upstream unreachable.
    Unavailable,
    /// hangar failed. The log of the server has the cause.
    Internal,
}

impl RefusalCode {
    /// The HTTP status this kind is answered with.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The exit status of the command line (documented in `docs/cli.md`).
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::BadRequest | Self::TooLarge => 2,
            Self::Unauthenticated | Self::Forbidden => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::TooMany | Self::Unavailable => 6,
        }
    }
}
