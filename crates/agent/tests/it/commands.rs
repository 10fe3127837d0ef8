//! Commands of the repository, in the files and the JSON of Claude Code and Codex, as real programs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hangar_agent::{
    Sandboxes, TurnEnd, Workspace, WorkspaceError,
    hooks::{CommandHooks, Installed},
};
use hangar_protocol::{EventBody, HookPoint, OnFailure, PluginDecision, event::ToolStatus};
use serde_json::{Value, json};

use crate::{
    directory::Directory,
    world::{World, calling},
};

struct Here(Arc<Directory>);

#[async_trait]
impl Sandboxes for Here {
    async fn workspace(&self) -> Result<Arc<dyn Workspace>, WorkspaceError> {
        Ok(self.0.clone())
    }
}

/// A world whose repository has these hooks in `file`.
async fn world(file: &str, hooks: &Value, replies: Value) -> World {
    let mut world = World::of(replies).await;
    world.put(file, &json!({"permissions": {}, "hooks": hooks}).to_string());
    world.plugins.push(Installed {
        plugin: CommandHooks::PLUGIN.to_owned(),
        hook: Arc::new(CommandHooks::new(Arc::new(Here(world.directory.clone())))),
        on_failure: OnFailure::Open,
        deadline: Duration::from_secs(60),
    });
    world
}

fn entry(matcher: &str, command: &str) -> Value {
    json!({"matcher": matcher, "hooks": [{"type": "command", "command": command, "timeout": 30}]})
}

fn decisions(world: &World) -> Vec<(HookPoint, PluginDecision)> {
    let decided = |body| match body {
        EventBody::PluginDecided { hook, decision, .. } => Some((hook, decision)),
        _ => None,
    };
    world.log.bodies().into_iter().filter_map(decided).collect()
}

#[tokio::test]
async fn a_command_is_given_the_call_and_refuses_by_its_exit_status() {
    let refuse = r#"cat > seen.json; printf 'not %s\n' "it's" >&2; echo noise; exit 2"#;
    let hooks = json!({"PreToolUse": [entry("Write|Edit", refuse)], "Stop": [entry("", "touch stopped")]});
    let write = json!({"path": "src/../f", "content": "it's \"x\" $HOME\n"});
    let replies = json!([{"calls": [{"tool": "write", "input": write}, {"tool": "read", "input": {"path": "g"}}]}, {"say": "Done."}]);
    let world = world(".claude/settings.json", &hooks, replies).await;
    world.put("g", "here");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(!world.path("f").exists() && !world.path("stopped").exists());
    let seen: Value = serde_json::from_str(&world.text("seen.json")).unwrap();
    let call = seen["tool_use_id"].clone();
    assert_eq!(
        seen,
        json!({
            "session_id": "s1", "cwd": "/workspace", "hook_event_name": "PreToolUse", "tool_name": "Write", "tool_use_id": call,
            "tool_input": {"file_path": "/workspace/f", "content": "it's \"x\" $HOME\n"},
        })
    );
    let denied = PluginDecision::Denied { words: "not it's".to_owned() };
    assert_eq!(decisions(&world), [(HookPoint::ToolExecuteBefore, denied)]);
    assert!(world.results().contains(&(ToolStatus::Error, "not it's".to_owned())), "{:?}", world.results());
    assert!(world.results().iter().any(|(status, output)| *status == ToolStatus::Ok && output.contains("here")));
}

#[tokio::test]
async fn commands_change_calls_and_speak_after_them() {
    let quiet = r#"echo '{"hookSpecificOutput": {"hookEventName": "PreToolUse", "updatedInput": {"command": "echo changed"}}}'"#;
    let speak = r#"grep -q '"success":true' && echo '{"hookSpecificOutput": {"additionalContext": "It worked."}}'"#;
    let block = r#"echo '{"decision": "block", "reason": "Look again."}'"#;
    let hooks = json!({
        "PreToolUse": [entry("Bash", quiet), entry("Bash", "cat > second.json")],
        "PostToolUse": [entry("*", speak), entry("Bash", block)],
    });
    let world = world(
        ".codex/hooks.json",
        &hooks,
        json!([calling("bash", json!({"command": "echo asked"})), {"say": "Done."}]),
    )
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let (status, output) = world.results().remove(0);
    let said = "\n\n[a hook of the repository says:]\n";
    assert_eq!((status, output), (ToolStatus::Ok, format!("changed\n{said}It worked.{said}Look again.")));
    let second: Value = serde_json::from_str(&world.text("second.json")).unwrap();
    assert_eq!(second["tool_input"], json!({"command": "echo changed"}));
    let replaced = PluginDecision::Replaced;
    assert_eq!(
        decisions(&world),
        [(HookPoint::ToolExecuteBefore, replaced.clone()), (HookPoint::ToolExecuteAfter, replaced)]
    );
}

#[tokio::test]
async fn what_is_broken_is_said_and_passes() {
    let hooks = json!({"PreToolUse": [entry("Bash", "echo boom >&2; exit 1")]});
    let replies = json!([calling("bash", json!({"command": "touch made"})), {"say": "Done."}]);
    let world = world(".hangar/hooks.json", &hooks, replies).await;
    world.put(".claude/settings.json", "{");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.path("made").exists());
    let decided = decisions(&world);
    let [(HookPoint::ToolExecuteBefore, PluginDecision::Failed { reason, on_failure: OnFailure::Open })] = &decided[..]
    else {
        panic!("{decided:?}");
    };
    assert!(reason.starts_with(".claude/settings.json cannot be used: EOF while parsing"), "{reason}");

    let replies = json!([calling("bash", json!({"command": "touch made"})), {"say": "Done."}]);
    let world = self::world(".hangar/hooks.json", &hooks, replies).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let reason = "echo boom >&2; exit 1 of .hangar/hooks.json: exit status 1: boom".to_owned();
    let failed = PluginDecision::Failed { reason, on_failure: OnFailure::Open };
    assert_eq!(decisions(&world), [(HookPoint::ToolExecuteBefore, failed)]);
    assert!(world.path("made").exists());
}
