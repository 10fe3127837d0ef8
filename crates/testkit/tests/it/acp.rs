//! hangar in editors: the Agent Client Protocol's own library and `acpx` against a real server.

use std::{path::Path, process::Stdio, time::Duration};

use hangar_testkit::{Reply, TestServer, Transcript, within};
use serde_json::{Value, json};
use tokio::process::Command;

/// Three programs of Node and two sessions, on a busy machine.
const EDITOR_PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn editors_live_through_sessions() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/acp-conformance");
    if !directory.join("node_modules").exists() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "run `npm ci` in clients/acp-conformance first");
        println!("NOT CHECKED: run `npm ci` in clients/acp-conformance to use hangar with the protocol's own library");
        return;
    }
    let question = json!({"question": "Which colour?", "choices": ["Red", "Blue"]});
    let transcript = Transcript::new()
        .on("paint", [Reply::say("It depends.").and_call("ask", question)])
        .on("blue", [Reply::bash("echo blue > colour.txt"), Reply::say("Blue it is.")])
        .on("wait", [Reply::bash("sleep 600"), Reply::say("That was long.")])
        .on("greet", [Reply::say("Hello from hangar.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let mut command = Command::new("node");
    command
        .arg("editor.mjs")
        .current_dir(&directory)
        .env("HANGAR_BIN", hangar_testkit::program())
        .env("HANGAR_URL", jane.client().url())
        .env("HANGAR_TOKEN", jane.token())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(EDITOR_PATIENCE, command.output()).await.expect("the editors end").unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["checks"].as_array().unwrap().len(), 10, "{said}");
    // Editors begin a session whenever somebody opens a panel: what was not used is put away.
    let state = async |name: &str| {
        let id = said[name].as_str().unwrap().parse().unwrap();
        within("the session", jane.client().session(&id)).await.unwrap()
    };
    assert!(state("unused").await.archived_ms.is_some());
    assert!(state("session").await.archived_ms.is_none());
    server.stop().await;
}
