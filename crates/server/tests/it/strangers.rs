//! Nobody gets in who is not known, on any route of the API's own description.

use hangar_protocol::RefusalCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar};

/// The routes that everybody may ask; whoever adds one has to add it here too.
const OPEN: [&str; 3] = ["get /api/v1/openapi.json", "get /healthz", "post /api/v1/sign-in"];

/// Every route of the document: method, path with its parameters filled in, and as it is written.
fn routes(document: &Value) -> Vec<(Method, String, String)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            let filled = path
                .replace("{id}", "1")
                .replace("{owner}/{name}", "acme/website")
                .replace("{user}", "jane")
                .replace("{build}", "1")
                .replace("{image}", &"0".repeat(32))
                .replace("{prompt}", "1")
                .replace("{invitation}", "1")
                .replace("{attempt}", "1")
                .replace("{sha256}", &"0".repeat(64));
            assert!(!filled.contains('{'), "a parameter this test does not know: {path}");
            found.push((
                Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                filled,
                format!("{method} {path}"),
            ));
        }
    }
    found
}

#[tokio::test]
async fn every_route_of_the_document_refuses_strangers() {
    let hangar = Hangar::start().await;
    let document: Value = hangar.stranger(Method::GET, "/api/v1/openapi.json").send().await.unwrap().ok(200).await;
    let routes = routes(&document);
    assert!(routes.len() > 25, "{} routes", routes.len());
    let mut open = Vec::new();
    for (method, path, written) in routes {
        if OPEN.contains(&written.as_str()) {
            open.push(written);
            continue;
        }
        let ask = || hangar.stranger(method.clone(), &path).json(&json!({}));
        let nobody = ask().send().await.unwrap();
        assert_eq!(nobody.headers()["www-authenticate"], "Bearer realm=\"hangar\"", "{written}");
        nobody.refused(RefusalCode::Unauthenticated).await;
        for (name, value) in [
            ("authorization", "Bearer hgr_0000".to_owned()),
            ("authorization", "Bearer".to_owned()),
            ("authorization", "Basic amFuZTpqYW5l".to_owned()),
            ("authorization", format!("Bearer {}", "x".repeat(4000))),
            ("cookie", "hangar_session=0000".to_owned()),
            ("cookie", "hangar_session=".to_owned()),
        ] {
            ask().header(name, value).send().await.unwrap().refused(RefusalCode::Unauthenticated).await;
        }
    }
    open.sort();
    assert_eq!(open, OPEN);
    hangar.end().await;
}

#[tokio::test]
async fn the_forge_refuses_strangers_too() {
    let hangar = Hangar::start().await;
    hangar.repo("acme/website").await;
    for path in [
        "/api/v3/user",
        "/api/v3/repos/acme/website",
        "/git/acme/website.git/info/refs?service=git-upload-pack",
        "/acme/website.git/info/refs?service=git-upload-pack",
    ] {
        assert_eq!(hangar.stranger(Method::GET, path).send().await.unwrap().status(), 401, "{path}");
        let known = hangar.owner.get(path).await;
        assert_eq!(known.status(), 200, "{path}");
    }
    hangar.end().await;
}

#[tokio::test]
async fn a_name_that_is_not_the_servers_is_refused_on_every_kind_of_address() {
    let hangar = Hangar::start().await;
    for path in ["/", "/healthz", "/api/v1/me", "/api/v1/openapi.json", "/api/v3/user", "/nothing"] {
        let asked = hangar.owner.request(Method::GET, path).header("host", "evil.example:7433");
        asked.send().await.unwrap().refused(RefusalCode::Forbidden).await;
    }
    hangar.end().await;
}
