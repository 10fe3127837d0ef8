//! The web app's files, or the page that stands in for them.

use hangar_protocol::RefusalCode::NotFound;
use reqwest::Method;

use crate::hangar::{Expect, Hangar};

#[tokio::test]
async fn every_deep_link_shows_the_apps_page() {
    let hangar = Hangar::start().await;
    for path in ["/", "/sign-in", "/s/abc", "/s/abc/changes", "/s/abc/pull-request", "/settings"] {
        let answer = hangar.stranger(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8", "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("script-src 'self'") && !policy.contains("inline"), "{policy}");
        assert!(answer.text().await.unwrap().to_lowercase().contains("<!doctype html>"), "{path}");
    }
    for path in ["/assets/none-12345678.js", "/favicon.none", "/s/abc/x.js"] {
        hangar.stranger(Method::GET, path).send().await.unwrap().refused(NotFound).await;
    }
    hangar.end().await;
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let hangar = Hangar::start().await;
    let first = hangar.stranger(Method::GET, "/").send().await.unwrap();
    // Where the app was not built there is nothing worth keeping.
    if let Some(tag) = first.headers().get("etag") {
        let again = hangar.stranger(Method::GET, "/").header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()["cache-control"], "no-cache");
    } else {
        assert!(first.text().await.unwrap().contains("was not built"));
    }
    hangar.end().await;
}
