//! What a plugin adds to a tool call: the same call in sessions whose repositories differ in who is asked about it, in turns.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use hangar::{Config, Server, config};
use hangar_client::{Client, Patience, Stream, Token, Update};
use hangar_protocol::{
    EventBody, Seq,
    api::{NewRepo, NewSession},
    event::SandboxPhase,
};

use super::{
    cannot,
    row::{Goal, Row},
    stub_model::{self, StubModel},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// A plugin that looks at a call and lets it pass.
const PLUGIN: &str = r#"export const hooks = {
  "tool.execute.before": ({ tool }, output) => { if (tool === "bash" && /\bsudo\b/.test(output.args.command)) throw new Error("no"); },
};"#;
/// The same as a hook of a repository.
const HOOK: &str =
    r#"{"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"type": "command", "command": "grep -q sudo; true"}]}]}}"#;
/// Longest that one turn of the stub, or a sandbox, may take.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Who is asked about the call.
const ASKED: [(&str, Goal); 3] = [
    ("bench/none", row("tool_call_no_hooks", "none: hangar's own guard is asked about every call, here too")),
    ("bench/javascript", row("tool_call_javascript_plugin", FLOOR)),
    ("bench/command", row("tool_call_command_hook", FLOOR)),
];
const FLOOR: &str = "tool_call_no_hooks of the same run, in turns with it";

const fn row(name: &'static str, floor: &'static str) -> Goal {
    Goal { name, floor, goal: "reported", ratio_max: None }
}

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("hangar-bench-")
        .tempdir()
        .map_err(|error| cannot("make a directory", error))?;
    let mut model = stub_model::start().await.map_err(|error| cannot("listen", error))?;
    let server = start_server(folder.path(), &model).await?;
    terminal.remark(Look::Faint, &format!("{rounds} tool calls with a plugin of each kind, and with none"));
    let measured = measure_with(&server, &mut model, folder.path(), rounds).await;
    server.shut_down().await;
    measured
}

async fn start_server(folder: &Path, model: &StubModel) -> Result<Server, Failure> {
    let path = folder.join("look.js");
    fs::write(&path, PLUGIN).map_err(|error| cannot("write a plugin", error))?;
    let mut config = Config::in_directory(folder.join("data"));
    config.http.port = 0;
    config.models = vec![config::ModelConfig {
        id: "bench/stub".to_owned(),
        wire: Some(config::Wire::Anthropic),
        base_url: format!("http://{}", model.address),
        ..config::ModelConfig::default()
    }];
    config.default_model = "bench/stub".to_owned();
    config.titles = config::TitlesWord::FirstWords;
    config.plugins = vec![config::PluginConfig {
        name: "look".to_owned(),
        path,
        repos: vec!["bench/javascript".to_owned()],
        ..config::PluginConfig::default()
    }];
    Ok(hangar::serve(config).await?)
}

async fn measure_with(server: &Server, model: &mut StubModel, folder: &Path, rounds: u32) -> Result<Vec<Row>, Failure> {
    let token = server.owner_token("bench").await?;
    let client = Client::new(server.url(), Token::new(token.reveal()))?;
    let hooked = folder.join("hooked/.hangar");
    fs::create_dir_all(&hooked)
        .and_then(|()| fs::write(hooked.join("hooks.json"), HOOK))
        .map_err(|error| cannot("make a repository", error))?;
    for (repo, _) in &ASKED {
        let source = (*repo == "bench/command").then(|| folder.join("hooked").display().to_string());
        client.add_repo(&NewRepo { repo: repo.parse()?, source }).await?;
    }
    let mut times: [Vec<Duration>; 3] = Default::default();
    // The first round fills caches and is not counted.
    for round in 0..=rounds {
        for ((repo, _), times) in ASKED.iter().zip(&mut times) {
            let time = call(&client, repo, model).await?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    let [none, ..] = &times;
    let rows = ASKED.into_iter().zip(&times).enumerate();
    Ok(rows.map(|(at, ((_, goal), times))| Row::of_times(goal, times, if at == 0 { &[] } else { none })).collect())
}

/// From before a prompt is sent to the result of the call that it leads to, in a session of its own whose sandbox is there.
async fn call(client: &Client, repo: &str, model: &mut StubModel) -> Result<Duration, Failure> {
    let wish =
        NewSession { repo: repo.parse()?, base_branch: None, model: None, agent: None, prompt: None, visibility: None };
    let session = client.create_session(&wish).await?.id;
    let mut stream = client.follow(&session, Seq::START, Patience::default());
    client.prompt(&session, "say done").await?;
    let (mut ended, mut ready) = (false, false);
    wait_until(&mut stream, |body| {
        ended |= matches!(body, EventBody::TurnEnded { .. });
        ready |= matches!(body, EventBody::SandboxChanged { phase: SandboxPhase::Ready, .. });
        ended && ready
    })
    .await?;
    let began = Instant::now();
    client.prompt(&session, "list the files").await?;
    wait_until(&mut stream, |body| matches!(body, EventBody::ToolFinished { .. })).await?;
    let time = began.elapsed();
    wait_until(&mut stream, |body| matches!(body, EventBody::TurnEnded { .. })).await?;
    while model.asked.try_recv().is_ok() {}
    Ok(time)
}

async fn wait_until(stream: &mut Stream, mut reached: impl FnMut(&EventBody) -> bool) -> Result<(), Failure> {
    let search = async {
        while let Some(update) = stream.next().await {
            if let Update::Event(event) = update?
                && reached(&event.body)
            {
                return Ok(());
            }
        }
        Err(cannot("go on", "the session's stream ended"))
    };
    tokio::time::timeout(TURN_MAX, search).await.map_err(|_| cannot("go on", "a turn takes too long"))?
}
