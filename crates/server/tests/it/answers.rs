//! The form of answers: refusals of bad requests, and the document that describes them all.

use std::collections::HashSet;

use hangar_protocol::RefusalCode::{BadRequest, NotFound, TooLarge, Unauthenticated};
use reqwest::Method;
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar};

#[tokio::test]
async fn bad_bodies_are_refused() {
    let hangar = Hangar::start_with(|config| config.http.body_bytes_max = 1000).await;
    let ask = |body: &str, kind: &str| {
        let asked = hangar.owner.request(Method::POST, "/api/v1/tokens").header("content-type", kind);
        asked.body(body.to_owned()).send()
    };
    let json = "application/json";
    for (body, kind) in [
        ("", json),
        ("{", json),
        ("null", json),
        ("[]", json),
        ("{}", json),
        (r#"{"label": 1}"#, json),
        (r#"{"label": ""}"#, json),
        (r#"{"label": "a\nb"}"#, json),
        (r#"{"label": "x", "more": 1}"#, json),
        (r#"{"label": "x"}"#, "text/plain"),
        ("label=x", "application/x-www-form-urlencoded"),
    ] {
        let refusal = ask(body, kind).await.unwrap().refused(BadRequest).await;
        assert!(!refusal.hint.is_empty(), "{body}");
    }
    assert!(ask("{\"label\": 1}", json).await.unwrap().refused(BadRequest).await.message.contains("label"));
    ask(&format!("{{\"label\": \"{}\"}}", "x".repeat(2000)), json).await.unwrap().refused(TooLarge).await;
    let streamed =
        reqwest::Body::wrap_stream(futures::stream::iter((0..200).map(|_| Ok::<_, std::io::Error>("          "))));
    let asked = hangar.owner.request(Method::POST, "/api/v1/tokens").header("content-type", json).body(streamed);
    asked.send().await.unwrap().refused(TooLarge).await;
    // A stranger's body is not even looked at.
    let stranger = hangar.stranger(Method::POST, "/api/v1/tokens").body("x".repeat(2000)).send().await.unwrap();
    stranger.refused(Unauthenticated).await;
    hangar.end().await;
}

#[tokio::test]
async fn bad_paths_and_queries_are_refused() {
    let hangar = Hangar::start().await;
    for (path, code) in [
        ("/api/v1/nothing", NotFound),
        ("/api/v2", NotFound),
        ("/api", NotFound),
        ("/api/v1/sessions/UPPER", BadRequest),
        ("/api/v1/sessions/%00", BadRequest),
        ("/api/v1/sessions/%ff", BadRequest),
        ("/api/v1/sessions/none", NotFound),
        ("/api/v1/sessions/none/events?after=-1", BadRequest),
        ("/api/v1/sessions/none/events?after=9007199254740992", BadRequest),
        ("/api/v1/sessions/none/events?limit=0", BadRequest),
        ("/api/v1/sessions/none/events?limit=1001", BadRequest),
        ("/api/v1/sessions/none/events", NotFound),
        ("/api/v1/sessions/none/stream?after=x", BadRequest),
        ("/api/v1/sessions/none/stream", NotFound),
        ("/api/v1/sessions/none/diff", NotFound),
        ("/api/v1/sessions/none/pull-request", NotFound),
        ("/api/v1/sessions/none/blobs/xyz", BadRequest),
    ] {
        hangar.owner.get(path).await.refused(code).await;
    }
    let blob = format!("/api/v1/sessions/none/blobs/{}", "0".repeat(64));
    hangar.owner.get(&blob).await.refused(NotFound).await;
    hangar.owner.request(Method::DELETE, "/api/v1/tokens/x").send().await.unwrap().refused(BadRequest).await;
    hangar.end().await;
}

#[tokio::test]
async fn a_method_nobody_answers_is_told_which_are() {
    let hangar = Hangar::start().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v1/me", "GET,HEAD"),
        (Method::PUT, "/api/v1/sessions", "GET,HEAD,POST"),
        (Method::POST, "/healthz", "GET,HEAD"),
        (Method::POST, "/settings", "GET, HEAD"),
    ] {
        let answer = hangar.owner.request(method, path).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, allowed), "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], "bad_request");
    }
    hangar.end().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_what_it_may_not_do() {
    let hangar = Hangar::start().await;
    for path in ["/healthz", "/api/v1/me", "/api/v1/nothing", "/api/v3/user", "/", "/assets/none.js"] {
        let answer = hangar.owner.get(path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert!(!header("cache-control").is_empty(), "{path}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{path}");
    }
    hangar.end().await;
}

#[tokio::test]
async fn health_names_the_version() {
    let hangar = Hangar::start().await;
    let health: Value = hangar.stranger(Method::GET, "/healthz").send().await.unwrap().ok(200).await;
    assert_eq!(health, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    hangar.end().await;
}

#[tokio::test]
async fn no_more_requests_are_answered_at_once_than_allowed() {
    let hangar = Hangar::start_with(|config| config.http.requests_at_once_max = 1).await;
    // A body that does not end holds its place.
    let (send, body) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let body =
        reqwest::Body::wrap_stream(futures::stream::unfold(body, async |mut body| Some((body.recv().await?, body))));
    let slow =
        hangar.owner.request(Method::POST, "/api/v1/tokens").header("content-type", "application/json").body(body);
    let slow = tokio::spawn(slow.send());
    send.send(Ok("{\"label\": ".to_owned())).await.unwrap();
    // The other connection may be faster than the first: ask until the place is taken.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while hangar.owner.get("/api/v1/me").await.status() != 429 {
        assert!(tokio::time::Instant::now() < deadline, "never refused");
    }
    send.send(Ok("\"x\"}".to_owned())).await.unwrap();
    drop(send);
    assert_eq!(slow.await.unwrap().unwrap().status(), 201);
    let _: Value = hangar.owner.get("/api/v1/me").await.ok(200).await;
    hangar.end().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_refused() {
    let hangar = Hangar::start_with(|config| config.http.request_timeout_s = 1).await;
    let never = reqwest::Body::wrap_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    let asked =
        hangar.owner.request(Method::POST, "/api/v1/tokens").header("content-type", "application/json").body(never);
    asked.send().await.unwrap().refused(hangar_protocol::RefusalCode::Unavailable).await;
    hangar.end().await;
}

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.push(target.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_document_is_whole() {
    let document = serde_json::to_value(hangar::api_description()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut targets = Vec::new();
    references(&document, &mut targets);
    for target in targets {
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target} is not there");
    }
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let written = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{written}");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{written} has no words");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{written}");
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorBody", "{written} {status}");
            }
            assert!(responses.contains_key("503"), "{written}");
        }
    }
    for schema in ["Frame", "Event", "SessionState", "ErrorBody", "RefusalCode"] {
        assert!(document["components"]["schemas"].get(schema).is_some(), "{schema}");
    }
}
