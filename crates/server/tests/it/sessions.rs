//! Sessions over HTTP: beginning, prompting, stopping, history, and the way to a merged pull request.

use std::time::Duration;

use hangar_protocol::RefusalCode::{BadRequest, Conflict, Forbidden, NotFound};
use reqwest::Method;
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar};

/// Longer than a scripted turn takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_session_cannot_begin_on_what_is_not_there() {
    let hangar = Hangar::start().await;
    hangar.repo("acme/website").await;
    let begin = async |body: Value, code| {
        hangar.owner.post("/api/v1/sessions", &body).await.refused(code).await;
    };
    begin(json!({"repo": "acme/none"}), NotFound).await;
    begin(json!({"repo": "nonsense"}), BadRequest).await;
    begin(json!({"repo": "acme/website", "base_branch": "none"}), NotFound).await;
    begin(json!({"repo": "acme/website", "base_branch": "a..b"}), BadRequest).await;
    begin(json!({"repo": "acme/website", "model": "acme/none"}), NotFound).await;
    begin(json!({"repo": "acme/website", "prompt": {"text": ""}}), BadRequest).await;
    begin(json!({"repo": "acme/website", "prompt": {"text": "x", "request_id": "a b"}}), BadRequest).await;
    begin(json!({"repo": "acme/website", "colour": "red"}), BadRequest).await;
    let listed: Vec<Value> = hangar.owner.get("/api/v1/sessions").await.ok(200).await;
    assert!(listed.is_empty());
    hangar.end().await;
}

#[tokio::test]
async fn a_session_is_listed_shown_and_renamed() {
    let hangar = Hangar::start().await;
    hangar.repo("acme/website").await;
    let made: Value = hangar.owner.post("/api/v1/sessions", &json!({"repo": "ACME/website"})).await.ok(201).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        (made["repo"].as_str(), made["owner"].as_str(), made["status"].as_str()),
        (Some("acme/website"), Some("jane"), Some("idle"))
    );
    let path = format!("/api/v1/sessions/{id}");
    let state: Value = hangar.owner.get(&path).await.ok(200).await;
    assert_eq!(state["branch"], format!("hangar/{id}"));
    assert_eq!(state["model"], "scripted/demo");
    assert_eq!(state["base_commit"].as_str().unwrap().len(), 40);
    let listed: Vec<Value> = hangar.owner.get("/api/v1/sessions").await.ok(200).await;
    assert_eq!(listed, [made]);
    let rename = async |title: &str| {
        hangar.owner.request(Method::PATCH, &path).json(&json!({"title": title})).send().await.unwrap()
    };
    let renamed: Value = rename("Better words").await.ok(200).await;
    assert_eq!(renamed["title"], "Better words");
    rename("").await.refused(BadRequest).await;
    rename(&"x".repeat(201)).await.refused(BadRequest).await;
    let page: Value = hangar.owner.get(&format!("{path}/events?after=1&limit=1")).await.ok(200).await;
    assert_eq!((page["head"].as_u64(), page["events"][0]["body"]["type"].as_str()), (Some(2), Some("title_changed")));
    for (method, below, code) in [
        (Method::POST, "stop", Conflict),
        (Method::DELETE, "prompts/7", NotFound),
        (Method::GET, "pull-request", NotFound),
    ] {
        hangar.owner.request(method, &format!("{path}/{below}")).send().await.unwrap().refused(code).await;
    }
    let allow = async |place: Value| hangar.owner.post(&format!("{path}/network/allow"), &place).await;
    for place in [
        json!({"host": "*.example.org", "port": 443}),
        json!({"host": "Example.org", "port": 443}),
        json!({"host": "", "port": 443}),
        json!({"host": "example.org", "port": 0}),
        json!({"host": "x".repeat(254), "port": 443}),
    ] {
        allow(place).await.refused(BadRequest).await;
    }
    for _ in 0..2 {
        assert_eq!(allow(json!({"host": "example.org", "port": 443})).await.status(), 204);
    }
    let state: Value = hangar.owner.get(&path).await.ok(200).await;
    assert_eq!(state["allowed"], json!([{"host": "example.org", "port": 443}]));
    hangar
        .owner
        .post(&format!("{path}/pull-request/merge"), &json!({"method": "squash"}))
        .await
        .refused(NotFound)
        .await;
    hangar
        .owner
        .post(&format!("{path}/pull-request/merge"), &json!({"method": "rebase"}))
        .await
        .refused(BadRequest)
        .await;
    let diff: Value = hangar.owner.get(&format!("{path}/diff")).await.ok(200).await;
    assert_eq!(diff, json!({"files": [], "omitted": 0}));
    hangar.end().await;
}

