//! Commands against a real server, with the scripted model.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;

use crate::{
    cli::said::{Said, done, owner, program, refused, said},
    hangar::Hangar,
};

/// Wishes: one is carried out, one takes for ever, one cannot be carried out, one needs a second try.
const TRANSCRIPT: &str = r#"{
  "name": "two-wishes",
  "scripts": [
    {"wish": "count", "replies": [
      {"say": "I count.", "calls": [{"tool": "bash", "input": {"command": "echo words > new.txt; seq 1 1500"}}]},
      {"say": "Done."}
    ]},
    {"wish": "write", "replies": [
      {"say": "I write a file.", "calls": [{"tool": "bash", "input": {"command": "echo words > new.txt"}}]},
      {"say": "Done."}
    ]},
    {"wish": "wait", "replies": [
      {"say": "I wait.", "calls": [{"tool": "bash", "input": {"command": "sleep 600"}}]},
      {"say": "Done."}
    ]},
    {"wish": "break", "replies": [{"say": "Never said.", "faults": [{"status": {"code": 400}}]}]},
    {"wish": "stumble", "replies": [{"say": "I stumble and go on.", "faults": [{"drop": {"after_chars": 9}}]}]}
  ]
}"#;

/// A server with a scripted model and one repository.
pub(crate) async fn with_repo() -> Hangar {
    let hangar = Hangar::start_with(|config| {
        let file = config.data.with_file_name("transcript.json");
        std::fs::write(&file, TRANSCRIPT).unwrap();
        config.scripted_transcript = Some(file);
    })
    .await;
    hangar.repo("acme/website").await;
    hangar
}

