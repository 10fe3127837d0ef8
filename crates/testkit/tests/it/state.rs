//! What is on disk: the list of sessions is what the logs say, damage is named and hurts nobody else.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use hangar_protocol::{
    Event, RefusalCode, SessionId, SessionState,
    api::SessionSummary,
    event::{EventBody, TurnOutcome},
};
use hangar_testkit::{Reply, TestServer, Transcript, Watch, until, within};
use serde_json::Value;

fn talker() -> Transcript {
    Transcript::new().on("say", [Reply::say("Words.")]).on("print", [Reply::bash("seq 1 5000"), Reply::say("Printed.")])
}

fn log_of(server: &TestServer, session: &SessionId) -> PathBuf {
    server.data().join("sessions").join(session.as_str()).join("log.db")
}

async fn search(server: &TestServer, words: &str) -> Vec<SessionSummary> {
    within("a search", server.owner().client().search_sessions(words)).await.expect("an answer")
}

#[tokio::test]
async fn sessions_are_found_by_what_was_said_and_the_list_outlives_a_kill_and_its_own_loss() {
    let mut server = TestServer::start(talker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let data = server.data().display().to_string();
    let first = jane.begin("acme/tiny", "Please say something about Zürich.").await.id;
    assert_eq!(Watch::new(&jane, &first).turn_ended(1).await, TurnOutcome::Done);
    let second = jane.begin("acme/tiny", "Please say something about Bern.").await.id;
    // Whoever begins a session finds it.
    let found = search(&server, "zurich SAY").await;
    assert_eq!(found.iter().map(|session| &session.id).collect::<Vec<_>>(), [&first]);
    let place = found[0].found.clone().expect("the place");
    assert!(place.pieces.iter().any(|piece| piece.matched && piece.text == "Zürich"), "{place:?}");
    assert_eq!(search(&server, "bern").await[0].id, second);
    let nothing = jane.client().search_sessions(" - ").await.expect_err("no word");
    assert!(nothing.to_string().contains("no word"), "{nothing}");
    let shown = server.run(&["sessions", "--search", "bern"]).await;
    assert_eq!(shown.code, Some(0));
    assert!(shown.out.contains(second.as_str()) && shown.out.contains("Bern"), "{}", shown.out);

    server.kill().await;
    server.restart().await;
    let jane = server.owner().clone();
    assert_eq!(Watch::new(&jane, &second).turn_ended(1).await, TurnOutcome::Done);
    let beside = server.run(&["rebuild", "--check", "--data", &data]).await;
    assert_eq!(beside.code, Some(0), "{}{}", beside.out, beside.err);
    let anew = server.run(&["rebuild", "--data", &data]).await;
    let anew: Value = serde_json::from_str(&anew.out).expect("JSON");
    assert_eq!(anew, serde_json::json!({"sessions": 2, "damaged": []}));
    assert_eq!(search(&server, "zurich").await.len(), 1);

    server.kill().await;
    // The list is nobody's only copy of anything.
    fs::write(server.data().join("sessions/index.db"), vec![7; 8192]).unwrap();
    drop(fs::remove_file(server.data().join("sessions/index.db-wal")));
    server.restart().await;
    assert_eq!(search(&server, "bern").await[0].id, second);
    assert_eq!(server.owner().client().sessions().await.unwrap().len(), 2);
    server.stop().await;
    let at_rest = server.run(&["rebuild", "--check", "--data", &data]).await;
    assert_eq!(at_rest.code, Some(0), "{}{}", at_rest.out, at_rest.err);
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_damaged_log_is_named_and_never_cut_and_other_sessions_go_on() {
    let mut server = TestServer::start(talker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let data = server.data().display().to_string();
    let well = jane.begin("acme/tiny", "Please say it.").await.id;
    assert_eq!(Watch::new(&jane, &well).turn_ended(1).await, TurnOutcome::Done);
    let hurt = jane.begin("acme/tiny", "Please print it.").await.id;
    let mut watch = Watch::new(&jane, &hurt);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let blob = watch.events().iter().find_map(|event| match &event.body {
        EventBody::ToolFinished { blob: Some(blob), .. } => Some(blob.clone()),
        _ => None,
    });
    let blob = blob.expect("an output that is too long for an event");
    server.stop().await;

    let whole = server.run(&["check", "--data", &data]).await;
    assert_eq!(whole.code, Some(0), "{}{}", whole.out, whole.err);
    // A blob that is gone.
    let lost = server.data().join("sessions").join(hurt.as_str()).join("blobs").join(&blob.sha256);
    fs::remove_file(&lost).unwrap();
    let told = server.run(&["check", hurt.as_str(), "--data", &data]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.out.contains(&blob.sha256) && told.out.contains("is missing"), "{}", told.out);

    // Pages that were overwritten, all but the one that says what the file is.
    let path = log_of(&server, &hurt);
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 4096, "the log was folded into its file when it was closed");
    bytes[4096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    server.restart().await;
    let jane = server.owner().clone();
    let refusal = jane.prompt(&hurt, "one", "Please say it.").await.expect("an answer").expect_err("a refusal");
    assert_eq!(refusal.code, RefusalCode::Internal, "{refusal}");
    assert!(refusal.message.contains("damaged") && refusal.hint.contains("hangar check"), "{refusal}");
    let accepted = jane.prompt(&well, "two", "Please say it.").await.expect("an answer").expect("the other goes on");
    assert_eq!(Watch::new(&jane, &well).turn_ended(accepted.prompt.0).await, TurnOutcome::Done);
    let listed = until("the list", async || jane.client().sessions().await.ok()).await;
    let marked: Vec<_> = listed.iter().filter(|session| session.damaged.is_some()).map(|session| &session.id).collect();
    assert_eq!(marked, [&hurt]);
    let told = server.run(&["check", "--data", &data]).await;
    assert_eq!(told.code, Some(1));
    let examined: Vec<Value> = serde_json::from_str(&told.out).expect("JSON");
    let damaged = |session: &&Value| session["problems"].as_array().is_some_and(|problems| !problems.is_empty());
    let damaged: Vec<_> = examined.iter().filter(damaged).map(|session| session["session"].clone()).collect();
    assert_eq!(damaged, [serde_json::json!(hurt)], "{}", told.out);
    assert_eq!(fs::read(&path).unwrap(), bytes, "nobody touched it");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// Pages of a database.
const PAGE_BYTES: usize = 4096;

#[tokio::test]
async fn an_export_saves_what_can_be_read() {
    let mut server = TestServer::start(talker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please print it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    // Events of several pages.
    let long = format!("Please say it. {}", "x".repeat(PAGE_BYTES / 2));
    for number in 2..6 {
        let accepted = jane.prompt(&session, &format!("say-{number}"), &long).await.unwrap().unwrap();
        assert_eq!(watch.turn_ended(accepted.prompt.0).await, TurnOutcome::Done);
    }
    server.stop().await;

    let folder = server.data().join("sessions").join(session.as_str());
    fs::remove_dir_all(folder.join("blobs")).unwrap();
    let path = log_of(&server, &session);
    let mut bytes = fs::read(&path).unwrap();
    let last = watch.events().last().unwrap().seq;
    let mark = format!(r#"{{"seq":{last},"#);
    let place = bytes.windows(mark.len()).rposition(|window| window == mark.as_bytes()).expect("the last event");
    let page = place / PAGE_BYTES * PAGE_BYTES;
    assert!(page > PAGE_BYTES, "the first pages say where the others are");
    bytes[page..page + PAGE_BYTES].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    server.restart().await;

    let saved = server.directory().join("saved.tar.zst");
    let told = server.run(&["export", session.as_str(), saved.to_str().unwrap()]).await;
    assert_eq!(told.code, Some(1), "{}{}", told.out, told.err);
    let told: Value = serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("no JSON, but {}", told.err));
    let found = unpacked(&saved, &session);
    let events = &found["events.jsonl"];
    let events: Vec<Event> = events.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert!(!events.is_empty() && events.last().unwrap().seq < last, "{} of {last}", events.len());
    assert_eq!(events, watch.events()[..events.len()]);
    let state: SessionState = serde_json::from_str(&found["session.json"]).expect("a state");
    assert_eq!(state, SessionState::fold(&events).unwrap());
    assert_eq!((&told["head"], &told["blobs"]), (&serde_json::json!(state.seq), &serde_json::json!(0)));
    let missing: Vec<&str> = told["missing"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(missing[0].starts_with(&format!("What follows event {} is not in it.", state.seq)), "{missing:?}");
    assert!(missing[1].starts_with("Output ") && missing[2].starts_with("The changes are not in it."), "{missing:?}");
    assert_eq!((missing.len(), found.len()), (3, 2), "{missing:?}");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// What an export holds, by the names in its session's folder.
fn unpacked(file: &Path, session: &SessionId) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(file).unwrap()).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().strip_prefix(session.as_str()).unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    };
    archive.entries().unwrap().map(read).collect()
}
