//! From events to rows. What a row says depends on the session's events alone, so a list that was made again is the same.

use hangar_protocol::{
    Event, EventBody, TurnId,
    api::SessionSummary,
    conversation::ModelUsage,
    event::{PullRequestChange, TurnOutcome},
    ids::Person,
    limits::{STATE_FILES_MAX, clip_bytes},
    state::SessionStatus,
};
use hangar_store::rusqlite::{Connection, Result, params};

/// How much of a prompt can be searched.
pub(super) const SEARCHED_PROMPT_BYTES_MAX: usize = 16 * 1024;

/// Where a word stands. Also the column `word.place`.
const TITLE: &str = "title";
const PROMPT: &str = "prompt";
const PARTICIPANT: &str = "participant";
const PATH: &str = "path";

/// Removes a session's rows.
pub(super) fn forget(connection: &Connection, session: &str) -> Result<()> {
    for table in ["prompt", "turn", "pull_request", "fork", "word"] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE session = ?1"))?.execute([session])?;
    }
    connection.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([session])?;
    Ok(())
}

/// Writes what lists show of a session whose events up to `seq` were taken in.
pub(super) fn summarize(connection: &Connection, seq: i64, summary: &SessionSummary, json: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO session (id, seq, summary, repo, owner, status, created_ms, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET seq = ?2, summary = ?3, status = ?6, updated_ms = ?8",
        )?
        .execute(params![
            summary.id.as_str(),
            seq,
            json,
            summary.repo.to_string(),
            summary.owner.as_str(),
            status(summary.status),
            time(summary.created_ms),
            time(summary.updated_ms),
        ])?;
    Ok(())
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

/// Takes in a session's next event. Of those that a fork copied only the words: what was done and paid for is counted where it was.
pub(super) fn take_in(connection: &Connection, session: &str, event: &Event) -> Result<()> {
    let rows = Rows { connection, session, now: time(event.time_ms) };
    take_words(&rows, &event.body)?;
    if rows.is_copied(event)? { Ok(()) } else { count(&rows, event) }
}

/// What can be searched.
fn take_words(rows: &Rows<'_>, body: &EventBody) -> Result<()> {
    match body {
        EventBody::SessionCreated { owner, title, .. } => {
            rows.word(TITLE, "", title)?;
            rows.participant(owner)
        }
        EventBody::ParticipantJoined { person } => rows.participant(person),
        EventBody::TitleChanged { title, .. } => rows.word(TITLE, "", title),
        EventBody::PromptAdded { prompt, text, .. } | EventBody::PromptEdited { prompt, text, .. } => {
            rows.word(PROMPT, &prompt.to_string(), clip_bytes(text, SEARCHED_PROMPT_BYTES_MAX))
        }
        EventBody::FilesChanged { files, .. } => files.iter().try_for_each(|file| rows.path(&file.path)),
        // `count` below names them all, so that a new kind is looked at once.
        _ => Ok(()),
    }
}

/// What is counted.
fn count(rows: &Rows<'_>, event: &Event) -> Result<()> {
    let session = rows.session;
    match &event.body {
        EventBody::PromptAdded { prompt, author, .. } => rows.run(
            "INSERT OR IGNORE INTO prompt (session, prompt, author, added_ms) VALUES (?1, ?2, ?3, ?4)",
            params![session, prompt.0, author.as_str(), rows.now],
        ),
        EventBody::PromptCancelled { prompt, .. } => rows.run(
            "UPDATE prompt SET cancelled_ms = ?3 WHERE session = ?1 AND prompt = ?2",
            params![session, prompt.0, rows.now],
        ),
        EventBody::TurnStarted { turn, prompt } => rows.run(
            "INSERT OR IGNORE INTO turn (session, turn, prompt, author, started_ms)
             SELECT ?1, ?2, ?3, coalesce((SELECT author FROM prompt WHERE session = ?1 AND prompt = ?3), ''), ?4",
            params![session, turn.0, prompt.0, rows.now],
        ),
        EventBody::TurnResumed { turn, .. } => rows.count(*turn, "resumes"),
        EventBody::TurnEnded { turn, outcome } => rows.run(
            "UPDATE turn SET ended_ms = ?3, outcome = ?4 WHERE session = ?1 AND turn = ?2",
            params![session, turn.0, rows.now, outcome_word(outcome)],
        ),
        EventBody::ModelRequested { turn, model, .. } => rows.run(
            "UPDATE turn SET requests = requests + 1, model = ?3 WHERE session = ?1 AND turn = ?2",
            params![session, turn.0, model],
        ),
        // The turn's model is who works on it, whomever its programs ask besides: the first one asked, where an external agent works.
        EventBody::GatewayRequested { turn, model, .. } => rows.run(
            "UPDATE turn SET requests = requests + 1, model = coalesce(model, ?3) WHERE session = ?1 AND turn = ?2",
            params![session, turn.0, model],
        ),
        EventBody::ModelFellBack { turn, to, .. } => {
            rows.run("UPDATE turn SET model = ?3 WHERE session = ?1 AND turn = ?2", params![session, turn.0, to])
        }
        EventBody::ModelReplied { turn, usage, cost_micro_usd, first_token_ms, duration_ms, .. } => {
            let first_token_at = rows.now - i64::from(*duration_ms) + i64::from(*first_token_ms);
            rows.reply(*turn, Some(first_token_at), usage, cost_micro_usd.unwrap_or(0))
        }
        // Nobody sees the first token of a summary, and of a program's reply only the program does.
        EventBody::ConversationSummarized { turn, usage, cost_micro_usd, .. }
        | EventBody::GatewayReplied { turn, usage, cost_micro_usd, .. } => {
            rows.reply(*turn, None, usage, cost_micro_usd.unwrap_or(0))
        }
        EventBody::ToolStarted { turn, .. } => rows.count(*turn, "tool_calls"),
        EventBody::PullRequestOpened { number, author, .. } => rows.run(
            "INSERT OR REPLACE INTO pull_request (session, number, author, opened_ms, status)
             VALUES (?1, ?2, ?3, ?4, 'open')",
            params![session, number, author.as_str(), rows.now],
        ),
        EventBody::PullRequestChanged { number, change } => rows.pull_request(*number, change),
        // The first is this session's own; a later one was copied from a source that is a fork itself.
        EventBody::ForkedFrom { until, .. } => {
            rows.run("INSERT OR IGNORE INTO fork (session, until) VALUES (?1, ?2)", params![session, time(until.0)])
        }
        EventBody::SessionCreated { .. }
        | EventBody::HarnessStarted { .. }
        | EventBody::ParticipantJoined { .. }
        | EventBody::TitleChanged { .. }
        | EventBody::PromptEdited { .. }
        | EventBody::FilesChanged { .. }
        | EventBody::SessionForked { .. }
        | EventBody::ChildOf { .. }
        | EventBody::ChildSpawned { .. }
        | EventBody::ChildReported { .. }
        | EventBody::Rewound { .. }
        | EventBody::AttemptKept { .. }
        | EventBody::MemberAdded { .. }
        | EventBody::RoleChanged { .. }
        | EventBody::MemberRemoved { .. }
        | EventBody::OwnershipTaken { .. }
        | EventBody::VisibilityChanged { .. }
        | EventBody::InvitationMade { .. }
        | EventBody::InvitationRevoked { .. }
        | EventBody::SessionArchived
        | EventBody::SessionUnarchived
        | EventBody::SessionDeleted { .. }
        | EventBody::SessionRestored
        | EventBody::StopRequested { .. }
        | EventBody::TurnPaused { .. }
        | EventBody::TurnContinued { .. }
        | EventBody::BudgetChanged { .. }
        | EventBody::PromptMoved { .. }
        | EventBody::SteerRequested { .. }
        | EventBody::PromptSteered { .. }
        | EventBody::QueuePaused { .. }
        | EventBody::QueueResumed { .. }
        | EventBody::SandboxChanged { .. }
        | EventBody::ModelRetried { .. }
        | EventBody::OutputsLeftOut { .. }
        | EventBody::ToolFinished { .. }
        | EventBody::TodoChanged { .. }
        | EventBody::QuestionAsked { .. }
        | EventBody::BranchPushed { .. }
        | EventBody::PluginDecided { .. }
        | EventBody::PushRefused { .. }
        | EventBody::ImageChosen { .. }
        | EventBody::BaseChanged { .. }
        | EventBody::SnapshotTaken { .. }
        | EventBody::NetworkDenied { .. }
        | EventBody::NetworkAllowed { .. }
        | EventBody::Warning { .. } => Ok(()),
    }
}

fn outcome_word(outcome: &TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Done => "done",
        TurnOutcome::Stopped { .. } => "stopped",
        TurnOutcome::Failed { .. } => "failed",
    }
}

