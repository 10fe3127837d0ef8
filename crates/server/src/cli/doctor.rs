//! `hangar doctor`: what this machine can do, and how to mend what it cannot.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::Args;
use hangar::{Config, ConfigSources};
use hangar_client::Client;
use hangar_sandbox::{
    MachineKernel,
    doctor::{Finding, Verdict},
};
use serde::Serialize;

use super::{
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// The oldest git whose plumbing the forge uses: `merge-tree --write-tree` came with it.
const GIT_MIN: (u32, u32) = (2, 38);

/// How long a hangar that has the port may take to say so.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Look at this machine: what hangar needs, what it has, and how to mend what is missing.
///
/// Exit status 1 when something is missing that hangar cannot do without.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar doctor
  hangar doctor --data /srv/hangar
  hangar doctor --json | jq '.findings[] | select(.verdict != \"ok\")'")]
pub(super) struct Doctor {
    /// The data directory to look at [default: the one `hangar up` would use].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The configuration file [default: the one `hangar up` would use].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A finding as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    name: &'static str,
    verdict: &'static str,
    meaning: String,
    mend: String,
}

#[derive(Serialize)]
struct Report {
    /// Whether hangar can run here.
    ok: bool,
    findings: Vec<Found>,
}

impl Doctor {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let mut findings = vec![git(), debian_bases()];
        match self.configuration() {
            Ok(config) => {
                findings.push(found("configuration", Verdict::Ok, "every key is known and fits", ""));
                findings.push(directory(&config.data));
                findings.push(port(&config).await);
                findings.push(models(&config));
                findings.extend(sandboxes(config.data, config.sandbox.machine_kernel).await);
            }
            Err(refusal) => {
                findings.push(found("configuration", Verdict::Missing, &refusal.message, &refusal.hint));
                findings.extend(sandboxes(self.data.unwrap_or_else(|| PathBuf::from("/")), None).await);
            }
        }
        let missing = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
        let findings: Vec<Found> = findings.into_iter().map(told).collect();
        if terminal.is_json() {
            terminal.json(&Report { ok: !missing, findings })?;
        } else {
            show(terminal, &findings)?;
        }
        Ok(if missing { Ended::Missing } else { Ended::Well })
    }

    fn configuration(&self) -> Result<Config, hangar_protocol::Refusal> {
        let mut sources = ConfigSources::of_process();
        if let Some(file) = &self.config {
            sources.file = Some(file.clone());
        }
        if let Some(data) = self.data.as_ref().and_then(|data| std::path::absolute(data).ok()) {
            sources.flags.push(("data", data.to_string_lossy().into_owned()));
        }
        sources.load()
    }
}

fn show(terminal: &mut Terminal, findings: &[Found]) -> Result<(), super::ended::Failure> {
    let rows: Vec<[Cell; 3]> = findings
        .iter()
        .map(|finding| {
            let look = match finding.verdict {
                "ok" => Look::Good,
                "warn" => Look::Notice,
                _ => Look::Bad,
            };
            [
                (look, finding.verdict.to_owned()),
                (Look::Strong, finding.name.to_owned()),
                (Look::Plain, finding.meaning.clone()),
            ]
        })
        .collect();
    for (line, finding) in columns(terminal.painter(), &rows).iter().zip(findings) {
        terminal.line(line)?;
        if !finding.mend.is_empty() {
            let mend = terminal.paint(Look::Place, &finding.mend);
            terminal.line(&format!("         → {mend}"))?;
        }
    }
    let missing = findings.iter().filter(|finding| finding.verdict == "missing").count() as u64;
    match missing {
        0 => terminal.remark(Look::Good, "hangar can run here."),
        missing => {
            terminal.remark(Look::Bad, &format!("{} missing: hangar cannot run here.", words::plural(missing, "thing")))
        }
    }
    Ok(())
}

fn told(finding: Finding) -> Found {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Missing => "missing",
    };
    Found { name: finding.name, verdict, meaning: finding.meaning, mend: finding.mend }
}

