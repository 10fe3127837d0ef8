//! What happens in a session, as `session/update`s: <https://agentclientprotocol.com/protocol/v1/prompt-turn>.

use std::collections::{HashMap, HashSet};

use hangar_client::Update;
use hangar_protocol::{
    Block, Event, EventBody, PromptId, Question, TodoStatus, TurnId, UserId,
    event::{SandboxPhase, ToolStatus, TurnOutcome},
    frame::TextChannel,
    guest::WORKSPACE,
};
use serde_json::{Value, json};

use crate::cli::call_in_words;

/// One session's, as one editor sees it.
pub(super) struct Story {
    me: UserId,
    /// The server's address, for pages that it names relative to itself.
    server: String,
    names: HashMap<UserId, String>,
    /// Prompts that were not worked on yet: whose, and in which words.
    prompts: HashMap<PromptId, (UserId, String)>,
    /// Those that the editor has sent: it shows them by itself.
    own: HashSet<PromptId>,
    /// How many bytes of each block have been shown.
    shown: HashMap<(TurnId, u32, u32), usize>,
}

impl Story {
    pub(super) fn new(me: UserId, server: &str) -> Self {
        let server = server.trim_end_matches('/').to_owned();
        Self { me, server, names: HashMap::new(), prompts: HashMap::new(), own: HashSet::new(), shown: HashMap::new() }
    }

    /// The editor has sent this one.
    pub(super) fn sent(&mut self, prompt: PromptId) {
        self.own.insert(prompt);
    }

    /// What an editor is told of an update: none or several of the protocol's.
    pub(super) fn tell(&mut self, update: &Update) -> Vec<Value> {
        match update {
            Update::Event(event) => self.event(event),
            Update::Text { turn, step, block, channel, offset, text } => {
                self.shown.insert((*turn, *step, *block), *offset as usize + text.len());
                vec![match channel {
                    TextChannel::Text => said(text),
                    TextChannel::Reasoning => chunk("agent_thought_chunk", text),
                }]
            }
            // The protocol has no way to take words back.
            Update::TextReset { turn, step } => {
                self.shown.retain(|(of, at, _), _| (of, at) != (turn, step));
                vec![said("\n\n*(The model was cut off here, and begins this reply anew.)*\n\n")]
            }
            Update::ToolOutput { .. }
            | Update::CaughtUp { .. }
            | Update::Presence { .. }
            | Update::Typing { .. }
            | Update::Interrupted { .. }
            | Update::Resumed => Vec::new(),
        }
    }

