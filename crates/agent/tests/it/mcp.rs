//! MCP servers: found, called, held in, and gone with the turn.

use std::{
    collections::BTreeMap,
    os::linux::net::SocketAddrExt as _,
    os::unix::net::{SocketAddr, UnixListener as StdUnixListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Json, Router, http::HeaderMap, http::StatusCode, response::IntoResponse, routing::post};
use hangar_agent::{
    TurnEnd,
    acp::{Command, Program},
    mcp::{McpHost, McpPlace, McpServer, McpTimes, McpWay, STARTS_MAX, ServerName, TOOLS_MAX},
};
use hangar_protocol::{
    EventBody,
    event::{ImageKind, ToolStatus},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    log::Log,
    program,
    world::{World, calling},
};

/// Runs servers in a directory of this machine, and reaches addresses directly.
pub(crate) struct Host {
    pub(crate) directory: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
    /// Whether the workspace can be written.
    pub(crate) writable: watch::Sender<bool>,
}

impl Host {
    pub(crate) fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), variables: BTreeMap::new(), writable: watch::Sender::new(true) }
    }
}

#[async_trait]
impl McpHost for Host {
    async fn environment(&self) -> Result<BTreeMap<String, String>, String> {
        Ok(self.variables.clone())
    }

    async fn writable(&self) -> Result<(), String> {
        self.writable.subscribe().wait_for(|writable| *writable).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn start(&self, command: Command) -> Result<Program, String> {
        let (first, rest) = command.argv.split_first().unwrap();
        let mut started = tokio::process::Command::new(first);
        started.args(rest).current_dir(&self.directory).envs(&self.variables).envs(&command.env);
        program::start(started)
    }

    async fn reach(&self, url: &str) -> Result<McpWay, String> {
        let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        let name = format!("hangar-agent-test-{}", rand::random::<u128>());
        let listener = StdUnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let address = address.clone();
                tokio::spawn(async move {
                    let mut outside = TcpStream::connect(&address).await.unwrap();
                    // Either side may end first.
                    let _ended = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                });
            }
        });
        Ok(McpWay { socket: format!("@{name}"), open: Box::new(AbortOnDropHandle::new(serving)) })
    }
}

/// The server of `mcp/server.py`, in this mode.
pub(crate) fn server(name: &str, mode: &str) -> McpServer {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mcp/server.py");
    let argv = ["python3", script, mode].map(str::to_owned).to_vec();
    let env = BTreeMap::from([("OWN".to_owned(), "${GREETING:-none}!".to_owned())]);
    McpServer { name: ServerName::parse(name).unwrap(), place: McpPlace::Program(Command { argv, env }) }
}

fn using(tool: &str, arguments: &Value) -> Value {
    calling("use_tool", json!({"tool": tool, "arguments": arguments}))
}

fn finding(words: &str) -> Value {
    calling("find_tool", json!({"words": words}))
}

/// A turn with these servers in which the model makes these calls, one a reply.
async fn after(servers: &[McpServer], calls: &[Value]) -> World {
    let mut world = of(servers, calls).await;
    world.servers = servers.to_vec();
    assert_eq!(world.run().await, TurnEnd::Done);
    world
}

async fn of(servers: &[McpServer], calls: &[Value]) -> World {
    let replies: Vec<Value> = calls.iter().cloned().chain([json!({"say": "Done."})]).collect();
    let mut world = World::of(json!(replies)).await;
    world.servers = servers.to_vec();
    world
}

