//! What a command's end and its words mean.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Moment;
use crate::hooks::Verdict;

/// Why arguments of a hook's are no answer where there are none.
pub(super) const NO_INPUT: &str = "updatedInput is no answer here";
/// Words for a refusal that has none.
const NO_WORDS: &str = "A hook of the repository refused it and did not say why.";

/// What a command that ended by itself gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    /// Its exit status.
    pub(super) code: i32,
    /// Its standard output.
    pub(super) out: String,
    /// Its standard error.
    pub(super) err: String,
}

/// The JSON that a command may answer. Keys that are not here are about how Claude Code and Codex show hooks.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default, rename = "continue")]
    goes_on: Option<bool>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    decision: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    hook_specific_output: Option<Specific>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specific {
    #[serde(default)]
    hook_event_name: Option<String>,
    #[serde(default)]
    permission_decision: Option<String>,
    #[serde(default)]
    permission_decision_reason: Option<String>,
    #[serde(default)]
    updated_input: Option<Map<String, Value>>,
    #[serde(default)]
    updated_tool_output: Option<Value>,
    #[serde(default)]
    additional_context: Option<String>,
}

/// Arguments as hooks see them to arguments as the tool takes them.
pub(super) type Own<'a> = &'a mut (dyn FnMut(Map<String, Value>) -> Result<Value, String> + Send);

/// What a command's end means: 2 refuses with what it wrote to standard error, 0 answers on standard output.
///
/// # Errors
/// What went wrong: any other status, and an answer that does not fit.
pub(super) fn verdict(moment: Moment, ran: &Ran, own: Own<'_>) -> Result<Verdict, String> {
    match ran.code {
        0 => spoken(moment, ran.out.trim(), own),
        2 => refused(moment, Some(ran.err.trim())),
        code => Err(format!("exit status {code}: {}", ran.err.trim())),
    }
}

/// Standard output. What does not begin like an object is words: for the model where a session or a prompt begins, else for nobody.
fn spoken(moment: Moment, out: &str, own: Own<'_>) -> Result<Verdict, String> {
    if out.starts_with('{') {
        let answer = serde_json::from_str(out).map_err(|error| format!("its answer cannot be used: {error}"))?;
        return answered(moment, answer, own);
    }
    match moment {
        Moment::SessionStart | Moment::UserPromptSubmit if !out.is_empty() => Ok(adding(moment, out, Verdict::Allow)),
        Moment::SessionStart
        | Moment::UserPromptSubmit
        | Moment::PreToolUse
        | Moment::PostToolUse
        | Moment::PostToolUseFailure
        | Moment::Stop => Ok(Verdict::Allow),
    }
}

fn answered(moment: Moment, answer: Answer, own: Own<'_>) -> Result<Verdict, String> {
    let specific = answer.hook_specific_output.unwrap_or_default();
    if let Some(event) = specific.hook_event_name.filter(|event| event != moment.name()) {
        return Err(format!("its answer is for {event}, not for {}", moment.name()));
    }
    let context = specific.additional_context.as_deref().map(str::trim).filter(|words| !words.is_empty());
    if context.is_some() && moment == Moment::Stop {
        return Err("additionalContext is no answer to Stop: it has decision \"block\" with a reason".to_owned());
    }
    let stopped = answer.goes_on == Some(false);
    let (denied, asks) = match specific.permission_decision.as_deref() {
        None | Some("allow") => (false, false),
        Some("ask") => (false, true),
        Some("deny") => (true, false),
        Some(other) => return Err(format!("the permissionDecision {other:?} is not known")),
    };
    let blocked = match answer.decision.as_deref() {
        None | Some("approve") => false,
        Some("block") => true,
        Some(other) => return Err(format!("the decision {other:?} is not known")),
    };
    let verdict = if stopped && moment == Moment::Stop {
        // The turn ends, which is what it wants.
        Verdict::Allow
    } else if stopped {
        refused(moment, answer.stop_reason.as_deref())?
    } else if denied {
        refused(moment, specific.permission_decision_reason.as_deref())?
    } else if blocked {
        refused(moment, answer.reason.as_deref())?
    } else if asks {
        asked(moment, specific.permission_decision_reason.as_deref())?
    } else if let Some(updated) = specific.updated_input {
        match moment {
            Moment::PreToolUse => Verdict::Arguments(own(updated)?),
            Moment::SessionStart
            | Moment::UserPromptSubmit
            | Moment::PostToolUse
            | Moment::PostToolUseFailure
            | Moment::Stop => return Err(NO_INPUT.to_owned()),
        }
    } else if let Some(output) = specific.updated_tool_output {
        replaced(moment, &output)?
    } else {
        Verdict::Allow
    };
    Ok(context.map_or(verdict.clone(), |words| adding(moment, words, verdict)))
}

