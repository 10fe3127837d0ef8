//! The store against real files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use hangar_store::{Database, Schema, StoreError, Writers, copy_database, rusqlite};

const FIRST: Schema = Schema { migrations: &["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT"] };
const SECOND: Schema = Schema {
    migrations: &[
        "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
        "ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 0",
    ],
};

fn insert(id: i64) -> impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<usize> + Send + 'static {
    move |connection| connection.execute("INSERT INTO note (id, text) VALUES (?1, 'x')", [id])
}

async fn ids(database: &Database) -> Vec<i64> {
    let read = |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare("SELECT id FROM note ORDER BY id")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    database.read(read).await.unwrap()
}

#[tokio::test]
async fn many_writers_at_once_all_land_and_a_failing_one_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&Writers::start().unwrap(), &folder.path().join("a.db"), FIRST).await.unwrap();
    let writes = (0..500).map(|n| {
        let database = database.clone();
        // Every tenth repeats an id and must fail alone.
        tokio::spawn(async move { database.write(insert(if n % 10 == 9 { n - 1 } else { n })).await })
    });
    let mut failed = 0;
    for write in writes.collect::<Vec<_>>() {
        failed += usize::from(write.await.unwrap().is_err());
    }
    assert_eq!(failed, 50);
    assert_eq!(ids(&database).await, (0..500).filter(|n| n % 10 != 9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_database_is_migrated_forward_and_never_opened_by_an_older_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let writers = Writers::start().unwrap();
    let old = Database::open(&writers, &path, FIRST).await.unwrap();
    old.write(insert(1)).await.unwrap();
    old.close().await.unwrap();
    let new = Database::open(&writers, &path, SECOND).await.unwrap();
    let stars = new.read(|c| c.query_row("SELECT stars FROM note WHERE id = 1", [], |row| row.get::<_, i64>(0))).await;
    assert_eq!(stars.unwrap(), 0);
    let refused = Database::open(&writers, &path, FIRST).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 2, known: 1, .. }), "{refused}");
}

#[tokio::test]
async fn a_closed_database_refuses_writes() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&Writers::start().unwrap(), &folder.path().join("a.db"), FIRST).await.unwrap();
    database.close().await.unwrap();
    assert!(matches!(database.write(insert(1)).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_keeps_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&Writers::start().unwrap(), &folder.path().join("a.db"), FIRST).await.unwrap();
    database.write(insert(1)).await.unwrap();
    // SQLite answers SQLITE_FULL at its own page limit exactly as it does when the disk has no room.
    database.write(|c| c.pragma_update(None, "max_page_count", 4).map(|()| 0)).await.unwrap();
    let flood =
        |c: &rusqlite::Connection| c.execute("INSERT INTO note (id, text) VALUES (2, zeroblob(1000000) || '')", []);
    let refused = database.write(flood).await.unwrap_err();
    assert!(matches!(refused, StoreError::DiskFull), "{refused}");
    assert_eq!(ids(&database).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_among_writes_has_everything_that_was_answered_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("a.db"), folder.path().join("copy.db"));
    let writers = Writers::start().unwrap();
    let database = Database::open(&writers, &from, SECOND).await.unwrap();
    for n in 0..100 {
        database.write(insert(n)).await.unwrap();
    }
    let (writing, copied) = (database.clone(), to.clone());
    let flood = tokio::spawn(async move {
        for n in 100..400 {
            writing.write(insert(n)).await.unwrap();
        }
    });
    tokio::task::spawn_blocking(move || copy_database(&from, &copied)).await.unwrap().unwrap();
    flood.await.unwrap();
    assert_eq!(ids(&database).await, (0..400).collect::<Vec<_>>(), "the copy disturbed nobody");
    // It is opened like any other, at the version it had.
    let copy = Database::open(&writers, &to, SECOND).await.unwrap();
    let found = ids(&copy).await;
    assert!(found.len() >= 100 && found == (0..found.len() as i64).collect::<Vec<_>>(), "{found:?}");
    copy.write(insert(1_000)).await.unwrap();
}

#[test]
fn a_missing_or_damaged_database_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("a.db"), folder.path().join("copy.db"));
    assert!(copy_database(&from, &to).is_err());
    assert!(!from.exists(), "looking makes none");
    let connection = FIRST.open(&from).unwrap();
    connection
        .execute_batch("INSERT INTO note (text) SELECT hex(randomblob(3000)) FROM (VALUES (1), (2), (3), (4))")
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&from).unwrap();
    // The root page of the table.
    bytes[4096..4200].fill(0xff);
    std::fs::write(&from, bytes).unwrap();
    assert!(copy_database(&from, &to).is_err());
}

#[tokio::test]
async fn a_database_that_was_made_at_once_is_one_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.db");
    SECOND.create(&path, |connection| insert(1)(connection).map(drop)).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies beside it");
    let database = Database::open(&Writers::start().unwrap(), &path, SECOND).await.unwrap();
    let mode = database.read(|c| c.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))).await.unwrap();
    assert_eq!(mode, "wal");
    database.write(insert(2)).await.unwrap();
    assert_eq!(ids(&database).await, [1, 2]);
    let whole =
        database.read(|c| c.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))).await.unwrap();
    assert_eq!(whole, "ok");
    // What cannot be written leaves nothing that has the name.
    let other = folder.path().join("other.db");
    assert!(
        SECOND.create(&other, |connection| connection.execute("INSERT INTO nothing VALUES (1)", []).map(drop)).is_err()
    );
    assert!(!other.exists());
}

#[tokio::test]
async fn damage_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let refused = Database::open(&Writers::start().unwrap(), &path, FIRST).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}
