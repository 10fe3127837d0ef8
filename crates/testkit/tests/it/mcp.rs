//! hangar's sessions as tools: the Model Context Protocol's own client and conformance suite against a real server.

use std::{path::Path, process::Stdio, time::Duration};

use hangar_testkit::{Reply, TestServer, Transcript};
use serde_json::{Value, json};
use tokio::process::Command;

/// Four programs of Node and two sessions, on a busy machine.
const JUDGE_PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_protocols_own_client_lives_through_a_session_and_its_suite_has_no_complaint() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/mcp-conformance");
    if !directory.join("node_modules").exists() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "run `npm ci` in clients/mcp-conformance first");
        println!("NOT CHECKED: run `npm ci` in clients/mcp-conformance to hold /mcp against the protocol's own client");
        return;
    }
    let question = json!({"question": "Which colour?", "choices": ["Red", "Blue"]});
    let transcript = Transcript::new()
        .on("paint", [Reply::say("It depends.").and_call("ask", question)])
        .on("blue", [Reply::bash("echo blue > colour.txt"), Reply::say("Blue it is.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let mut command = Command::new("node");
    command
        .arg("conformance.mjs")
        .current_dir(&directory)
        .env("MCP_URL", format!("{}/mcp", jane.client().url()))
        .env("MCP_TOKEN", jane.token())
        .env("HANGAR_BIN", hangar_testkit::program())
        .env("HANGAR_URL", jane.client().url())
        .env("HANGAR_TOKEN", jane.token())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(JUDGE_PATIENCE, command.output()).await.expect("the judge ends").unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    let checks = said["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 7, "{said}");
    server.stop().await;
}
