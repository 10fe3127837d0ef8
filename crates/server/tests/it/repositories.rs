//! Bringing repositories in, and stock git at the address that is told.

use std::{fs, path::Path, process::Command};

use hangar_protocol::RefusalCode::{BadRequest, Conflict, Forbidden};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hangar::{Expect, Hangar};

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(args).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let done = command.env("HOME", dir).output().unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn a_directory_comes_in_and_stock_git_clones_it() {
    let hangar = Hangar::start().await;
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a.txt"), "words\n").unwrap();
    let body = json!({"repo": "acme/website", "source": source.path()});
    let made: Value = hangar.owner.post("/api/v1/repos", &body).await.ok(201).await;
    assert_eq!(made["default_branch"], "main");
    let clone_url = made["clone_url"].as_str().unwrap().to_owned();
    assert_eq!(clone_url, hangar.url("/git/acme/website.git"));
    let place = TempDir::new().unwrap();
    let with_token = clone_url.replace("http://", &format!("http://x:{}@", hangar.owner.token));
    let at = place.path().to_owned();
    let clone = move || {
        git(&at, &["clone", "--quiet", &with_token, "copy"]);
        git(&at.join("copy"), &["log", "--format=%an <%ae> %s"])
    };
    let log = tokio::task::spawn_blocking(clone).await.unwrap();
    assert_eq!(log.trim(), "Jane Doe <jane@example.org> Import website");
    assert_eq!(fs::read_to_string(place.path().join("copy/a.txt")).unwrap(), "words\n");
    hangar.owner.post("/api/v1/repos", &body).await.refused(Conflict).await;
    let listed: Vec<Value> = hangar.owner.get("/api/v1/repos").await.ok(200).await;
    assert_eq!(listed, [made]);
    hangar.end().await;
}

#[tokio::test]
async fn an_empty_repository_has_a_commit_to_start_from() {
    let hangar = Hangar::start().await;
    let member = hangar.member("someone").await;
    let made: Value = member.post("/api/v1/repos", &json!({"repo": "acme/fresh"})).await.ok(201).await;
    assert_eq!(made["repo"], "acme/fresh");
    let readme = hangar.owner.get("/api/v3/repos/acme/fresh/contents/README.md").await;
    assert_eq!(readme.status(), 200);
    hangar.end().await;
}

#[tokio::test]
async fn sources_that_may_not_be_used_are_refused_and_leave_nothing() {
    let hangar = Hangar::start().await;
    let member = hangar.member("someone").await;
    let of = |source: &str| json!({"repo": "acme/website", "source": source});
    for source in [
        "",
        "relative/path",
        "file:///etc",
        "ssh://host/x",
        "git://host/x",
        "http://host/x",
        "https://",
        "https://u:p@host/x",
        "/etc/\n",
        "/no/such/place",
    ] {
        hangar.owner.post("/api/v1/repos", &of(source)).await.refused(BadRequest).await;
    }
    hangar.owner.post("/api/v1/repos", &of(&"x".repeat(3000))).await.refused(BadRequest).await;
    member.post("/api/v1/repos", &of("/tmp")).await.refused(Forbidden).await;
    for repo in ["website", "acme/", "acme/a b", "acme/../x", "api/x", "a_b/x"] {
        hangar.owner.post("/api/v1/repos", &json!({"repo": repo})).await.refused(BadRequest).await;
    }
    let listed: Vec<Value> = hangar.owner.get("/api/v1/repos").await.ok(200).await;
    assert!(listed.is_empty());
    hangar.end().await;
}
