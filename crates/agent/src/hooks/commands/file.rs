//! What stands in a file of hooks.

use std::time::Duration;

use hangar_protocol::OnFailure;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Moment, RepositoryHooks, matcher::Matcher};
use crate::limits;

/// Keys of a hook that say when or how it runs, and that are not understood here: without them it would be another hook.
const NOT_UNDERSTOOD: [&str; 3] = ["if", "args", "async"];

/// A hook that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// Its name in events.
    pub(super) name: String,
    pub(super) moment: Moment,
    pub(super) matcher: Matcher,
    /// A script for `bash -c`.
    pub(super) command: String,
    /// For all that it is asked about one thing.
    pub(super) timeout: Duration,
    pub(super) on_failure: OnFailure,
}

/// What is in a file and cannot be asked.
#[derive(Clone, Debug)]
pub(super) struct Unusable {
    /// Its name in events.
    pub(super) name: String,
    pub(super) fault: String,
    /// Where it says that its failure blocks: what it refuses then.
    pub(super) blocks: Option<Blocks>,
}

/// What is refused because it cannot be asked about.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    pub(super) moment: Moment,
    /// Everything where the matcher is what cannot be used.
    pub(super) matcher: Matcher,
}

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) commands: Vec<Command>,
    pub(super) unusable: Vec<Unusable>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    hooks: Map<String, Value>,
    #[serde(default, rename = "disableAllHooks")]
    disabled: bool,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    matcher: Option<String>,
    #[serde(default)]
    hooks: Vec<Map<String, Value>>,
}

impl Unusable {
    /// A whole file.
    pub(super) fn file(file: &str, fault: &str) -> Self {
        Self { name: format!("{}{file}", RepositoryHooks::PREFIX), fault: fault.to_owned(), blocks: None }
    }
}

/// Reads a file. Hooks for moments that hangar does not ask about are passed over.
///
/// # Errors
/// Why nothing of it can be used.
pub(super) fn read(file: &str, text: &[u8]) -> Result<Found, String> {
    let unusable = |error: serde_json::Error| format!("it cannot be used: {error}");
    let settings: Map<String, Value> = serde_json::from_slice(text).map_err(unusable)?;
    let settings: Settings = serde_json::from_value(Value::Object(settings)).map_err(unusable)?;
    let mut found = Found::default();
    if settings.disabled {
        return Ok(found);
    }
    for moment in Moment::ALL {
        let Some(groups) = settings.hooks.get(moment.name()) else { continue };
        let groups: Vec<Group> = serde_json::from_value(groups.clone())
            .map_err(|error| format!("{} cannot be used: {error}", moment.name()))?;
        let hooks = groups.into_iter().flat_map(|group| {
            let matcher = Matcher::parse(group.matcher.as_deref().unwrap_or_default());
            group.hooks.into_iter().map(move |hook| (matcher.clone(), hook))
        });
        for (place, (matcher, hook)) in hooks.enumerate() {
            let name = format!("{}{file}:{}#{}", RepositoryHooks::PREFIX, moment.name(), place + 1);
            // Any word but that for going on is taken for the stricter one.
            let on_failure = match hook.get("onFailure") {
                None => OnFailure::Open,
                Some(word) if word == "continue" => OnFailure::Open,
                Some(_) => OnFailure::Closed,
            };
            let fits = matcher.clone().unwrap_or(Matcher::All);
            match matcher.and_then(|matcher| Ok((matcher, command(&hook)?, timeout(&hook)?))) {
                Ok((matcher, command, timeout)) => {
                    found.commands.push(Command { name, moment, matcher, command, timeout, on_failure });
                }
                Err(fault) => {
                    let blocks = (on_failure == OnFailure::Closed).then_some(Blocks { moment, matcher: fits });
                    found.unusable.push(Unusable { name, fault, blocks });
                }
            }
        }
    }
    Ok(found)
}

fn command(hook: &Map<String, Value>) -> Result<String, String> {
    match hook.get("type").and_then(Value::as_str) {
        Some("command") => {}
        Some(other) => return Err(format!("hooks of type {other:?} are not run here, only those of type \"command\"")),
        None => return Err("it has no type".to_owned()),
    }
    if let Some(key) =
        NOT_UNDERSTOOD.iter().find(|key| hook.get(**key).is_some_and(|value| *value != Value::Bool(false)))
    {
        return Err(format!("it has {key:?}, which is not understood here, so it is not run"));
    }
    if hook.get("shell").is_some_and(|shell| shell != "bash") {
        return Err("it is for another shell than bash".to_owned());
    }
    match hook.get("command").and_then(Value::as_str) {
        Some(command) if !command.trim().is_empty() => Ok(command.to_owned()),
        Some(_) | None => Err("it has no command".to_owned()),
    }
}

