//! `hangar pr`: from a session to a merged pull request.

use clap::Args;
use hangar_client::Client;
use hangar_protocol::{
    SessionId,
    api::{MergeMethod, OpenPullRequest, PullRequestView, SessionDiff},
    state::PullRequestStatus,
};

use super::{
    connect, diff,
    ended::{Ended, Failure, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_session::which_session,
    words,
};

/// Open a session's pull request in your name, show it when it exists, merge it with --merge.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar pr k3x9                       open it, or show it
  hangar pr k3x9 --title \"Dark mode\"   open it with another title than the session's
  hangar pr k3x9 --merge --squash      merge it (it is opened first when there is none)")]
pub(super) struct Pr {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// The title of a new pull request [default: the session's].
    #[arg(long)]
    title: Option<String>,

    /// The text of a new pull request, in Markdown.
    #[arg(long)]
    body: Option<String>,

    /// Open another one, although an earlier one exists.
    #[arg(long)]
    new: bool,

    /// Merge it.
    #[arg(long)]
    merge: bool,

    /// Merge all its commits as one.
    #[arg(long, requires = "merge")]
    squash: bool,
}

impl Pr {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let existing = client.session(&session).await?.pull_requests.pop().filter(|_| !self.new);
        let opened = existing.is_none();
        let status = match existing {
            Some(existing) => existing.status,
            None => {
                let request = OpenPullRequest { title: self.title, body: self.body };
                client.open_pull_request(&session, &request).await?.status
            }
        };
        // Merging twice is what was asked for once: it is merged.
        let merges = self.merge && status != PullRequestStatus::Merged;
        if merges {
            let method = if self.squash { MergeMethod::Squash } else { MergeMethod::Merge };
            client.merge_pull_request(&session, method).await?;
        }
        let view = client.pull_request(&session).await?;
        if terminal.is_json() {
            terminal.json(&view)?;
        } else {
            let done = match (opened, merges) {
                (_, true) => Some("Merged."),
                (true, false) => Some("Opened."),
                (false, false) => None,
            };
            show(terminal, &client, &session, &view)?;
            if let Some(done) = done {
                terminal.remark(Look::Good, done);
            }
        }
        Ok(Ended::Well)
    }
}

fn show(terminal: &mut Terminal, client: &Client, session: &SessionId, view: &PullRequestView) -> Result<(), Failure> {
    let (look, status) = words::pull_request_status(view.state.status);
    let title = terminal.paint(Look::Strong, &words::one_line(&view.state.title));
    let status = terminal.paint(look, status);
    terminal.line(&format!("{status} #{} {title}", view.state.number))?;
    terminal.line(&format!("by {} · {} → {}", view.state.author, view.head_branch, view.base_branch))?;
    let page = terminal.paint(Look::Place, &client.page(&view.state.url));
    terminal.line(&page)?;
    if !view.body.trim().is_empty() {
        terminal.line("")?;
        terminal.line(&words::harmless(view.body.trim()))?;
    }
    for (heading, rows) in [("Commits", commits(view)), ("Reviews", reviews(view)), ("Checks", checks(view))] {
        section(terminal, heading, &rows)?;
    }
    let figures = diff::figures(terminal.painter(), &view.diff);
    if view.diff != SessionDiff::default() {
        terminal.line("")?;
        terminal.text(&figures)?;
    }
    if let (PullRequestStatus::Open, Some(hint)) = (view.state.status, next_step(session, view.mergeable)) {
        terminal.remark(Look::Faint, &hint);
    }
    Ok(())
}

fn section(terminal: &mut Terminal, heading: &str, rows: &[[Cell; 3]]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    terminal.line("")?;
    let heading = terminal.paint(Look::Strong, heading);
    terminal.line(&heading)?;
    for line in columns(terminal.painter(), rows) {
        terminal.line(&format!("  {line}"))?;
    }
    Ok(())
}

fn commits(view: &PullRequestView) -> Vec<[Cell; 3]> {
    let row = |commit: &hangar_protocol::api::CommitInfo| {
        [
            (Look::Notice, commit.sha.get(..7).unwrap_or(&commit.sha).to_owned()),
            (Look::Plain, words::one_line(commit.message.lines().next().unwrap_or_default())),
            (Look::Faint, words::one_line(&commit.author_name)),
        ]
    };
    view.commits.iter().map(row).collect()
}

fn reviews(view: &PullRequestView) -> Vec<[Cell; 3]> {
    let row = |review: &hangar_protocol::api::ReviewInfo| {
        let look = match review.verdict.as_str() {
            "APPROVED" => Look::Good,
            "CHANGES_REQUESTED" => Look::Bad,
            _ => Look::Plain,
        };
        let verdict = review.verdict.to_lowercase().replace('_', " ");
        [(look, verdict), (Look::Plain, review.by.clone()), (Look::Faint, words::one_line(&review.body))]
    };
    view.reviews.iter().map(row).collect()
}

fn checks(view: &PullRequestView) -> Vec<[Cell; 3]> {
    let row = |check: &hangar_protocol::api::CheckInfo| {
        let look = match check.status.as_str() {
            "success" => Look::Good,
            "failure" => Look::Bad,
            _ => Look::Plain,
        };
        [
            (look, check.status.replace('_', " ")),
            (Look::Plain, words::one_line(&check.name)),
            (Look::Plain, String::new()),
        ]
    };
    view.checks.iter().map(row).collect()
}

fn next_step(session: &SessionId, mergeable: Option<bool>) -> Option<String> {
    match mergeable {
        Some(true) => Some(format!("Merge it: `hangar pr {session} --merge`")),
        Some(false) => Some(format!(
            "It conflicts with its base branch. Ask for it: `hangar attach {session}`, then \"merge the base branch\"."
        )),
        None => None,
    }
}