/// Two wishes: one is carried out, one takes for ever.
const TRANSCRIPT: &str = r#"{
  "name": "two-wishes",
  "scripts": [
    {"wish": "write", "replies": [
      {"say": "I write a file.", "calls": [{"tool": "bash", "input": {"command": "echo words > new.txt"}}]},
      {"say": "Done."}
    ]},
    {"wish": "wait", "replies": [
      {"say": "I wait.", "calls": [{"tool": "bash", "input": {"command": "sleep 600"}}]},
      {"say": "Done."}
    ]}
  ]
}"#;

async fn with_transcript() -> Hangar {
    Hangar::start_with(|config| {
        let file = config.data.with_file_name("transcript.json");
        std::fs::write(&file, TRANSCRIPT).unwrap();
        config.scripted_transcript = Some(file);
    })
    .await
}

/// Follows the session's history until an event of this type is there, and gives all of it so far.
async fn until(hangar: &Hangar, path: &str, kind: &str) -> Vec<Value> {
    let mut stream = hangar.owner.get(&format!("{path}/stream")).await;
    let mut events = Vec::new();
    let mut text = String::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let Ok(chunk) = tokio::time::timeout_at(deadline, stream.chunk()).await else {
            panic!("no {kind} in {events:#?}");
        };
        text.push_str(std::str::from_utf8(&chunk.unwrap().expect("the stream ended")).unwrap());
        while let Some((line, rest)) = text.split_once('\n') {
            let frame: Option<Value> = line.strip_prefix("data:").map(|data| serde_json::from_str(data).unwrap());
            text = rest.to_owned();
            if let Some(event) = frame.and_then(|mut frame| frame.get_mut("event").map(Value::take)) {
                events.push(event);
            }
        }
        if events.iter().any(|event| event["body"]["type"] == kind) {
            return events;
        }
    }
}

