//! Signing in and out, tokens, and who may do what.

use hangar_protocol::RefusalCode::{BadRequest, Conflict, Forbidden, NotFound, TooMany, Unauthenticated};
use hangar_store::rusqlite::Connection;
use reqwest::Method;
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar, code_of};

#[tokio::test]
async fn the_first_start_makes_an_owner_and_a_link_that_works_once() {
    let hangar = Hangar::start().await;
    let link = hangar.server.first_link().unwrap().url.clone();
    assert!(link.starts_with(&format!("{}/sign-in#", hangar.server.url())), "{link}");
    let answer = hangar.sign_in(&code_of(&link)).await;
    assert_eq!(answer.status(), 204);
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["hangar_session=", "; Path=/", "; Max-Age=2592000", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let me = hangar.stranger(Method::GET, "/api/v1/me").header("cookie", cookie).send().await.unwrap();
    let me: Value = me.ok(200).await;
    assert_eq!(me, json!({"user": "jane", "name": "Jane Doe", "email": "jane@example.org", "role": "owner"}));
    hangar.sign_in(&code_of(&link)).await.refused(Unauthenticated).await;
    hangar.end().await;
}

#[tokio::test]
async fn later_starts_make_a_link_only_when_asked() {
    let dir = Hangar::past().await;
    let config = crate::hangar::config(dir.path());
    let hangar = Hangar::start_in(dir, config).await;
    assert_eq!(hangar.server.first_link(), None);
    assert_eq!(hangar.server.owner().as_str(), "jane");
    assert_eq!(hangar.sign_in(&hangar.code().await).await.status(), 204);
    hangar.end().await;
}

#[tokio::test]
async fn links_and_cookies_expire() {
    let hangar = Hangar::start().await;
    let (code, cookie) = (hangar.code().await, hangar.cookie().await);
    let database = Connection::open(hangar.dir.path().join("data/hangar.db")).unwrap();
    database.execute("UPDATE sign_in_codes SET expires_ms = 1", []).unwrap();
    database.execute("UPDATE cookies SET expires_ms = 1", []).unwrap();
    hangar.sign_in(&code).await.refused(Unauthenticated).await;
    let asked = hangar.stranger(Method::GET, "/api/v1/me").header("cookie", cookie);
    asked.send().await.unwrap().refused(Unauthenticated).await;
    hangar.end().await;
}

#[tokio::test]
async fn a_cookie_is_secure_where_people_come_by_https() {
    let hangar =
        Hangar::start_with(|config| config.http.public_url = Some("https://hangar.example.org".parse().unwrap())).await;
    assert!(hangar.server.first_link().unwrap().url.starts_with("https://hangar.example.org/sign-in#"));
    let answer = hangar.sign_in(&hangar.code().await).await;
    assert!(answer.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    let asked = hangar.owner.request(Method::GET, "/api/v1/me").header("host", "hangar.example.org");
    let _: Value = asked.send().await.unwrap().ok(200).await;
    hangar.end().await;
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_the_pages_header_and_origin() {
    let hangar = Hangar::start().await;
    let cookie = hangar.cookie().await;
    let ask = || {
        let asked = hangar.stranger(Method::POST, "/api/v1/tokens").header("cookie", &cookie);
        asked.json(&json!({"label": "x"}))
    };
    ask().send().await.unwrap().refused(Forbidden).await;
    ask().header("x-hangar", "0").send().await.unwrap().refused(Forbidden).await;
    let foreign = ask().header("x-hangar", "1").header("origin", "http://evil.example");
    foreign.send().await.unwrap().refused(Forbidden).await;
    let own = ask().header("x-hangar", "1").header("origin", &hangar.owner.url);
    let _: Value = own.send().await.unwrap().ok(201).await;
    // Reading needs neither, and a token is no cookie.
    let read = hangar.stranger(Method::GET, "/api/v1/tokens").header("cookie", &cookie);
    let _: Value = read.send().await.unwrap().ok(200).await;
    let token = hangar.owner.request(Method::POST, "/api/v1/tokens").header("origin", "http://evil.example");
    let _: Value = token.json(&json!({"label": "y"})).send().await.unwrap().ok(201).await;
    hangar.end().await;
}

#[tokio::test]
async fn signing_in_from_another_page_is_refused_and_uses_nothing_up() {
    let hangar = Hangar::start().await;
    let code = hangar.code().await;
    let foreign = hangar.stranger(Method::POST, "/api/v1/sign-in").header("origin", "http://evil.example");
    foreign.json(&json!({"code": code})).send().await.unwrap().refused(Forbidden).await;
    assert_eq!(hangar.sign_in(&code).await.status(), 204);
    hangar.end().await;
}

#[tokio::test]
async fn sign_in_attempts_are_counted() {
    let hangar = Hangar::start_with(|config| config.people.sign_in_attempts_per_minute = 3).await;
    for _ in 0..3 {
        hangar.sign_in("0000").await.refused(Unauthenticated).await;
    }
    let answer = hangar.sign_in(&hangar.code().await).await;
    assert!(answer.headers().contains_key("retry-after"));
    answer.refused(TooMany).await;
    hangar.end().await;
}

#[tokio::test]
async fn signing_out_makes_the_cookie_worthless() {
    let hangar = Hangar::start().await;
    let cookie = hangar.cookie().await;
    let out = hangar.stranger(Method::POST, "/api/v1/sign-out").header("cookie", &cookie).header("x-hangar", "1");
    let answer = out.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(answer.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    let asked = hangar.stranger(Method::GET, "/api/v1/me").header("cookie", cookie);
    asked.send().await.unwrap().refused(Unauthenticated).await;
    hangar.end().await;
}

#[tokio::test]
async fn a_token_works_until_it_is_deleted_and_its_secret_is_kept_nowhere() {
    let hangar = Hangar::start().await;
    let made: Value = hangar.owner.post("/api/v1/tokens", &json!({"label": "script"})).await.ok(201).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("hgr_") && secret.len() == 68, "{secret}");
    let bearer = || hangar.stranger(Method::GET, "/api/v1/me").bearer_auth(&secret);
    let _: Value = bearer().send().await.unwrap().ok(200).await;
    let listed: Vec<Value> = hangar.owner.get("/api/v1/tokens").await.ok(200).await;
    let ours = listed.iter().find(|token| token["id"] == made["id"]).unwrap();
    assert_eq!(ours["label"], "script");
    assert!(ours["used_ms"].is_u64() && ours.get("secret").is_none(), "{ours}");
    for file in ["hangar.db", "hangar.db-wal"] {
        let bytes = std::fs::read(hangar.dir.path().join("data").join(file)).unwrap();
        assert!(!bytes.windows(20).any(|window| window == &secret.as_bytes()[4..24]), "the secret stands in {file}");
    }
    let path = format!("/api/v1/tokens/{}", made["id"]);
    let stranger = hangar.member("someone").await;
    stranger.request(Method::DELETE, &path).send().await.unwrap().refused(NotFound).await;
    assert_eq!(hangar.owner.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    bearer().send().await.unwrap().refused(Unauthenticated).await;
    hangar.owner.request(Method::DELETE, &path).send().await.unwrap().refused(NotFound).await;
    hangar.end().await;
}

#[tokio::test]
async fn roles_are_kept_apart() {
    let hangar = Hangar::start().await;
    let member = hangar.member("someone").await;
    let new = json!({"user": "third", "name": "T", "email": "t@example.org", "role": "owner"});
    member.post("/api/v1/users", &new).await.refused(Forbidden).await;
    member.post("/api/v1/users/jane/sign-in-link", &json!({})).await.refused(Forbidden).await;
    let _: Value = member.post("/api/v1/users/someone/sign-in-link", &json!({})).await.ok(201).await;
    let _: Value = hangar.owner.post("/api/v1/users/someone/sign-in-link", &json!({})).await.ok(201).await;
    hangar.owner.post("/api/v1/users/nobody/sign-in-link", &json!({})).await.refused(NotFound).await;
    let _: Value = hangar.owner.post("/api/v1/users", &new).await.ok(201).await;
    hangar.owner.post("/api/v1/users/third/sign-in-link", &json!({})).await.refused(Forbidden).await;
    let logins: Vec<Value> = member.get("/api/v1/users").await.ok(200).await;
    let logins: Vec<&str> = logins.iter().map(|user| user["user"].as_str().unwrap()).collect();
    assert_eq!(logins, ["jane", "someone", "third"]);
    hangar.end().await;
}

#[tokio::test]
async fn a_user_must_be_fit_for_a_commit() {
    let hangar = Hangar::start().await;
    let check = async |user: &str, name: &str, email: &str, code| {
        let body = json!({"user": user, "name": name, "email": email, "role": "member"});
        hangar.owner.post("/api/v1/users", &body).await.refused(code).await;
    };
    check("JANE", "J", "j@example.org", Conflict).await;
    check("a_b", "J", "j@example.org", BadRequest).await;
    check("-a", "J", "j@example.org", BadRequest).await;
    check("api", "J", "j@example.org", BadRequest).await;
    check("a/b", "J", "j@example.org", BadRequest).await;
    check("ok", "", "j@example.org", BadRequest).await;
    check("ok", "J <x>", "j@example.org", BadRequest).await;
    check("ok", "J\nX", "j@example.org", BadRequest).await;
    check("ok", "J", "nowhere", BadRequest).await;
    check("ok", "J", "a b@example.org", BadRequest).await;
    hangar.end().await;
}