    fn event(&mut self, event: &Event) -> Vec<Value> {
        match &event.body {
            EventBody::SessionCreated { owner: person, .. } | EventBody::ParticipantJoined { person } => {
                self.names.insert(person.user.clone(), person.name.clone());
                Vec::new()
            }
            EventBody::PromptAdded { prompt, author, text, .. } => {
                self.prompts.insert(*prompt, (author.clone(), text.clone()));
                Vec::new()
            }
            EventBody::PromptEdited { prompt, text, .. } => {
                if let Some((_, words)) = self.prompts.get_mut(prompt) {
                    words.clone_from(text);
                }
                Vec::new()
            }
            EventBody::PromptCancelled { prompt, .. } => {
                self.prompts.remove(prompt);
                Vec::new()
            }
            EventBody::TurnStarted { prompt, .. } | EventBody::PromptSteered { prompt, .. } => {
                self.heard(*prompt).into_iter().collect()
            }
            EventBody::ModelReplied { turn, step, blocks, .. } => self.rest_of_reply(*turn, *step, blocks),
            EventBody::ToolStarted { call, name, input, .. } => vec![json!({
                "sessionUpdate": "tool_call",
                "toolCallId": call,
                "title": call_in_words(name, input),
                "kind": kind(name),
                "status": "in_progress",
                "content": changes(name, input),
                "rawInput": input,
            })],
            EventBody::ToolFinished { call, status, output, .. } => {
                let status = match status {
                    ToolStatus::Ok => "completed",
                    ToolStatus::Error | ToolStatus::Interrupted => "failed",
                };
                vec![json!({
                    "sessionUpdate": "tool_call_update",
                    "toolCallId": call,
                    "status": status,
                    "content": [{"type": "content", "content": {"type": "text", "text": output}}],
                })]
            }
            EventBody::TodoChanged { items } => {
                let entries = items.iter().map(|item| {
                    let status = match item.status {
                        TodoStatus::Pending => "pending",
                        TodoStatus::InProgress => "in_progress",
                        TodoStatus::Done => "completed",
                    };
                    json!({"content": item.text, "status": status, "priority": "medium"})
                });
                vec![json!({"sessionUpdate": "plan", "entries": entries.collect::<Vec<_>>()})]
            }
            EventBody::TitleChanged { title, .. } => {
                vec![json!({"sessionUpdate": "session_info_update", "title": title})]
            }
            EventBody::QuestionAsked { question, .. } => vec![said(&asked(question))],
            EventBody::TurnPaused { exhausted, .. } => vec![said(&format!("\n\n*{}*\n", exhausted.reason))],
            EventBody::PullRequestOpened { number, title, url, .. } => {
                let server = if url.starts_with('/') { self.server.as_str() } else { "" };
                vec![said(&format!("\n\nPull request #{number}: [{title}]({server}{url})\n"))]
            }
            EventBody::SandboxChanged { phase: SandboxPhase::Failed, detail, .. } => {
                vec![said(&format!("\n\n*The sandbox failed. {detail}*\n"))]
            }
            EventBody::TurnEnded { outcome: TurnOutcome::Failed { reason }, .. } => {
                vec![said(&format!("\n\n*This turn failed. {reason}*\n"))]
            }
            // What else there is, people see in the browser.
            _ => Vec::new(),
        }
    }

    /// A prompt of somebody else's, or of an earlier time, is shown where the agent hears it.
    fn heard(&mut self, prompt: PromptId) -> Option<Value> {
        let (author, text) = self.prompts.remove(&prompt)?;
        if self.own.remove(&prompt) {
            return None;
        }
        let name = self.names.get(&author).map_or_else(|| author.as_str(), String::as_str);
        let text = if author == self.me { text } else { format!("**{name}:** {text}") };
        Some(chunk("user_message_chunk", &text))
    }

    fn rest_of_reply(&mut self, turn: TurnId, step: u32, blocks: &[Block]) -> Vec<Value> {
        let mut updates = Vec::new();
        for (block, index) in blocks.iter().zip(0..) {
            let (kind, text) = match block {
                Block::Text { text } => ("agent_message_chunk", text),
                Block::Reasoning { text, .. } => ("agent_thought_chunk", text),
                Block::ToolCall { .. } => continue,
            };
            let shown = self.shown.get(&(turn, step, index)).copied().unwrap_or(0);
            if let Some(rest) = text.get(shown..).filter(|rest| !rest.is_empty()) {
                updates.push(chunk(kind, rest));
            }
        }
        self.shown.retain(|(of, at, _), _| (*of, *at) > (turn, step));
        updates
    }
}

fn said(text: &str) -> Value {
    chunk("agent_message_chunk", text)
}

fn chunk(kind: &str, text: &str) -> Value {
    json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}})
}

/// A question with its answers, each on a line that can be sent back.
fn asked(question: &Question) -> String {
    let mut words = format!("\n\n**{}**\n", question.text);
    for choice in &question.choices {
        words.push_str(&format!("\n- {choice}"));
    }
    words.push_str("\n\nYour next prompt is the answer.\n");
    words
}

/// What kind of tool it is, in the protocol's words. Tools of external agents are called so already.
fn kind(tool: &str) -> &'static str {
    match tool {
        "read" | "list" => "read",
        "glob" | "grep" | "search" | "find_tool" => "search",
        "write" | "edit" | "apply_patch" => "edit",
        "bash" | "job" => "execute",
        "web_fetch" | "fetch" => "fetch",
        "delete" => "delete",
        "move" => "move",
        "think" | "todo" => "think",
        _ => "other",
    }
}

