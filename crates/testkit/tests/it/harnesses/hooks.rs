//! Calls that an agent makes without asking leave: its hook asks before each.

use hangar_protocol::{
    Event, EventBody, PluginDecision,
    event::{ToolStatus, TurnOutcome},
};
use hangar_testkit::{Setting, Story, TestServer, Watch};

use super::{
    agents::{Agent, Services, installed},
    outputs,
};

/// Refuses a command that only reads, which no agent asks leave for, and changes another one.
const GUARD: &str = r#"export const hooks = { "tool.execute.before": ({ tool }, output) => {
    if (tool !== "bash") return;
    if (output.args.command === "cat README.md") throw new Error("Leave the README alone.");
    if (output.args.command === "ls wrong") output.args.command = "echo right";
} };"#;

#[tokio::test]
async fn what_claude_asks_no_leave_for_is_asked_about_by_its_hook() {
    the_hook_asks(Agent::Claude).await;
}

#[tokio::test]
async fn what_codex_asks_no_leave_for_is_asked_about_by_its_hook() {
    the_hook_asks(Agent::Codex).await;
}

#[tokio::test]
async fn what_opencode_asks_no_leave_for_is_asked_about_by_its_hook() {
    the_hook_asks(Agent::OpenCode).await;
}

/// A server of this setting with a plugin that guards, and a repository.
async fn guarded(setting: Setting) -> TestServer {
    let file = tempfile::Builder::new().suffix(".js").tempfile().unwrap();
    std::fs::write(file.path(), GUARD).unwrap();
    // It is read when the server starts.
    let plugin = format!("[[plugins]]\nname = \"guard\"\npath = {:?}\n", file.path());
    let server = TestServer::start_with(setting.configured(&plugin)).await;
    server.tiny().await;
    server
}

async fn the_hook_asks(agent: Agent) {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let mut server = guarded(agent.setting(&directory, &services)).await;
    let jane = server.owner().clone();
    let session = agent.begin(&jane, "acme/tiny", "Please run «cat README.md»").await;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert_eq!(outputs(watch.events()), [(ToolStatus::Error, "Leave the README alone.")], "it was not read");
    let denied = PluginDecision::Denied { words: "Leave the README alone.".to_owned() };
    assert_eq!(decisions(watch.events()), [denied], "people see one decision: {}", Story::of(watch.events()));
    assert!(watch.events().iter().all(|event| !matches!(event.body, EventBody::ToolStarted { .. })));
    jane.prompt(&session, "r2", "Please run «ls wrong»").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let story = Story::of(watch.events());
    let (status, output) = outputs(watch.events())[1];
    assert_eq!((status, output.trim()), (ToolStatus::Ok, "right"), "{story}");
    assert_eq!(decisions(watch.events())[1..], [PluginDecision::Replaced], "{story}");
    let begun = watch.events().iter().filter_map(|event| match &event.body {
        EventBody::ToolStarted { name, input, .. } => Some((name.as_str(), input["command"].as_str())),
        _ => None,
    });
    assert_eq!(begun.collect::<Vec<_>>(), [("bash", Some("echo right"))], "{story}");
    server.stop().await;
}

#[tokio::test]
async fn what_a_sub_agent_of_claude_does_is_asked_about() {
    the_hook_of_a_sub_agent_asks(Agent::Claude).await;
}

#[tokio::test]
async fn what_a_sub_agent_of_opencode_does_is_asked_about() {
    the_hook_of_a_sub_agent_asks(Agent::OpenCode).await;
}

async fn the_hook_of_a_sub_agent_asks(agent: Agent) {
    let Some(directory) = installed() else { return };
    let services = Services::start(&directory).await;
    let mut server = guarded(agent.setting(&directory, &services)).await;
    let jane = server.owner().clone();
    let session = agent.begin(&jane, "acme/tiny", "Please delegate «cat README.md»").await;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let story = Story::of(watch.events());
    let denied = PluginDecision::Denied { words: "Leave the README alone.".to_owned() };
    assert_eq!(decisions(watch.events()), [denied], "{story}");
    assert!(outputs(watch.events()).contains(&(ToolStatus::Error, "Leave the README alone.")), "{story}");
    server.stop().await;
}

/// What plugins decided, in order.
fn decisions(events: &[Event]) -> Vec<PluginDecision> {
    let decided = |event: &Event| match &event.body {
        EventBody::PluginDecided { decision, .. } => Some(decision.clone()),
        _ => None,
    };
    events.iter().filter_map(decided).collect()
}
