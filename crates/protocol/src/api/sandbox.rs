//! The sandbox of a session.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::command::BeginAt;

/// A sandbox that has failed is to be made once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxRetry {
    /// Where its workspace begins. Left out, at the session's commit.
    #[serde(default)]
    #[ts(optional, as = "Option<BeginAt>")]
    pub begin_at: BeginAt,
}
