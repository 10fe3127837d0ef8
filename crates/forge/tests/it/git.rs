//! Stock git against the public face.

use hangar_forge::Limits;

use crate::house::{House, commit, git, path, try_git, write};

#[tokio::test]
async fn clone_fetch_push_and_ls_remote_work_with_a_token_and_only_with_one() {
    let house = House::build().await;
    let repo = house.web().await;
    let one = house.clone("bob", "acme/web", "one").await;
    assert_eq!(std::fs::read_to_string(one.join("README.md")).unwrap(), "# web\n");
    let two = house.clone("ron", "acme/web", "two").await;

    git(&one, &["checkout", "-q", "-b", "feature/x"]).await;
    write(&one, "new.txt", "new\n");
    commit(&one, "bob", "Add new.txt").await;
    let pushed = git(&one, &["push", "origin", "feature/x"]).await;
    assert!(pushed.err.contains("[new branch]"), "{}", pushed.err);
    let sha = git(&one, &["rev-parse", "HEAD"]).await.out;
    git(&two, &["fetch", "-q"]).await;
    assert_eq!(git(&two, &["rev-parse", "origin/feature/x"]).await.out, sha);
    assert_eq!(house.forge.resolve(&repo.path, "feature/x").await.unwrap().as_str(), sha);
    for version in ["protocol.version=0", "protocol.version=2"] {
        let refs = git(&two, &["-c", version, "ls-remote", "origin"]).await.out;
        assert!(refs.contains(&format!("{sha}\trefs/heads/feature/x")), "{refs}");
    }

    let (root, bare) = (house.root.path(), format!("{}/acme/web.git", house.base));
    let without = try_git(root, &["ls-remote", &bare], &[]).await;
    assert!(!without.ok && without.err.contains("could not read Username"), "{}", without.err);
    let wrong = bare.replace("http://", "http://bob:tok_nobody@");
    let wrong = try_git(root, &["ls-remote", &wrong], &[]).await;
    assert!(!wrong.ok && wrong.err.contains("Authentication failed"), "{}", wrong.err);
    let reader = try_git(&two, &["push", "origin", "HEAD:refs/heads/by-ron"], &[]).await;
    assert!(!reader.ok && reader.err.contains("remote: You may read acme/web but not push to it."), "{}", reader.err);
    let narrow = bare.replace("http://", "http://alice:tok_alice_readonly@");
    let narrow = try_git(&two, &["push", &narrow, "HEAD:refs/heads/narrow"], &[]).await;
    assert!(!narrow.ok && narrow.err.contains("403"), "{}", narrow.err);
}

#[tokio::test]
async fn a_missing_and_a_forbidden_repository_look_the_same() {
    let house = House::build().await;
    house.web().await;
    let denied = try_git(house.root.path(), &["ls-remote", &house.url("eve", "acme/web")], &[]).await;
    let missing = try_git(house.root.path(), &["ls-remote", &house.url("eve", "acme/none")], &[]).await;
    assert!(!denied.ok && denied.err.contains("remote: Repository not found."), "{}", denied.err);
    assert_eq!(denied.err.replace("web", "none"), missing.err);
    for odd in [
        "/acme/web/info/refs?service=git-upload-pack",
        "/acme/..%2fweb.git/info/refs?service=git-upload-pack",
        "/acme/web.git/info/refs",
    ] {
        let response = reqwest::Client::new()
            .get(format!("{}{odd}", house.base))
            .basic_auth("alice", Some("tok_alice"))
            .send()
            .await
            .unwrap();
        assert!(matches!(response.status().as_u16(), 403 | 404), "{odd}: {}", response.status());
    }
}

