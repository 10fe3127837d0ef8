//! External agents: the real programs from npm, inside a real sandbox, in front of an independent double of the models' services.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use hangar_client::Error;
use hangar_protocol::{
    Block, Event, EventBody, RefusalCode, TurnId,
    api::{NewPrompt, NewSession},
    event::{FileChangeKind, HarnessMemory, ToolStatus, TurnOutcome},
    state::SessionStatus,
};
use hangar_testkit::{Person, Setting, Story, TestServer, Transcript, Watch, until, within};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// The key of the services, which no program in a sandbox sees.
const KEY: &str = "sk-of-the-services-0123456789";

/// The double of the services. It ends with its standard input.
struct Services {
    url: String,
    _child: Child,
}

/// Where the programs are installed; `None`, and said aloud, where they are not and need not be.
fn installed() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/harness-conformance");
    if directory.join("node_modules").exists() {
        return Some(directory.canonicalize().unwrap());
    }
    let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!ci, "run `npm ci` in clients/harness-conformance first");
    eprintln!("NOT CHECKED: run `npm ci` in clients/harness-conformance to try the agents of other makers");
    None
}

impl Services {
    async fn start(directory: &Path) -> Self {
        let mut child = Command::new("node")
            .arg("services.mjs")
            .current_dir(directory)
            .env("SERVICE_KEY", KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = within("the services", told.next_line()).await.unwrap().expect("they say where they are");
        Self { url, _child: child }
    }
}

/// The configuration of Codex, as docs/harnesses.md has it.
fn codex(directory: &Path, services: &Services) -> Setting {
    let settings = [
        r#"model="{model}""#,
        r#"model_provider="hangar""#,
        r#"model_providers.hangar={name="hangar",base_url="{models_url}/openai/v1",wire_api="responses",env_key="HANGAR_MODELS_TOKEN"}"#,
        r#"approval_policy="untrusted""#,
        r#"sandbox_mode="danger-full-access""#,
        "features.unified_exec=false",
        r#"web_search="disabled""#,
        r#"analytics.enabled=false"#,
        r#"check_for_update_on_startup=false"#,
    ];
    let program =
        "/opt/toolchains/agent-codex/@zed-industries/codex-acp-linux-x64/bin/codex-acp".replace("x64", npm_machine());
    let words = settings.iter().flat_map(|setting| ["-c", setting]);
    let command: Vec<&str> = [program.as_str()].into_iter().chain(words).collect();
    let lines = format!(
        "titles = \"first_words\"\n[sessions]\nmodel_gateway = \"commands\"\n\
         [[models]]\nid = \"services/gpt-5.1\"\nwire = \"openai_responses\"\nbase_url = \"{url}/v1\"\nkey = \"{KEY}\"\n\
         input_usd = \"1\"\noutput_usd = \"1\"\n\
         [[agents]]\nid = \"codex\"\nwire = \"openai_responses\"\nmodel = \"services/gpt-5.1\"\nfolder = {folder:?}\ncommand = {command:?}\n",
        url = services.url,
        folder = directory.join("node_modules"),
    );
    Setting::new(Transcript::new()).configured(&lines)
}

fn npm_machine() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }
}

async fn begin(person: &Person, wish: &str) -> hangar_protocol::SessionId {
    let prompt = Some(NewPrompt { request_id: None, text: wish.to_owned() });
    let new = NewSession {
        repo: "acme/tiny".parse().unwrap(),
        base_branch: None,
        model: None,
        agent: Some("codex".to_owned()),
        prompt,
        visibility: None,
    };
    within("the session", person.client().create_session(&new)).await.expect("the session begins").id
}

