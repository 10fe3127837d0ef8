//! What followers of the forge see.

use hangar_forge::{Change, ChangeKind, CheckState, ReviewState};
use serde_json::{Value, json};

use crate::house::{House, commit, git, write};

const PULLS: &str = "/repos/acme/web/pulls";

/// A change in a word, with who and which pull request.
fn told(change: &Change) -> String {
    let what = match &change.kind {
        ChangeKind::Opened { head, base, .. } => format!("opened {head}→{base}"),
        ChangeKind::Synchronised { .. } => "synchronised".into(),
        ChangeKind::Edited => "edited".into(),
        ChangeKind::Reviewed { state, .. } => format!("reviewed {}", state.word()),
        ChangeKind::Commented { .. } => "commented".into(),
        ChangeKind::Merged { .. } => "merged".into(),
        ChangeKind::Closed => "closed".into(),
        ChangeKind::Reopened => "reopened".into(),
        ChangeKind::BranchMoved { branch, old, new } => match (old.is_zero(), new.is_zero()) {
            (true, _) => format!("new {branch}"),
            (false, true) => format!("gone {branch}"),
            (false, false) => format!("moved {branch}"),
        },
        ChangeKind::Checked { name, state, .. } => format!("checked {name} {}", state.word()),
    };
    let by = change.actor.as_ref().map_or("nobody", |person| person.login.as_str());
    let number = change.number.map_or(String::new(), |number| format!(" #{number}"));
    format!("{by}{number}: {what}")
}

#[tokio::test]
async fn a_cursor_sees_everything_once_and_in_order() {
    let house = House::build().await;
    house.web().await;
    let hint = house.forge.changes();
    assert_eq!(*hint.borrow(), 0);
    let sha = house.push_branch("bob", "work", "w.txt", "1\n").await;
    let (_, pull) = house.api("POST", PULLS, "bob", json!({"title": "W", "head": "work", "base": "main"})).await;
    let n = pull["number"].as_u64().unwrap();
    let one = format!("{PULLS}/{n}");
    let dir = house.clone("alice", "acme/web", "alice").await;
    git(&dir, &["checkout", "-q", "work"]).await;
    write(&dir, "w.txt", "2\n");
    commit(&dir, "alice", "More").await;
    git(&dir, &["push", "-q"]).await;
    let half = house.forge.changes_since(0).await.unwrap();
    house.api("PATCH", &one, "bob", json!({"title": "Work"})).await;
    house.api("POST", &format!("{one}/reviews"), "alice", json!({"event": "APPROVE"})).await;
    house.api("POST", &format!("/repos/acme/web/issues/{n}/comments"), "ron", json!({"body": "nice"})).await;
    house
        .api("POST", &format!("/repos/acme/web/statuses/{sha}"), "bob", json!({"state": "success", "context": "ci"}))
        .await;
    house.api("PATCH", &one, "bob", json!({"state": "closed"})).await;
    house.api("PATCH", &one, "bob", json!({"state": "open"})).await;
    // Refused calls leave no trace.
    house.api("POST", &format!("{one}/reviews"), "bob", json!({"event": "APPROVE"})).await;
    let (status, _) = house.api("PUT", &format!("{one}/merge"), "alice", Value::Null).await;
    assert_eq!(status, 200);
    house.api("DELETE", "/repos/acme/web/git/refs/heads/work", "bob", Value::Null).await;
    let rest = house.forge.changes_since(half.last().unwrap().id).await.unwrap();
    let all: Vec<String> = half.iter().chain(&rest).map(told).collect();
    assert_eq!(
        all,
        [
            "bob: new work",
            "bob #1: opened work→main",
            "alice: moved work",
            "alice #1: synchronised",
            "bob #1: edited",
            "alice #1: reviewed APPROVED",
            "ron #1: commented",
            "bob: checked ci success",
            "bob #1: closed",
            "bob #1: reopened",
            "alice #1: merged",
            "alice: moved main",
            "bob: gone work",
        ]
    );
    let ids: Vec<i64> = half.iter().chain(&rest).map(|change| change.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(*hint.borrow(), *ids.last().unwrap());
    assert!(house.forge.changes_since(*ids.last().unwrap()).await.unwrap().is_empty());
    let whole = house.forge.changes_since(0).await.unwrap();
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Change>>(&text).unwrap(), whole);
    assert!(text.contains(r#""kind":"reviewed""#) && text.contains(r#""APPROVED""#));
    assert_eq!((ReviewState::Approved.word(), CheckState::Success.word()), ("APPROVED", "success"));
}

#[tokio::test]
async fn a_waiting_follower_is_woken_by_a_push() {
    let house = House::build().await;
    house.web().await;
    let mut hint = house.forge.changes();
    hint.mark_unchanged();
    let follower = async {
        hint.changed().await.unwrap();
        house.forge.changes_since(0).await.unwrap().iter().map(told).collect::<Vec<_>>()
    };
    let (seen, _) = tokio::join!(follower, house.push_branch("bob", "wake", "w.txt", "1\n"));
    assert_eq!(seen, ["bob: new wake"]);
}
