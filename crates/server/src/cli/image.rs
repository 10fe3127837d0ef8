//! `hangar image`: what sandboxes of a repository start from.

use std::time::Duration;

use clap::{Args, Subcommand};
use hangar_client::Client;
use hangar_protocol::api::{BuildInfo, BuildStatus, ImageInfo};

use super::{
    connect,
    ended::{Ended, Failure, Outcome},
    exchange::{Export, Import},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_repo::which_repo,
    words,
};

/// Between two looks at a build's output.
const LOOK_AGAIN: Duration = Duration::from_millis(400);
/// Characters of an id or a commit that are shown to people.
const SHORT: usize = 10;

/// Build, list, export and import the images that sessions start from
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar image build acme/website     build now and watch it
  hangar image ls
  hangar image builds                 what is being built, and how the last builds ended
  hangar image export acme/website website.tar
  hangar image import website.tar")]
pub(super) struct Image {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    Build(Build),
    Ls(Ls),
    Builds(Builds),
    Export(Export),
    Import(Import),
}

/// Build an image of a repository now and show the build's output
///
/// Images are also built by themselves: when the base branch moves, and every 30 minutes unless set otherwise. A failed build
/// changes nothing: sessions go on starting from the last good image.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar image build acme/website
  hangar image build --detach         this directory's repository; the build runs on by itself

Exit status: 0 built or unchanged, 11 when the build failed")]
pub(super) struct Build {
    /// The repository, owner/name or its name alone [default: that of this directory].
    #[arg(value_name = "R")]
    repo: Option<String>,

    /// Do not wait for the build.
    #[arg(long)]
    detach: bool,
}

/// List the images
#[derive(Debug, Args)]
pub(super) struct Ls {}

/// List the builds that wait or run, and how the last ones ended
#[derive(Debug, Args)]
pub(super) struct Builds {}

impl Image {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        match self.command {
            ImageCommand::Build(build) => build.carry_out(terminal).await,
            ImageCommand::Ls(ls) => ls.carry_out(terminal).await,
            ImageCommand::Builds(builds) => builds.carry_out(terminal).await,
            ImageCommand::Export(export) => export.carry_out(terminal).await,
            ImageCommand::Import(import) => import.carry_out(terminal).await,
        }
    }
}

impl Build {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let repo = which_repo(&client, self.repo.as_deref()).await?;
        let asked = client.build_image(repo).await?;
        let ended = if self.detach { asked } else { watch(&client, asked.build, terminal).await? };
        if terminal.is_json() {
            terminal.json(&ended)?;
        } else {
            tell_end(&ended, terminal);
            if ended.status == BuildStatus::Failed {
                let good = client.images().await?.iter().any(|image| image.newest && image.repo == ended.repo);
                terminal.remark(Look::Faint, what_sessions_do(good));
            }
        }
        Ok(if ended.status == BuildStatus::Failed { Ended::BuildFailed } else { Ended::Well })
    }
}

/// Shows a build's output until it ends.
async fn watch(client: &Client, build: u32, terminal: &mut Terminal) -> Result<BuildInfo, Failure> {
    let mut from = 0;
    loop {
        let log = client.build_log(build, from).await?;
        from = log.next;
        // With --json, standard output is for the one object at the end.
        if !terminal.is_json() {
            words::harmless(&log.text).lines().try_for_each(|line| terminal.line(line))?;
        }
        match log.info.status {
            BuildStatus::Queued | BuildStatus::Running => tokio::time::sleep(LOOK_AGAIN).await,
            // What it said last may not have fitted into one answer.
            _ if !log.text.is_empty() => {}
            BuildStatus::Built | BuildStatus::Unchanged | BuildStatus::Failed | BuildStatus::Cancelled => {
                return Ok(log.info);
            }
        }
    }
}

fn tell_end(build: &BuildInfo, terminal: &mut Terminal) {
    let BuildInfo { build: number, repo, .. } = build;
    match build.status {
        BuildStatus::Built => {
            let image = build.image.as_deref().map(short).unwrap_or_default();
            terminal.remark(Look::Good, &format!("{repo}: image {image} is built. New sessions start from it."));
        }
        BuildStatus::Unchanged => {
            terminal.remark(Look::Good, &format!("{repo}: nothing changed since the last image."));
        }
        BuildStatus::Failed => {
            // The last lines of the output, which follow in it, were shown as they came.
            let why = first_line(build.failure.as_deref());
            terminal.remark(Look::Bad, &format!("{repo}: the build failed: {}", words::harmless(why)));
        }
        BuildStatus::Cancelled => terminal.remark(Look::Faint, &format!("{repo}: the build was cancelled.")),
        BuildStatus::Queued | BuildStatus::Running => terminal
            .remark(Look::Faint, &format!("{repo}: build {number} runs on; `hangar image builds` says how far it is.")),
    }
}

