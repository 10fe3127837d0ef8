//! `ask`: a question to the people of the session. The turn ends with it, so that nothing waits for them: neither a sandbox nor a task of the server's. Whatever somebody
//! says next is the answer.

use async_trait::async_trait;
use hangar_protocol::{
    EventBody, Question,
    limits::{QUESTION_CHARS_MAX, QUESTION_CHOICE_CHARS_MAX, QUESTION_CHOICES_MAX},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments};

/// What it is called.
pub(crate) const NAME: &str = "ask";

pub(super) struct Ask(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    question: String,
    #[serde(default)]
    choices: Vec<String>,
}

impl Ask {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: NAME,
            description: "Ask the people something. Your turn ends; their answer is the next message. Choices are short answers they can click; they may say something else.",
            schema: json!({"type": "object", "required": ["question"], "properties": {
                "question": {"type": "string", "maxLength": QUESTION_CHARS_MAX},
                "choices": {"type": "array", "maxItems": QUESTION_CHOICES_MAX, "items": {
                    "type": "string", "maxLength": QUESTION_CHOICE_CHARS_MAX,
                }},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Ask {
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
        let Arguments { question, choices } = arguments(input)?;
        let text = question.trim().to_owned();
        if text.is_empty() || text.chars().count() > QUESTION_CHARS_MAX {
            return Err(Tell(format!("A question has 1 to {QUESTION_CHARS_MAX} characters.")).into());
        }
        let choices: Vec<String> = choices.iter().map(|choice| choice.trim().replace('\n', " ")).collect();
        let fits = |choice: &String| (1..=QUESTION_CHOICE_CHARS_MAX).contains(&choice.chars().count());
        if choices.len() > QUESTION_CHOICES_MAX || !choices.iter().all(fits) {
            return Err(Tell(format!(
                "There are at most {QUESTION_CHOICES_MAX} choices, each of 1 to {QUESTION_CHOICE_CHARS_MAX} characters."
            ))
            .into());
        }
        let question = Question { text, choices, permission: None };
        let asked = EventBody::QuestionAsked { turn: context.turn, call: context.call.clone(), question };
        context.sink.record(asked).await?;
        Ok(ToolOutput::done("They were asked. Their answer is the next message."))
    }
}
