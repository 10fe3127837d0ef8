//! The repository a person means: named, else that of the directory they are in, else the only one.

use std::{path::Path, process::Command};

use hangar_client::Client;
use hangar_protocol::{Refusal, RefusalCode, RepoPath, api::RepoInfo};

use super::ended::Failure;

/// How many repositories a refusal lists.
const LISTED_MAX: usize = 12;

/// Finds the repository for a new session.
pub(super) async fn which_repo(client: &Client, named: Option<&str>) -> Result<RepoPath, Failure> {
    Ok(repo_of(client, named, Some(Path::new("."))).await?)
}

/// The same for somebody whose clone is in `directory`, where that is known.
///
/// # Errors
/// When it is not clear which one is meant, or hangar does not answer.
pub(crate) async fn repo_of(
    client: &Client,
    named: Option<&str>,
    directory: Option<&Path>,
) -> Result<RepoPath, hangar_client::Error> {
    let repos = client.repos().await?;
    Ok(match named {
        Some(named) => choose_named(&repos, named)?,
        None => choose(&repos, &directory.map(remotes_of).unwrap_or_default())?,
    })
}

/// `owner/name`, or a name alone where only one repository has it.
fn choose_named(repos: &[RepoInfo], named: &str) -> Result<RepoPath, Refusal> {
    if let Some(exact) = repos.iter().find(|known| known.repo.to_string() == named) {
        return Ok(exact.repo.clone());
    }
    let mut fitting = repos.iter().filter(|known| known.repo.name() == named);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only.repo.clone()),
        (Some(_), Some(_)) => Err(Refusal::new(
            RefusalCode::BadRequest,
            format!("More than one repository is called {named}."),
            format!("Write owner/name; there are: {}.", list(repos)),
        )),
        (None, _) => Err(Refusal::new(
            RefusalCode::NotFound,
            format!("There is no repository {named:?} here."),
            match repos.is_empty() {
                true => "There is none yet: bring one in with `hangar repo add URL`.".to_owned(),
                false => format!("There are: {}. `hangar repo add URL` brings another one in.", list(repos)),
            },
        )),
    }
}

/// The repository that this directory is a clone of, else the only one.
fn choose(repos: &[RepoInfo], remotes: &[String]) -> Result<RepoPath, Refusal> {
    let places: Vec<Place> = remotes.iter().filter_map(|url| Place::of(url)).collect();
    let same_place = |known: &&RepoInfo| Place::of(&known.clone_url).is_some_and(|place| places.contains(&place));
    let same_path = |known: &&RepoInfo| places.iter().any(|place| place.path.ends_with(&format!("/{}", known.repo)));
    let same_name =
        |known: &&RepoInfo| places.iter().any(|place| place.path.ends_with(&format!("/{}", known.repo.name())));
    let one = |fits: &dyn Fn(&&RepoInfo) -> bool| {
        let mut fitting = repos.iter().filter(fits);
        fitting.next().filter(|_| fitting.next().is_none())
    };
    let here = one(&same_place).or_else(|| one(&same_path)).or_else(|| one(&same_name));
    match (here, repos) {
        (Some(known), _) => Ok(known.repo.clone()),
        (None, [only]) => Ok(only.repo.clone()),
        (None, []) => Err(Refusal::new(
            RefusalCode::BadRequest,
            "hangar knows no repository yet.",
            "Bring one in with `hangar repo add URL` or `hangar repo add PATH`.",
        )),
        (None, _) => Err(Refusal::new(
            RefusalCode::BadRequest,
            "This directory is not a clone of one of hangar's repositories, so it is not clear which one you mean.",
            format!("Name it with --repo; there are: {}.", list(repos)),
        )),
    }
}

fn list(repos: &[RepoInfo]) -> String {
    let mut names: Vec<String> = repos.iter().take(LISTED_MAX).map(|known| known.repo.to_string()).collect();
    if repos.len() > LISTED_MAX {
        names.push(format!("{} more", repos.len() - LISTED_MAX));
    }
    names.join(", ")
}

/// Where a clone came from, however it was written: `https://host/a/b.git` and `git@host:a/b` are the same place.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    /// With a leading slash, without `.git`.
    path: String,
}

impl Place {
    fn of(url: &str) -> Option<Self> {
        let (host, path) = match url.split_once("://") {
            Some(("file", path)) => ("", path),
            Some((_, rest)) => rest.split_once('/')?,
            None if url.starts_with('/') => ("", url),
            None => url.split_once(':')?,
        };
        let host = host.rsplit('@').next().unwrap_or(host).to_lowercase();
        let path = path.trim_matches('/').trim_end_matches(".git");
        Some(Self { host, path: format!("/{path}") })
    }
}

/// The addresses of a directory's remotes; none where it is no clone.
fn remotes_of(directory: &Path) -> Vec<String> {
    let asked =
        Command::new("git").arg("-C").arg(directory).args(["config", "--get-regexp", r"^remote\..*\.url$"]).output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.lines().filter_map(|line| line.split_once(' ')).map(|(_, url)| url.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(path: &str, clone_url: &str) -> RepoInfo {
        RepoInfo {
            repo: path.parse().unwrap(),
            default_branch: "main".to_owned(),
            clone_url: clone_url.to_owned(),
            created_ms: 0,
        }
    }

    fn known() -> Vec<RepoInfo> {
        vec![
            repo("acme/website", "http://127.0.0.1:7433/git/acme/website.git"),
            repo("acme/api", "http://127.0.0.1:7433/git/acme/api.git"),
            repo("other/api", "http://127.0.0.1:7433/git/other/api.git"),
        ]
    }

    #[test]
    fn the_directorys_remote_says_which() {
        let check = |remotes: &[&str], expected: Option<&str>| {
            let remotes: Vec<String> = remotes.iter().map(|url| (*url).to_owned()).collect();
            assert_eq!(choose(&known(), &remotes).ok().map(String::from).as_deref(), expected, "{remotes:?}");
        };
        check(&["http://127.0.0.1:7433/git/other/api.git"], Some("other/api"));
        check(&["http://x-token:hgr_1@127.0.0.1:7433/git/acme/api"], Some("acme/api"));
        check(&["git@github.com:acme/website.git"], Some("acme/website"));
        check(&["https://github.com/fork/website"], Some("acme/website"));
        check(&["https://github.com/fork/api"], None);
        check(&["/srv/git/acme/api.git"], Some("acme/api"));
        check(&[], None);
        assert_eq!(choose(&known()[..1], &[]).unwrap().to_string(), "acme/website", "the only one is meant");
        assert_eq!(choose(&[], &[]).unwrap_err().code, RefusalCode::BadRequest);
    }

    #[test]
    fn a_name_alone_is_enough_where_it_is_unique() {
        assert_eq!(choose_named(&known(), "website").unwrap().to_string(), "acme/website");
        assert_eq!(choose_named(&known(), "other/api").unwrap().to_string(), "other/api");
        assert_eq!(choose_named(&known(), "api").unwrap_err().code, RefusalCode::BadRequest);
        let refusal = choose_named(&known(), "wbsite").unwrap_err();
        assert_eq!(refusal.code, RefusalCode::NotFound);
        assert!(refusal.hint.contains("acme/website, acme/api, other/api"), "{refusal}");
    }
}
