//! What users get wrong, by the command line and by HTTP: clear words, the right status, and nothing half done.

use std::fs::{self, File};

use hangar_client::Verdict;
use hangar_protocol::{
    EventBody, Refusal,
    RefusalCode::{self, BadRequest, Conflict, NotFound, TooLarge, Unauthenticated},
    SessionId,
    api::OpenPullRequest,
    event::TurnOutcome,
    limits::PROMPT_BYTES_MAX,
};
use hangar_testkit::{Ran, Reply, Story, TestServer, Transcript, Watch, refusal, within};
use reqwest::Method;
use serde_json::json;

fn world() -> Transcript {
    Transcript::new()
        .on("say", [Reply::say("Words, and nothing is changed.")])
        .on("write", [Reply::bash("echo words > new.txt"), Reply::say("Done.")])
        .on("wait", [Reply::bash("sleep 600"), Reply::say("Done.")])
}

/// What a command is refused with: kind, and words of message and hint.
fn check(refusal: &Refusal, code: RefusalCode, words: &str) {
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert!(format!("{refusal}").contains(words), "{words:?} in {refusal:?}");
    // What happened, and what to do.
    assert!(format!("{refusal}").matches(['.', ':']).count() >= 2, "{refusal:?}");
}

#[tokio::test]
async fn nothing_begins_where_it_cannot() {
    let mut server = TestServer::start(world()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let run = async |arguments: &[&str], code, words: &str| check(&server.run(arguments).await.refusal(), code, words);
    run(&["run", "--repo", "acme/none", "say it"], NotFound, "acme/none").await;
    run(&["run", "--repo", "acme/tiny", "--base", "none", "say it"], NotFound, "none").await;
    run(&["run", "--repo", "acme/tiny", "--model", "acme/none", "say it"], NotFound, "acme/none").await;
    run(&["run", "--repo", "acme/tiny", "  "], BadRequest, "empty").await;
    run(&["attach", "abc"], NotFound, "abc").await;
    run(&["stop", "abc"], NotFound, "abc").await;
    run(&["diff", "abc"], NotFound, "abc").await;
    run(&["pr", "abc"], NotFound, "abc").await;
    run(&["repo", "add", "/nowhere/at/all", "--name", "acme/other"], BadRequest, "/nowhere/at/all").await;
    let again = server.directory().join("tiny");
    run(&["repo", "add", again.to_str().unwrap(), "--name", "acme/tiny"], Conflict, "acme/tiny").await;

    let long = server.directory().join("long.txt");
    fs::write(&long, "x".repeat(PROMPT_BYTES_MAX + 1)).unwrap();
    let mut command = server.command(&["run", "--repo", "acme/tiny", "-", "--json"]);
    let ran = Ran::reading(&mut command, File::open(&long).unwrap()).await;
    check(&ran.refusal(), BadRequest, "256 KiB");

    let mut wrong = server.command(&["sessions", "--json"]);
    wrong.env("HANGAR_URL", jane.client().url()).env("HANGAR_TOKEN", "hgr_nobodys");
    check(&Ran::of(&mut wrong).await.refusal(), Unauthenticated, "token");
    // Words for people, not only for programs.
    let plain = Ran::of(&mut server.command(&["run", "--repo", "acme/none", "say it"])).await;
    assert_eq!((plain.code, plain.out.as_str()), (Some(4), ""));
    assert!(plain.err.starts_with("hangar: ") && plain.err.contains("acme/none"), "{}", plain.err);

    assert_eq!(within("the list", jane.client().sessions()).await.unwrap(), []);
    let folders: Vec<_> = fs::read_dir(server.data().join("sessions")).unwrap().flatten().collect();
    assert!(folders.iter().all(|entry| entry.file_type().unwrap().is_file()), "no folder of a session: {folders:?}");
    let repos = within("the repositories", jane.client().repos()).await.unwrap();
    assert_eq!(repos.len(), 1);
    server.stop().await;
    let gone =
        Ran::of(server.command(&["sessions"]).env("HANGAR_TOKEN", jane.token()).env("HANGAR_URL", jane.client().url()))
            .await;
    assert_eq!(gone.code, Some(7));
    assert!(gone.err.contains("hangar up"), "{}", gone.err);
}

#[tokio::test]
async fn a_session_refuses_what_does_not_fit() {
    let mut server = TestServer::start(world()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please say it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let before = Story::of(&jane.log(&session).await).to_string();

    let prompt = async |id: &str, text: &str| jane.prompt(&session, id, text).await.unwrap().unwrap_err();
    check(&prompt("r1", " \n ").await, BadRequest, "empty");
    check(&prompt("r2", &"x".repeat(PROMPT_BYTES_MAX + 1)).await, TooLarge, "262144");
    check(&server.run(&["stop", session.as_str()]).await.refusal(), Conflict, "Nothing is running");
    let nowhere: SessionId = "nosuchsession".parse().unwrap();
    check(&jane.prompt(&nowhere, "r3", "say").await.unwrap().unwrap_err(), NotFound, "nosuchsession");
    let unreadable =
        jane.request(Method::POST, &format!("/api/v1/sessions/{session}/prompts")).body("{").send().await.unwrap();
    assert!(unreadable.status().is_client_error());
    let unknown = jane.request(Method::POST, &format!("/api/v1/sessions/{session}/prompts"));
    let unknown = refusal(unknown.json(&json!({"text": "say", "colour": "red"})).send().await.unwrap()).await;
    check(&unknown, BadRequest, "colour");
    assert_eq!(Story::of(&jane.log(&session).await).to_string(), before, "none of this is in the log");
    server.stop().await;
}

#[tokio::test]
async fn a_pull_request_needs_commits_and_comes_once() {
    let mut server = TestServer::start(world()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please say it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    check(&server.run(&["pr", session.as_str()]).await.refusal(), Conflict, "ommit");
    let pulls = jane.request(Method::GET, "/api/v3/repos/acme/tiny/pulls?state=all").send().await.unwrap();
    assert_eq!(pulls.text().await.unwrap(), "[]");
    let branches = jane.request(Method::GET, "/api/v3/repos/acme/tiny/branches").send().await.unwrap();
    let branches: serde_json::Value = branches.json().await.unwrap();
    assert_eq!(branches.as_array().unwrap().len(), 1, "no branch was pushed: {branches}");
    let log = jane.log(&session).await;
    assert!(!log.iter().any(|event| matches!(event.body, EventBody::BranchPushed { .. })), "{}", Story::of(&log));

    jane.prompt(&session, "r2", "Please write it.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    let _ = server.run(&["pr", session.as_str()]).await.well();
    let wish = OpenPullRequest::default();
    match within("the second pull request", jane.client().open_pull_request(&session, &wish)).await {
        Err(hangar_client::Error::Refused(refusal)) => check(&refusal, Conflict, "#1"),
        other => panic!("{other:?}"),
    }
    let again = json!({"title": "Again", "head": format!("hangar/{session}"), "base": "main"});
    let again = jane.request(Method::POST, "/api/v3/repos/acme/tiny/pulls").json(&again).send().await.unwrap();
    assert_eq!(again.status(), 422);
    let _ = server.run(&["pr", session.as_str(), "--merge"]).await.well();
    match within("a late review", jane.client().review_pull_request(&session, Verdict::Comment, "late")).await {
        Err(hangar_client::Error::Refused(refusal)) => assert_eq!(refusal.code, Conflict, "{refusal}"),
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

#[tokio::test]
async fn of_two_stops_one_counts() {
    let mut server = TestServer::start(world()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please wait.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    let stops =
        within("the answers", async { tokio::join!(jane.client().stop(&session), jane.client().stop(&session)) }).await;
    let (well, refused) = match stops {
        (Ok(well), Err(refused)) | (Err(refused), Ok(well)) => (well, refused),
        other => panic!("{other:?}"),
    };
    assert_eq!(well.turn.0, 1);
    match refused {
        hangar_client::Error::Refused(refusal) => check(&refusal, Conflict, "stop"),
        other => panic!("{other:?}"),
    }
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    let asked = watch.events().iter().filter(|event| matches!(event.body, EventBody::StopRequested { .. })).count();
    assert_eq!(asked, 1);
    server.stop().await;
}
