//! What the scripted model says. `docs/models.md` describes the format.

use serde_json::{Value, json};

/// A transcript being written: for each wish, replies in order.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    pace: Option<Value>,
    scripts: Vec<Value>,
}

/// One reply: words, then calls.
#[derive(Clone, Debug)]
pub struct Reply(Value);

impl Transcript {
    /// A transcript that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says so many characters at a time, with this pause before each.
    #[must_use]
    pub fn pace(mut self, chunk_chars: usize, pause_ms: u64) -> Self {
        self.pace = Some(json!({"chunk_chars": chunk_chars, "pause_ms": pause_ms}));
        self
    }

    /// To a prompt that contains `wish`, these replies. The first wish that fits counts.
    #[must_use]
    pub fn on(mut self, wish: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Vec<Value> = replies.into_iter().map(|Reply(value)| value).collect();
        self.scripts.push(json!({"wish": wish, "replies": replies}));
        self
    }

    /// Gives this title to the sessions that begin with the wish before.
    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        if let Some(script) = self.scripts.last_mut() {
            script["title"] = title.into();
        }
        self
    }

    /// The file's content.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = json!({"name": "test", "about": "for tests", "scripts": self.scripts});
        if let Some(pace) = &self.pace {
            value["pace"] = pace.clone();
        }
        value
    }
}

impl Reply {
    /// Words.
    #[must_use]
    pub fn say(words: &str) -> Self {
        Self(json!({"say": words, "calls": []}))
    }

    /// Only a shell command.
    #[must_use]
    pub fn bash(command: &str) -> Self {
        Self(json!({"calls": []})).and_bash(command)
    }

    /// And a shell command.
    #[must_use]
    pub fn and_bash(self, command: &str) -> Self {
        self.and_call("bash", json!({"command": command}))
    }

    /// And a call of a tool.
    #[must_use]
    pub fn and_call(mut self, tool: &str, input: Value) -> Self {
        if let Some(calls) = self.0["calls"].as_array_mut() {
            calls.push(json!({"tool": tool, "input": input}));
        }
        self
    }

    /// From here on `${name}` stands for what the results of the calls before have between these two texts.
    #[must_use]
    pub fn capturing(mut self, name: &str, from: &str, to: &str) -> Self {
        self.0["capture"][name] = json!({"from": from, "to": to});
        self
    }

    /// Goes wrong first: the first attempt meets the first fault, and so on (`docs/models.md`).
    #[must_use]
    pub fn meeting(mut self, faults: Value) -> Self {
        self.0["faults"] = faults;
        self
    }

    /// Counts so many tokens.
    #[must_use]
    pub fn costing(mut self, input: u64, output: u64) -> Self {
        self.0["usage"] = json!({"input": input, "output": output});
        self
    }

    /// If the results of the calls before do not contain `words`, `otherwise` is said and the turn ends.
    #[must_use]
    pub fn after(mut self, words: &str, otherwise: &str) -> Self {
        self.0["after"] = words.into();
        self.0["otherwise"] = otherwise.into();
        self
    }

    /// Is said once more when the results of its own calls contain `words`.
    #[must_use]
    pub fn repeat_when(mut self, words: &str) -> Self {
        self.0["repeat_when"] = words.into();
        self
    }
}
