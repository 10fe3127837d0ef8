//! A repository's own hooks, in the files and the JSON of Claude Code and Codex, as real commands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hangar_agent::{
    Sandboxes, TurnEnd, Workspace, WorkspaceError,
    hooks::{Installed, RepositoryHooks},
    limits::{HOOK_PATCH_FILES_MAX, TURN_SENT_BACK_MAX},
};
use hangar_protocol::{EventBody, HookPoint, OnFailure, PluginDecision, event::ToolStatus};
use serde_json::{Value, json};

use crate::{
    directory::Directory,
    log::Log,
    world::{World, ada, calling},
};

const CLAUDE: &str = ".claude/settings.json";
const BEFORE: HookPoint = HookPoint::ToolExecuteBefore;
const AFTER: HookPoint = HookPoint::ToolExecuteAfter;

/// Hands out the directory to hooks, and counts how often it was asked.
struct Here(Arc<Directory>, Arc<AtomicUsize>);

#[async_trait]
impl Sandboxes for Here {
    async fn workspace(&self) -> Result<Arc<dyn Workspace>, WorkspaceError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

/// The hooks of a file, as they stand on a bus.
fn installed(world: &World, file: &str, text: &str) -> (Vec<Installed>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let sandboxes: Arc<dyn Sandboxes> = Arc::new(Here(world.directory.clone(), asked.clone()));
    let hooks = RepositoryHooks::parse(&[(file, Ok(text.as_bytes().to_vec()))]);
    (hooks.installed(&sandboxes), asked)
}

/// A world whose repository has these hooks, and how often they asked for its sandbox.
async fn world_in(file: &str, hooks: Value, replies: Value) -> (World, Arc<AtomicUsize>) {
    let mut world = World::of(replies).await;
    let (hooks, asked) = installed(&world, file, &json!({"permissions": {}, "hooks": hooks}).to_string());
    world.plugins.extend(hooks);
    (world, asked)
}

async fn world(hooks: Value, replies: Value) -> World {
    world_in(CLAUDE, hooks, replies).await.0
}

fn group(matcher: &str, command: &str) -> Value {
    json!({"matcher": matcher, "hooks": [{"type": "command", "command": command, "timeout": 60}]})
}

fn guard(matcher: &str, command: &str, timeout_s: u64) -> Value {
    let hook = json!({"type": "command", "command": command, "timeout": timeout_s, "onFailure": "block"});
    json!({"matcher": matcher, "hooks": [hook]})
}

/// A command that answers this.
fn answering(answer: Value) -> String {
    format!("cat <<'END'\n{answer}\nEND")
}

fn specific(fields: Value) -> Value {
    json!({"hookSpecificOutput": fields})
}

/// What hooks decided, in order: the end of their name, where, and what.
fn decisions(log: &Log) -> Vec<(String, HookPoint, PluginDecision)> {
    let decided = |body| match body {
        EventBody::PluginDecided { plugin, hook, decision, .. } => {
            let name = plugin.strip_prefix("repository:").unwrap_or(&plugin);
            Some((name.rsplit(':').next().unwrap_or(name).to_owned(), hook, decision))
        }
        _ => None,
    };
    log.bodies().into_iter().filter_map(decided).collect()
}

fn denied(words: &str) -> PluginDecision {
    PluginDecision::Denied { words: words.to_owned() }
}

fn injected(text: &str) -> PluginDecision {
    PluginDecision::Injected { text: text.to_owned() }
}

fn failed(reason: &str, on_failure: OnFailure) -> PluginDecision {
    PluginDecision::Failed { reason: reason.to_owned(), on_failure }
}

fn seen(world: &World, file: &str) -> Value {
    serde_json::from_str(&world.text(file)).unwrap()
}

#[tokio::test]
async fn a_hook_is_given_the_call_and_refuses_by_its_exit_status() {
    let refuse = r#"cat > seen.json; env > env; printf 'not %s\n' "it's" >&2; echo noise; exit 2"#;
    let hooks = json!({"PreToolUse": [group("Write|Edit", refuse), group("Bash", "touch never")]});
    let write = json!({"path": "src/../f", "content": "it's \"x\" $HOME\n"});
    let calls = json!([{"tool": "write", "input": write}, {"tool": "read", "input": {"path": "g"}}]);
    let world = world(hooks, json!([{"calls": calls}, {"say": "Done."}])).await;
    world.put("g", "here");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(!world.path("f").exists() && !world.path("never").exists());
    let question = seen(&world, "seen.json");
    let call = question["tool_use_id"].clone();
    assert!(call.is_string());
    assert_eq!(
        question,
        json!({
            "session_id": "s1", "turn_id": "1", "transcript_path": null, "cwd": "/workspace",
            "hook_event_name": "PreToolUse", "model": "scripted/test", "permission_mode": "bypassPermissions",
            "tool_name": "Write", "tool_use_id": call,
            "tool_input": {"file_path": "/workspace/f", "content": "it's \"x\" $HOME\n"},
        })
    );
    assert!(world.text("env").contains("CLAUDE_PROJECT_DIR=/workspace\n"));
    assert_eq!(decisions(&world.log), [("PreToolUse#1".to_owned(), BEFORE, denied("not it's"))]);
    assert!(world.results().contains(&(ToolStatus::Error, "not it's".to_owned())), "{:?}", world.results());
    assert!(world.results().iter().any(|(status, output)| *status == ToolStatus::Ok && output.contains("here")));
}

#[tokio::test]
async fn arguments_are_replaced_words_reach_the_model_and_faults_before_are_not_lost() {
    let rewrite = answering(specific(json!({
        "hookEventName": "PreToolUse", "permissionDecision": "allow",
        "updatedInput": {"command": "echo changed"}, "additionalContext": "It was unsafe.",
    })));
    let hooks = json!({"PreToolUse": [
        group("Bash", "echo boom >&2; exit 1"), group("Bash", &rewrite), group("Bash", "cat > third.json"),
    ]});
    let replies = json!([calling("bash", json!({"command": "echo asked"})), {"say": "Done."}]);
    let world = world_in(".codex/hooks.json", hooks, replies).await.0;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.results(), [(ToolStatus::Ok, "changed\n".to_owned())]);
    assert_eq!(seen(&world, "third.json")["tool_input"], json!({"command": "echo changed"}));
    assert_eq!(
        decisions(&world.log),
        [
            ("PreToolUse#1".to_owned(), BEFORE, failed("echo boom >&2; exit 1: exit status 1: boom", OnFailure::Open)),
            ("PreToolUse#2".to_owned(), BEFORE, injected("It was unsafe.")),
            ("PreToolUse#2".to_owned(), BEFORE, PluginDecision::Replaced),
        ]
    );
    let words = "[repository:.codex/hooks.json:PreToolUse#2, a hook of the repository, adds about this call:]\\n\\nIt was unsafe.";
    let request = world.last_request();
    let (result, added) = (request.find("changed").unwrap(), request.find(words).unwrap());
    assert!(result < added, "{request}");
}

