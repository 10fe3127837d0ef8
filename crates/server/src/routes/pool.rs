//! The sandboxes that are kept ready.

use axum::{Json, extract::State, http::StatusCode};
use hangar_image::{PoolCounts, PoolError, Target};
use hangar_protocol::{
    Refusal, RefusalCode,
    api::{PoolInfo, RepoPool, SlotInfo, Warm, Warming},
};

use super::images::must_be_there;
use crate::{answer::Answer, app::App, extract::Sent, gate::Asking};

const MIB: u64 = 1024 * 1024;

/// The sandboxes that are kept ready, and how often they were of use.
#[utoipa::path(get, path = "/api/v1/pool", tag = "images", responses((status = 200, body = PoolInfo)))]
pub(crate) async fn show_pool(State(app): State<App>) -> Json<PoolInfo> {
    let slots = app.engine.slots();
    let slots = SlotInfo {
        ready: u32::try_from(slots.ready).unwrap_or(u32::MAX),
        made: slots.made,
        hits: slots.hits,
        misses: slots.misses,
    };
    let repos = app.pool.counts().iter().map(repo_pool).collect();
    Json(PoolInfo { slots, repos, memory_bytes_max: u64::from(app.config.pool.memory_mib) * MIB })
}

fn repo_pool(counts: &PoolCounts) -> RepoPool {
    RepoPool {
        repo: counts.target.repo.clone(),
        ready: counts.ready + counts.reserved,
        wanted: counts.wanted,
        hits: counts.hits,
        misses: counts.misses,
        wait_ms_p50: u32::try_from(counts.wait_p50.as_millis()).unwrap_or(u32::MAX),
    }
}

/// Says that a session on this repository will probably begin soon, from the first key on: a sandbox over its newest image is kept ready
/// and brought to the newest commits. Said again, it is kept longer. Nothing happens where there is no image.
#[utoipa::path(
    post, path = "/api/v1/warm", tag = "images", request_body = Warm,
    responses((status = 202, body = Warming))
)]
pub(crate) async fn warm(
    State(app): State<App>,
    asking: Asking,
    Sent(Warm { repo }): Sent<Warm>,
) -> Answer<(StatusCode, Json<Warming>)> {
    must_be_there(&app, &repo).await?;
    let who = asking.account.person.user.as_str();
    let warming = app.pool.warm(Target::of(repo), who).await.map_err(|error| refusal(&error))?;
    let kept_s = u32::try_from(warming.kept.as_secs()).unwrap_or(u32::MAX);
    Ok((StatusCode::ACCEPTED, Json(Warming { ready: warming.ready, kept_s })))
}

fn refusal(error: &PoolError) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("{error}."), "The session can begin all the same.")
}
