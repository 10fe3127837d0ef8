//! `hangar fork`: a session of one's own that begins where another was.

use std::collections::BTreeSet;

use clap::Args;
use hangar_protocol::{
    TurnId,
    api::{NewFork, NewPrompt},
};

use super::{
    connect,
    ended::{Ended, Outcome},
    follow::{Follow, Until},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// Begin a session with everything that another one had.
///
/// That is its files, its conversation and its commits. The other session stays as it is. The new one is yours and has a branch of its own; pull requests and places opened in the network are not taken along.
/// With a prompt it is watched until the agent is done, as with `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar fork k3x9                             as it is now; prints the new session's id
  hangar fork k3x9 --at 2                      as it was after turn 2; 0 is before the first
  hangar fork k3x9 --at 2 \"now with a table\"   and go another way from there")]
pub(super) struct Fork {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// What to do in the new session.
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,

    /// After which turn [default: as it is now, for which nothing may be running].
    #[arg(long, value_name = "TURN")]
    at: Option<u32>,

    /// The new session's model, as provider/model [default: the other's].
    #[arg(long, value_name = "M")]
    model: Option<String>,

    /// The new session's title [default: the other's].
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,

    /// Print the new session's id and return; the agent works on.
    #[arg(long)]
    detach: bool,
}

impl Fork {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let source = which_session(&client, &self.session).await?;
        let asks = self.prompt.is_some();
        let prompt = self.prompt.map(|text| NewPrompt { request_id: None, text });
        let fork = NewFork { at_turn: self.at.map(TurnId), prompt, model: self.model, title: self.title };
        let session = client.fork(&source, &fork).await?;
        if asks && !self.detach {
            let state = client.session(&session.id).await?;
            let after = state.forked_from.as_ref().map_or(hangar_protocol::Seq::START, |origin| origin.until);
            let until =
                Until::Settled(state.prompts.last().map(|prompt| prompt.id).into_iter().collect::<BTreeSet<_>>());
            return Follow { client: &client, session: session.id, after, until }.carry_out(terminal).await;
        }
        if terminal.is_json() {
            terminal.json(&session)?;
        } else {
            terminal.line(session.id.as_str())?;
            terminal.remark(
                Look::Faint,
                &format!("Speak to it: `hangar attach {0}` · {1}/s/{0}", session.id, client.url()),
            );
        }
        Ok(Ended::Well)
    }
}