/// Every process that a server of the test noted down is gone.
async fn all_gone(world: &World) {
    let pids = world.text("pids");
    for pid in pids.split_whitespace() {
        let place = PathBuf::from(format!("/proc/{pid}"));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        // One that nobody has waited for yet is gone as well.
        let gone = || std::fs::read_to_string(place.join("stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            assert!(tokio::time::Instant::now() < deadline, "{pid} still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn started(log: &Log) -> Vec<(String, Value)> {
    let started = |body| match body {
        EventBody::ToolStarted { name, input, .. } => Some((name, input)),
        _ => None,
    };
    log.bodies().into_iter().filter_map(started).collect()
}

#[tokio::test]
async fn tools_are_found_by_words_and_called_under_their_own_names() {
    let world = after(
        &[server("test", "plain"), server("other", "dies")],
        &[
            finding("say text"),
            using("mcp__test__echo", &json!({"text": "Hello."})),
            using("mcp__test__fail", &json!({})),
            using("mcp__test__show.all", &json!({})),
            using("mcp__test__env", &json!({"name": "OWN"})),
            using("mcp__test__env", &json!({"name": "GIT_AUTHOR_NAME"})),
            finding("weather"),
        ],
    )
    .await;
    let results = world.results();
    let (status, found) = &results[0];
    assert_eq!(*status, ToolStatus::Ok);
    let echo = "mcp__test__echo\nSays a text again.\narguments: {\"properties\":{\"text\":{\"type\":\"string\"}},\"type\":\"object\"}\n";
    assert!(found.starts_with(echo), "{found}");
    assert!(
        found.ends_with(
            "The server other cannot be used: it ended with exit status: 1; the end of its standard error: there is no database."
        ),
        "{found}"
    );
    assert!(results[1].1.starts_with("Hello."), "{results:?}");
    assert_eq!(results[2], (ToolStatus::Error, "It did not work.".to_owned()));
    assert_eq!((results[4].1.as_str(), results[5].1.as_str()), ("none!", "Ada Lovelace"));
    let (_, none) = &results[6];
    assert!(none.starts_with("No tool fits these words. The servers:\n\ntest (11 tools): mcp__test__echo, "), "{none}");
    // People and plugins see what is called, by the one name that it has.
    let names: Vec<String> = started(&world.log).into_iter().map(|(name, _)| name).collect();
    let (find, of) = ("find_tool", |tool: &str| format!("mcp__test__{tool}"));
    assert_eq!(names, [find.to_owned(), of("echo"), of("fail"), of("show_all"), of("env"), of("env"), find.to_owned()]);
    assert_eq!(started(&world.log)[1].1, json!({"text": "Hello."}));
    assert_eq!(world.text("starts"), "x");
    all_gone(&world).await;
}

#[tokio::test]
async fn a_result_of_everything_is_words_an_image_and_files() {
    let world = after(&[server("test", "plain")], &[using("mcp__test__show_all", &json!({}))]).await;
    let shown = |body| match body {
        EventBody::ToolFinished { output, image, .. } => Some((output, image)),
        _ => None,
    };
    let (output, image) = world.log.bodies().into_iter().find_map(shown).unwrap();
    assert_eq!(image, Some(ImageKind::Png));
    let file = |number: u32, ending: &str| format!("/tmp/hangar-output/{}.{number}.{ending}", "call_1");
    for words in [
        "Words.\n",
        "[a sound: 4 bytes, in ",
        "[note://1]\nA note.\n",
        "[a link to a: file:///a]\n",
        "\"answer\": 42",
        "[the image: an image of 1 × 1 pixels (image/png, 67 bytes). 67 bytes, in ",
        "look at it with read]",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(output.contains(".1.wav]") && output.contains(".2.png;"), "{output} {}", file(1, "wav"));
    let kept = world.root().join("tmp/hangar-output");
    let mut sizes: Vec<u64> =
        std::fs::read_dir(kept).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [4, 67]);
}

#[tokio::test]
async fn without_servers_there_are_no_such_tools_and_with_them_the_preamble_names_them() {
    let bare = after(&[], &[finding("x")]).await;
    assert!(bare.results()[0].1.starts_with("There is no tool \"find_tool\"."), "{:?}", bare.results());
    assert!(!bare.last_request().contains("MCP servers"));
    let world = after(&[server("test", "plain"), server("wiki", "plain")], &[]).await;
    assert!(world.last_request().contains("MCP servers\\n- test, wiki. "), "{}", world.last_request());
    // None is started before it is needed.
    assert!(!world.path("starts").exists());
}

#[tokio::test]
async fn a_server_that_dies_is_told_of_and_started_again_so_often() {
    let die = using("mcp__test__die", &json!({}));
    let calls = [die.clone(), using("mcp__test__echo", &json!({"text": "again"})), die.clone(), die.clone(), die];
    let world = after(&[server("test", "plain")], &calls).await;
    let results = world.results();
    let died = "The MCP server test gave no result: it ended with exit status: 3; the end of its standard error: first line\nthe disk is on fire; the next call begins with it anew.";
    assert!(results[0].1.starts_with(died), "{results:?}");
    assert_eq!(results[1], (ToolStatus::Ok, "again".to_owned()));
    assert_eq!((results[2].1.as_str(), results[3].1.as_str()), (died, died));
    assert!(
        results[4].1.starts_with("The MCP server test gave no result: it ended with exit status: 3")
            && results[4]
                .1
                .ends_with("it was started 3 times in this turn and is not started again before the next prompt."),
        "{}",
        results[4].1
    );
    assert_eq!(world.text("starts").len(), usize::try_from(STARTS_MAX).unwrap());
    all_gone(&world).await;
}

#[tokio::test]
async fn a_stop_tells_the_server_and_ends_it_with_all_that_it_started() {
    let mut world = of(&[server("test", "plain")], &[using("mcp__test__sleep", &json!({}))]).await;
    // A busy machine does not reach it.
    world.times = McpTimes { farewell_max: Duration::from_secs(60), ..McpTimes::default() };
    let (stop, sleeping) = (world.stop.clone(), world.path("sleeping"));
    let stopping = async {
        while !sleeping.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(world.run(), stopping);
    assert_eq!(ended, TurnEnd::Stopped);
    assert_eq!(world.results()[0].0, ToolStatus::Interrupted);
    all_gone(&world).await;
    let heard = world.text("heard");
    let call = heard.lines().find(|line| line.contains("\"tools/call\"")).unwrap();
    let id = serde_json::from_str::<Value>(call).unwrap()["id"].clone();
    let told = heard
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|told| told["method"] == "notifications/cancelled");
    assert_eq!(told.unwrap()["params"]["requestId"], id);
}

#[tokio::test]
async fn servers_that_do_wrong_are_held_in() {
    let world = of(
        &[server("test", "plain"), server("many", "many"), server("endless", "endless")],
        &[
            using("mcp__test__flood", &json!({})),
            using("mcp__test__chatter", &json!({})),
            using("mcp__test__ask_model", &json!({})),
            using("mcp__test__long", &json!({})),
            using("mcp__many__tool_7", &json!({})),
            finding("tool number 9"),
            using("mcp__many__tool_9999", &json!({})),
            using("mcp__nobody__x", &json!({})),
            calling("use_tool", json!({"tool": "bash", "arguments": {"command": "touch made"}})),
        ],
    )
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    let begins = |number: usize, words: &str| assert!(results[number].1.starts_with(words), "{}", results[number].1);
    begins(
        0,
        "The MCP server test gave no result: it sent a message of more than 8 MiB and was ended; the next call begins with it anew.",
    );
    begins(1, "The MCP server test gave no result: it sent more than 100000 messages in one turn and was ended;");
    // Nobody lends it a model.
    assert!(results[2].1.contains("sampling/createMessage"), "{:?}", results[2]);
    begins(3, "line 0\nline 1\n");
    assert!(world.last_request().contains("the whole output is in /tmp/hangar-output/"));
    begins(4, "The MCP server many gave no result: no tool tool_7.");
    let found = &results[5].1;
    assert!(found.starts_with("mcp__many__tool_9\n"), "{found}");
    assert!(
        found.contains(&format!("The server many has more tools than are kept; the first {TOOLS_MAX} are.")),
        "{found}"
    );
    assert!(found.contains("The server endless has more tools than are kept; the first 100 are."), "{found}");
    assert!(found.len() < 10_000, "{}", found.len());
    begins(6, "The MCP server many has no tool mcp__many__tool_9999. Near it: ");
    assert_eq!(results[7].1, "There is no MCP server \"nobody\". There are: test, many, endless.");
    begins(8, "Name the tool as find_tool does:");
    assert!(!world.path("made").exists());
    all_gone(&world).await;
}

#[tokio::test]
async fn a_server_that_never_answers_holds_nobody_up_for_long() {
    let calls = [using("mcp__silent__x", &json!({})), finding("echo")];
    let mut world = of(&[server("silent", "silent")], &calls).await;
    world.times = McpTimes { start_max: Duration::from_secs(3), ..McpTimes::default() };
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    let late = "The MCP server silent gave no result: it was not ready within 3 s.";
    assert!(results[0].1.starts_with(late), "{results:?}");
    assert!(results[1].1.ends_with("The server silent cannot be used: it was not ready within 3 s."), "{results:?}");
    all_gone(&world).await;
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_cancelled_and_the_server_stays() {
    let calls = [using("mcp__test__sleep", &json!({})), using("mcp__test__echo", &json!({"text": "here"}))];
    let mut world = of(&[server("test", "plain")], &calls).await;
    world.times = McpTimes { call_max: Duration::from_secs(2), ..McpTimes::default() };
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    assert!(
        results[0].1.starts_with("The MCP server test gave no result: it did not answer within 2 s, and was told"),
        "{results:?}"
    );
    assert_eq!(results[1], (ToolStatus::Ok, "here".to_owned()));
    assert!(world.text("heard").contains("notifications/cancelled"));
}

#[tokio::test]
async fn nothing_is_started_or_called_before_the_workspace_can_be_written() {
    let world = of(&[server("test", "plain")], &[using("mcp__test__touch", &json!({"path": "made"}))]).await;
    world.host.writable.send_replace(false);
    let log = world.log.clone();
    let opening = async {
        // The call has begun, and waits.
        while started(&log).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!world.path("starts").exists());
        world.host.writable.send_replace(true);
    };
    let (ended, ()) = tokio::join!(world.run(), opening);
    assert_eq!(ended, TurnEnd::Done);
    assert!(world.path("made").exists());
}

#[tokio::test]
async fn a_server_of_the_newest_version_has_no_handshake() {
    let world = after(&[server("new", "modern")], &[using("mcp__new__echo", &json!({"text": "new"}))]).await;
    assert_eq!(world.results()[0], (ToolStatus::Ok, "new".to_owned()), "{:?}", world.results());
}

/// A server at an address of this machine; what headers it got.
async fn at_an_address() -> (McpServer, Arc<Mutex<Vec<HeaderMap>>>, AbortOnDropHandle<()>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let answer = move |headers: HeaderMap, Json(message): Json<Value>| {
        let noted = Arc::clone(&noted);
        async move {
            noted.lock().unwrap().push(headers);
            let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
            let result = match message["method"].as_str().unwrap() {
                "initialize" => {
                    json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "web", "version": "1"}})
                }
                "tools/list" => {
                    json!({"tools": [{"name": "ping", "inputSchema": {"type": "object"}}, {"name": "break", "inputSchema": {"type": "object"}}]})
                }
                "tools/call" if message["params"]["name"] == "break" => return StatusCode::BAD_GATEWAY.into_response(),
                "tools/call" => json!({"content": [{"type": "text", "text": "pong"}]}),
                other => panic!("{other}"),
            };
            Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let app = Router::new().route("/mcp", post(answer));
    let serving = AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }));
    let headers = BTreeMap::from([("x-key".to_owned(), "${KEY}".to_owned())]);
    let server = McpServer { name: ServerName::parse("web").unwrap(), place: McpPlace::Address { url, headers } };
    (server, seen, serving)
}