#[tokio::test]
async fn a_call_that_was_made_is_spoken_about() {
    let speak = format!("cat > ok.json; {}", answering(specific(json!({"additionalContext": "It worked."}))));
    let block = answering(json!({"decision": "block", "reason": "Look again."}));
    let replace = answering(specific(json!({"updatedToolOutput": "other"})));
    let hooks = json!({
        "PostToolUse": [group("*", &speak), group("Bash", &block), group("Bash", &replace)],
        "PostToolUseFailure": [group("Bash", "cat > failure.json; echo 'It failed.' >&2; exit 2")],
    });
    let (fine, fails) = (json!({"command": "echo fine"}), json!({"command": "echo bad; exit 3"}));
    let world = world(hooks, json!([calling("bash", fine), calling("bash", fails), {"say": "Done."}])).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    assert_eq!(results[0], (ToolStatus::Ok, "other".to_owned()));
    let question = seen(&world, "ok.json");
    assert_eq!(question["hook_event_name"], "PostToolUse");
    assert_eq!(question["tool_response"], json!({"output": "fine\n", "success": true}));
    let question = seen(&world, "failure.json");
    assert_eq!((&question["hook_event_name"], &question["tool_name"]), (&json!("PostToolUseFailure"), &json!("Bash")));
    assert!(question["error"].as_str().unwrap().starts_with("bad\n"), "{question}");
    assert!(results[1].0 == ToolStatus::Error && results[1].1.starts_with("bad\n"), "{results:?}");
    assert_eq!(
        decisions(&world.log),
        [
            ("PostToolUse#1".to_owned(), AFTER, injected("It worked.")),
            ("PostToolUse#2".to_owned(), AFTER, injected("Look again.")),
            ("PostToolUse#3".to_owned(), AFTER, PluginDecision::Replaced),
            ("PostToolUseFailure#1".to_owned(), AFTER, injected("It failed.")),
        ]
    );
    let request = world.last_request();
    for words in ["]\\n\\nIt worked.", "]\\n\\nLook again.", "]\\n\\nIt failed."] {
        assert_eq!(request.matches(words).count(), 1, "{words} {request}");
    }
}

