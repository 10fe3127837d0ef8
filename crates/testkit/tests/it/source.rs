//! The source that hangar was built from is in every sandbox and comes out of the program, the same byte for byte.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hangar_protocol::{EventBody, event::TurnOutcome};
use hangar_testkit::{Reply, TestServer, Transcript, Watch};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below a directory with its content.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(place) = left.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// What git has of a commit, unpacked by git and tar themselves.
fn archived(commit: &str, into: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::create_dir(into).unwrap();
    let unpack = format!("set -o pipefail; git archive {commit} | tar -x -C {}", into.display());
    let ran = Command::new("bash").args(["-c", &unpack]).current_dir(repository()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut files = files(into);
    // An agent that is tried would find how it is judged.
    files.retain(|path, _| !path.starts_with("evals"));
    files
}

/// One hash over the names and contents of all files below the working directory.
const HASH: &str = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";

#[tokio::test]
async fn an_agent_reads_the_very_source_of_its_hangar_and_cannot_change_it() {
    let look =
        format!("cd /opt/hangar/src && {HASH}; head -1 ../INDEX.md; touch x 2>&1; rm -r ../INDEX.md 2>&1; ls ..");
    let transcript = Transcript::new().on("look", [Reply::bash(&look), Reply::say("Done.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please look.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let said = watch.events().iter().find_map(|event| match &event.body {
        EventBody::ToolFinished { output, .. } => Some(output.clone()),
        _ => None,
    });
    let said = said.unwrap();

    let directory = server.directory().join("source");
    let ran = server.run(&["source", directory.to_str().unwrap()]).await.well();
    let told: serde_json::Value = serde_json::from_str(&ran).unwrap();
    let hash = Command::new("bash").args(["-c", HASH]).current_dir(&directory).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], hash.trim_end(), "{said}");
    assert_eq!(lines[1], "# The source of this hangar");
    assert!(said.contains("touch: cannot touch 'x': Read-only file system"), "{said}");
    assert!(said.contains("rm: cannot remove '../INDEX.md': Read-only file system"), "{said}");
    // All that is there; the repository's instructions follow.
    assert_eq!(lines[4..8], ["INDEX.md", "hooks", "src", ""], "{said}");

    // It is the commit that hangar was built from, as git itself gives it: all of it and nothing else.
    let unpacked = files(&directory);
    let commit = told["commit"].as_str().unwrap();
    let expected = match commit.split_once(' ') {
        None => archived(commit, &server.directory().join("archived")),
        // Built from a tree with changes, or without git: it is what stands here.
        Some(_) => unpacked.keys().map(|path| (path.clone(), fs::read(repository().join(path)).unwrap())).collect(),
    };
    assert!(unpacked.keys().eq(expected.keys()), "other files than in {commit}");
    for (path, content) in &unpacked {
        assert!(*content == expected[path], "{} is another than in {commit}", path.display());
    }
    for wanted in ["ARCHITECTURE.md", "docs/plugins.md", "crates/server/src/source.rs", "Cargo.lock"] {
        assert!(unpacked.contains_key(Path::new(wanted)), "{wanted} is missing");
    }

    // What is there is never written over.
    let refusal = server.run(&["source", directory.to_str().unwrap()]).await.refusal();
    assert!(refusal.message.contains("is not empty"), "{refusal:?}");
    // A restart unpacks nothing anew.
    let before: Vec<_> =
        fs::read_dir(server.data().join("source")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(before.len(), 1);
    let made = fs::metadata(&before[0]).unwrap().modified().unwrap();
    server.kill().await;
    server.restart().await;
    assert_eq!(fs::metadata(&before[0]).unwrap().modified().unwrap(), made);
    server.stop().await;
}
