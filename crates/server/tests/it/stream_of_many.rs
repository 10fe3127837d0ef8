//! One stream for many sessions and the list; who is there and who is typing; pages backwards; kinds; readers that are stuck.

use std::future::pending;

use futures::{SinkExt as _, StreamExt as _};
use hangar_protocol::RefusalCode::{BadRequest, NotFound, TooMany};
use reqwest::Method;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::{Value, json};
use tokio::{net::TcpSocket, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    hangar::{Expect, Hangar},
    streams::{Lines, PATIENCE, Socket, bearer, caught_up, connect, frame, rename, session},
};

/// Another session of the same repository.
async fn another(hangar: &Hangar) -> String {
    let made: Value = hangar.owner.post("/api/v1/sessions", &json!({"repo": "acme/website"})).await.ok(201).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn ask(socket: &mut Socket, ask: Value) {
    socket.send(Message::text(ask.to_string())).await.unwrap();
}

/// A frame in a few words: its session, its kind, its number.
fn brief(frame: &Value) -> (String, String, u64) {
    let seq = frame["event"]["seq"].as_u64().or(frame["seq"].as_u64()).unwrap_or(0);
    (frame["session"].as_str().unwrap_or("").to_owned(), frame["frame"].as_str().unwrap().to_owned(), seq)
}

#[tokio::test]
async fn one_stream_follows_many_sessions_each_from_its_cursor() {
    let hangar = Hangar::start().await;
    let (a, b) = (session(&hangar).await, another(&hangar).await);
    for title in ["Two", "Three"] {
        rename(&hangar, &a, title).await;
        rename(&hangar, &b, title).await;
    }
    let path = format!("/api/v1/stream?sessions={a}:2,{b}:3");
    let mut socket = connect(&hangar, &path, &[bearer(&hangar)]).await.unwrap();
    let seen = [frame(&mut socket).await, frame(&mut socket).await, frame(&mut socket).await];
    let of = |id: &String, kind: &str, seq| (id.clone(), kind.to_owned(), seq);
    assert_eq!(seen.each_ref().map(brief), [of(&a, "event", 3), of(&a, "caught_up", 3), of(&b, "caught_up", 3)]);
    assert_eq!(seen[0]["event"]["body"]["title"], "Three");
    rename(&hangar, &b, "Four").await;
    assert_eq!(brief(&frame(&mut socket).await), of(&b, "event", 4));
    // One more, from its beginning; then one less.
    let c = another(&hangar).await;
    ask(&mut socket, json!({"ask": "follow", "sessions": [{"session": c}, {"session": "nosuchsessio"}]})).await;
    // The refusal and the frames of the other come in any order.
    let mut seen = [frame(&mut socket).await, frame(&mut socket).await, frame(&mut socket).await];
    seen.sort_by_key(|frame| brief(frame).1);
    assert_eq!([brief(&seen[0]), brief(&seen[1])], [of(&c, "caught_up", 1), of(&c, "event", 1)]);
    assert_eq!((&seen[2]["session"], &seen[2]["refusal"]["code"]), (&json!("nosuchsessio"), &json!("not_found")));
    ask(&mut socket, json!({"ask": "unfollow", "sessions": [a]})).await;
    ask(&mut socket, json!({"ask": "nonsense"})).await;
    assert_eq!(frame(&mut socket).await["refusal"]["code"], "bad_request");
    rename(&hangar, &a, "Unseen").await;
    rename(&hangar, &b, "Five").await;
    assert_eq!(brief(&frame(&mut socket).await), of(&b, "event", 5));
    // Followed anew, it goes on exactly where the client says.
    ask(&mut socket, json!({"ask": "follow", "sessions": [{"session": a, "after": 3}]})).await;
    assert_eq!(brief(&frame(&mut socket).await), of(&a, "event", 4));
    assert_eq!(brief(&frame(&mut socket).await), of(&a, "caught_up", 4));
    hangar.end().await;
}

#[tokio::test]
async fn a_stream_of_many_says_what_it_cannot_do() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let many = vec![format!("{id}:0"); 501].join(",");
    for (query, code) in [
        ("sessions=nosuchsessio".to_owned(), NotFound),
        (format!("sessions={id}:x"), BadRequest),
        (format!("sessions={id}:7"), BadRequest),
        (format!("sessions={many}"), TooMany),
        ("kinds=nonsense".to_owned(), BadRequest),
    ] {
        hangar.owner.get(&format!("/api/v1/stream?{query}")).await.refused(code).await;
    }
    let mut one = connect(&hangar, &format!("/api/v1/sessions/{id}/stream"), &[bearer(&hangar)]).await.unwrap();
    assert_eq!(caught_up(&mut one).await, [1]);
    ask(&mut one, json!({"ask": "follow", "sessions": [{"session": id}]})).await;
    assert_eq!(frame(&mut one).await["refusal"]["code"], "bad_request");
    hangar.end().await;
}

