//! A server in a process of its own, asked and watched from outside.

use std::{fs, net::SocketAddr, path::Path};

use hangar_client::Client;
use hangar_protocol::{
    SessionId,
    api::{NewRepo, NewSession},
};

use super::cannot;
use crate::cli::{ended::Failure, own_server::OwnServer};

/// Streams that the benchmark's one person may hold open: as many as the process may have descriptors for.
const STREAMS_MAX: u32 = 19_000;
/// The repository that its sessions are about.
const REPO: &str = "bench/empty";
/// Ticks of a processor's time a second, as `/proc/PID/stat` counts them (`sysconf(_SC_CLK_TCK)` on every Linux of today).
const TICKS_PER_S: f64 = 100.0;

/// See the module's documentation.
pub(super) struct ServerProcess {
    server: OwnServer,
    pub(super) address: SocketAddr,
    pub(super) client: Client,
    pub(super) token: String,
}

impl ServerProcess {
    /// Starts one below `folder` whose model is at `model`, with an empty repository.
    pub(super) async fn start(folder: &Path, model: SocketAddr) -> Result<Self, Failure> {
        let config = folder.join("hangar.toml");
        let home = folder.join("home");
        fs::write(&config, configuration(model))
            .and_then(|()| fs::create_dir_all(&home))
            .map_err(|error| cannot("start a server", error))?;
        let surround = |command: &mut tokio::process::Command| {
            command.arg("--config").arg(&config);
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &home);
        };
        let server = OwnServer::start(folder, surround, cannot).await?;
        let (client, token) = (server.client.clone(), server.token.clone());
        client.add_repo(&NewRepo { repo: REPO.parse()?, source: None }).await?;
        let address =
            server.url.trim_start_matches("http://").parse().map_err(|error| cannot("find the server", error))?;
        Ok(Self { server, address, client, token })
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
        let id = self.server.process().unwrap_or_default();
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
        let id = self.server.process().unwrap_or_default();
        let folder = fs::read_dir(format!("/proc/{id}/fd")).map_err(|error| cannot("watch the server", error))?;
        let links = folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        Ok(links.filter(|link| link.file_name().is_some_and(|name| name == "log.db")).count())
    }

    /// Ends it in order.
    pub(super) async fn end(self) {
        self.server.end().await;
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
