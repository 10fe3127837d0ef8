//! `hangar stop`: end the running turn.

use clap::Args;
use hangar_protocol::{
    api::StopTurn,
    command::{AfterStop, Reach},
};

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// End a session's running turn now. Its files stay; a next prompt goes on from them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar stop k3x9           exit status 5 when nothing runs
  hangar stop --keep-children k3x9   the sessions that its agent began work on
  hangar stop --pause k3x9   prompts that wait go on after `hangar resume k3x9`")]
pub(super) struct Stop {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Let the prompts that wait wait on; otherwise the next one's turn begins.
    #[arg(long)]
    pause: bool,

    /// Let the sessions work on that this one's agent began; otherwise they are stopped too.
    #[arg(long)]
    keep_children: bool,
}

impl Stop {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let then = if self.pause { AfterStop::Pause } else { AfterStop::Drain };
        let reach = if self.keep_children { Reach::Alone } else { Reach::WithChildren };
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let accepted = client.stop_turn(&session, &StopTurn { turn: None, then, reach }).await?;
        if terminal.is_json() {
            terminal.json(&accepted)?;
        } else {
            terminal.remark(Look::Good, &format!("Turn {} of session {session} is being stopped.", accepted.turn));
        }
        Ok(Ended::Well)
    }
}
