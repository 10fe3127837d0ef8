//! External agents: the real programs from npm, inside a real sandbox, in front of an independent double of the models' services.

mod agents;
mod hooks;

use hangar_client::Error;
use hangar_protocol::{
    Block, Event, EventBody, RefusalCode, SessionState, TurnId,
    api::{NewPrompt, NewSession},
    event::{FileChangeKind, HarnessMemory, SandboxPhase, ToolStatus, TurnOutcome},
    state::SessionStatus,
};
use hangar_testkit::{Setting, Story, TestServer, Transcript, Watch, until, within};

use self::agents::{Agent, KEY, Services, installed, new_session};
use crate::sync::Behind;

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
    let Some(state) = two_people(Agent::Codex).await else { return };
    assert_eq!((state.usage.total(), state.turns[0].gateway_requests), (72, 2), "each of four requests is counted");
}

#[tokio::test]
async fn goose_works_on_prompts_of_two_people_and_its_commits_are_theirs() {
    let Some(state) = two_people(Agent::Goose).await else { return };
    // It asks for titles and summaries besides, and does not wait for them.
    assert!(state.usage.total() >= 72 && state.turns[0].gateway_requests >= 2, "{:?}", state.usage);
}

#[tokio::test]
async fn claude_works_on_prompts_of_two_people_and_its_commits_are_theirs() {
    let Some(state) = two_people(Agent::Claude).await else { return };
    assert!(state.usage.total() >= 72 && state.turns[0].gateway_requests >= 2, "{:?}", state.usage);
}

#[tokio::test]
async fn opencode_works_on_prompts_of_two_people_and_its_commits_are_theirs() {
    let Some(state) = two_people(Agent::OpenCode).await else { return };
    assert!(state.usage.total() >= 72 && state.turns[0].gateway_requests >= 2, "{:?}", state.usage);
}

