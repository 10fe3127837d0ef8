//! `hangar rewind`: back to an earlier turn.

use clap::Args;
use hangar_protocol::TurnId;

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
    words,
};

/// Take a session's files and conversation back to where they were after a turn.
///
/// What came later stays readable and is undone; its files are gone. `hangar fork` first keeps them. The branch at the forge is not touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar rewind k3x9 --to 2      exit status 5 while a turn runs, or where the files of turn 2 were not kept
  hangar rewind k3x9 --to 0      to before the first turn")]
pub(super) struct Rewind {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// The last turn that stays; 0 for none.
    #[arg(long, value_name = "TURN")]
    to: u32,
}

impl Rewind {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let to = TurnId(self.to);
        let state = client.rewind(&session, to).await?;
        if terminal.is_json() {
            terminal.json(&state)?;
        } else {
            terminal.remark(Look::Good, &format!("Session {session} is where it was {}.", words::after_turn(to)));
        }
        Ok(Ended::Well)
    }
}
