//! `todo`: what is to be done, shown to people.

use async_trait::async_trait;
use hangar_protocol::{EventBody, TodoItem, TodoStatus, limits::TODO_ITEMS_MAX};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments};

/// Longest entry.
const ITEM_CHARS_MAX: usize = 200;

/// What it is called.
pub(crate) const NAME: &str = "todo";

pub(super) struct Todo(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    items: Vec<TodoItem>,
}

impl Todo {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: NAME,
            description: "Replace the todo list, which people see: all entries, in order, at most one in progress.",
            schema: json!({"type": "object", "required": ["items"], "properties": {
                "items": {"type": "array", "maxItems": TODO_ITEMS_MAX, "items": {
                    "type": "object", "required": ["text", "status"], "properties": {
                        "text": {"type": "string", "maxLength": ITEM_CHARS_MAX},
                        "status": {"enum": ["pending", "in_progress", "done"]},
                    },
                }},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Todo {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Notes
    }

    fn uses_workspace(&self) -> bool {
        false
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { mut items } = arguments(input)?;
        if items.len() > TODO_ITEMS_MAX {
            return Err(Tell(format!("A list has at most {TODO_ITEMS_MAX} entries.")).into());
        }
        for item in &mut items {
            item.text = hangar_protocol::limits::clip(&item.text.replace('\n', " "), ITEM_CHARS_MAX);
        }
        let open = items.iter().filter(|item| item.status != TodoStatus::Done).count();
        let words = format!("Noted: {} entries, {open} of them open.", items.len());
        context.sink.record(EventBody::TodoChanged { items }).await?;
        Ok(ToolOutput::done(words))
    }
}
