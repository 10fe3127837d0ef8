//! What idle connections and sleeping sessions cost, and how fast one wakes: ten thousand readers of a thousand sessions.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use hangar_protocol::SessionId;
use hangar_store::Schema;
use tokio::task::JoinSet;

use super::{
    cannot,
    process::ServerProcess,
    row::{Goal, Row},
    sockets::{self, Socket},
    stub_model,
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// Sessions, at `--rounds 200` and above.
const SESSIONS: usize = 1_000;
/// Connections likewise; one of each session, the rest of one.
const CONNECTIONS: usize = 10_000;
/// Longest that sessions may take to fall asleep.
const SLEEP_MAX: Duration = Duration::from_secs(120);
/// Between two looks whether they have.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long memory is left alone before it is measured: longer than the server waits before it gives back what sleepers left.
const SETTLE: Duration = Duration::from_secs(12);
/// What sessions are created beside.
const FLOOR: Schema =
    Schema { migrations: &["CREATE TABLE event (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;"] };
/// Goals, in bytes and milliseconds.
const CONNECTION_BYTES_MAX: f64 = 4096.0;
const SESSION_BYTES_MAX: f64 = 2048.0;
const FRESH_BYTES_MAX: f64 = 40.0 * 1024.0 * 1024.0;
const WAKE_MS_MAX: f64 = 10.0;
const CREATE_MS_MAX: f64 = 5.0;

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::Builder::new().prefix("hangar-bench-").tempdir();
    let folder = folder.map_err(|error| cannot("make a directory", error))?;
    let model = stub_model::start().await.map_err(|error| cannot("listen", error))?;
    terminal.remark(Look::Faint, "starting a server");
    let server = ServerProcess::start(folder.path(), model.address).await?;
    let scale = (rounds as usize).min(200);
    let bench = Bench { server, sessions: SESSIONS * scale / 200, connections: CONNECTIONS * scale / 200 };
    let measured = bench.measure(folder.path(), terminal).await;
    bench.server.end().await;
    measured
}

struct Bench {
    server: ServerProcess,
    sessions: usize,
    connections: usize,
}

impl Bench {
    async fn measure(&self, folder: &Path, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
        let fresh = self.server.resident_bytes()?;
        terminal.remark(Look::Faint, &format!("creating {} sessions", self.sessions));
        let (sessions, created, create_floor) = self.create(folder).await?;
        terminal.remark(Look::Faint, "waiting until they sleep");
        self.asleep().await?;
        let (empty, empty_kernel) = (self.settled().await?, kernel_bytes()?);
        let Some(first) = sessions.first() else { return Err(cannot("measure", "there is no session")) };
        terminal.remark(Look::Faint, &format!("opening {} connections", self.connections));
        let path = |session: &SessionId| format!("/api/v1/sessions/{session}/stream");
        let of_one = vec![path(first); self.connections - self.sessions];
        let opened = of_one.len() as f64;
        let mut idle = Idle::default();
        idle.hold(sockets::open_all(self.server.address, of_one, &self.server.token).await?);
        let (with_one, with_one_kernel) = (self.settled().await?, kernel_bytes()?);
        let each = sessions.iter().map(path).collect();
        idle.hold(sockets::open_all(self.server.address, each, &self.server.token).await?);
        terminal.remark(Look::Faint, "waking each session once, then waiting until all sleep again");
        let (woken, wake_floor) = self.wake(&sessions, folder).await?;
        self.asleep().await?;
        let with_all = self.settled().await?;
        let open_logs = self.server.open_logs()?;
        let lost = idle.lost();
        drop(idle);
        let connection = (with_one - empty) / opened;
        let kernel = (with_one_kernel - empty_kernel) / opened / 2.0;
        let session = (with_all - empty - connection * self.connections as f64) / self.sessions as f64;
        // Pages that the allocator gave back in between outweigh a small sample.
        let measurable = session > 0.0;
        let n = self.connections;
        let wake = Row::of_times(WAKE, &woken, &wake_floor);
        let create = Row::of_times(CREATE, &created, &create_floor);
        Ok(vec![
            Row::of_figure(
                "connection_bytes",
                "bytes",
                n,
                connection,
                "at most 4 KiB of the server's memory for each idle connection, none of them lost",
                connection > 0.0 && connection <= CONNECTION_BYTES_MAX && lost == 0,
            ),
            Row::of_figure(
                "connection_kernel_bytes",
                "bytes",
                n,
                kernel,
                "reported: the kernel's own, for each end",
                true,
            ),
            Row::of_figure(
                "hibernated_session_bytes",
                "bytes",
                self.sessions,
                session,
                "at most 2 KiB and no descriptor for each session that was at work and sleeps, with a reader; missed too where the sample is too small to measure it",
                measurable && session <= SESSION_BYTES_MAX && open_logs == 0,
            ),
            Row { ok: wake.p99 <= WAKE_MS_MAX, ..wake },
            Row { ok: create.p50 <= CREATE_MS_MAX, ..create },
            Row::of_figure("fresh_rss_bytes", "bytes", 1, fresh, "at most 40 MiB", fresh <= FRESH_BYTES_MAX),
        ])
    }

