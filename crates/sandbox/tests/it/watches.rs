//! Changes reach the host, as far as git would care.

use std::collections::BTreeMap;

use hangar_sandbox::{Change, Watch};

use crate::bench::{Bench, output, soon};

/// Gathers changes until one of `last` is among them.
async fn until_told(watch: &mut Watch, last: &str) -> BTreeMap<String, Change> {
    let mut told = BTreeMap::new();
    while !told.contains_key(last) {
        let changes = soon(last, watch.next()).await.unwrap();
        assert!(!changes.overflow);
        told.extend(changes.files.into_iter().map(|file| (file.path, file.change)));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_once_and_ignored_files_never() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("watch").await;
    let mut watch = sandbox.watch().await.unwrap();
    output(
        &sandbox,
        "mkdir -p .git target/debug src/new/deep node_modules/m; echo x > .git/index; echo x > target/debug/out; echo x > node_modules/m/i; \
         for i in 1 2 3; do echo $i >> src/lib.rs; done; echo x > src/new/deep/file; rm README.md; echo x > end",
    )
    .await;
    let told = until_told(&mut watch, "end").await;
    let expected = [
        ("README.md", Change::Removed),
        ("end", Change::Written),
        ("src/lib.rs", Change::Written),
        ("src/new/deep/file", Change::Written),
    ];
    assert_eq!(told, expected.map(|(path, change)| (path.to_owned(), change)).into_iter().collect());

    // Files written by the host are told under their final name; a new directory is watched; a new rule counts at once.
    sandbox.write("made/by/host.txt", b"x").await.unwrap();
    let told = until_told(&mut watch, "made/by/host.txt").await;
    assert_eq!(told.len(), 1);
    output(&sandbox, "echo '*.log' > .gitignore; mv made moved; echo x > a.log; echo x > moved/by/more; echo x > end2")
        .await;
    let told = until_told(&mut watch, "end2").await;
    assert!(!told.contains_key("a.log"));
    assert_eq!(told.get("moved/by/host.txt"), Some(&Change::Written));
    assert_eq!(told.get("moved/by/more"), Some(&Change::Written));
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_changes_are_told_as_too_many() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("overflow").await;
    let mut watch = sandbox.watch().await.unwrap();
    // They appear in one moment: made where git does not look, then moved.
    let script = "mkdir -p target/many; for i in $(seq 1 3000); do : > target/many/$i; done; mv target/many many";
    output(&sandbox, script).await;
    soon("the overflow", async { while !watch.next().await.unwrap().overflow {} }).await;
    // The watch goes on: what changes after the flood is told, unless it was still a part of it.
    soon("the file after", async {
        loop {
            output(&sandbox, "echo x > after").await;
            if watch.next().await.unwrap().files.iter().any(|file| file.path == "after") {
                break;
            }
        }
    })
    .await;
    sandbox.destroy().await;
}
