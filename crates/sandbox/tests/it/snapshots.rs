//! Snapshots of running sandboxes: what they keep, what a restore and a fork show, what they guarantee.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use hangar_sandbox::{
    Error, ExecSpec, Guarantee, Holding, Sandbox, SandboxSpec,
    layers::{About, Kind, LayerId, LayerStore, Snapshot, begin, rewind, snapshots},
};

use crate::bench::{Bench, guest, output, processes, run, soon, until};

/// Lists everything an agent can see of its own files.
const LOOK: &str = "cd /; find workspace home/agent var -printf '%p %y %m %U %G %s %l %T@ %n\n' | sort; \
    find workspace home/agent -type f -exec sha256sum {} + | sort; getfattr -R -d workspace 2>/dev/null; true";

fn about() -> About {
    About::new(Kind::Snapshot, "turn")
}

/// Seals what the session has; returns its layers.
async fn sealed(bench: &Bench, name: &str) -> Vec<LayerId> {
    let (data, session) = (bench.directory.path().to_owned(), bench.path("sessions").join(name));
    tokio::task::spawn_blocking(move || LayerStore::open(&data).unwrap().seal_session(&session, &about()).unwrap())
        .await
        .unwrap()
}

/// A session that begins over the layers of another.
fn forked(bench: &Bench, name: &str, layers: &[LayerId]) -> SandboxSpec {
    let spec = bench.spec(name);
    begin(&spec.session_dir, layers).unwrap();
    spec
}

