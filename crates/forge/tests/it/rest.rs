//! The REST face: who is let in, odd requests, pages.

use hangar_forge::{CommitId, ForgeError, Result};
use serde_json::{Value, json};

use crate::house::{House, path};

/// Every route, with a body that would be fine.
fn routes(sha: &str) -> Vec<(&'static str, String, Value)> {
    let repo = |tail: &str| format!("/repos/acme/web{tail}");
    let none = Value::Null;
    vec![
        ("GET", "/user".into(), none.clone()),
        ("GET", "/user/repos".into(), none.clone()),
        ("POST", "/user/repos".into(), json!({"name": "x"})),
        ("POST", "/orgs/acme/repos".into(), json!({"name": "x"})),
        ("GET", repo(""), none.clone()),
        ("PATCH", repo(""), json!({"default_branch": "main"})),
        ("GET", repo("/branches"), none.clone()),
        ("GET", repo("/branches/main"), none.clone()),
        ("GET", repo("/git/ref/heads/main"), none.clone()),
        ("GET", repo("/git/matching-refs/heads/m"), none.clone()),
        ("POST", repo("/git/refs"), json!({"ref": "refs/heads/x", "sha": sha})),
        ("PATCH", repo("/git/refs/heads/main"), json!({"sha": sha})),
        ("DELETE", repo("/git/refs/heads/work"), none.clone()),
        ("GET", repo("/commits"), none.clone()),
        ("GET", repo("/commits/main"), none.clone()),
        ("GET", repo("/commits/main/status"), none.clone()),
        ("GET", repo("/commits/main/statuses"), none.clone()),
        ("GET", repo("/commits/main/check-runs"), none.clone()),
        ("POST", repo(&format!("/statuses/{sha}")), json!({"state": "success"})),
        ("POST", repo("/check-runs"), json!({"name": "x", "head_sha": sha})),
        ("GET", repo("/compare/main...work"), none.clone()),
        ("GET", repo("/contents"), none.clone()),
        ("GET", repo("/contents/README.md"), none.clone()),
        ("GET", repo("/pulls"), none.clone()),
        ("POST", repo("/pulls"), json!({"title": "t", "head": "work", "base": "main"})),
        ("GET", repo("/pulls/1"), none.clone()),
        ("PATCH", repo("/pulls/1"), json!({"title": "t"})),
        ("GET", repo("/pulls/1/commits"), none.clone()),
        ("GET", repo("/pulls/1/files"), none.clone()),
        ("PUT", repo("/pulls/1/merge"), json!({})),
        ("GET", repo("/pulls/1/merge"), none.clone()),
        ("GET", repo("/pulls/1/reviews"), none.clone()),
        ("POST", repo("/pulls/1/reviews"), json!({"event": "APPROVE"})),
        ("GET", repo("/issues/1/comments"), none.clone()),
        ("POST", repo("/issues/1/comments"), json!({"body": "b"})),
        ("GET", "/no/such/route".into(), none),
    ]
}

#[tokio::test]
async fn strangers_are_refused_on_every_route_and_outsiders_see_nothing() {
    let house = House::build().await;
    house.web().await;
    let sha = house.push_branch("bob", "work", "w.txt", "1\n").await;
    house.api("POST", "/repos/acme/web/pulls", "bob", json!({"title": "t", "head": "work", "base": "main"})).await;
    let before = (house.forge.changes_since(0).await.unwrap(), house.forge.branches(&path("acme/web")).await.unwrap());
    for (method, route, body) in routes(&sha) {
        let nobody = house.raw(method, &route, None, &[], body.clone()).await;
        assert_eq!(nobody.status(), 401, "{method} {route}");
        assert_eq!(nobody.json::<Value>().await.unwrap()["message"], "Requires authentication");
        for (name, value) in [
            ("authorization", "Bearer tok_nobody"),
            ("authorization", "Basic !!!"),
            ("authorization", "tok_alice"),
            ("authorization", "Bearer "),
        ] {
            let stranger = house.raw(method, &route, None, &[(name, value)], body.clone()).await;
            assert_eq!(stranger.status(), 401, "{method} {route} {value}");
            assert_eq!(stranger.json::<Value>().await.unwrap()["message"], "Bad credentials");
        }
        if route.starts_with("/repos") {
            // Somebody without access gets the same answer as for a repository that does not exist.
            let denied = house.api(method, &route, "eve", body.clone()).await;
            let missing = house.api(method, &route.replace("acme/web", "acme/none"), "eve", body.clone()).await;
            assert_eq!(denied, (404, missing.1.clone()), "{method} {route}");
            assert_eq!(missing.1["message"], "Not Found");
        }
        // A reader changes nothing but may comment and review.
        if method != "GET"
            && !route.ends_with("/reviews")
            && !route.ends_with("/comments")
            && !route.starts_with("/user")
        {
            let (status, _) = house.api(method, &route, "ron", body).await;
            assert!(matches!(status, 403 | 404), "{method} {route}: {status}");
        }
    }
    let after = (house.forge.changes_since(0).await.unwrap(), house.forge.branches(&path("acme/web")).await.unwrap());
    assert_eq!(after, before);
    let (status, _) = house.api("POST", "/user/repos", "alice_readonly", json!({"name": "x"})).await;
    assert_eq!(status, 404, "a read-only token creates nothing");
}

