//! `hangar attempts`: the same wish, tried several times side by side.

use clap::Args;
use hangar_client::{Client, Patience, Update};
use hangar_protocol::{
    EventBody, Seq,
    api::{Attempt, NewAttempts, NewPrompt, NewSession},
    limits::clip,
};

use super::{
    connect,
    ended::{Ended, Failure, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_session::which_session,
    words,
};

/// How much of the wish becomes the session's title, in characters.
const TITLE_CHARS_MAX: usize = 80;

/// List the attempts of a session side by side, or choose one.
///
/// `hangar run --best-of 3 "wish"` makes them. Each is a session: `hangar attach`, `hangar diff` and `hangar pr` work with it. The chosen one goes on as the
/// session that it is; those of its round that still work are stopped, and stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar attempts k3x9
  hangar attempts k3x9 --keep m2vq      then: hangar pr m2vq")]
pub(super) struct Attempts {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Choose this attempt: its session's id, or the beginning of it.
    #[arg(long, value_name = "ATTEMPT")]
    keep: Option<String>,
}

impl Attempts {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let attempts = match &self.keep {
            Some(typed) => client.keep_attempt(&session, &which_session(&client, typed).await?).await?,
            None => client.attempts(&session).await?,
        };
        show(terminal, &attempts)?;
        Ok(Ended::Well)
    }
}

/// Whether `hangar run --best-of` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Until every attempt has ended, or the person leaves.
    UntilAllEnded,
    /// The attempts are listed as they begin.
    Leave,
}

/// Begins a session and lets forks of it try the same wish.
pub(super) async fn best_of(
    client: &Client,
    session: &NewSession,
    wish: String,
    count: u32,
    watch: Watch,
    terminal: &mut Terminal,
) -> Outcome {
    let title = words::one_line(&clip(wish.trim(), TITLE_CHARS_MAX));
    let session = client.create_session(session).await?.id;
    client.rename_session(&session, &title).await?;
    let prompt = NewPrompt { request_id: None, text: wish };
    let attempts = client.begin_attempts(&session, &NewAttempts { prompt, count, models: Vec::new() }).await?;
    terminal.remark(Look::Faint, &format!("{count} attempts of session {session} have begun."));
    let mut ended = Ended::Well;
    if watch == Watch::UntilAllEnded {
        tokio::select! {
            all = all_ended(client, &attempts, terminal) => all?,
            left = tokio::signal::ctrl_c() => {
                left?;
                terminal.remark(Look::Faint, "You left; the attempts go on.");
                ended = Ended::Interrupted;
            }
        }
    }
    show(terminal, &client.attempts(&session).await?)?;
    let choose = format!("Choose one: `hangar attempts {session} --keep ATTEMPT` · {}/s/{session}", client.url());
    terminal.remark(Look::Faint, &choose);
    Ok(ended)
}

async fn all_ended(client: &Client, attempts: &[Attempt], terminal: &mut Terminal) -> Result<(), Failure> {
    for attempt in attempts {
        let mut stream = client.follow(&attempt.session.id, Seq::START, Patience::default());
        while let Some(update) = stream.next().await {
            if let Update::Event(event) = update?
                && matches!(event.body, EventBody::TurnEnded { .. })
            {
                terminal.remark(Look::Faint, &format!("Attempt {} has ended.", attempt.session.id));
                break;
            }
        }
    }
    Ok(())
}

fn show(terminal: &mut Terminal, attempts: &[Attempt]) -> Result<(), Failure> {
    if terminal.is_json() {
        return terminal.json(&attempts);
    }
    if attempts.is_empty() {
        terminal.remark(Look::Faint, "This session has no attempts. Begin some: hangar run --best-of 3 \"wish\"");
    }
    let rows: Vec<[Cell; 7]> = attempts.iter().map(row).collect();
    for line in columns(terminal.painter(), &rows) {
        terminal.line(&line)?;
    }
    Ok(())
}

fn row(attempt: &Attempt) -> [Cell; 7] {
    let (look, status) = words::session_status(attempt.session.status);
    let diff = attempt.diff.map_or_else(String::new, |diff| {
        format!("{}, +{} -{}", words::plural(u64::from(diff.files), "file"), diff.additions, diff.deletions)
    });
    [
        (Look::Strong, attempt.session.id.to_string()),
        (Look::Faint, format!("round {}", attempt.round)),
        if attempt.kept { (Look::Good, "kept".to_owned()) } else { (look, status.to_owned()) },
        (Look::Plain, attempt.model.clone()),
        (Look::Plain, diff),
        (Look::Faint, words::duration(attempt.duration_ms)),
        (Look::Faint, words::money(attempt.cost_micro_usd)),
    ]
}
