//! A real server process with everything it writes in one directory.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use hangar_protocol::{
    RepoPath,
    api::{NewRepo, NewUser, Role, SignInLink},
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpSocket,
    process::{Child, ChildStdout, Command},
};

use crate::{
    person::Person,
    program::{Ran, program},
    repository::tiny_repository,
    traces::Traces,
    transcript::Transcript,
    watch::within,
};

/// How long a dropped server may take to end in order before it is killed.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    transcript: Transcript,
    top: String,
    env: Vec<(String, String)>,
    program: Option<PathBuf>,
    wrapper: Vec<String>,
}

impl Setting {
    /// A server whose model says this.
    #[must_use]
    pub fn new(transcript: Transcript) -> Self {
        Self { transcript, ..Self::default() }
    }

    /// Lines for the top of its configuration.
    #[must_use]
    pub fn configured(mut self, lines: &str) -> Self {
        self.top.push_str(lines);
        self.top.push('\n');
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program that takes the same arguments.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// A program that starts it, with arguments: the server's own command follows. It must replace itself by the server (`exec`).
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
        self
    }
}

/// A directory with everything that a program of hangar finds or leaves, and nothing of the tester's own.
#[derive(Debug)]
pub struct Ground(TempDir);

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}

impl Ground {
    /// A new one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("hangar-test-").tempdir().expect("a directory for the server");
        for part in ["config", "home", "tmp"] {
            fs::create_dir(directory.path().join(part)).expect("a directory for the server");
        }
        Self(directory)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command of the command line here.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments);
        self.dress(&mut command);
        command
    }

    /// Gives a command the surroundings of this directory.
    pub fn dress(&self, command: &mut Command) {
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, part) in [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("TMPDIR", "tmp")] {
            command.env(name, self.path().join(part));
        }
        command.current_dir(self.path());
    }
}

/// What `hangar up --json` says when it listens.
#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
    sign_in_link: Option<SignInLink>,
}

/// A running server, or one that was killed and may be started again.
#[derive(Debug)]
pub struct TestServer {
    ground: Ground,
    data: PathBuf,
    setting: Setting,
    /// Bound and never listening: keeps the port for the server through its restarts.
    place: TcpSocket,
    running: Option<Running>,
    first_link: String,
    owner: Person,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Kept open, or the server would write into a broken pipe.
    out: BufReader<ChildStdout>,
}

impl TestServer {
    /// Starts a server with a new directory; its owner is `jane`.
    ///
    /// # Panics
    /// When it does not start; its log is told.
    pub async fn start(transcript: Transcript) -> Self {
        Self::start_with(Setting::new(transcript)).await
    }

    /// Starts a server with a new directory.
    ///
    /// # Panics
    /// Likewise.
    pub async fn start_with(setting: Setting) -> Self {
        let ground = Ground::new();
        let data = ground.path().join("data");
        let place = reserve_port();
        let config = configuration(ground.path(), &setting.transcript, &setting.top);
        fs::write(ground.path().join("hangar.toml"), config).expect("the configuration");
        let mut running = spawn(&ground, &data, &setting, &place);
        let ready = running.ready(&ground).await;
        let link = ready.sign_in_link.expect("the first start prints a sign-in link").url;
        let owner = Person::by_link(&link).await;
        assert_eq!(owner.client().url(), ready.url);
        Self { ground, data, setting, place, running: Some(running), first_link: link, owner }
    }

    /// Brings a backup into a new directory by the command line and starts a server over it. `token` is one that the backup's server gave its owner.
    ///
    /// # Panics
    /// When either does not work.
    pub async fn restored(setting: Setting, backup: &Path, token: &str) -> Self {
        let ground = Ground::new();
        let data = ground.path().join("data");
        let mut restore = ground.command(&["restore", "--json", "--data"]);
        let _ = Ran::of(restore.arg(&data).arg(backup)).await.well();
        let place = reserve_port();
        let config = configuration(ground.path(), &setting.transcript, &setting.top);
        fs::write(ground.path().join("hangar.toml"), config).expect("the configuration");
        let mut running = spawn(&ground, &data, &setting, &place);
        let ready = running.ready(&ground).await;
        assert!(ready.sign_in_link.is_none(), "its owner is known");
        let owner = Person::with_token(&ready.url, token);
        Self { ground, data, setting, place, running: Some(running), first_link: String::new(), owner }
    }

    /// The person who may do everything: `jane`, Jane Doe <jane@example.org>.
    #[must_use]
    pub fn owner(&self) -> &Person {
        &self.owner
    }

    /// The sign-in link of the first start, used already; empty where its data was restored.
    #[must_use]
    pub fn first_link(&self) -> &str {
        &self.first_link
    }

