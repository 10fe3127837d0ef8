//! Backups: everything acknowledged comes back elsewhere, and whatever is not whole is refused with nothing half done.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use hangar_protocol::{
    Event, EventBody,
    RefusalCode::{BadRequest, Conflict, NotFound, Unavailable},
    SessionState,
    api::{MergeMethod, OpenPullRequest},
    event::TurnOutcome,
    limits::EVENT_OUTPUT_BYTES_MAX,
};
use hangar_testkit::{
    Ground, Person, Ran, Reply, Setting, Story, TestServer, Transcript, Watch, commits_of, until, within,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Prints more than an event holds, commits and pushes; then waits for a file that never comes; then looks what is there.
fn worker() -> Transcript {
    Transcript::new()
        .on(
            "begin",
            [
                Reply::bash("seq 1 5000"),
                Reply::bash(
                    "echo words > kept.txt && git add -A && git commit --quiet -m 'Keep words' && git push --quiet origin HEAD",
                ),
                Reply::say("Begun."),
            ],
        )
        .on("wait", [Reply::bash("while [ ! -e /workspace/go ]; do sleep 0.1; done"), Reply::say("Waited.")])
        .on("look", [Reply::bash("cat kept.txt && git log --format=%s && git status --short"), Reply::say("Seen.")])
        .on(
            "more",
            [
                Reply::bash("echo more >> kept.txt && git commit --quiet -am 'More words' && git push --quiet origin HEAD"),
                Reply::say("More."),
            ],
        )
}

/// The bytes of every blob that a log names, in order.
async fn blobs(person: &Person, log: &[Event]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for event in log {
        if let EventBody::ToolFinished { blob: Some(blob), .. } = &event.body {
            let EventBody::SessionCreated { session, .. } = &log[0].body else { panic!("{:?} begins no log", log[0]) };
            all.push(within("a blob", person.client().blob(session, &blob.sha256)).await.expect("the blob is there"));
        }
    }
    all
}

async fn commits(server: &TestServer, branch: &str) -> Vec<String> {
    let repos = within("the repositories", server.owner().client().repos()).await.unwrap();
    commits_of(&repos[0].clone_url, server.owner().token(), branch, server.directory()).await
}

/// Files below a directory, and what stands in them.
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(content(&path)),
            path => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_during_a_turn_comes_back_elsewhere() {
    let mut server = TestServer::start(worker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please begin.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let pushed = |event: &Event| matches!(event.body, EventBody::BranchPushed { .. });
    watch.until("the push", pushed).await;
    let opened =
        within("the pull request", jane.client().open_pull_request(&session, &OpenPullRequest::default())).await;
    assert_eq!(opened.unwrap().number, 1);
    let quiet = jane.begin("acme/tiny", "Please look.").await.id;
    Watch::new(&jane, &quiet).turn_ended(1).await;
    within("the prompt", jane.prompt(&session, "wait", "wait for it")).await.unwrap().unwrap();
    let waiting = |event: &Event| matches!(&event.body, EventBody::ToolStarted { input, .. } if input.to_string().contains("/workspace/go"));
    watch.until("the command that waits", waiting).await;

    let acknowledged = jane.log(&session).await;
    let file = server.directory().join("one.backup");
    let taken: Value = serde_json::from_str(&server.run(&backup(&server, &file)).await.well()).unwrap();
    assert_eq!((&taken["sessions"], &taken["repositories"]), (&2.into(), &1.into()), "{taken}");
    assert_eq!(taken["bytes"], fs::metadata(&file).unwrap().len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = (blobs(&jane, &acknowledged).await, commits(&server, &format!("hangar/{session}")).await);
    assert!(kept.0.iter().any(|blob| blob.len() > EVENT_OUTPUT_BYTES_MAX), "a blob was named");
    let quiet_log = jane.log(&quiet).await;
    // The old server and its files are gone.
    server.kill().await;

    let mut restored = TestServer::restored(Setting::new(worker()), &file, jane.token()).await;
    let jane = restored.owner().clone();
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "the open turn goes on");
    let log = jane.log(&session).await;
    assert_eq!(log[..acknowledged.len()], acknowledged);
    let folded = SessionState::fold(&acknowledged).unwrap();
    assert_eq!(SessionState::fold(&log[..acknowledged.len()]).unwrap(), folded);
    assert_eq!(jane.log(&quiet).await[..quiet_log.len()], quiet_log);
    let resumed = log.iter().filter(|event| matches!(event.body, EventBody::TurnResumed { .. })).count();
    assert_eq!(resumed, 1, "{}", Story::of(&log));
    assert_eq!((blobs(&jane, &acknowledged).await, commits(&restored, &format!("hangar/{session}")).await), kept);

    // The session goes on from what it pushed, and says that the rest is gone.
    within("a prompt", jane.prompt(&session, "look", "look at it")).await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(3).await, TurnOutcome::Done);
    let story = Story::of(watch.events()).to_string();
    assert!(story.contains("words\\nKeep words\\nImport tiny\\n"), "{story}");
    assert!(story.contains("restored from a backup"), "{story}");
    within("a prompt", jane.prompt(&session, "more", "more of it")).await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(4).await, TurnOutcome::Done);
    let merged = within("the merge", jane.client().merge_pull_request(&session, MergeMethod::Merge)).await.unwrap();
    assert_eq!(merged.number, 1);
    let main = commits(&restored, "main").await;
    assert!(main.iter().any(|commit| commit.ends_with(": More words")), "{main:?}");
    restored.stop().await;
    assert!(restored.traces().is_empty(), "left behind:\n{}", restored.traces());
}

