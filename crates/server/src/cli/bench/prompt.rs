//! From a prompt to the model's first request, on an idle server and beside many sessions at work, and to the first tool's result.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use hangar::{Config, Server, config};
use hangar_client::{Client, Patience, SessionFilter, Stream, Token, Update};
use hangar_protocol::{
    EventBody, Seq, SessionId,
    api::{NewPrompt, NewRepo, NewSession},
    limits::SESSION_PAGE_MAX,
    state::SessionStatus,
};
use hangar_store::{Schema, rusqlite};

use super::{
    cannot,
    pace_model::{self, PaceModel},
    row::{Goal, Row},
    stub_model::{self, Asked, StubModel},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// Prompts before the first that counts: the sandbox is made, connections are open, caches are filled.
const WARM_UP_ROUNDS: u32 = 10;
/// Sessions at work beside the one that is measured, at `--rounds 200`; fewer in shorter runs.
const BUSY_SESSIONS: u32 = 500;
/// How fast a model speaks to each of them, in deltas a second, and for how long: longer than is measured.
const BUSY_DELTAS_PER_S: u32 = 60;
const BUSY_S: u32 = 120;
/// How long after the last of them has begun it is measured.
const BUSY_SETTLES: Duration = Duration::from_secs(3);
/// How many times what it takes on an idle server a prompt may take beside them, in one of a hundred cases.
const BUSY_RATIO_MAX: f64 = 3.0;
/// Longest that one turn of the stub may take.
const TURN_MAX: Duration = Duration::from_secs(60);
/// The floor's table: one row an append, as a session's log.
const FLOOR: Schema =
    Schema { migrations: &["CREATE TABLE event (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;"] };

/// Measures. Everything it starts has ended when it answers.
pub(super) async fn measure(rounds: u32, terminal: &mut Terminal) -> Result<Vec<Row>, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("hangar-bench-")
        .tempdir()
        .map_err(|error| cannot("make a directory", error))?;
    let model = stub_model::start().await.map_err(|error| cannot("listen", error))?;
    let pace = pace_model::start().await.map_err(|error| cannot("listen", error))?;
    terminal.remark(Look::Faint, "starting a server");
    let server = start_server(folder.path(), &model, &pace).await?;
    let measured = measure_with(&server, model, folder.path(), rounds, terminal).await;
    server.shut_down().await;
    measured
}

async fn start_server(folder: &Path, model: &StubModel, pace: &PaceModel) -> Result<Server, Failure> {
    let mut config = Config::in_directory(folder.join("data"));
    config.http.port = 0;
    let offered = |id: &str, address| config::ModelConfig {
        id: id.to_owned(),
        wire: Some(config::Wire::Anthropic),
        base_url: format!("http://{address}"),
        ..config::ModelConfig::default()
    };
    config.models = vec![offered("bench/stub", model.address), offered(PACE, pace.address)];
    config.default_model = "bench/stub".to_owned();
    // The stub notes every request: only those of turns are measured.
    config.titles = config::TitlesWord::FirstWords;
    Ok(hangar::serve(config).await?)
}

async fn measure_with(
    server: &Server,
    model: StubModel,
    folder: &Path,
    rounds: u32,
    terminal: &mut Terminal,
) -> Result<Vec<Row>, Failure> {
    let token = server.owner_token("bench").await?;
    let client = Client::new(server.url(), Token::new(token.reveal()))?;
    let repo = "bench/empty".parse()?;
    client.add_repo(&NewRepo { repo, source: None }).await?;
    let mut bench = Bench { session: new_session(&client).await?, client, model, floor: Floor::open(folder)? };
    let mut stream = bench.client.follow(&bench.session, Seq::START, Patience::default());
    terminal.remark(Look::Faint, "warming up");
    for _ in 0..WARM_UP_ROUNDS {
        bench.prompt("say done", &mut stream).await?;
    }
    terminal.remark(Look::Faint, &format!("{rounds} prompts, each beside its floor"));
    let (mut prompts, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (to_request, asked) = bench.prompt("say done", &mut stream).await?;
        prompts.push(to_request);
        floors.push(bench.floor_round(asked).await?);
    }
    let tools = bench.tool_rounds(rounds.min(50), &mut stream).await?;
    let creates = bench.create_rounds(rounds.min(50)).await?;
    let busy = BUSY_SESSIONS * rounds.min(200) / 200;
    terminal.remark(Look::Faint, &format!("the same beside {busy} sessions at work"));
    let beside = bench.busy_rounds(busy, rounds, &mut stream).await?;
    let idle = Row::of_times(PROMPT_TO_REQUEST, &prompts, &floors);
    let beside = Row::of_times(PROMPT_BESIDE_BUSY, &beside, &prompts);
    let ratio = beside.p99 / idle.p99;
    Ok(vec![
        idle,
        Row { ratio: Some(ratio), ok: ratio <= BUSY_RATIO_MAX, ..beside },
        Row::of_times(PROMPT_TO_FIRST_TOOL_RESULT, &tools, &floors),
        Row::of_times(CREATE_SESSION, &creates, &[]),
    ])
}

const PROMPT_TO_REQUEST: Goal = Goal {
    name: "prompt_to_request",
    floor: "one fsynced SQLite append, then one HTTP request over loopback with the same body",
    goal: "p50 at most 2 × the floor",
    ratio_max: Some(2.0),
};
const PROMPT_BESIDE_BUSY: Goal = Goal {
    name: "prompt_to_request_busy",
    floor: "prompt_to_request of the same run; the ratio is that of both p99",
    goal: "p99 at most 3 × that of an idle server, beside 500 sessions to each of which a model says 60 deltas a second",
    ratio_max: None,
};
const PROMPT_TO_FIRST_TOOL_RESULT: Goal = Goal {
    name: "prompt_to_first_tool_result",
    floor: "as prompt_to_request: the tool's own events and its call into the sandbox come on top",
    goal: "reported",
    ratio_max: None,
};
const CREATE_SESSION: Goal = Goal { name: "create_session", floor: "none", goal: "reported", ratio_max: None };