/// What it said, reply by reply.
fn words(events: &[Event], turn: u32) -> String {
    let blocks = events.iter().filter_map(|event| match &event.body {
        EventBody::ModelReplied { turn: of, blocks, .. } if *of == TurnId(turn) => Some(blocks),
        _ => None,
    });
    let texts = blocks.flatten().filter_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        Block::Reasoning { .. } | Block::ToolCall { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The results of its calls, in order.
fn outputs(events: &[Event]) -> Vec<(ToolStatus, &str)> {
    let output = |event| match event {
        &EventBody::ToolFinished { status, ref output, .. } => Some((status, output.as_str())),
        _ => None,
    };
    events.iter().filter_map(|event| output(&event.body)).collect()
}

fn memories(events: &[Event]) -> Vec<HarnessMemory> {
    let memory = |event: &Event| match event.body {
        EventBody::HarnessStarted { memory, .. } => Some(memory),
        _ => None,
    };
    events.iter().filter_map(memory).collect()
}

#[tokio::test]
async fn codex_works_on_prompts_of_two_people_and_its_commits_are_theirs() {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let mut server = TestServer::start_with(codex(&directory, &services)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let bob = server.let_in("bob", "Bob Ray", "bob@example.org").await;
    let commit = "git add -A && git commit -qm More && git log -1 --format='%an of %ae'";
    let session = begin(&jane, &format!("Please run «echo one > made.txt && {commit}»")).await;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    bob.prompt(&session, "r2", &format!("Please run «echo two > made.txt && {commit}»")).await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    watch
        .until("the file", |event| match &event.body {
            EventBody::FilesChanged { files, .. } => {
                files.iter().any(|file| file.path == "made.txt" && file.kind != FileChangeKind::Removed)
            }
            _ => false,
        })
        .await;
    let events = watch.events();
    let story = Story::of(events);
    let told = outputs(events);
    let authors: Vec<_> = told.iter().map(|(status, output)| (*status, output.trim())).collect();
    assert_eq!(
        authors,
        [(ToolStatus::Ok, "Jane Doe of jane@example.org"), (ToolStatus::Ok, "Bob Ray of bob@example.org")],
        "{story}"
    );
    for turn in [1, 2] {
        let said = words(events, turn);
        assert!(said.contains("I run it.") && said.ends_with("I am done."), "{said}");
    }
    // The second program goes on with the conversation that the first one left.
    assert_eq!(memories(events), [HarnessMemory::New, HarnessMemory::Loaded], "{story}");
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!(state.agent.as_deref(), Some("codex"));
    assert_eq!((state.usage.total(), state.turns[0].gateway_requests), (72, 2), "each of four requests is counted");
    assert!(state.open_calls.is_empty());
    let log = format!("{events:?}{}", server.log());
    assert!(!log.contains(KEY), "no key is told");
    let data = server.data().display().to_string();
    let _ = server.run(&["rebuild", "--check", "--data", &data]).await.well();
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_codex_and_everything_that_it_started() {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let mut server = TestServer::start_with(codex(&directory, &services)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    // A number no other process sleeps for.
    let nap = format!("700.{}", std::process::id());
    let session = begin(&jane, &format!("Please run «(setsid sleep {nap} &) ; sleep {nap}»")).await;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    until("both sleeps", async || (running(&["sleep", &nap]) == 2).then_some(())).await;
    within("the stop", jane.client().stop(&session)).await.expect("a turn runs");
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    until("the end of its processes", async || (running(&["sleep", &nap]) == 0).then_some(())).await;
    assert_eq!(outputs(watch.events()).len(), 1, "{}", Story::of(watch.events()));
    // The session goes on, and knows what was said.
    jane.prompt(&session, "r2", "Anything else?").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert!(words(watch.events(), 2).ends_with("Hello."));
    server.stop().await;
}

#[tokio::test]
async fn a_turn_of_codex_waits_for_its_budget_and_goes_on() {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let setting = codex(&directory, &services).configured("[budgets]\nsession_tokens = 10");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = begin(&jane, "Please run «echo one > made.txt»").await;
    let mut watch = Watch::new(&jane, &session);
    watch.until("the pause", |event| matches!(event.body, EventBody::TurnPaused { .. })).await;
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.status, state.turns[0].gateway_requests), (SessionStatus::Paused, 1));
    let _ = server.run(&["budget", session.as_str(), "--tokens", "100000"]).await.well();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert_eq!(memories(watch.events()), [HarnessMemory::New, HarnessMemory::Loaded]);
    server.stop().await;
}

#[tokio::test]
async fn a_turn_of_codex_goes_on_after_the_server_was_killed() {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let mut server = TestServer::start_with(codex(&directory, &services)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let nap = format!("701.{}", std::process::id());
    let session =
        begin(&jane, &format!("Please run «test -e made.txt || {{ echo one > made.txt; sleep {nap}; }}»")).await;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    until("the sleep", async || (running(&["sleep", &nap]) > 0).then_some(())).await;
    server.kill().await;
    server.restart().await;
    let after = watch.events().last().unwrap().seq;
    let mut watch = Watch::after(&jane, &session, after);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert_eq!(running(&["sleep", &nap]), 0);
    assert_eq!(memories(watch.events()), [HarnessMemory::Loaded], "{}", Story::of(watch.events()));
    server.stop().await;
}

#[tokio::test]
async fn an_agent_or_a_model_that_cannot_be_had_is_refused() {
    let mut server = TestServer::start(Transcript::new()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let new = NewSession {
        repo: "acme/tiny".parse().unwrap(),
        base_branch: None,
        model: None,
        agent: Some("codex".to_owned()),
        prompt: None,
        visibility: None,
    };
    match within("a refusal", jane.client().create_session(&new)).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.code, RefusalCode::NotFound);
            assert!(refusal.to_string().contains("There is no agent \"codex\""), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(within("the agents", jane.client().agents()).await.unwrap(), []);
    server.stop().await;
}

/// How many processes of the machine are this command.
fn running(command: &[&str]) -> usize {
    let wanted: Vec<u8> = command.iter().flat_map(|word| word.bytes().chain([0])).collect();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|words| words == wanted)).count()
}
