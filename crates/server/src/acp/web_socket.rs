//! `GET /acp`: the same over a WebSocket, a message of JSON-RPC in each of its messages.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{
        Query, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::{IntoResponse as _, Response},
    routing::any,
};
use futures::{SinkExt as _, StreamExt as _};
use hangar_client::{Client, Token};
use hangar_protocol::RefusalCode;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{MESSAGE_BYTES_MAX, WAITING_MESSAGES_MAX, Wishes, serve};
use crate::{
    answer::Refused,
    gate::{Asking, Credential},
    own_api::OwnApi,
};

/// What new sessions are to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wished {
    repo: Option<String>,
    model: Option<String>,
    agent: Option<String>,
}

/// The route, until `stop`. Whoever asks has been let in by their token before.
pub(crate) fn route(api: Arc<OwnApi>, stop: CancellationToken) -> Router {
    let serve =
        async move |Extension(asking): Extension<Asking>, Query(wished): Query<Wished>, upgrade: WebSocketUpgrade| {
            answer(&api, &asking, wished, upgrade, stop.clone())
        };
    Router::new().route("/acp", any(serve))
}

fn answer(
    api: &OwnApi,
    asking: &Asking,
    wished: Wished,
    upgrade: WebSocketUpgrade,
    stop: CancellationToken,
) -> Response {
    let client = match (&asking.credential, api.client()) {
        (Credential::Token(token), Ok(client)) => client.in_the_name_of(Token::new(token.reveal())),
        (Credential::Cookie(_), _) => {
            return Refused::new(
                RefusalCode::Unauthenticated,
                "Editors send a token.",
                "Make one with `hangar token create`.",
            )
            .into_response();
        }
        (_, Err(error)) => {
            return Refused::new(RefusalCode::Internal, error.to_string(), "Look at http.host in hangar.toml.")
                .into_response();
        }
    };
    let Wished { repo, model, agent } = wished;
    upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        stop.run_until_cancelled(carry(socket, client, Wishes { repo, model, agent, on_this_machine: false })).await;
    })
}

async fn carry(socket: WebSocket, client: Client, wishes: Wishes) {
    let (heard, incoming) = mpsc::channel(1);
    let (outgoing, mut told) = mpsc::channel::<String>(WAITING_MESSAGES_MAX);
    let serving = tokio::spawn(serve(client, wishes, incoming, outgoing));
    let (mut to_editor, mut from_editor) = socket.split();
    // Side by side: while one waits for the editor, what it serves may wait for the other.
    let reading = async move {
        while let Some(Ok(message)) = from_editor.next().await {
            match message {
                Message::Text(message) if heard.send(message.to_string()).await.is_err() => return,
                Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return,
            }
        }
    };
    let writing = async move {
        while let Some(message) = told.recv().await {
            if to_editor.send(Message::Text(message.into())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    match serving.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "an editor could not be served"),
        Err(error) => tracing::error!(%error, "serving an editor failed"),
    }
}
