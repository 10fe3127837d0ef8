//! The transcript of `make demo` against the real source it was written for, with its real test suite.

use std::{path::PathBuf, process::Command};

use hangar_agent::TurnEnd;
use hangar_protocol::event::ToolStatus;
use serde_json::Value;

use crate::world::World;

const WISH: &str = "Add `normalized_hamming` to this crate: the Hamming distance as a share between 0.0 and 1.0, like \
                    `normalized_levenshtein`. Add a test and run the test suite.";

/// The published source of strsim 0.11.1, a dev-dependency, where cargo unpacked it.
fn source() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"));
    let registries = std::fs::read_dir(home.join("registry/src")).unwrap();
    let mut sources = registries.map(|registry| registry.unwrap().path().join("strsim-0.11.1"));
    sources.find(|source| source.exists()).expect("cargo unpacked strsim")
}

fn sh(world: &World, script: &str) -> String {
    let output = Command::new("bash").arg("-ec").arg(script).current_dir(world.path("")).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_fits_the_test_suite_passes_and_a_pull_request_opens() {
    let mut transcript: Value = serde_json::from_str(include_str!("../../transcripts/demo.json")).unwrap();
    transcript["pace"]["pause_ms"] = 0.into();
    let world = World::playing(&transcript, WISH).await;
    let copy = format!(
        "cp -r {}/. . && rm -f .cargo-ok .cargo_vcs_info.json Cargo.toml.orig && chmod -R u+w .",
        source().display()
    );
    sh(&world, &copy);
    sh(
        &world,
        "git init -q --bare ../origin.git && git init -q -b main . && git add -A &&
         git -c user.name=Origin -c user.email=origin@example.org commit -q -m 'strsim 0.11.1' &&
         git remote add origin ../origin.git && git push -q origin main && git switch -q -c hangar/s1",
    );
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    let failed: Vec<_> = results.iter().filter(|(status, _)| *status != ToolStatus::Ok).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(world.log.shown(10).contains("pull request #7 is open"), "{}", world.log.shown(10));
    assert_eq!(world.log.pull_requests()[0].title.as_deref(), Some("Add normalized_hamming"));
    let pushed = sh(&world, "git -C ../origin.git log -1 --format='%an <%ae> %cn %s' hangar/s1");
    assert_eq!(pushed, "Ada Lovelace <ada@example.org> Ada Lovelace Add normalized_hamming\n");
    let changed = sh(&world, "git diff --stat --format= main hangar/s1 | sort");
    for file in ["CHANGELOG.md", "src/lib.rs", "tests/lib.rs"] {
        assert!(changed.contains(file), "{changed}");
    }
    assert_eq!(sh(&world, "git status --porcelain"), "");
    // What the transcript adds is formatted as the repository is.
    assert_eq!(sh(&world, "rustfmt --check --edition 2015 src/lib.rs tests/lib.rs"), "");
}
