//! A model in the test itself: it runs the command that a prompt names, and what it was shown can be looked at.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Speaks the Anthropic Messages stream. A prompt that ends in `run: COMMAND` is answered with that command, a result with `Done.`, any other prompt with `Hm.`
#[derive(Debug)]
pub struct AskedModel {
    address: String,
    asked: Arc<Mutex<Vec<Value>>>,
    serving: JoinHandle<()>,
}

impl AskedModel {
    /// Begins to listen on a free port of this machine.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::default();
        let noted = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&noted)));
            }
        });
        Self { address, asked, serving }
    }

    /// The lines of the server's configuration that make it the only model, as `test/asked`.
    #[must_use]
    pub fn configuration(&self) -> String {
        format!(
            "[[models]]\nid = \"test/asked\"\nwire = \"anthropic\"\nbase_url = \"{}\"\nkey = \"none\"\n",
            self.address
        )
    }

    /// The messages of the last request, each as its role and its plain words, calls and results.
    #[must_use]
    pub fn last_shown(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let last = asked.last().expect("it was asked");
        last["messages"].as_array().expect("messages").iter().map(told).collect()
    }
}

impl Drop for AskedModel {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// `user: words`, `assistant: call echo a`, `user: result a`.
fn told(message: &Value) -> String {
    let part = |part: &Value| match part["type"].as_str().unwrap_or_default() {
        "tool_use" => format!("call {}", part["input"]["command"].as_str().unwrap_or_default()),
        "tool_result" => {
            let content = &part["content"];
            let words = content.as_str().or_else(|| content[0]["text"].as_str()).unwrap_or_default();
            // What the repository asks of agents stands behind the first result.
            let words = words.split("<project-instructions").next().unwrap_or_default();
            format!("result {}", words.trim())
        }
        _ => part["text"].as_str().unwrap_or_default().trim().to_owned(),
    };
    let words: Vec<String> = match &message["content"] {
        Value::Array(parts) => parts.iter().map(part).collect(),
        content => vec![content.as_str().unwrap_or_default().to_owned()],
    };
    format!("{}: {}", message["role"].as_str().unwrap_or_default(), words.join(" + "))
}

async fn answer(connection: TcpStream, asked: Arc<Mutex<Vec<Value>>>) {
    let mut connection = BufReader::new(connection);
    // Whoever hangs up in between gets no answer.
    let Some(body) = request(&mut connection).await else { return };
    let body: Value = serde_json::from_slice(&body).expect("a request is JSON");
    let reply = reply(&body);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let _gone = connection.get_mut().write_all(format!("{head}{reply}").as_bytes()).await;
    let _gone = connection.get_mut().shutdown().await;
}

async fn request(connection: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.ok()?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    Some(body)
}

fn reply(request: &Value) -> String {
    let last = request["messages"].as_array().and_then(|messages| messages.last()).map(told).unwrap_or_default();
    if last.contains("result ") && !last.contains("run: ") {
        return stream(
            &json!({"type": "text", "text": ""}),
            &json!({"type": "text_delta", "text": "Done."}),
            "end_turn",
        );
    }
    let Some((_, command)) = last.rsplit_once("run: ") else {
        return stream(&json!({"type": "text", "text": ""}), &json!({"type": "text_delta", "text": "Hm."}), "end_turn");
    };
    let calls = request["messages"].to_string().matches("tool_use").count();
    let call = json!({"type": "tool_use", "id": format!("call_{calls}"), "name": "bash", "input": {}});
    let input = json!({"command": command}).to_string();
    stream(&call, &json!({"type": "input_json_delta", "partial_json": input}), "tool_use")
}

/// The events of a reply with one block.
fn stream(block: &Value, delta: &Value, stop: &str) -> String {
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "asked", "content": [], "stop_reason": null,
        "usage": {"input_tokens": 1, "output_tokens": 1}});
    let events = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect()
}
