//! A session's history: pages of events, and the blobs they name.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use hangar_protocol::{RefusalCode, Seq, SessionId, api::EventPage, limits::EVENT_PAGE_MAX};
use hangar_session::Page;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{Asked, Named, cursor},
    gate::Asking,
    stream::kinds,
};

/// Events a page holds unless the request says otherwise.
const PAGE_EVENTS: u32 = 200;
/// A blob's name never means another content, and only people who are signed in may keep it.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageWish {
    /// The last event already known; 0 for none.
    #[param(minimum = 0, maximum = 9007199254740991)]
    after: Option<Seq>,
    /// Backwards: the last events before this one, in order. Not together with `after`.
    #[param(minimum = 0, maximum = 9007199254740991)]
    before: Option<Seq>,
    /// How many at most: 1 to 1,000, without it 200.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Kinds of events, with commas between them; without it all.
    kinds: Option<String>,
}

/// A page of a session's log.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/events", tag = "sessions", params(("id" = SessionId, Path), PageWish),
    responses((status = 200, body = EventPage))
)]
pub(crate) async fn session_events(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Asked(page): Asked<PageWish>,
) -> Answer<Json<EventPage>> {
    let limit = page.limit.unwrap_or(PAGE_EVENTS);
    if !(1..=EVENT_PAGE_MAX).contains(&limit) {
        return Err(Refused::new(
            RefusalCode::BadRequest,
            format!("limit is {limit}."),
            format!("Ask for 1 to {EVENT_PAGE_MAX} events."),
        ));
    }
    let kinds = kinds(page.kinds.as_deref())?;
    let side = match (page.after, page.before) {
        (None, None) => Page::After(Seq::START),
        (Some(after), None) => Page::After(cursor(after)?),
        (None, Some(before)) => Page::Before(cursor(before)?),
        (Some(_), Some(_)) => {
            return Err(Refused::new(
                RefusalCode::BadRequest,
                "A page lies after one event or before one.",
                "Leave `after` or `before` out.",
            ));
        }
    };
    app.seen(&asking, &id).await?;
    Ok(Json(app.sessions.events(&id, side, limit, kinds).await?))
}

/// What an event was too small to hold, by the SHA-256 of its content.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/blobs/{sha256}", tag = "sessions",
    params(("id" = SessionId, Path), ("sha256" = String, Path, pattern = "^[0-9a-f]{64}$", description = "64 hexadecimal digits.")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>))
)]
pub(crate) async fn session_blob(
    State(app): State<App>,
    asking: Asking,
    Named((id, sha256)): Named<(SessionId, String)>,
) -> Answer<Response> {
    if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Refused::new(
            RefusalCode::BadRequest,
            "A blob's name is 64 hexadecimal digits.",
            "An event has the name.",
        ));
    }
    app.seen(&asking, &id).await?;
    let content = app.sessions.blob(&id, &sha256).await?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)], content).into_response())
}
