//! Prepared clones: the read-only layer that the sandboxes of one commit share. Its tree has the clone at `workspace`.

use std::path::PathBuf;

use hangar_forge::{CommitId, ForgeError, WorkspaceClone, WorkspaceHead};
use hangar_protocol::{Refusal, RefusalCode, RepoPath};

use crate::{
    forge_words::forge_refusal,
    ports::Ports,
    sandbox_host::{origin_url, sandbox_refusal},
};

/// The layer's tree with the clone of a repository at a commit, made if there is none. Made beside its place and moved there when whole, so that
/// a crash leaves no half of one; of two that are made at once, the second is thrown away.
pub(crate) async fn prepared(ports: &Ports, repo: &RepoPath, commit: &str) -> Result<PathBuf, Refusal> {
    let folder = ports.clones_dir.join(repo.owner()).join(repo.name());
    let place = folder.join(format!("{commit}.tree"));
    if exists(&place).await {
        return Ok(place);
    }
    let unfinished = folder.join(format!("{commit}.{:08x}.part", rand::random::<u32>()));
    let made = make(ports, repo, commit, unfinished.clone()).await;
    let moved = match made {
        Ok(()) => tokio::fs::rename(&unfinished, &place).await,
        Err(refusal) => {
            drop(tokio::fs::remove_dir_all(&unfinished).await);
            return Err(refusal);
        }
    };
    match moved {
        Ok(()) => Ok(place),
        Err(error) => {
            drop(tokio::fs::remove_dir_all(&unfinished).await);
            if exists(&place).await { Ok(place) } else { Err(disk_refusal(&error)) }
        }
    }
}

async fn exists(path: &std::path::Path) -> bool {
    tokio::fs::try_exists(path).await.unwrap_or(false)
}

async fn make(ports: &Ports, repo: &RepoPath, commit: &str, dir: PathBuf) -> Result<(), Refusal> {
    let parse = |error| forge_refusal(&ForgeError::Name(error));
    let commit: CommitId = commit.parse().map_err(parse)?;
    let workspace = dir.join("workspace");
    tokio::fs::create_dir_all(&dir).await.map_err(|error| disk_refusal(&error))?;
    let wish =
        WorkspaceClone { commit, head: WorkspaceHead::Detached, dir: workspace.clone(), origin_url: origin_url(repo) };
    let path = repo.to_string().parse().map_err(parse)?;
    ports.forge.clone_to(&path, wish).await.map_err(|error| forge_refusal(&error))?;
    let adopted = tokio::task::spawn_blocking(move || hangar_sandbox::adopt(&workspace)).await;
    adopted.map_err(|error| disk_refusal(&std::io::Error::other(error)))?.map_err(|error| sandbox_refusal(&error))
}

fn disk_refusal(error: &std::io::Error) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("The clone of the repository cannot be kept: {error}."),
        "Free space in hangar's data directory, then try again.",
    )
}
