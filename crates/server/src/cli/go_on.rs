//! `hangar continue`: let a turn go on that waits for its budget.

use clap::Args;

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// Let a turn go on that waits because a budget was used up
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar continue k3x9      after the budget of the day was raised, or a new day began (UTC)

A turn that waits for its session's own budget goes on by itself when `hangar budget` raises that.")]
pub(super) struct Continue {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
}

impl Continue {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        client.continue_turn(&session).await?;
        if terminal.is_json() {
            terminal.json(&serde_json::json!({ "session": session }))?;
        } else {
            terminal.remark(Look::Good, &format!("Session {session} goes on."));
        }
        Ok(Ended::Well)
    }
}