#[tokio::test]
async fn the_default_branch_and_pull_refs_are_protected() {
    let house = House::build().await;
    house.web().await;
    let dir = house.clone("bob", "acme/web", "bob").await;
    write(&dir, "direct.txt", "x\n");
    commit(&dir, "bob", "Straight to main").await;
    let refused = try_git(&dir, &["push", "origin", "HEAD:main", "HEAD:refs/heads/other"], &[]).await;
    assert!(
        !refused.ok && refused.err.contains("main is protected: push your work to another branch"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("[remote rejected]"), "{}", refused.err);
    assert_eq!(house.forge.branches(&path("acme/web")).await.unwrap().len(), 1, "no ref of a refused push moves");
    let hidden = try_git(&dir, &["push", "origin", "HEAD:refs/pull/1/head"], &[]).await;
    assert!(!hidden.ok && hidden.err.contains("deny updating a hidden ref"), "{}", hidden.err);
    let alice = house.url("alice", "acme/web");
    git(&dir, &["push", "-q", &alice, "HEAD:main"]).await;
    let deleted = try_git(&dir, &["push", &alice, ":main"], &[]).await;
    assert!(!deleted.ok && deleted.err.contains("cannot be deleted"), "{}", deleted.err);
}

#[tokio::test]
async fn large_pushes_stream_and_fetches_may_be_compressed() {
    let house = House::build().await;
    house.web().await;
    let dir = house.clone("bob", "acme/web", "big").await;
    git(&dir, &["checkout", "-q", "-b", "big"]).await;
    // 24 MiB that do not compress: over git's http.postBuffer, so the push is sent in chunks.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let noise: Vec<u8> = (0..3 << 20)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    std::fs::write(dir.join("noise.bin"), &noise).unwrap();
    // Many branches make the list of what a fetch has so long that git compresses its request.
    for n in 0..60 {
        std::fs::write(dir.join("count.txt"), format!("{n}\n")).unwrap();
        commit(&dir, "bob", &format!("Count {n}")).await;
        git(&dir, &["branch", &format!("many/{n}")]).await;
    }
    git(&dir, &["push", "-q", "origin", "--all"]).await;
    let other = house.clone("ron", "acme/web", "other").await;
    assert_eq!(std::fs::read(other.join("README.md")).unwrap(), b"# web\n");
    let trace = house.root.path().join("trace");
    write(&dir, "last.txt", "last\n");
    commit(&dir, "bob", "Last").await;
    git(&dir, &["push", "-q", "origin", "big"]).await;
    for n in 0..60 {
        // Commits that the server does not know fill the negotiation.
        git(&other, &["checkout", "-q", "-B", &format!("mine/{n}"), &format!("origin/many/{n}")]).await;
        write(&other, "mine.txt", &n.to_string());
        commit(&other, "ron", "Mine").await;
    }
    let fetched = try_git(
        &other,
        &["-c", "protocol.version=0", "fetch", "-q", "origin", "big"],
        &[("GIT_TRACE_CURL", trace.to_str().unwrap())],
    )
    .await;
    assert!(fetched.ok, "{}", fetched.err);
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("Content-Encoding: gzip"), "this fetch was meant to be compressed");
    let blob = git(&other, &["cat-file", "-s", "FETCH_HEAD:noise.bin"]).await.out;
    assert_eq!(blob, noise.len().to_string());
}

#[tokio::test]
async fn a_push_over_the_limit_is_refused_and_leaves_nothing() {
    let house = House::build_with(Limits { push_bytes_max: 100_000, push_commands_max: 3, ..Limits::default() }).await;
    house.web().await;
    let dir = house.clone("bob", "acme/web", "fat").await;
    let noise: Vec<u8> =
        (0..400_000_u64).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17).to_le_bytes()).collect();
    std::fs::write(dir.join("fat.bin"), noise).unwrap();
    commit(&dir, "bob", "Fat").await;
    let refused = try_git(&dir, &["push", "origin", "HEAD:refs/heads/fat"], &[]).await;
    assert!(!refused.ok && refused.err.contains("pack exceeds maximum allowed size"), "{}", refused.err);
    assert_eq!(house.forge.branches(&path("acme/web")).await.unwrap().len(), 1);
    let many: Vec<String> = (0..4).map(|n| format!("origin/main:refs/heads/n{n}")).collect();
    let args: Vec<&str> = ["push", "origin"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let refused = try_git(&dir, &args, &[]).await;
    assert!(!refused.ok, "{}", refused.err);
    assert_eq!(house.forge.branches(&path("acme/web")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn objects_that_fsck_refuses_do_not_come_in() {
    let house = House::build().await;
    house.web().await;
    let dir = house.clone("bob", "acme/web", "evil").await;
    let blob = git(&dir, &["rev-parse", "HEAD:README.md"]).await.out;
    // A tree with an entry named `.git`: a checkout of it would write into the repository of whoever clones.
    let raw: Vec<u8> = [
        b"100644 .git\0".to_vec(),
        (0..40).step_by(2).map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()).collect(),
    ]
    .concat();
    std::fs::write(dir.join("tree"), raw).unwrap();
    let tree = git(&dir, &["hash-object", "-t", "tree", "-w", "--literally", "tree"]).await.out;
    let env = [
        ("GIT_AUTHOR_NAME", "e"),
        ("GIT_AUTHOR_EMAIL", "e@e"),
        ("GIT_COMMITTER_NAME", "e"),
        ("GIT_COMMITTER_EMAIL", "e@e"),
    ];
    let evil = try_git(&dir, &["commit-tree", "-m", "evil", &tree], &env).await.out;
    let refused = try_git(&dir, &["push", "origin", &format!("{evil}:refs/heads/evil")], &[]).await;
    assert!(!refused.ok && refused.err.contains("hasDotgit"), "{}", refused.err);
}
