//! `hangar repo`: the repositories hangar works on.

use std::path::Path;

use clap::{Args, Subcommand};
use hangar_client::Client;
use hangar_protocol::{
    RepoPath,
    api::{NewRepo, RepoInfo},
};

use super::{
    bad_request, connect,
    ended::{Ended, Failure, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// Bring repositories in, and list them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar repo add https://github.com/acme/website
  hangar repo add . --name acme/website
  hangar repo ls")]
pub(super) struct Repo {
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    Add(Add),
    Ls(Ls),
}

/// Copy a repository into hangar's own forge.
///
/// Its name is taken from the address (https://host/acme/website.git becomes acme/website), or from you and the directory
/// (/src/website becomes YOU/website).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar repo add https://github.com/acme/website
  hangar repo add /src/website --name acme/website    a directory of the server's machine; owners only")]
pub(super) struct Add {
    /// An https:// address that git can clone without a password, or a directory of the server's machine.
    #[arg(value_name = "URL|PATH")]
    source: String,

    /// Its name here.
    #[arg(long, value_name = "OWNER/NAME")]
    name: Option<RepoPath>,
}

/// List the repositories.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar repo ls --json | jq -r '.[].clone_url'")]
pub(super) struct Ls {}

impl Repo {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        match self.command {
            RepoCommand::Add(add) => add.carry_out(terminal).await,
            RepoCommand::Ls(ls) => ls.carry_out(terminal).await,
        }
    }
}

impl Add {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let source = absolute(&client, self.source)?;
        let repo = match self.name {
            Some(name) => name,
            None => name_of(&client, &source).await?,
        };
        terminal.remark(Look::Faint, &format!("Copying {source} to {repo} …"));
        let added = client.add_repo(&NewRepo { repo, source: Some(source) }).await?;
        if terminal.is_json() {
            terminal.json(&added)?;
        } else {
            terminal.line(&format!("{} ({})", added.repo, added.default_branch))?;
            terminal.remark(Look::Faint, &format!("Clone it: git clone {}", added.clone_url));
        }
        Ok(Ended::Well)
    }
}

impl Ls {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let repos = connect()?.repos().await?;
        if terminal.is_json() {
            terminal.json(&repos)?;
            return Ok(Ended::Well);
        }
        if repos.is_empty() {
            terminal.remark(Look::Faint, "There is no repository yet. Bring one in: hangar repo add URL");
        }
        let now_ms = words::now_ms();
        let rows: Vec<[Cell; 4]> = repos.iter().map(|repo| row(repo, now_ms)).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        Ok(Ended::Well)
    }
}

fn row(repo: &RepoInfo, now_ms: u64) -> [Cell; 4] {
    [
        (Look::Strong, repo.repo.to_string()),
        (Look::Plain, repo.default_branch.clone()),
        (Look::Faint, words::age(repo.created_ms, now_ms)),
        (Look::Place, repo.clone_url.clone()),
    ]
}

/// A directory by its whole name: the server does not stand where this terminal stands.
fn absolute(client: &Client, source: String) -> Result<String, Failure> {
    if source.contains("://") || !client.is_local() {
        return Ok(source);
    }
    let found = Path::new(&source).canonicalize().map_err(|error| {
        bad_request(
            format!("{source:?} is neither an address nor a directory of this machine: {error}."),
            "Write an address with https:// in front, or a path that exists.",
        )
    })?;
    found.into_os_string().into_string().map_err(|path| {
        bad_request(
            format!("The path {} is not UTF-8.", Path::new(&path).display()),
            "Copy it to a plainer name first.",
        )
    })
}

/// The name that an address or a directory suggests.
async fn name_of(client: &Client, source: &str) -> Result<RepoPath, Failure> {
    let suggested = match source.split_once("://") {
        Some((_, rest)) => suggested_by_address(rest),
        None => {
            let owner = client.me().await?.person.user;
            suggested_by_directory(source).map(|name| format!("{owner}/{name}"))
        }
    };
    suggested.and_then(|name| name.parse().ok()).ok_or_else(|| {
        bad_request(format!("{source} does not say what the repository is to be called."), "Add --name owner/name.")
    })
}

fn suggested_by_address(rest: &str) -> Option<String> {
    let path = rest.split(['?', '#']).next()?.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.split('/').skip(1).collect::<Vec<_>>().into_iter().rev();
    let (name, owner) = (parts.next()?, parts.next()?);
    Some(format!("{owner}/{name}"))
}

fn suggested_by_directory(path: &str) -> Option<&str> {
    path.trim_end_matches('/').rsplit('/').next().map(|name| name.trim_end_matches(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_suggest_names() {
        let check = |rest: &str, name: Option<&str>| assert_eq!(suggested_by_address(rest).as_deref(), name, "{rest}");
        check("github.com/acme/website.git", Some("acme/website"));
        check("gitlab.com/group/sub/website/", Some("sub/website"));
        check("example.com/website", None);
        check("example.com", None);
        assert_eq!(suggested_by_directory("/src/website.git/"), Some("website"));
    }
}
