//! The tables of the list, and what becomes of older ones.

use std::path::Path;

use hangar_store::{Schema, StoreError, rusqlite};

use crate::working::Inherited;

/// The schema of `index.db`. Whatever is in it can be made again, so a new version may drop what an older one had: the sessions are then missing
/// in it, and are added from their logs at the next start.
pub(crate) const SCHEMA: Schema = Schema {
    migrations: &[
        "CREATE TABLE session (
            id TEXT PRIMARY KEY,
            summary TEXT NOT NULL,
            updated_ms INTEGER NOT NULL,
            awake INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX session_by_time ON session (updated_ms DESC);
        CREATE INDEX session_awake ON session (id) WHERE awake = 1;
        CREATE TABLE forge_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL) STRICT;",
        PROJECTION,
    ],
};

/// Every row belongs to one session and says what its log says up to `session.seq`. Times are milliseconds since 1970.
const PROJECTION: &str = "
DROP TABLE forge_cursor;
DROP TABLE session;
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  summary TEXT NOT NULL,
  repo TEXT NOT NULL,
  owner TEXT NOT NULL,
  status TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX session_by_time ON session (updated_ms DESC);
CREATE INDEX session_running ON session (id) WHERE status = 'running';

CREATE TABLE prompt (
  session TEXT NOT NULL,
  prompt INTEGER NOT NULL,
  author TEXT NOT NULL,
  added_ms INTEGER NOT NULL,
  cancelled_ms INTEGER,
  PRIMARY KEY (session, prompt)
) STRICT, WITHOUT ROWID;
CREATE INDEX prompt_by_time ON prompt (added_ms, author);

CREATE TABLE turn (
  session TEXT NOT NULL,
  turn INTEGER NOT NULL,
  prompt INTEGER NOT NULL,
  author TEXT NOT NULL,
  started_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  outcome TEXT,
  resumes INTEGER NOT NULL DEFAULT 0,
  model TEXT,
  requests INTEGER NOT NULL DEFAULT 0,
  tool_calls INTEGER NOT NULL DEFAULT 0,
  first_token_ms INTEGER,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_tokens INTEGER NOT NULL DEFAULT 0,
  cost_micro_usd INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (session, turn)
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_by_time ON turn (started_ms, author);

CREATE TABLE pull_request (
  session TEXT NOT NULL,
  number INTEGER NOT NULL,
  author TEXT NOT NULL,
  opened_ms INTEGER NOT NULL,
  status TEXT NOT NULL,
  settled_ms INTEGER,
  settled_by TEXT,
  reviews INTEGER NOT NULL DEFAULT 0,
  approvals INTEGER NOT NULL DEFAULT 0,
  revisions INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX pull_request_settled ON pull_request (status, settled_ms);

CREATE TABLE fork (session TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE word (
  id INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  place TEXT NOT NULL,
  key TEXT NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (session, place, key)
) STRICT;
CREATE VIRTUAL TABLE words USING fts5 (
  text, content = 'word', content_rowid = 'id', prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER word_added AFTER INSERT ON word BEGIN
  INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER word_removed AFTER DELETE ON word BEGIN
  INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TRIGGER word_changed AFTER UPDATE ON word BEGIN
  INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
  INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
";

/// The tables, each with the column that names the session and with what is in it, for whoever compares two lists. `word.id` and `words` only
/// serve the search.
pub(super) const TABLES: [(&str, &str, &[&str]); 6] = [
    ("session", "id", &["id", "seq", "summary", "repo", "owner", "status", "created_ms", "updated_ms"]),
    ("prompt", "session", &["session", "prompt", "author", "added_ms", "cancelled_ms"]),
    (
        "turn",
        "session",
        &[
            "session",
            "turn",
            "prompt",
            "author",
            "started_ms",
            "ended_ms",
            "outcome",
            "resumes",
            "model",
            "requests",
            "tool_calls",
            "first_token_ms",
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cost_micro_usd",
        ],
    ),
    (
        "pull_request",
        "session",
        &[
            "session",
            "number",
            "author",
            "opened_ms",
            "status",
            "settled_ms",
            "settled_by",
            "reviews",
            "approvals",
            "revisions",
        ],
    ),
    ("fork", "session", &["session", "until"]),
    ("word", "session", &["session", "place", "key", "text"]),
];

/// What the list at `path` holds that a newer version keeps elsewhere; nothing where it is newer or not there. Blocks.
pub(crate) fn inherited(path: &Path) -> Result<Inherited, StoreError> {
    if !path.exists() {
        return Ok(Inherited::default());
    }
    let connection = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != 1 {
        return Ok(Inherited::default());
    }
    let awake = {
        let mut statement = connection.prepare("SELECT id FROM session WHERE awake = 1")?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    let forge_cursor =
        connection.query_row("SELECT coalesce(max(cursor), 0) FROM forge_cursor", [], |row| row.get(0))?;
    Ok(Inherited { awake, forge_cursor })
}