/// The model that speaks at a set pace.
const PACE: &str = "bench/pace";

async fn new_session(client: &Client) -> Result<SessionId, Failure> {
    session_with(client, None, None).await
}

async fn session_with(client: &Client, model: Option<&str>, prompt: Option<NewPrompt>) -> Result<SessionId, Failure> {
    let model = model.map(str::to_owned);
    let wish =
        NewSession { repo: "bench/empty".parse()?, base_branch: None, model, agent: None, prompt, visibility: None };
    Ok(client.create_session(&wish).await?.id)
}

struct Bench {
    client: Client,
    session: SessionId,
    model: StubModel,
    floor: Floor,
}

impl Bench {
    /// From before the prompt is sent to the model's request; then waits for the turn's end.
    async fn prompt(&mut self, text: &str, stream: &mut Stream) -> Result<(Duration, Asked), Failure> {
        let began = Instant::now();
        let accepted = self.client.prompt(&self.session, text);
        let (accepted, asked) = tokio::join!(accepted, self.model.asked.recv());
        accepted?;
        let asked = asked.ok_or_else(|| cannot("go on", "the stub model ended"))?;
        let time = asked.at.duration_since(began);
        wait_for(stream, |body| matches!(body, EventBody::TurnEnded { .. })).await?;
        Ok((time, asked))
    }

    async fn floor_round(&mut self, asked: Asked) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.floor.append()?;
        let url = format!("http://{}/v1/messages", self.model.address);
        let request = self.floor.http.post(url).header("content-type", "application/json").body(asked.body);
        let (answered, asked) = tokio::join!(request.send(), self.model.asked.recv());
        let text = answered.map_err(|error| cannot("reach the stub model", error))?.text().await;
        text.map_err(|error| cannot("read the stub model", error))?;
        let asked = asked.ok_or_else(|| cannot("go on", "the stub model ended"))?;
        Ok(asked.at.duration_since(began))
    }

    async fn tool_rounds(&mut self, rounds: u32, stream: &mut Stream) -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            // A session of its own each: the stub asks for the tool only where the history has no result yet.
            self.session = new_session(&self.client).await?;
            *stream = self.client.follow(&self.session, Seq::START, Patience::default());
            self.prompt("say done", stream).await?;
            let began = Instant::now();
            self.client.prompt(&self.session, "list the files").await?;
            wait_for(stream, |body| matches!(body, EventBody::ToolFinished { .. })).await?;
            times.push(began.elapsed());
            wait_for(stream, |body| matches!(body, EventBody::TurnEnded { .. })).await?;
            while self.model.asked.try_recv().is_ok() {}
        }
        Ok(times)
    }

    /// Prompts like the first ones, while a model speaks to so many other sessions.
    async fn busy_rounds(&mut self, busy: u32, rounds: u32, stream: &mut Stream) -> Result<Vec<Duration>, Failure> {
        let wish = pace_model::wish(BUSY_DELTAS_PER_S * BUSY_S, Duration::from_secs(1) / BUSY_DELTAS_PER_S);
        for _ in 0..busy {
            let prompt = NewPrompt { request_id: None, text: wish.clone() };
            session_with(&self.client, Some(PACE), Some(prompt)).await?;
        }
        self.session = new_session(&self.client).await?;
        *stream = self.client.follow(&self.session, Seq::START, Patience::default());
        tokio::time::sleep(BUSY_SETTLES).await;
        for _ in 0..WARM_UP_ROUNDS {
            self.prompt("say done", stream).await?;
        }
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push(self.prompt("say done", stream).await?.0);
        }
        let running = SessionFilter {
            limit: Some(SESSION_PAGE_MAX),
            status: Some(SessionStatus::Running),
            ..SessionFilter::default()
        };
        let still = self.client.list_sessions(&running).await?.len();
        if still < busy as usize {
            return Err(cannot("measure beside busy sessions", format!("only {still} of {busy} are at work")));
        }
        Ok(times)
    }

    async fn create_rounds(&mut self, rounds: u32) -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            new_session(&self.client).await?;
            times.push(began.elapsed());
        }
        Ok(times)
    }
}

async fn wait_for(stream: &mut Stream, wanted: impl Fn(&EventBody) -> bool) -> Result<(), Failure> {
    let search = async {
        while let Some(update) = stream.next().await {
            if let Update::Event(event) = update?
                && wanted(&event.body)
            {
                return Ok(());
            }
        }
        Err(cannot("go on", "the session's stream ended"))
    };
    tokio::time::timeout(TURN_MAX, search).await.map_err(|_| cannot("go on", "a turn takes too long"))?
}

/// The least that a durable prompt costs.
struct Floor {
    database: rusqlite::Connection,
    http: reqwest::Client,
}

impl Floor {
    fn open(folder: &Path) -> Result<Self, Failure> {
        let database = FLOOR.open(&folder.join("floor.db")).map_err(|error| cannot("open a database", error))?;
        Ok(Self { database, http: reqwest::Client::new() })
    }

    /// One row of the size of a prompt's event, committed and fsynced.
    fn append(&self) -> Result<(), Failure> {
        let inserted = self.database.execute("INSERT INTO event (json) VALUES (?1)", ["x".repeat(300)]);
        inserted.map(drop).map_err(|error| cannot("write a database", error))
    }
}
