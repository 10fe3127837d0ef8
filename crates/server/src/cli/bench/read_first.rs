//! From a session's first prompt to the first thing its agent has read, where the session's commit is newer than its image: by one commit, and by 5,000.
//!
//! A sandbox over the image waits, as for a repository that people work on. What is read is a list of the workspace's files; the sync goes on meanwhile, and its
//! end is a row of its own: so long the first write has to wait.

use std::{
    io::Write as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use hangar::{Config, Server, config};
use hangar_client::{Client, Patience, Token};
use hangar_image::{BuildEnd, Target, Way};
use hangar_protocol::{
    EventBody, Seq,
    api::{NewPrompt, NewRepo, NewSession},
    event::SandboxPhase,
};
use tokio::process::Command;

use super::{
    cannot,
    prompt::wait_for,
    row::{Goal, Row},
    stub_model::{self, StubModel},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// How many commits the one branch is ahead of the image, and the other.
const FEW: u32 = 1;
const MANY: u32 = 5_000;
/// Files of the repository; each commit changes one of them.
const FILES: u32 = 500;
/// Sessions of each kind at most: each has a sandbox until the end.
const ROUNDS_MAX: u32 = 20;
/// How many times as long the first read may take with many commits as with few.
const RATIO_MAX: f64 = 1.5;
/// Longest that a build or a sandbox may take.
const PATIENCE: Duration = Duration::from_secs(300);
const REPO: &str = "bench/behind";
const MODEL: &str = "bench/stub";

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, folder: &Path, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let rounds = rounds.min(ROUNDS_MAX);
    terminal.remark(Look::Faint, &format!("first reads, {FEW} and {MANY} commits behind, {rounds} of each"));
    let model = stub_model::start().await.map_err(|error| cannot("listen", error))?;
    let bench = Bench::start(&folder.join("read_first"), model).await?;
    let measured = async {
        bench.prepare(folder).await?;
        // The first finds none waiting.
        bench.session("few").await?;
        let (mut few, mut many) = (Times::default(), Times::default());
        for _ in 0..rounds {
            few.add(bench.session("few").await?);
            many.add(bench.session("many").await?);
        }
        Ok((few, many))
    };
    let measured = measured.await;
    bench.server.shut_down().await;
    let (few, many) = measured?;
    let row = |name, floor, goal, ratio_max, times: &[Duration], beside: &[Duration]| {
        Row::of_times(Goal { name, floor, goal, ratio_max }, times, beside)
    };
    let same = "first_read_1_behind of the same run";
    Ok(vec![
        row("first_read_1_behind", "none", "reported", None, &few.read, &[]),
        row("first_read_5000_behind", same, "p50 at most 1.5 × that with 1 commit", Some(RATIO_MAX), &many.read, &few.read),
        row("writable_1_behind", "none", "reported: until the sync is in", None, &few.writable, &[]),
        row("writable_5000_behind", "none", "reported: until the sync is in", None, &many.writable, &[]),
    ])
}

/// From the request that begins the session.
#[derive(Default)]
struct Times {
    /// To the first result of its agent.
    read: Vec<Duration>,
    /// To the moment from which it can write.
    writable: Vec<Duration>,
}

impl Times {
    fn add(&mut self, (read, writable): (Duration, Duration)) {
        self.read.push(read);
        self.writable.push(writable);
    }
}

struct Bench {
    server: Server,
    client: Client,
    token: String,
    target: Target,
    _model: StubModel,
}

impl Bench {
    async fn start(data: &Path, mut model: StubModel) -> Result<Self, Failure> {
        let mut config = Config::in_directory(data.to_owned());
        config.http.port = 0;
        config.images.every_minutes = 0;
        (config.pool.floor, config.pool.ceiling) = (1, 1);
        config.models = vec![config::ModelConfig {
            id: MODEL.to_owned(),
            wire: config::Wire::Anthropic,
            base_url: format!("http://{}", model.address),
            ..config::ModelConfig::default()
        }];
        config.default_model = MODEL.to_owned();
        config.titles = config::TitlesWord::FirstWords;
        // Nobody looks at the requests here, and the stub waits where nobody takes them.
        let (_, closed) = tokio::sync::mpsc::channel(1);
        model.asked = closed;
        let server = hangar::serve(config).await?;
        let token = server.owner_token("bench").await?.reveal().clone();
        let client = Client::new(server.url(), Token::new(&token))?;
        Ok(Self { server, client, token, target: Target::of(REPO.parse()?), _model: model })
    }

    /// The repository, its image, and two branches that are ahead of that.
    async fn prepare(&self, folder: &Path) -> Result<(), Failure> {
        let new = NewRepo { repo: self.target.repo.clone(), source: None };
        self.client.add_repo(&new).await?;
        let work = folder.join("behind.git");
        git(&["init", "--quiet", "--bare", &work.to_string_lossy()], folder).await?;
        import(&work, &history()).await?;
        let url = format!("{}/git/{REPO}.git", self.server.url()).replacen("://", &format!("://x:{}@", self.token), 1);
        git(&["push", "--quiet", "--force", &url, "main"], &work).await?;
        let build = self.server.images().build(self.target.clone(), Way::Usual).await;
        let build = build.map_err(|error| cannot("build an image", error))?;
        match soon(build.ended()).await? {
            BuildEnd::Built(_) => {}
            BuildEnd::Failed(failure) => return Err(cannot("build an image", failure)),
            BuildEnd::Unchanged | BuildEnd::Cancelled => return Err(cannot("build an image", "it was not built")),
        }
        git(&["push", "--quiet", &url, "few", "many"], &work).await
    }

    /// One session: how long until it has read, and until it could write.
    async fn session(&self, branch: &str) -> Result<(Duration, Duration), Failure> {
        let mut counts = self.server.pool().watch();
        let waits = |all: &Vec<hangar_image::PoolCounts>| {
            all.iter().all(|counts| counts.target != self.target || (counts.ready >= 1 && counts.preparing == 0))
        };
        soon(counts.wait_for(waits)).await?.map_err(|error| cannot("watch the pool", error))?;
        let wish = NewSession {
            repo: self.target.repo.clone(),
            base_branch: Some(branch.to_owned()),
            model: None,
            prompt: Some(NewPrompt::new("list the files")),
            visibility: None,
        };
        let began = Instant::now();
        let session = self.client.create_session(&wish).await?.id;
        let mut stream = self.client.follow(&session, Seq::START, Patience::default());
        let (mut read, mut writable) = (None, None);
        while read.is_none() || writable.is_none() {
            wait_for(&mut stream, |body| match body {
                EventBody::ToolFinished { .. } => {
                    read = read.or_else(|| Some(began.elapsed()));
                    true
                }
                EventBody::SandboxChanged { phase: SandboxPhase::Ready, .. } => {
                    writable = writable.or_else(|| Some(began.elapsed()));
                    true
                }
                _ => false,
            })
            .await?;
        }
        Ok((read.unwrap_or_default(), writable.unwrap_or_default()))
    }
}

/// What git imports: a first commit of all files, and the branches after it.
fn history() -> String {
    let mut script = String::from("commit refs/heads/main\ncommitter b <b@example.org> 1700000000 +0000\ndata 5\nfirst");
    for number in 0..FILES {
        file(&mut script, number, 0);
    }
    for (branch, commits) in [("few", FEW), ("many", MANY)] {
        for number in 1..=commits {
            let from = if number == 1 { "from refs/heads/main\n" } else { "" };
            let time = 1_700_000_000 + u64::from(number);
            script.push_str(&format!("\ncommit refs/heads/{branch}\ncommitter b <b@example.org> {time} +0000\ndata 5\nnewer\n{from}"));
            file(&mut script, number % FILES, number);
        }
    }
    script
}

/// A file of some lines that no other has.
fn file(script: &mut String, number: u32, version: u32) {
    let line = |at: u32| format!("{:08x} {number} {version}\n", (number * 7919 + version * 104_729 + at).wrapping_mul(2_654_435_761));
    let text: String = (0..60).map(line).collect();
    script.push_str(&format!("\nM 100644 inline src/part-{:02}/file-{number:03}.txt\ndata {}\n{text}", number / 25, text.len()));
}

async fn import(repository: &Path, history: &str) -> Result<(), Failure> {
    let mut file = tempfile::tempfile().map_err(|error| cannot("write a history", error))?;
    let written = file.write_all(history.as_bytes()).and_then(|()| std::io::Seek::rewind(&mut file));
    written.map_err(|error| cannot("write a history", error))?;
    let mut git = Command::new("git");
    git.args(["fast-import", "--quiet"]).current_dir(repository).stdin(Stdio::from(file));
    run(&mut git).await
}

async fn git(arguments: &[&str], directory: &Path) -> Result<(), Failure> {
    run(Command::new("git").args(arguments).current_dir(directory)).await
}

async fn run(command: &mut Command) -> Result<(), Failure> {
    command.env("GIT_TERMINAL_PROMPT", "0").kill_on_drop(true);
    let done = soon(command.output()).await?.map_err(|error| cannot("start git", error))?;
    if done.status.success() { Ok(()) } else { Err(cannot("use git", String::from_utf8_lossy(&done.stderr).trim())) }
}

async fn soon<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .map_err(|_| cannot("go on", format!("nothing came for {} s", PATIENCE.as_secs())))
}