fn first_line(failure: Option<&str>) -> &str {
    failure.and_then(|why| why.lines().next()).unwrap_or("it did not say why")
}

fn what_sessions_do(there_is_a_good_image: bool) -> &'static str {
    match there_is_a_good_image {
        true => "Sessions go on starting from the last good image.",
        false => "There is no good image yet: sessions start from a clone, over the machine's own programs.",
    }
}

impl Ls {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let images = connect()?.images().await?;
        if terminal.is_json() {
            terminal.json(&images)?;
            return Ok(Ended::Well);
        }
        if images.is_empty() {
            terminal.remark(Look::Faint, "There is no image yet. Build one: hangar image build OWNER/NAME");
        }
        let now_ms = words::now_ms();
        let rows: Vec<[Cell; 7]> = images.iter().map(|image| image_row(image, now_ms)).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        for image in images.iter().filter(|image| image.newest) {
            for note in &image.notes {
                terminal.remark(Look::Faint, &format!("{}: {}", image.repo, words::one_line(note)));
            }
        }
        Ok(Ended::Well)
    }
}

fn image_row(image: &ImageInfo, now_ms: u64) -> [Cell; 7] {
    let mark = if image.newest { (Look::Good, "●".to_owned()) } else { (Look::Faint, "○".to_owned()) };
    [
        mark,
        (Look::Strong, image.repo.to_string()),
        (Look::Plain, format!("at {}", short(&image.commit))),
        (Look::Faint, words::age(image.built_ms, now_ms)),
        (Look::Plain, words::bytes(image.bytes)),
        (Look::Faint, words::plural(u64::from(image.layers), "layer")),
        (Look::Faint, format!("{} · {}", image.base, image.recipe)),
    ]
}

impl Builds {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let builds = connect()?.builds().await?;
        if terminal.is_json() {
            terminal.json(&builds)?;
            return Ok(Ended::Well);
        }
        if builds.is_empty() {
            terminal.remark(Look::Faint, "Nothing was built since the server started.");
        }
        let now_ms = words::now_ms();
        let rows: Vec<[Cell; 5]> = builds.iter().map(|build| build_row(build, now_ms)).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        Ok(Ended::Well)
    }
}

fn build_row(build: &BuildInfo, now_ms: u64) -> [Cell; 5] {
    let (look, status) = match build.status {
        BuildStatus::Queued => (Look::Faint, "waits"),
        BuildStatus::Running => (Look::Strong, "runs"),
        BuildStatus::Built => (Look::Good, "built"),
        BuildStatus::Unchanged => (Look::Good, "unchanged"),
        BuildStatus::Failed => (Look::Bad, "failed"),
        BuildStatus::Cancelled => (Look::Faint, "cancelled"),
    };
    let image = build.image.as_deref().map(|image| format!("image {}", short(image)));
    let about = match build.status {
        BuildStatus::Queued | BuildStatus::Running => build.step.clone(),
        BuildStatus::Built => image.unwrap_or_default(),
        // What it said last follows; the build's output has it.
        BuildStatus::Failed => first_line(build.failure.as_deref()).to_owned(),
        BuildStatus::Unchanged | BuildStatus::Cancelled => String::new(),
    };
    [
        (Look::Faint, build.build.to_string()),
        (Look::Strong, build.repo.to_string()),
        (look, status.to_owned()),
        (Look::Faint, words::age(build.asked_ms, now_ms)),
        (Look::Plain, words::one_line(&about)),
    ]
}

/// As much of an id or a commit as people are shown.
pub(super) fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_told_in_a_line() {
        let failure = "setup 2: exit code 1 (line 1: npm ci)\nnpm error one\nnpm error two".to_owned();
        let build = |status, image: Option<&str>, failure| BuildInfo {
            build: 3,
            repo: "acme/app".parse().unwrap(),
            status,
            step: "freezing the layer".into(),
            asked_ms: 0,
            ended_ms: Some(1),
            image: image.map(str::to_owned),
            failure,
        };
        for (build, about) in [
            (build(BuildStatus::Running, None, None), "freezing the layer"),
            (build(BuildStatus::Built, Some("710826bc17a728b5d4e17c1a17f39eda"), None), "image 710826bc17"),
            (build(BuildStatus::Failed, None, Some(failure)), "setup 2: exit code 1 (line 1: npm ci)"),
            (build(BuildStatus::Unchanged, None, None), ""),
        ] {
            let [number, repo, _, _, (_, told)] = build_row(&build, 0);
            assert_eq!((number.1.as_str(), repo.1.as_str(), told.as_str()), ("3", "acme/app", about));
        }
    }
}
