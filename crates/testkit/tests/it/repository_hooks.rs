//! A repository's own hooks in a whole server: they run in the sandbox, decide about its sessions, and are those of the commit that a session began with.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hangar_protocol::{
    EventBody, HookPoint, OnFailure, PluginDecision, SessionId,
    api::NewRepo,
    event::{ToolStatus, TurnOutcome},
};
use hangar_testkit::{Person, Ran, Reply, Story, TestServer, Transcript, Watch, tiny_repository, until, within};
use serde_json::{Value, json};
use tokio::process::Command;

const FILE: &str = ".claude/settings.json";
const BEFORE: HookPoint = HookPoint::ToolExecuteBefore;
/// A hook as people write one: a program of the repository that reads JSON from its standard input.
const GUARD: &str = r#"#!/bin/sh
set -e
asked=$(cat)
case "$asked" in
  *'rm README'*) echo "Nothing is removed here." >&2; exit 2 ;;
  *'sudo id'*)
    echo '{"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "allow",'
    echo '  "updatedInput": {"command": "id -u"}, "additionalContext": "There is no sudo here."}}' ;;
esac
"#;

fn group(matcher: &str, command: &str) -> Value {
    json!({"matcher": matcher, "hooks": [{"type": "command", "command": command, "timeout": 60}]})
}

