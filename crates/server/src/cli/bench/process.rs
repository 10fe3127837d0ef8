//! A server in a process of its own, asked and watched from outside.

use std::{fs, io, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use hangar_client::{Client, Token};
use hangar_protocol::{
    SessionId,
    api::{NewRepo, NewSession, SignInLink},
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};

use super::cannot;
use crate::cli::ended::Failure;

/// Longest that a start may take.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest that an end in order may take.
const END_MAX: Duration = Duration::from_secs(30);
/// Streams that the benchmark's one person may hold open: as many as the process may have descriptors for.
const STREAMS_MAX: u32 = 19_000;
/// The repository that its sessions are about.
const REPO: &str = "bench/empty";
/// Ticks of a processor's time a second, as `/proc/PID/stat` counts them (`sysconf(_SC_CLK_TCK)` on every Linux of today).
const TICKS_PER_S: f64 = 100.0;

/// See the module's documentation.
pub(super) struct ServerProcess {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) client: Client,
    pub(super) token: String,
    /// Kept open, or the server would write into a broken pipe.
    _out: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    sign_in_link: SignInLink,
}

impl ServerProcess {
    /// Starts one below `folder` whose model is at `model`, with an empty repository.
    pub(super) async fn start(folder: &Path, model: SocketAddr) -> Result<Self, Failure> {
        let failed = |error: io::Error| cannot("start a server", error);
        let config = folder.join("hangar.toml");
        fs::write(&config, configuration(model)).map_err(failed)?;
        for part in ["home", "tmp"] {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["up", "--json", "--port", "0", "--data"]).arg(folder.join("data")).arg("--config").arg(&config);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", folder.join("home"))
            .env("XDG_CONFIG_HOME", folder.join("home"))
            .env("TMPDIR", folder.join("tmp"));
        let log = fs::File::create(folder.join("server.log")).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let Some(out) = child.stdout.take() else { return Err(cannot("start a server", "it has no output")) };
        let mut out = BufReader::new(out);
        let ready = tokio::time::timeout(START_MAX, ready(&mut out)).await;
        let ready = ready.map_err(|late| cannot("start a server", late))?.map_err(failed)?;
        let Some((url, code)) = ready.sign_in_link.url.split_once("/sign-in#") else {
            return Err(cannot("sign in", "the server gave no link"));
        };
        let browser = Client::stranger(url)?.sign_in(code).await?;
        let token = browser.create_token("bench").await?.secret;
        let client = Client::new(&ready.url, Token::new(&token))?;
        client.add_repo(&NewRepo { repo: REPO.parse()?, source: None }).await?;
        let address =
            ready.url.trim_start_matches("http://").parse().map_err(|error| cannot("find the server", error))?;
        Ok(Self { child, address, client, token, _out: out })
    }

    /// A session without a prompt.
    pub(super) async fn session(&self) -> Result<SessionId, Failure> {
        let wish = NewSession {
            repo: REPO.parse()?,
            base_branch: None,
            model: None,
            agent: None,
            prompt: None,
            visibility: None,
        };
        Ok(self.client.create_session(&wish).await?.id)
    }

    fn proc(&self, file: &str) -> Result<String, Failure> {
        let id = self.child.id().unwrap_or_default();
        fs::read_to_string(format!("/proc/{id}/{file}")).map_err(|error| cannot("watch the server", error))
    }

    /// Memory that is its own and in use, in bytes: anonymous pages. The program's code is not counted.
    pub(super) fn anonymous_bytes(&self) -> Result<f64, Failure> {
        kib_of(&self.proc("status")?, "RssAnon:")
    }

    /// All of its resident memory, in bytes.
    pub(super) fn resident_bytes(&self) -> Result<f64, Failure> {
        kib_of(&self.proc("status")?, "VmRSS:")
    }

    /// Processor time that it used so far, in seconds.
    pub(super) fn cpu_s(&self) -> Result<f64, Failure> {
        let stat = self.proc("stat")?;
        // Fields 14 and 15 of proc(5), counted behind the name, which may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        Ok((ticks(11) + ticks(12)) / TICKS_PER_S)
    }

    /// How many logs of sessions it has open.
    pub(super) fn open_logs(&self) -> Result<usize, Failure> {
        let id = self.child.id().unwrap_or_default();
        let folder = fs::read_dir(format!("/proc/{id}/fd")).map_err(|error| cannot("watch the server", error))?;
        let links = folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        Ok(links.filter(|link| link.file_name().is_some_and(|name| name == "log.db")).count())
    }

    /// Ends it in order.
    pub(super) async fn end(mut self) {
        if let Some(id) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = tokio::time::timeout(END_MAX, self.child.wait()).await;
    }
}

async fn ready(out: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<Ready> {
    let mut said = String::new();
    loop {
        if out.read_line(&mut said).await? == 0 {
            return Err(io::Error::other(format!("it ended: {said}")));
        }
        if let Ok(ready) = serde_json::from_str(&said) {
            return Ok(ready);
        }
    }
}

fn configuration(model: SocketAddr) -> String {
    format!(
        "default_model = \"bench/stub\"\n\n[http]\nstreams_per_person_max = {STREAMS_MAX}\n\n[people]\nsign_in_attempts_per_minute = 1000\n\n\
         [log]\nfilter = \"warn\"\n\n[[models]]\nid = \"bench/stub\"\nwire = \"anthropic\"\nbase_url = \"http://{model}\"\n"
    )
}

fn kib_of(status: &str, name: &str) -> Result<f64, Failure> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| cannot("watch the server", format!("no {name}")))
}