#[tokio::test]
async fn the_list_is_followed_with_every_change() {
    let hangar = Hangar::start().await;
    let (a, b) = (session(&hangar).await, another(&hangar).await);
    let mut lines = Lines::of(hangar.owner.get("/api/v1/stream?list=true").await).await;
    let mut listed = Vec::new();
    loop {
        let (id, frame) = lines.next().await;
        assert_eq!(id, None);
        match frame["frame"].as_str().unwrap() {
            "session_changed" => listed.push(frame["summary"]["id"].as_str().unwrap().to_owned()),
            "list_complete" => break,
            other => panic!("{other}"),
        }
    }
    listed.sort();
    let mut both = vec![a.clone(), b];
    both.sort();
    assert_eq!(listed, both);
    rename(&hangar, &a, "Another title").await;
    loop {
        let (_, frame) = lines.next().await;
        if frame["summary"]["title"] == "Another title" {
            assert_eq!((&frame["frame"], &frame["summary"]["id"]), (&json!("session_changed"), &json!(a)));
            break;
        }
    }
    let c = another(&hangar).await;
    while lines.next().await.1["summary"]["id"] != c {}
    hangar.end().await;
}

/// The next `presence` or `typing` frame, without its name of persons.
async fn people(socket: &mut Socket) -> Value {
    let mut seen = frame(socket).await;
    for person in seen["people"].as_array_mut().into_iter().flatten() {
        person.as_object_mut().unwrap().remove("name");
    }
    seen
}

#[tokio::test]
async fn those_who_want_to_be_seen_see_who_is_there_and_who_is_typing() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let rob = hangar.member("rob").await;
    let robs = ("authorization", format!("Bearer {}", rob.token));
    let path = format!("/api/v1/sessions/{id}/stream");
    let mut unseen = connect(&hangar, &path, &[bearer(&hangar)]).await.unwrap();
    assert_eq!(caught_up(&mut unseen).await, [1]);
    let mut first = connect(&hangar, &format!("{path}?presence=true"), &[bearer(&hangar)]).await.unwrap();
    assert_eq!(caught_up(&mut first).await, [1]);
    let owner = json!({"user": "jane", "connections": 1});
    let rob_here = |connections| json!({"user": "rob", "connections": connections});
    assert_eq!(
        people(&mut first).await,
        json!({"frame": "presence", "scope": "everybody", "people": [owner], "total": 1})
    );
    let changed =
        |people: Value, total| json!({"frame": "presence", "scope": "changed", "people": people, "total": total});
    assert_eq!(people(&mut first).await, changed(json!([owner]), 1));
    let many = format!("/api/v1/stream?presence=true&sessions={id}:1");
    let mut second = connect(&hangar, &many, &[robs]).await.unwrap();
    assert_eq!(brief(&frame(&mut second).await).1, "caught_up");
    assert_eq!(people(&mut second).await["total"], 2);
    assert_eq!(people(&mut first).await, changed(json!([rob_here(1)]), 2));
    // Typing, over the socket and by a request; what comes too soon again is not told again.
    ask(&mut second, json!({"ask": "typing", "session": id})).await;
    let typing = json!({"frame": "typing", "user": "rob", "name": "Some Body", "for_ms": 5000});
    assert_eq!(frame(&mut first).await, typing);
    rob.request(Method::POST, &format!("/api/v1/sessions/{id}/typing")).send().await.unwrap();
    drop(second);
    assert_eq!(people(&mut first).await, changed(json!([rob_here(0)]), 1));
    // None of it was for others, woke anybody or is kept.
    rename(&hangar, &id, "Two").await;
    assert_eq!(brief(&frame(&mut unseen).await), (String::new(), "event".to_owned(), 2));
    hangar.end().await;
}