/// Its time, within what is allowed.
fn timeout(hook: &Map<String, Value>) -> Result<Duration, String> {
    let Some(wanted) = hook.get("timeout").filter(|wanted| !wanted.is_null()) else {
        return Ok(limits::HOOK_TIMEOUT_DEFAULT);
    };
    let seconds = wanted.as_f64().filter(|seconds| *seconds >= 0.0).ok_or("its timeout is no number of seconds")?;
    let wanted = Duration::try_from_secs_f64(seconds).unwrap_or(limits::HOOK_TIMEOUT_MAX);
    Ok(wanted.clamp(limits::HOOK_TIMEOUT_MIN, limits::HOOK_TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = ".claude/settings.json";

    fn of(settings: &Value) -> Found {
        read(FILE, settings.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn hooks_are_named_by_their_place_and_have_a_bounded_time() {
        let hook = |command: &str| json!({"type": "command", "command": command});
        let mut slow = hook("b");
        slow["timeout"] = json!(1_000_000);
        slow["onFailure"] = json!("block");
        let mut quick = hook("c");
        quick["timeout"] = json!(0.5);
        quick["onFailure"] = json!("continue");
        quick["async"] = json!(false);
        let found = of(&json!({"permissions": {}, "hooks": {
            "PreToolUse": [{"matcher": "Bash", "hooks": [hook("a"), slow]}, {"hooks": [quick]}],
            "Notification": [{"hooks": [hook("never")]}],
            "Stop": [{"hooks": [hook("d")]}],
        }}));
        assert!(found.unusable.is_empty(), "{found:?}");
        let read: Vec<_> = found
            .commands
            .iter()
            .map(|hook| (hook.name.as_str(), hook.command.as_str(), hook.timeout, hook.on_failure))
            .collect();
        assert_eq!(
            read,
            [
                ("repository:.claude/settings.json:PreToolUse#1", "a", limits::HOOK_TIMEOUT_DEFAULT, OnFailure::Open),
                ("repository:.claude/settings.json:PreToolUse#2", "b", limits::HOOK_TIMEOUT_MAX, OnFailure::Closed),
                ("repository:.claude/settings.json:PreToolUse#3", "c", limits::HOOK_TIMEOUT_MIN, OnFailure::Open),
                ("repository:.claude/settings.json:Stop#1", "d", limits::HOOK_TIMEOUT_DEFAULT, OnFailure::Open),
            ]
        );
    }

    #[test]
    fn what_cannot_be_asked_is_named_and_still_blocks_where_it_says_so() {
        let check = |group: Value, fault: &str, blocks: Option<Moment>| {
            let found = of(&json!({"hooks": {"PreToolUse": [group]}}));
            assert!(found.commands.is_empty());
            let [unusable] = &found.unusable[..] else { panic!("{found:?}") };
            assert!(unusable.fault.starts_with(fault), "{}", unusable.fault);
            let blocking = unusable.blocks.as_ref().map(|blocks| blocks.moment);
            let name = "repository:.claude/settings.json:PreToolUse#1";
            assert_eq!((unusable.name.as_str(), blocking), (name, blocks));
        };
        let hook = |hook: Value| json!({"hooks": [hook]});
        check(hook(json!({"type": "prompt", "prompt": "x"})), "hooks of type \"prompt\" are not run here", None);
        let http = json!({"type": "http", "url": "x", "onFailure": "block"});
        check(hook(http), "hooks of type \"http\" are not run here", Some(Moment::PreToolUse));
        check(hook(json!({"command": "true"})), "it has no type", None);
        check(hook(json!({"type": "command", "command": " "})), "it has no command", None);
        check(hook(json!({"type": "command", "command": "x", "if": "Bash(rm *)"})), "it has \"if\"", None);
        check(hook(json!({"type": "command", "command": "x", "async": true})), "it has \"async\"", None);
        check(hook(json!({"type": "command", "command": "x", "args": ["y"]})), "it has \"args\"", None);
        check(hook(json!({"type": "command", "command": "x", "shell": "powershell"})), "it is for another shell", None);
        check(hook(json!({"type": "command", "command": "x", "timeout": "1"})), "its timeout is no number", None);
        let broken = json!({"matcher": "(", "hooks": [{"type": "command", "command": "x", "onFailure": "Block"}]});
        check(broken, "its matcher cannot be used", Some(Moment::PreToolUse));
    }

    #[test]
    fn a_file_that_is_none_is_told_of_and_one_without_hooks_has_none() {
        let check = |text: &str, fault: &str| {
            let told = read(FILE, text.as_bytes()).unwrap_err();
            assert!(told.starts_with(fault), "{told}");
        };
        check("{", "it cannot be used: EOF while parsing");
        check("[]", "it cannot be used: ");
        check(r#"{"hooks": {"Stop": {}}}"#, "Stop cannot be used: invalid type");
        for none in [json!({}), json!({"permissions": {}}), json!({"hooks": {}})] {
            assert!(of(&none).commands.is_empty() && of(&none).unusable.is_empty());
        }
        let disabled =
            json!({"disableAllHooks": true, "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}});
        assert!(of(&disabled).commands.is_empty());
    }

    #[test]
    fn only_so_many_hooks_are_heeded() {
        let hook = json!({"type": "command", "command": "true", "onFailure": "block"});
        let hooks: Vec<_> = (0..=limits::HOOKS_MAX).map(|_| hook.clone()).collect();
        let text = json!({"hooks": {"Stop": [{"hooks": hooks}]}}).to_string();
        let all = RepositoryHooks::parse(&[(FILE, Ok(text.into_bytes()))]);
        assert_eq!(all.commands.len(), limits::HOOKS_MAX);
        let [left_out] = &all.unusable[..] else { panic!("{all:?}") };
        assert_eq!(left_out.name, "repository:.claude/settings.json:Stop#33");
        assert_eq!(left_out.fault, "only 32 hooks are heeded");
        assert_eq!(left_out.blocks.as_ref().map(|blocks| blocks.moment), Some(Moment::Stop));
        let absent = RepositoryHooks::parse(&[]);
        assert!(absent.is_empty());
    }
}
