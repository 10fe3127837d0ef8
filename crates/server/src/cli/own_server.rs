//! A hangar of a command's own: in a process of its own, over a directory that goes with it.

use std::{fs, io, path::Path, process::Stdio, time::Duration};

use hangar_client::{Client, Token};
use hangar_protocol::api::SignInLink;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};

use super::ended::Failure;

/// Longest that a start may take.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest that an end in order may take.
const END_MAX: Duration = Duration::from_secs(30);

/// A server and its owner's token. Dropping it kills the server; [`OwnServer::end`] ends it in order.
pub(super) struct OwnServer {
    child: Child,
    pub(super) url: String,
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

impl OwnServer {
    /// Starts one whose data, log and temporary files are below `folder`, on a free port. `surround` gives the command its environment and further arguments.
    /// `cannot` says what kept it from starting.
    pub(super) async fn start(
        folder: &Path,
        surround: impl FnOnce(&mut Command),
        cannot: impl Fn(&str, String) -> Failure,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| cannot("start a server", error.to_string());
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["up", "--json", "--port", "0", "--data"]).arg(folder.join("data"));
        surround(&mut command);
        for part in ["config", "tmp"] {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        // What this person is signed in to stays as it is.
        command.env("XDG_CONFIG_HOME", folder.join("config")).env("TMPDIR", folder.join("tmp"));
        let log = fs::File::create(folder.join("server.log")).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let Some(out) = child.stdout.take() else { return Err(cannot("start a server", "it has no output".into())) };
        let mut out = BufReader::new(out);
        let ready = tokio::time::timeout(START_MAX, ready(&mut out)).await;
        let ready = ready.map_err(|late| cannot("start a server", late.to_string()))?.map_err(|error| {
            let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            cannot("start a server", format!("{error}{log}"))
        })?;
        let Some((url, code)) = ready.sign_in_link.url.split_once("/sign-in#") else {
            return Err(cannot("sign in", "the server gave no link".into()));
        };
        let browser = Client::stranger(url)?.sign_in(code).await?;
        let token = browser.create_token("own server").await?.secret;
        let client = Client::new(&ready.url, Token::new(&token))?;
        Ok(Self { child, url: ready.url, client, token, _out: out })
    }

    /// The number of its process, while it runs.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.id()
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
