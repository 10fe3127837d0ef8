//! Diffs of every kind of change.

use std::fmt::Write as _;

use hangar_forge::{CommitId, Diff, FileStatus, Limits, Patch};

use crate::house::{House, commit, git, path, write};

async fn diff_of(limits: Limits, change: impl AsyncFnOnce(&std::path::Path)) -> (House, Diff, CommitId, CommitId) {
    let house = House::build_with(limits).await;
    house.web().await;
    let dir = house.clone("alice", "acme/web", "work").await;
    write(&dir, "gone.txt", "going\n");
    write(&dir, "old/name.txt", "a\nb\nc\nd\ne\nf\n");
    std::fs::write(dir.join("picture.bin"), [0, 1, 2, 3]).unwrap();
    write(&dir, "script.sh", "#!/bin/sh\n");
    commit(&dir, "alice", "Before").await;
    let from: CommitId = git(&dir, &["rev-parse", "HEAD"]).await.out.parse().unwrap();
    change(&dir).await;
    commit(&dir, "alice", "After").await;
    let to: CommitId = git(&dir, &["rev-parse", "HEAD"]).await.out.parse().unwrap();
    git(&dir, &["push", "-q", "origin", "HEAD:main"]).await;
    let diff = house.forge.diff(&path("acme/web"), &from, &to).await.unwrap();
    (house, diff, from, to)
}

#[tokio::test]
async fn every_kind_of_change_is_told_apart() {
    let odd = "odd \"name\"\twith\nlines ü.txt";
    let (house, diff, from, to) = diff_of(Limits::default(), async |dir| {
        git(dir, &["rm", "-q", "gone.txt"]).await;
        std::fs::create_dir(dir.join("new")).unwrap();
        git(dir, &["mv", "old/name.txt", "new/name.txt"]).await;
        write(dir, "new/name.txt", "a\nb\nc\nd\ne\nF\n");
        std::fs::write(dir.join("picture.bin"), [0, 1, 2, 4]).unwrap();
        git(dir, &["update-index", "--chmod=+x", "script.sh"]).await;
        std::fs::set_permissions(dir.join("script.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // Content that looks like the head of a diff.
        write(dir, odd, "diff --git a/x b/x\n@@ -1 +1 @@\nBinary files x and y differ\n");
        write(dir, "src/app.txt", "one\n2\nthree");
        write(dir, "empty.txt", "");
    })
    .await;
    let told: Vec<_> =
        diff.files.iter().map(|file| (file.path.as_str(), file.status, file.additions, file.deletions)).collect();
    assert_eq!(
        told,
        [
            ("empty.txt", FileStatus::Added, 0, 0),
            ("gone.txt", FileStatus::Removed, 0, 1),
            ("new/name.txt", FileStatus::Renamed, 1, 1),
            (odd, FileStatus::Added, 3, 0),
            ("picture.bin", FileStatus::Modified, 0, 0),
            ("script.sh", FileStatus::Modified, 0, 0),
            ("src/app.txt", FileStatus::Modified, 2, 2),
        ]
    );
    let patch = |path: &str| diff.files.iter().find(|file| file.path == path).unwrap().patch.clone();
    assert_eq!(patch("empty.txt"), Patch::Empty);
    assert_eq!(patch("gone.txt"), Patch::Text("@@ -1 +0,0 @@\n-going".into()));
    assert_eq!(patch("picture.bin"), Patch::Binary);
    assert_eq!(patch("script.sh"), Patch::Empty);
    assert_eq!(
        patch(odd),
        Patch::Text("@@ -0,0 +1,3 @@\n+diff --git a/x b/x\n+@@ -1 +1 @@\n+Binary files x and y differ".into())
    );
    let tail = "@@ -1,3 +1,3 @@\n one\n-two\n-three\n+2\n+three\n\\ No newline at end of file";
    assert_eq!(patch("src/app.txt"), Patch::Text(tail.into()));
    assert_eq!(diff.files[2].previous_path.as_deref(), Some("old/name.txt"));
    assert_eq!((diff.additions, diff.deletions, diff.changed_files), (6, 4, 7));
    // The text of it all can be applied by git.
    let text = house.forge.diff_text(&path("acme/web"), &from, &to).await.unwrap();
    let dir = house.clone("ron", "acme/web", "apply").await;
    git(&dir, &["checkout", "-q", from.as_str()]).await;
    std::fs::write(dir.join(".git/patch"), text).unwrap();
    git(&dir, &["apply", "--index", ".git/patch"]).await;
    assert_eq!(git(&dir, &["write-tree"]).await.out, git(&dir, &["rev-parse", &format!("{to}^{{tree}}")]).await.out);
}

#[tokio::test]
async fn what_is_over_a_limit_is_left_out_and_said_so() {
    let limits = Limits { diff_files_max: 3, diff_file_bytes_max: 2000, diff_bytes_max: 10_000, ..Limits::default() };
    let (house, diff, from, to) = diff_of(limits, async |dir| {
        write(dir, "a.txt", "small\n");
        write(dir, "b.txt", &"long line of text\n".repeat(500));
        for n in 0..20 {
            write(dir, &format!("c{n:02}.txt"), &format!("{n}\n").repeat(500));
        }
    })
    .await;
    assert_eq!((diff.files.len(), diff.changed_files), (3, 22));
    assert_eq!((diff.additions, diff.deletions), (1 + 500 + 20 * 500, 0));
    assert!(matches!(diff.files[0].patch, Patch::Text(_)));
    assert_eq!((&diff.files[1].patch, &diff.files[2].patch), (&Patch::TooLarge, &Patch::TooLarge));
    let mut shown = String::new();
    if let Err(error) = house.forge.diff_text(&path("acme/web"), &from, &to).await {
        write!(shown, "{error}").unwrap();
    }
    assert_eq!(shown, "The diff is over the limit of 10000 bytes.");
}
