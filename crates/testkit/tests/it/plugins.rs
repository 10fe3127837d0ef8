//! Plugins in a whole server: they guard every session of their repositories, through restarts, and one that means harm holds up nobody.

use std::{fs, path::Path};

use hangar_protocol::{EventBody, HookPoint, OnFailure, PluginDecision, event::TurnOutcome};
use hangar_testkit::{Ran, Reply, Setting, TestServer, Transcript, Watch};
use serde_json::json;

/// The configuration of a plugin whose file is made in `directory`.
fn written(directory: &Path, name: &str, text: &str, settings: &str) -> String {
    let file = directory.join(format!("{name}.js"));
    fs::write(&file, text).unwrap();
    format!("[[plugins]]\nname = {name:?}\npath = {file:?}\n{settings}\n")
}

/// What plugins decided, in order.
fn decisions(watch: &Watch) -> Vec<(String, HookPoint, PluginDecision)> {
    let decided = |event: &hangar_protocol::Event| match &event.body {
        EventBody::PluginDecided { plugin, hook, decision, .. } => Some((plugin.clone(), *hook, decision.clone())),
        _ => None,
    };
    watch.events().iter().filter_map(decided).collect()
}

#[tokio::test]
async fn plugins_guard_a_session_and_a_hostile_one_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let guard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/protect-paths.js");
    let configuration = [
        format!("[[plugins]]\nname = \"protect\"\npath = {guard:?}\noptions = [\"README.md\"]\nrepos = [\"acme/*\"]\n"),
        // It never ends: each question of it costs its time and nothing else.
        written(
            directory.path(),
            "endless",
            r#"export const hooks = { "tool.execute.before": ({ tool }) => { if (tool === "bash") for (;;) {} } };"#,
            "on_failure = \"open\"\ntimeout_ms = 50",
        ),
        written(
            directory.path(),
            "elsewhere",
            r#"export const hooks = { "tool.execute.before": () => { throw new Error("never here"); } };"#,
            "repos = [\"other/*\"]",
        ),
        written(
            directory.path(),
            "context",
            r#"export const hooks = { "context.inject": ({ repo }, output) => { output.context.push(`This is ${repo}.`); } };"#,
            "",
        ),
    ];
    let transcript = Transcript::new().on(
        "write",
        [
            Reply::bash("echo one > new.txt")
                .and_call("write", json!({"path": "README.md", "content": "gone"}))
                .and_bash("rm README.md"),
            Reply::say("Done."),
        ],
    );
    let mut server = TestServer::start_with(Setting::new(transcript).configured(&configuration.join("\n"))).await;
    server.tiny().await;
    let jane = server.owner().clone();
    for number in 0..2 {
        let session = jane.begin("acme/tiny", "Please write it.").await.id;
        let mut watch = Watch::new(&jane, &session);
        assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
        let mut decided = decisions(&watch);
        decided.sort_by(|one, other| one.0.cmp(&other.0));
        let refused = PluginDecision::Denied {
            words: "README.md is protected here: leave it as it is, and tell the person if it has to change."
                .to_owned(),
        };
        let passed =
            PluginDecision::Failed { reason: "it took longer than 50 ms".to_owned(), on_failure: OnFailure::Open };
        let before = HookPoint::ToolExecuteBefore;
        assert_eq!(
            decided,
            [
                (
                    "context".to_owned(),
                    HookPoint::ContextInject,
                    PluginDecision::Injected { text: "This is acme/tiny.".to_owned() }
                ),
                ("endless".to_owned(), before, passed),
                ("protect".to_owned(), before, refused.clone()),
                ("protect".to_owned(), before, refused),
            ],
            "session {number}"
        );
        let started = watch.events().iter().filter(|event| matches!(event.body, EventBody::ToolStarted { .. })).count();
        assert_eq!(started, 1, "only what passed was begun");
        // They are there after a restart too.
        server.kill().await;
        server.restart().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_plugin_that_cannot_be_used_keeps_the_server_from_starting() {
    let ground = hangar_testkit::Ground::new();
    let configuration = written(ground.path(), "broken", "export const hooks = {", "");
    fs::write(ground.path().join("hangar.toml"), configuration).unwrap();
    let mut up = ground.command(&["up", "--json", "--config", "hangar.toml", "--port", "0", "--data", "data"]);
    let ran = Ran::of(&mut up).await;
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("the plugin broken (") && ran.err.contains("does not load: SyntaxError"), "{}", ran.err);
}
