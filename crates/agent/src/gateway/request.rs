//! What a program asks: checked from the outside in, so that nothing is read that the step before it refuses.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use hangar_protocol::limits::clip;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Gateway, PLACE_WAIT_MAX, REQUEST_BYTES_MAX, REQUEST_TIME_MAX,
    exchange::{self, Asked, Delivery},
    members::Members,
    reach,
    refused::Refused,
    wire::Wire,
};
use crate::models::Model;

/// How much of what a program sent is said back to it.
const SAID_BACK_CHARS_MAX: usize = 200;

pub(super) async fn messages(State(gateway): State<Gateway>, request: Request) -> Response {
    asked(&gateway, Wire::Messages, request).await
}

pub(super) async fn responses(State(gateway): State<Gateway>, request: Request) -> Response {
    asked(&gateway, Wire::Responses, request).await
}

pub(super) async fn chat(State(gateway): State<Gateway>, request: Request) -> Response {
    asked(&gateway, Wire::Chat, request).await
}

/// What is no path of a wire.
pub(super) async fn nothing_else(request: Request) -> Response {
    let path = request.uri().path();
    let wire = if path.contains("/anthropic/") { Wire::Messages } else { Wire::Chat };
    let asked = clip(&format!("{} {path}", request.method()), SAID_BACK_CHARS_MAX);
    Refused::NoSuchPath { asked }.answer(wire)
}

async fn asked(gateway: &Gateway, wire: Wire, request: Request) -> Response {
    match pass_on(gateway, wire, request).await {
        Ok(answer) => answer,
        Err(refused) => refused.answer(wire),
    }
}

async fn pass_on(gateway: &Gateway, wire: Wire, request: Request) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    gateway.open(&head.headers)?;
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Refused::Body("The body is compressed. Send it as it is.".to_owned()));
    }
    // Before the body is read: it is what takes memory.
    let place = timeout(PLACE_WAIT_MAX, Arc::clone(&gateway.0.places).acquire_owned()).await;
    let Ok(Ok(place)) = place else { return Err(Refused::Busy) };
    let members = Members::read(read(body).await?).map_err(Refused::Body)?;
    let model = gateway.model(wire, members.value())?;
    reach::check(wire, members.value()).map_err(Refused::Reaches)?;
    let delivery = delivery(wire, members.value());
    let asked = Asked { wire, delivery, headers: head.headers, body: to_send(members, &model, delivery) };
    let admission = gateway.0.host.admit(&model).await?;
    exchange::begin(gateway.0.host.clone(), model, admission, asked, place).await
}

async fn read(body: Body) -> Result<Vec<u8>, Refused> {
    match timeout(REQUEST_TIME_MAX, to_bytes(body, REQUEST_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        // Whoever hung up reads no answer, so that what is left is a body beyond the limit.
        Ok(Err(_)) => Err(Refused::TooLarge),
        Err(_) => Err(Refused::Body(format!("The body did not arrive within {} s.", REQUEST_TIME_MAX.as_secs()))),
    }
}

/// The body for the service: with the name by which it knows the model, and asking to be told what was used up.
fn to_send(members: Members, model: &Model, delivery: Delivery) -> Vec<u8> {
    let mut changes = Vec::new();
    if members.value()["model"] != *model.upstream.model {
        changes.push(("model", json!(model.upstream.model)));
    }
    if delivery == Delivery::StreamWithoutCount {
        let mut options = members.value()["stream_options"].clone();
        if !options.is_object() {
            options = json!({});
        }
        options["include_usage"] = json!(true);
        changes.push(("stream_options", options));
    }
    members.with(&changes)
}

/// How the program wants its answer.
fn delivery(wire: Wire, body: &Value) -> Delivery {
    if body["stream"] != true {
        return Delivery::Whole;
    }
    match wire {
        Wire::Chat if body["stream_options"]["include_usage"] != true => Delivery::StreamWithoutCount,
        Wire::Messages | Wire::Responses | Wire::Chat => Delivery::Stream,
    }
}

impl Gateway {
    /// Whether a request shows the token, in either of the two ways in which libraries show keys.
    fn open(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let shown = bearer.into_iter().chain(text("x-api-key")).any(|shown| self.0.token.is(shown.trim()));
        if shown { Ok(()) } else { Err(Refused::Token) }
    }

    /// The model that a request names: by hangar's id, or by the name that its service has for it.
    fn model(&self, wire: Wire, body: &Value) -> Result<Arc<Model>, Refused> {
        let Some(asked) = body["model"].as_str() else {
            return Err(Refused::Body("The body names no model.".to_owned()));
        };
        let speaks = |model: &Model| wire.reaches(model);
        let mut named = self.0.models.all().iter().filter(|model| model.id == asked || model.upstream.model == asked);
        match (named.clone().find(|model| speaks(model)), named.next()) {
            (Some(model), _) => Ok(model.clone()),
            (None, Some(other)) => {
                Err(Refused::OtherWire { model: other.id.clone(), speaks: Wire::of(other.upstream.kind) })
            }
            (None, None) => Err(Refused::NoModel { asked: clip(asked, SAID_BACK_CHARS_MAX), known: self.ids(&[wire]) }),
        }
    }

    /// The models that can be asked over any of these wires.
    fn ids(&self, wires: &[Wire]) -> Vec<String> {
        let reached = self.0.models.all().iter().filter(|model| wires.iter().any(|wire| wire.reaches(model)));
        reached.map(|model| model.id.clone()).collect()
    }
}

/// The models that Anthropic's libraries can ask.
pub(super) async fn anthropic_models(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    if let Err(refused) = gateway.open(&headers) {
        return refused.answer(Wire::Messages);
    }
    let ids = gateway.ids(&[Wire::Messages]);
    let model =
        |id: &String| json!({"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"});
    let data: Vec<Value> = ids.iter().map(model).collect();
    json_answer(&json!({"data": data, "has_more": false, "first_id": ids.first(), "last_id": ids.last()}))
}

/// The models that OpenAI's libraries can ask, over either of their wires.
pub(super) async fn openai_models(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    if let Err(refused) = gateway.open(&headers) {
        return refused.answer(Wire::Chat);
    }
    let ids = gateway.ids(&[Wire::Responses, Wire::Chat]);
    let model = |id: String| json!({"id": id, "object": "model", "created": 0, "owned_by": "hangar"});
    json_answer(&json!({"object": "list", "data": ids.into_iter().map(model).collect::<Vec<_>>()}))
}

fn json_answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
