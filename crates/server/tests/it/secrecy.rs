//! No secret reaches the log, at whatever level.

use reqwest::Method;
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar, LOG, code_of};

#[tokio::test]
async fn no_secret_is_logged() {
    let key = "sk-never-to-be-seen";
    let hangar = Hangar::start_with(|config| {
        config.models.push(hangar::config::ModelConfig {
            id: "acme/model".to_owned(),
            base_url: "http://127.0.0.1:9/v1".to_owned(),
            key: Some(hangar::Secret::new(key.to_owned())),
            ..hangar::config::ModelConfig::default()
        });
    })
    .await;
    let code = code_of(&hangar.server.first_link().unwrap().url);
    let answer = hangar.sign_in(&code).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let made: Value = hangar.owner.post("/api/v1/tokens", &json!({"label": "x"})).await.ok(201).await;
    let token = made["secret"].as_str().unwrap();
    for path in ["/api/v1/me", "/api/v3/user", "/api/v1/nothing", "/api/v1/sessions/none/stream"] {
        hangar.stranger(Method::GET, path).bearer_auth(token).send().await.unwrap();
        hangar.stranger(Method::GET, path).header("cookie", &cookie).send().await.unwrap();
    }
    hangar.repo("acme/website").await;
    let git = hangar.stranger(Method::GET, "/git/acme/website.git/info/refs?service=git-upload-pack");
    assert_eq!(git.basic_auth("x", Some(token)).send().await.unwrap().status(), 200);
    let wrong = "hgr_nobodys-token";
    hangar.stranger(Method::GET, "/api/v1/me").bearer_auth(wrong).send().await.unwrap();
    hangar.sign_in("this-code-is-nobodys").await;
    hangar.end().await;
    let log = LOG.text();
    // Signs that the log was really listened to.
    assert!(log.contains("requests are answered") && log.contains("/api/v1/sign-in"), "{} bytes", log.len());
    let cookie = cookie.split_once('=').unwrap().1;
    for secret in [code.as_str(), cookie, token, key, wrong, "this-code-is-nobodys"] {
        assert!(!log.contains(secret), "{secret} stands in the log: {}", around(&log, secret));
    }
}

fn around(log: &str, secret: &str) -> String {
    log.lines().find(|line| line.contains(secret)).unwrap_or_default().to_owned()
}
