//! `hangar queue`: the prompts that wait.

use clap::{Args, Subcommand};
use hangar_client::Client;
use hangar_protocol::{
    PromptId, SessionId, SessionState,
    limits::clip,
    state::{PromptState, PromptStatus},
};
use serde_json::json;

use super::{
    bad_request, connect,
    ended::{Ended, Failure, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_session::which_session,
    words,
};

/// How much of a prompt is listed.
const PROMPT_CHARS_MAX: usize = 80;

/// List the prompts that wait in a session, the next one first, or change them.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  hangar queue k3x9
  hangar queue edit k3x9 4 \"then update the changelog\"
  hangar queue move k3x9 4 --before 3
  hangar queue cancel k3x9 4
  hangar queue steer k3x9 4            the running turn hears it before its next step

A prompt's author and the session's owner can change it, until the agent hears it."
)]
pub(super) struct Queue {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: Option<String>,

    #[command(subcommand)]
    change: Option<Change>,
}

#[derive(Debug, Subcommand)]
enum Change {
    Edit(Edit),
    Move(Move),
    Cancel(Which),
    Steer(Steer),
}

/// Give a waiting prompt other words.
#[derive(Debug, Args)]
struct Edit {
    #[command(flatten)]
    which: Which,
    /// The new words.
    words: String,
}

/// Put a waiting prompt before another one, or at the end.
#[derive(Debug, Args)]
struct Move {
    #[command(flatten)]
    which: Which,
    /// The waiting prompt that it comes before [default: the end of the queue].
    #[arg(long, value_name = "NUMBER")]
    before: Option<u32>,
}

/// Take a waiting prompt back.
#[derive(Debug, Args)]
struct Which {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
    /// The prompt's number, as `hangar queue S` shows it.
    #[arg(value_name = "NUMBER")]
    prompt: u32,
}

/// Say a waiting prompt to the running turn: it hears it before its next request to the model.
#[derive(Debug, Args)]
struct Steer {
    #[command(flatten)]
    which: Which,
}

impl Queue {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = match (self.change, self.session) {
            (Some(change), _) => change.carry_out(&client).await?,
            (None, Some(session)) => which_session(&client, &session).await?,
            (None, None) => return Err(bad_request("No session is named.", "Name one: hangar queue k3x9.")),
        };
        show(&client.session(&session).await?, terminal)
    }
}

impl Change {
    /// Makes the change; gives the session whose queue is shown afterwards.
    async fn carry_out(self, client: &Client) -> Result<SessionId, Failure> {
        match self {
            Self::Edit(Edit { which, words }) => {
                let (session, prompt) = which.find(client).await?;
                client.edit_prompt(&session, prompt, &words).await?;
                Ok(session)
            }
            Self::Move(Move { which, before }) => {
                let (session, prompt) = which.find(client).await?;
                client.move_prompt(&session, prompt, before.map(PromptId)).await?;
                Ok(session)
            }
            Self::Cancel(which) => {
                let (session, prompt) = which.find(client).await?;
                client.cancel_prompt(&session, prompt).await?;
                Ok(session)
            }
            Self::Steer(Steer { which }) => {
                let (session, prompt) = which.find(client).await?;
                client.steer_prompt(&session, prompt).await?;
                Ok(session)
            }
        }
    }
}

impl Which {
    async fn find(&self, client: &Client) -> Result<(SessionId, PromptId), Failure> {
        Ok((which_session(client, &self.session).await?, PromptId(self.prompt)))
    }
}

fn show(state: &SessionState, terminal: &mut Terminal) -> Outcome {
    if terminal.is_json() {
        let prompts: Vec<&PromptState> = state.queue().collect();
        terminal.json(&json!({"paused_by": state.queue_paused_by, "prompts": prompts}))?;
        return Ok(Ended::Well);
    }
    let rows: Vec<[Cell; 4]> = state.queue().map(row).collect();
    for line in columns(terminal.painter(), &rows) {
        terminal.line(&line)?;
    }
    match &state.queue_paused_by {
        Some(by) => {
            terminal.remark(Look::Notice, &format!("{by} paused the queue. Let it go on: hangar resume {}", state.id));
        }
        None if rows.is_empty() => terminal.remark(Look::Faint, "Nothing waits."),
        None => {}
    }
    Ok(Ended::Well)
}

fn row(prompt: &PromptState) -> [Cell; 4] {
    let next = if prompt.status == PromptStatus::Steering { "said next" } else { "" };
    [
        (Look::Strong, prompt.id.to_string()),
        (Look::Place, prompt.author.to_string()),
        (Look::Notice, next.to_owned()),
        (Look::Plain, clip(&words::one_line(&prompt.text), PROMPT_CHARS_MAX)),
    ]
}
