//! MCP servers whose tools the agent calls: the protocol's own server from npm, in a real sandbox, and outside it at an address.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use hangar_protocol::{
    Event, EventBody, OnFailure, PluginDecision,
    api::NewRepo,
    event::{ImageKind, SandboxPhase, ToolStatus, TurnOutcome},
    state::Place,
};
use hangar_testkit::{Reply, Setting, Story, TestServer, Transcript, Watch, within};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::sync::{Behind, ON_DEMAND};

/// Where the protocol's own server is, within the folder in which packages are installed.
const PROGRAM: &str = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
/// A name that leads to this machine, for whom the operator trusts it.
const HOST: &str = "mcp.localhost";

/// The folder in which packages are installed; `None`, and said aloud, where they are not installed and need not be.
#[allow(clippy::print_stderr, reason = "whoever runs the tests is told what they did not check")]
fn installed() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/mcp-conformance");
    if directory.join(PROGRAM).exists() {
        return Some(directory.canonicalize().unwrap());
    }
    let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!ci, "run `npm ci` in clients/mcp-conformance first");
    eprintln!("NOT CHECKED: run `npm ci` in clients/mcp-conformance to try the protocol's own server");
    None
}

/// The protocol's own server, in the sandbox.
fn everything(directory: &Path) -> String {
    let program = format!("/opt/toolchains/mcp-everything/{PROGRAM}");
    format!("[[mcp_servers]]\nid = \"everything\"\nfolder = {directory:?}\ncommand = [\"node\", {program:?}]\n")
}

fn find(words: &str) -> Reply {
    Reply::say("I look.").and_call("find_tool", json!({"words": words}))
}

fn using(tool: &str, arguments: Value) -> Reply {
    Reply::say("I call.").and_call("use_tool", json!({"tool": tool, "arguments": arguments}))
}

/// The results of calls, in order.
fn results(events: &[Event]) -> Vec<(ToolStatus, &str)> {
    let result = |event| match event {
        &EventBody::ToolFinished { status, ref output, .. } => Some((status, output.as_str())),
        _ => None,
    };
    events.iter().filter_map(|event| result(&event.body)).collect()
}

fn tools(events: &[Event]) -> Vec<&str> {
    let mut names = Vec::new();
    for event in events {
        if let EventBody::ToolStarted { name, .. } = &event.body {
            names.push(name.as_str());
        }
    }
    names
}

