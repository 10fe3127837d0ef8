//! What a forge knows after it was closed, or cut off in the middle of a merge.

use hangar_forge::{ForgeConfig, ForgeError, Limits, LocalForge, PullFilter, PullState};
use serde_json::json;

use crate::house::{House, git, path};

const PULLS: &str = "/repos/acme/web/pulls";

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let house = House::build().await;
    let repo = house.web().await;
    let sha = house.push_branch("bob", "work", "w.txt", "1\n").await;
    house.api("POST", PULLS, "bob", json!({"title": "W", "head": "work", "base": "main", "body": "b"})).await;
    house.api("POST", &format!("{PULLS}/1/reviews"), "alice", json!({"event": "APPROVE", "body": "ok"})).await;
    house.api("POST", "/repos/acme/web/issues/1/comments", "ron", json!({"body": "nice"})).await;
    house.api("POST", &format!("/repos/acme/web/statuses/{sha}"), "bob", json!({"state": "success"})).await;
    house.api("POST", "/repos/acme/web/check-runs", "bob", json!({"name": "lint", "head_sha": sha})).await;
    let everything = async |house: &House| {
        let forge = &house.forge;
        (
            forge.repos().await.unwrap(),
            forge.branches(&repo.path).await.unwrap(),
            forge.pulls(&repo.path, PullFilter::default()).await.unwrap(),
            forge.reviews(&repo.path, 1).await.unwrap(),
            forge.comments(&repo.path, 1).await.unwrap(),
            forge.statuses(&repo.path, &sha.parse().unwrap()).await.unwrap(),
            forge.check_runs(&repo.path, &sha.parse().unwrap()).await.unwrap(),
            forge.changes_since(0).await.unwrap(),
        )
    };
    let before = everything(&house).await;
    let house = house.restart().await;
    assert_eq!(everything(&house).await, before);
    let newest = before.7.last().unwrap().id;
    assert_eq!(*house.forge.changes().borrow(), newest);
    let (_, second) = house.api("GET", &format!("{PULLS}/1"), "bob", serde_json::Value::Null).await;
    assert_eq!(second["title"], "W");
}

#[tokio::test]
async fn a_second_process_cannot_open_the_same_forge() {
    let house = House::build().await;
    let config = ForgeConfig { data_dir: house.root.path().join("forge"), limits: Limits::default() };
    match LocalForge::open(config).await {
        Err(ForgeError::Broken(why)) => assert!(why.contains("in use by another process"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// What a crash leaves behind: git and the rows disagree. The forge must make them agree, in either direction.
#[tokio::test]
async fn a_merge_that_was_cut_off_is_finished_or_forgotten() {
    let house = House::build().await;
    house.web().await;
    for name in ["done", "undone", "pushed"] {
        house.push_branch("bob", name, &format!("{name}.txt"), "1\n").await;
        house.api("POST", PULLS, "bob", json!({"title": name, "head": name, "base": "main"})).await;
    }
    let dir = house.root.path().join("forge/repos/acme/web.git");
    let main = git(&dir, &["rev-parse", "main"]).await.out;
    let tree = git(&dir, &["merge-tree", "--write-tree", "main", "done"]).await.out;
    let env = [
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@a"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@a"),
    ];
    let commit =
        crate::house::try_git(&dir, &["commit-tree", &tree, "-p", "main", "-p", "done", "-m", "m"], &env).await.out;
    // The first merge got as far as moving main, the second only as far as its intent, and a push moved a head unseen.
    git(&dir, &["update-ref", "refs/heads/main", &commit, &main]).await;
    git(&dir, &["update-ref", "refs/heads/pushed", &commit]).await;
    let database = rusqlite::Connection::open(house.root.path().join("forge/forge.sqlite")).unwrap();
    let intent = "UPDATE pulls SET intent_sha = ?1, intent_by = 2 WHERE title = ?2";
    database.execute(intent, (&commit, "done")).unwrap();
    database.execute(intent, ("1".repeat(40), "undone")).unwrap();
    drop(database);
    let house = house.restart().await;
    let repo = path("acme/web");
    match house.forge.pull(&repo, 1).await.unwrap().state {
        PullState::Merged { by, commit: sha, .. } => {
            assert_eq!((by.unwrap().login.as_str(), sha.as_str()), ("bob", commit.as_str()))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(house.forge.pull(&repo, 2).await.unwrap().state, PullState::Open);
    // The head of the third is main now: nothing is left of it to merge.
    assert!(matches!(house.forge.pull(&repo, 3).await.unwrap().state, PullState::Merged { by: None, .. }));
    let (status, body) = house.api("PUT", &format!("{PULLS}/2/merge"), "alice", json!({})).await;
    assert_eq!(status, 200, "{body}");
}
