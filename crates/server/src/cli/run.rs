//! `hangar run`: a session from the terminal.

use std::{
    collections::BTreeSet,
    io::{self, Read as _},
};

use clap::Args;
use hangar_client::{Client, Error};
use hangar_protocol::{
    PromptId, Refusal, RefusalCode, Seq, Visibility,
    api::{NewPrompt, NewSession},
    limits::PROMPT_BYTES_MAX,
};

use super::{
    attempts::{BestOf, Watch, best_of},
    bad_request, connect,
    ended::{Ended, Failure, Outcome},
    follow::{Follow, Until},
    terminal::{Look, Terminal},
    which_repo::which_repo,
};

/// The number of a session's first prompt.
const FIRST: PromptId = PromptId(1);

/// Begin a session with a wish, and watch the agent work on it.
///
/// Without --repo it works on the repository whose clone the current directory is, else on the only one there is.
/// While it runs: type a line to say something more, with Alt and Enter so that the running turn hears it; /stop ends the turn, /quit or
/// Ctrl-C leaves (the session goes on).
/// It ends when the agent is done: exit status 0, or 10 when the turn was stopped, 11 when it failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar run \"make the tests pass\"
  hangar run --repo acme/website --model anthropic/claude-sonnet-4-5 \"add a dark mode\"
  hangar run --detach \"update the dependencies\"    print the session's id and return
  git diff | hangar run -                          the wish comes from standard input
  hangar run --best-of 3 \"speed up the parser\"     three attempts; you keep one
  hangar run --json \"fix the typo\" | jq .body.type  one event a line")]
pub(super) struct Run {
    /// What you wish for; `-` reads it from standard input.
    wish: String,

    /// The repository: owner/name, or the name alone where only one has it.
    #[arg(long, value_name = "R")]
    repo: Option<String>,

    /// The branch to start from and to open the pull request against [default: the repository's].
    #[arg(long, value_name = "BRANCH")]
    base: Option<String>,

    /// The model, as provider/model [default: the server's].
    #[arg(long, value_name = "M")]
    model: Option<String>,

    /// An external agent of the server, by its id [default: hangar's own].
    #[arg(long, value_name = "A")]
    agent: Option<String>,

    /// A private session: its members alone see it [default: as the server says].
    #[arg(long)]
    private: bool,

    /// Print the session's id and return; the agent works on.
    #[arg(long)]
    detach: bool,

    /// Let so many forks of a new session try it at once, 2 to 8; `hangar attempts` compares them and chooses one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=8))]
    best_of: Option<u32>,

    /// With --best-of: let the agent compare the attempts when they have ended, choose one and say why.
    #[arg(long, requires = "best_of", conflicts_with = "detach")]
    judge: bool,
}

impl Run {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let wish = wish(self.wish)?;
        let client = connect()?;
        let repo = which_repo(&client, self.repo.as_deref()).await?;
        let visibility = self.private.then_some(Visibility::Private);
        if let Some(count) = self.best_of {
            let session = NewSession {
                repo,
                base_branch: self.base,
                model: self.model,
                agent: self.agent,
                prompt: None,
                visibility,
            };
            let watch = if self.detach { Watch::Leave } else { Watch::UntilAllEnded };
            return best_of(&client, &session, wish, BestOf { count, watch, judge: self.judge }, terminal).await;
        }
        let session = NewSession {
            repo,
            base_branch: self.base,
            model: self.model,
            agent: self.agent,
            prompt: Some(NewPrompt { request_id: None, text: wish }),
            visibility,
        };
        let session = match client.create_session(&session).await {
            Ok(session) => session,
            Err(error) => return Err(with_models(&client, session.model.as_deref(), error).await),
        };
        if self.detach {
            if terminal.is_json() {
                terminal.json(&session)?;
            } else {
                terminal.line(session.id.as_str())?;
                terminal.remark(
                    Look::Faint,
                    &format!("Watch it: `hangar attach {0}` · {1}/s/{0}", session.id, client.url()),
                );
            }
            return Ok(Ended::Well);
        }
        let until = Until::Settled(BTreeSet::from([FIRST]));
        Follow { client: &client, session: session.id, after: Seq::START, until }.carry_out(terminal).await
    }
}

/// A model that is not there is refused with those that are.
async fn with_models(client: &Client, wanted: Option<&str>, error: Error) -> Failure {
    let (Error::Refused(refusal), Some(wanted)) = (&error, wanted) else { return error.into() };
    let Ok(models) = client.models().await else { return error.into() };
    if refusal.code != RefusalCode::NotFound || models.iter().any(|model| model.id == wanted) {
        return error.into();
    }
    let ids: Vec<String> = models.into_iter().map(|model| model.id).collect();
    Refusal::new(refusal.code, &refusal.message, format!("There are: {}.", ids.join(", "))).into()
}

/// The wish as it was typed, or standard input.
fn wish(typed: String) -> Result<String, Failure> {
    let wish = if typed == "-" {
        let mut text = String::new();
        // One byte more than allowed is enough to know that it is too much.
        io::stdin().lock().take(PROMPT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
        text
    } else {
        typed
    };
    if wish.len() > PROMPT_BYTES_MAX {
        return Err(bad_request(
            format!("The wish is longer than {} KiB.", PROMPT_BYTES_MAX / 1024),
            "Put the long part into a file of the repository and name it in the wish.",
        ));
    }
    if wish.trim().is_empty() {
        return Err(bad_request("The wish is empty.", "Say what you want: hangar run \"make the tests pass\"."));
    }
    Ok(wish)
}
