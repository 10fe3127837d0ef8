//! A session's stream: `Frame`s over a WebSocket where the client asks to upgrade, else as Server-Sent Events.

mod places;
mod server_sent;
mod socket;

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use hangar_protocol::{Frame, RefusalCode, Seq, SessionId};
use serde::Deserialize;
use utoipa::IntoParams;

pub(crate) use places::StreamPlaces;

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{self, Asked, Named},
    gate::{Asking, Credential},
};

/// The header by which a browser's `EventSource` says where it was cut off.
const LAST_EVENT_ID: &str = "last-event-id";

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Cursor {
    /// The last event already known; 0 or nothing for all of them. `Last-Event-ID` weighs more.
    #[param(minimum = 0, maximum = 9007199254740991)]
    after: Option<Seq>,
}

/// Follows a session: its events after `after`, then what happens. One `Frame` a message; with Server-Sent Events one a
/// `data:` line, and `id:` is the sequence number of `event` frames.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/stream", tag = "sessions",
    params(
        ("id" = SessionId, Path),
        Cursor,
        ("Last-Event-ID" = Option<Seq>, Header, description = "Sent by a browser's EventSource when it connects again.")
    ),
    responses(
        (status = 101, description = "A WebSocket, where the client asked for one."),
        (status = 200, content_type = "text/event-stream", body = Frame)
    )
)]
pub(crate) async fn follow_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Asked(cursor): Asked<Cursor>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let after = extract::cursor(resume_at(&headers)?.or(cursor.after).unwrap_or(Seq::START))?;
    let upgrade = wanted(&headers, upgrade)?;
    if upgrade.is_some() {
        same_page(&app, &asking, &headers)?;
    }
    let place = app.streams.take(&asking.account.person.user)?;
    let follower = app.sessions.follow(&id, &asking.account.person.user, after).await?;
    match upgrade {
        Some(upgrade) => Ok(socket::answer(upgrade, app, asking.credential, follower, place)),
        None => Ok(server_sent::answer(app, asking.credential, follower, place).into_response()),
    }
}

fn resume_at(headers: &HeaderMap) -> Answer<Option<Seq>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(|seq| Some(Seq(seq))).ok_or_else(|| {
        Refused::new(
            RefusalCode::BadRequest,
            "Last-Event-ID is not a sequence number.",
            "Send back the id of an event.",
        )
    })
}

/// The upgrade, if the client asked for one.
fn wanted(
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Option<WebSocketUpgrade>> {
    match upgrade {
        Ok(upgrade) => Ok(Some(upgrade)),
        Err(_) if !headers.contains_key(header::UPGRADE) => Ok(None),
        Err(rejection) => Err(Refused::new(
            RefusalCode::BadRequest,
            format!("{}.", rejection.body_text().trim_end_matches('.')),
            "Ask for a WebSocket as RFC 6455 has it, or leave the Upgrade header out.",
        )),
    }
}

/// A WebSocket is not bound to one origin by the browser, so a cookie counts only from hangar's own page.
fn same_page(app: &App, asking: &Asking, headers: &HeaderMap) -> Answer<()> {
    let by_cookie = matches!(asking.credential, Credential::Cookie(_));
    if by_cookie && !(headers.contains_key(header::ORIGIN) && app.known_hosts.same_origin(headers)) {
        return Err(Refused::new(
            RefusalCode::Forbidden,
            "This WebSocket did not come from hangar's own page.",
            "Use a personal access token.",
        ));
    }
    Ok(())
}