#[tokio::test]
async fn a_prompt_becomes_a_merged_pull_request() {
    let hangar = with_transcript().await;
    hangar.repo("acme/website").await;
    let colleague = hangar.member("colleague").await;
    let wish = json!({"repo": "acme/website", "prompt": {"text": "Please write it.\nSoon.", "request_id": "r1"}});
    let made: Value = hangar.owner.post("/api/v1/sessions", &wish).await.ok(201).await;
    assert_eq!(made["title"], "Please write it.");
    let path = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    let events = until(&hangar, &path, "turn_ended").await;
    let ended = events.iter().find(|event| event["body"]["type"] == "turn_ended").unwrap();
    assert_eq!(ended["body"]["outcome"]["type"], "done", "{events:#?}");
    // Sent again, the prompt is answered like the first time; with other words it is a conflict.
    let again = async |text: &str| {
        hangar.owner.post(&format!("{path}/prompts"), &json!({"text": text, "request_id": "r1"})).await
    };
    let accepted: Value = again("Please write it.\nSoon.").await.ok(202).await;
    assert_eq!(accepted["prompt"], 1);
    again("Something else").await.refused(Conflict).await;
    hangar.owner.post(&format!("{path}/prompts"), &json!({"text": ""})).await.refused(BadRequest).await;
    let diff: Value = hangar.owner.get(&format!("{path}/diff")).await.ok(200).await;
    assert_eq!(
        (diff["files"][0]["path"].as_str(), diff["files"][0]["status"].as_str()),
        (Some("new.txt"), Some("added"))
    );

    let pull = format!("{path}/pull-request");
    let opened: Value = hangar.owner.request(Method::POST, &pull).send().await.unwrap().ok(201).await;
    assert_eq!((opened["author"].as_str(), opened["status"].as_str()), (Some("jane"), Some("open")));
    hangar.owner.post(&pull, &json!({"title": "Again"})).await.refused(Conflict).await;
    let page: Value = hangar.owner.get(&pull).await.ok(200).await;
    assert_eq!(page["mergeable"], true);
    assert_eq!(page["commits"][0]["author_email"], "jane@example.org");
    assert_eq!(page["diff"]["files"][0]["path"], "new.txt");

    let review = |verdict: &str| json!({"verdict": verdict, "body": "Words."});
    hangar.owner.post(&format!("{pull}/reviews"), &review("approve")).await.refused(Forbidden).await;
    hangar.owner.post(&format!("{pull}/reviews"), &review("maybe")).await.refused(BadRequest).await;
    let asked: Value = colleague.post(&format!("{pull}/reviews"), &review("request_changes")).await.ok(201).await;
    assert_eq!(asked["approved_by"], json!([]));
    let approved: Value = colleague.post(&format!("{pull}/reviews"), &review("approve")).await.ok(201).await;
    assert_eq!(approved["approved_by"], json!(["colleague"]));

    let merged: Value = hangar.owner.post(&format!("{pull}/merge"), &json!({"method": "squash"})).await.ok(200).await;
    assert_eq!((merged["status"].as_str(), merged["merge_commit"].as_str().map(str::len)), (Some("merged"), Some(40)));
    hangar.owner.post(&format!("{pull}/merge"), &json!({"method": "squash"})).await.refused(Conflict).await;
    hangar.owner.post(&format!("{pull}/reviews"), &review("comment")).await.refused(Conflict).await;
    let file = hangar.owner.get("/api/v3/repos/acme/website/contents/new.txt").await;
    assert_eq!(file.status(), 200);
    hangar.end().await;
}

#[tokio::test]
async fn a_turn_is_stopped_once_and_waiting_prompts_are_taken_back() {
    let hangar = with_transcript().await;
    hangar.repo("acme/website").await;
    let wish = json!({"repo": "acme/website", "prompt": {"text": "Just wait."}});
    let made: Value = hangar.owner.post("/api/v1/sessions", &wish).await.ok(201).await;
    let path = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    until(&hangar, &path, "tool_started").await;
    let queued: Value = hangar.owner.post(&format!("{path}/prompts"), &json!({"text": "write"})).await.ok(202).await;
    let prompt = format!("{path}/prompts/{}", queued["prompt"]);
    let member = hangar.member("someone").await;
    member.request(Method::DELETE, &prompt).send().await.unwrap().refused(Forbidden).await;
    assert_eq!(hangar.owner.request(Method::DELETE, &prompt).send().await.unwrap().status(), 204);
    let stop = async || hangar.owner.request(Method::POST, &format!("{path}/stop")).send().await.unwrap();
    let stopped: Value = stop().await.ok(202).await;
    assert_eq!(stopped["turn"], 1);
    let events = until(&hangar, &path, "turn_ended").await;
    let ended = events.iter().find(|event| event["body"]["type"] == "turn_ended").unwrap();
    assert_eq!(ended["body"]["outcome"], json!({"type": "stopped", "by": "jane"}));
    stop().await.refused(Conflict).await;
    hangar.owner.request(Method::POST, &format!("{path}/pull-request")).send().await.unwrap().refused(Conflict).await;
    hangar.end().await;
}