/// What takes the place of a result: a text, or `tool_response` as it was given.
fn replaced(moment: Moment, output: &Value) -> Result<Verdict, String> {
    let text = output.as_str().or_else(|| output.get("output").and_then(Value::as_str));
    match (moment, text) {
        (Moment::PostToolUse | Moment::PostToolUseFailure, Some(text)) => Ok(Verdict::Output(text.to_owned())),
        _ => Err("updatedToolOutput is no answer here".to_owned()),
    }
}

/// A refusal, as far as something can be refused. A call that was made was made: the model is told below its result.
fn refused(moment: Moment, words: Option<&str>) -> Result<Verdict, String> {
    let words = words.map(str::trim).filter(|words| !words.is_empty()).unwrap_or(NO_WORDS).to_owned();
    match moment {
        Moment::PreToolUse | Moment::UserPromptSubmit | Moment::Stop => Ok(Verdict::Deny(words)),
        Moment::PostToolUse | Moment::PostToolUseFailure => Ok(adding(moment, &words, Verdict::Allow)),
        Moment::SessionStart => Err(format!("a session's beginning cannot be refused: {words}")),
    }
}

/// A person is to decide. Their answer allows the call as the model made it.
fn asked(moment: Moment, words: Option<&str>) -> Result<Verdict, String> {
    let words = words.map(str::trim).filter(|words| !words.is_empty()).unwrap_or(NO_WORDS).to_owned();
    match moment {
        Moment::PreToolUse => Ok(Verdict::Ask(words)),
        Moment::SessionStart
        | Moment::UserPromptSubmit
        | Moment::PostToolUse
        | Moment::PostToolUseFailure
        | Moment::Stop => Err("the permissionDecision \"ask\" is no answer here".to_owned()),
    }
}

/// A verdict with words for the model.
fn adding(moment: Moment, words: &str, verdict: Verdict) -> Verdict {
    match (moment, verdict) {
        (Moment::SessionStart, _) => Verdict::Context(words.to_owned()),
        (_, Verdict::Adding { words: said, and }) => Verdict::Adding { words: format!("{said}\n\n{words}"), and },
        (_, verdict) => Verdict::Adding { words: words.to_owned(), and: Box::new(verdict) },
    }
}

/// Whether a verdict ends the matter.
pub(super) fn refuses(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Deny(_) | Verdict::Ask(_) => true,
        Verdict::Adding { and, .. } => refuses(and),
        Verdict::Allow | Verdict::Arguments(_) | Verdict::Output(_) | Verdict::Context(_) => false,
    }
}

