//! A plugin as a hook: what it is asked as JSON, and what its answer means.

use async_trait::async_trait;
use hangar_agent::{
    Hook, Verdict,
    hooks::{Occasion, Scene},
};
use hangar_protocol::{HookPoint, event::ToolStatus};
use serde_json::{Map, Value, json};

use crate::{
    engine::{Said, Source},
    worker::Worker,
};

/// A plugin that is loaded.
pub(crate) struct JavaScript {
    points: Vec<HookPoint>,
    worker: Worker,
}

impl JavaScript {
    pub(crate) fn start(source: Source, timeout: std::time::Duration) -> Result<Self, String> {
        let (worker, points) = Worker::start(source, timeout)?;
        Ok(Self { points, worker })
    }
}

#[async_trait]
impl Hook for JavaScript {
    fn listens(&self, point: HookPoint) -> bool {
        self.points.contains(&point)
    }

    async fn ask(&self, scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        let (input, output) = question(scene, occasion);
        let said = self.worker.ask(occasion.point(), input.to_string(), output.to_string()).await?;
        match said {
            Said::Threw(words) => match occasion.point() {
                HookPoint::SessionStart | HookPoint::ContextInject => Err(format!("it threw: {words}")),
                HookPoint::PromptSubmit
                | HookPoint::ToolExecuteBefore
                | HookPoint::PermissionAsk
                | HookPoint::ToolExecuteAfter
                | HookPoint::TurnEnd => Ok(Verdict::Deny(words)),
            },
            Said::Returned(left) => {
                let left: Map<String, Value> =
                    serde_json::from_str(&left).map_err(|_| "its output is no object any more".to_owned())?;
                verdict(occasion, left)
            }
        }
    }
}

/// The two values that a hook is called with. `output` is what it may change.
fn question(scene: &Scene, occasion: Occasion<'_>) -> (Value, Value) {
    let mut input = json!({
        "sessionID": scene.session,
        "repo": scene.repo,
        "branch": scene.branch,
        "baseBranch": scene.base_branch,
        "turn": scene.turn,
        "author": scene.author,
    });
    let output = match occasion {
        Occasion::SessionStart | Occasion::ContextInject => json!({"context": []}),
        Occasion::PromptSubmit { by, text } => {
            input["by"] = json!(by);
            input["text"] = json!(text);
            json!({})
        }
        Occasion::ToolExecuteBefore(call) => {
            input["tool"] = json!(call.name);
            input["callID"] = json!(call.call);
            input["mutates"] = json!(call.mutates);
            json!({"args": call.input})
        }
        Occasion::PermissionAsk(call) => {
            input["tool"] = json!(call.name);
            input["callID"] = json!(call.call);
            input["mutates"] = json!(call.mutates);
            input["args"] = call.input.clone();
            json!({"status": "allow", "reason": ""})
        }
        Occasion::ToolExecuteAfter(call, result) => {
            input["tool"] = json!(call.name);
            input["callID"] = json!(call.call);
            input["mutates"] = json!(call.mutates);
            input["args"] = call.input.clone();
            input["ok"] = json!(result.status == ToolStatus::Ok);
            json!({"output": result.output})
        }
        Occasion::TurnEnd { .. } => json!({}),
    };
    (input, output)
}

/// What `output`, as the hook left it, means.
fn verdict(occasion: Occasion<'_>, mut left: Map<String, Value>) -> Result<Verdict, String> {
    match occasion {
        Occasion::PromptSubmit { .. } | Occasion::TurnEnd { .. } => Ok(Verdict::Allow),
        Occasion::ToolExecuteBefore(call) => match left.remove("args") {
            Some(args) if args == call.input => Ok(Verdict::Allow),
            Some(args @ Value::Object(_)) => Ok(Verdict::Arguments(args)),
            Some(_) | None => Err("output.args is no object any more".to_owned()),
        },
        Occasion::PermissionAsk(_) => {
            let reason = match left.remove("reason") {
                Some(Value::String(reason)) if !reason.trim().is_empty() => reason,
                Some(Value::String(_)) => "A person has to decide this.".to_owned(),
                Some(_) | None => return Err("output.reason is no text any more".to_owned()),
            };
            match left.get("status").and_then(Value::as_str) {
                Some("allow") => Ok(Verdict::Allow),
                Some("ask") => Ok(Verdict::Ask(reason)),
                Some("deny") => Ok(Verdict::Deny(reason)),
                Some(_) | None => Err("output.status is none of allow, ask and deny".to_owned()),
            }
        }
        Occasion::ToolExecuteAfter(_, result) => match left.remove("output") {
            Some(Value::String(text)) if text == result.output => Ok(Verdict::Allow),
            Some(Value::String(text)) => Ok(Verdict::Output(text)),
            Some(_) | None => Err("output.output is no text any more".to_owned()),
        },
        Occasion::SessionStart | Occasion::ContextInject => {
            let words = match left.remove("context") {
                Some(Value::Array(words)) => words,
                Some(_) | None => return Err("output.context is no list any more".to_owned()),
            };
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            match words {
                Some(words) if words.is_empty() => Ok(Verdict::Allow),
                Some(words) => Ok(Verdict::Context(words.join("\n\n"))),
                None => Err("output.context holds something that is no text".to_owned()),
            }
        }
    }
}
