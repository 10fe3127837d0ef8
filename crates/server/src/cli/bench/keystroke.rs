//! From the first key to a sandbox with the newest commits, beside what everybody else does: `git clone` and the set-up.
//!
//! A server of its own builds the image of a repository of 3,000 files; then somebody pushes a commit. A **hit** finds a sandbox over that image waiting,
//! a **miss** does not. The sandboxes come from the server's pool exactly as sessions get them.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use hangar::{Config, Server};
use hangar_client::{Client, Token};
use hangar_image::{At, BuildEnd, Hit, Pool, PoolCounts, Target, Way};
use hangar_protocol::api::NewRepo;
use tokio::process::Command;

use super::{
    cannot, first_read,
    row::{Goal, Row},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// Files of the repository, those of a directory, and lines of each.
const FILES: u32 = 3_000;
const FILES_PER_DIRECTORY: u32 = 25;
const LINES: u32 = 60;
/// Files that the commit changes which is newer than the image.
const CHANGED_FILES: u32 = 20;
/// Keystrokes of each kind at most.
const ROUNDS_MAX: u32 = 60;
/// Clones with their set-up: each takes seconds.
const FLOOR_ROUNDS: u32 = 10;
/// Longest that a build or a sandbox may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the set-up does: an index over every file and a bundle of them, in the way of a build.
const SETUP: &str = "mkdir -p build && find src -type f | sort | xargs sha256sum > build/index && tar -cf - src | gzip -9 > build/bundle.tar.gz";
const REPO: &str = "bench/app";
const FLOOR: &str = "git clone of the newest commit and the same set-up, on this machine without a sandbox";

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, folder: &Path, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let rounds = rounds.min(ROUNDS_MAX);
    terminal.remark(
        Look::Faint,
        &format!("a repository of {FILES} files, its image, and {rounds} keystrokes of each kind"),
    );
    let data = folder.join("keystroke");
    let first = Bench::start(&data, 1).await?;
    let hits = match first.prepare(folder).await {
        Ok(()) => first.hits(rounds).await,
        Err(failure) => Err(failure),
    };
    let floor = match &hits {
        Ok(_) => first.floor(folder).await,
        Err(_) => Ok(Vec::new()),
    };
    first.server.shut_down().await;
    let (hits, floor) = (hits?, floor?);
    // The same images, and a pool that keeps nothing.
    let second = Bench::start(&data, 0).await?;
    let misses = second.misses(rounds).await;
    terminal.remark(Look::Faint, "first reads, one commit behind and 5,000");
    let reads = first_read::measure(&second, rounds, folder).await;
    second.server.shut_down().await;
    let (misses, reads) = (misses?, reads?);
    let row = |name, goal, times: &[Duration]| {
        Row::of_times(Goal { name, floor: FLOOR, goal, ratio_max: None }, times, &floor)
    };
    let waits = [
        row("keystroke_ready_hit", "reported: a sandbox waited; the newest commits are in it", &hits.ready),
        row(
            "keystroke_ready_miss",
            "reported: none waited; made over the image, the newest commits are in it",
            &misses.ready,
        ),
        row("session_wait_typed", "reported: the session's own wait after a keystroke", &hits.waited),
        row(
            "session_wait_untyped",
            "reported: the session's own wait where nobody typed and nothing waited",
            &misses.waited,
        ),
    ];
    Ok(waits.into_iter().chain(reads).collect())
}

pub(super) struct Bench {
    server: Server,
    client: Client,
    token: String,
    pub(super) target: Target,
}

/// From the key to a sandbox that is ready, and how long a session waits.
#[derive(Default)]
struct Waits {
    ready: Vec<Duration>,
    waited: Vec<Duration>,
}

impl Bench {
    /// A server whose pool keeps at most so many for the repository.
    async fn start(data: &Path, ceiling: u32) -> Result<Self, Failure> {
        let mut config = Config::in_directory(data.to_owned());
        config.http.port = 0;
        config.images.every_minutes = 0;
        (config.pool.floor, config.pool.ceiling) = (ceiling, ceiling);
        let server = hangar::serve(config).await?;
        let token = server.owner_token("bench").await?.reveal().clone();
        let client = Client::new(server.url(), Token::new(&token))?;
        Ok(Self { server, client, token, target: Target::of(REPO.parse()?) })
    }

    /// The repository, its image, and a commit that is newer.
    async fn prepare(&self, folder: &Path) -> Result<(), Failure> {
        let source = folder.join("source");
        write_repository(&source).map_err(|error| cannot("write a repository", error))?;
        let new = NewRepo { repo: self.target.repo.clone(), source: Some(source.display().to_string()) };
        self.client.add_repo(&new).await?;
        let build = self.server.images().build(self.target.clone(), Way::Usual).await;
        let build = build.map_err(|error| cannot("build an image", error))?;
        match soon(build.ended()).await? {
            BuildEnd::Built(_) => {}
            BuildEnd::Failed(failure) => return Err(cannot("build an image", failure)),
            BuildEnd::Unchanged | BuildEnd::Cancelled => return Err(cannot("build an image", "it was not built")),
        }
        self.push(folder).await
    }

