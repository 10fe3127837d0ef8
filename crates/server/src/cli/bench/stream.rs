//! What a stream costs and how fast it is: bytes for each byte of text, one session to a thousand readers, five hundred sessions to
//! twenty each, and how many events a second become durable.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    append,
    bare_loop::{BareLoop, Pace},
    cannot,
    pace_model::{self, DELTA_BYTES},
    process::ServerProcess,
    row::Row,
    sockets::{self, Socket, now_us},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// A model's pace: deltas a second.
const DELTAS_PER_S: u32 = 60;
/// Deltas of the answer of 2,000 tokens.
const ANSWER_DELTAS: u32 = 500;
/// Readers of the one session, and events a second.
const CROWD: usize = 1_000;
const CROWD_EVENTS_PER_S: u32 = 30;
/// Sessions at once, and readers of each.
const SESSIONS: usize = 500;
const READERS: usize = 20;
/// Sessions that begin their answer at the same time.
const PROMPTS_AT_ONCE: usize = 16;
/// How long fan-out is measured at `--rounds 200`.
const MEASURED: Duration = Duration::from_secs(10);
/// Goals.
const TEXT_RATIO_MAX: f64 = 3.0;
const CROWD_P99_MS_MAX: f64 = 40.0;
const FLOOR_SHARE_MIN: f64 = 0.5;

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::Builder::new().prefix("hangar-bench-").tempdir();
    let folder = folder.map_err(|error| cannot("make a directory", error))?;
    let model = pace_model::start().await.map_err(|error| cannot("listen", error))?;
    terminal.remark(Look::Faint, "starting a server");
    let server = ServerProcess::start(folder.path(), model.address).await?;
    let share = f64::from(rounds.min(200)) / 200.0;
    let measured = all(&server, folder.path(), share, terminal).await;
    server.end().await;
    measured
}

async fn all(server: &ServerProcess, folder: &Path, share: f64, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    terminal.remark(Look::Faint, "one answer, one reader");
    rows.push(text_bytes(server).await?);
    terminal.remark(Look::Faint, "one session, a thousand readers");
    rows.push(crowd(server, share).await?);
    terminal.remark(Look::Faint, "five hundred sessions, twenty readers each");
    rows.extend(many(server, share).await?);
    terminal.remark(Look::Faint, "events into one session, and into a hundred");
    rows.extend(append::measure(server, folder, MEASURED.mul_f64(share)).await?);
    Ok(rows)
}

/// What a reader receives of one answer, against its text.
async fn text_bytes(server: &ServerProcess) -> Result<Row, Failure> {
    let session = server.session().await?;
    let path = format!("/api/v1/sessions/{session}/stream");
    let mut sockets = sockets::open_all(server.address, vec![path], &server.token).await?;
    let Some(socket) = sockets.first_mut() else { return Err(cannot("follow a session", "no stream")) };
    let wish = pace_model::wish(ANSWER_DELTAS, Duration::from_secs(1) / DELTAS_PER_S);
    server.client.prompt(&session, &wish).await?;
    let mut bytes = 0;
    while let Some(text) = sockets::next(socket).await {
        // A frame's head on the wire: two bytes, four from 126 bytes on (RFC 6455, 5.2).
        bytes += text.len() + if text.len() < 126 { 2 } else { 4 };
        if text.contains(r#""type":"turn_ended""#) {
            break;
        }
    }
    let ratio = bytes as f64 / (ANSWER_DELTAS as usize * DELTA_BYTES) as f64;
    let ratio = (ratio * 100.0).round() / 100.0;
    let goal = "at most 3 bytes for each byte of a 2,000-token answer at 60 deltas a second, everything included";
    let name = "bytes_per_text_byte";
    let row = Row::of_figure(name, "bytes", 1, ratio, goal, ratio <= TEXT_RATIO_MAX);
    Ok(Row { p50: ratio, p99: ratio, ..row })
}