/// A `run --json` that goes on in the background.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn begin(hangar: &Hangar, wish: &str) -> Self {
        let mut program = owner(hangar);
        let mut child = program.args(["run", "--json", wish]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until an event of this type is there, and gives it.
    fn until(&mut self, kind: &str) -> Value {
        for line in &mut self.lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["body"]["type"] == kind {
                return event;
            }
        }
        panic!("the output ended before {kind}");
    }

    fn status(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_becomes_a_merged_pull_request() {
    let hangar = with_repo().await;
    let run = done(&hangar, &["run", "Please write it."]).await;
    let session = run.split_whitespace().nth(1).unwrap().to_owned();
    let words: Vec<&str> = run.lines().filter_map(|line| line.split(' ').next()).collect();
    for word in ["session", "jane", "agent", "ok", "done"] {
        assert!(words.contains(&word), "{word} in {run}");
    }
    assert!(run.contains("ok       $ echo words > new.txt ("), "{run}");
    assert!(run.contains("agent    I write a file.\n") && run.contains("agent    Done.\n"), "{run}");

    let listed = done(&hangar, &["sessions"]).await;
    assert!(listed.contains(&session) && listed.contains("idle") && listed.contains("acme/website"), "{listed}");
    let listed: Value = serde_json::from_str(&done(&hangar, &["sessions", "--json"]).await).unwrap();
    assert_eq!(listed[0]["id"], session);

    let short = &session[..4];
    let diff = done(&hangar, &["diff", short]).await;
    assert!(
        diff.starts_with("diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n@@"),
        "{diff}"
    );
    assert!(diff.ends_with("+words\n"), "{diff}");
    let figures = done(&hangar, &["diff", short, "--stat"]).await;
    assert_eq!(figures, "added  new.txt  +1  ▪\n1 file changed, 1 line added, 0 lines removed\n");

    let opened = done(&hangar, &["pr", short]).await;
    assert!(opened.starts_with("open #1 Please write it.\nby jane · "), "{opened}");
    assert!(opened.contains(&format!("{}/s/{session}/pull-request", hangar.owner.url)), "{opened}");
    assert_eq!(done(&hangar, &["pr", short]).await, opened, "a second time shows it");
    let merged: Value =
        serde_json::from_str(&done(&hangar, &["pr", short, "--merge", "--squash", "--json"]).await).unwrap();
    assert_eq!(merged["status"], "merged");
    let again: Value = serde_json::from_str(&done(&hangar, &["pr", short, "--merge", "--json"]).await).unwrap();
    assert_eq!(again["merge_commit"], merged["merge_commit"], "merging twice merges once");

    let history = done(&hangar, &["attach", short, "--wait", "--json"]).await;
    let seqs: Vec<u64> =
        history.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let rest = done(&hangar, &["attach", short, "--wait", "--json", "--after", "5"]).await;
    assert_eq!(rest.lines().count(), seqs.len() - 5);
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_turn_has_its_own_status_and_a_second_stop_is_refused() {
    let hangar = with_repo().await;
    let mut running = Running::begin(&hangar, "Please wait.");
    let session = running.until("session_created")["body"]["session"].as_str().unwrap().to_owned();
    running.until("tool_started");
    let stopped: Value = serde_json::from_str(&done(&hangar, &["stop", &session, "--json"]).await).unwrap();
    assert_eq!(stopped["turn"], 1);
    assert_eq!(running.until("turn_ended")["body"]["outcome"]["type"], "stopped");
    assert_eq!(running.status(), Some(10));
    assert!(refused(&hangar, &["stop", &session], 5).await.starts_with("hangar: "));
    let mut waiting = owner(&hangar);
    waiting.args(["attach", &session, "--wait"]);
    assert_eq!(said(waiting).await.status, Some(10));
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_failed_has_its_own_status_and_one_that_stumbled_has_none() {
    let hangar = with_repo().await;
    let mut broken = owner(&hangar);
    broken.args(["run", "Please break."]);
    let told = said(broken).await;
    assert_eq!(told.status, Some(11), "{told:#?}");
    assert!(told.out.lines().any(|line| line.starts_with("failed   ")), "{told:#?}");
    let stumbled = done(&hangar, &["run", "Please stumble."]).await;
    assert!(stumbled.lines().any(|line| line.starts_with("warning  the model gave no answer: ")), "{stumbled}");
    assert_eq!(stumbled.matches("agent    I stumble and go on.\n").count(), 1, "{stumbled}");
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_with_ctrl_c_leaves_the_session_running() {
    let hangar = with_repo().await;
    let mut running = Running::begin(&hangar, "Please wait.");
    let session = running.until("session_created")["body"]["session"].as_str().unwrap().to_owned();
    running.until("tool_started");
    let process = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.status(), Some(130));
    let listed: Value = serde_json::from_str(&done(&hangar, &["sessions", "--json"]).await).unwrap();
    assert_eq!(listed[0]["status"], "running");
    done(&hangar, &["stop", &session]).await;
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_comes_from_standard_input_and_detached_runs_print_the_session() {
    let hangar = with_repo().await;
    let mut program = owner(&hangar);
    let mut child =
        program.args(["run", "--detach", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("Please write it.\nSoon.\n".as_bytes()).unwrap();
    let said: Said = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap().into()).await.unwrap();
    assert_eq!(said.status, Some(0));
    let session = said.out.trim();
    assert!(session.len() == 12 && session.chars().all(|c| c.is_ascii_alphanumeric()), "{said:#?}");
    done(&hangar, &["attach", session, "--wait"]).await;
    let state: Value = serde_json::from_str(&done(&hangar, &["sessions", "--json"]).await).unwrap();
    assert_eq!(state[0]["title"], "Please write it.");
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_what_to_do() {
    let hangar = with_repo().await;
    for (arguments, status, hint) in [
        (&["run", "--repo", "acme/none", "x"][..], 4, "acme/website"),
        (&["run", "--model", "acme/none", "x"], 4, "scripted/"),
        (&["run", "--base", "none", "x"], 4, ""),
        (&["attach", "zzzz"], 4, "hangar sessions"),
        (&["diff", "NOT_AN_ID"], 2, ""),
        (&["repo", "add", "/nonexistent/path"], 2, "https://"),
        (&["repo", "add", "https://example.com"], 2, "--name owner/name"),
        (&["token", "rm", "99"], 4, ""),
        (&["user", "add", "jane", "--name", "x", "--email", "x@example.org"], 5, ""),
        (&["link", "--user", "nobody"], 4, ""),
    ] {
        let told = refused(&hangar, arguments, status).await;
        assert!(told.starts_with("hangar: ") && told.contains(hint), "{arguments:?}: {told}");
    }
    let told: Value = serde_json::from_str(&refused(&hangar, &["stop", "zzzz", "--json"], 4).await).unwrap();
    assert_eq!(told["error"]["code"], "not_found");
    hangar.repo("acme/api").await;
    let told = refused(&hangar, &["run", "x"], 2).await;
    assert!(told.contains("--repo") && told.contains("acme/api") && told.contains("acme/website"), "{told}");
    let mut wrong = owner(&hangar);
    wrong.env("HANGAR_TOKEN", "hgr_wrong").arg("sessions");
    let told = said(wrong).await;
    assert_eq!(told.status, Some(3), "{told:#?}");
    assert!(!told.err.contains("hgr_wrong"), "a token is never printed: {told:#?}");
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_tokens_and_links() {
    let hangar = Hangar::start().await;
    let secret = done(&hangar, &["token", "create", "a script"]).await;
    let secret = secret.trim().to_owned();
    assert!(secret.starts_with("hgr_"), "{secret}");

    // A home of its own: sign in there, and be known without variables.
    let home = tempfile::tempdir().unwrap();
    let at_home = |arguments: &[&str]| {
        let mut program = program();
        program.env("HOME", home.path()).args(arguments);
        program
    };
    let mut login = at_home(&["login", "--url", &hangar.owner.url, "--token", "-"]);
    let mut child = login.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{secret}\n").as_bytes()).unwrap();
    let signed_in: Said = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap().into()).await.unwrap();
    assert_eq!(
        (signed_in.status, signed_in.out.as_str()),
        (Some(0), format!("Signed in to {} as jane.\n", hangar.owner.url).as_str())
    );
    assert!(!signed_in.err.contains(&secret));
    let listed = said(at_home(&["token", "ls"])).await;
    assert!(listed.out.contains("a script") && listed.out.contains("tests"), "{listed:#?}");
    assert!(!listed.out.contains(&secret));

    let link = done(&hangar, &["user", "add", "ada", "--name", "Ada Lovelace", "--email", "ada@example.org"]).await;
    assert!(link.starts_with(&format!("{}/sign-in#", hangar.owner.url)), "{link}");
    let people = done(&hangar, &["user", "ls"]).await;
    assert!(people.contains("ada   member  Ada Lovelace  ada@example.org"), "{people}");
    let link: Value = serde_json::from_str(&done(&hangar, &["link", "--json"]).await).unwrap();
    assert!(link["url"].as_str().unwrap().contains("/sign-in#"));

    let tokens: Value = serde_json::from_str(&done(&hangar, &["token", "ls", "--json"]).await).unwrap();
    let made = tokens.as_array().unwrap().iter().find(|token| token["label"] == "a script").unwrap();
    done(&hangar, &["token", "rm", &made["id"].to_string()]).await;
    assert_eq!(said(at_home(&["sessions"])).await.status, Some(3), "the token works no more");
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_and_its_clone_are_known_by_name() {
    let hangar = Hangar::start().await;
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tools");
    std::fs::create_dir(&source).unwrap();
    let git = |directory: &std::path::Path, arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(arguments);
        assert!(
            git.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success(),
            "{arguments:?}"
        );
    };
    git(&source, &["init", "-q", "-b", "trunk"]);
    git(&source, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let mut add = owner(&hangar);
    add.args(["repo", "add", "."]).current_dir(&source);
    assert_eq!(said(add).await.out, "jane/tools (trunk)\n");
    hangar.repo("acme/website").await;
    let listed: Value = serde_json::from_str(&done(&hangar, &["repo", "ls", "--json"]).await).unwrap();
    let listed: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|repo| repo["repo"].as_str()).collect();
    assert!(listed.contains(&"jane/tools") && listed.contains(&"acme/website"), "{listed:?}");

    // In a clone of one of two repositories no --repo is needed.
    let clone = place.path().join("clone");
    std::fs::create_dir(&clone).unwrap();
    git(&clone, &["init", "-q"]);
    git(&clone, &["remote", "add", "origin", &format!("{}/git/jane/tools.git", hangar.owner.url)]);
    let mut run = owner(&hangar);
    run.args(["run", "--detach", "--json", "Look around."]).current_dir(&clone);
    let begun: Value = serde_json::from_str(&said(run).await.out).unwrap();
    assert_eq!(begun["repo"], "jane/tools");
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_exported_whole() {
    let hangar = with_repo().await;
    let run = done(&hangar, &["run", "Please count it."]).await;
    let session = run.split_whitespace().nth(1).unwrap().to_owned();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("session.tar.zst");
    let exported = done(&hangar, &["export", &session, file.to_str().unwrap(), "--json"]).await;
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(zstd::Decoder::new(std::fs::File::open(&file).unwrap()).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().strip_prefix(&session).unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(name, content);
    }
    let text = |name: &str| std::str::from_utf8(&found[name]).unwrap();
    let events: Vec<hangar_protocol::Event> =
        text("events.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = hangar_protocol::SessionState::fold(&events).unwrap();
    assert_eq!(serde_json::from_str::<hangar_protocol::SessionState>(text("session.json")).unwrap(), state);
    assert_eq!((exported["head"].as_u64(), exported["blobs"].as_u64()), (Some(state.seq.0), Some(1)));
    let named = events.iter().find_map(|event| match &event.body {
        hangar_protocol::EventBody::ToolFinished { blob, .. } => blob.clone(),
        _ => None,
    });
    let named = named.expect("an output was too long for an event");
    assert_eq!(found[&format!("blobs/{}", named.sha256)].len() as u64, named.bytes);
    assert!(text("changes.patch").contains("+++ b/new.txt") && text("changes.patch").contains("+words"));
    assert_eq!(found.len(), 4, "{:?}", found.keys());
    // Neither is it written twice, nor is anything left beside it.
    refused(&hangar, &["export", &session, file.to_str().unwrap()], 2).await;
    let other = place.path().join("other.tar.zst");
    done(&hangar, &["export", "--no-diff", &session, other.to_str().unwrap()]).await;
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2);
}
