//! One stream for many sessions, and for the list of them.

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::Response,
};
use hangar_protocol::{RefusalCode, Seq, frame::FollowFrom, frame::SessionFrame, limits::STREAM_SESSIONS_MAX};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Form, Open, answer, kinds, wanted};
use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{self, Asked},
    gate::Asking,
};

/// What is to be followed from the start.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Sessions with commas between them, each as `ID` or `ID:SEQ` with the last event already known; at most 500.
    #[serde(default)]
    #[param(required = false)]
    sessions: String,
    /// Kinds of events, with commas between them; without it all.
    kinds: Option<String>,
    /// `true`: be shown in these sessions as having them open, and be told who has.
    #[serde(default)]
    presence: bool,
    /// `true`: follow the list of sessions too. Every session that it shows comes as `session_changed`, then `list_complete`, then changes.
    #[serde(default)]
    list: bool,
}

/// Follows many sessions in one stream, and the list of sessions. One `SessionFrame` a message: a `Frame` with its session's id. On a
/// WebSocket, `Ask`s add and remove sessions.
#[utoipa::path(
    get, path = "/api/v1/stream", tag = "sessions", params(Wanted),
    responses(
        (status = 101, description = "A WebSocket, where the client asked for one."),
        (status = 200, content_type = "text/event-stream", body = SessionFrame)
    )
)]
pub(crate) async fn follow_sessions(
    State(app): State<App>,
    asking: Asking,
    Asked(wish): Asked<Wanted>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let kinds = kinds(wish.kinds.as_deref())?;
    let sessions = wish.sessions()?;
    let upgrade = wanted(&app, &asking, &headers, upgrade)?;
    let place = app.streams.take(&asking.account.person.user)?;
    let mut subscription = app.sessions.follow_many(asking.account.person.clone(), kinds);
    for from in &sessions {
        subscription.follow(from).await?;
    }
    if wish.list {
        subscription.follow_list();
    }
    let open = Open { app, credential: asking.credential, subscription, form: Form::Addressed, _place: place };
    Ok(answer(upgrade, open))
}

impl Wanted {
    fn sessions(&self) -> Answer<Vec<FollowFrom>> {
        let named: Vec<&str> = self.sessions.split(',').map(str::trim).filter(|named| !named.is_empty()).collect();
        if named.len() > STREAM_SESSIONS_MAX {
            return Err(Refused::new(
                RefusalCode::TooMany,
                format!("{} sessions are more than one stream follows.", named.len()),
                format!("Name at most {STREAM_SESSIONS_MAX}."),
            ));
        }
        named.into_iter().map(|named| from(named, self.presence)).collect()
    }
}

fn from(named: &str, presence: bool) -> Answer<FollowFrom> {
    let (session, after) = named.split_once(':').unwrap_or((named, "0"));
    let after = after.parse().map_err(|_| {
        Refused::new(RefusalCode::BadRequest, "A session's cursor is not a number.", "Name sessions as ID or ID:SEQ.")
    })?;
    Ok(FollowFrom { session: session.parse()?, after: extract::cursor(Seq(after))?, presence })
}