/// One session's rows, at the time of one event.
struct Rows<'a> {
    connection: &'a Connection,
    session: &'a str,
    now: i64,
}

impl Rows<'_> {
    fn run(&self, sql: &str, values: impl hangar_store::rusqlite::Params) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute(values).map(drop)
    }

    fn is_copied(&self, event: &Event) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM fork WHERE session = ?1 AND until >= ?2)";
        self.connection.prepare_cached(sql)?.query_row(params![self.session, time(event.seq.0)], |row| row.get(0))
    }

    fn word(&self, place: &str, key: &str, text: &str) -> Result<()> {
        self.run(
            "INSERT INTO word (session, place, key, text) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (session, place, key) DO UPDATE SET text = excluded.text",
            params![self.session, place, key, text],
        )
    }

    fn participant(&self, person: &Person) -> Result<()> {
        self.word(PARTICIPANT, person.user.as_str(), &format!("{} {}", person.name, person.user))
    }

    /// As many as the session's state remembers.
    fn path(&self, path: &str) -> Result<()> {
        self.run(
            "INSERT OR IGNORE INTO word (session, place, key, text)
             SELECT ?1, ?2, ?3, ?3 WHERE (SELECT count(*) FROM word WHERE session = ?1 AND place = ?2) < ?4",
            params![self.session, PATH, path, STATE_FILES_MAX],
        )
    }

    /// `column` is one of this file's words.
    fn count(&self, turn: TurnId, column: &str) -> Result<()> {
        self.run(
            &format!("UPDATE turn SET {column} = {column} + 1 WHERE session = ?1 AND turn = ?2"),
            params![self.session, turn.0],
        )
    }

    fn reply(&self, turn: TurnId, first_token_at: Option<i64>, usage: &ModelUsage, cost_micro_usd: u64) -> Result<()> {
        self.run(
            "UPDATE turn SET first_token_ms = coalesce(first_token_ms, max(0, ?3 - started_ms)),
               input_tokens = input_tokens + ?4, output_tokens = output_tokens + ?5,
               cache_read_tokens = cache_read_tokens + ?6, cache_write_tokens = cache_write_tokens + ?7,
               cost_micro_usd = cost_micro_usd + ?8
             WHERE session = ?1 AND turn = ?2",
            params![
                self.session,
                turn.0,
                first_token_at,
                time(usage.input_tokens),
                time(usage.output_tokens),
                time(usage.cache_read_tokens),
                time(usage.cache_write_tokens),
                time(cost_micro_usd),
            ],
        )
    }

    fn pull_request(&self, number: u32, change: &PullRequestChange) -> Result<()> {
        match change {
            PullRequestChange::Synchronized { .. } => self.count_at(number, "revisions"),
            PullRequestChange::Reviewed { verdict, .. } => {
                if verdict == "approved" {
                    self.count_at(number, "approvals")?;
                }
                self.count_at(number, "reviews")
            }
            PullRequestChange::Merged { by, .. } => self.settle(number, "merged", Some(self.now), Some(by)),
            PullRequestChange::Closed { by } => self.settle(number, "closed", Some(self.now), Some(by)),
            PullRequestChange::Reopened { .. } => self.settle(number, "open", None, None),
        }
    }

    /// `column` is one of this file's words.
    fn count_at(&self, number: u32, column: &str) -> Result<()> {
        self.run(
            &format!("UPDATE pull_request SET {column} = {column} + 1 WHERE session = ?1 AND number = ?2"),
            params![self.session, number],
        )
    }

    fn settle(&self, number: u32, status: &str, at: Option<i64>, by: Option<&String>) -> Result<()> {
        self.run(
            "UPDATE pull_request SET status = ?3, settled_ms = ?4, settled_by = ?5 WHERE session = ?1 AND number = ?2",
            params![self.session, number, status, at, by],
        )
    }
}

/// SQLite has no unsigned numbers.
fn time(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