    async fn push(&self, folder: &Path) -> Result<(), Failure> {
        let work = folder.join("work");
        self.clone_to(&work).await?;
        for number in 0..CHANGED_FILES {
            fs::write(work.join(file_name(number * 7)), text(number + FILES))
                .map_err(|error| cannot("change a file", error))?;
        }
        let commit = "git -c user.name=bench -c user.email=bench@example.org commit --quiet --all --message newer && git push --quiet origin HEAD";
        run(Command::new("sh").args(["-c", commit]).current_dir(&work)).await
    }

    async fn clone_to(&self, to: &Path) -> Result<(), Failure> {
        run(Command::new("git").args(["clone", "--quiet", &self.git_url()]).arg(to)).await
    }

    /// Where git finds the repository, with the token in it.
    pub(super) fn git_url(&self) -> String {
        format!("{}/git/{REPO}.git", self.server.url()).replacen("://", &format!("://x:{}@", self.token), 1)
    }

    /// What people do without hangar.
    async fn floor(&self, folder: &Path) -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::new();
        for round in 0..FLOOR_ROUNDS {
            let to = folder.join(format!("clone-{round}"));
            let began = Instant::now();
            self.clone_to(&to).await?;
            run(Command::new("bash").args(["-c", SETUP]).current_dir(&to)).await?;
            times.push(began.elapsed());
            fs::remove_dir_all(&to).map_err(|error| cannot("remove a clone", error))?;
        }
        Ok(times)
    }

    async fn hits(&self, rounds: u32) -> Result<Waits, Failure> {
        // Somebody has to have asked before any is kept.
        self.session("first", Hit::Missed).await?;
        let mut waits = Waits::default();
        for round in 0..rounds {
            self.until(|counts| counts.ready >= 1 && counts.preparing == 0).await?;
            let who = format!("typist-{round}");
            waits.ready.push(self.keystroke(&who).await?);
            waits.waited.push(self.session(&who, Hit::Warmed).await?);
        }
        Ok(waits)
    }

    async fn misses(&self, rounds: u32) -> Result<Waits, Failure> {
        // Layers are checked once in a process; that is not what is measured.
        self.session("first", Hit::Missed).await?;
        let mut waits = Waits::default();
        for round in 0..rounds {
            let who = format!("typist-{round}");
            waits.ready.push(self.keystroke(&who).await?);
            self.session(&who, Hit::Warmed).await?;
            waits.waited.push(self.session("nobody typed", Hit::Missed).await?);
        }
        Ok(waits)
    }

    /// From the key until the sandbox with the newest commits is kept for whoever types.
    async fn keystroke(&self, who: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        let warmed = self.pool().warm(self.target.clone(), who).await;
        warmed.map_err(|error| cannot("warm a sandbox", error))?;
        self.until(|counts| counts.reserved == 1).await?;
        Ok(began.elapsed())
    }

    /// A session takes a sandbox, and it must have the newest commit.
    async fn session(&self, who: &str, expected: Hit) -> Result<Duration, Failure> {
        let taken = soon(self.pool().take(self.target.clone(), who, At::Newest)).await?;
        let taken = taken.map_err(|error| cannot("take a sandbox", error))?;
        let taken = taken.ok_or_else(|| cannot("take a sandbox", "there is no image"))?;
        let (waited, hit) = (taken.waited, taken.hit);
        taken.sandbox.destroy().await;
        if hit == expected {
            Ok(waited)
        } else {
            Err(cannot("take a sandbox", format!("{hit:?} instead of {expected:?}")))
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        self.server.pool()
    }

    async fn until(&self, holds: impl Fn(&PoolCounts) -> bool) -> Result<(), Failure> {
        let mut counts = self.pool().watch();
        let mine = |all: &Vec<PoolCounts>| all.iter().any(|counts| counts.target == self.target && holds(counts));
        soon(counts.wait_for(mine)).await?.map_err(|error| cannot("watch the pool", error))?;
        Ok(())
    }
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .map_err(|_| cannot("go on", format!("nothing came for {} s", PATIENCE.as_secs())))
}

pub(super) async fn run(command: &mut Command) -> Result<(), Failure> {
    command.env("GIT_TERMINAL_PROMPT", "0").kill_on_drop(true);
    let done = soon(command.output()).await?.map_err(|error| cannot("start git", error))?;
    if done.status.success() { Ok(()) } else { Err(cannot("use git", String::from_utf8_lossy(&done.stderr).trim())) }
}

fn write_repository(at: &Path) -> io::Result<()> {
    for number in 0..FILES {
        let file = at.join(file_name(number));
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, text(number))?;
    }
    fs::create_dir_all(at.join(".hangar"))?;
    fs::write(at.join(".gitignore"), "/build/\n")?;
    fs::write(at.join(".hangar/environment.toml"), format!("setup = ['{SETUP}']\nwarm = ['true']\n"))
}

fn file_name(number: u32) -> String {
    format!("src/part-{:03}/file-{number:04}.txt", number / FILES_PER_DIRECTORY)
}

/// Lines like those of a program: words from a small stock in an order of their own.
fn text(seed: u32) -> String {
    const WORDS: [&str; 8] = ["let", "value", "match", "return", "self", "items", "count", "error"];
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut text = String::new();
    for _ in 0..LINES {
        for _ in 0..6 {
            let word = WORDS.get(next() as usize % WORDS.len()).copied().unwrap_or_default();
            text.push_str(&format!("{word}_{:x} ", next() % 512));
        }
        text.push('\n');
    }
    text
}
