//! JSON-RPC 2.0 towards an editor: <https://www.jsonrpc.org/specification>.

use hangar_protocol::RefusalCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A message of an editor's.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    /// Not there where nothing is to be answered.
    pub(super) id: Option<Value>,
    /// Not there in an answer; hangar asks editors nothing.
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) params: Value,
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) struct Fault {
    code: i32,
    words: String,
}

impl Fault {
    /// The bytes are no JSON.
    pub(super) fn no_json(error: &serde_json::Error) -> Self {
        Self { code: -32700, words: format!("This is no message of JSON-RPC: {error}.") }
    }

    pub(super) fn no_method(method: &str) -> Self {
        Self { code: -32601, words: format!("hangar has no method {method}.") }
    }

    pub(super) fn bad_params(words: impl Into<String>) -> Self {
        Self { code: -32602, words: words.into() }
    }

    /// Something went wrong with the session.
    pub(super) fn failed(words: impl Into<String>) -> Self {
        Self { code: -32603, words: words.into() }
    }
}

impl From<hangar_client::Error> for Fault {
    fn from(error: hangar_client::Error) -> Self {
        let hangar_client::Error::Refused(refusal) = &error else { return Self::failed(error.to_string()) };
        let code = match refusal.code {
            // The protocol's own codes: authentication required, resource not found.
            RefusalCode::Unauthenticated => -32000,
            RefusalCode::NotFound => -32002,
            RefusalCode::BadRequest | RefusalCode::TooLarge => -32602,
            RefusalCode::Forbidden
            | RefusalCode::Conflict
            | RefusalCode::TooMany
            | RefusalCode::Unavailable
            | RefusalCode::Internal => -32603,
        };
        Self { code, words: refusal.to_string() }
    }
}

/// The way to an editor. A cheap handle.
#[derive(Clone)]
pub(super) struct Peer(mpsc::Sender<String>);

impl Peer {
    pub(super) fn new(outgoing: mpsc::Sender<String>) -> Self {
        Self(outgoing)
    }

    /// Answers a request.
    pub(super) async fn answer(&self, id: Value, result: Result<Value, Fault>) {
        self.send(match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(fault) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": fault.code, "message": fault.words}})
            }
        })
        .await;
    }

    /// Tells what happened in a session.
    pub(super) async fn update(&self, session: &str, update: Value) {
        let params = json!({"sessionId": session, "update": update});
        self.send(json!({"jsonrpc": "2.0", "method": "session/update", "params": params})).await;
    }

    async fn send(&self, message: Value) {
        // An editor that has gone is noticed where its messages are read.
        drop(self.0.send(message.to_string()).await);
    }
}
