//! `hangar sessions`: what there is.

use clap::Args;
use hangar_protocol::{api::SessionSummary, limits::clip};

use super::{
    connect,
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// How much of a title is listed.
const TITLE_CHARS_MAX: usize = 60;

/// List the sessions, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar sessions
  hangar sessions --json | jq -r '.[] | select(.status == \"running\") | .id'")]
pub(super) struct Sessions {}

impl Sessions {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let sessions = connect()?.sessions().await?;
        if terminal.is_json() {
            terminal.json(&sessions)?;
            return Ok(Ended::Well);
        }
        if sessions.is_empty() {
            terminal.remark(Look::Faint, "There is no session yet. Begin one: hangar run \"make the tests pass\"");
        }
        let now_ms = words::now_ms();
        let rows: Vec<[Cell; 6]> = sessions.iter().map(|session| row(session, now_ms)).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        Ok(Ended::Well)
    }
}

fn row(session: &SessionSummary, now_ms: u64) -> [Cell; 6] {
    let (look, status) = words::session_status(session.status);
    [
        (Look::Strong, session.id.to_string()),
        (look, status.to_owned()),
        (Look::Place, session.repo.to_string()),
        words::short_pull_request(session.pull_request.as_ref()),
        (Look::Faint, words::age(session.updated_ms, now_ms)),
        (Look::Plain, clip(&words::one_line(&session.title), TITLE_CHARS_MAX)),
    ]
}
