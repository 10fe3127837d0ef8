//! The sandboxes that are kept ready.

use std::time::Duration;

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
    let counts = app.pool.counts();
    let limits = &app.config.pool;
    Json(PoolInfo {
        slots,
        repos: counts.iter().map(repo_pool).collect(),
        floor: limits.floor,
        ceiling: limits.ceiling,
        memory_bytes: counts.iter().map(|counts| counts.memory_bytes).fold(0, u64::saturating_add),
        memory_bytes_max: u64::from(limits.memory_mib) * MIB,
    })
}

fn repo_pool(counts: &PoolCounts) -> RepoPool {
    RepoPool {
        repo: counts.target.repo.clone(),
        ready: counts.ready,
        reserved: counts.reserved,
        preparing: counts.preparing,
        wanted: counts.wanted,
        hits: counts.hits,
        misses: counts.misses,
        hit_wait_ms_p50: millis(counts.hit_wait_p50),
        miss_wait_ms_p50: millis(counts.miss_wait_p50),
        abandoned: counts.abandoned,
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Says that a session on this repository will probably begin soon, from the first key on: a sandbox over its newest image is kept ready
/// and brought to the newest commits. Said again, it is kept longer. Nothing happens where there is no image, or no memory left for it.
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
