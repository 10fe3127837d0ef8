//! Of a private session, nobody gets anything by a stream who may not see it, or who may not any more.

use futures::{SinkExt as _, StreamExt as _};
use hangar_protocol::RefusalCode::NotFound;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    hangar::{Expect, Hangar, Person},
    streams::{PATIENCE, Socket, bearer, connect, frame, rename},
};

/// An id of no session.
const NONE: &str = "zzzzzzzzzzzz";

/// A session by the owner, seen by `visibility`.
async fn begin(hangar: &Hangar, visibility: &str) -> String {
    let body = json!({"repo": "acme/website", "visibility": visibility});
    let made: Value = hangar.owner.post("/api/v1/sessions", &body).await.ok(201).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn open(hangar: &Hangar, by: &Person, path: &str) -> Socket {
    connect(hangar, path, &[("authorization", format!("Bearer {}", by.token))]).await.unwrap()
}

async fn ask(socket: &mut Socket, ask: Value) {
    socket.send(Message::text(ask.to_string())).await.unwrap();
}

/// Frames until one is of this kind, and that one.
async fn until(socket: &mut Socket, kind: &str) -> (Vec<Value>, Value) {
    let mut before = Vec::new();
    loop {
        let seen = frame(socket).await;
        if seen["frame"] == kind {
            return (before, seen);
        }
        before.push(seen);
    }
}

#[tokio::test]
async fn an_outsider_gets_nothing_of_a_private_session() {
    let hangar = Hangar::start().await;
    hangar.repo("acme/website").await;
    let private = begin(&hangar, "private").await;
    let bob = hangar.member("bob").await;
    // To follow it is refused as if there were none, from the start, later, and on its own stream.
    let hidden = bob.get(&format!("/api/v1/stream?sessions={private}")).await.refused(NotFound).await;
    let mut none = bob.get(&format!("/api/v1/stream?sessions={NONE}")).await.refused(NotFound).await;
    none.message = none.message.replace(NONE, &private);
    assert_eq!(hidden, none);
    let one = format!("/api/v1/sessions/{private}/stream?presence=true");
    let bearer_of_bob = ("authorization", format!("Bearer {}", bob.token));
    let Err(tungstenite::Error::Http(answer)) = connect(&hangar, &one, &[bearer_of_bob]).await else {
        panic!("let in")
    };
    assert_eq!(answer.status(), 404);
    let typing = bob.request(Method::POST, &format!("/api/v1/sessions/{private}/typing"));
    typing.send().await.unwrap().refused(NotFound).await;
    let mut owner = connect(&hangar, &one, &[bearer(&hangar)]).await.unwrap();
    until(&mut owner, "presence").await;
    // Neither what the list shows nor what changes in it.
    let mut list = open(&hangar, &bob, "/api/v1/stream?list=true&presence=true").await;
    assert_eq!(frame(&mut list).await["frame"], "list_complete");
    ask(&mut list, json!({"ask": "follow", "sessions": [{"session": private, "after": 0, "presence": true}]})).await;
    let refused = frame(&mut list).await;
    assert_eq!((&refused["session"], &refused["refusal"]["code"]), (&json!(private), &json!("not_found")));
    ask(&mut list, json!({"ask": "typing", "session": private})).await;
    assert_eq!(frame(&mut list).await["refusal"]["code"], "conflict");
    rename(&hangar, &private, "Secret").await;
    ask(&mut owner, json!({"ask": "typing"})).await;
    let team = begin(&hangar, "team").await;
    let seen = frame(&mut list).await;
    assert_eq!((&seen["frame"], &seen["summary"]["id"]), (&json!("session_changed"), &json!(team)));
    // Nor was Bob shown to those who are there.
    let (before, _) = until(&mut owner, "typing").await;
    assert!(before.iter().all(|seen| !seen.to_string().contains("bob")), "{before:?}");
    hangar.end().await;
}

#[tokio::test]
async fn whose_right_ends_is_told_goodbye_and_sees_nothing_of_what_comes_after() {
    let hangar = Hangar::start().await;
    hangar.repo("acme/website").await;
    let (team, other) = (begin(&hangar, "team").await, begin(&hangar, "team").await);
    let bob = hangar.member("bob").await;
    let one = format!("/api/v1/sessions/{team}/stream");
    let mut alone = open(&hangar, &bob, &one).await;
    until(&mut alone, "caught_up").await;
    let mut many = open(&hangar, &bob, &format!("/api/v1/stream?sessions={team},{other}&presence=true")).await;
    for _ in 0..2 {
        until(&mut many, "caught_up").await;
    }
    let mut list = open(&hangar, &bob, "/api/v1/stream?list=true").await;
    assert_eq!(until(&mut list, "list_complete").await.0.len(), 2);
    let mut owner = connect(&hangar, &format!("{one}?presence=true"), &[bearer(&hangar)]).await.unwrap();
    assert_eq!(until(&mut owner, "presence").await.1["total"], 2);
    let veil = hangar.owner.request(Method::PUT, &format!("/api/v1/sessions/{team}/visibility"));
    let veiled = veil.json(&json!({"visibility": "private"})).send().await.unwrap();
    assert!(veiled.status().is_success(), "{veiled:?}");
    rename(&hangar, &team, "Secret").await;
    rename(&hangar, &other, "Open").await;
    // The stream of it ends; in a stream of many, it alone does.
    assert_eq!(
        until(&mut alone, "bye").await,
        (
            vec![],
            json!({
                "frame": "bye", "after": 1,
                "reason": "You may not see this session any more: you were removed from it, or it is private now."
            })
        )
    );
    assert!(matches!(timeout(PATIENCE, alone.next()).await.unwrap(), Some(Ok(Message::Close(_)))));
    let (mut before, bye) = until(&mut many, "bye").await;
    assert_eq!((&bye["session"], &bye["after"]), (&json!(team), &json!(1)));
    if !before.iter().any(|seen| seen["frame"] == "event") {
        before.extend(until(&mut many, "event").await.0);
    }
    let events = before.iter().filter(|seen| seen["frame"] == "event");
    assert!(events.into_iter().all(|seen| seen["session"] == json!(other)), "{before:?}");
    ask(&mut many, json!({"ask": "typing", "session": team})).await;
    assert_eq!(until(&mut many, "refused").await.1["refusal"]["code"], "conflict");
    // In the list, it is gone.
    let (before, gone) = until(&mut list, "session_unlisted").await;
    assert_eq!((before, &gone["id"]), (vec![], &json!(team)));
    loop {
        let (before, changed) = until(&mut list, "session_changed").await;
        assert_eq!((before, &changed["summary"]["id"]), (vec![], &json!(other)));
        if changed["summary"]["title"] == "Open" {
            break;
        }
    }
    // And those who stay see Bob go.
    loop {
        let (_, seen) = until(&mut owner, "presence").await;
        if seen["people"].as_array().unwrap().contains(&json!({"user": "bob", "name": "Some Body", "connections": 0})) {
            break;
        }
    }
    hangar.end().await;
}