    /// Its own directory, with `config`, `home`, `tmp`, `server.log` and most often `data`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.ground.path()
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it logged so far, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory().join("server.log")).unwrap_or_default()
    }

    /// Lets somebody in by a sign-in link.
    pub async fn let_in(&self, login: &str, name: &str, email: &str) -> Person {
        let user = login.parse().expect("a login");
        let new = NewUser { user, name: name.to_owned(), email: email.to_owned(), role: Role::Member };
        let link = within("a sign-in link", self.owner.client().add_user(&new)).await.expect("the person is new");
        Person::by_link(&link.url).await
    }

    /// Brings a small project in as `acme/tiny`.
    pub async fn tiny(&self) -> RepoPath {
        let source = tiny_repository(self.directory());
        let repo: RepoPath = "acme/tiny".parse().expect("a repository");
        let new = NewRepo { repo: repo.clone(), source: Some(source.display().to_string()) };
        within("the import", self.owner.client().add_repo(&new)).await.expect("the repository comes in");
        repo
    }

    /// A command of the command line on this server's machine, signed in as the owner.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.ground.command(arguments)
    }

    /// Runs it with `--json`.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).arg("--json")).await
    }

    /// Ends it as a power failure would.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        let mut running = self.running.take().expect("the server runs");
        send(&running.child, Signal::KILL);
        within("the end of the killed server", running.child.wait()).await.expect("its status");
    }

    /// Waits until it has ended by itself as if it had been killed.
    ///
    /// # Panics
    /// When it does not run, or ends otherwise.
    pub async fn killed(&mut self) {
        let running = self.running.as_mut().expect("the server runs");
        let status = within("the end of the server", running.child.wait()).await.expect("its status");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}: {}", self.log());
        self.running = None;
    }

    /// Asks it to end in order, and waits for nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn ask_to_stop(&self) {
        send(&self.running.as_ref().expect("the server runs").child, Signal::TERM);
    }

    /// Starts it again and does not wait until it listens.
    ///
    /// # Panics
    /// When it still runs.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        self.running = Some(spawn(&self.ground, &self.data, &self.setting, &self.place));
    }

    /// Starts it again over the same data, at the same address.
    ///
    /// # Panics
    /// When it still runs or does not start.
    pub async fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let mut running = spawn(&self.ground, &self.data, &self.setting, &self.place);
        let ready = running.ready(&self.ground).await;
        assert_eq!((ready.url.as_str(), ready.sign_in_link.is_none()), (self.owner.client().url(), true));
        self.running = Some(running);
    }

    /// Starts it and kills it so soon after that it may not have come to anything.
    ///
    /// # Panics
    /// When it still runs.
    pub async fn start_and_kill(&mut self, after: Duration) {
        assert!(self.running.is_none(), "it runs");
        self.running = Some(spawn(&self.ground, &self.data, &self.setting, &self.place));
        tokio::time::sleep(after).await;
        self.kill().await;
    }

    /// Its process's number.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.running.as_ref().and_then(|running| running.child.id()).expect("the server runs")
    }

    /// Ends it in order, as Ctrl-C does.
    ///
    /// # Panics
    /// When it does not run or ends badly.
    pub async fn stop(&mut self) {
        let mut running = self.running.take().expect("the server runs");
        send(&running.child, Signal::TERM);
        let status = within("the end of the server", running.child.wait()).await.expect("its status");
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// What it has on the machine right now.
    #[must_use]
    pub fn traces(&self) -> Traces {
        let mut marks = vec![self.directory().display().to_string()];
        // The name of its control groups.
        let engine = fs::read_to_string(self.data.join("run/sandboxes/engine-id")).unwrap_or_default();
        if !engine.trim().is_empty() {
            marks.push(format!("hangar-{}", engine.trim()));
        }
        Traces::of(&marks, &self.directory().join("tmp"))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("The server's log:\n{}", self.log());
        }
    }
}

fn configuration(directory: &Path, transcript: &Transcript, top: &str) -> String {
    let file = directory.join("test.json");
    fs::write(&file, transcript.json().to_string()).expect("the transcript");
    format!(
        "scripted_transcript = {:?}\n{top}\n[people]\nowner = \"jane\"\nowner_name = \"Jane Doe\"\nowner_email = \"jane@example.org\"\nsign_in_attempts_per_minute = 1000\n",
        file
    )
}

/// A port that nobody else is given: bound with `SO_REUSEADDR` and not listening, it can be bound once more by the server alone.
fn reserve_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of the socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    socket
}

fn spawn(ground: &Ground, data: &Path, setting: &Setting, place: &TcpSocket) -> Running {
    let file = ground.path().join("server.log");
    let log = OpenOptions::new().create(true).append(true).open(file).expect("the server's log");
    // A test that is killed takes its servers along: setpriv replaces itself by what follows.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .args(&setting.wrapper)
        .arg(setting.program.clone().unwrap_or_else(program))
        .arg("up")
        .arg("--data")
        .arg(data)
        .arg("--config")
        .arg(ground.path().join("hangar.toml"));
    let port = place.local_addr().expect("the socket is bound").port();
    command.args(["--json", "--port", &port.to_string()]);
    ground.dress(&mut command);
    command.envs(setting.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    Running { child, out }
}

impl Running {
    async fn ready(&mut self, ground: &Ground) -> Ready {
        let mut said = String::new();
        loop {
            let read = within("the start of the server", self.out.read_line(&mut said)).await.expect("what it prints");
            if let Ok(ready) = serde_json::from_str(&said) {
                return ready;
            }
            if read == 0 {
                let log = fs::read_to_string(ground.path().join("server.log")).unwrap_or_default();
                panic!("the server did not start: it printed {said:?} and logged\n{log}");
            }
        }
    }
}

impl Drop for Running {
    /// A test that failed must not leave a server behind either, nor what only a server that ends in order takes along.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        send(&self.child, Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > FAREWELL_MAX {
                send(&self.child, Signal::KILL);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn send(child: &Child, signal: Signal) {
    let process = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(process) = process {
        // It may have ended by itself; whoever waits for it finds out.
        let _ = kill_process(process, signal);
    }
}
