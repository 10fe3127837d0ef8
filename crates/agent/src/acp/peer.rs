//! JSON-RPC 2.0, an object a line, with a program.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::{
    COMPLAINTS_BYTES_MAX, LINE_BYTES_MAX, Piece, Program, TURN_MESSAGES_MAX,
    words::{Incoming, NO_SUCH_METHOD, UNUSABLE_PARAMS},
};

/// How much of a line that is no message is shown.
const SHOWN_CHARS_MAX: usize = 200;
/// How much of the end of what a program complained of is shown.
const COMPLAINT_CHARS_MAX: usize = 400;
/// Lines that are no messages and may stand before the first one: some programs chat before they begin.
const CHAT_LINES_MAX: u32 = 100;

/// A program that speaks JSON-RPC.
pub(super) struct Peer {
    program: Program,
    /// What has come and is not a whole line yet.
    begun: BytesMut,
    /// How much of it is known to hold no line's end.
    searched: usize,
    complaints: Vec<u8>,
    messages: u32,
    chat: u32,
    asked: u64,
}

/// Why a program is not spoken with any more, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended(pub(super) String);

impl Peer {
    pub(super) fn new(program: Program) -> Self {
        Self { program, begun: BytesMut::new(), searched: 0, complaints: Vec::new(), messages: 0, chat: 0, asked: 0 }
    }

    /// Sends a request; its answer carries the number.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Result<u64, Ended> {
        self.asked += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params})).await?;
        Ok(self.asked)
    }

    /// Tells something that is not answered.
    pub(super) async fn notify(&mut self, method: &str, params: Value) -> Result<(), Ended> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await
    }

    /// Answers a request of the program's.
    pub(super) async fn answer(&mut self, id: &Value, result: Value) -> Result<(), Ended> {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": result})).await
    }

    /// Says that there is no such method here: files and terminals are the sandbox's, where the program runs itself.
    pub(super) async fn refuse(&mut self, id: &Value, method: &str) -> Result<(), Ended> {
        let message = format!("hangar has no method {method}");
        self.send(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": NO_SUCH_METHOD, "message": message}})).await
    }

    /// Says that a request makes no sense.
    pub(super) async fn reject(&mut self, id: &Value, fault: &serde_json::Error) -> Result<(), Ended> {
        let error = json!({"code": UNUSABLE_PARAMS, "message": fault.to_string()});
        self.send(&json!({"jsonrpc": "2.0", "id": id, "error": error})).await
    }

    /// The next message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Incoming, Ended> {
        loop {
            while let Some(line) = self.line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(incoming) => {
                        self.messages += 1;
                        if self.messages > TURN_MESSAGES_MAX {
                            return Err(Ended(format!("it sent more than {TURN_MESSAGES_MAX} messages in one turn")));
                        }
                        return Ok(incoming);
                    }
                    Err(_) if self.messages == 0 && self.chat < CHAT_LINES_MAX => self.chat += 1,
                    Err(error) => {
                        let shown = hangar_protocol::limits::clip(&String::from_utf8_lossy(&line), SHOWN_CHARS_MAX);
                        return Err(Ended(format!("it wrote a line that is no message ({error}): {shown}")));
                    }
                }
            }
            if self.begun.len() > LINE_BYTES_MAX {
                return Err(Ended(format!("it wrote a line of more than {} MiB", LINE_BYTES_MAX / 1024 / 1024)));
            }
            match self.program.output.recv().await {
                Some(Piece::Out(bytes)) => self.begun.extend_from_slice(&bytes),
                Some(Piece::Err(bytes)) => self.complained(&bytes),
                Some(Piece::Ended(words)) => return Err(self.ended(&words)),
                None => return Err(self.ended("it ended")),
            }
        }
    }

    /// Ends the program with its whole process tree.
    pub(super) async fn end(self) {
        self.program.end().await;
    }

    fn line(&mut self) -> Option<Bytes> {
        let Some(end) = self.begun[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.begun.len();
            return None;
        };
        let line = self.begun.split_to(self.searched + end + 1).freeze();
        self.searched = 0;
        Some(line)
    }

    fn complained(&mut self, bytes: &[u8]) {
        self.complaints.extend_from_slice(bytes);
        let over = self.complaints.len().saturating_sub(COMPLAINTS_BYTES_MAX);
        drop(self.complaints.drain(..over));
    }

    async fn send(&mut self, message: &Value) -> Result<(), Ended> {
        let line = Bytes::from(format!("{message}\n"));
        match self.program.input.send(line).await {
            Ok(()) => Ok(()),
            // It has ended; what it said last says why.
            Err(_) => loop {
                drop(self.next().await?);
            },
        }
    }

    /// How it ended, with the last that it complained of.
    fn ended(&self, words: &str) -> Ended {
        let complaints = String::from_utf8_lossy(&self.complaints);
        match complaints.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(last) => Ended(format!(
                "{words}; the last line of its standard error: {}",
                hangar_protocol::limits::clip(last, COMPLAINT_CHARS_MAX)
            )),
            None => Ended(words.to_owned()),
        }
    }
}
