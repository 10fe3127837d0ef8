//! `hangar resume`: let a paused queue go on.

use clap::Args;
use serde_json::json;

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// Let a session's queue go on that was paused with `hangar stop --pause`: the next waiting prompt's turn begins.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar resume k3x9    nothing changes where the queue is not paused")]
pub(super) struct Resume {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
}

impl Resume {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        client.resume(&session).await?;
        if terminal.is_json() {
            terminal.json(&json!({"session": session}))?;
        } else {
            terminal.remark(Look::Good, &format!("The queue of session {session} goes on."));
        }
        Ok(Ended::Well)
    }
}
