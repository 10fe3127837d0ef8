//! `hangar attempts`: the same wish, tried several times side by side.

use std::collections::BTreeSet;

use clap::Args;
use hangar_client::{Client, Patience, Update};
use hangar_protocol::{
    EventBody, PromptId, Seq, SessionId,
    api::{Attempt, NewAttempts, NewPrompt, NewSession},
    limits::clip,
};

use super::{
    connect,
    ended::{Ended, Failure, Outcome},
    follow::{Follow, Until},
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
  hangar attempts k3x9 --judge          the session's agent reads the patches, chooses one and says why
  hangar attempts k3x9 --keep m2vq      then: hangar pr m2vq")]
pub(super) struct Attempts {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Choose this attempt: its session's id, or the beginning of it.
    #[arg(long, value_name = "ATTEMPT")]
    keep: Option<String>,

    /// Let the session's agent compare the attempts of the newest round and choose one.
    #[arg(long, conflicts_with = "keep")]
    judge: bool,
}

impl Attempts {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        if self.judge {
            return judge(&client, &session, terminal).await;
        }
        let attempts = match &self.keep {
            Some(typed) => client.keep_attempt(&session, &which_session(&client, typed).await?).await?,
            None => client.attempts(&session).await?,
        };
        show(terminal, &attempts)?;
        Ok(Ended::Well)
    }
}

/// Lets the agent choose, shows how, and then the attempts as they are.
async fn judge(client: &Client, session: &SessionId, terminal: &mut Terminal) -> Outcome {
    let after = client.session(session).await?.seq;
    let prompt = client.judge_attempts(session).await?.prompt;
    let ended = if terminal.is_json() {
        // One answer is printed: the attempts.
        judged(client, session, after, prompt).await?;
        Ended::Well
    } else {
        let until = Until::Settled(BTreeSet::from([prompt]));
        Follow { client, session: session.clone(), after, until }.carry_out(terminal).await?
    };
    show(terminal, &client.attempts(session).await?)?;
    Ok(ended)
}

/// Waits for the end of the turn that this prompt has.
async fn judged(client: &Client, session: &SessionId, after: Seq, prompt: PromptId) -> Result<(), Failure> {
    let mut stream = client.follow(session, after, Patience::default());
    let mut judging = None;
    while let Some(update) = stream.next().await {
        let Update::Event(event) = update? else { continue };
        match event.body {
            EventBody::TurnStarted { turn, prompt: of } if of == prompt => judging = Some(turn),
            EventBody::PromptCancelled { prompt: of, .. } if of == prompt => break,
            EventBody::TurnEnded { turn, .. } if Some(turn) == judging => break,
            _ => {}
        }
    }
    Ok(())
}

/// Whether `hangar run --best-of` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Until every attempt has ended, or the person leaves.
    UntilAllEnded,
    /// The attempts are listed as they begin.
    Leave,
}

/// How a wish is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct BestOf {
    /// So many times.
    pub(super) count: u32,
    /// Whether the command stays.
    pub(super) watch: Watch,
    /// Whether the agent chooses one at the end.
    pub(super) judge: bool,
}

/// Begins a session and lets forks of it try the same wish.
pub(super) async fn best_of(
    client: &Client,
    session: &NewSession,
    wish: String,
    BestOf { count, watch, judge: and_judge }: BestOf,
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
    if and_judge && ended == Ended::Well {
        return judge(client, &session, terminal).await;
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
