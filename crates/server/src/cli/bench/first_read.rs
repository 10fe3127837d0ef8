//! How soon a session reads its workspace, one commit behind and 5,000 behind: the sandbox is taken as it is, held, and read while the sync has yet to run.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use hangar_image::Bringing;
use hangar_sandbox::Hold;
use tokio::process::Command;

use super::{
    cannot,
    keystroke::{Bench, run, soon},
    row::{Goal, Row},
};
use crate::cli::ended::Failure;

/// Commits that the second half of the sessions is behind.
const COMMITS_BEHIND: u32 = 5_000;
/// Sessions of each kind at most: each goes through a whole sync.
const ROUNDS_MAX: u32 = 20;
/// What is read, and how much of it at most.
const FILE: &str = "/workspace/.gitignore";
const READ_BYTES_MAX: u64 = 4_096;
/// By how much the distance may change the time to the first read: the noise of the machine.
const RATIO_MAX: f64 = 1.3;

/// What sessions at one distance waited for.
#[derive(Default)]
struct Times {
    /// Until the first file was read.
    read: Vec<Duration>,
    /// From then until the workspace could be written.
    synced: Vec<Duration>,
}

/// Measures on a server whose repository is one commit ahead of its image, and whose pool keeps nothing.
pub(super) async fn measure(bench: &Bench, rounds: u32, folder: &Path) -> Result<Vec<Row>, Failure> {
    let rounds = rounds.min(ROUNDS_MAX);
    let near = sessions(bench, rounds, folder).await?;
    push_history(bench, folder).await?;
    let far = sessions(bench, rounds, folder).await?;
    let floor = "the same one commit behind";
    let reported =
        |name, goal, times: &[Duration]| Row::of_times(Goal { name, floor: "none", goal, ratio_max: None }, times, &[]);
    let goal = "at most 1.3 × that of a session one commit behind";
    let first = Goal { name: "first_read_behind_5000", floor, goal, ratio_max: Some(RATIO_MAX) };
    let synced = Goal { name: "sync_behind_5000", floor, goal: "reported", ratio_max: None };
    Ok(vec![
        reported("first_read_behind_1", "reported: no sandbox waited", &near.read),
        Row::of_times(first, &far.read, &near.read),
        reported("sync_behind_1", "reported: from the first read until the workspace can be written", &near.synced),
        Row::of_times(synced, &far.synced, &near.synced),
    ])
}

async fn sessions(bench: &Bench, rounds: u32, folder: &Path) -> Result<Times, Failure> {
    let newest = newest(folder).await?;
    let mut times = Times::default();
    // One more than counts: layers are checked once in a process.
    for round in 0..=rounds {
        let (read, synced) = session(bench, &newest).await?;
        if round > 0 {
            times.read.push(read);
            times.synced.push(synced);
        }
    }
    Ok(times)
}

async fn session(bench: &Bench, commit: &str) -> Result<(Duration, Duration), Failure> {
    let failed = |error: hangar_sandbox::Error| cannot("read before the sync", error);
    let began = Instant::now();
    let taken = soon(bench.pool().take_as_it_is(bench.target.clone(), "reader", commit.to_owned())).await?;
    let taken = taken.map_err(|error| cannot("take a sandbox", error))?;
    let taken = taken.ok_or_else(|| cannot("take a sandbox", "there is no image"))?;
    let behind = taken.behind.ok_or_else(|| cannot("read before the sync", "the image has the commit"))?;
    match taken.sandbox.hold().await.map_err(failed)? {
        Hold::Held => {}
        Hold::InUse => return Err(cannot("read before the sync", "the workspace is being written to")),
    }
    taken.sandbox.read(FILE, 0, READ_BYTES_MAX).await.map_err(failed)?;
    let read = began.elapsed();
    let brought = soon(behind.bring(&taken.sandbox, Bringing::Held)).await?;
    brought.map_err(|error| cannot("sync", error))?;
    taken.sandbox.release().await.map_err(failed)?;
    let synced = began.elapsed().saturating_sub(read);
    taken.sandbox.destroy().await;
    Ok((read, synced))
}

/// The newest commit of the clone in `folder`, which is that of the server.
async fn newest(folder: &Path) -> Result<String, Failure> {
    let asked = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(folder.join("work")).output();
    let answer = soon(asked).await?.map_err(|error| cannot("start git", error))?;
    Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

/// Commits that change a file each, until the server is [`COMMITS_BEHIND`] ahead of the image; git takes them as one stream.
async fn push_history(bench: &Bench, folder: &Path) -> Result<(), Failure> {
    let mut history = String::new();
    for number in 1..COMMITS_BEHIND {
        let from = if number == 1 { "from refs/heads/main^0\n" } else { "" };
        let text = format!("{number}\n");
        // Writing to a string cannot fail.
        let _ = write!(
            history,
            "commit refs/heads/main\ncommitter bench <bench@example.org> {time} +0000\ndata 5\nnewer\n{from}M 100644 inline src/history-{file}.txt\ndata {bytes}\n{text}\n",
            time = 1_700_000_000 + number,
            file = number % 100,
            bytes = text.len(),
        );
    }
    let stream = folder.join("history");
    fs::write(&stream, history).map_err(|error| cannot("write a history", error))?;
    let stream = fs::File::open(&stream).map_err(|error| cannot("read a history", error))?;
    let work = folder.join("work");
    run(Command::new("git").args(["fast-import", "--quiet"]).stdin(Stdio::from(stream)).current_dir(&work)).await?;
    // The clone is of another server over the same directory.
    run(Command::new("git").args(["push", "--quiet", &bench.git_url(), "HEAD"]).current_dir(&work)).await
}
