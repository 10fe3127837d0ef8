//! What Claude Code's and Codex's hook files say, what their commands are given, and what they answer.

use std::time::Duration;

use hangar_protocol::{guest::WORKSPACE, limits::clip_bytes};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    hooks::{Scene, ToolCall},
    limits,
    workspace::SandboxPath,
};

/// What Claude Code calls hangar's tools. Matchers are written for these names.
const NAMES: [(&str, &str); 8] = [
    ("bash", "Bash"),
    ("read", "Read"),
    ("write", "Write"),
    ("edit", "Edit"),
    ("list", "LS"),
    ("glob", "Glob"),
    ("grep", "Grep"),
    ("job", "BashOutput"),
];

/// When a command is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// `PreToolUse`.
    Before,
    /// `PostToolUse`.
    After,
}

/// A command of a hook file.
#[derive(Clone, Debug)]
pub(super) struct Command {
    file: &'static str,
    moment: Moment,
    /// `None` fits every tool.
    matcher: Option<Regex>,
    pub(super) command: String,
    pub(super) timeout: Duration,
}

/// What a command that ran gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

/// What it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Why it refuses.
    pub(super) refused: Option<String>,
    /// Arguments in place of the call's, by the names it was given them.
    pub(super) input: Option<Map<String, Value>>,
    /// Words for the model.
    pub(super) context: Option<String>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    matcher: Option<String>,
    #[serde(default)]
    hooks: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    command: String,
    /// Seconds.
    #[serde(default)]
    timeout: Option<u64>,
}

impl Command {
    pub(super) fn wants(&self, moment: Moment, tool: &str) -> bool {
        let fits = |matcher: &Regex| matcher.is_match(shown_name(tool)) || matcher.is_match(tool);
        self.moment == moment && self.matcher.as_ref().is_none_or(fits)
    }

    pub(super) fn shown(&self) -> String {
        format!("{} of {}", clip_bytes(&self.command, 100), self.file)
    }
}

/// The commands of a file. Its other hooks are for moments that hangar does not ask about.
pub(super) fn commands(file: &'static str, settings: &Value) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    for (name, moment) in [("PreToolUse", Moment::Before), ("PostToolUse", Moment::After)] {
        let Some(groups) = settings.get("hooks").and_then(|hooks| hooks.get(name)) else { continue };
        let groups: Vec<Group> = serde_json::from_value(groups.clone()).map_err(|error| format!("{name}: {error}"))?;
        for Group { matcher, hooks } in groups {
            let matcher = match matcher.as_deref() {
                None | Some("" | "*") => None,
                Some(pattern) => {
                    Some(Regex::new(&format!("^(?:{pattern})$")).map_err(|error| format!("{name}: {error}"))?)
                }
            };
            for entry in hooks.into_iter().filter(|entry| entry.kind == "command" && !entry.command.is_empty()) {
                let timeout = entry.timeout.map_or(limits::HOOK_COMMAND_TIMEOUT, Duration::from_secs);
                commands.push(Command {
                    file,
                    moment,
                    matcher: matcher.clone(),
                    command: entry.command,
                    timeout: timeout.min(limits::HOOK_COMMAND_TIMEOUT_MAX),
                });
            }
        }
    }
    Ok(commands)
}

fn shown_name(tool: &str) -> &str {
    NAMES.iter().find(|(own, _)| *own == tool).map_or(tool, |(_, shown)| shown)
}

fn question(event: &str, scene: &Scene, call: &ToolCall, input: &Value) -> Value {
    json!({
        "session_id": scene.session,
        "cwd": WORKSPACE,
        "hook_event_name": event,
        "tool_name": shown_name(&call.name),
        "tool_use_id": call.call,
        "tool_input": shown_arguments(input),
    })
}

pub(super) fn before(scene: &Scene, call: &ToolCall, input: &Value) -> Value {
    question("PreToolUse", scene, call, input)
}

pub(super) fn after(scene: &Scene, call: &ToolCall, output: &str, ok: bool) -> Value {
    let mut question = question("PostToolUse", scene, call, &call.input);
    question["tool_response"] = json!({"output": output, "success": ok});
    question
}

/// Arguments under the names that commands look for: a file is `file_path` and absolute.
fn shown_arguments(input: &Value) -> Value {
    let mut shown = input.clone();
    let path = input.get("path").and_then(Value::as_str).and_then(|path| SandboxPath::parse(path).ok());
    if let (Some(path), Some(arguments)) = (path, shown.as_object_mut()) {
        arguments.remove("path");
        arguments.insert("file_path".to_owned(), json!(path.as_str()));
    }
    shown
}

/// Arguments as the tool takes them. A path that was left as it was shown stays as the model wrote it.
pub(super) fn own_arguments(asked: &Value, mut updated: Map<String, Value>) -> Value {
    if let Some(path) = updated.remove("file_path") {
        let untouched = shown_arguments(asked).get("file_path") == Some(&path);
        let own = asked.get("path").filter(|_| untouched).cloned().unwrap_or(path);
        updated.insert("path".to_owned(), own);
    }
    Value::Object(updated)
}

