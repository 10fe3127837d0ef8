//! A session's workspace.

use std::path::Path;

use hangar_forge::{CommitId, WorkspaceClone, WorkspaceHead};

use crate::house::{House, git, path, try_git};

const ORIGIN: &str = "http://hangar.internal/acme/web.git";

/// Every file below `.git` with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let place = entry.unwrap().path();
            if place.is_dir() {
                open.push(place);
            } else {
                found.push((place.display().to_string(), std::fs::read(place).unwrap()));
            }
        }
    }
    found
}

#[tokio::test]
async fn it_is_whole_and_knows_nothing_of_the_host() {
    let house = House::build().await;
    let repo = house.web().await;
    house.push_branch("bob", "side", "side.txt", "s\n").await;
    let commit = house.forge.resolve(&repo.path, "main").await.unwrap();
    let dir = house.root.path().join("work");
    let wish = |head| WorkspaceClone { commit: commit.clone(), head, dir: dir.clone(), origin_url: ORIGIN.into() };
    let branch = WorkspaceHead::Branch("hangar/s1".parse().unwrap());
    house.forge.clone_to(&repo.path, wish(branch.clone())).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("src/app.txt")).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(git(&dir, &["status", "--porcelain", "--branch"]).await.out, "## hangar/s1");
    assert_eq!(git(&dir, &["rev-parse", "HEAD"]).await.out, commit.as_str());
    assert_eq!(git(&dir, &["remote", "get-url", "origin"]).await.out, ORIGIN);
    let refs = git(&dir, &["for-each-ref", "--format=%(refname)"]).await.out;
    assert_eq!(
        refs,
        "refs/heads/hangar/s1\nrefs/remotes/origin/HEAD\nrefs/remotes/origin/main\nrefs/remotes/origin/side"
    );
    git(&dir, &["fsck", "--full", "--strict"]).await;
    let host = house.root.path().to_str().unwrap().as_bytes();
    for (name, bytes) in files(&dir.join(".git")) {
        assert!(!bytes.windows(host.len()).any(|part| part == host), "{name} names a path of the host");
        assert!(!name.contains("/hooks/") && !name.ends_with("alternates"), "{name}");
    }
    let loose = git(&dir, &["count-objects", "-v"]).await.out;
    assert!(loose.contains("count: 0\n") && loose.contains("packs: 1\n"), "{loose}");
    // The same place again is refused, and what is there stays.
    let again = house.forge.clone_to(&repo.path, wish(branch)).await.unwrap_err();
    assert!(again.to_string().contains("is not empty"), "{again}");
    assert!(dir.join("README.md").exists());
    // The source may go away.
    std::fs::rename(house.root.path().join("forge/repos/acme/web.git"), house.root.path().join("gone")).unwrap();
    git(&dir, &["log", "--all", "--stat"]).await;
    std::fs::rename(house.root.path().join("gone"), house.root.path().join("forge/repos/acme/web.git")).unwrap();
}

#[tokio::test]
async fn any_commit_can_be_checked_out_even_one_on_no_branch() {
    let house = House::build().await;
    let repo = house.web().await;
    let lost: CommitId = house.push_branch("bob", "lost", "lost.txt", "l\n").await.parse().unwrap();
    house.forge.delete_branch(&repo.path, &"lost".parse().unwrap(), &crate::house::person("bob", 2)).await.unwrap();
    let dir = house.root.path().join("work");
    let wish = WorkspaceClone {
        commit: lost.clone(),
        head: WorkspaceHead::Detached,
        dir: dir.clone(),
        origin_url: ORIGIN.into(),
    };
    house.forge.clone_to(&path("ACME/web"), wish).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("lost.txt")).unwrap(), "l\n");
    assert!(!try_git(&dir, &["symbolic-ref", "-q", "HEAD"], &[]).await.ok);
    assert!(!git(&dir, &["for-each-ref"]).await.out.contains("refs/hangar"));
    let none = WorkspaceClone {
        commit: CommitId::zero(),
        head: WorkspaceHead::Detached,
        dir: house.root.path().join("no"),
        origin_url: ORIGIN.into(),
    };
    assert!(matches!(house.forge.clone_to(&repo.path, none).await, Err(hangar_forge::ForgeError::NoCommit { .. })));
}

#[tokio::test]
async fn new_commits_come_as_a_thin_pack() {
    let house = House::build().await;
    let repo = house.web().await;
    let old = house.forge.resolve(&repo.path, "main").await.unwrap();
    let dir = house.root.path().join("work");
    let wish = WorkspaceClone {
        commit: old.clone(),
        head: WorkspaceHead::Detached,
        dir: dir.clone(),
        origin_url: ORIGIN.into(),
    };
    house.forge.clone_to(&repo.path, wish).await.unwrap();
    let new: CommitId = house.push_branch("bob", "side", "side.txt", "s\n").await.parse().unwrap();
    let pack = house.root.path().join("delta.pack");
    house.forge.delta(&repo.path, &old, &new, &pack).await.unwrap();
    assert!(std::fs::metadata(&pack).unwrap().len() > 0);
    let script = format!("git index-pack --stdin --fix-thin < '{}' && git cat-file -e {new}", pack.display());
    let taken = std::process::Command::new("sh").args(["-c", &script]).current_dir(&dir).output().unwrap();
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    assert_eq!(git(&dir, &["show", &format!("{new}:side.txt")]).await.out, "s");
    // What has everything is sent nothing.
    house.forge.delta(&repo.path, &new, &old, &pack).await.unwrap();
    assert_eq!(std::fs::metadata(&pack).unwrap().len(), 0);
    let unknown: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    assert!(house.forge.delta(&repo.path, &unknown, &new, &pack).await.is_err());
}
