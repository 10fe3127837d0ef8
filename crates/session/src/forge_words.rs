//! The forge's words for the people of a session.

use hangar_forge::{ForgeError, Invalid};
use hangar_protocol::{Refusal, RefusalCode};

/// What the forge says, as a refusal. What only the operator should know is logged instead.
#[must_use]
pub fn forge_refusal(error: &ForgeError) -> Refusal {
    let (code, hint) = match error {
        ForgeError::Name(_) => (RefusalCode::BadRequest, "Choose another name."),
        ForgeError::NoRepository(_) => (RefusalCode::NotFound, "`hangar repo ls` lists those there are."),
        ForgeError::RepositoryExists(_) => (RefusalCode::Conflict, ""),
        ForgeError::NoCommit { .. } => (RefusalCode::NotFound, "Name a branch that exists."),
        ForgeError::NotFound(_) => (RefusalCode::NotFound, ""),
        ForgeError::Invalid(Invalid::SelfApproval | Invalid::SelfChangeRequest) => {
            (RefusalCode::Forbidden, "Ask a colleague to review it.")
        }
        ForgeError::Invalid(Invalid::NoCommits { .. }) => {
            (RefusalCode::Conflict, "Let the agent change something first.")
        }
        ForgeError::Invalid(
            Invalid::PullExists { .. } | Invalid::RefExists | Invalid::NotFastForward | Invalid::DefaultBranch,
        ) => (RefusalCode::Conflict, "Use the one that is there."),
        ForgeError::Invalid(Invalid::Field { .. } | Invalid::Missing { .. } | Invalid::NoRef | Invalid::NoObject) => {
            (RefusalCode::BadRequest, "Mend the request.")
        }
        ForgeError::NotMergeable(_) => {
            (RefusalCode::Conflict, "Bring the branch up to date with its base, then try again.")
        }
        ForgeError::Moved(_) => (RefusalCode::Conflict, "Look at it again, then retry."),
        ForgeError::Import { .. } => (
            RefusalCode::BadRequest,
            "Name the https:// address of a git repository, or a directory the server can read.",
        ),
        ForgeError::Busy => (RefusalCode::TooMany, ""),
        ForgeError::OverLimit { .. } => (RefusalCode::TooLarge, "Send less."),
        ForgeError::Broken(cause) => {
            tracing::error!(cause, "the forge failed");
            return Refusal::new(RefusalCode::Internal, "The forge failed.", "The server's log has the cause.");
        }
    };
    let said = error.to_string();
    let message = if said.ends_with(['.', '!', '?']) { said } else { format!("{said}.") };
    Refusal::new(code, message, hint)
}
