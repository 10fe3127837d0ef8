//! Images, their builds, and the sandboxes that are kept ready.

use axum::{Json, extract::State, http::StatusCode};
use hangar_image::{Build, BuildEnd, BuildFailure, BuildState, Image, ImagesError, Target, Way};
use hangar_protocol::{
    Refusal, RefusalCode, RepoPath,
    api::{BuildInfo, BuildLog, BuildStatus, ImageInfo, NewBuild},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::repos::forge_path;
use crate::{
    answer::Answer,
    app::App,
    extract::{Asked, Named, Sent},
};

/// Of a build's output, one answer holds at most this.
const LOG_PAGE_BYTES_MAX: usize = 64 * 1024;
/// Lines of a failed step that its failure repeats.
const FAILURE_LINES_MAX: usize = 8;

/// Every image, the newest first.
#[utoipa::path(get, path = "/api/v1/images", tag = "images", responses((status = 200, body = Vec<ImageInfo>)))]
pub(crate) async fn list_images(State(app): State<App>) -> Json<Vec<ImageInfo>> {
    let images = app.images.list();
    Json(images.iter().rev().map(|image| image_info(&app, image)).collect())
}

/// The builds that wait or run, and the last that ended, the newest first.
#[utoipa::path(get, path = "/api/v1/images/builds", tag = "images", responses((status = 200, body = Vec<BuildInfo>)))]
pub(crate) async fn list_builds(State(app): State<App>) -> Json<Vec<BuildInfo>> {
    Json(app.images.builds().iter().rev().map(build_info).collect())
}

/// Builds an image now. Answers at once; a build of this repository that waits or runs already is told instead of a second one.
#[utoipa::path(
    post, path = "/api/v1/images/builds", tag = "images", request_body = NewBuild,
    responses((status = 202, body = BuildInfo))
)]
pub(crate) async fn build_image(
    State(app): State<App>,
    Sent(NewBuild { repo }): Sent<NewBuild>,
) -> Answer<(StatusCode, Json<BuildInfo>)> {
    must_be_there(&app, &repo).await?;
    let build = app.images.build(Target::of(repo), Way::Usual).await.map_err(|error| refusal(&error))?;
    Ok((StatusCode::ACCEPTED, Json(build_info(&build))))
}

/// Where to read on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// The position behind what is known already, in bytes.
    #[serde(default)]
    from: u64,
}

/// What a build has said from a position on, and how far it is.
#[utoipa::path(
    get, path = "/api/v1/images/builds/{build}/log", tag = "images",
    params(("build" = u32, Path, description = "The build's number."), From),
    responses((status = 200, body = BuildLog))
)]
pub(crate) async fn build_log(
    State(app): State<App>,
    Named(number): Named<u32>,
    Asked(From { from }): Asked<From>,
) -> Answer<Json<BuildLog>> {
    let build = app.images.build_of(number).ok_or_else(|| refusal(&ImagesError::NoBuild(number)))?;
    // Looked at first: whoever reads "ended" has then been given everything that was said before.
    let info = build_info(&build);
    let (text, next) = build.log.read(from, LOG_PAGE_BYTES_MAX);
    Ok(Json(BuildLog { info, text, next }))
}

/// Ends a build. The last good image stays in use.
#[utoipa::path(
    delete, path = "/api/v1/images/builds/{build}", tag = "images",
    params(("build" = u32, Path, description = "The build's number.")),
    responses((status = 204, description = "Nothing of it is left."))
)]
pub(crate) async fn cancel_build(State(app): State<App>, Named(number): Named<u32>) -> Answer<StatusCode> {
    app.images.cancel(number).await.map_err(|error| refusal(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn must_be_there(app: &App, repo: &RepoPath) -> Answer<()> {
    app.forge.repo(&forge_path(repo)?).await?;
    Ok(())
}

pub(super) fn image_info(app: &App, image: &Image) -> ImageInfo {
    let newest = app.images.newest(&image.target).is_some_and(|newest| newest.id == image.id);
    let failed = image.verification.iter().filter(|checked| !checked.ok);
    let failed = failed.map(|checked| format!("{} failed when the image was built.", checked.step));
    ImageInfo {
        id: image.id.to_string(),
        repo: image.target.repo.clone(),
        commit: image.commit.clone(),
        base: image.base.name.clone(),
        recipe: image.recipe.source.clone(),
        built_ms: image.built_at_ms,
        duration_ms: image.took.total_ms,
        bytes: image.disk_bytes,
        layers: u32::try_from(image.layers.len()).unwrap_or(u32::MAX),
        newest,
        notes: image.notes.iter().cloned().chain(failed).collect(),
    }
}

fn build_info(build: &Build) -> BuildInfo {
    let (status, ended_ms, image, failure) = match build.state() {
        BuildState::Queued => (BuildStatus::Queued, None, None, None),
        BuildState::Running => (BuildStatus::Running, None, None, None),
        BuildState::Ended { at_ms, end } => match end {
            BuildEnd::Built(image) => (BuildStatus::Built, Some(at_ms), Some(image.to_string()), None),
            BuildEnd::Unchanged => (BuildStatus::Unchanged, Some(at_ms), None, None),
            BuildEnd::Failed(failure) => (BuildStatus::Failed, Some(at_ms), None, Some(words(&failure))),
            BuildEnd::Cancelled => (BuildStatus::Cancelled, Some(at_ms), None, None),
        },
    };
    BuildInfo {
        build: build.number,
        repo: build.target.repo.clone(),
        status,
        step: build.step(),
        asked_ms: build.asked_at_ms,
        ended_ms,
        image,
        failure,
    }
}

fn words(failure: &BuildFailure) -> String {
    let lines = failure.last_lines.iter().rev().take(FAILURE_LINES_MAX).rev();
    let said: String = lines.map(|line| format!("\n{line}")).collect();
    format!("{}{said}", failure.summary())
}

fn refusal(error: &ImagesError) -> Refusal {
    let code = match error {
        ImagesError::NoBuild(_) => RefusalCode::NotFound,
        ImagesError::Closed | ImagesError::Disk { .. } | ImagesError::Layers(_) => RefusalCode::Unavailable,
    };
    Refusal::new(code, format!("{error}."), "`hangar image builds` lists the builds since the server started.")
}
