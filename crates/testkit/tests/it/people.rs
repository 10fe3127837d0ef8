//! Several people: who comes in, whose commits are whose, who may approve what.

use hangar_client::Verdict;
use hangar_protocol::{RefusalCode, api::OpenPullRequest, event::TurnOutcome};
use hangar_testkit::{Person, Reply, TestServer, Transcript, Watch, commits_of, refusal, within};
use reqwest::Method;
use serde_json::{Value, json};

fn writers() -> Transcript {
    let write = |name: &str| {
        Reply::bash(&format!(
            "echo words > {name}.txt && git add -A && git commit --quiet --message 'Add {name}' && git push --quiet origin HEAD"
        ))
    };
    Transcript::new()
        .on("write one", [write("one"), Reply::say("Done.")])
        .on("write two", [write("two"), Reply::say("Done.")])
}

#[tokio::test]
async fn two_people_work_in_one_session_and_review_each_other() {
    let mut server = TestServer::start(writers()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let session = jane.begin("acme/tiny", "Please write one.").await.id;
    let mut watch = Watch::new(&ada, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    ada.prompt(&session, "ada-1", "Please write two.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    let names: Vec<&str> = state.participants.iter().map(|person| person.name.as_str()).collect();
    assert_eq!(names, ["Jane Doe", "Ada Byron"]);
    let repos = within("the repositories", jane.client().repos()).await.unwrap();
    let commits = commits_of(&repos[0].clone_url, ada.token(), &state.branch, server.directory()).await;
    assert_eq!(
        commits,
        [
            "Ada Byron <ada@example.org>: Add two",
            "Jane Doe <jane@example.org>: Add one",
            "Jane Doe <jane@example.org>: Import tiny"
        ]
    );

    // Ada opens it, so it is hers: she cannot approve it, by hangar's way or by GitHub's, and Jane can.
    let wish = OpenPullRequest::default();
    let opened = within("the pull request", ada.client().open_pull_request(&session, &wish)).await.unwrap();
    assert_eq!(opened.author.as_str(), "ada");
    let own = within("her own review", ada.client().review_pull_request(&session, Verdict::Approve, "Fine.")).await;
    match own {
        Err(hangar_client::Error::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Forbidden, "{refusal}"),
        other => panic!("{other:?}"),
    }
    let reviews = format!("/api/v3/repos/acme/tiny/pulls/{}/reviews", opened.number);
    let (status, answer) = post(&ada, &reviews, &json!({"event": "APPROVE"})).await;
    assert_eq!(
        (status, answer["errors"].to_string().as_str()),
        (422, "[\"Can not approve your own pull request\"]"),
        "{answer}"
    );
    let (status, answer) = post(&jane, &reviews, &json!({"event": "APPROVE"})).await;
    assert_eq!((status, answer["state"].as_str()), (200, Some("APPROVED")), "{answer}");
    watch.until("the approval", |event| serde_json::to_string(event).unwrap().contains("\"approved\"")).await;
    let view = within("the pull request", jane.client().pull_request(&session)).await.unwrap();
    assert_eq!(view.state.approved_by, ["jane"]);
    server.stop().await;
}

async fn post(person: &Person, path: &str, body: &Value) -> (u16, Value) {
    let answer = within(path, person.request(Method::POST, path).json(body).send()).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn strangers_are_refused_everywhere() {
    let mut server = TestServer::start(writers()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please write one.").await.id;
    assert_eq!(Watch::new(&jane, &session).turn_ended(1).await, TurnOutcome::Done);
    for (method, path) in [
        (Method::GET, "/api/v1/me".to_owned()),
        (Method::GET, "/api/v1/sessions".to_owned()),
        (Method::GET, format!("/api/v1/sessions/{session}")),
        (Method::GET, format!("/api/v1/sessions/{session}/stream")),
        (Method::GET, format!("/api/v1/sessions/{session}/diff")),
        (Method::POST, format!("/api/v1/sessions/{session}/prompts")),
        (Method::POST, format!("/api/v1/sessions/{session}/stop")),
        (Method::POST, "/api/v1/repos".to_owned()),
    ] {
        let said =
            refusal(jane.stranger(method.clone(), &path).json(&json!({"text": "hello"})).send().await.unwrap()).await;
        assert_eq!(said.code, RefusalCode::Unauthenticated, "{method} {path}");
        let wrong = Person::with_token(jane.client().url(), "hgr_nobodys");
        let said =
            refusal(wrong.request(method.clone(), &path).json(&json!({"text": "hello"})).send().await.unwrap()).await;
        assert_eq!(said.code, RefusalCode::Unauthenticated, "{method} {path}");
    }
    let git = jane.stranger(Method::GET, "/git/acme/tiny.git/info/refs?service=git-upload-pack").send().await.unwrap();
    assert_eq!(git.status(), 401);
    // A link works once.
    let code = server.first_link().split_once('#').unwrap().1;
    let again = jane.stranger(Method::POST, "/api/v1/sign-in").json(&json!({"code": code})).send().await.unwrap();
    assert_eq!(refusal(again).await.code, RefusalCode::Unauthenticated);
    let health = jane.stranger(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(health.status(), 200);
    server.stop().await;
}
