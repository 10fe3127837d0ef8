//! What an agent is told of a session: where it stands, and what happened, in the lines that people read.

use hangar_client::Client;
use hangar_protocol::{
    Block, Event, EventBody, Seq, SessionId, SessionState,
    limits::clip,
    state::{PullRequestState, PullRequestStatus, SessionStatus},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::Story;

/// Events that are looked through for the agent's last words.
const LAST_WORDS_EVENTS: u32 = 100;
/// How much of the agent's last words is told.
const LAST_WORDS_CHARS_MAX: usize = 4_000;
/// Events on one page.
pub(super) const PAGE_EVENTS_MAX: u32 = 200;

/// Where a session stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Standing {
    /// Its id.
    session: String,
    title: String,
    repository: String,
    /// Who began it.
    owner: String,
    /// `running`: the agent is at work. `paused`: its budget is used up. `asking`: it waits for an answer, which is the next prompt. `idle`, `failed`, `merged`: nothing runs.
    status: &'static str,
    /// What the agent asks, where it asks something.
    question: Option<String>,
    /// Answers that it would understand.
    choices: Vec<String>,
    /// What the agent said last.
    last_words: Option<String>,
    /// Why the last turn failed, where it did.
    failure: Option<String>,
    /// Prompts that wait for their turn.
    waiting: usize,
    /// Files that were changed since the session began.
    files_changed: usize,
    pull_request: Option<PullRequest>,
    /// What it cost so far, in US dollars, as far as prices are known.
    cost_usd: f64,
    /// The last event; `read_session` goes on after it.
    seq: u64,
    /// The page that people open.
    url: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PullRequest {
    number: u32,
    title: String,
    /// `open`, `merged` or `closed`.
    status: &'static str,
    url: String,
}

/// A session in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listed {
    session: String,
    title: String,
    repository: String,
    owner: String,
    status: &'static str,
    pull_request: Option<PullRequest>,
}

impl Listed {
    pub(super) fn of(client: &Client, summary: hangar_protocol::api::SessionSummary) -> Self {
        Self {
            session: summary.id.to_string(),
            repository: summary.repo.to_string(),
            owner: summary.owner.to_string(),
            status: status(summary.status),
            pull_request: summary.pull_request.as_ref().map(|pull| PullRequest::of(client, pull)),
            title: summary.title,
        }
    }
}

impl PullRequest {
    fn of(client: &Client, pull: &PullRequestState) -> Self {
        let status = match pull.status {
            PullRequestStatus::Open => "open",
            PullRequestStatus::Merged => "merged",
            PullRequestStatus::Closed => "closed",
        };
        Self { number: pull.number, title: pull.title.clone(), status, url: client.page(&pull.url) }
    }
}

/// Asks where a session stands.
pub(super) async fn standing(client: &Client, session: &SessionId) -> Result<Standing, hangar_client::Error> {
    let state = client.session(session).await?;
    let last_words = last_words(client, &state).await?;
    let question = state.question();
    let failure = state.last_turn().and_then(|turn| match &turn.outcome {
        Some(hangar_protocol::event::TurnOutcome::Failed { reason }) => Some(reason.clone()),
        _ => None,
    });
    Ok(Standing {
        session: state.id.to_string(),
        title: state.title.clone(),
        repository: state.repo.to_string(),
        owner: state.owner.to_string(),
        status: status(state.status),
        question: question.map(|question| question.text.clone()),
        choices: question.map(|question| question.choices.clone()).unwrap_or_default(),
        last_words,
        failure,
        waiting: state.waiting.len(),
        files_changed: state.files.len(),
        pull_request: state.pull_requests.last().map(|pull| PullRequest::of(client, pull)),
        cost_usd: dollars(state.cost_micro_usd),
        seq: state.seq.0,
        url: client.page(&format!("/s/{}", state.id)),
    })
}

#[allow(clippy::cast_precision_loss, reason = "no session costs more than the nine billion dollars that are exact")]
fn dollars(micro: u64) -> f64 {
    micro as f64 / 1e6
}

async fn last_words(client: &Client, state: &SessionState) -> Result<Option<String>, hangar_client::Error> {
    let page = client.events_before(&state.id, Seq(state.seq.0 + 1), LAST_WORDS_EVENTS).await?;
    let said = page.events.iter().rev().find_map(|event| match &event.body {
        EventBody::ModelReplied { blocks, .. } => Some(words(blocks)).filter(|words| !words.is_empty()),
        _ => None,
    });
    Ok(said.map(|words| clip(&words, LAST_WORDS_CHARS_MAX)))
}

fn words(blocks: &[Block]) -> String {
    let texts = blocks.iter().filter_map(|block| match block {
        Block::Text { text } => Some(text.trim()),
        Block::Reasoning { .. } | Block::ToolCall { .. } => None,
    });
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// What happened, a line or more for each event that has something to tell.
pub(super) fn told(server: &str, events: &[Event]) -> String {
    let mut story = Story::new(server);
    let lines: Vec<String> = events.iter().filter_map(|event| story.words(event)).collect();
    lines.join("\n")
}

fn status(status: SessionStatus) -> &'static str {
    match status {
        SessionStatus::Idle => "idle",
        SessionStatus::Running => "running",
        SessionStatus::Paused => "paused",
        SessionStatus::Asking => "asking",
        SessionStatus::Failed => "failed",
        SessionStatus::Merged => "merged",
    }
}