/// What a call is about to change, where its arguments say so.
fn changes(tool: &str, input: &Value) -> Value {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let difference = match tool {
        "edit" => text("path")
            .zip(text("old_string"))
            .zip(text("new_string"))
            .map(|((path, old), new)| json!({"type": "diff", "path": absolute(path), "oldText": old, "newText": new})),
        "write" => text("path").zip(text("content")).map(
            |(path, content)| json!({"type": "diff", "path": absolute(path), "oldText": null, "newText": content}),
        ),
        _ => None,
    };
    Value::Array(difference.into_iter().collect())
}

/// Paths are absolute in the protocol.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{WORKSPACE}/{path}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use hangar_protocol::{Cause, Seq};

    use super::*;

    fn event(body: Value) -> Update {
        let body = serde_json::from_value(body).unwrap();
        Update::Event(Box::new(Event { seq: Seq(1), time_ms: 0, cause: Cause::System, body }))
    }

    fn text(text: &str, offset: u32) -> Update {
        let (turn, channel) = (TurnId(1), TextChannel::Text);
        Update::Text { turn, step: 1, block: 0, channel, offset, text: text.to_owned() }
    }

    fn replied(said: &str) -> Update {
        event(json!({"type": "model_replied", "turn": 1, "step": 1, "blocks": [{"type": "text", "text": said}],
            "usage": {"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0},
            "cost_micro_usd": null, "stop": "end_turn", "first_token_ms": 0, "duration_ms": 0}))
    }

    fn words(updates: &[Value]) -> String {
        updates.iter().map(|update| update["content"]["text"].as_str().unwrap()).collect()
    }

    #[test]
    fn of_a_reply_nothing_is_said_twice_and_nothing_is_missing() {
        let mut story = Story::new("ann".parse().unwrap(), "http://hangar.test/");
        let told: Vec<Value> =
            [text("One ", 0), text("two", 4), replied("One two three.")].iter().flat_map(|u| story.tell(u)).collect();
        assert_eq!(words(&told), "One two three.");
        assert_eq!(words(&story.tell(&replied("Alone."))), "Alone.");
    }

    #[test]
    fn a_prompt_is_shown_where_it_is_heard_unless_the_editor_has_sent_it() {
        let mut story = Story::new("ann".parse().unwrap(), "http://hangar.test/");
        let added = |prompt: u32, author: &str| {
            event(
                json!({"type": "prompt_added", "prompt": prompt, "request_id": "r", "author": author, "text": "Do it."}),
            )
        };
        let started = |prompt: u32| event(json!({"type": "turn_started", "turn": prompt, "prompt": prompt}));
        story.tell(&event(json!({"type": "participant_joined",
            "person": {"user": "bob", "name": "Bob", "email": "b@example.org"}})));
        for (prompt, author) in [(1, "ann"), (2, "bob"), (3, "ann")] {
            assert!(story.tell(&added(prompt, author)).is_empty());
        }
        story.sent(PromptId(3));
        assert_eq!(words(&story.tell(&started(1))), "Do it.");
        assert_eq!(words(&story.tell(&started(2))), "**Bob:** Do it.");
        assert!(story.tell(&started(3)).is_empty());
    }

    #[test]
    fn a_pull_request_can_be_clicked_on_in_an_editor() {
        let mut story = Story::new("ann".parse().unwrap(), "http://hangar.test/");
        let mut told = |url: &str| {
            let body = json!({"type": "pull_request_opened", "number": 1, "title": "T", "author": "ann", "url": url});
            words(&story.tell(&event(body)))
        };
        assert!(told("/s/abc/pull-request").contains("[T](http://hangar.test/s/abc/pull-request)"));
        assert!(told("https://forge.test/1").contains("[T](https://forge.test/1)"));
    }

    #[test]
    fn an_edit_is_shown_as_what_it_changes() {
        let mut story = Story::new("ann".parse().unwrap(), "http://hangar.test/");
        let told = story.tell(&event(json!({"type": "tool_started", "turn": 1, "call": "c1", "name": "edit",
            "input": {"path": "src/lib.rs", "old_string": "a", "new_string": "b"}})));
        assert_eq!(told[0]["kind"], "edit");
        assert_eq!(
            told[0]["content"],
            json!([{"type": "diff", "path": "/workspace/src/lib.rs", "oldText": "a", "newText": "b"}])
        );
    }
}
