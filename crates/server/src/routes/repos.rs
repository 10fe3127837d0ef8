//! The repositories of the embedded forge.

use std::path::Path;

use axum::{Json, extract::State, http::StatusCode};
use hangar_forge::{ImportSource, NewRepo as ForgeRepo, Repository, Signature};
use hangar_protocol::{
    Refusal, RefusalCode, RepoPath,
    api::{NewRepo, RepoInfo, SavedPrompt},
};

use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
    people::Account,
    saved_prompts,
};

/// Longest source, in characters.
const SOURCE_CHARS_MAX: usize = 2000;

/// The repositories, by name.
#[utoipa::path(get, path = "/api/v1/repos", tag = "repositories", responses((status = 200, body = Vec<RepoInfo>)))]
pub(crate) async fn list_repos(State(app): State<App>) -> Answer<Json<Vec<RepoInfo>>> {
    let repos = app.forge.repos().await?;
    Ok(Json(repos.iter().map(|repo| info(&app, repo)).collect::<Result<_, _>>()?))
}

/// The prompts that a repository has ready, by name: those of the newest commit of its default branch.
#[utoipa::path(
    get, path = "/api/v1/repos/{owner}/{name}/prompts", tag = "repositories",
    params(("owner" = String, Path), ("name" = String, Path)), responses((status = 200, body = Vec<SavedPrompt>))
)]
pub(crate) async fn saved_prompts(
    State(app): State<App>,
    Named((owner, name)): Named<(String, String)>,
) -> Answer<Json<Vec<SavedPrompt>>> {
    let repo: RepoPath = format!("{owner}/{name}").parse()?;
    let found = app.forge.repo(&forge_path(&repo)?).await?;
    let commit = app.forge.branch_tip(&found.path, &found.default_branch).await?;
    Ok(Json(saved_prompts::list(&app.forge, &repo, commit.as_str()).await?))
}

/// Brings a repository into the embedded forge. Takes as long as copying it takes.
#[utoipa::path(
    post, path = "/api/v1/repos", tag = "repositories", request_body = NewRepo,
    responses((status = 201, body = RepoInfo))
)]
pub(crate) async fn add_repo(
    State(app): State<App>,
    asking: Asking,
    Sent(new): Sent<NewRepo>,
) -> Answer<(StatusCode, Json<RepoInfo>)> {
    let path = forge_path(&new.repo)?;
    let person = &asking.account.person;
    let author = Signature { name: person.name.clone(), email: person.email.clone() };
    let wish = ForgeRepo { path, description: String::new() };
    let made = match new.source {
        Some(source) => {
            let source = checked(source, &asking.account)?;
            let message = format!("Import {}", new.repo.name());
            app.forge.import(wish, ImportSource::detect(&source, author, message)).await?
        }
        None => {
            let start = first_commit(&new.repo)?;
            let source =
                ImportSource::Directory { dir: start.path().to_owned(), author, message: "First commit".to_owned() };
            app.forge.import(wish, source).await?
        }
    };
    tracing::info!(by = %person.user, repo = %new.repo, "a repository was added");
    Ok((StatusCode::CREATED, Json(info(&app, &made)?)))
}

/// The forge's form of a repository's name.
pub(crate) fn forge_path(repo: &RepoPath) -> Result<hangar_forge::RepoPath, Refusal> {
    let parsed = repo.to_string().parse::<hangar_forge::RepoPath>();
    parsed.map_err(|error| Refusal::new(RefusalCode::BadRequest, format!("{error}."), "Choose another name."))
}

/// A source as it may be used: by everybody an `https://` address, by owners also a directory of this machine.
fn checked(source: String, asker: &Account) -> Result<String, Refusal> {
    let wrong = |message: &str, hint: &str| Err(Refusal::new(RefusalCode::BadRequest, message, hint));
    if source.is_empty() || source.chars().count() > SOURCE_CHARS_MAX || source.chars().any(char::is_control) {
        return wrong(
            "The source is empty, too long, or has control characters.",
            "Name an https:// address or a directory.",
        );
    }
    if let Some(rest) = source.strip_prefix("https://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') {
            return wrong(
                "The source's address has no host, or holds a name or password.",
                "Only repositories that need no password can be copied by address; clone others and name the directory.",
            );
        }
        return Ok(source);
    }
    if source.contains("://") {
        return wrong(
            "The source is not an https:// address.",
            "Name an https:// address or a directory of the server's machine.",
        );
    }
    asker.must_be_owner("copy a directory of the server's machine")?;
    if !Path::new(&source).is_absolute() {
        return wrong("The source's directory is not named in full.", "Write the path from / on.");
    }
    Ok(source)
}

/// What an empty repository begins with: sessions need a commit to start from.
fn first_commit(repo: &RepoPath) -> Result<tempfile::TempDir, Refusal> {
    let full = |error: std::io::Error| {
        tracing::error!(%error, "the first commit of a repository could not be prepared");
        Refusal::new(
            RefusalCode::Unavailable,
            "The server has no room for a new repository.",
            "Free some space on its disk.",
        )
    };
    let dir = tempfile::tempdir().map_err(full)?;
    std::fs::write(dir.path().join("README.md"), format!("# {}\n", repo.name())).map_err(full)?;
    Ok(dir)
}

fn info(app: &App, repo: &Repository) -> Result<RepoInfo, Refusal> {
    Ok(RepoInfo {
        repo: repo.path.to_string().parse()?,
        default_branch: repo.default_branch.to_string(),
        clone_url: format!("{}/git/{}.git", app.url, repo.path),
        created_ms: u64::try_from(repo.created_ms).unwrap_or_default(),
    })
}
