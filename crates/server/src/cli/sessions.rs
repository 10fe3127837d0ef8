//! `hangar sessions`: what there is.

use clap::{Args, ValueEnum};
use hangar_client::SessionFilter;
use hangar_protocol::{
    RepoPath, SessionId, Visibility,
    api::{Found, FoundPlace, SessionSummary},
    limits::{SESSION_PAGE_MAX, clip},
    state::SessionStatus,
};

use super::{
    bad_request, connect,
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
  hangar sessions --mine --repo acme/website --status failed
  hangar sessions --limit 50 --before k3x9ab2m4p7q    the page after the one that ended so
  hangar sessions --json | jq -r '.[] | select(.status == \"running\") | .id'")]
pub(super) struct Sessions {
    /// Only those in which all these words, or words that begin with them, are found: in the title, a prompt, a participant's name or the path of a
    /// changed file. At most 50.
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["mine", "archived", "deleted", "everybody", "repo", "status", "before"])]
    search: Option<String>,

    /// Only those that you began or have a role of your own in.
    #[arg(long)]
    mine: bool,

    /// Those that were put away, instead of the others.
    #[arg(long, conflicts_with = "deleted")]
    archived: bool,

    /// Those that were deleted and can be taken back, instead of the others.
    #[arg(long)]
    deleted: bool,

    /// Also private sessions of others, without their titles (owners of the server).
    #[arg(long)]
    everybody: bool,

    /// Only those on this repository: owner/name.
    #[arg(long, value_name = "R")]
    repo: Option<RepoPath>,

    /// Only those that are doing this.
    #[arg(long, value_enum)]
    status: Option<GivenStatus>,

    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(SESSION_PAGE_MAX)))]
    limit: u32,

    /// The page after the one that ended with this session: its whole id.
    #[arg(long, value_name = "ID")]
    before: Option<SessionId>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GivenStatus {
    /// Waits for a prompt.
    Idle,
    /// A turn is running.
    Running,
    /// A turn waits because a budget was used up.
    Paused,
    /// The last turn failed.
    Failed,
    /// Its pull request is merged.
    Merged,
}

impl From<GivenStatus> for SessionStatus {
    fn from(given: GivenStatus) -> Self {
        match given {
            GivenStatus::Idle => Self::Idle,
            GivenStatus::Running => Self::Running,
            GivenStatus::Paused => Self::Paused,
            GivenStatus::Failed => Self::Failed,
            GivenStatus::Merged => Self::Merged,
        }
    }
}

impl Sessions {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let after = match &self.before {
            Some(id) => {
                let here = SessionFilter { prefix: Some(id.clone()), ..SessionFilter::default() };
                let known = client.list_sessions(&here).await?.into_iter().find(|session| session.id == *id);
                let gone =
                    || bad_request(format!("There is no session {id}."), "Name the last one of the page before.");
                Some(known.ok_or_else(gone)?)
            }
            None => None,
        };
        let first = after.is_none();
        let filter = SessionFilter {
            limit: Some(self.limit),
            after,
            mine: self.mine,
            archived: self.archived,
            deleted: self.deleted,
            everybody: self.everybody,
            repo: self.repo,
            status: self.status.map(SessionStatus::from),
            prefix: None,
        };
        let sessions = match &self.search {
            Some(words) => client.search_sessions(words).await?,
            None => client.list_sessions(&filter).await?,
        };
        if terminal.is_json() {
            terminal.json(&sessions)?;
            return Ok(Ended::Well);
        }
        let narrowed =
            self.search.is_some() || SessionFilter { limit: None, after: None, ..filter } != SessionFilter::default();
        match (sessions.last(), first && !narrowed) {
            (None, true) => {
                terminal.remark(Look::Faint, "There is no session yet. Begin one: hangar run \"make the tests pass\"");
            }
            (None, false) => terminal.remark(Look::Faint, "There is no such session."),
            (Some(_), _) => {}
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
        if let Some(last) = sessions.last().filter(|_| sessions.len() >= self.limit as usize) {
            terminal.remark(Look::Faint, &format!("There may be more: --before {}", last.id));
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
    let title = clip(&words::one_line(&session.title), TITLE_CHARS_MAX);
    let title = match (session.visibility, &session.deleted) {
        (_, Some(deletion)) => format!("{title} · removed after {}", words::date(deletion.purge_ms)),
        (Visibility::Private, None) => format!("{title} · private"),
        (Visibility::Team, None) => title,
    };
    let title = match &session.parent {
        Some(parent) => format!("{title} · begun by {parent}"),
        None => title,
    };
    [
        (Look::Strong, session.id.to_string()),
        (look, status.to_owned()),
        (Look::Place, session.repo.to_string()),
        words::short_pull_request(session.pull_request.as_ref()),
        (Look::Faint, words::age(session.updated_ms, now_ms)),
        (Look::Plain, title),
    ]
}