/// What a command's end means: 2 refuses with what it wrote to standard error, 0 answers on standard output, anything else is a failure.
pub(super) fn answer(ran: &Ran) -> Result<Answer, String> {
    match ran.code {
        0 => Ok(spoken(ran.out.trim())),
        2 => {
            let words = if ran.err.trim().is_empty() { "A hook of the repository refused it." } else { ran.err.trim() };
            Ok(Answer { refused: Some(words.to_owned()), ..Answer::default() })
        }
        code => Err(format!("exit status {code}: {}", ran.err.trim())),
    }
}

/// The JSON of standard output; what is no JSON is for people who watch, and says nothing.
fn spoken(out: &str) -> Answer {
    let Ok(Value::Object(said)) = serde_json::from_str::<Value>(out) else { return Answer::default() };
    let text = |place: &Value, key: &str| place.get(key).and_then(Value::as_str).map(str::to_owned);
    let said = Value::Object(said);
    let specific = said.get("hookSpecificOutput").cloned().unwrap_or_default();
    let no_reason = || "A hook of the repository refused it.".to_owned();
    let denied = match text(&specific, "permissionDecision").as_deref() {
        // Nobody can be asked here: what wants to be asked about is refused.
        Some("deny" | "ask") => Some(text(&specific, "permissionDecisionReason").unwrap_or_else(no_reason)),
        Some(_) | None => None,
    };
    let blocked = match text(&said, "decision").as_deref() {
        Some("block") => Some(text(&said, "reason").unwrap_or_else(no_reason)),
        Some(_) | None => None,
    };
    let stopped = (said.get("continue") == Some(&Value::Bool(false)))
        .then(|| text(&said, "stopReason").unwrap_or_else(no_reason));
    Answer {
        refused: denied.or(blocked).or(stopped),
        input: specific.get("updatedInput").and_then(Value::as_object).cloned(),
        context: text(&specific, "additionalContext"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_commands_are_understood() {
        let check = |code: i32, out: &str, err: &str, expected: Result<Answer, String>| {
            assert_eq!(answer(&Ran { code, out: out.to_owned(), err: err.to_owned() }), expected, "{code} {out} {err}");
        };
        let refused = |words: &str| Ok(Answer { refused: Some(words.to_owned()), ..Answer::default() });
        check(0, "", "", Ok(Answer::default()));
        check(0, "checked 3 files", "a warning", Ok(Answer::default()));
        check(2, "", "Not today.\n", refused("Not today."));
        check(2, "", "", refused("A hook of the repository refused it."));
        check(1, "", "boom\n", Err("exit status 1: boom".to_owned()));
        check(0, r#"{"decision": "block", "reason": "No."}"#, "", refused("No."));
        check(0, r#"{"continue": false, "stopReason": "Enough."}"#, "", refused("Enough."));
        let deny = r#"{"hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": "No."}}"#;
        check(0, deny, "", refused("No."));
        check(
            0,
            r#"{"hookSpecificOutput": {"permissionDecision": "ask"}}"#,
            "",
            refused("A hook of the repository refused it."),
        );
        check(0, r#"{"hookSpecificOutput": {"permissionDecision": "allow"}}"#, "", Ok(Answer::default()));
        let context = Answer { context: Some("Read on.".to_owned()), ..Answer::default() };
        check(0, r#"{"hookSpecificOutput": {"additionalContext": "Read on."}}"#, "", Ok(context));
    }

    #[test]
    fn matchers_fit_whole_names_of_either_kind() {
        let entry = json!([{"type": "command", "command": "true"}]);
        let settings = |matcher: Value| json!({"hooks": {"PreToolUse": [{"matcher": matcher, "hooks": entry}]}});
        let check = |matcher: &str, tool: &str, fits: bool| {
            let command = commands(".claude/settings.json", &settings(json!(matcher))).unwrap().remove(0);
            assert_eq!(command.wants(Moment::Before, tool), fits, "{matcher} {tool}");
            assert!(!command.wants(Moment::After, tool));
        };
        check("Bash", "bash", true);
        check("Bash", "job", false);
        check("Edit|Write", "write", true);
        check("Edit|Write", "read", false);
        check("*", "glob", true);
        check("", "glob", true);
        check("open_pull_request", "open_pull_request", true);
        check(".*", "list", true);
        assert!(commands(".claude/settings.json", &settings(json!("("))).unwrap_err().starts_with("PreToolUse: "));
        assert!(commands(".claude/settings.json", &json!({"permissions": {}})).unwrap().is_empty());
    }

    #[test]
    fn paths_go_out_absolute_and_come_back_as_they_were() {
        let asked = json!({"path": "src/a.rs", "content": "x"});
        let shown = shown_arguments(&asked);
        assert_eq!(shown, json!({"file_path": "/workspace/src/a.rs", "content": "x"}));
        let back = own_arguments(&asked, shown.as_object().unwrap().clone());
        assert_eq!(back, asked);
        let other = json!({"file_path": "/workspace/b", "content": "x"}).as_object().unwrap().clone();
        assert_eq!(own_arguments(&asked, other), json!({"path": "/workspace/b", "content": "x"}));
    }
}