#[tokio::test]
async fn a_guard_of_paths_sees_each_file_of_a_patch() {
    let guarding = r#"if grep -q '"file_path":"/workspace/.env"'; then echo 'Not .env.' >&2; exit 2; fi"#;
    let patch = |files: &[String]| {
        let files: String = files.iter().map(|file| format!("*** Add File: {file}\n+x\n")).collect();
        json!({"patch": format!("*** Begin Patch\n{files}*** End Patch")})
    };
    let check = async |files: &[&str], told: &str| {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let hooks = json!({"PreToolUse": [guard("Edit|Write", guarding, 60)]});
        let world = world(hooks, json!([calling("apply_patch", patch(&files)), {"say": "Done."}])).await;
        assert_eq!(world.run().await, TurnEnd::Done);
        let (status, output) = world.results().remove(0);
        let passes = told.is_empty();
        assert_eq!((status == ToolStatus::Ok, world.path(&files[0]).exists()), (passes, passes), "{output}");
        assert!(output.contains(told), "{output}");
    };
    check(&["a", "b"], "").await;
    check(&["a", ".env"], "Not .env.").await;
    check(&["a", "b/../.env", "c"], "Not .env.").await;
    let many: Vec<String> = (0..=HOOK_PATCH_FILES_MAX).map(|number| format!("f{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check(&many, "it is asked about patches of at most 32 files").await;
}

#[tokio::test]
async fn beginnings_are_told_to_the_model_and_a_prompt_can_be_refused() {
    let hooks = json!({
        "SessionStart": [group("startup|resume", "cat > start.json; echo 'It rains.'"), group("compact", "touch never")],
        "UserPromptSubmit": [{"hooks": [{"type": "command", "command": "cat > prompt.json; echo 'It is late.'"}]}],
    });
    let world = world(hooks, json!([{"say": "Done."}])).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let common = json!({
        "session_id": "s1", "turn_id": "1", "transcript_path": null, "cwd": "/workspace", "model": "scripted/test",
        "permission_mode": "bypassPermissions",
    });
    let with = |event: &str, key: &str, value: &str| {
        let mut question = common.clone();
        question["hook_event_name"] = json!(event);
        question[key] = json!(value);
        question
    };
    assert_eq!(seen(&world, "start.json"), with("SessionStart", "source", "startup"));
    assert_eq!(seen(&world, "prompt.json"), with("UserPromptSubmit", "prompt", "Do it."));
    assert!(!world.path("never").exists());
    let request = world.last_request();
    let places = ["Do it.", "a hook of the repository, adds:]\\n\\nIt is late.", "adds:]\\n\\nIt rains."];
    let places = places.map(|words| request.find(words).unwrap_or_else(|| panic!("{words}: {request}")));
    assert!(places.is_sorted(), "{request}");

    let refuse = r#"grep -q sk-1 && { echo 'That is a key.' >&2; exit 2; }; echo 'It is late.'"#;
    let wait = json!({"command": "until [ -e go ]; do sleep 0.01; done"});
    let hooks = json!({"UserPromptSubmit": [group("ignored", refuse)]});
    let world = self::world(hooks, json!([calling("bash", wait), {"say": "Done."}])).await;
    let (ended, ()) = tokio::join!(world.run(), async {
        world.log.until(|log| log.bodies().iter().any(|body| matches!(body, EventBody::ToolStarted { .. }))).await;
        // That it added words to the prompt before does not keep it from being asked about these.
        world.log.steer(2, ada(), "sk-1");
        world.put("go", "");
    });
    assert_eq!(ended, TurnEnd::Failed { reason: "That is a key.".into() });
    assert_eq!(world.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stop_hook_sends_the_model_back_and_not_for_ever() {
    let demand = r#"cat >> stops.json; test -e tested || { echo '{"decision": "block", "reason": "Test first."}'; }"#;
    let script = json!({"name": "test", "scripts": [
        {"wish": "Test first", "replies": [calling("write", json!({"path": "tested", "content": ""})), {"say": "Tested."}]},
        {"replies": [{"say": "Done."}]},
    ]});
    let mut world = World::playing(&script, "Do it.").await;
    let hooks = json!({"hooks": {"Stop": [group("", demand)]}}).to_string();
    world.plugins.extend(installed(&world, CLAUDE, &hooks).0);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.path("tested").exists());
    assert!(
        world.last_request().contains("a hook of the repository, does not let the turn end yet:]\\n\\nTest first.")
    );
    let text = world.text("stops.json");
    let stops: Vec<Value> = serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
    let told: Vec<_> = stops.iter().map(|stop| (&stop["stop_hook_active"], &stop["last_assistant_message"])).collect();
    assert_eq!(told, [(&json!(false), &json!("Done.")), (&json!(true), &json!("Tested."))]);

    let hooks = json!({"Stop": [group("", "echo 'Once more.' >&2; exit 2")]});
    let world = self::world(hooks, json!([{"say": "Done."}])).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(decisions(&world.log).len(), TURN_SENT_BACK_MAX as usize);

    let world = self::world(json!({"Stop": [guard("", "exit 1", 60)]}), json!([{"say": "Done."}])).await;
    let ended = world.run().await;
    let told = "The hook repository:.claude/settings.json:Stop#1 failed at turn.end (exit 1: exit status 1: ).";
    assert!(matches!(&ended, TurnEnd::Failed { reason } if reason.starts_with(told)), "{ended:?}");
}

#[tokio::test]
async fn what_hangs_floods_dies_or_babbles_fails_as_it_says() {
    let check = async |command: &str, timeout_s: u64, why: &str| {
        for on_failure in [OnFailure::Open, OnFailure::Closed] {
            let mut group = guard("Bash", command, timeout_s);
            if on_failure == OnFailure::Open {
                group["hooks"][0].as_object_mut().unwrap().remove("onFailure");
            }
            let replies = json!([calling("bash", json!({"command": "touch made"})), {"say": "Done."}]);
            let world = world(json!({"PreToolUse": [group]}), replies).await;
            assert_eq!(world.run().await, TurnEnd::Done);
            let reason = format!("{}: {why}", hangar_protocol::limits::clip_bytes(command, 100));
            let decided = [("PreToolUse#1".to_owned(), BEFORE, failed(&reason, on_failure))];
            assert_eq!(decisions(&world.log), decided);
            assert_eq!(world.path("made").exists(), on_failure == OnFailure::Open, "{command}");
        }
    };
    check("trap '' TERM; while :; do sleep 0.1; done", 1, "it took longer than 1 s").await;
    check("yes", 60, "it wrote more than 64 KiB").await;
    check("yes >&2", 60, "it wrote more than 64 KiB").await;
    check("kill -9 $$", 60, "signal 9 ended it").await;
    check("no-such-program-here", 60, "exit status 127: bash: line 1: no-such-program-here: command not found").await;
    let why = "its answer cannot be used: expected ident at line 1 column 15";
    check("echo '{\"decision\": no}'", 60, why).await;
}

#[tokio::test]
async fn a_bus_that_gives_up_a_blocking_hook_refuses() {
    let mut world = World::of(json!([calling("bash", json!({"command": "touch made"})), {"say": "Done."}])).await;
    let hooks = json!({"hooks": {"PreToolUse": [guard("Bash", "sleep 300", 300)]}}).to_string();
    let mut hooks = installed(&world, CLAUDE, &hooks).0;
    // Longer than the command may take on top of what it may wait.
    assert!(hooks[0].deadline > Duration::from_secs(300));
    hooks[0].deadline = Duration::from_millis(20);
    world.plugins.extend(hooks);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(!world.path("made").exists());
    let reason = failed("it took longer than 20 ms", OnFailure::Closed);
    assert_eq!(decisions(&world.log), [("PreToolUse#1".to_owned(), BEFORE, reason)]);
}

#[tokio::test]
async fn what_cannot_be_used_is_told_when_the_session_begins_and_blocks_where_it_says_so() {
    let replies = || json!([calling("bash", json!({"command": "touch made"})), {"say": "Done."}]);
    let mut world = World::of(replies()).await;
    world.plugins.extend(installed(&world, CLAUDE, "{").0);
    assert_eq!(world.run().await, TurnEnd::Done);
    let fault = "it cannot be used: EOF while parsing an object at line 1 column 1";
    let told = (".claude/settings.json".to_owned(), HookPoint::SessionStart, failed(fault, OnFailure::Open));
    assert_eq!(decisions(&world.log), [told]);
    assert!(world.path("made").exists());

    let unknown = json!({"matcher": "Bash", "hooks": [{"type": "http", "url": "http://x", "onFailure": "block"}]});
    let reading = json!({"calls": [{"tool": "read", "input": {"path": "f"}}, {"tool": "bash", "input": {"command": "touch made"}}]});
    let world = self::world(json!({"PreToolUse": [unknown]}), json!([reading, {"say": "Done."}])).await;
    world.put("f", "x");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(!world.path("made").exists());
    let fault = failed("hooks of type \"http\" are not run here, only those of type \"command\"", OnFailure::Closed);
    assert_eq!(decisions(&world.log), [("PreToolUse#1".to_owned(), BEFORE, fault)]);
}

#[tokio::test]
async fn the_sandbox_is_waited_for_only_when_a_hook_fits() {
    let hooks = json!({
        "PreToolUse": [group("Bash", "exit 2")], "PostToolUse": [group("Bash", "true")],
        "SessionStart": [group("resume", "true")],
    });
    let (world, asked) = world_in(CLAUDE, hooks.clone(), json!([{"say": "Done."}])).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!((asked.load(Ordering::SeqCst), world.claims.load(Ordering::SeqCst)), (0, 0));
    let replies =
        json!([calling("read", json!({"path": "f"})), calling("bash", json!({"command": "true"})), {"say": "Done."}]);
    let (world, asked) = world_in(CLAUDE, hooks, replies).await;
    world.put("f", "x");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the call of bash alone");
}

#[tokio::test]
async fn a_log_cut_at_any_event_asks_the_model_the_same() {
    let context = |words: &str| answering(specific(json!({"additionalContext": words})));
    let hooks = json!({
        "SessionStart": [group("", "echo start")],
        "UserPromptSubmit": [group("", "echo prompt")],
        "PreToolUse": [group("Read", &context("before"))],
        "PostToolUse": [group("Read", &context("after"))],
    });
    let replies = json!([calling("read", json!({"path": "f"})), {"say": "Done."}]);
    let make = async || {
        let world = world(hooks.clone(), replies.clone()).await;
        world.put("f", "x");
        world
    };
    let whole = make().await;
    assert_eq!(whole.run().await, TurnEnd::Done);
    let (events, requests) = (whole.log.events(), whole.requests.lock().unwrap().clone());
    assert_eq!((requests.len(), decisions(&whole.log).len()), (2, 4));
    assert!(requests[1].contains("]\\n\\nbefore") && requests[1].contains("]\\n\\nafter"), "{}", requests[1]);
    for cut in 3..events.len() {
        let world = make().await;
        world.log.cut_after(cut);
        assert_eq!(world.run().await, TurnEnd::Over, "cut at {cut}");
        let resumed = Arc::new(Log::of(world.log.events(), world.log.blobs()));
        assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done, "cut at {cut}");
        let interrupted = resumed.bodies().iter().any(|body| match body {
            EventBody::ToolFinished { status, .. } => *status == ToolStatus::Interrupted,
            _ => false,
        });
        if !interrupted {
            for sent in world.requests.lock().unwrap().iter() {
                assert!(requests.contains(sent), "cut at {cut}: {sent}");
            }
        }
    }
}
