//! What a command finds on its standard input.

use hangar_protocol::guest::WORKSPACE;
use serde_json::{Value, json};

use super::{Moment, tools};
use crate::hooks::{Occasion, Scene, ToolCall};

/// How a session of hangar's begins: each turn goes on from its log, and nothing is resumed or cleared.
pub(super) const SOURCE: &str = "startup";
/// The agent asks nobody before a call: the sandbox is what holds it in.
const PERMISSION_MODE: &str = "bypassPermissions";

/// The question. There is no file of the conversation in the sandbox, so `transcript_path` is null. `input` has the arguments of a call as they are shown.
pub(super) fn about(moment: Moment, scene: &Scene, occasion: Occasion<'_>, input: &Value) -> Value {
    let mut question = json!({
        "session_id": scene.session,
        "turn_id": scene.turn.to_string(),
        "transcript_path": null,
        "cwd": WORKSPACE,
        "hook_event_name": moment.name(),
        "model": scene.model,
        "permission_mode": PERMISSION_MODE,
    });
    let mut call = |call: &ToolCall| {
        question["tool_name"] = json!(tools::names(&call.name).first());
        question["tool_use_id"] = json!(call.call);
        question["tool_input"] = input.clone();
    };
    match occasion {
        Occasion::SessionStart => question["source"] = json!(SOURCE),
        Occasion::PromptSubmit { text, .. } => question["prompt"] = json!(text),
        Occasion::ContextInject => {}
        Occasion::ToolExecuteBefore(asked) | Occasion::PermissionAsk(asked) => call(asked),
        Occasion::ToolExecuteAfter(asked, result) if moment == Moment::PostToolUseFailure => {
            call(asked);
            question["error"] = json!(result.output);
        }
        Occasion::ToolExecuteAfter(asked, result) => {
            call(asked);
            question["tool_response"] = json!({"output": result.output, "success": true});
        }
        Occasion::TurnEnd { said, sent_back } => {
            question["stop_hook_active"] = json!(sent_back > 0);
            question["last_assistant_message"] = json!(said);
        }
    }
    question
}