/// A bit of everything that can be done to files.
const CHANGES: &str = "set -e; cd /workspace; echo new > new; mkdir -p deep/er; echo x > deep/er/x; rm README.md; \
    mv src lib; echo more >> lib/lib.rs; chmod 700 new; ln new hard; ln -s lib/lib.rs soft; truncate -s 5M sparse; \
    mkfifo pipe; mkdir gone; touch gone/f; rm -r gone; python3 -c 'import os; os.setxattr(\"new\", \"user.note\", b\"kept\")'; \
    echo home > ~/notes; touch -d '2020-01-01 00:00:01.5' lib/lib.rs";

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_quiet_sandbox_rotates_and_the_sandbox_goes_on() {
    let bench = Bench::new().await;
    // Open to everybody by its mode; Landlock alone keeps commands from writing there.
    let open = bench.path("layer/open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let sandbox = bench.sandbox("quiet").await;
    output(&sandbox, CHANGES).await;
    assert!(!run(&sandbox, "touch /open/x").await.ended.status.success());
    let before = output(&sandbox, LOOK).await;
    let mounts = output(&sandbox, "sort /proc/self/mounts").await;
    let frozen = sandbox.snapshot().await.unwrap();
    assert_eq!(frozen.guarantee, Guarantee::Quiescent);
    assert!(frozen.tree.join("workspace/new").exists());
    // Inside nothing has changed, and everything still works.
    assert_eq!(output(&sandbox, LOOK).await, before);
    let strip =
        |mounts: &str| mounts.lines().filter(|line| !line.contains(" / overlay ")).collect::<Vec<_>>().join("\n");
    let after = output(&sandbox, "sort /proc/self/mounts").await;
    assert_eq!(strip(&after), strip(&mounts));
    assert_eq!(after.matches(" / overlay ").count(), 1, "{after}");
    output(
        &sandbox,
        "cd /workspace && echo again >> new && rm soft && mv lib src && echo t > /tmp/t && ls /usr/bin > /dev/null",
    )
    .await;
    sandbox.write("written", b"by the host").await.unwrap();
    assert_eq!(sandbox.read("new", 0, 100).await.unwrap().bytes.as_ref(), b"new\nagain\n");
    assert!(!run(&sandbox, "touch /open/x").await.ended.status.success());
    // The frozen tree has not.
    assert_eq!(std::fs::read(frozen.tree.join("workspace/new")).unwrap(), b"new\n");
    assert!(!frozen.tree.join("workspace/written").exists());
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_shows_what_was_there_and_forks_do_not_see_each_other() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("origin").await;
    output(&sandbox, CHANGES).await;
    sandbox.snapshot().await.unwrap();
    // Over a first snapshot, everything again: renamed and replaced directories, deleted files.
    output(
        &sandbox,
        "cd /workspace; mv lib third; mkdir lib; echo o > lib/other; rm -r deep; mkdir deep; rm new; echo y > ~/notes",
    )
    .await;
    let before = output(&sandbox, LOOK).await;
    assert_eq!(sandbox.snapshot().await.unwrap().guarantee, Guarantee::Quiescent);
    let layers = sealed(&bench, "origin").await;
    assert_eq!(layers.len(), 2);
    // The sandbox does not notice that its lower layers have moved.
    assert_eq!(output(&sandbox, LOOK).await, before);
    output(&sandbox, "echo later > /workspace/later").await;
    sandbox.destroy().await;

    let mut forks = Vec::new();
    for name in ["fork-1", "fork-2", "fork-3"] {
        forks.push(bench.engine.create(forked(&bench, name, &layers)).await.unwrap());
    }
    for fork in &forks {
        assert_eq!(output(fork, LOOK).await, before);
    }
    output(&forks[0], "cd /workspace; echo mine > mine; rm -r third; echo changed > hard").await;
    for fork in &forks[1..] {
        assert_eq!(output(fork, LOOK).await, before);
    }
    let ids = "cat /etc/machine-id; awk '{print $2}' /proc/self/uid_map; cat /proc/sys/kernel/hostname";
    let mut seen = std::collections::HashSet::new();
    for fork in &forks {
        for line in output(fork, ids).await.lines().filter(|line| line.len() > 2) {
            assert!(seen.insert(line.to_owned()), "{line} is the same in two forks");
        }
    }
    for fork in forks {
        fork.destroy().await;
    }
    // The origin itself, again: with what it did after the snapshot.
    let again = bench.sandbox("origin").await;
    assert_eq!(output(&again, "cat /workspace/later").await, "later\n");
    again.destroy().await;
    // And rewound.
    rewind(&bench.path("sessions/origin"), 2).unwrap();
    let again = bench.sandbox("origin").await;
    assert_eq!(output(&again, LOOK).await, before);
    again.destroy().await;
    rewind(&bench.path("sessions/origin"), 1).unwrap();
    let again = bench.sandbox("origin").await;
    assert_eq!(output(&again, "cat /workspace/new; test -e /workspace/third || echo none").await, "new\nnone\n");
    again.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_go_on_while_their_files_are_copied() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("busy").await;
    // Every line is complete, every file is replaced as a whole; a third one is only appended to.
    let script =
        "cd /workspace; i=0; while :; do i=$((i+1)); echo $i > new.tmp; mv new.tmp counter; echo line $i >> log; done";
    let mut writer = sandbox.exec_stream(&ExecSpec::shell(format!("echo go; {script}"))).await.unwrap();
    writer.next().await.unwrap();
    let counter = async |sandbox: &Sandbox| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let read = sandbox.read("counter", 0, 100).await;
            if let Ok(read) = read
                && let Ok(count) = String::from_utf8_lossy(&read.bytes).trim().parse::<u64>()
            {
                return count;
            }
            assert!(tokio::time::Instant::now() < deadline);
        }
    };
    let first = counter(&sandbox).await;
    let frozen = sandbox.snapshot().await.unwrap();
    assert_eq!(frozen.guarantee, Guarantee::Frozen);
    let copied = || std::fs::read_to_string(frozen.tree.join("workspace/counter")).unwrap();
    let count: u64 = copied().trim().parse().unwrap();
    assert!(count >= first);
    // The log ends where the counter does, give or take the step in which it was stopped.
    let log = std::fs::read_to_string(frozen.tree.join("workspace/log")).unwrap_or_default();
    let lines = log.lines().count() as u64;
    assert!(lines == count || lines + 1 == count, "{lines} lines, counter {count}");
    // The writer goes on, and the copy stays.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while counter(&sandbox).await <= count {
        assert!(tokio::time::Instant::now() < deadline, "the writer stands still");
    }
    assert_eq!(copied().trim(), count.to_string());
    assert_eq!(snapshots(&bench.path("sessions/busy")).unwrap(), vec![]);
    drop(writer);
    let data = bench.directory.path().to_owned();
    let tree = frozen.tree.clone();
    let id = tokio::task::spawn_blocking(move || LayerStore::open(&data).unwrap().seal(&tree, about()).unwrap());
    let fork = bench.engine.create(forked(&bench, "copy", &[id.await.unwrap()])).await.unwrap();
    assert_eq!(
        output(&fork, "cat /workspace/counter; cat /workspace/log | wc -l").await,
        format!("{count}\n{lines}\n")
    );
    fork.destroy().await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_holds_open_is_not_rotated_away() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("daemon").await;
    output(&sandbox, "(sleep 1000 >> /workspace/held & ) ; echo kept > /workspace/kept").await;
    assert_eq!(sandbox.snapshot().await.unwrap().guarantee, Guarantee::Frozen);
    sandbox.kill_all().await.unwrap();
    let frozen = sandbox.snapshot().await.unwrap();
    assert_eq!(frozen.guarantee, Guarantee::Quiescent);
    // Nothing has changed since: the same snapshot.
    assert_eq!(sandbox.snapshot().await.unwrap(), frozen);
    assert_eq!(snapshots(&bench.path("sessions/daemon")).unwrap(), vec![Snapshot::Tree(frozen.tree)]);
    output(&sandbox, "echo more >> /workspace/held").await;
    sandbox.destroy().await;
}