/// Brings in `acme/tiny` with these hooks and the guard.
async fn repository(server: &TestServer, hooks: Value) -> PathBuf {
    let source = tiny_repository(server.directory());
    // Its instructions would ride on the first result.
    fs::remove_file(source.join("AGENTS.md")).unwrap();
    for (name, text) in [(FILE, json!({"hooks": hooks}).to_string().as_str()), ("scripts/guard.sh", GUARD)] {
        let path = source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let new = NewRepo { repo: "acme/tiny".parse().unwrap(), source: Some(source.display().to_string()) };
    within("the import", server.owner().client().add_repo(&new)).await.unwrap();
    source
}

/// What was decided, in order: the end of the hook's name, where, and what.
fn decisions(watch: &Watch) -> Vec<(String, HookPoint, PluginDecision)> {
    let decided = |event: &hangar_protocol::Event| match &event.body {
        EventBody::PluginDecided { plugin, hook, decision, .. } => {
            let name = plugin.strip_prefix("repository:.claude/settings.json:").unwrap_or(plugin);
            Some((name.to_owned(), *hook, decision.clone()))
        }
        _ => None,
    };
    watch.events().iter().filter_map(decided).collect()
}

fn results(watch: &Watch) -> Vec<(ToolStatus, String)> {
    let results = watch.events().iter().filter_map(|event| match &event.body {
        EventBody::ToolFinished { status, output, .. } => Some((*status, output.clone())),
        _ => None,
    });
    results.collect()
}

async fn ended(person: &Person, session: &SessionId, turn: u32) -> Watch {
    let mut watch = Watch::new(person, session);
    let outcome = watch.turn_ended(turn).await;
    assert_eq!(outcome, TurnOutcome::Done, "{}", Story::of(watch.events()));
    watch
}

#[tokio::test]
async fn hooks_of_the_repository_refuse_change_add_and_demand() {
    let demand = r#"test -e NOTES || echo '{"decision": "block", "reason": "Write NOTES before you end."}'"#;
    let hooks = json!({
        "PreToolUse": [group("Bash", "\"$CLAUDE_PROJECT_DIR\"/scripts/guard.sh")],
        "PostToolUse": [group("Write", "echo 'NOTES are read by everybody.' >&2; exit 2")],
        "Stop": [{"hooks": [{"type": "command", "command": demand}]}],
    });
    let transcript = Transcript::new()
        .on(
            "write notes",
            [Reply::say("I write.").and_call("write", json!({"path": "NOTES", "content": "x"})), Reply::say("Done.")],
        )
        .on("clean up", [Reply::bash("rm README.md"), Reply::bash("sudo id"), Reply::say("Done.")]);
    let mut server = TestServer::start(transcript).await;
    repository(&server, hooks).await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please clean up.").await.id;
    let watch = ended(&jane, &session, 1).await;
    let denied = |words: &str| PluginDecision::Denied { words: words.to_owned() };
    let injected = |text: &str| PluginDecision::Injected { text: text.to_owned() };
    assert_eq!(
        decisions(&watch),
        [
            ("PreToolUse#1".to_owned(), BEFORE, denied("Nothing is removed here.")),
            ("PreToolUse#1".to_owned(), BEFORE, injected("There is no sudo here.")),
            ("PreToolUse#1".to_owned(), BEFORE, PluginDecision::Replaced),
            ("Stop#1".to_owned(), HookPoint::TurnEnd, denied("Write NOTES before you end.")),
            ("PostToolUse#1".to_owned(), HookPoint::ToolExecuteAfter, injected("NOTES are read by everybody.")),
        ],
        "{}",
        Story::of(watch.events())
    );
    let results = results(&watch);
    assert_eq!(results[0], (ToolStatus::Error, "Nothing is removed here.".to_owned()));
    // What ran is what the hook made of it, as the agent's user and not as the host's.
    assert!(results[1].0 == ToolStatus::Ok && results[1].1.starts_with(|c: char| c.is_ascii_digit()), "{results:?}");
    assert!(results[2].1.starts_with("Created NOTES"), "{results:?}");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn what_is_written_into_hook_files_has_no_effect_until_it_is_merged() {
    let hooks = json!({"PreToolUse": [group("Bash", "if grep -q 'rm README'; then echo 'Not that.' >&2; exit 2; fi")]});
    let other = json!({"hooks": {
        "PreToolUse": [group("Bash", "touch /workspace/hooked")],
        "Stop": [{"hooks": [{"type": "command", "command": "echo 'Stay.' >&2; exit 2"}]}],
    }});
    let overwrite =
        format!("cat > {FILE} <<'END'\n{other}\nEND\ngit commit -qam 'Other hooks' && git push -q origin HEAD");
    let transcript = Transcript::new()
        .on("overwrite", [Reply::bash(&overwrite), Reply::bash("rm README.md"), Reply::say("Done.")])
        .on("again", [Reply::bash("rm README.md; ls hooked"), Reply::say("Done.")])
        .on("stay", [Reply::say("Done.")])
        .on("merged", [Reply::bash("rm README.md && ls hooked"), Reply::say("Done.")]);
    let mut server = TestServer::start(transcript).await;
    repository(&server, hooks).await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please overwrite them.").await.id;
    let watch = ended(&jane, &session, 1).await;
    let refused = ("PreToolUse#1".to_owned(), BEFORE, PluginDecision::Denied { words: "Not that.".to_owned() });
    assert_eq!(decisions(&watch), std::slice::from_ref(&refused), "{}", Story::of(watch.events()));
    assert_eq!(results(&watch)[0].0, ToolStatus::Ok, "{}", Story::of(watch.events()));
    let pushed = watch.events().iter().find_map(|event| match &event.body {
        EventBody::BranchPushed { new, .. } => Some(new.clone()),
        _ => None,
    });
    // After a restart they are read again, of the same commit.
    server.kill().await;
    server.restart().await;
    jane.prompt(&session, "r2", "Try it again.").await.unwrap().unwrap();
    let watch = ended(&jane, &session, 2).await;
    assert_eq!(decisions(&watch), [refused.clone(), refused.clone()], "{}", Story::of(watch.events()));
    // What is not merged is not there for others either.
    let second = jane.begin("acme/tiny", "Try it again.").await.id;
    let watch = ended(&jane, &second, 1).await;
    assert_eq!(decisions(&watch), [refused], "{}", Story::of(watch.events()));

    merge(&server, &pushed.expect("it was pushed")).await;
    let third = jane.begin("acme/tiny", "It is merged.").await.id;
    let watch = ended(&jane, &third, 1).await;
    assert_eq!(results(&watch)[0], (ToolStatus::Ok, "hooked\n".to_owned()), "{}", Story::of(watch.events()));
    let stay = ("Stop#1".to_owned(), HookPoint::TurnEnd, PluginDecision::Denied { words: "Stay.".to_owned() });
    // It is heeded, and not for ever.
    assert_eq!(decisions(&watch), vec![stay; 5]);
    server.stop().await;
}

/// Moves the base branch to a commit of the repository.
async fn merge(server: &TestServer, commit: &str) {
    let repos = server.owner().client().repos().await.unwrap();
    let url = repos.iter().find(|known| known.repo.to_string() == "acme/tiny").unwrap().clone_url.clone();
    let url = url.replacen("://", &format!("://x:{}@", server.owner().token()), 1);
    let work: &Path = &server.directory().join("work.git");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--mirror", &url]).arg(work).env("HOME", server.directory());
    let _ = Ran::of(&mut clone).await.well();
    let mut push = Command::new("git");
    push.arg("-C").arg(work).args(["push", "--quiet", &url, &format!("{commit}:refs/heads/main")]);
    let _ = Ran::of(push.env("HOME", server.directory())).await.well();
}

#[tokio::test]
async fn hooks_that_hang_flood_or_die_hold_up_nobody_and_block_where_they_say_so() {
    // A number no other process sleeps for.
    let nap = format!("700.{}", std::process::id());
    let hang = format!("trap '' TERM; (setsid sleep {nap} &); sleep {nap}; sleep {nap}");
    let hook = |command: &str, timeout_s: u64, on_failure: &str| {
        let hook = json!({"type": "command", "command": command, "timeout": timeout_s, "onFailure": on_failure});
        json!({"matcher": "Bash", "hooks": [hook]})
    };
    let blocks = "grep -q 'touch blocked' && { kill -9 $$; }; true";
    let hooks = json!({"PreToolUse": [
        hook(&hang, 1, "continue"), hook("yes", 60, "continue"), hook("kill -9 $$", 60, "continue"), hook(blocks, 60, "block"),
    ]});
    let transcript =
        Transcript::new().on("make", [Reply::bash("echo made"), Reply::bash("touch blocked"), Reply::say("Done.")]);
    let mut server = TestServer::start(transcript).await;
    repository(&server, hooks).await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please make it.").await.id;
    let watch = ended(&jane, &session, 1).await;
    let failed =
        |number: u32, why: &str, on_failure| (format!("PreToolUse#{number}"), BEFORE, why.to_owned(), on_failure);
    let told: Vec<_> = decisions(&watch)
        .into_iter()
        .map(|(name, hook, decision)| match decision {
            PluginDecision::Failed { reason, on_failure } => {
                (name, hook, reason.rsplit(": ").next().unwrap_or_default().to_owned(), on_failure)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let passing = [
        failed(1, "it took longer than 1 s", OnFailure::Open),
        failed(2, "it wrote more than 64 KiB", OnFailure::Open),
        failed(3, "signal 9 ended it", OnFailure::Open),
    ];
    let expected: Vec<_> =
        passing.clone().into_iter().chain(passing).chain([failed(4, "signal 9 ended it", OnFailure::Closed)]).collect();
    assert_eq!(told, expected, "{}", Story::of(watch.events()));
    let results = results(&watch);
    assert_eq!(results[0], (ToolStatus::Ok, "made\n".to_owned()));
    assert!(results[1].0 == ToolStatus::Error && results[1].1.contains("It guards this"), "{results:?}");
    // What they started has ended with them.
    until("the end of what hung", async || sleepers(&nap).is_empty().then_some(())).await;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

fn sleepers(nap: &str) -> Vec<String> {
    let words = format!("sleep\0{nap}\0").into_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    let sleeping = processes.filter(|file| fs::read(file).is_ok_and(|found| found == words));
    sleeping.map(|file| file.display().to_string()).collect()
}
