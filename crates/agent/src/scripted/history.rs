//! What a request says about how far a turn is.

use serde_json::Value;

use crate::title;

/// The turn so far, as a request tells it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct History {
    /// The words of the last prompt.
    pub(super) wish: String,
    /// What the tools gave after each reply since, one text for each reply.
    pub(super) results: Vec<String>,
    /// How many messages there are in all.
    pub(super) messages: usize,
    /// Whether it asks for a session's title.
    pub(super) wants_title: bool,
    /// The model's name, to be said back.
    pub(super) model: String,
}

impl History {
    /// Reads a request.
    pub(super) fn read(request: &Value) -> Result<Self, String> {
        let messages = request["messages"].as_array().filter(|messages| !messages.is_empty());
        let messages = messages.ok_or("messages: at least one message is required")?;
        let mut history = Self {
            messages: messages.len(),
            wants_title: request["system"][0]["text"] == title::SYSTEM,
            model: request["model"].as_str().unwrap_or("scripted").to_owned(),
            ..Self::default()
        };
        let mut open: Vec<&str> = Vec::new();
        for message in messages {
            let blocks = blocks(&message["content"])?;
            match message["role"].as_str() {
                Some("assistant") => {
                    open = ids(blocks, "tool_use", "id");
                    history.results.push(String::new());
                }
                Some("user") => {
                    answered(&open, &ids(blocks, "tool_result", "tool_use_id"))?;
                    open.clear();
                    history.hear_blocks(blocks);
                }
                _ => return Err("messages: a role is user or assistant".to_owned()),
            }
        }
        if open.is_empty() { Ok(history) } else { Err("the last message is the model's own".to_owned()) }
    }

    /// Takes in what a tool gave, beside what others gave to the same reply.
    pub(super) fn hear(&mut self, words: &str) {
        if let Some(last) = self.results.last_mut() {
            if !last.is_empty() {
                last.push('\n');
            }
            last.push_str(words);
        }
    }

    fn hear_blocks(&mut self, blocks: &[Value]) {
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        if !texts.is_empty() {
            self.wish = texts.join("\n");
            self.results.clear();
            return;
        }
        if let Some(last) = self.results.last_mut() {
            *last = blocks.iter().map(|block| result_text(&block["content"])).collect::<Vec<_>>().join("\n");
        }
    }
}

fn blocks(content: &Value) -> Result<&[Value], String> {
    match content.as_array() {
        Some(blocks) if !blocks.is_empty() => Ok(blocks),
        Some(_) | None => Err("messages: content is a list that is not empty".to_owned()),
    }
}

fn ids<'a>(blocks: &'a [Value], kind: &str, name: &str) -> Vec<&'a str> {
    blocks.iter().filter(|block| block["type"] == kind).filter_map(|block| block[name].as_str()).collect()
}

/// As strict as the real service: every call has its result in the very next message, and no result is without a call.
fn answered(calls: &[&str], results: &[&str]) -> Result<(), String> {
    match calls.iter().find(|call| !results.contains(call)).or(results.iter().find(|result| !calls.contains(result))) {
        None => Ok(()),
        Some(id) => Err(format!("messages: `tool_use` and `tool_result` do not match: {id}")),
    }
}

fn result_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    }
}