/// What a hook said about the same thing in several answers: the last one that is more than letting pass, and all words.
pub(super) fn joined(verdicts: Vec<Verdict>) -> Verdict {
    let mut all: Vec<String> = Vec::new();
    let mut last = Verdict::Allow;
    for verdict in verdicts {
        let verdict = match verdict {
            Verdict::Adding { words, and } => {
                if !all.contains(&words) {
                    all.push(words);
                }
                *and
            }
            verdict => verdict,
        };
        if verdict != Verdict::Allow {
            last = verdict;
        }
    }
    if all.is_empty() { last } else { Verdict::Adding { words: all.join("\n\n"), and: Box::new(last) } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(moment: Moment, code: i32, out: &str, err: &str, expected: Result<Verdict, &str>) {
        let ran = Ran { code, out: out.to_owned(), err: err.to_owned() };
        let said = verdict(moment, &ran, &mut |updated| Ok(Value::Object(updated)));
        assert_eq!(said, expected.map_err(str::to_owned), "{moment:?} {code} {out} {err}");
    }

    fn deny(words: &str) -> Result<Verdict, &'static str> {
        Ok(Verdict::Deny(words.to_owned()))
    }

    fn add(words: &str, and: Verdict) -> Result<Verdict, &'static str> {
        Ok(Verdict::Adding { words: words.to_owned(), and: Box::new(and) })
    }

    fn specific(fields: Value) -> String {
        json!({"hookSpecificOutput": fields}).to_string()
    }

    #[test]
    fn exit_status_2_refuses_and_others_are_failures() {
        use Moment::*;
        for moment in Moment::ALL {
            check(moment, 0, "", "a warning", Ok(Verdict::Allow));
            check(moment, 1, "", "boom\n", Err("exit status 1: boom"));
            check(
                moment,
                127,
                r#"{"decision": "block"}"#,
                "sh: x: not found",
                Err("exit status 127: sh: x: not found"),
            );
        }
        for moment in [PreToolUse, UserPromptSubmit, Stop] {
            // What it wrote to standard output does not count.
            check(moment, 2, r#"{"decision": "approve"}"#, "Not today.\n", deny("Not today."));
            check(moment, 2, "", "", deny(NO_WORDS));
        }
        check(PostToolUse, 2, "", "Look again.", add("Look again.", Verdict::Allow));
        check(PostToolUseFailure, 2, "", "Look again.", add("Look again.", Verdict::Allow));
        check(SessionStart, 2, "", "No.", Err("a session's beginning cannot be refused: No."));
    }

    #[test]
    fn words_that_are_no_object_are_for_the_model_only_at_a_beginning() {
        use Moment::*;
        check(SessionStart, 0, "It rains.\n", "", Ok(Verdict::Context("It rains.".to_owned())));
        check(UserPromptSubmit, 0, "It rains.\n", "", add("It rains.", Verdict::Allow));
        for moment in [PreToolUse, PostToolUse, PostToolUseFailure, Stop] {
            check(moment, 0, "checked 3 files", "", Ok(Verdict::Allow));
            check(moment, 0, "[1, 2]", "", Ok(Verdict::Allow));
        }
    }

    #[test]
    fn an_answer_that_begins_like_an_object_must_be_one_that_fits() {
        use Moment::*;
        for moment in Moment::ALL {
            check(
                moment,
                0,
                "{\"decision\": ",
                "",
                Err("its answer cannot be used: EOF while parsing a value at line 1 column 12"),
            );
        }
        let faulty = |out: &str| {
            let ran = Ran { code: 0, out: out.to_owned(), err: String::new() };
            verdict(PreToolUse, &ran, &mut |updated| Ok(Value::Object(updated))).unwrap_err()
        };
        assert!(faulty(r#"{"continue": "no"}"#).starts_with("its answer cannot be used: invalid type"));
        assert!(faulty(&specific(json!({"updatedInput": "x"}))).starts_with("its answer cannot be used: invalid type"));
        assert_eq!(faulty(r#"{"decision": "deny"}"#), "the decision \"deny\" is not known");
        assert_eq!(
            faulty(&specific(json!({"permissionDecision": "defer"}))),
            "the permissionDecision \"defer\" is not known"
        );
        let elsewhere = specific(json!({"hookEventName": "Stop", "permissionDecision": "deny"}));
        assert_eq!(faulty(&elsewhere), "its answer is for Stop, not for PreToolUse");
        assert_eq!(faulty(&specific(json!({"updatedToolOutput": "x"}))), "updatedToolOutput is no answer here");
        check(Stop, 0, &specific(json!({"updatedInput": {}})), "", Err(NO_INPUT));
        let context = specific(json!({"additionalContext": "x"}));
        check(
            Stop,
            0,
            &context,
            "",
            Err("additionalContext is no answer to Stop: it has decision \"block\" with a reason"),
        );
    }

    #[test]
    fn answers_refuse_change_and_add() {
        use Moment::*;
        check(PreToolUse, 0, "{}", "", Ok(Verdict::Allow));
        check(PreToolUse, 0, r#"{"systemMessage": "x", "suppressOutput": true}"#, "", Ok(Verdict::Allow));
        let reasoned = json!({"permissionDecision": "deny", "permissionDecisionReason": "No."});
        check(PreToolUse, 0, &specific(reasoned), "", deny("No."));
        check(
            PreToolUse,
            0,
            &specific(json!({"permissionDecision": "ask"})),
            "",
            Ok(Verdict::Ask(NO_WORDS.to_owned())),
        );
        check(PreToolUse, 0, &specific(json!({"permissionDecision": "allow"})), "", Ok(Verdict::Allow));
        check(PreToolUse, 0, r#"{"decision": "block", "reason": "No."}"#, "", deny("No."));
        check(PreToolUse, 0, r#"{"continue": false, "stopReason": "Enough."}"#, "", deny("Enough."));
        let arguments = Verdict::Arguments(json!({"command": "ls"}));
        let both =
            json!({"hookEventName": "PreToolUse", "updatedInput": {"command": "ls"}, "additionalContext": "Read on."});
        check(PreToolUse, 0, &specific(both), "", add("Read on.", arguments));
        check(
            PostToolUse,
            0,
            r#"{"decision": "block", "reason": "Look again."}"#,
            "",
            add("Look again.", Verdict::Allow),
        );
        let both = json!({"decision": "block", "reason": "One.", "hookSpecificOutput": {"additionalContext": "Two."}});
        check(PostToolUse, 0, &both.to_string(), "", add("One.\n\nTwo.", Verdict::Allow));
        let output = Ok(Verdict::Output("x".to_owned()));
        check(PostToolUse, 0, &specific(json!({"updatedToolOutput": "x"})), "", output.clone());
        check(PostToolUse, 0, &specific(json!({"updatedToolOutput": {"output": "x", "success": true}})), "", output);
        check(Stop, 0, r#"{"decision": "block", "reason": "Not yet."}"#, "", deny("Not yet."));
        check(Stop, 0, r#"{"decision": "block", "reason": "Not yet.", "continue": false}"#, "", Ok(Verdict::Allow));
        check(UserPromptSubmit, 0, r#"{"decision": "block", "reason": "No."}"#, "", deny("No."));
        let context = specific(json!({"additionalContext": "It rains."}));
        check(SessionStart, 0, &context, "", Ok(Verdict::Context("It rains.".to_owned())));
        check(UserPromptSubmit, 0, &context, "", add("It rains.", Verdict::Allow));
    }

    #[test]
    fn what_was_said_file_by_file_is_one_verdict() {
        let adding = |words: &str, and: Verdict| Verdict::Adding { words: words.to_owned(), and: Box::new(and) };
        let no = Verdict::Deny("No.".to_owned());
        assert_eq!(joined(vec![Verdict::Allow, Verdict::Allow]), Verdict::Allow);
        assert_eq!(joined(vec![Verdict::Allow, no.clone()]), no);
        let said = vec![adding("One.", Verdict::Allow), adding("One.", Verdict::Allow), adding("Two.", no.clone())];
        assert_eq!(joined(said), adding("One.\n\nTwo.", no));
    }
}
