//! `hangar retry`: make a sandbox again that has failed.

use clap::Args;
use hangar_protocol::{api::SandboxRetry, command::BeginAt};

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// Make a session's sandbox again after it has failed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar retry k3x9                    the newest commits of the base branch could not be fetched; they may be there now
  hangar retry k3x9 --from-image       they cannot be had: the session begins at the commit of its image instead, for good

The session goes on with its next prompt.")]
pub(super) struct Retry {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
    /// Begin at the commit of the session's image, which is older. Refused once something was done at its own.
    #[arg(long)]
    from_image: bool,
}

impl Retry {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let begin_at = if self.from_image { BeginAt::Image } else { BeginAt::Base };
        client.retry_sandbox(&session, SandboxRetry { begin_at }).await?;
        if terminal.is_json() {
            terminal.json(&serde_json::json!({ "session": session, "begin_at": begin_at }))?;
        } else {
            terminal.remark(Look::Good, &format!("The sandbox of session {session} is being made."));
        }
        Ok(Ended::Well)
    }
}
