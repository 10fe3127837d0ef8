//! `hangar attach`: watch a session and speak to it.

use clap::Args;
use hangar_protocol::Seq;

use super::{
    connect,
    ended::Outcome,
    follow::{Follow, Until},
    terminal::Terminal,
    which_session::which_session,
};

/// Watch a session: its history, then what happens, live.
///
/// Type a line to say something to the agent, with Alt and Enter so that the running turn hears it; /stop ends the running turn; /quit, Ctrl-D or Ctrl-C leaves, and the session
/// goes on. A connection that breaks is mended without losing or repeating anything.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar attach k3x9
  hangar attach k3x9 --wait          leave when nothing runs any more; exit status as of `run`
  hangar attach k3x9 --json --after 120")]
pub(super) struct Attach {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Leave when nothing runs and nothing waits: exit status 0, 10 when the last turn was stopped, 11 when it failed.
    #[arg(long)]
    wait: bool,

    /// Begin after the event with this number instead of at the beginning.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
}

impl Attach {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let until = if self.wait { Until::Idle } else { Until::Left };
        Follow { client: &client, session, after: Seq(self.after), until }.carry_out(terminal).await
    }
}