/// On a loaded machine, a process that has nothing left to do may still be there when a snapshot is asked for. Here each stands still until somebody lets it go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_commands_is_gone_before_a_snapshot_however_slow_it_is() {
    let bench = Bench::new().await;
    let mut spec = bench.spec("still");
    spec.holding = Holding::Possible;
    let sandbox = bench.engine.create(spec).await.unwrap();
    output(&sandbox, "echo kept > /workspace/kept").await;
    let guest = guest("still").unwrap().pid;
    let waiting = || processes().into_iter().filter(|seen| seen.parent == guest).collect::<Vec<_>>();
    // One for commands, one for a sync; one more where the first command took its time.
    let count = waiting().len();
    assert!((2..=3).contains(&count), "{:?}", waiting());
    for process in waiting() {
        let process = rustix::process::Pid::from_raw(process.pid).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    }
    until("all stand still", || waiting().iter().all(|process| process.state == 'T')).await;
    sandbox.sync_over().await.unwrap();
    let frozen = sandbox.snapshot().await.unwrap();
    assert_eq!(frozen.guarantee, Guarantee::Quiescent);
    assert_eq!(std::fs::read(frozen.tree.join("workspace/kept")).unwrap(), b"kept\n");
    output(&sandbox, "echo later > /workspace/kept").await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_whoever_writes_while_no_command_runs() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("writing").await;
    output(&sandbox, "echo before > /workspace/log").await;
    // Somebody in the sandbox's mounts who is not one of its processes.
    let mut writer = Command::new("nsenter")
        .args(["-t", &guest("writing").unwrap().pid.to_string(), "-m", "--"])
        .args(["sh", "-c", "exec 3>>/workspace/log; echo open; read line; echo more >&3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "open\n");
    let taking = {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { sandbox.snapshot().await.unwrap() })
    };
    // It has begun, and cannot be done yet.
    let begun = bench.path("sessions/writing/frozen");
    until("the snapshot has begun", || std::fs::read_dir(&begun).is_ok_and(|found| found.count() > 0)).await;
    drop(writer.stdin.take());
    let frozen = soon("the snapshot", taking).await.unwrap();
    assert!(writer.wait().unwrap().success());
    assert_eq!(frozen.guarantee, Guarantee::Quiescent);
    assert_eq!(std::fs::read(frozen.tree.join("workspace/log")).unwrap(), b"before\nmore\n");
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_snapshots_and_commands_at_once() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("many").await;
    let mut lines = 0;
    for round in 0..25u32 {
        let text = round.to_string();
        let (snapshot, one, two) = tokio::join!(
            sandbox.snapshot(),
            run(&sandbox, "echo a >> /workspace/log"),
            sandbox.write("other", text.as_bytes())
        );
        snapshot.unwrap();
        assert!(one.ended.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
        two.unwrap();
        lines += 1;
        // Layers move into the store while the sandbox stands on them.
        if round % 3 == 0 {
            sealed(&bench, "many").await;
        }
    }
    let expected = format!("{lines}\n24");
    assert_eq!(output(&sandbox, "wc -l < /workspace/log; cat /workspace/other").await, expected);
    sandbox.destroy().await;
    let layers = sealed(&bench, "many").await;
    assert!(layers.len() > 3, "some found it quiet");
    let session = bench.path("sessions/many");
    let store = LayerStore::open(bench.directory.path()).unwrap();
    tokio::task::spawn_blocking({
        let session = session.clone();
        move || store.squash_session(&session, 3).unwrap()
    })
    .await
    .unwrap();
    assert_eq!(snapshots(&session).unwrap().len(), 1);
    let again = bench.sandbox("many").await;
    assert_eq!(output(&again, "wc -l < /workspace/log; cat /workspace/other").await, expected);
    again.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_see_what_happens_after_a_snapshot() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("watched").await;
    let mut watch = sandbox.watch().await.unwrap();
    sandbox.write("before", b"1").await.unwrap();
    watch.next().await.unwrap();
    sandbox.snapshot().await.unwrap();
    sandbox.write("src/after", b"2").await.unwrap();
    let told = async {
        loop {
            let changes = watch.next().await.unwrap();
            // Told by name, or told to look again.
            if changes.overflow || changes.files.iter().any(|change| change.path == "src/after") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_over_a_changed_layer_is_refused() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("tampered").await;
    output(&sandbox, "echo right > /workspace/file").await;
    sandbox.snapshot().await.unwrap();
    sandbox.destroy().await;
    let layers = sealed(&bench, "tampered").await;
    let directory = bench.directory.path().to_owned();
    let tree = LayerStore::open(&directory).unwrap().tree(&layers[0]);
    std::fs::write(tree.join("workspace/file"), "wrong").unwrap();
    // As after a restart of hangar.
    let Bench { engine, directory } = bench;
    drop(sandbox);
    engine.close();
    drop(engine);
    let engine = crate::bench::engine_again(directory.path()).await;
    let bench = Bench { engine, directory };
    let refused = bench.engine.create(bench.spec("tampered")).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Layer(_))), "{refused:?}");
}