fn backup<'a>(server: &'a TestServer, file: &'a Path) -> [&'a str; 4] {
    ["backup", "--data", server.data().to_str().unwrap(), file.to_str().unwrap()]
}

/// A stopped server with a session, and its backup.
async fn small_backup() -> (TestServer, PathBuf) {
    let mut server = TestServer::start(worker()).await;
    server.tiny().await;
    let session = server.owner().begin("acme/tiny", "Please look.").await.id;
    Watch::new(server.owner(), &session).turn_ended(1).await;
    server.stop().await;
    let file = server.directory().join("small.backup");
    let _ = server.run(&backup(&server, &file)).await.well();
    (server, file)
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_nothing_is_left_of_it() {
    let (server, file) = small_backup().await;
    let whole = fs::read(&file).unwrap();
    let ground = Ground::new();
    let (damaged, data) = (ground.path().join("damaged.backup"), ground.path().join("restored"));
    let length = whole.len();
    let mut broken: Vec<Vec<u8>> = [0, 5, length / 3, length / 2, length - 41, length - 1]
        .map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            bytes
        })
        .to_vec();
    broken.extend([
        whole[..length - 1].to_vec(),
        whole[..length / 2].to_vec(),
        Vec::new(),
        [&whole[..], b"\n"].concat(),
    ]);
    for bytes in broken {
        fs::write(&damaged, bytes).unwrap();
        let mut restore = ground.command(&["restore", "--json", "--data"]);
        let refusal = Ran::of(restore.arg(&data).arg(&damaged)).await.refusal();
        assert_eq!(refusal.code, BadRequest, "{refusal}");
        assert!(
            refusal.message.contains("damaged.backup") && refusal.hint.contains("Nothing was restored"),
            "{refusal}"
        );
        assert!(!data.exists());
    }
    // The whole one is accepted where the damaged ones were not, and can be backed up again.
    fs::create_dir(&data).unwrap();
    fs::create_dir(data.join("lost+found")).unwrap();
    let mut restore = ground.command(&["restore", "--json", "--data"]);
    let _ = Ran::of(restore.arg(&data).arg(&file)).await.well();
    let again = ground.path().join("again.backup");
    let mut take = ground.command(&["backup", "--json", "--data"]);
    let taken: Value = serde_json::from_str(&Ran::of(take.arg(&data).arg(&again)).await.well()).unwrap();
    assert_eq!((&taken["sessions"], &taken["repositories"]), (&1.into(), &1.into()));
    drop(server);
}

#[tokio::test]
async fn a_session_with_a_damaged_log_is_named_and_can_be_left_out() {
    let (server, _small) = small_backup().await;
    let id = server_sessions(&server).pop().unwrap();
    let log = server.data().join("sessions").join(&id).join("log.db");
    let mut bytes = fs::read(&log).unwrap();
    // All but the first page, which says what there is.
    bytes[4096..].fill(0xff);
    fs::write(&log, bytes).unwrap();
    let file = server.directory().join("next.backup");
    let refusal = server.run(&backup(&server, &file)).await.refusal();
    assert!(refusal.code == Unavailable && refusal.hint.contains(&format!("--without {id}")), "{refusal}");
    assert!(!file.exists());
    let [command, flag, data, place] = backup(&server, &file);
    let unknown = server.run(&[command, flag, data, "--without", "nosuchone234", place]).await.refusal();
    assert_eq!(unknown.code, NotFound, "{unknown}");
    let _ = server.run(&[command, flag, data, "--without", &id, place]).await.well();
    let mut restored = TestServer::restored(Setting::new(worker()), &file, server.owner().token()).await;
    assert_eq!(restored.run(&["sessions"]).await.well().trim(), "[]");
    assert_eq!(commits(&restored, "main").await.len(), 1);
    restored.stop().await;
    drop(server);
}

