//! How many events a second become durable: into one session with readers, into one without, into a hundred.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hangar_protocol::SessionId;
use hangar_store::{Schema, rusqlite::Connection};
use tokio::task::JoinSet;

use super::{cannot, process::ServerProcess, row::Row, sockets};
use crate::cli::ended::Failure;

/// Requests that are under way at the same time.
const AT_ONCE: usize = 64;
/// Sessions of `append_100`.
const SESSIONS: usize = 100;
/// Readers of `ingest_1x20`.
const READERS: usize = 20;
/// What one session is to take.
const INGEST_MIN: f64 = 3_000.0;
/// The size of an event as it is stored.
const EVENT_BYTES: usize = 200;
const FLOOR: Schema =
    Schema { migrations: &["CREATE TABLE event (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;"] };

/// Measures each for so long.
pub(super) async fn measure(server: &ServerProcess, folder: &Path, time: Duration) -> Result<Vec<Row>, Failure> {
    let one = vec![server.session().await?];
    let alone = rate(server, &one, time).await?;
    let floor_one = floor(folder, 1, AT_ONCE, time)?;
    let mut hundred = Vec::new();
    for _ in 0..SESSIONS {
        hundred.push(server.session().await?);
    }
    let spread = rate(server, &hundred, time).await?;
    let floor_hundred = floor(folder, SESSIONS, 1, time)?;
    let (ingested, delivered) = ingest(server, time).await?;
    let n = |rate: f64| (rate * time.as_secs_f64()) as usize;
    let row = |name, rate: f64, floor: f64, goal, ok| {
        let ratio = (rate / floor * 1_000.0).round() / 1_000.0;
        let row = Row::of_figure(name, "events/s", n(rate), rate, goal, ok);
        Row { floor_p50: Some(floor.round()), ratio: Some(ratio), ..row }
    };
    let batches = "SQLite alone with the same pragmas, 64 rows a commit";
    let singles = "SQLite alone with the same pragmas, one row a commit, 100 files in turn on one thread";
    let goal = "at least 3,000 events a second into one session with 20 readers, each a request over HTTP and durable when it is answered";
    Ok(vec![
        Row { floor: batches, ..row("ingest_1x20", ingested, floor_one, goal, ingested >= INGEST_MIN) },
        Row::of_figure(
            "ingest_1x20_delivered",
            "events/s",
            n(delivered),
            delivered,
            "reported: to all 20 readers together",
            true,
        ),
        Row {
            floor: batches,
            ..row("append_1", alone, floor_one, "reported: 64 requests at a time, into one session", true)
        },
        Row {
            floor: singles,
            ..row("append_100", spread, floor_hundred, "reported: 64 requests at a time, into a hundred sessions", true)
        },
    ])
}

/// Events a second, asked for by requests of which each waits for its answer.
async fn rate(server: &ServerProcess, sessions: &[SessionId], time: Duration) -> Result<f64, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..AT_ONCE {
        let (client, done) = (server.client.clone(), Arc::clone(&done));
        let sessions: Vec<SessionId> =
            sessions.iter().cycle().skip(number).step_by(AT_ONCE).take(sessions.len()).cloned().collect();
        asking.spawn(async move {
            for (turn, session) in sessions.iter().cycle().enumerate() {
                if began.elapsed() >= time {
                    break;
                }
                client.rename_session(session, &format!("Title {number} {turn}")).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), hangar_client::Error>(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.map_err(|error| cannot("send requests", error))??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// The same with readers; what they receive together is the second figure.
async fn ingest(server: &ServerProcess, time: Duration) -> Result<(f64, f64), Failure> {
    let session = server.session().await?;
    let path = format!("/api/v1/sessions/{session}/stream");
    let sockets = sockets::open_all(server.address, vec![path; READERS], &server.token).await?;
    let delivered = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for mut socket in sockets {
        let delivered = Arc::clone(&delivered);
        readers.spawn(async move {
            while let Some(text) = sockets::next(&mut socket).await {
                if text.contains(r#""title":"the end""#) {
                    break;
                }
                delivered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let began = Instant::now();
    let ingested = rate(server, std::slice::from_ref(&session), time).await?;
    server.client.rename_session(&session, "the end").await?;
    readers.join_all().await;
    Ok((ingested, delivered.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()))
}

/// Rows a second, into so many files in turn.
fn floor(folder: &Path, files: usize, rows: usize, time: Duration) -> Result<f64, Failure> {
    let failed = |error: &dyn std::fmt::Display| cannot("write a database", error);
    let paths = (0..files).map(|number| folder.join(format!("floor-{files}-{number}.db")));
    let logs =
        paths.map(|path| FLOOR.open(&path).map_err(|error| failed(&error))).collect::<Result<Vec<Connection>, _>>()?;
    let json = "x".repeat(EVENT_BYTES);
    let (began, mut written) = (Instant::now(), 0);
    for log in logs.iter().cycle() {
        if began.elapsed() >= time {
            break;
        }
        log.execute_batch("BEGIN IMMEDIATE").map_err(|error| failed(&error))?;
        let mut insert = log.prepare_cached("INSERT INTO event (json) VALUES (?1)").map_err(|error| failed(&error))?;
        for _ in 0..rows {
            insert.execute([&json]).map_err(|error| failed(&error))?;
        }
        log.execute_batch("COMMIT").map_err(|error| failed(&error))?;
        written += rows;
    }
    Ok(written as f64 / began.elapsed().as_secs_f64())
}
