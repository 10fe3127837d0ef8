//! A private session does not exist for those who may not see it, on any route of the API's own description.

use hangar_protocol::RefusalCode::{BadRequest, Conflict, Forbidden, NotFound};
use reqwest::Method;
use serde_json::{Value, json};

use crate::hangar::{Expect, Hangar, Person};

/// An id of no session.
const NONE: &str = "zzzzzzzzzzzz";

/// Begins a session and gives its address.
async fn begin(hangar: &Hangar, by: &Person, body: &Value) -> String {
    hangar.repo("acme/website").await;
    let made: Value = by.post("/api/v1/sessions", body).await.ok(201).await;
    format!("/api/v1/sessions/{}", made["id"].as_str().unwrap())
}

/// A body that the route takes.
fn body_of(written: &str) -> Value {
    match written {
        "patch /api/v1/sessions/{id}" => json!({"title": "Mine now"}),
        "post /api/v1/sessions/{id}/attempts" => json!({"prompt": {"text": "hello"}, "count": 2}),
        "post /api/v1/sessions/{id}/rewind" => json!({"to_turn": 0}),
        "patch /api/v1/sessions/{id}/prompts/{prompt}" => json!({"text": "hello", "request_id": "r1"}),
        "post /api/v1/sessions/{id}/prompts/{prompt}/move" => json!({"request_id": "r1"}),
        "post /api/v1/sessions/{id}/prompts/{prompt}/steer" => json!({"request_id": "r1"}),
        "post /api/v1/sessions/{id}/prompts" => json!({"text": "hello"}),
        "post /api/v1/sessions/{id}/network/allow" => json!({"host": "example.org", "port": 443}),
        "post /api/v1/sessions/{id}/pull-request/reviews" => json!({"verdict": "approve"}),
        "post /api/v1/sessions/{id}/pull-request/merge" => json!({"method": "merge"}),
        "put /api/v1/sessions/{id}/members/{user}" => json!({"role": "owner"}),
        "put /api/v1/sessions/{id}/visibility" => json!({"visibility": "team"}),
        "post /api/v1/sessions/{id}/invitations" => json!({"role": "owner"}),
        "post /api/v1/sessions/{id}/invitations/look" | "post /api/v1/sessions/{id}/join" => {
            json!({"secret": "0".repeat(64)})
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn to_a_stranger_every_route_answers_as_if_it_were_not_there() {
    let hangar = Hangar::start().await;
    let session = begin(&hangar, &hangar.owner, &json!({"repo": "acme/website", "visibility": "private"})).await;
    let bob = hangar.member("bob").await;
    let document: Value = hangar.stranger(Method::GET, "/api/v1/openapi.json").send().await.unwrap().ok(200).await;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(rest) = path.strip_prefix("/api/v1/sessions/{id}") else { continue };
        let rest = rest
            .replace("{user}", "jane")
            .replace("{prompt}", "1")
            .replace("{invitation}", "1")
            .replace("{attempt}", "nosuch1");
        let rest = rest.replace("{sha256}", &"0".repeat(64));
        assert!(!rest.contains('{'), "a parameter this test does not know: {path}");
        for method in ["get", "post", "put", "patch", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            let written = format!("{method} {path}");
            // Only owners of the server may ask it, and may know what there is.
            let of_the_server = path.ends_with("/take") || written == "put /api/v1/sessions/{id}/budget";
            let code = if of_the_server { Forbidden } else { NotFound };
            let ask = async |session: &str| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let request = bob.request(method, &format!("{session}{rest}")).json(&body_of(&written));
                request.send().await.unwrap().refused(code).await
            };
            let hidden = ask(&session).await;
            let mut none = ask(&format!("/api/v1/sessions/{NONE}")).await;
            none.message = none.message.replace(NONE, session.rsplit('/').next().unwrap());
            assert_eq!(hidden, none, "{written}");
            asked += 1;
        }
    }
    // Nor how far it goes.
    for beyond in ["stream?after=999", "events?after=999"] {
        bob.get(&format!("{session}/{beyond}")).await.refused(NotFound).await;
    }
    assert!(asked >= 25, "{asked} routes were asked");
    let log: Value = hangar.owner.get(&format!("{session}/events")).await.ok(200).await;
    assert_eq!(log["head"], 2, "nothing was written: {log}");
    hangar.end().await;
}

#[tokio::test]
async fn lists_show_each_person_what_they_may_see_a_page_at_a_time() {
    let hangar = Hangar::start().await;
    let private = begin(&hangar, &hangar.owner, &json!({"repo": "acme/website", "visibility": "private"})).await;
    let bob = hangar.member("bob").await;
    let team: Value = bob.post("/api/v1/sessions", &json!({"repo": "acme/website"})).await.ok(201).await;
    let ids = async |person: &Person, query: &str| {
        let listed: Vec<Value> = person.get(&format!("/api/v1/sessions{query}")).await.ok(200).await;
        listed.iter().map(|summary| summary["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (secret, open) = (private.rsplit('/').next().unwrap(), team["id"].as_str().unwrap());
    assert_eq!(ids(&bob, "").await, [open]);
    assert_eq!(ids(&hangar.owner, "").await, [open, secret]);
    assert_eq!(ids(&hangar.owner, "?mine=true").await, [secret]);
    let page = ids(&hangar.owner, "?limit=1").await;
    let next = format!("?limit=1&before={}.{}", team["updated_ms"], page[0]);
    assert_eq!((page, ids(&hangar.owner, &next).await), (vec![open.to_owned()], vec![secret.to_owned()]));
    assert_eq!(ids(&bob, "?repo=acme/none").await, [""; 0]);
    assert_eq!(ids(&bob, "?status=running").await, [""; 0]);
    assert_eq!(ids(&bob, &format!("?prefix={}", &secret[..4])).await, [""; 0]);
    for wrong in ["?limit=0", "?limit=501", "?before=x", "?archived=true&deleted=true", "?status=odd", "?repo=x"] {
        bob.get(&format!("/api/v1/sessions{wrong}")).await.refused(BadRequest).await;
    }
    bob.get("/api/v1/sessions?everybody=true").await.refused(Forbidden).await;

    // Somebody else's private session: an owner of the server sees that there is one, and may take it, which its log says.
    let made: Value =
        bob.post("/api/v1/sessions", &json!({"repo": "acme/website", "visibility": "private"})).await.ok(201).await;
    let hidden = format!("/api/v1/sessions/{}", made["id"].as_str().unwrap());
    hangar.owner.get(&hidden).await.refused(NotFound).await;
    let listed: Vec<Value> = hangar.owner.get("/api/v1/sessions?everybody=true").await.ok(200).await;
    let veiled = listed.iter().find(|summary| summary["id"] == made["id"]).unwrap();
    assert_eq!(
        (&veiled["title"], &veiled["owner"], &veiled["members"]),
        (&json!("A private session"), &json!("bob"), &json!({}))
    );
    let taken = hangar.owner.request(Method::POST, &format!("{hidden}/take")).send().await.unwrap();
    assert_eq!(taken.status(), 204);
    let log: Value = bob.get(&format!("{hidden}/events?after=2")).await.ok(200).await;
    assert_eq!(log["events"][0]["body"]["type"], "ownership_taken", "{log}");
    let _: Value = hangar.owner.get(&hidden).await.ok(200).await;
    hangar.end().await;
}

#[tokio::test]
async fn the_servers_default_may_be_private() {
    let hangar = Hangar::start_with(|config| config.sessions.visibility = hangar_protocol::Visibility::Private).await;
    let private = begin(&hangar, &hangar.owner, &json!({"repo": "acme/website"})).await;
    let bob = hangar.member("bob").await;
    bob.get(&private).await.refused(NotFound).await;
    let team: Value =
        bob.post("/api/v1/sessions", &json!({"repo": "acme/website", "visibility": "team"})).await.ok(201).await;
    assert_eq!(team["visibility"], "team");
    hangar.end().await;
}

#[tokio::test]
async fn a_link_lets_in_until_it_is_taken_back_or_expires() {
    let hangar = Hangar::start().await;
    let session = begin(&hangar, &hangar.owner, &json!({"repo": "acme/website", "visibility": "private"})).await;
    let (bob, cy) = (hangar.member("bob").await, hangar.member("cy").await);
    let invite = async |body: Value| hangar.owner.post(&format!("{session}/invitations"), &body).await;
    invite(json!({"role": "viewer", "expires_in_s": 0})).await.refused(BadRequest).await;
    invite(json!({"role": "viewer", "expires_in_s": 2_592_001})).await.refused(BadRequest).await;
    invite(json!({"role": "king"})).await.refused(BadRequest).await;
    let link: Value = invite(json!({"role": "viewer"})).await.ok(201).await;
    let (address, secret) = link["url"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(address, format!("{}/join/{}", hangar.server.url(), session.rsplit('/').next().unwrap()));
    assert_eq!(secret.len(), 64);
    let secret = json!({"secret": secret});
    let view: Value = bob.post(&format!("{session}/invitations/look"), &secret).await.ok(200).await;
    assert_eq!(
        (&view["repo"], &view["by"], &view["role"], &view["has"]),
        (&json!("acme/website"), &json!("jane"), &json!("viewer"), &Value::Null)
    );
    bob.get(&session).await.refused(NotFound).await;
    let joined: Value = bob.post(&format!("{session}/join"), &secret).await.ok(200).await;
    assert_eq!(joined["role"], "viewer");
    let state: Value = bob.get(&session).await.ok(200).await;
    assert_eq!(state["members"], json!({"bob": "viewer", "jane": "owner"}));
    assert!(!state.to_string().contains(secret["secret"].as_str().unwrap()), "the secret is kept nowhere");
    bob.post(&format!("{session}/prompts"), &json!({"text": "hello"})).await.refused(Forbidden).await;
    bob.post(&format!("{session}/invitations"), &json!({"role": "owner"})).await.refused(Forbidden).await;
    let revoke = hangar.owner.request(Method::DELETE, &format!("{session}/invitations/1")).send().await.unwrap();
    assert_eq!(revoke.status(), 204);
    let refused = cy.post(&format!("{session}/join"), &secret).await.refused(NotFound).await;
    let nowhere = cy.post(&format!("/api/v1/sessions/{NONE}/join"), &secret).await.refused(NotFound).await;
    assert_eq!(refused, nowhere);
    let left = bob.request(Method::DELETE, &format!("{session}/members/bob")).send().await.unwrap();
    assert_eq!(left.status(), 204);
    bob.get(&session).await.refused(NotFound).await;
    hangar.end().await;
}

#[tokio::test]
async fn what_is_archived_or_deleted_is_in_its_own_list_and_comes_back() {
    let hangar = Hangar::start().await;
    let session = begin(&hangar, &hangar.owner, &json!({"repo": "acme/website"})).await;
    let bob = hangar.member("bob").await;
    let found = async |query: &str| {
        let listed: Vec<Value> = bob.get(&format!("/api/v1/sessions{query}")).await.ok(200).await;
        listed.len()
    };
    let order = async |person: &Person, what: &str| {
        person.request(Method::POST, &format!("{session}/{what}")).send().await.unwrap()
    };
    order(&bob, "archive").await.refused(Forbidden).await;
    assert_eq!(order(&hangar.owner, "archive").await.status(), 204);
    assert_eq!((found("").await, found("?archived=true").await, found("?deleted=true").await), (0, 1, 0));
    assert_eq!(order(&hangar.owner, "unarchive").await.status(), 204);
    bob.request(Method::DELETE, &session).send().await.unwrap().refused(Forbidden).await;
    let deletion: Value = hangar.owner.request(Method::DELETE, &session).send().await.unwrap().ok(200).await;
    let (deleted_ms, purge_ms) = (deletion["deleted_ms"].as_u64().unwrap(), deletion["purge_ms"].as_u64().unwrap());
    assert_eq!((deletion["by"].as_str(), purge_ms - deleted_ms), (Some("jane"), 7 * 24 * 3_600_000));
    assert_eq!((found("").await, found("?archived=true").await, found("?deleted=true").await), (0, 0, 1));
    bob.post(&format!("{session}/prompts"), &json!({"text": "hello"})).await.refused(Conflict).await;
    bob.get(&format!("{session}/diff")).await.refused(Conflict).await;
    let state: Value = bob.get(&session).await.ok(200).await;
    assert_eq!(state["deleted"]["purge_ms"], purge_ms);
    assert_eq!(order(&hangar.owner, "undelete").await.status(), 204);
    order(&hangar.owner, "undelete").await.refused(Conflict).await;
    assert_eq!(found("").await, 1);
    hangar.end().await;
}