/// Durable events at a set pace to a thousand readers; each carries the time at which it was asked for.
async fn crowd(server: &ServerProcess, share: f64) -> Result<Row, Failure> {
    let session = server.session().await?;
    let path = format!("/api/v1/sessions/{session}/stream");
    let sockets = sockets::open_all(server.address, vec![path; CROWD], &server.token).await?;
    let mut readers = Readers::start(sockets, Kind::Events);
    let events = (f64::from(CROWD_EVENTS_PER_S) * MEASURED.as_secs_f64() * share).ceil() as u32;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / CROWD_EVENTS_PER_S);
    for _ in 0..events {
        ticks.tick().await;
        server.client.rename_session(&session, &format!("{:017} ", now_us())).await?;
    }
    server.client.rename_session(&session, LAST_TITLE).await?;
    let seen = readers.end().await;
    let floor = floor_of(Pace { groups: 1, frame_bytes: 220, frames_per_s: CROWD_EVENTS_PER_S }, CROWD, share).await?;
    let row = Row::of_latencies("fanout_1x1000", &seen.latencies_us, &floor.latencies_us);
    let goal = "p99 at most 40 ms from the request to each of 1,000 readers, at 30 durable events a second";
    Ok(Row { goal, floor: FLOOR, ok: row.p99 <= CROWD_P99_MS_MAX, ..row })
}

const FLOOR: &str = "frames of the same size at the same pace from a bare loop over the same WebSocket library: no log, no fsync, no request";
/// The title that ends a measurement.
const LAST_TITLE: &str = "the end";

/// Answers at a model's pace in many sessions.
async fn many(server: &ServerProcess, share: f64) -> Result<Vec<Row>, Failure> {
    let mut sessions = Vec::new();
    // A short run takes fewer: connecting ten thousand readers takes longer than it measures.
    let count = (SESSIONS as f64 * share).ceil() as usize;
    for _ in 0..count {
        sessions.push(server.session().await?);
    }
    let paths =
        sessions.iter().flat_map(|session| vec![format!("/api/v1/sessions/{session}/stream"); READERS]).collect();
    let sockets = sockets::open_all(server.address, paths, &server.token).await?;
    // Longer than is measured, so that all speak all the while.
    let measured = MEASURED.mul_f64(share);
    let deltas = DELTAS_PER_S * u32::try_from(measured.as_secs() + 60).unwrap_or(u32::MAX);
    let wish = pace_model::wish(deltas, Duration::from_secs(1) / DELTAS_PER_S);
    let mut readers = Readers::start(sockets, Kind::Text);
    let mut prompts = JoinSet::new();
    for session in sessions.clone() {
        let (client, wish) = (server.client.clone(), wish.clone());
        if prompts.len() >= PROMPTS_AT_ONCE {
            prompts.join_next().await;
        }
        prompts.spawn(async move { client.prompt(&session, &wish).await.map(drop) });
    }
    prompts.join_all().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (cpu, began) = (server.cpu_s()?, Instant::now());
    readers.measure_for(measured).await;
    let (cpu, took) = (server.cpu_s()? - cpu, began.elapsed().as_secs_f64());
    let seen = readers.stop().await;
    stop_all(server, sessions).await;
    let offered = Pace { groups: count, frame_bytes: seen.bytes_per_frame(), frames_per_s: 10 };
    let floor = floor_of(offered, count * READERS, share).await?;
    let (rate, floor_rate) = (seen.frames as f64 / took, floor.frames as f64 / floor.took_s);
    let ratio = (rate / floor_rate * 100.0).round() / 100.0;
    let goal =
        "at least half of the frames a second that a bare loop delivers, at 60 deltas a second in each of 500 sessions";
    let delivered = Row::of_figure("fanout_500x20", "frames/s", seen.frames, rate, goal, ratio >= FLOOR_SHARE_MIN);
    let latency = Row::of_latencies("fanout_500x20_latency", &seen.latencies_us, &floor.latencies_us);
    let figure = |name, unit, value, goal| Row::of_figure(name, unit, seen.frames, value, goal, true);
    Ok(vec![
        Row { floor: FLOOR, floor_p50: Some(floor_rate.round()), ratio: Some(ratio), ..delivered },
        Row {
            floor: FLOOR,
            goal: "reported: from the model's delta to the reader, of the oldest delta in a frame",
            ..latency
        },
        figure("fanout_500x20_deltas", "deltas/s", seen.deltas as f64 / took, "reported: of 600,000 a second"),
        figure(
            "fanout_500x20_cpu",
            "ns",
            cpu * 1e9 / seen.frames.max(1) as f64,
            "reported: the server's processor time for each frame delivered, everything included",
        ),
    ])
}