    async fn create(&self, folder: &Path) -> Result<(Vec<SessionId>, Vec<Duration>, Vec<Duration>), Failure> {
        let (mut sessions, mut times, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..self.sessions {
            let began = Instant::now();
            sessions.push(self.server.session().await?);
            times.push(began.elapsed());
            if number % 5 == 0 {
                floor.push(create_file(&folder.join(format!("floor-{number}.db")))?);
            }
        }
        Ok((sessions, times, floor))
    }

    /// Renames each session; each was asleep.
    async fn wake(&self, sessions: &[SessionId], folder: &Path) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
        let (mut times, mut floor) = (Vec::new(), Vec::new());
        for (number, session) in sessions.iter().enumerate() {
            let began = Instant::now();
            self.server.client.rename_session(session, "Awake").await?;
            times.push(began.elapsed());
            if number % 5 == 0 {
                floor.push(append_to(&folder.join(format!("floor-{number}.db")))?);
            }
        }
        Ok((times, floor))
    }

    /// Waits until no session has its log open.
    async fn asleep(&self) -> Result<(), Failure> {
        let began = Instant::now();
        while self.server.open_logs()? > 0 {
            if began.elapsed() > SLEEP_MAX {
                return Err(cannot("measure sleeping sessions", "they do not fall asleep"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn settled(&self) -> Result<f64, Failure> {
        tokio::time::sleep(SETTLE).await;
        self.server.anonymous_bytes()
    }
}

const WAKE: Goal = Goal {
    name: "wake",
    floor: "SQLite alone: open a log, read it, append one row and fsync, close",
    goal: "from the request to the durable answer of a session that slept: p99 at most 10 ms",
    ratio_max: None,
};
const CREATE: Goal = Goal {
    name: "create_session",
    floor: "SQLite alone: make a log with one row, fsynced",
    goal: "p50 at most 5 ms",
    ratio_max: None,
};

/// Connections that do nothing but answer pings.
#[derive(Default)]
struct Idle(JoinSet<()>);

impl Idle {
    fn hold(&mut self, sockets: Vec<Socket>) {
        for mut socket in sockets {
            self.0.spawn(async move { while socket.next().await.is_some_and(|message| message.is_ok()) {} });
        }
    }

    /// How many have ended.
    fn lost(&mut self) -> usize {
        std::iter::from_fn(|| self.0.try_join_next()).count()
    }
}

fn create_file(path: &Path) -> Result<Duration, Failure> {
    let began = Instant::now();
    let log = FLOOR.open(path).map_err(|error| cannot("open a database", error))?;
    log.execute("INSERT INTO event (json) VALUES (?1)", ["x".repeat(300)]).map_err(|error| cannot("write", error))?;
    Ok(began.elapsed())
}

fn append_to(path: &Path) -> Result<Duration, Failure> {
    let began = Instant::now();
    let log = FLOOR.open(path).map_err(|error| cannot("open a database", error))?;
    let read: i64 = log
        .query_row("SELECT sum(length(json)) FROM event", [], |row| row.get(0))
        .map_err(|error| cannot("read a database", error))?;
    let row = "x".repeat(usize::try_from(read).unwrap_or_default());
    log.execute("INSERT INTO event (json) VALUES (?1)", [row]).map_err(|error| cannot("write", error))?;
    drop(log);
    Ok(began.elapsed())
}

/// What the kernel keeps for itself, in bytes: sockets and descriptors among it.
fn kernel_bytes() -> Result<f64, Failure> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").map_err(|error| cannot("read /proc/meminfo", error))?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| cannot("read /proc/meminfo", "there is no Slab"))
}