async fn two_people(agent: Agent) -> Option<SessionState> {
    let directory = installed()?;
    let services = Services::start(&directory).await;
    let mut server = TestServer::start_with(agent.setting(&directory, &services)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let bob = server.let_in("bob", "Bob Ray", "bob@example.org").await;
    let commit = "git add -A && git commit -qm More && git log -1 --format='%an of %ae'";
    let session = agent.begin(&jane, "acme/tiny", &format!("Please run «echo one > made.txt && {commit}»")).await;
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
    let authors: Vec<_> = outputs(events).into_iter().map(|(status, output)| (status, output.trim())).collect();
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
    assert_eq!(state.agent.as_deref(), Some(agent.id()));
    assert!(state.open_calls.is_empty());
    assert!(!format!("{events:?}{}", server.log()).contains(KEY), "no key is told");
    let data = server.data().display().to_string();
    let _ = server.run(&["rebuild", "--check", "--data", &data]).await.well();
    server.stop().await;
    Some(state)
}

#[tokio::test]
async fn a_stop_ends_codex_and_everything_that_it_started() {
    a_stop_ends_everything(Agent::Codex, "700").await;
}

#[tokio::test]
async fn a_stop_ends_goose_and_everything_that_it_started() {
    a_stop_ends_everything(Agent::Goose, "701").await;
}

#[tokio::test]
async fn a_stop_ends_claude_and_everything_that_it_started() {
    a_stop_ends_everything(Agent::Claude, "703").await;
}

#[tokio::test]
async fn a_stop_ends_opencode_and_everything_that_it_started() {
    a_stop_ends_everything(Agent::OpenCode, "704").await;
}

/// `seconds`: a number no other process sleeps for.
async fn a_stop_ends_everything(agent: Agent, seconds: &str) {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let mut server = TestServer::start_with(agent.setting(&directory, &services)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let nap = format!("{seconds}.{}", std::process::id());
    let wish = format!("Please run «(setsid sleep {nap} &) ; sleep {nap}»");
    let session = agent.begin(&jane, "acme/tiny", &wish).await;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    until("both sleeps", async || (running(&["sleep", &nap]) == 2).then_some(())).await;
    within("the stop", jane.client().stop(&session)).await.expect("a turn runs");
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    until("the end of its processes", async || (running(&["sleep", &nap]) == 0).then_some(())).await;
    assert_eq!(outputs(watch.events()).len(), 1, "{}", Story::of(watch.events()));
    // The session goes on.
    jane.prompt(&session, "r2", "Anything else?").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert!(words(watch.events(), 2).ends_with("Hello."), "{}", Story::of(watch.events()));
    server.stop().await;
}

#[tokio::test]
async fn a_plugin_keeps_codex_from_a_call() {
    a_plugin_refuses(Agent::Codex).await;
}

#[tokio::test]
async fn a_plugin_keeps_goose_from_a_call() {
    a_plugin_refuses(Agent::Goose).await;
}

#[tokio::test]
async fn a_plugin_keeps_claude_from_a_call() {
    a_plugin_refuses(Agent::Claude).await;
}

#[tokio::test]
async fn a_plugin_keeps_opencode_from_a_call() {
    a_plugin_refuses(Agent::OpenCode).await;
}

async fn a_plugin_refuses(agent: Agent) {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let file = tempfile::Builder::new().suffix(".js").tempfile().unwrap();
    let guard = r#"export const hooks = { "tool.execute.before": ({ tool }, { args }) => {
        if (tool === "bash" && args.command.includes("README")) throw new Error("Leave the README alone.");
    } };"#;
    std::fs::write(file.path(), guard).unwrap();
    let plugin = format!("[[plugins]]\nname = \"guard\"\npath = {:?}\n", file.path());
    let mut server = TestServer::start_with(agent.setting(&directory, &services).configured(&plugin)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = agent.begin(&jane, "acme/tiny", "Please run «rm README.md»").await;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert_eq!(outputs(watch.events()), [(ToolStatus::Error, "Leave the README alone.")]);
    assert!(watch.events().iter().all(|event| !matches!(event.body, EventBody::ToolStarted { .. })));
    jane.prompt(&session, "r2", "Please run «test -e READ*ME.md && echo it is there»").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert_eq!(outputs(watch.events())[1].1.trim(), "it is there");
    server.stop().await;
}

#[tokio::test]
async fn codex_changes_nothing_before_the_sync_is_in() {
    waits_for_the_sync(Agent::Codex).await;
}

#[tokio::test]
async fn claude_changes_nothing_before_the_sync_is_in() {
    waits_for_the_sync(Agent::Claude).await;
}

#[tokio::test]
async fn opencode_changes_nothing_before_the_sync_is_in() {
    waits_for_the_sync(Agent::OpenCode).await;
}

async fn waits_for_the_sync(agent: Agent) {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let behind = Behind::with(agent.setting(&directory, &services)).await;
    let jane = behind.server.owner().clone();
    let session = agent.begin(&jane, "acme/app", "Please run «cat README.md; echo x > made.txt»").await;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!(state.sandbox, SandboxPhase::Syncing, "it works while the sync is under way");
    behind.go().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let place = |wanted: fn(&EventBody) -> bool| watch.events().iter().position(|event| wanted(&event.body)).unwrap();
    let ready = place(|body| matches!(body, EventBody::SandboxChanged { phase: SandboxPhase::Ready, .. }));
    assert!(ready < place(|body| matches!(body, EventBody::ToolFinished { .. })), "{}", Story::of(watch.events()));
    assert_eq!(outputs(watch.events())[0].1.trim(), "new line", "it saw the commit that the sync brought");
    let mut server = behind.server;
    server.stop().await;
}

#[tokio::test]
async fn a_turn_of_codex_waits_for_its_budget_and_goes_on() {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let setting = Agent::Codex.setting(&directory, &services).configured("[budgets]\nsession_tokens = 10");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = Agent::Codex.begin(&jane, "acme/tiny", "Please run «echo one > made.txt»").await;
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
    let mut server = TestServer::start_with(Agent::Codex.setting(&directory, &services)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let nap = format!("702.{}", std::process::id());
    let wish = format!("Please run «test -e made.txt || {{ echo one > made.txt; sleep {nap}; }}»");
    let session = Agent::Codex.begin(&jane, "acme/tiny", &wish).await;
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
async fn agents_that_cannot_be_had_are_refused_and_programs_that_do_not_work_fail_their_turn() {
    let agents = [
        ("deaf", "", "/bin/false"),
        ("absent", "", "/opt/absent"),
        ("codex", "wire = \"openai_responses\"", "/bin/false"),
    ];
    let agents =
        agents.map(|(id, wire, program)| format!("[[agents]]\nid = {id:?}\n{wire}\ncommand = [{program:?}]\n"));
    let lines = format!("sessions.model_gateway = \"commands\"\n{}", agents.concat());
    let mut server = TestServer::start_with(Setting::new(Transcript::new()).configured(&lines)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let known = within("the agents", jane.client().agents()).await.unwrap();
    assert_eq!(known.iter().map(|agent| agent.id.as_str()).collect::<Vec<_>>(), ["deaf", "absent", "codex"]);
    for (agent, code, words) in [
        ("goose", RefusalCode::NotFound, "There is no agent \"goose\". There are: deaf, absent, codex"),
        ("codex", RefusalCode::BadRequest, "asks over OpenAI Responses, and scripted/test does not speak that"),
    ] {
        match within("a refusal", jane.client().create_session(&new_session("acme/tiny", agent))).await {
            Err(Error::Refused(refusal)) => {
                assert_eq!(refusal.code, code);
                assert!(refusal.to_string().contains(words), "{refusal}");
            }
            other => panic!("{other:?}"),
        }
    }
    for (agent, words) in
        [("deaf", "The agent deaf is gone: it ended with status 1"), ("absent", "The agent absent cannot be started: ")]
    {
        let prompt = Some(NewPrompt { request_id: None, text: "Anything.".to_owned() });
        let new = NewSession { prompt, ..new_session("acme/tiny", agent) };
        let session = within("the session", jane.client().create_session(&new)).await.expect("the session begins").id;
        match Watch::new(&jane, &session).turn_ended(1).await {
            TurnOutcome::Failed { reason } => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    server.stop().await;
    // Without the gateway they could ask nobody.
    let ground = hangar_testkit::Ground::new();
    std::fs::write(ground.path().join("hangar.toml"), format!("{}\n", agents[0])).unwrap();
    let mut up = ground.command(&["up", "--data", "data", "--config", "hangar.toml", "--port", "0"]);
    let refused = within("the refusal", up.output()).await.unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("asks models through the gateway, which is off"), "{told}");
}

/// How many processes of the machine are this command.
fn running(command: &[&str]) -> usize {
    let wanted: Vec<u8> = command.iter().flat_map(|word| word.bytes().chain([0])).collect();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|words| words == wanted)).count()
}