async fn stop_all(server: &ServerProcess, sessions: Vec<hangar_protocol::SessionId>) {
    for session in sessions {
        // It may have ended by itself.
        let _ = server.client.stop(&session).await;
    }
}

/// The same from the bare loop.
async fn floor_of(pace: Pace, readers: usize, share: f64) -> Result<Seen, Failure> {
    let bare = BareLoop::start(pace).await?;
    let paths = (0..readers).map(|number| format!("/{}", number % pace.groups)).collect();
    let sockets = sockets::open_all(bare.address, paths, "none").await?;
    let mut readers = Readers::start(sockets, Kind::Text);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    readers.measure_for(MEASURED.mul_f64(share)).await;
    let took_s = began.elapsed().as_secs_f64();
    Ok(Seen { took_s, ..readers.stop().await })
}

/// Which frames carry a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Events with a title.
    Events,
    /// Text.
    Text,
}

impl Kind {
    /// What stands before the times.
    fn mark(self) -> &'static str {
        match self {
            Self::Events => r#""title":""#,
            Self::Text => r#""text":""#,
        }
    }
}

/// What readers have seen.
#[derive(Debug, Default)]
struct Seen {
    frames: usize,
    bytes: usize,
    deltas: usize,
    latencies_us: Vec<u64>,
    took_s: f64,
}

impl Seen {
    fn bytes_per_frame(&self) -> usize {
        self.bytes / self.frames.max(1)
    }

    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.deltas += other.deltas;
        self.latencies_us.extend(other.latencies_us);
    }
}

/// Readers, each in a task. What they see counts while `counting`.
struct Readers {
    tasks: JoinSet<Seen>,
    counting: tokio::sync::watch::Sender<bool>,
}

impl Readers {
    fn start(sockets: Vec<Socket>, kind: Kind) -> Self {
        let counting = tokio::sync::watch::Sender::new(kind == Kind::Events);
        let mut tasks = JoinSet::new();
        for socket in sockets {
            tasks.spawn(read(socket, kind, counting.subscribe()));
        }
        Self { tasks, counting }
    }

    async fn measure_for(&mut self, time: Duration) {
        self.counting.send_replace(true);
        tokio::time::sleep(time).await;
        self.counting.send_replace(false);
    }

    /// What they saw once each has seen the last title.
    async fn end(&mut self) -> Seen {
        let mut all = Seen::default();
        while let Some(Ok(seen)) = self.tasks.join_next().await {
            all.add(seen);
        }
        all
    }

    /// What they saw, at once.
    async fn stop(mut self) -> Seen {
        drop(std::mem::replace(&mut self.counting, tokio::sync::watch::Sender::new(false)));
        self.end().await
    }
}

/// Reads until the last title, the stream's end, or until nobody counts any more.
async fn read(mut socket: Socket, kind: Kind, mut counting: tokio::sync::watch::Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    loop {
        let text = tokio::select! {
            text = sockets::next(&mut socket) => text,
            gone = async { while counting.changed().await.is_ok() {} } => { let () = gone; return seen }
        };
        let Some(text) = text else { return seen };
        let Some(at) = text.find(kind.mark()) else { continue };
        let words = &text[at + kind.mark().len()..];
        if words.starts_with(LAST_TITLE) {
            return seen;
        }
        let Some(sent) = words.get(..DELTA_BYTES - 1).and_then(|digits| digits.parse::<u64>().ok()) else { continue };
        if *counting.borrow() {
            seen.frames += 1;
            seen.bytes += text.len();
            seen.deltas += words.find('"').unwrap_or_default() / DELTA_BYTES;
            seen.latencies_us.push(now_us().saturating_sub(sent));
        }
    }
}