fn found(name: &'static str, verdict: Verdict, meaning: &str, mend: &str) -> Finding {
    Finding { name, verdict, meaning: meaning.to_owned(), mend: mend.to_owned() }
}

/// What sandboxes need. Some of it is tried, which may block for a moment.
async fn sandboxes(data: PathBuf, kernel: Option<PathBuf>) -> Vec<Finding> {
    let kernel = kernel.map(MachineKernel::beside);
    let looked = tokio::task::spawn_blocking(move || hangar_sandbox::doctor::doctor(&data, kernel.as_ref())).await;
    looked.unwrap_or_else(|error| {
        vec![found("sandboxes", Verdict::Missing, &format!("looking at them failed: {error}"), "report this as a bug")]
    })
}

fn git() -> Finding {
    let install = "install git 2.38 or newer (Debian: `apt install git`)";
    let asked = Command::new("git").arg("--version").output();
    let said = match &asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(_) | Err(_) => return found("git", Verdict::Missing, "the program git is not there", install),
    };
    match git_version(&said) {
        Some(version) if version >= GIT_MIN => found("git", Verdict::Ok, &said, ""),
        Some(_) => found("git", Verdict::Missing, &format!("{said} is too old"), install),
        None => found("git", Verdict::Warn, &format!("{said:?} does not say its version"), install),
    }
}

/// Only for images that ask for it, so it is no fault when it is missing.
fn debian_bases() -> Finding {
    match Command::new("mmdebstrap").arg("--version").output() {
        Ok(output) if output.status.success() => {
            found("debian bases", Verdict::Ok, String::from_utf8_lossy(&output.stdout).trim(), "")
        }
        Ok(_) | Err(_) => found(
            "debian bases",
            Verdict::Warn,
            "the program mmdebstrap is not there: recipes with `base = \"debian\"` cannot be built",
            "install it where you need such images (Debian: `apt install mmdebstrap`)",
        ),
    }
}

/// `git version 2.39.5 (Apple Git-154)` → (2, 39).
fn git_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The directory itself, or the parent it would be made in.
fn directory(data: &Path) -> Finding {
    let existing = data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let shown = match existing == data {
        true => format!("{}", data.display()),
        false => format!("{} (to be made in {})", data.display(), existing.display()),
    };
    // A file without a name: it is gone when it is closed.
    match tempfile::tempfile_in(existing) {
        Ok(_) => found("data", Verdict::Ok, &shown, ""),
        Err(error) => {
            let mend = "name a directory this user may write to with --data DIR or HANGAR_DATA";
            found("data", Verdict::Missing, &format!("{shown}: {error}"), mend)
        }
    }
}

/// The port is free, or a hangar has it already.
async fn port(config: &Config) -> Finding {
    let address = SocketAddr::new(config.http.host, config.http.port);
    let error = match TcpListener::bind(address) {
        Ok(_) => return found("port", Verdict::Ok, &format!("{address} is free"), ""),
        Err(error) => error,
    };
    let health = async { Client::stranger(&format!("http://{address}"))?.health().await };
    match tokio::time::timeout(HEALTH_TIMEOUT, health).await.ok().and_then(Result::ok) {
        Some(health) => found("port", Verdict::Ok, &format!("hangar {} answers at {address}", health.version), ""),
        None => {
            let mend = "stop what uses it, or choose another: --port N, http.port in hangar.toml";
            found("port", Verdict::Missing, &format!("{address} cannot be listened on: {error}"), mend)
        }
    }
}

fn models(config: &Config) -> Finding {
    let named: Vec<&str> = config.models.iter().map(|model| model.id.as_str()).collect();
    if named.is_empty() {
        return found(
            "models",
            Verdict::Warn,
            "none: the scripted model plays a prepared transcript and is no model",
            "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or name an endpoint in [[models]] of hangar.toml",
        );
    }
    found("models", Verdict::Ok, &named.join(", "), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_say_their_version() {
        assert_eq!(git_version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(git_version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(git_version("git version 3.0-rc1"), None);
        assert!(GIT_MIN <= (2, 39));
    }
}
