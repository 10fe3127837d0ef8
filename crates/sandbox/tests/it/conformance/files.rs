//! Files and layers.

use std::fs;

use hangar_protocol::source::OWN_SOURCE;
use hangar_sandbox::{Change, Error, FailureKind, GlobRequest, GrepRequest};

use super::place::Place;
use crate::bench::{output, soon};

pub(super) async fn files_are_written_read_and_found(place: &Place) {
    let sandbox = &place.shared;
    assert!(sandbox.write("deep/er/file.txt", b"one needle\ntwo\n").await.unwrap());
    assert!(!sandbox.write("deep/er/file.txt", b"one needle\nthree\n").await.unwrap());
    assert!(sandbox.write_mode("deep/run.sh", b"#!/bin/sh\necho ran\n", 0o755).await.unwrap());
    assert_eq!(output(sandbox, "deep/run.sh; stat -c %U deep/er/file.txt").await, "ran\nagent\n");
    let read = sandbox.read("deep/er/file.txt", 4, 6).await.unwrap();
    assert_eq!((&read.bytes[..], read.size, read.truncated), (&b"needle"[..], 17, true));
    assert_eq!(sandbox.stat("deep/run.sh").await.unwrap().mode & 0o777, 0o755);
    let (listed, _) = sandbox.list("deep").await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["er", "run.sh"]);
    let glob = GlobRequest { pattern: "**/*.txt".into(), path: "deep".into(), limit: 10 };
    assert_eq!(sandbox.glob(&glob).await.unwrap().paths, ["er/file.txt"]);
    let grep = GrepRequest {
        pattern: "need.e".into(),
        path: "deep".into(),
        glob: None,
        ignore_case: false,
        context: 0,
        limit: 10,
    };
    let (found, _) = sandbox.grep(&grep).await.unwrap();
    assert_eq!((found[0].path.as_str(), found[0].line), ("er/file.txt", 1));
    let large = vec![7; 5_000_000];
    sandbox.write("large", &large).await.unwrap();
    assert_eq!(sandbox.read("large", 0, 8_000_000).await.unwrap().bytes, large);
    match sandbox.read("nowhere", 0, 1).await {
        Err(Error::Guest(failure)) => assert_eq!(failure.kind, FailureKind::NotFound),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn changes_are_watched(place: &Place) {
    let sandbox = &place.shared;
    output(sandbox, "mkdir -p watched").await;
    let mut watch = sandbox.watch_directory("watched").await.unwrap();
    output(sandbox, "echo by-command > watched/one").await;
    sandbox.write("watched/two", b"by the host").await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    soon("the changes", async {
        while seen.len() < 2 {
            let changes = watch.next().await.unwrap();
            seen.extend(changes.files.into_iter().filter(|file| file.change == Change::Written).map(|file| file.path));
        }
    })
    .await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

pub(super) async fn layers_lie_over_each_other_and_stay_as_they_are(place: &Place) {
    let seen = output(&place.shared, "cat changed README.md; test -e removed || echo gone; stat -c %U README.md").await;
    assert_eq!(seen, "above\nhello\ngone\nagent\n");
    let two = place.sandbox("second").await;
    output(&place.shared, "echo mine > README.md; rm changed; echo new > added; mv src moved").await;
    assert_eq!(
        output(&two, "cat README.md changed; test -e added || echo none; ls src").await,
        "hello\nabove\nnone\nlib.rs\n"
    );
    two.destroy().await;
    assert_eq!(fs::read_to_string(place.path("lower/workspace/README.md")).unwrap(), "hello\n");
    assert_eq!(fs::read_to_string(place.path("upper/workspace/changed")).unwrap(), "above\n");
    assert!(!place.path("upper/workspace/added").exists());
}

pub(super) async fn nothing_of_the_host_is_inside(place: &Place) {
    let sandbox = &place.shared;
    let canary = place.path("canary");
    fs::write(&canary, "of the host").unwrap();
    let there =
        format!("test -e {} || echo none; test -e {} || echo none", canary.display(), place.directory.path().display());
    assert_eq!(output(sandbox, &there).await, "none\nnone\n");
    let hidden = "for p in /root/.ssh /root/.cargo /var/lib/dpkg /var/run/docker.sock /run/docker.sock /srv /boot/grub /etc/shadow; do test -e $p && echo $p; done; true";
    assert_eq!(output(sandbox, hidden).await, "");
    let host = std::process::id();
    let processes = output(sandbox, "ls /proc | grep -cE '^[0-9]+$'").await;
    assert!(processes.trim().parse::<u32>().unwrap() < 200, "{processes}");
    let mine = format!("grep -sl {host} /proc/[0-9]*/status | xargs -r grep -h ^Name | grep -c '^Name:.it-' || true");
    assert_eq!(output(sandbox, &mine).await.trim(), "0");
    let environment =
        output(sandbox, "env | cut -d= -f1 | grep -E 'CARGO_PKG|RUSTUP_TOOLCHAIN|SSH_|AWS_|TOKEN' || true").await;
    assert_eq!(environment, "");
}

pub(super) async fn hangars_own_source_is_there_and_cannot_be_changed(place: &Place) {
    let tried = "cat src/lib.rs; touch new || echo not made; (echo x >> src/lib.rs) || echo not changed; rm -r src || echo not removed; ls";
    let seen = output(&place.shared, &format!("cd {OWN_SOURCE} && {{ {tried}; }} 2> /dev/null")).await;
    assert_eq!(seen, "pub fn hangar() {}\nnot made\nnot changed\nnot removed\nsrc\n");
    assert_eq!(fs::read_to_string(place.path("shown/src/lib.rs")).unwrap(), "pub fn hangar() {}\n");
}

pub(super) async fn a_session_is_found_again(place: &Place) {
    let first = place.sandbox("session").await;
    output(
        &first,
        "echo kept > file; echo mine > ~/notes; rm README.md; mkdir -p d/e; ln -s file link; chmod 700 file",
    )
    .await;
    first.destroy().await;
    // Another one first, so that ids and numbers differ from those that wrote the files.
    let between = place.sandbox("between").await;
    let again = place.sandbox("session").await;
    let seen = "cat file ~/notes; test -e README.md || echo removed; stat -c '%U %a' file; readlink link; echo more >> file; cat file";
    assert_eq!(output(&again, seen).await, "kept\nmine\nremoved\nagent 700\nfile\nkept\nmore\n");
    again.destroy().await;
    between.destroy().await;
    // On disk everything lies as with every backend.
    let meta = fs::metadata(place.path("sessions/session/upper/workspace/file")).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&meta);
    assert_eq!(owner, hangar_sandbox::IdRange::DISK.agent());
}
