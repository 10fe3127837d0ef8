//! Who is shut out is cut off, and what was deleted is gone: also when the server is killed in the middle.

use std::{fs, path::Path};

use hangar_client::{Error, Patience, SessionFilter, Update};
use hangar_protocol::{
    EventBody, RefusalCode, Seq, SessionId, SessionRole, Visibility,
    api::{NewInvitation, NewSession},
    event::TurnOutcome,
};
use hangar_testkit::{Person, Reply, Setting, TestServer, Transcript, Watch, until, within};

fn wishes() -> Transcript {
    Transcript::new()
        .on("write", [Reply::bash("echo words > one.txt"), Reply::say("Done.")])
        .on("wait", [Reply::bash("sleep 600"), Reply::say("Waited.")])
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>) -> RefusalCode {
    match answer {
        Err(Error::Refused(refusal)) => refusal.code,
        other => panic!("{other:?} is no refusal"),
    }
}

#[tokio::test]
async fn whoever_is_shut_out_is_cut_off_before_the_next_event() {
    let mut server = TestServer::start(wishes()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let bob = server.let_in("bob", "Bob Stone", "bob@example.org").await;
    let new = NewSession {
        repo: "acme/tiny".parse().unwrap(),
        base_branch: None,
        model: None,
        agent: None,
        prompt: None,
        visibility: Some(Visibility::Private),
    };
    let session = within("the session", jane.client().create_session(&new)).await.unwrap().id;
    let invitation = NewInvitation { role: SessionRole::Prompter, expires_in_s: None };
    let link = within("the link", jane.client().invite(&session, &invitation)).await.unwrap().url;
    let secret = link.split_once('#').unwrap().1;
    within("joining", bob.client().join(&session, secret)).await.unwrap();
    let mut stream = bob.client().follow(&session, Seq::START, Patience::default());
    let mut seen = Vec::new();
    // He has seen that he was let in: from here on he follows live.
    while !seen.iter().any(|body| matches!(body, EventBody::MemberAdded { .. })) {
        if let Update::Event(event) = within("an event", stream.next()).await.unwrap().unwrap() {
            seen.push(event.body);
        }
    }
    let bobs = "bob".parse().unwrap();
    within("the removal", jane.client().remove_member(&session, &bobs)).await.unwrap();
    within("a title", jane.client().rename_session(&session, "Not for Bob")).await.unwrap();
    let end = loop {
        match within("the end of his stream", stream.next()).await.unwrap() {
            Ok(Update::Event(event)) => seen.push(event.body),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(refused::<()>(Err(end)), RefusalCode::NotFound);
    assert!(matches!(seen.last(), Some(EventBody::MemberAdded { .. })), "he saw more: {seen:?}");
    assert_eq!(refused(within("a prompt", bob.client().prompt(&session, "write")).await), RefusalCode::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_session_stops_comes_back_and_is_gone_when_its_time_has_come() {
    let mut server = TestServer::start(wishes()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please wait.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    let _ = server.run(&["delete", session.as_str()]).await.well();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    assert_eq!(server.run(&["stop", session.as_str()]).await.refusal().code, RefusalCode::Conflict);
    let _ = server.run(&["undelete", session.as_str()]).await.well();
    jane.prompt(&session, "r2", "Please write.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_left_of_a_session_that_was_removed() {
    let setting = Setting::new(wishes()).env("HANGAR_SESSIONS_RESTORABLE_HOURS", "0");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let sessions = server.data().join("sessions");
    let gone = written(&jane).await;
    let kept = written(&jane).await;
    let mut watch = jane.client().follow(&gone, Seq::START, Patience::default());
    within("the end of the session", jane.client().delete_session(&gone)).await.unwrap();
    until("its removal", async || {
        (!sessions.join(gone.as_str()).exists() && left_over(&sessions).is_empty()).then_some(())
    })
    .await;
    assert_eq!(refused(within("its state", jane.client().session(&gone)).await), RefusalCode::NotFound);
    let end = loop {
        if let Err(error) = within("the end of the stream", watch.next()).await.unwrap() {
            break error;
        }
    };
    assert_eq!(refused::<()>(Err(end)), RefusalCode::NotFound);
    let listed = async || {
        let any = SessionFilter { prefix: Some(gone.clone()), ..SessionFilter::default() };
        within("the list", jane.client().list_sessions(&any)).await.unwrap().len()
    };
    assert_eq!(listed().await, 0);

    // Killed between the renaming and the rest: as if the other session's removal had begun.
    server.kill().await;
    fs::rename(sessions.join(kept.as_str()), sessions.join(format!(".removed-{kept}"))).unwrap();
    server.restart().await;
    until("the rest of the removal", async || left_over(&sessions).is_empty().then_some(())).await;
    assert_eq!(refused(within("its state", jane.client().session(&kept)).await), RefusalCode::NotFound);
    let list = within("the list", jane.client().sessions()).await.unwrap();
    assert!(list.is_empty(), "{list:?}");
    assert_eq!(places_of_the_pool(server.data()), 0, "the files of both are gone");
    server.stop().await;
}

/// A session that has worked, and so has files.
async fn written(jane: &Person) -> SessionId {
    let session = jane.begin("acme/tiny", "Please write.").await.id;
    assert_eq!(Watch::new(jane, &session).turn_ended(1).await, TurnOutcome::Done);
    session
}

fn left_over(sessions: &Path) -> Vec<String> {
    let names = fs::read_dir(sessions).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

/// Directories of the pool that belong to sessions.
fn places_of_the_pool(data: &Path) -> usize {
    let Ok(places) = fs::read_dir(data.join("pool")) else { return 0 };
    places.filter(|place| !place.as_ref().unwrap().path().join("unclaimed").exists()).count()
}