#[tokio::test]
async fn odd_requests_get_an_answer_that_is_no_failure_of_ours() {
    let house = House::build().await;
    house.web().await;
    let sha = house.push_branch("bob", "work", "w.txt", "1\n").await;
    house.api("POST", "/repos/acme/web/pulls", "bob", json!({"title": "t", "head": "work", "base": "main"})).await;
    let odd = [
        "--help",
        "-x",
        "..",
        "../../etc/passwd",
        "%00",
        "%2e%2e%2f",
        "main@{1}",
        "HEAD~1",
        ":/x",
        "refs/pull/1/head",
        "a b",
        "ü",
        "main^{tree}",
        "--output=/tmp/forge-was-here",
        "99999999999999999999",
        "-1",
        "$(id)",
        "x;id",
        "HEAD:README.md",
        "%ff",
    ];
    let places = [
        "/branches/{}",
        "/git/ref/{}",
        "/git/ref/heads/{}",
        "/commits/{}",
        "/commits?sha={}",
        "/commits?path={}",
        "/compare/{}...main",
        "/compare/main...{}",
        "/compare/{}",
        "/contents/{}",
        "/contents/README.md?ref={}",
        "/pulls/{}",
        "/pulls?head={}",
        "/pulls?base={}",
        "/pulls?state={}",
        "/pulls?page={}",
        "/pulls/{}/files",
        "/issues/{}/comments",
        "/commits/{}/status",
        "/git/matching-refs/{}",
        "/{}",
    ];
    let client = reqwest::Client::new();
    for text in odd {
        let text = text.replace(' ', "%20").replace('^', "%5E").replace('{', "%7B").replace('}', "%7D");
        for place in places {
            let url = format!("{}/api/v3/repos/acme/web{}", house.base, place.replace("{}", &text));
            let response = client.get(&url).bearer_auth("tok_alice").send().await.unwrap();
            assert!(response.status().as_u16() < 500, "{url}: {}", response.status());
        }
        for (method, route, body) in [
            ("POST", "/git/refs", json!({"ref": format!("refs/heads/{text}"), "sha": text})),
            ("POST", "/git/refs", json!({"ref": text, "sha": sha})),
            ("POST", "/pulls", json!({"title": text, "head": text, "base": text})),
            ("POST", "/statuses/main", json!({"state": text})),
            ("POST", "/check-runs", json!({"name": text, "head_sha": text})),
            ("PUT", "/pulls/1/merge", json!({"sha": text})),
            ("POST", "/pulls/1/reviews", json!({"event": text})),
        ] {
            let (status, answer) = house.api(method, &format!("/repos/acme/web{route}"), "alice", body).await;
            assert!((400..500).contains(&status), "{method} {route} {text}: {status} {answer}");
        }
    }
    assert!(!std::path::Path::new("/tmp/forge-was-here").exists());
    for body in ["{", "[]", "\"x\"", "null", "{\"title\": 1}", "{\"title\": {}}"] {
        let url = format!("{}/api/v3/repos/acme/web/pulls", house.base);
        let response = client.post(url).bearer_auth("tok_bob").body(body).send().await.unwrap();
        assert!(matches!(response.status().as_u16(), 400 | 422), "{body}: {}", response.status());
    }
    let huge = json!({"title": "x", "body": "y".repeat(2 << 20)});
    assert_eq!(house.api("POST", "/repos/acme/web/pulls", "bob", huge).await.0, 413);
}

