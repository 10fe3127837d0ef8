//! Prompts that a repository has ready, over HTTP.

use std::fs;

use hangar_protocol::RefusalCode::{NotFound, TooLarge};
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar};

#[tokio::test]
async fn whoever_begins_with_the_name_of_a_saved_prompt_says_its_words() {
    let hangar = Hangar::start().await;
    let source = hangar.dir.path().join("source");
    fs::create_dir_all(source.join(".hangar/prompts")).unwrap();
    let greet = "---\ndescription: Greets somebody\nargument-hint: NAME\n---\nSay hello to $1.\n";
    fs::write(source.join(".hangar/prompts/greet.md"), greet).unwrap();
    fs::write(source.join(".hangar/prompts/long.md"), "x".repeat(40_000)).unwrap();
    let new = json!({"repo": "acme/app", "source": source});
    assert_eq!(hangar.owner.post("/api/v1/repos", &new).await.status(), 201);

    let listed: Value = hangar.owner.get("/api/v1/repos/acme/app/prompts").await.ok(200).await;
    assert_eq!(listed, json!([{"name": "greet", "description": "Greets somebody", "hint": "NAME"}]));
    hangar.owner.get("/api/v1/repos/acme/none/prompts").await.refused(NotFound).await;

    let begin = async |text: &str| {
        hangar.owner.post("/api/v1/sessions", &json!({"repo": "acme/app", "prompt": {"text": text}})).await
    };
    let made: Value = begin("/greet Ada").await.ok(201).await;
    begin("/long").await.refused(TooLarge).await;
    let path = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    // Sent again it is the same prompt, and what names none is said as it stands.
    for text in ["/greet Bob", "/greet Bob", "/etc/hosts is wrong"] {
        let id = if text.starts_with("/greet") { "r1" } else { "r2" };
        let sent = json!({"text": text, "request_id": id});
        assert_eq!(hangar.owner.post(&format!("{path}/prompts"), &sent).await.status(), 202);
    }
    let page: Value = hangar.owner.get(&format!("{path}/events?after=0&limit=500")).await.ok(200).await;
    let events = page["events"].as_array().unwrap().iter();
    let said: Vec<&str> = events.filter_map(|event| event["body"]["text"].as_str()).collect();
    assert_eq!(said, ["/greet Ada\n\nSay hello to Ada.", "/greet Bob\n\nSay hello to Bob.", "/etc/hosts is wrong"]);
    // Somebody who may not see a session does not learn by its prompts whether it is there.
    let stranger = hangar.member("bob").await;
    let nowhere = "/api/v1/sessions/nosuchsession/prompts";
    stranger.post(nowhere, &json!({"text": "/greet Bob"})).await.refused(NotFound).await;
    hangar.end().await;
}