/// What tells of this machine, and a secret that a caller handed in.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_and_no_secret_is_in_a_layer() {
    let bench = Bench::new().await;
    let mut spec = bench.spec("canary");
    spec.env.insert("TOKEN".into(), "canary-3f7a".into());
    let sandbox = bench.engine.create(spec).await.unwrap();
    output(&sandbox, CHANGES).await;
    let used =
        ExecSpec::shell("test -n \"$SECRET\"; git init -q . && git config user.name x").env("SECRET", "canary-9c1d");
    sandbox.exec(&used).await.unwrap();
    output(&sandbox, "python3 -m json.tool --help > /dev/null; ls -la / /etc > /tmp/list").await;
    sandbox.snapshot().await.unwrap();
    let layers = sealed(&bench, "canary").await;
    sandbox.destroy().await;
    let layer = bench.path("layers").join(layers[0].as_str());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let directory = bench.directory.path().to_string_lossy().into_owned();
    let mut files = 0;
    let mut waiting = vec![layer.clone()];
    while let Some(path) = waiting.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if path.starts_with(layer.join("tree")) {
            use std::os::unix::fs::{FileTypeExt, MetadataExt};
            // Marks of deleted files are the overlay's own.
            if meta.file_type().is_char_device() {
                continue;
            }
            assert!((2_000_000_000..2_000_065_536).contains(&meta.uid()), "{} is {}", path.display(), meta.uid());
            let mut names = vec![0; 4096];
            let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
            let names = String::from_utf8_lossy(&names[..length]).into_owned();
            assert!(!names.contains("origin") && !names.contains("security."), "{}: {names}", path.display());
        }
        let text = match (meta.is_symlink(), meta.is_file()) {
            (true, _) => std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            (false, true) => std::fs::read(&path).unwrap(),
            (false, false) => continue,
        };
        files += 1;
        for canary in ["canary-3f7a", "canary-9c1d", &directory] {
            let found = text.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!found, "{} has {canary}", path.display());
        }
        let named = text.windows(host.len()).any(|part| part == host.as_bytes());
        assert!(!named || host.len() < 4, "{} names the host", path.display());
    }
    assert!(files > 10, "{files}");
}
