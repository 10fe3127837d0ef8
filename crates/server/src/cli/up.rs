//! `hangar up`: everything on this machine.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use hangar::{Config, ConfigSources, Server, config::LogConfig};
use hangar_client::{Client, Settings, Token};
use hangar_protocol::{
    Refusal,
    api::{ModelInfo, SignInLink},
};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    browser,
    ended::{Ended, Failure, Outcome},
    terminal::{Look, Terminal},
    words,
};

/// What the token of the person who starts the server is called. A new start replaces the one before.
const TOKEN_LABEL: &str = "command line on this machine";
/// What is logged to a terminal where nothing else was asked for: what happens is printed there anyway.
const WATCHED_FILTER: &str = "warn";

/// Start everything on this machine: API, web app, sandboxes, repositories.
///
/// Prints the address, and on the first start a link that signs you in once. Ctrl-C or SIGTERM stops it in order: running turns are put
/// aside and go on after the next start. Flags weigh more than HANGAR_* variables, and these more than hangar.toml.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar up
  hangar up --data /srv/hangar --port 8080
  hangar up --bind 0.0.0.0 --link     listen on all addresses, print a new sign-in link
  hangar up --json                    one JSON object when it is ready")]
pub(super) struct Up {
    /// The directory that holds everything [default: /var/lib/hangar as root, else ~/.local/share/hangar].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The port to listen on; 0 takes a free one [default: 7433].
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// The address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDR")]
    bind: Option<IpAddr>,

    /// The configuration file [default: DIR/hangar.toml, else /etc/hangar/hangar.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print a new one-time sign-in link for the owner.
    #[arg(long)]
    link: bool,

    /// Do not open a browser. One is opened only when a link is printed on a desktop's terminal.
    #[arg(long)]
    open_nothing: bool,
}

/// What `--json` prints once the server listens.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    data: String,
    owner: String,
    sign_in_link: Option<SignInLink>,
    model: Option<ModelInfo>,
}

impl Up {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        // Heard from here on, so that a signal during the start is not lost.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let begun = Instant::now();
        let config = self.configuration(terminal)?;
        let data = config.data.clone();
        let public = config.http.public_url.is_some();
        phase(terminal, "configuration read", begun);

        let begun = Instant::now();
        let server = hangar::serve(config).await?;
        phase(terminal, &format!("data in {}", data.display()), begun);

        let opened = match self.ready(terminal, &server, &data, public, begun).await {
            Ok(opened) => opened,
            Err(failure) => {
                server.shut_down().await;
                return Err(failure);
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        terminal.remark(Look::Faint, "Stopping; running turns go on after the next start. Ctrl-C again stops at once.");
        tokio::select! {
            () = server.shut_down() => {}
            _ = interrupt.recv() => return Ok(Ended::Interrupted),
        }
        drop(opened);
        Ok(Ended::Well)
    }

    fn configuration(&self, terminal: &Terminal) -> Result<Config, Failure> {
        let mut sources = ConfigSources::of_process();
        if let Some(file) = &self.config {
            sources.file = Some(file.clone());
        }
        if let Some(data) = &self.data {
            let data = std::path::absolute(data)?;
            sources.flags.push(("data", data.to_string_lossy().into_owned()));
        }
        if let Some(port) = self.port {
            sources.flags.push(("http.port", port.to_string()));
        }
        if let Some(bind) = self.bind {
            sources.flags.push(("http.host", bind.to_string()));
        }
        let config = sources.load()?;
        let mut log = config.log.clone();
        if terminal.is_watched() && log.filter == LogConfig::default().filter {
            log.filter = WATCHED_FILTER.to_owned();
        }
        hangar::start_logging(&log)?;
        Ok(config)
    }

    /// Lets this machine's command line in, and only then says that the server listens: whoever waits for that may come in at once.
    async fn ready(
        &self,
        terminal: &mut Terminal,
        server: &Server,
        data: &Path,
        public: bool,
        begun: Instant,
    ) -> Result<Option<browser::Opened>, Failure> {
        let token = Token::new(server.owner_token(TOKEN_LABEL).await?.reveal());
        let near = if public { near_address(server) } else { server.url().to_owned() };
        let client = Client::new(&near, token.clone())?;
        if let Err(refusal) = remember(terminal, &client, &token) {
            // The server is of use without it.
            terminal.remark(Look::Notice, &format!("The command line is not signed in: {refusal}"));
        }
        phase(terminal, &format!("listening on {}", server.address()), begun);
        tracing::info!(url = server.url(), data = %data.display(), "hangar listens");
        self.announce(terminal, server, data, &client).await
    }

    /// Says where the server is and how to come in.
    async fn announce(
        &self,
        terminal: &mut Terminal,
        server: &Server,
        data: &Path,
        client: &Client,
    ) -> Result<Option<browser::Opened>, Failure> {
        let link = match server.first_link() {
            Some(first) => Some(first.clone()),
            None if self.link => Some(server.owner_link().await?),
            None => None,
        };
        let model = client.models().await?.into_iter().find(|model| model.default);
        if terminal.is_json() {
            terminal.json(&Ready {
                url: server.url(),
                data: data.display().to_string(),
                owner: server.owner().to_string(),
                sign_in_link: link,
                model,
            })?;
            return Ok(None);
        }
        terminal.line("")?;
        let url = terminal.paint(Look::Strong, server.url());
        terminal.line(&format!("  hangar    {url}"))?;
        if let Some(link) = &link {
            let shown = terminal.paint(Look::Place, &link.url);
            let left = words::minutes_left(link.expires_ms);
            terminal.line(&format!("  sign in   {shown}"))?;
            terminal.line(&format!(
                "            once, within {left}, as {}; `hangar link` makes another",
                server.owner()
            ))?;
        }
        terminal.line(&format!("  model     {}", model_line(model.as_ref())))?;
        terminal
            .line("  try       hangar repo add URL, then hangar run \"make the tests pass\" (in another terminal)")?;
        terminal.line("  stop      Ctrl-C")?;
        terminal.line("")?;
        let opened = match &link {
            Some(link) if !self.open_nothing && terminal.is_watched() => browser::open(&link.url, data),
            Some(_) | None => None,
        };
        Ok(opened)
    }
}

/// A phase of the start is over.
fn phase(terminal: &mut Terminal, what: &str, begun: Instant) {
    let took = words::duration(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    terminal.remark(Look::Faint, &format!("  ✓ {what} ({took})"));
}

fn model_line(model: Option<&ModelInfo>) -> String {
    match model {
        Some(model) if model.note.is_empty() => model.id.clone(),
        Some(model) => format!("{} — {}", model.id, model.note),
        None => "none: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or name one in hangar.toml".to_owned(),
    }
}

/// The address as this machine reaches it, whatever name the world knows.
fn near_address(server: &Server) -> String {
    let mut address = server.address();
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

/// Signs this machine's command line in, so that `hangar run` works in another terminal at once.
fn remember(terminal: &mut Terminal, client: &Client, token: &Token) -> Result<(), Refusal> {
    let path = Settings::path()?;
    let mut settings = Settings::load(&path)?;
    let before = settings.remember(client.url(), token)?;
    settings.save(&path)?;
    if let Some(before) = before {
        terminal.remark(
            Look::Faint,
            &format!("  Commands go here now and not to {before}; HANGAR_URL={before} reaches that one."),
        );
    }
    Ok(())
}
