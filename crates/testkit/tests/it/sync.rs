//! A session begins at a commit that its image does not have: it is read at once, nothing in its sandbox can write until the sync is in, and what writes waits for that.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use hangar_protocol::{
    Event, EventBody, PluginDecision, RefusalCode,
    api::NewRepo,
    event::{SandboxPhase, ToolStatus, TurnOutcome},
};
use hangar_testkit::{AskedModel, Reply, Setting, Story, TestServer, Transcript, Watch, until, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Nothing is built unless a test asks for it.
pub(crate) const ON_DEMAND: &str = "images.every_minutes = 0";

/// Tells the naps of tests apart.
static NAPS: AtomicU32 = AtomicU32::new(1);

/// A repository whose image is behind: files of the new commit come through a filter that waits for [`Behind::go`].
///
/// Git writes files in the order of their names. The first one that it writes comes through the filter, so that no other has changed until then.
pub(crate) struct Behind {
    pub(crate) server: TestServer,
    /// How long the filter sleeps: a number no other process sleeps for, and longer than any test takes.
    nap: String,
}

impl Behind {
    async fn new(transcript: Transcript) -> Self {
        Self::with(Setting::new(transcript).configured(ON_DEMAND)).await
    }

    /// Before a server of this setting, which has to say [`ON_DEMAND`].
    pub(crate) async fn with(setting: Setting) -> Self {
        let number = NAPS.fetch_add(1, Ordering::Relaxed);
        let nap = format!("60{number}.{}", std::process::id());
        Self::filtered(setting, &format!("git config filter.slow.smudge 'cat; sleep {nap} || true'"), nap.clone()).await
    }

    /// The same, and the newer commit can never be checked out.
    async fn broken(setting: Setting) -> Self {
        let broken = "git config filter.slow.smudge false && git config filter.slow.required true";
        Self::filtered(setting, broken, String::new()).await
    }

    async fn filtered(setting: Setting, filter: &str, nap: String) -> Self {
        let server = TestServer::start_with(setting).await;
        let recipe = format!("setup = [\"\"\"{filter}\"\"\"]\n");
        let source = server.directory().join("app");
        for (name, text) in
            [(".hangar/environment.toml", recipe.as_str()), ("README.md", "old line\n"), ("same", "same\n")]
        {
            fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
            fs::write(source.join(name), text).unwrap();
        }
        let new = NewRepo { repo: "acme/app".parse().unwrap(), source: Some(source.display().to_string()) };
        within("the import", server.owner().client().add_repo(&new)).await.unwrap();
        let behind = Self { server, nap };
        behind.build().await;
        behind
            .push(&[(".gitattributes", "*.slow filter=slow\n"), ("README.md", "new line\n"), ("0.slow", "slow\n")])
            .await;
        behind
    }

    async fn build(&self) {
        let asked: Value =
            serde_json::from_str(&self.server.run(&["image", "build", "--detach", "acme/app"]).await.well()).unwrap();
        let number = u32::try_from(asked["build"].as_u64().unwrap()).unwrap();
        until("the image", async || {
            let log = self.server.owner().client().build_log(number, 0).await.unwrap();
            assert_eq!(log.info.failure, None, "{}", log.text);
            log.info.ended_ms.map(|_| assert!(log.info.image.is_some(), "{}", log.text))
        })
        .await;
    }

    /// Puts a commit on the base branch.
    async fn push(&self, files: &[(&str, &str)]) {
        let repos = self.server.owner().client().repos().await.unwrap();
        let url = repos.iter().find(|known| known.repo.to_string() == "acme/app").unwrap().clone_url.clone();
        let url = url.replacen("://", &format!("://x:{}@", self.server.owner().token()), 1);
        let work: PathBuf = self.server.directory().join("work");
        let git = |arguments: &[&str]| {
            let name = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
            let mut git = Command::new("git");
            git.args(name).args(arguments).env("HOME", self.server.directory());
            if work.is_dir() {
                git.current_dir(&work);
            }
            let done = git.output().unwrap();
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        if !work.is_dir() {
            git(&["clone", "--quiet", &url, work.to_str().unwrap()]);
        }
        for (name, text) in files {
            fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
            fs::write(work.join(name), text).unwrap();
        }
        git(&["add", "-A"]);
        git(&["commit", "--quiet", "-m", "newer"]);
        git(&["push", "--quiet", &url, "HEAD:main"]);
    }

    /// Lets the filter end, in whatever sandbox it sleeps.
    pub(crate) async fn go(&self) {
        let sleeper = until("the filter", async || sleeper(&self.nap)).await;
        kill_process(sleeper, Signal::TERM).unwrap();
    }
}

/// The process that sleeps so long.
fn sleeper(nap: &str) -> Option<Pid> {
    let words = format!("sleep\0{nap}\0").into_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found =
        processes.find(|process| fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|found| found == words));
    found.and_then(Pid::from_raw)
}

fn is_phase(event: &Event, wanted: SandboxPhase) -> bool {
    matches!(&event.body, EventBody::SandboxChanged { phase, .. } if *phase == wanted)
}

fn results(events: &[Event]) -> Vec<(ToolStatus, String)> {
    let results = events.iter().filter_map(|event| match &event.body {
        EventBody::ToolFinished { status, output, .. } => Some((*status, output.clone())),
        _ => None,
    });
    results.collect()
}

#[tokio::test]
async fn reads_go_on_while_the_sync_is_under_way_and_writes_wait_for_it() {
    let script = [
        Reply::say("I look.").and_call("read", json!({"path": "README.md"})).and_call("read", json!({"path": "same"})),
        Reply::bash("cat README.md 0.slow && git log --format=%s -1 && git status --short && echo mine > mine"),
        Reply::say("Done."),
    ];
    let behind = Behind::new(Transcript::new().on("look", script)).await;
    let jane = behind.server.owner().clone();
    let session = jane.begin("acme/app", "Please look.").await.id;
    let mut watch = Watch::new(&jane, &session);
    let command = watch.tool_started("bash").await;
    let EventBody::ToolStarted { call: command, .. } = command.body else { panic!("{command:?}") };
    // The sync is under way, as the filter waits; what was read is of the image.
    let mut read: Vec<String> = results(watch.events()).into_iter().map(|(_, said)| said).collect();
    read.sort();
    assert_eq!(read, ["1\told line\n", "1\tsame\n"]);
    assert!(watch.events().iter().any(|event| is_phase(event, SandboxPhase::Syncing)));
    assert!(!watch.events().iter().any(|event| is_phase(event, SandboxPhase::Ready)));

    behind.go().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let events = watch.events();
    let ready = events.iter().position(|event| is_phase(event, SandboxPhase::Ready)).unwrap();
    let ended = |event: &Event| matches!(&event.body, EventBody::ToolFinished { call, .. } if *call == command);
    assert!(events.iter().position(ended).unwrap() > ready, "the command ran before the sync was in");
    let (status, said) = results(events).pop().unwrap();
    assert_eq!(status, ToolStatus::Ok, "{said}");
    assert!(said.starts_with("new line\nslow\nnewer\n"), "{said}");
    let mut server = behind.server;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn what_was_read_before_the_sync_changed_it_is_named_and_not_undone() {
    let write = json!({"path": "README.md", "content": "mine\n"});
    let script = [
        Reply::say("I read.").and_call("read", json!({"path": "README.md"})).and_call("read", json!({"path": "same"})),
        Reply::say("I write.").and_call("write", write.clone()),
        Reply::say("I read again.").and_call("read", json!({"path": "README.md"})),
        Reply::say("I write again.").and_call("write", write),
        Reply::say("Done."),
    ];
    let behind = Behind::new(Transcript::new().on("change", script)).await;
    let jane = behind.server.owner().clone();
    let session = jane.begin("acme/app", "Please change it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("write").await;
    behind.go().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let said = results(watch.events());
    let [_, _, refused, again, written] = said.as_slice() else { panic!("{said:?}") };
    assert!(refused.0 == ToolStatus::Error && refused.1.contains("nothing was written"), "{refused:?}");
    // The model is told what changed, once, before its next step; of what did not change nothing is said.
    for part in ["<sync>", "this changed: README.md\n", "\n-old line\n+new line\n"] {
        assert!(refused.1.contains(part), "{part:?} in {}", refused.1);
    }
    assert_eq!((again.0, again.1.as_str()), (ToolStatus::Ok, "1\tnew line\n"));
    assert_eq!(written.0, ToolStatus::Ok, "{written:?}");
    let mut server = behind.server;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_hook_about_a_reading_tool_runs_at_once_in_a_workspace_that_is_read_only() {
    let script = [
        Reply::say("I look.").and_call("read", json!({"path": "README.md"})),
        Reply::bash("cat README.md; ls"),
        Reply::say("Done."),
    ];
    let behind = Behind::new(Transcript::new().on("look", script)).await;
    let command = r#"if touch made 2> /tmp/why; then echo '{"hookSpecificOutput": {"additionalContext": "It was writable."}}';
        else echo "{\"hookSpecificOutput\": {\"additionalContext\": \"$(cat /tmp/why) $(cat README.md)\"}}"; fi"#;
    let hooks =
        json!({"hooks": {"PreToolUse": [{"matcher": "Read", "hooks": [{"type": "command", "command": command}]}]}});
    // The image does not have the hooks: they are those of the commit that the session begins with.
    behind.push(&[(".claude/settings.json", &hooks.to_string())]).await;
    let jane = behind.server.owner().clone();
    let session = jane.begin("acme/app", "Please look.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    // The sync is under way, as the filter waits.
    assert!(!watch.events().iter().any(|event| is_phase(event, SandboxPhase::Ready)));
    let told: Vec<String> = watch
        .events()
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::PluginDecided { decision: PluginDecision::Injected { text }, .. } => Some(text.clone()),
            EventBody::PluginDecided { decision, .. } => panic!("{decision:?}"),
            _ => None,
        })
        .collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.contains("Read-only file system") && told.ends_with("old line"), "{told}");
    behind.go().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let (_, said) = results(watch.events()).pop().unwrap();
    assert!(said.starts_with("new line\n") && !said.contains("made"), "{said}");
    let mut server = behind.server;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_session_whose_sync_cannot_be_done_begins_at_its_images_commit_if_somebody_wants_it() {
    let model = AskedModel::start().await;
    let behind = Behind::broken(Setting::default().configured(ON_DEMAND).configured(&model.configuration())).await;
    let jane = behind.server.owner().clone();
    let session = jane.begin("acme/app", "run: cat README.md").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let (status, said) = results(watch.events()).pop().unwrap();
    assert!(status == ToolStatus::Error && said.contains("The sync with the base branch failed"), "{said}");
    let state = within("the session", jane.client().session(&session)).await.unwrap();
    assert_eq!(state.sandbox, SandboxPhase::Failed);
    let images = state.image_commit.unwrap();
    assert_ne!(state.base_commit, images);
    // Once more, from the repository: it cannot be done that way either.
    let before = state.seq;
    drop(behind.server.run(&["retry", session.as_str()]).await.well());
    watch.until("its failure", |event| event.seq > before && is_phase(event, SandboxPhase::Failed)).await;
    drop(behind.server.run(&["retry", "--from-image", session.as_str()]).await.well());
    watch.until("the sandbox", |event| is_phase(event, SandboxPhase::Ready)).await;
    let state = within("the session", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.base_commit.as_str(), state.image_commit), (images.as_str(), None));
    let again = behind.server.run(&["--json", "retry", "--from-image", session.as_str()]).await.refusal();
    assert_eq!(again.code, RefusalCode::Conflict, "{again}");
    jane.prompt(&session, "r2", "run: cat README.md && touch made").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let (status, said) = results(watch.events()).pop().unwrap();
    assert!(status == ToolStatus::Ok && said.starts_with("old line\n"), "{said}");
    let shown = model.last_shown();
    assert!(shown.iter().any(|words| words.contains(&format!("begin at {images} instead"))), "{shown:?}");
    let diff = within("the diff", jane.client().diff(&session)).await.unwrap();
    assert_eq!(diff.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["made"]);
    let mut server = behind.server;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// How a server ends in the middle of a sync.
enum End {
    Killed,
    InOrder,
}

async fn brought_again_after(end: End) {
    let look = || Reply::bash("cat README.md 0.slow && git log --format=%s -1 && git status --short");
    let mut behind = Behind::new(Transcript::new().on("look", [look(), look(), Reply::say("Done.")])).await;
    let jane = behind.server.owner().clone();
    let session = jane.begin("acme/app", "Please look.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    // Git is in the middle of the work tree, with the index locked.
    until("the filter", async || sleeper(&behind.nap)).await;
    match end {
        End::Killed => behind.server.kill().await,
        // It does not wait for the sync, which never comes to its end here.
        End::InOrder => behind.server.stop().await,
    }
    until("the end of the sandbox", async || sleeper(&behind.nap).is_none().then_some(())).await;
    behind.server.restart().await;
    behind.go().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let (status, said) = results(watch.events()).pop().unwrap();
    assert_eq!(status, ToolStatus::Ok, "{said}");
    assert!(said.starts_with("new line\nslow\nnewer\n"), "{said}");
    let mut server = behind.server;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_of_a_sync_brings_the_session_there_again() {
    brought_again_after(End::Killed).await;
}

#[tokio::test]
async fn a_server_that_ends_in_order_in_the_middle_of_a_sync_brings_the_session_there_again() {
    brought_again_after(End::InOrder).await;
}
