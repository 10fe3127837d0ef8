//! Files that released versions wrote, opened by this one. `released/NAME-N.sql` is a database as version *N* of its schema left it.

use std::path::Path;

use hangar_protocol::{Seq, SessionId, state::fingerprint};
use hangar_store::{Schema, StoreError, Writers, rusqlite::Connection};

use crate::{
    index::{self, AtRest, Index, catch_up, check},
    log::{self, LogReader},
    working::{self, Working},
};

const LOG_1: &str = include_str!("released/log-1.sql");
const INDEX_1: &str = include_str!("released/index-1.sql");
const WORKING_1: &str = include_str!("released/working-1.sql");

/// The scripts that were released, by their fingerprints. A line is only ever added: a script that was released is never edited.
const RELEASED: [(&str, Schema, &[&str]); 3] = [
    ("log.db", log::SCHEMA, &["e57a75679ad4daff"]),
    ("index.db", index::SCHEMA, &["e641fc3fe45e291e", "ff209ce620437da8"]),
    ("working.db", working::SCHEMA, &["24efebf194011645"]),
];

fn lay(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// Everything that makes a schema, in an order of its own.
fn shape(connection: &Connection) -> Vec<String> {
    let mut statement =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn session() -> SessionId {
    "k3x9m2p7qrst".parse().unwrap()
}

#[test]
fn a_script_that_was_released_is_never_edited() {
    for (name, schema, released) in RELEASED {
        let now: Vec<String> = schema.migrations.iter().map(|script| fingerprint(script)).collect();
        assert_eq!(now, released, "{name}: write a new script instead, and add its fingerprint");
    }
}

#[test]
fn every_older_file_becomes_what_a_new_one_is_and_a_newer_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let older = [("log.db", LOG_1), ("index.db", INDEX_1), ("working.db", WORKING_1)];
    for ((name, schema, _), (_, sql)) in RELEASED.into_iter().zip(older) {
        let path = folder.path().join(name);
        lay(&path, sql);
        let opened = schema.open(&path).unwrap();
        assert_eq!(shape(&opened), shape(&schema.open_in_memory().unwrap()), "{name}");
        opened.pragma_update(None, "user_version", 99).unwrap();
        drop(opened);
        let refused = schema.open(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{name}: {refused}");
        assert!(refused.to_string().contains("run the newer hangar"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn what_an_older_list_knew_alone_is_kept_and_the_rest_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = folder.path();
    std::fs::create_dir(sessions.join(session().as_str())).unwrap();
    let log = sessions.join(session().as_str()).join(log::FILE);
    lay(&log, LOG_1);
    lay(&sessions.join(index::FILE), INDEX_1);
    let writers = Writers::start().unwrap();
    let working = Working::open(&writers, sessions).await.unwrap();
    // Twice, as after a kill in between.
    for _ in 0..2 {
        working.inherit(Index::inherited(sessions).await.unwrap()).await.unwrap();
    }
    let index = Index::open(&writers, sessions).await.unwrap();
    assert_eq!(working.marked().await.unwrap(), [session()]);
    assert_eq!(working.forge_cursor().await.unwrap(), 42);
    assert_eq!(index.known().await.unwrap(), []);
    let state = catch_up(&index, &LogReader::new(log.parent().unwrap()), &session()).await.unwrap();
    assert_eq!(state.seq, Seq(3));
    assert_eq!(index.running().await.unwrap(), [session()]);
    let compared = check(sessions, AtRest::Yes).unwrap();
    assert_eq!((compared.sessions, compared.differences), (1, Vec::new()));
}
