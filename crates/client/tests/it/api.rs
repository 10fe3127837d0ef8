//! Requests as the server sees them, and answers as the caller sees them.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use hangar_client::{Client, Error, Token};
use hangar_protocol::{
    PromptId, RefusalCode, Seq,
    api::{CreatedToken, MergeMethod, PromptAccepted, SaidPrompt, TokenInfo},
    state::{PullRequestState, PullRequestStatus},
};
use serde_json::json;

use crate::play::refusal;

struct Answers {
    url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(router: Router) -> Answers {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    Answers { url, server: tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }) }
}

fn client(answers: &Answers) -> Client {
    Client::new(&answers.url, Token::new("hgr_x")).unwrap()
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_as_it_was_said() {
    let answers = serve(Router::new().route("/api/v1/me", get(async || refusal(RefusalCode::Unauthenticated)))).await;
    match client(&answers).me().await.unwrap_err() {
        Error::Refused(said) => {
            assert_eq!((said.code, said.message.as_str()), (RefusalCode::Unauthenticated, "No: Unauthenticated."))
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn somebody_elses_server_is_recognised() {
    let answers = serve(Router::new().fallback(async || "<html>It works!</html>")).await;
    let error = client(&answers).repos().await.unwrap_err();
    assert!(matches!(&error, Error::NotHangar { cause, .. } if cause.contains("It works!")), "{error}");
    assert_eq!(error.exit_status(), 1);

    let answers = serve(Router::new()).await;
    let error = client(&answers).repos().await.unwrap_err();
    assert!(matches!(&error, Error::NotHangar { cause, .. } if cause.contains("404")), "{error}");

    let away = async || (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>");
    let answers = serve(Router::new().fallback(away)).await;
    assert_eq!(client(&answers).repos().await.unwrap_err().exit_status(), 7);
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_token_away() {
    let elsewhere = async || (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "http://127.0.0.1:9/api/v1/me")]);
    let answers = serve(Router::new().route("/api/v1/me", get(elsewhere))).await;
    assert!(matches!(client(&answers).me().await.unwrap_err(), Error::NotHangar { .. }));
}

/// A server that takes the first `lost` prompts and then lets the connection die without an answer.
#[derive(Clone)]
struct Lossy {
    seen: Arc<Mutex<Vec<SaidPrompt>>>,
}

#[tokio::test]
async fn a_prompt_whose_answer_was_lost_is_offered_again_under_the_same_id() {
    async fn prompt(State(lossy): State<Lossy>, Json(prompt): Json<SaidPrompt>) -> Response {
        let mut seen = lossy.seen.lock().unwrap();
        seen.push(prompt);
        if seen.len() < 3 {
            return (StatusCode::BAD_GATEWAY, "").into_response();
        }
        (StatusCode::ACCEPTED, Json(PromptAccepted { prompt: PromptId(1), seq: Seq(5) })).into_response()
    }
    let lossy = Lossy { seen: Arc::default() };
    let router = Router::new().route("/api/v1/sessions/{id}/prompts", post(prompt)).with_state(lossy.clone());
    let answers = serve(router).await;
    let accepted = client(&answers).prompt(&"abc".parse().unwrap(), "do it").await.unwrap();
    assert_eq!(accepted, PromptAccepted { prompt: PromptId(1), seq: Seq(5) });
    let seen = lossy.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|prompt| prompt.request_id.is_some() && *prompt == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn a_link_is_traded_for_a_token_the_way_a_browser_does() {
    async fn sign_in(Json(body): Json<serde_json::Value>) -> Response {
        assert_eq!(body, json!({"code": "one-time"}));
        let cookie = "hangar_session=s3cret; HttpOnly; SameSite=Strict; Path=/";
        (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
    }
    async fn create(headers: HeaderMap, Json(body): Json<serde_json::Value>) -> Response {
        assert_eq!(body, json!({"label": "a script"}));
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!(
            (said("cookie"), said("x-hangar"), said("authorization")),
            ("hangar_session=s3cret".to_owned(), "1".to_owned(), String::new())
        );
        let info = TokenInfo { id: 7, label: "a script".to_owned(), created_ms: 1, used_ms: None };
        (StatusCode::CREATED, Json(CreatedToken { info, secret: "hgr_new".to_owned() })).into_response()
    }
    let router = Router::new().route("/api/v1/sign-in", post(sign_in)).route("/api/v1/tokens", post(create));
    let answers = serve(router).await;
    let signed_in = Client::stranger(&answers.url).unwrap().sign_in("one-time").await.unwrap();
    assert!(!format!("{signed_in:?}").contains("s3cret"));
    assert_eq!(signed_in.create_token("a script").await.unwrap().secret, "hgr_new");
}

#[tokio::test]
async fn paths_methods_and_bodies_are_those_of_the_api() {
    async fn echo(State(log): State<Arc<Mutex<Vec<String>>>>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        log.lock().unwrap().push(format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body)));
        let state = PullRequestState {
            number: 1,
            title: "t".to_owned(),
            author: "ada".parse().unwrap(),
            url: "/s/abc/pull-request".to_owned(),
            status: PullRequestStatus::Merged,
            merge_commit: None,
            approved_by: Vec::new(),
        };
        Json(state).into_response()
    }
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let router = Router::new().route("/api/v1/tokens/{id}", delete(echo)).fallback(echo).with_state(Arc::clone(&log));
    let answers = serve(router).await;
    let client = client(&answers);
    let id = "abc".parse().unwrap();
    client.merge_pull_request(&id, MergeMethod::Squash).await.unwrap();
    client.open_pull_request(&id, &Default::default()).await.unwrap();
    client.review_pull_request(&id, hangar_client::Verdict::RequestChanges, "no").await.unwrap();
    client.remove_token(3).await.unwrap();
    client.cancel_prompt(&id, PromptId(2)).await.unwrap();
    client.rename_session(&id, "better").await.unwrap();
    client.blob(&id, "00ff").await.unwrap();
    // Each change has a request id of its own.
    let asked = log.lock().unwrap().clone();
    let asked: Vec<String> = asked
        .into_iter()
        .map(|line| match line.split_once("?request_id=cli-") {
            Some((before, id)) => format!("{before} by id {}", id.trim().len()),
            None => line,
        })
        .collect();
    assert_eq!(
        asked,
        [
            r#"POST /api/v1/sessions/abc/pull-request/merge {"method":"squash"}"#,
            r#"POST /api/v1/sessions/abc/pull-request {"title":null,"body":null}"#,
            r#"POST /api/v1/sessions/abc/pull-request/reviews {"verdict":"request_changes","body":"no"}"#,
            "DELETE /api/v1/tokens/3 ",
            "DELETE /api/v1/sessions/abc/prompts/2 by id 32",
            r#"PATCH /api/v1/sessions/abc {"title":"better"}"#,
            "GET /api/v1/sessions/abc/blobs/00ff ",
        ]
    );
}
