//! JSON-RPC 2.0, an object a line, with a program.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Program,
    words::{Incoming, NO_SUCH_METHOD},
};

/// What of the program's end is not known, in words.
const ENDED: &str = "it ended without a word";

/// A program that speaks JSON-RPC.
pub(super) struct Peer {
    program: Program,
    asked: u64,
}

/// A program that does not go on.
#[derive(Debug)]
pub(super) struct Ended(pub(super) String);

impl Peer {
    pub(super) fn new(program: Program) -> Self {
        Self { program, asked: 0 }
    }

    /// Sends a request; its answer carries the number.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Result<u64, Ended> {
        self.asked += 1;
        self.send(json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params})).await?;
        Ok(self.asked)
    }

    /// Tells something that is not answered.
    pub(super) async fn notify(&mut self, method: &str, params: Value) -> Result<(), Ended> {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await
    }

    /// Answers a request of the program's.
    pub(super) async fn answer(&mut self, id: Value, result: Value) -> Result<(), Ended> {
        self.send(json!({"jsonrpc": "2.0", "id": id, "result": result})).await
    }

    /// Says that there is no such method here: files and terminals are the sandbox's, where the program runs itself.
    pub(super) async fn refuse(&mut self, id: Value, method: &str) -> Result<(), Ended> {
        let error = json!({"code": NO_SUCH_METHOD, "message": format!("hangar has no method {method}")});
        self.send(json!({"jsonrpc": "2.0", "id": id, "error": error})).await
    }

    /// The next line. What is no JSON-RPC is passed over: some programs chat before they begin. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Incoming, Ended> {
        loop {
            let Some(line) = self.program.output.recv().await else { return Err(self.ended()) };
            match serde_json::from_slice(&line) {
                Ok(incoming) => return Ok(incoming),
                Err(error) => tracing::debug!(%error, "an agent's program wrote a line that is no message"),
            }
        }
    }

    async fn send(&self, message: Value) -> Result<(), Ended> {
        let line = Bytes::from(format!("{message}\n"));
        self.program.input.send(line).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> Ended {
        let last = self.program.complaints.last();
        Ended(if last.is_empty() { ENDED.to_owned() } else { hangar_protocol::limits::clip(&last, 400) })
    }
}