#[tokio::test]
async fn history_is_read_backwards_and_by_kind() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    for title in ["Two", "Three", "Four", "Five"] {
        rename(&hangar, &id, title).await;
    }
    let page = async |query: &str| -> (Vec<u64>, u64, u64) {
        let page: Value = hangar.owner.get(&format!("/api/v1/sessions/{id}/events?{query}")).await.ok(200).await;
        let seqs = page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        (seqs, page["head"].as_u64().unwrap(), page["looked_at"].as_u64().unwrap())
    };
    assert_eq!(page("before=6&limit=2").await, (vec![4, 5], 5, 4));
    assert_eq!(page("before=4&limit=3").await, (vec![1, 2, 3], 5, 1));
    assert_eq!(page("before=1").await, (vec![], 5, 1));
    assert_eq!(page("after=2&limit=2").await, (vec![3, 4], 5, 4));
    assert_eq!(page("after=0&kinds=session_created").await, (vec![1], 5, 5));
    assert_eq!(page("before=5&kinds=title_changed&limit=2").await, (vec![3, 4], 5, 3));
    for wrong in ["before=3&after=1", "kinds=", "kinds=title_changed,x", "before=x"] {
        hangar.owner.get(&format!("/api/v1/sessions/{id}/events?{wrong}")).await.refused(BadRequest).await;
    }
    // The stream leaves the same out, and says where it is.
    let path = format!("/api/v1/sessions/{id}/stream?kinds=session_created,prompt_added");
    let mut socket = connect(&hangar, &path, &[bearer(&hangar)]).await.unwrap();
    assert_eq!(brief(&frame(&mut socket).await), (String::new(), "event".to_owned(), 1));
    assert_eq!(brief(&frame(&mut socket).await), (String::new(), "caught_up".to_owned(), 5));
    for number in 0..300 {
        rename(&hangar, &id, &format!("Title {number}")).await;
    }
    let (_, kind, seq) = brief(&frame(&mut socket).await);
    assert!(kind == "cursor" && (256..=305).contains(&seq), "{kind} {seq}");
    hangar.end().await;
}

/// Events of 900 bytes each, at most.
const RENAMES: u64 = 8_000;
const RENAMES_AT_ONCE: usize = 32;

/// A socket with little room for what is not read.
async fn narrow(hangar: &Hangar, path: &str) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let connection = socket.connect(hangar.server.address()).await.unwrap();
    let mut request = hangar.url(path).replace("http://", "ws://").into_client_request().unwrap();
    let (name, value) = bearer(hangar);
    request.headers_mut().insert(name, value.parse().unwrap());
    client_async(request, MaybeTlsStream::Plain(connection)).await.unwrap().0
}

