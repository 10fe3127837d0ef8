//! Pull requests from opening to merge over REST, in GitHub's words.

use serde_json::{Value, json};

use crate::house::{House, commit, git, path, write};

const PULLS: &str = "/repos/acme/web/pulls";

async fn open(house: &House, login: &str, branch: &str) -> u64 {
    let (status, body) = house
        .api(
            "POST",
            PULLS,
            login,
            json!({"title": format!("Pull {branch}"), "head": branch, "base": "main", "body": "Why"}),
        )
        .await;
    assert_eq!(status, 201, "{body}");
    body["number"].as_u64().unwrap()
}

fn error(body: &Value) -> &str {
    body["errors"][0]["message"].as_str().or(body["errors"][0].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn a_pull_request_goes_from_push_to_merge() {
    let house = House::build().await;
    house.web().await;
    let sha = house.push_branch("bob", "feature/a", "src/app.txt", "one\n2\nthree\n").await;
    let n = open(&house, "bob", "feature/a").await;
    let (_, pull) = house.api("GET", &format!("{PULLS}/{n}"), "ron", Value::Null).await;
    assert_eq!(pull["user"]["login"], "bob");
    assert_eq!(pull["head"]["sha"], sha.as_str());
    assert_eq!(pull["head"]["label"], "acme:feature/a");
    assert_eq!((&pull["mergeable"], &pull["mergeable_state"]), (&json!(true), &json!("clean")));
    assert_eq!(
        (&pull["commits"], &pull["additions"], &pull["deletions"], &pull["changed_files"]),
        (&json!(1), &json!(1), &json!(1), &json!(1))
    );
    let (_, files) = house.api("GET", &format!("{PULLS}/{n}/files"), "ron", Value::Null).await;
    assert_eq!(files[0]["filename"], "src/app.txt");
    assert_eq!(files[0]["patch"], "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three");
    let diff = house
        .raw("GET", &format!("{PULLS}/{n}"), Some("tok_ron"), &[("accept", "application/vnd.github.diff")], Value::Null)
        .await;
    assert!(diff.text().await.unwrap().starts_with("diff --git a/src/app.txt b/src/app.txt\n"));
    let (status, review) =
        house.api("POST", &format!("{PULLS}/{n}/reviews"), "alice", json!({"event": "APPROVE"})).await;
    assert_eq!((status, &review["state"], &review["commit_id"]), (200, &json!("APPROVED"), &json!(sha)));
    assert_eq!(house.api("GET", &format!("{PULLS}/{n}/merge"), "bob", Value::Null).await.0, 404);
    let (status, merged) = house.api("PUT", &format!("{PULLS}/{n}/merge"), "alice", json!({"sha": sha})).await;
    assert_eq!((status, &merged["merged"]), (200, &json!(true)), "{merged}");
    assert_eq!(house.api("GET", &format!("{PULLS}/{n}/merge"), "bob", Value::Null).await.0, 204);
    let (_, pull) = house.api("GET", &format!("{PULLS}/{n}"), "ron", Value::Null).await;
    assert_eq!(
        (&pull["state"], &pull["merged"], &pull["merged_by"]["login"]),
        (&json!("closed"), &json!(true), &json!("alice"))
    );
    assert_eq!(pull["merge_commit_sha"], merged["sha"]);
    // After the merge the pull request still shows what it brought.
    assert_eq!((&pull["commits"], &pull["changed_files"]), (&json!(1), &json!(1)));
    let dir = house.clone("ron", "acme/web", "after").await;
    let log = git(&dir, &["log", "--format=%an <%ae>|%cn|%s|%P", "-1"]).await.out;
    let parents = format!("{} {sha}", pull["base"]["sha"].as_str().unwrap());
    assert_eq!(
        log,
        format!("Alice Test <alice@example.com>|Alice Test|Merge pull request #{n} from acme/feature/a|{parents}")
    );
    assert_eq!(git(&dir, &["log", "-1", "--format=%an", "HEAD^2"]).await.out, "Bob Test");
    assert_eq!(std::fs::read_to_string(dir.join("src/app.txt")).unwrap(), "one\n2\nthree\n");
    let (status, again) = house.api("PUT", &format!("{PULLS}/{n}/merge"), "alice", json!({})).await;
    assert_eq!((status, &again["message"]), (405, &json!("Pull Request is not mergeable")));
}

#[tokio::test]
async fn a_squash_has_the_author_who_opened_it_and_names_the_others() {
    let house = House::build().await;
    house.web().await;
    house.push_branch("bob", "squash", "b.txt", "b\n").await;
    let n = open(&house, "bob", "squash").await;
    let dir = house.clone("alice", "acme/web", "more").await;
    git(&dir, &["checkout", "-q", "squash"]).await;
    write(&dir, "a.txt", "a\n");
    let message =
        "Add a.txt too\n\nCo-authored-by: Carol Test <carol@example.com>\nCo-authored-by: Bob Test <bob@example.com>";
    commit(&dir, "alice", message).await;
    git(&dir, &["push", "-q", "origin", "squash"]).await;
    let (status, merged) =
        house.api("PUT", &format!("{PULLS}/{n}/merge"), "alice", json!({"merge_method": "squash"})).await;
    assert_eq!(status, 200, "{merged}");
    git(&dir, &["fetch", "-q"]).await;
    let log = git(&dir, &["log", "-1", "--format=%an|%cn|%P|%B", "origin/main"]).await.out;
    let base = git(&dir, &["rev-parse", "origin/main^"]).await.out;
    let body = format!(
        "Pull squash (#{n})\n\n* Change b.txt\n\n* Add a.txt too\n\nCo-authored-by: Alice Test <alice@example.com>\nCo-authored-by: Carol Test <carol@example.com>"
    );
    assert_eq!(log, format!("Bob Test|Alice Test|{base}|{body}"));
}

#[tokio::test]
async fn nobody_approves_their_own_pull_request() {
    let house = House::build().await;
    house.web().await;
    house.push_branch("alice", "own", "own.txt", "x\n").await;
    let n = open(&house, "alice", "own").await;
    let reviews = format!("{PULLS}/{n}/reviews");
    let (status, body) = house.api("POST", &reviews, "alice", json!({"event": "APPROVE"})).await;
    assert_eq!(status, 422);
    assert_eq!(
        body,
        json!({
            "message": "Unprocessable Entity", "errors": ["Can not approve your own pull request"], "status": "422",
            "documentation_url": "https://docs.github.com/rest/pulls/reviews#create-a-review-for-a-pull-request",
        })
    );
    let (status, body) = house.api("POST", &reviews, "alice", json!({"event": "REQUEST_CHANGES", "body": "no"})).await;
    assert_eq!((status, error(&body)), (422, "Can not request changes on your own pull request"));
    assert_eq!(house.api("POST", &reviews, "alice", json!({"event": "COMMENT", "body": "a note"})).await.0, 200);
    assert_eq!(house.api("POST", &reviews, "ron", json!({"event": "APPROVE"})).await.0, 200);
    assert_eq!(house.api("POST", &reviews, "bob", json!({"event": "COMMENT"})).await.0, 422);
    assert_eq!(house.api("POST", &reviews, "bob", json!({})).await.0, 422);
    let (_, list) = house.api("GET", &reviews, "ron", Value::Null).await;
    let states: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|review| (review["user"]["login"].as_str(), review["state"].as_str()))
        .collect();
    assert_eq!(states, [(Some("alice"), Some("COMMENTED")), (Some("ron"), Some("APPROVED"))]);
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_in_githubs_words() {
    let house = House::build().await;
    house.web().await;
    house.push_branch("bob", "one", "one.txt", "1\n").await;
    let n = open(&house, "bob", "one").await;
    let try_open = |head: &'static str, base: &'static str| {
        let house = &house;
        async move { house.api("POST", PULLS, "bob", json!({"title": "t", "head": head, "base": base})).await }
    };
    let (status, body) = try_open("one", "main").await;
    assert_eq!((status, error(&body)), (422, "A pull request already exists for acme:one."));
    assert_eq!((&body["message"], &body["errors"][0]["code"]), (&json!("Validation Failed"), &json!("custom")));
    let (status, body) = try_open("main", "main").await;
    assert_eq!((status, error(&body)), (422, "No commits between main and main"));
    for (head, base, field) in [
        ("none", "main", "head"),
        ("one", "none", "base"),
        ("eve:one", "main", "head"),
        ("a..b", "main", "head"),
        ("one", "-x", "base"),
    ] {
        let (status, body) = try_open(head, base).await;
        let place = (&body["errors"][0]["field"], &body["errors"][0]["code"]);
        assert_eq!((status, place), (422, (&json!(field), &json!("invalid"))), "{head} {base} {body}");
    }
    let (status, body) = house.api("POST", PULLS, "bob", json!({"head": "one", "base": "main"})).await;
    assert_eq!((status, &body["errors"][0]["code"]), (422, &json!("missing_field")));
    let long = "x".repeat(257);
    assert_eq!(house.api("POST", PULLS, "bob", json!({"title": long, "head": "one", "base": "main"})).await.0, 422);
    assert_eq!(house.api("POST", PULLS, "ron", json!({"title": "t", "head": "one", "base": "main"})).await.0, 403);
    assert_eq!(house.api("POST", PULLS, "eve", json!({"title": "t", "head": "one", "base": "main"})).await.0, 404);
    // A second one is fine when the first is closed, and then the first cannot come back.
    assert_eq!(house.api("PATCH", &format!("{PULLS}/{n}"), "bob", json!({"state": "closed"})).await.0, 200);
    let second = open(&house, "bob", "one").await;
    assert_eq!(second, n + 1);
    let (status, body) = house.api("PATCH", &format!("{PULLS}/{n}"), "bob", json!({"state": "open"})).await;
    assert_eq!((status, error(&body)), (422, "A pull request already exists for acme:one."));
    assert_eq!(house.api("PATCH", &format!("{PULLS}/{second}"), "ron", json!({"title": "mine"})).await.0, 403);
}

#[tokio::test]
async fn conflicts_and_moved_branches_stop_a_merge() {
    let house = House::build().await;
    house.web().await;
    house.push_branch("bob", "left", "src/app.txt", "one\nLEFT\nthree\n").await;
    let right = house.push_branch("bob", "right", "src/app.txt", "one\nRIGHT\nthree\n").await;
    let (a, b) = (open(&house, "bob", "left").await, open(&house, "bob", "right").await);
    let (status, body) = house.api("PUT", &format!("{PULLS}/{a}/merge"), "alice", json!({"sha": right})).await;
    assert_eq!((status, &body["message"]), (409, &json!("Head branch was modified. Review and try the merge again.")));
    assert_eq!(house.api("PUT", &format!("{PULLS}/{a}/merge"), "ron", json!({})).await.0, 403);
    assert_eq!(
        house.api("PUT", &format!("{PULLS}/{a}/merge"), "alice", json!({"merge_method": "rebase"})).await.0,
        405
    );
    assert_eq!(house.api("PUT", &format!("{PULLS}/{a}/merge"), "alice", json!({})).await.0, 200);
    let (_, pull) = house.api("GET", &format!("{PULLS}/{b}"), "bob", Value::Null).await;
    assert_eq!((&pull["mergeable"], &pull["mergeable_state"]), (&json!(false), &json!("dirty")));
    let (status, body) = house.api("PUT", &format!("{PULLS}/{b}/merge"), "alice", json!({})).await;
    assert_eq!((status, &body["message"]), (405, &json!("Pull Request is not mergeable")));
    house.push_branch("bob", "draft", "d.txt", "d\n").await;
    let (_, draft) =
        house.api("POST", PULLS, "bob", json!({"title": "d", "head": "draft", "base": "main", "draft": true})).await;
    let (status, body) = house.api("PUT", &format!("{PULLS}/{}/merge", draft["number"]), "alice", json!({})).await;
    assert_eq!((status, &body["message"]), (405, &json!("Pull Request is still a draft")));
}

#[tokio::test]
async fn many_merges_at_once_lose_nothing() {
    let house = House::build().await;
    house.web().await;
    let mut numbers = Vec::new();
    for n in 0..6 {
        house.push_branch("bob", &format!("p{n}"), &format!("p{n}.txt"), "x\n").await;
        numbers.push(open(&house, "bob", &format!("p{n}")).await);
    }
    let merge = |n: u64| {
        let house = &house;
        async move { house.api("PUT", &format!("{PULLS}/{n}/merge"), "alice", json!({})).await.0 }
    };
    // Each twice at once: exactly one of the two may win, and whoever lost the race for the base branch tries again.
    let mut merged = 0;
    let mut left = numbers.clone();
    for _ in 0..10 {
        let tries: Vec<u64> = left.iter().flat_map(|n| [*n, *n]).collect();
        let answers = futures::future::join_all(tries.iter().map(|n| merge(*n))).await;
        for (pair, answers) in tries.chunks(2).zip(answers.chunks(2)) {
            let wins = answers.iter().filter(|status| **status == 200).count();
            assert!(wins <= 1, "{pair:?} {answers:?}");
            assert!(answers.iter().all(|status| matches!(status, 200 | 405 | 409)), "{answers:?}");
            merged += wins;
            if wins == 1 {
                left.retain(|n| *n != pair[0]);
            }
        }
        if left.is_empty() {
            break;
        }
    }
    assert_eq!(merged, numbers.len());
    let dir = house.clone("ron", "acme/web", "after").await;
    for n in 0..6 {
        assert!(dir.join(format!("p{n}.txt")).exists());
    }
    assert_eq!(git(&dir, &["rev-list", "--count", "--merges", "HEAD"]).await.out, "6");
}

#[tokio::test]
async fn pushes_and_vanished_branches_move_and_close_pull_requests() {
    let house = House::build().await;
    house.web().await;
    house.push_branch("bob", "moving", "m.txt", "1\n").await;
    house.push_branch("bob", "byhand", "h.txt", "1\n").await;
    let (moving, byhand) = (open(&house, "bob", "moving").await, open(&house, "bob", "byhand").await);
    let dir = house.clone("alice", "acme/web", "alice").await;
    git(&dir, &["checkout", "-q", "moving"]).await;
    write(&dir, "m.txt", "2\n");
    commit(&dir, "alice", "Second").await;
    git(&dir, &["push", "-q", "origin", "moving"]).await;
    git(&dir, &["reset", "-q", "--soft", "HEAD^"]).await;
    commit(&dir, "alice", "Second, rewritten").await;
    git(&dir, &["push", "-q", "--force", "origin", "moving"]).await;
    let sha = git(&dir, &["rev-parse", "HEAD"]).await.out;
    let (_, pull) = house.api("GET", &format!("{PULLS}/{moving}"), "bob", Value::Null).await;
    assert_eq!((&pull["head"]["sha"], &pull["commits"]), (&json!(sha), &json!(2)));
    // Merged by hand: git alone tells.
    git(&dir, &["checkout", "-q", "main"]).await;
    git(&dir, &["merge", "-q", "--ff-only", "origin/byhand"]).await;
    git(&dir, &["push", "-q", "origin", "main"]).await;
    let (_, pull) = house.api("GET", &format!("{PULLS}/{byhand}"), "bob", Value::Null).await;
    assert_eq!((&pull["merged"], &pull["merged_by"]["login"]), (&json!(true), &json!("alice")));
    // Its branch goes away: closed, and the commits stay reachable.
    git(&dir, &["push", "-q", "origin", ":moving"]).await;
    let (_, pull) = house.api("GET", &format!("{PULLS}/{moving}"), "bob", Value::Null).await;
    assert_eq!((&pull["state"], &pull["merged"]), (&json!("closed"), &json!(false)));
    git(&dir, &["fetch", "-q", "origin", &format!("refs/pull/{moving}/head")]).await;
    assert_eq!(git(&dir, &["rev-parse", "FETCH_HEAD"]).await.out, sha);
    assert_eq!(house.forge.pulls(&path("acme/web"), hangar_forge::PullFilter::default()).await.unwrap().len(), 2);
}