#[tokio::test]
async fn a_server_at_an_address_is_asked_with_its_headers() {
    let (server, seen, _serving) = at_an_address().await;
    let (ping, spoil) = (using("mcp__web__ping", &json!({})), using("mcp__web__break", &json!({})));
    let calls = [finding("ping"), ping.clone(), spoil, ping];
    let mut world = of(std::slice::from_ref(&server), &calls).await;
    Arc::get_mut(&mut world.host).unwrap().variables.insert("KEY".to_owned(), "placeholder".to_owned());
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    assert!(results[0].1.starts_with("mcp__web__ping\n"), "{results:?}");
    assert!(results[1].1.starts_with("pong"), "{results:?}");
    assert!(
        results[2].1.contains("HTTP 502") && results[2].1.ends_with("; the next call begins with it anew."),
        "{results:?}"
    );
    assert_eq!(results[3], (ToolStatus::Ok, "pong".to_owned()));
    let seen = seen.lock().unwrap().clone();
    assert!(seen.len() >= 8 && seen.iter().all(|headers| headers["x-key"] == "placeholder"), "{seen:?}");

    let without = after(&[server], &[finding("ping")]).await;
    assert!(
        without.results()[0].1.contains("The server web cannot be used: the variable KEY is not set in the sandbox.")
    );
}