#[tokio::test]
async fn the_protocols_own_server_is_found_used_guarded_and_started_again() {
    let Some(directory) = installed() else { return };
    let plugins = tempfile::tempdir().unwrap();
    let guard = plugins.path().join("guard.js");
    let text = r#"export const hooks = { "tool.execute.before": ({ tool }, { args }) => {
        if (tool === "mcp__everything__get-env") throw new Error("Leave the environment alone.");
        if (tool === "mcp__everything__echo" && args.message === "secret") throw new Error("No secrets.");
    } };"#;
    fs::write(&guard, text).unwrap();
    let guard = format!("[[plugins]]\nname = \"guard\"\npath = {guard:?}\n");
    let script = [
        find("sum of two numbers"),
        using("mcp__everything__get-sum", json!({"a": 40, "b": 2})),
        using("mcp__everything__get-tiny-image", json!({})),
        using("mcp__everything__get-env", json!({})),
        using("mcp__everything__echo", json!({"message": "secret"})),
        Reply::bash("kill -9 $(pgrep -f '[s]erver-everything') && echo killed"),
        using("mcp__everything__echo", json!({"message": "here again"})),
        Reply::say("Done."),
    ];
    let lines = format!("{ON_DEMAND}\n{}{guard}", everything(&directory));
    let transcript = Transcript::new()
        .on("try them", script)
        .on("what runs", [Reply::bash("pgrep -f '[s]erver-everything' || echo nothing runs"), Reply::say("Done.")]);
    let mut server = TestServer::start_with(Setting::new(transcript).configured(&lines)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please try them.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let told = results(watch.events());
    let [found, sum, image, env, secret, killed, again] = told.as_slice() else { panic!("{told:?}") };
    assert!(found.1.starts_with("mcp__everything__get-sum\n") && found.1.contains("arguments: {"), "{found:?}");
    assert!(sum.0 == ToolStatus::Ok && sum.1.contains("42"), "{sum:?}");
    assert_eq!(image.0, ToolStatus::Ok, "{image:?}");
    let kinds = |event: &Event| match event.body {
        EventBody::ToolFinished { image, .. } => image,
        _ => None,
    };
    assert_eq!(watch.events().iter().filter_map(kinds).collect::<Vec<_>>(), [ImageKind::Png]);
    assert_eq!(*env, (ToolStatus::Error, "Leave the environment alone."));
    assert_eq!(*secret, (ToolStatus::Error, "No secrets."));
    assert_eq!((killed.0, killed.1.trim()), (ToolStatus::Ok, "killed"));
    assert!(again.0 == ToolStatus::Ok && again.1.contains("here again"), "{again:?}");
    let [sum, image, echo] = ["get-sum", "get-tiny-image", "echo"].map(|tool| format!("mcp__everything__{tool}"));
    assert_eq!(tools(watch.events()), ["find_tool", &sum, &image, "bash", &echo]);
    // It ended with the turn.
    jane.prompt(&session, "r2", "Now say what runs.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    assert_eq!(results(watch.events()).last().unwrap().1.trim(), "nothing runs");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_call_waits_for_the_sync() {
    let Some(directory) = installed() else { return };
    let script = [using("mcp__everything__echo", json!({"message": "after"})), Reply::say("Done.")];
    let lines = format!("{ON_DEMAND}\n{}", everything(&directory));
    let setting = Setting::new(Transcript::new().on("call", script)).configured(&lines);
    let behind = Behind::with(setting).await;
    let jane = behind.server.owner().clone();
    let session = jane.begin("acme/app", "Please call it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("mcp__everything__echo").await;
    let syncing = |event: &Event| matches!(event.body, EventBody::SandboxChanged { phase: SandboxPhase::Syncing, .. });
    watch.until("the sync", syncing).await;
    assert!(results(watch.events()).is_empty(), "{}", Story::of(watch.events()));
    behind.go().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let place = |wanted: fn(&EventBody) -> bool| watch.events().iter().position(|event| wanted(&event.body)).unwrap();
    let ready = place(|body| matches!(body, EventBody::SandboxChanged { phase: SandboxPhase::Ready, .. }));
    assert!(ready < place(|body| matches!(body, EventBody::ToolFinished { .. })), "{}", Story::of(watch.events()));
    assert!(results(watch.events())[0].1.contains("after"), "{}", Story::of(watch.events()));
    let mut server = behind.server;
    server.stop().await;
}

#[tokio::test]
async fn a_repository_brings_its_own_servers_and_what_it_says_wrong_is_told() {
    let Some(directory) = installed() else { return };
    let program = format!("/opt/toolchains/mcp-everything/{PROGRAM}");
    let own = json!({"mcpServers": {
        "own": {"command": "${NODE:-node}", "args": [program]},
        "absent": {"command": "no-such-program"},
        "bad": {"type": "sse", "url": "https://example.org/sse"},
    }});
    let script = [
        find("echo message"),
        using("mcp__own__echo", json!({"message": "my own"})),
        // What is written during a session has no effect in it.
        Reply::bash("echo '{}' > .mcp.json"),
        using("mcp__own__echo", json!({"message": "still there"})),
        Reply::say("Done."),
    ];
    let lines = format!("{ON_DEMAND}\n{}repositories = [\"other/*\"]\n", everything(&directory));
    let mut server = TestServer::start_with(Setting::new(Transcript::new().on("try", script)).configured(&lines)).await;
    let source = server.directory().join("app");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join(".mcp.json"), own.to_string()).unwrap();
    let new = NewRepo { repo: "acme/app".parse().unwrap(), source: Some(source.display().to_string()) };
    within("the import", server.owner().client().add_repo(&new)).await.unwrap();
    let jane = server.owner().clone();
    let session = jane.begin("acme/app", "Please try.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let told = results(watch.events());
    assert!(told[0].1.starts_with("mcp__own__echo\n"), "{told:?}");
    assert!(told[0].1.contains("The server absent cannot be used: "), "{told:?}");
    let fault = "its server \"bad\" cannot be used: servers of type \"sse\" are not spoken with here, only \"stdio\" and \"http\"";
    assert!(told[0].1.contains(&format!("Not used: .mcp.json: {fault}.")), "{told:?}");
    // The administrator's is not for this repository.
    assert!(!told[0].1.contains("mcp__everything__"), "{told:?}");
    assert!(told[1].1.contains("my own") && told[3].1.contains("still there"), "{told:?}");
    let decided = watch.events().iter().find_map(|event| match &event.body {
        EventBody::PluginDecided { plugin, decision, .. } => Some((plugin.as_str(), decision.clone())),
        _ => None,
    });
    let failed = PluginDecision::Failed { reason: fault.to_owned(), on_failure: OnFailure::Open };
    assert_eq!(decided, Some(("repository:.mcp.json", failed)));
    server.stop().await;
}

/// The protocol's own server over Streamable HTTP, on a port of this machine.
async fn outside(directory: &Path) -> (u16, Child) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new("node")
        .arg(directory.join(PROGRAM))
        .arg("streamableHttp")
        .env("PORT", free.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = within("the server", told.next_line()).await.unwrap() {
        if line.contains("listening on port") {
            // What it says later is read too, so that it is never held up.
            tokio::spawn(async move { while let Ok(Some(_)) = told.next_line().await {} });
            return (free, child);
        }
    }
    panic!("the server ended");
}

#[tokio::test]
async fn a_server_outside_is_reached_over_the_border_where_people_allow_it() {
    let Some(directory) = installed() else { return };
    let (port, _child) = outside(&directory).await;
    let script = |name: &str| {
        [
            find("sum of two numbers"),
            using(&format!("mcp__{name}__get-sum"), json!({"a": 40, "b": 2})),
            Reply::say("Done."),
        ]
    };
    let transcript = Transcript::new().on("try", script("far")).on("again", script("far"));
    let lines = format!(
        "{ON_DEMAND}\n[[mcp_servers]]\nid = \"far\"\nurl = \"http://{HOST}:{port}/mcp\"\n\
         [[trusted]]\nhost = \"{HOST}\"\naddresses = [\"127.0.0.1/32\", \"::1/128\"]\n"
    );
    let mut server = TestServer::start_with(Setting::new(transcript).configured(&lines)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please try.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    for (_, told) in results(watch.events()) {
        assert!(
            told.contains(&format!("{HOST}:{port}: this sandbox may not reach it. A person can allow it")),
            "{told}"
        );
    }
    let denied = |event: &Event| match &event.body {
        EventBody::NetworkDenied { host, port, .. } => Some((host.clone(), *port)),
        _ => None,
    };
    watch.until("the denial", |event| denied(event) == Some((HOST.to_owned(), port))).await;

    let place = Place { host: HOST.to_owned(), port };
    within("the permission", jane.client().allow_network(&session, &place)).await.unwrap();
    watch.until("the permission", |event| matches!(event.body, EventBody::NetworkAllowed { .. })).await;
    jane.prompt(&session, "r2", "Please do it again.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let told = results(watch.events());
    assert!(told[2].1.starts_with("mcp__far__get-sum\n"), "{told:?}");
    assert!(told[3].0 == ToolStatus::Ok && told[3].1.contains("42"), "{told:?}");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}
