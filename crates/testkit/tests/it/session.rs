//! Whole sessions as transcripts: what goes in, and every event that comes out.

use hangar_protocol::{
    api::{MergeMethod, OpenPullRequest},
    event::TurnOutcome,
    state::{PullRequestStatus, SessionStatus},
};
use hangar_testkit::{Reply, Story, TestServer, Transcript, Watch, commits_of, tiny_repository, within};
use serde_json::{Value, json};

fn greeter() -> Transcript {
    Transcript::new().on(
        "greet in German",
        [
            Reply::say("I look first.").and_call("read", json!({"path": "greet.sh"})),
            Reply::say("Now the edit.").after("Hello", "There is no greeting.").and_call(
                "edit",
                json!({"path": "greet.sh", "old_string": "Hello, ${1:-world}.", "new_string": "Hallo, ${1:-Welt}."}),
            ),
            Reply::bash("sed -i 's/Hello, world/Hallo, Welt/; s/Hello, you/Hallo, you/' test.sh && ./test.sh"),
            Reply::bash("git add -A && git commit --quiet --message 'Greet in German' && git push --quiet origin HEAD")
                .after("2 tests passed", "The tests fail."),
            Reply::say("It greets in German."),
        ],
    )
}

#[tokio::test]
async fn a_prompt_becomes_a_merged_pull_request() {
    let mut server = TestServer::start(greeter()).await;
    let jane = server.owner().clone();
    server.tiny().await;
    let session = jane.begin("acme/tiny", "Please greet in German.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let wish = OpenPullRequest::default();
    let opened = within("the pull request", jane.client().open_pull_request(&session, &wish)).await.unwrap();
    assert_eq!(opened.status, PullRequestStatus::Open);
    let merged = within("the merge", jane.client().merge_pull_request(&session, MergeMethod::Merge)).await.unwrap();
    assert_eq!(merged.status, PullRequestStatus::Merged);
    watch
        .until("the merge's event", |event| Story::of(std::slice::from_ref(event)).to_string().contains("merged"))
        .await;
    let (pushes, told): (Vec<String>, Vec<String>) = Story::of(watch.events())
        .to_string()
        .lines()
        .map(str::to_owned)
        .partition(|line| line.starts_with("branch_pushed"));
    assert_eq!(told.join("\n"), TOLD.trim());
    // The forge reports a push in its own time.
    assert_eq!(pushes, ["branch_pushed hangar/S from nothing to C1"]);
    let story = Story::of(watch.events());
    assert_eq!(story.sandbox(), ["preparing", "ready"]);
    let changed: Vec<_> = story.files().into_iter().filter(|(path, _)| path.ends_with(".sh")).collect();
    assert_eq!(changed, [("greet.sh", "modified"), ("test.sh", "modified")]);
    let repos = within("the repositories", jane.client().repos()).await.unwrap();
    let commits = commits_of(&repos[0].clone_url, jane.token(), "main", server.directory()).await;
    assert_eq!(commits.len(), 3, "{commits:?}");
    assert!(commits[0].starts_with("Jane Doe <jane@example.org>: Merge pull request #1"), "{commits:?}");
    assert_eq!(
        commits[1..],
        ["Jane Doe <jane@example.org>: Greet in German", "Jane Doe <jane@example.org>: Import tiny"]
    );
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.status, state.seq), (SessionStatus::Merged, watch.events().last().unwrap().seq));
    server.stop().await;
}

/// What is to be told of it.
const TOLD: &str = r#"
session_created S by jane on acme/tiny main at C0, branch hangar/S, model scripted/test, title "Please greet in German."
prompt_added 1 by jane: "Please greet in German."
turn_started 1 on prompt 1
model_requested 1.1 scripted/test
model_replied 1.1: "I look first.", call read
tool_started 1 read {"path":"greet.sh"}
tool_finished 1 ok: "1\t#!/bin/sh\n2\techo \"Hello, ${1:-world}.\"\n\n\n<project-instructions file=\"AGENTS.md\">\nRun ./test.sh before you commit.\n</pr…"
model_requested 1.2 scripted/test
model_replied 1.2: "Now the edit.", call edit
tool_started 1 edit {"new_string":"Hallo, ${1:-Welt}.","old_string":"Hello, ${1:-world}.","path":"greet.sh"}
tool_finished 1 ok: "Edited greet.sh at line 2."
model_requested 1.3 scripted/test
model_replied 1.3: call bash
tool_started 1 bash {"command":"sed -i 's/Hello, world/Hallo, Welt/; s/Hello, you/Hallo, you/' test.sh && ./test.sh"}
tool_finished 1 ok: "2 tests passed\n"
model_requested 1.4 scripted/test
model_replied 1.4: call bash
tool_started 1 bash {"command":"git add -A && git commit --quiet --message 'Greet in German' && git push --quiet origin HEAD"}
tool_finished 1 ok: "(no output)"
model_requested 1.5 scripted/test
model_replied 1.5: "It greets in German."
turn_ended 1: done
pull_request_opened 1 by jane: "Please greet in German." at /s/S/pull-request
pull_request_changed 1: merged by jane as C2
"#;

#[tokio::test]
async fn the_command_line_alone_goes_from_a_wish_to_a_squashed_merge() {
    // The agent commits nothing: opening the pull request does.
    let transcript = Transcript::new().on("a file", [Reply::bash("echo words > new.txt"), Reply::say("It is there.")]);
    let mut server = TestServer::start(transcript).await;
    let source = tiny_repository(server.directory());
    let added = server.run(&["repo", "add", source.to_str().unwrap(), "--name", "acme/tiny"]).await.well();
    assert_eq!(serde_json::from_str::<Value>(&added).unwrap()["default_branch"], "main");
    let events = server.run(&["run", "--repo", "acme/tiny", "Please add a file."]).await.well();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["body"]["type"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"session_created"), Some(&"turn_ended")), "{kinds:?}");
    let id = events[0]["body"]["session"].as_str().unwrap();
    let diff: Value = serde_json::from_str(&server.run(&["diff", id]).await.well()).unwrap();
    assert_eq!((&diff["files"][0]["path"], &diff["files"][0]["status"]), (&json!("new.txt"), &json!("added")));
    let merged: Value =
        serde_json::from_str(&server.run(&["pr", id, "--title", "Add a file", "--merge", "--squash"]).await.well())
            .unwrap();
    assert_eq!((&merged["status"], &merged["title"]), (&json!("merged"), &json!("Add a file")));
    let listed: Value = serde_json::from_str(&server.run(&["sessions"]).await.well()).unwrap();
    assert_eq!(listed[0]["status"], "merged");
    let repos = within("the repositories", server.owner().client().repos()).await.unwrap();
    let commits = commits_of(&repos[0].clone_url, server.owner().token(), "main", server.directory()).await;
    assert_eq!(commits, ["Jane Doe <jane@example.org>: Add a file (#1)", "Jane Doe <jane@example.org>: Import tiny"]);
    server.stop().await;
}
