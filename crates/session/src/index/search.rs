//! Finds sessions by what was said in them, who took part and which files changed.

use hangar_protocol::{
    UserId,
    api::{Found, FoundPiece, FoundPlace, SessionSummary},
    limits::{SEARCH_BYTES_MAX, SEARCH_RESULTS_MAX, SEARCH_TERMS_MAX, clip_bytes},
};
use hangar_store::{
    StoreError,
    rusqlite::{self, Connection, params, params_from_iter},
};

use super::Index;

/// How many words of its place a finding shows.
const SNIPPET_WORDS: u32 = 16;
/// Around what matched, in what SQLite gives. No text of a person has them: control characters are made blanks.
const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

/// What is looked for: words, each of which must begin a word somewhere in the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    terms: Vec<String>,
}

impl Wanted {
    /// Reads what a person typed. Whatever is no letter or digit separates words within a term, which must then stand side by side; `None`
    /// where nothing is left.
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        let terms = clip_bytes(typed, SEARCH_BYTES_MAX).split_whitespace();
        let quoted = terms.filter(|term| term.chars().any(char::is_alphanumeric)).take(SEARCH_TERMS_MAX);
        // In FTS5's language: a phrase whose last word may go on. In a phrase, only the quotation mark means something.
        let terms: Vec<String> = quoted.map(|term| format!("\"{}\" *", term.replace(['"', '\0'], " "))).collect();
        (!terms.is_empty()).then_some(Self { terms })
    }
}

impl Index {
    /// The newest sessions in which all of it is found, newest first, each with the place that fits best.
    pub(crate) async fn search(&self, wanted: Wanted, seen_by: &UserId) -> Result<Vec<SessionSummary>, StoreError> {
        let seen_by = seen_by.clone();
        self.database.read(move |connection| search(connection, &wanted, &seen_by)).await
    }
}

fn search(connection: &Connection, wanted: &Wanted, seen_by: &UserId) -> rusqlite::Result<Vec<SessionSummary>> {
    let each = (1..=wanted.terms.len())
        .map(|n| {
            format!(
                "AND id IN (SELECT word.session FROM words JOIN word ON word.id = words.rowid WHERE words MATCH ?{n})"
            )
        })
        .collect::<String>();
    let user = wanted.terms.len() + 1;
    let sql = format!(
        "SELECT summary FROM session WHERE summary ->> '$.deleted' IS NULL
         AND (summary ->> '$.visibility' = 'team' OR summary -> ('$.members.\"' || ?{user} || '\"') IS NOT NULL)
         {each} ORDER BY updated_ms DESC LIMIT {SEARCH_RESULTS_MAX}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let given = wanted.terms.iter().map(String::as_str).chain([seen_by.as_str()]);
    let rows = statement.query_map(params_from_iter(given), |row| row.get::<_, String>(0))?;
    let mut sessions = Vec::new();
    for json in rows {
        let Ok(mut summary) = serde_json::from_str::<SessionSummary>(&json?) else { continue };
        summary.found = best_place(connection, summary.id.as_str(), wanted)?;
        sessions.push(summary);
    }
    Ok(sessions)
}

fn best_place(connection: &Connection, session: &str, wanted: &Wanted) -> rusqlite::Result<Option<Found>> {
    let any = wanted.terms.join(" OR ");
    // By row first: a place is shown of few sessions, and what matches may be in many.
    let sql = format!(
        "SELECT word.place, word.key, snippet(words, 0, char({}), char({}), '…', {SNIPPET_WORDS})
         FROM word JOIN words ON words.rowid = word.id
         WHERE word.session = ?1 AND words MATCH ?2 ORDER BY rank, word.id LIMIT 1",
        u32::from(OPEN),
        u32::from(CLOSE)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![session, any])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (place, key, snippet): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(place_of(&place, &key).map(|place| Found { place, pieces: pieces(&snippet) }))
}

fn place_of(place: &str, key: &str) -> Option<FoundPlace> {
    match place {
        "title" => Some(FoundPlace::Title),
        "prompt" => Some(FoundPlace::Prompt { prompt: hangar_protocol::PromptId(key.parse().ok()?) }),
        "participant" => Some(FoundPlace::Participant { user: key.parse().ok()? }),
        "path" => Some(FoundPlace::Path),
        _ => None,
    }
}

fn pieces(snippet: &str) -> Vec<FoundPiece> {
    let mut pieces = Vec::new();
    let mut matched = false;
    for part in snippet.split_inclusive([OPEN, CLOSE]) {
        let text: String = part.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = match part.chars().next_back() {
            Some(OPEN | CLOSE) => &text[..text.len() - 1],
            Some(_) | None => text.as_str(),
        };
        if !text.is_empty() {
            pieces.push(FoundPiece { text: text.to_owned(), matched });
        }
        matched = part.ends_with(OPEN);
    }
    pieces
}
