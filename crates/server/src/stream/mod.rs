//! Streams of sessions: `Frame`s over a WebSocket where the client asks to upgrade, else as Server-Sent Events.

mod asks;
mod many;
mod places;
mod server_sent;
mod socket;

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use hangar_protocol::{Frame, Kinds, RefusalCode, Seq, SessionId, frame::FollowFrom};
use hangar_session::{Delivery, Subscription};
use serde::Deserialize;
use utoipa::IntoParams;

// utoipa's macro finds what it made for a handler beside the handler.
pub(crate) use many::{__path_follow_sessions, follow_sessions};
pub(crate) use places::StreamPlaces;

use self::places::StreamPlace;
use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{self, Asked, Named},
    gate::{Asking, Credential},
};

/// The header by which a browser's `EventSource` says where it was cut off.
const LAST_EVENT_ID: &str = "last-event-id";

/// Where to begin, and what is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Cursor {
    /// The last event already known; 0 or nothing for all of them. `Last-Event-ID` weighs more.
    #[param(minimum = 0, maximum = 9007199254740991)]
    after: Option<Seq>,
    /// Kinds of events, with commas between them; without it all. Text travels with `model_replied`, tools' output with `tool_finished`.
    kinds: Option<String>,
    /// `true`: be shown to others as having the session open, and be told who has it open and who is typing.
    #[serde(default)]
    presence: bool,
}

/// What a stream is to its connection, whichever kind that is.
struct Open {
    app: App,
    credential: Credential,
    subscription: Subscription,
    form: Form,
    _place: StreamPlace,
}

/// How frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The stream of one session: plain.
    Plain,
    /// A stream of many: each with its session's id.
    Addressed,
}

impl Form {
    fn text(self, delivery: &Delivery) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Plain => delivery.frame().into(),
            Self::Addressed => delivery.addressed().into(),
        }
    }
}

/// Follows a session: its events after `after`, then what happens. One `Frame` a message; with Server-Sent Events one a
/// `data:` line, and `id:` is the sequence number of `event` frames. On a WebSocket, the client may send `Ask`s.
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
    Named(session): Named<SessionId>,
    Asked(cursor): Asked<Cursor>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let after = extract::cursor(resume_at(&headers)?.or(cursor.after).unwrap_or(Seq::START))?;
    let kinds = kinds(cursor.kinds.as_deref())?;
    let upgrade = wanted(&app, &asking, &headers, upgrade)?;
    let place = app.streams.take(&asking.account.person.user)?;
    let from = FollowFrom { session, after, presence: cursor.presence };
    let subscription = app.sessions.follow(&from, asking.account.person.clone(), kinds).await?;
    let open = Open { app, credential: asking.credential, subscription, form: Form::Plain, _place: place };
    Ok(answer(upgrade, open))
}

fn answer(upgrade: Option<WebSocketUpgrade>, open: Open) -> Response {
    match upgrade {
        Some(upgrade) => socket::answer(upgrade, open),
        None => server_sent::answer(open).into_response(),
    }
}

/// The kinds that `kinds=` names.
pub(crate) fn kinds(names: Option<&str>) -> Answer<Option<Kinds>> {
    Ok(names.map(str::parse).transpose()?)
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

/// The upgrade, if the client asked for one and may have it.
fn wanted(
    app: &App,
    asking: &Asking,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Option<WebSocketUpgrade>> {
    match upgrade {
        Ok(upgrade) => {
            same_page(app, asking, headers)?;
            Ok(Some(upgrade))
        }
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