#[tokio::test]
async fn a_reader_that_is_stuck_is_cut_and_goes_on_where_it_was() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let path = format!("/api/v1/sessions/{id}/stream");
    let mut stuck = narrow(&hangar, &format!("{path}?presence=true")).await;
    let mut witness = connect(&hangar, &format!("{path}?presence=true"), &[bearer(&hangar)]).await.unwrap();
    // It leaves for those who are there when it is cut, before the goodbye. They read all the while.
    let left = tokio::spawn(async move {
        let mut most = 0;
        loop {
            let Some(Ok(message)) = witness.next().await else { panic!("the witness was cut") };
            let Message::Text(text) = message else { continue };
            let seen: Value = serde_json::from_str(&text).unwrap();
            let connections = seen["people"][0]["connections"].as_u64().unwrap_or_default();
            if seen["frame"] == "presence" && seen["scope"] == "changed" {
                most = most.max(connections);
                if connections < most {
                    return (most, connections);
                }
            }
        }
    });
    // Much more than the kernel holds for a connection that is not read and has little room.
    let fill = async {
        let renames = futures::stream::iter(0..RENAMES).map(async |number| {
            let title = json!({"title": format!("{number} {}", "漢".repeat(190))});
            let asked = hangar.owner.request(Method::PATCH, &format!("/api/v1/sessions/{id}")).json(&title);
            assert_eq!(asked.send().await.unwrap().status(), 200);
        });
        // Many at once: were it filled slowly, the kernel itself would give the connection up before hangar does.
        renames.buffer_unordered(RENAMES_AT_ONCE).collect::<Vec<()>>().await;
        pending::<()>().await;
    };
    // Whatever machine this is, its reader comes back while the goodbye still waits for it.
    let left = tokio::select! {
        left = timeout(PATIENCE * 4, left) => left.unwrap().unwrap(),
        () = fill => unreachable!("it never ends"),
    };
    assert_eq!(left, (2, 1));
    // With room again, so that it has taken what the kernel holds for it before the goodbye is given up.
    let MaybeTlsStream::Plain(connection) = stuck.get_ref() else { panic!("no plain socket") };
    set_socket_recv_buffer_size(connection, 1024 * 1024).unwrap();
    let mut seqs: Vec<u64> = Vec::new();
    let after = loop {
        let seen = frame(&mut stuck).await;
        match seen["frame"].as_str().unwrap() {
            "event" => seqs.push(seen["event"]["seq"].as_u64().unwrap()),
            "bye" => break seen["after"].as_u64().unwrap(),
            _ => {}
        }
    };
    let Some(Ok(Message::Close(Some(close)))) = timeout(PATIENCE, stuck.next()).await.unwrap() else {
        panic!("no close")
    };
    assert_eq!(u16::from(close.code), 4008);
    // The frame it was stuck in came through after all: what was last sent in full is at most one behind.
    let last = *seqs.last().unwrap();
    assert!(after == last || after + 1 == last, "{after} after {last}");
    let mut again = connect(&hangar, &format!("{path}?after={last}"), &[bearer(&hangar)]).await.unwrap();
    seqs.extend(caught_up(&mut again).await);
    let head = *seqs.last().unwrap();
    assert!(last < head, "{last} of {head}");
    assert_eq!(seqs, (1..=head).collect::<Vec<u64>>());
    hangar.end().await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_to_streams_of_many() {
    let hangar = Hangar::start().await;
    let id = session(&hangar).await;
    let mut lists = connect(&hangar, "/api/v1/stream?list=true", &[bearer(&hangar)]).await.unwrap();
    let mut many = connect(&hangar, &format!("/api/v1/stream?sessions={id}"), &[bearer(&hangar)]).await.unwrap();
    while frame(&mut lists).await["frame"] != "list_complete" {}
    while frame(&mut many).await["frame"] != "caught_up" {}
    let ended = tokio::spawn(hangar.end());
    for socket in [&mut lists, &mut many] {
        while frame(socket).await["frame"] != "bye" {}
        let Some(Ok(Message::Close(Some(close)))) = timeout(PATIENCE, socket.next()).await.unwrap() else {
            panic!("no close")
        };
        assert_eq!(u16::from(close.code), 1001);
    }
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}
