//! `hangar sessions`: what there is.

use clap::Args;
use hangar_protocol::{
    api::{Found, FoundPlace, SessionSummary},
    limits::clip,
};

use super::{
    connect,
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Paint, Terminal},
    words,
};

/// How much of a title is listed.
const TITLE_CHARS_MAX: usize = 60;

/// List the sessions, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar sessions
  hangar sessions --search \"login page\"
  hangar sessions --json | jq -r '.[] | select(.status == \"running\") | .id'")]
pub(super) struct Sessions {
    /// Only those in which all these words, or words that begin with them, are found: in the title, a prompt, a participant's name or the path of a
    /// changed file. At most 50.
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
}

impl Sessions {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let sessions = match &self.search {
            Some(words) => client.search_sessions(words).await?,
            None => client.sessions().await?,
        };
        if terminal.is_json() {
            terminal.json(&sessions)?;
            return Ok(Ended::Well);
        }
        if sessions.is_empty() {
            let nothing = match &self.search {
                Some(words) => format!("No session has {words:?} in it."),
                None => "There is no session yet. Begin one: hangar run \"make the tests pass\"".to_owned(),
            };
            terminal.remark(Look::Faint, &nothing);
        }
        let now_ms = words::now_ms();
        let rows: Vec<[Cell; 6]> = sessions.iter().map(|session| row(session, now_ms)).collect();
        let lines = columns(terminal.painter(), &rows);
        for (line, session) in lines.iter().zip(&sessions) {
            terminal.line(line)?;
            if let Some(found) = &session.found {
                terminal.line(&snippet(terminal.painter(), found))?;
            }
        }
        Ok(Ended::Well)
    }
}

/// Where it was found, on a line below the session.
fn snippet(paint: Paint, found: &Found) -> String {
    let place = match &found.place {
        FoundPlace::Title => "title".to_owned(),
        FoundPlace::Prompt { prompt } => format!("prompt {prompt}"),
        FoundPlace::Participant { .. } => "participant".to_owned(),
        FoundPlace::Path => "file".to_owned(),
    };
    let words = found.pieces.iter().map(|piece| {
        let look = if piece.matched { Look::Strong } else { Look::Faint };
        let text: String = piece.text.chars().filter(|c| !c.is_control()).collect();
        paint.paint(look, &text)
    });
    format!("    {} {}", paint.paint(Look::Faint, &format!("{place}:")), words.collect::<String>())
}

fn row(session: &SessionSummary, now_ms: u64) -> [Cell; 6] {
    let (look, status) = match session.damaged {
        Some(_) => (Look::Bad, "damaged"),
        None => words::session_status(session.status),
    };
    [
        (Look::Strong, session.id.to_string()),
        (look, status.to_owned()),
        (Look::Place, session.repo.to_string()),
        words::short_pull_request(session.pull_request.as_ref()),
        (Look::Faint, words::age(session.updated_ms, now_ms)),
        (Look::Plain, clip(&words::one_line(&session.title), TITLE_CHARS_MAX)),
    ]
}