#[tokio::test]
async fn a_commit_that_is_not_there_is_named_and_no_failure_of_ours() {
    let house = House::build().await;
    house.web().await;
    let (web, unknown) = (path("acme/web"), "0123456789012345678901234567890123456789");
    let (id, forge): (CommitId, _) = (unknown.parse().unwrap(), &house.forge);
    let main = forge.resolve(&web, "main").await.unwrap();
    let told = |what: Result<()>| match what {
        Err(error @ ForgeError::NoCommit { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for done in [
        forge.commit(&web, &id).await.map(drop),
        forge.history(&web, &id, "", 0, 9).await.map(drop),
        forge.commits_between(&web, &id, &main).await.map(drop),
        forge.commits_between(&web, &main, &id).await.map(drop),
        forge.diff(&web, &main, &id).await.map(drop),
        forge.diff_text(&web, &id, &main).await.map(drop),
        forge.merge_base(&web, &main, &id).await.map(drop),
        forge.ahead_behind(&web, &main, &id).await.map(drop),
    ] {
        assert_eq!(told(done), format!("acme/web has no commit, branch or tag `{unknown}`."));
    }
    let no_sha = format!("No commit found for SHA: {unknown}");
    for (method, route, body, status, message) in [
        ("GET", format!("/commits/{unknown}"), Value::Null, 422, no_sha.as_str()),
        ("GET", format!("/commits/{unknown}/status"), Value::Null, 422, &no_sha),
        ("POST", format!("/statuses/{unknown}"), json!({"state": "success"}), 422, &no_sha),
        ("GET", format!("/commits?sha={unknown}"), Value::Null, 404, "Not Found"),
        ("GET", format!("/compare/main...{unknown}"), Value::Null, 404, "Not Found"),
    ] {
        let (found, answer) = house.api(method, &format!("/repos/acme/web{route}"), "alice", body).await;
        assert_eq!((found, &answer["message"]), (status, &json!(message)), "{method} {route}");
    }
}

#[tokio::test]
async fn an_empty_repository_has_good_answers_too() {
    let house = House::build().await;
    let (status, repo) = house.api("POST", "/orgs/acme/repos", "alice", json!({"name": "empty"})).await;
    assert_eq!((status, &repo["default_branch"]), (201, &json!("main")));
    assert_eq!(house.api("GET", "/repos/acme/empty/branches", "ron", Value::Null).await, (200, json!([])));
    let (status, body) = house.api("GET", "/repos/acme/empty/commits", "ron", Value::Null).await;
    assert_eq!((status, &body["message"]), (409, &json!("Git Repository is empty.")));
    assert_eq!(house.api("GET", "/repos/acme/empty/contents", "ron", Value::Null).await.0, 404);
    assert_eq!(house.api("POST", "/orgs/acme/repos", "bob", json!({"name": "x"})).await.0, 404);
    for name in ["..", ".git", "a/b", "", "x.git"] {
        assert_eq!(house.api("POST", "/orgs/acme/repos", "alice", json!({"name": name})).await.0, 422, "{name}");
    }
}

#[tokio::test]
async fn pages_link_to_each_other() {
    let house = House::build().await;
    house.web().await;
    for n in 0..3 {
        house.push_branch("bob", &format!("p{n}"), "p.txt", &n.to_string()).await;
    }
    let page = async |query: &str| {
        let response =
            house.raw("GET", &format!("/repos/acme/web/branches?{query}"), Some("tok_ron"), &[], Value::Null).await;
        let link = response
            .headers()
            .get("link")
            .map(|value| value.to_str().unwrap().replace(&house.base, ""))
            .unwrap_or_default();
        let names: Vec<String> = response
            .json::<Vec<Value>>()
            .await
            .unwrap()
            .iter()
            .map(|branch| branch["name"].as_str().unwrap().to_owned())
            .collect();
        (names.join(" "), link)
    };
    let link =
        |page: usize, rel: &str| format!("</api/v3/repos/acme/web/branches?per_page=3&page={page}>; rel=\"{rel}\"");
    assert_eq!(page("per_page=3").await, ("main p0 p1".into(), format!("{}, {}", link(2, "next"), link(2, "last"))));
    assert_eq!(page("per_page=3&page=2").await, ("p2".into(), format!("{}, {}", link(1, "prev"), link(1, "first"))));
    assert_eq!(page("").await, ("main p0 p1 p2".into(), String::new()));
    assert_eq!(page("per_page=0").await.0, "main");
    assert_eq!(page("page=99").await.0, "");
}