/// The folders of a server's sessions.
fn server_sessions(server: &TestServer) -> Vec<String> {
    let entries = fs::read_dir(server.data().join("sessions")).unwrap().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn what_is_in_the_way_is_named_and_stays_as_it_is() {
    let (mut server, file) = small_backup().await;
    let directory = server.directory().to_owned();
    // A file that is there is not written over.
    let whole = fs::read(&file).unwrap();
    let refusal = server.run(&backup(&server, &file)).await.refusal();
    assert!(refusal.code == BadRequest && refusal.message.contains("exists already"), "{refusal}");
    assert_eq!(fs::read(&file).unwrap(), whole);
    // A directory that is none of hangar's is not backed up.
    let home = directory.join("home");
    let refusal = server.run(&["backup", "--data", home.to_str().unwrap(), "/nowhere/x.backup"]).await.refusal();
    assert!(refusal.code == NotFound && refusal.hint.contains("--data"), "{refusal}");
    // Neither a directory with data nor one with other things is restored into.
    let restore =
        |data: &Path| ["restore", "--data", data.to_str().unwrap(), file.to_str().unwrap()].map(str::to_owned);
    let refuse = async |server: &TestServer, data: &Path, words: &str| {
        let arguments = restore(data);
        let refusal = server.run(&arguments.each_ref().map(String::as_str)).await.refusal();
        assert!(refusal.code == Conflict && refusal.message.contains(words), "{refusal}");
    };
    refuse(&server, server.data(), "not empty").await;
    fs::write(home.join("letter"), "dear").unwrap();
    let before = content(&home);
    refuse(&server, &home, "not empty").await;
    assert_eq!(content(&home), before);
    server.restart().await;
    refuse(&server, server.data(), &format!("process {}", server.process())).await;
    server.stop().await;
    // No server starts on what an interrupted restore left.
    let half = directory.join("half");
    fs::create_dir_all(half.join("restoring/sessions")).unwrap();
    fs::set_permissions(&half, fs::Permissions::from_mode(0o700)).unwrap();
    refuse(&server, &half, "interrupted restore").await;
    let refusal = server.run(&["up", "--port", "0", "--data", half.to_str().unwrap()]).await.refusal();
    assert!(refusal.code == Conflict && refusal.message.contains("interrupted restore"), "{refusal}");
}

#[tokio::test]
async fn an_interrupted_backup_leaves_nothing_and_a_killed_one_no_file() {
    let (server, _small) = small_backup().await;
    // So much that a backup of it lasts longer than it takes to interrupt it. Noise cannot be packed.
    let session = server.data().join("sessions").join(server_sessions(&server).pop().unwrap());
    fs::create_dir_all(session.join("blobs")).unwrap();
    let mut noise = 1_u64;
    for number in 0..16 {
        let bytes: Vec<u8> = (0..2_000_000)
            .flat_map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                noise.to_be_bytes()
            })
            .collect();
        fs::write(session.join("blobs").join(format!("{number:064x}")), bytes).unwrap();
    }
    let place = server.directory().join("backups");
    fs::create_dir(&place).unwrap();
    let file = place.join("large.backup");
    for (signal, left) in [(Signal::INT, 0), (Signal::TERM, 0), (Signal::KILL, 1)] {
        let mut command = server.command(&backup(&server, &file));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        // It has begun to write once there is something beside the file's place.
        let begun = until("the beginning of the backup", async || {
            fs::read_dir(&place)
                .unwrap()
                .flatten()
                .find(|entry| content(&entry.path()).iter().any(|(_, bytes)| !bytes.is_empty()))
        });
        begun.await;
        assert!(!file.exists(), "it has its name only when it is whole");
        kill_process(Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap(), signal).unwrap();
        let status = within("the end of the backup", child.wait()).await.unwrap();
        assert_eq!(status.code(), (signal != Signal::KILL).then_some(130));
        assert!(!file.exists(), "{signal:?}");
        assert_eq!(fs::read_dir(&place).unwrap().count(), left, "{signal:?}");
    }
    // What a killed one left is in nobody's way.
    let _ = server.run(&backup(&server, &file)).await.well();
    assert!(file.exists());
}
