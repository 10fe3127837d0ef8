//! The server is killed at every named step of a session's life (`crates/session/src/steps.rs`): nothing acknowledged or shown is lost.
//!
//! One life that nobody interrupts shows how often each part of it comes to each step; then a session of its own is killed at
//! each, at one of those times: at every third in short, at all of them several times in long. A step that is new and not reached
//! fails the test.

use std::{
    collections::BTreeMap,
    fs,
    future::pending,
    path::{Path, PathBuf},
};

use futures::StreamExt as _;
use hangar_client::Error;
use hangar_protocol::{
    EventBody, RefusalCode, SessionId, TurnId,
    api::{NewPrompt, NewSession, OpenPullRequest},
    state::PullRequestStatus,
};
use hangar_session::steps::SessionStep;
use hangar_testkit::{Ground, Person, Promises, Reply, Setting, TestServer, Transcript, Watch, until, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::soak;

/// Servers at once: each waits more than it works.
const AT_ONCE: usize = 3;
/// Steps that are done only where a session has nothing to do: a test of their own.
const ASLEEP: [&str; 2] = ["SleepListed", "SleepTaken"];

/// The part of a life in which a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A session begins and works on two prompts.
    Work,
    /// It opens a pull request.
    PullRequest,
    /// The server ends in order while a turn runs.
    End,
    /// The server starts while a turn is open.
    Wake,
    /// A session without anything to do falls asleep.
    Sleep,
}

impl Part {
    const WORKING: [Self; 4] = [Self::Work, Self::PullRequest, Self::End, Self::Wake];
}

/// When the server ends.
#[derive(Clone, Debug)]
struct Moment {
    part: Part,
    step: String,
    time: u32,
}

fn worker() -> Transcript {
    let write = json!({"path": "made.txt", "content": "made\n"});
    Transcript::new()
        .pace(12, 2)
        .on(
            "work",
            [
                // More than an event holds.
                Reply::say("I look at much.").and_bash("seq 1 3000"),
                Reply::say("I write.").and_call("write", write),
                Reply::say("That is done."),
            ],
        )
        .on("also", [Reply::bash("cat made.txt"), Reply::say("Seen.")])
        .on("wait", [Reply::bash("sleep 600"), Reply::say("Waited.")])
}

/// A server that ends at a step when it is told to.
struct Mortal {
    server: TestServer,
    jane: Person,
    promises: Promises,
    order: PathBuf,
    steps: PathBuf,
    lives: u32,
    /// Where the order and the steps are written.
    _notes: Ground,
}

impl Mortal {
    async fn new() -> Self {
        let notes = Ground::new();
        let (order, steps) = (notes.path().join("order"), notes.path().join("steps"));
        fs::write(&order, "").unwrap();
        let setting = Setting::new(worker())
            .program(Path::new(env!("CARGO_BIN_EXE_server-try")))
            .env("HANGAR_END_AFTER_IN", order.to_str().unwrap())
            .env("HANGAR_STEPS_TO", steps.to_str().unwrap());
        let server = TestServer::start_with(setting).await;
        server.tiny().await;
        let jane = server.owner().clone();
        Self { server, jane, promises: Promises::default(), order, steps, lives: 0, _notes: notes }
    }

    /// Runs until the server is killed at the moment, or to the end of the part where there is none; the steps that were done.
    async fn live(&mut self, part: Part, moment: Option<&Moment>) -> BTreeMap<String, u32> {
        self.lives += 1;
        // Two sessions at least: what the one promised must not hang on the other.
        let session = self.before(part).await;
        fs::write(&self.steps, "").unwrap();
        let order = moment.map_or_else(String::new, |moment| format!("{}:{}", moment.step, moment.time));
        fs::write(&self.order, &order).unwrap();
        if part == Part::Wake {
            self.server.start_again();
        }
        let name = format!("life-{}", self.lives);
        let (jane, promises) = (self.jane.clone(), &mut self.promises);
        let times = match moment {
            Some(_) => {
                if part == Part::End {
                    self.server.ask_to_stop();
                }
                let acting = act(&jane, promises, part, &session, &name);
                tokio::select! {
                    biased;
                    () = self.server.killed() => {}
                    _ = acting => panic!("{moment:?} did not come"),
                }
                fs::write(&self.order, "").unwrap();
                self.server.restart().await;
                BTreeMap::new()
            }
            None => self.whole(part, &session, &name).await,
        };
        self.after(part, &session, &name).await;
        times
    }

    /// How often each step is done in a part that nobody interrupts.
    async fn whole(&mut self, part: Part, session: &Option<SessionId>, name: &str) -> BTreeMap<String, u32> {
        match part {
            Part::Work | Part::PullRequest | Part::Sleep => {
                within("the part's end", act(&self.jane, &mut self.promises, part, session, name)).await;
            }
            Part::End => self.server.stop().await,
            // It was started without being waited for.
            Part::Wake => {
                let jane = self.jane.clone();
                until("the server", async || jane.client().health().await.ok()).await;
            }
        }
        let mut times = BTreeMap::new();
        for step in fs::read_to_string(&self.steps).unwrap().lines() {
            *times.entry(step.to_owned()).or_default() += 1;
        }
        if part == Part::End {
            self.server.restart().await;
        }
        times
    }

    /// What must have happened before the part.
    async fn before(&mut self, part: Part) -> Option<SessionId> {
        match part {
            Part::Work | Part::Sleep => None,
            Part::PullRequest => {
                let session = self.jane.begin("acme/tiny", "Please work.").await.id;
                self.promises.began(&session);
                Watch::new(&self.jane, &session).turn_ended(1).await;
                Some(session)
            }
            Part::End | Part::Wake => {
                let session = self.jane.begin("acme/tiny", "Please wait.").await.id;
                self.promises.began(&session);
                Watch::new(&self.jane, &session).tool_started("bash").await;
                if part == Part::Wake {
                    self.server.kill().await;
                }
                Some(session)
            }
        }
    }

    /// The server is there again: everything was kept, and the session can be worked with.
    async fn after(&mut self, part: Part, session: &Option<SessionId>, name: &str) {
        if part == Part::PullRequest {
            let session = session.as_ref().unwrap();
            until("the pull request", async || pull_request(&self.jane, session).await).await;
        }
        // Whatever is listed is a session, whether it was answered or not.
        let listed = self.jane.client().sessions().await.unwrap();
        listed.iter().for_each(|session| self.promises.began(&session.id));
        let folders = fs::read_dir(self.server.data().join("sessions")).unwrap().flatten();
        let folders = folders.filter(|entry| entry.path().is_dir()).count();
        assert_eq!(folders, listed.len(), "no folder without a session");
        if let Some(newest) = session.clone().or_else(|| listed.first().map(|session| session.id.clone())) {
            let accepted = self.jane.prompt(&newest, name, "Also look.").await.unwrap().unwrap();
            self.promises.acknowledged(&newest, name, "Also look.", accepted.prompt);
        }
        self.promises.kept(&self.jane).await;
    }

    async fn end(mut self) {
        assert!(self.server.traces().has("process"), "traces of a running server are seen");
        self.server.stop().await;
        assert!(self.server.traces().is_empty(), "left behind:\n{}", self.server.traces());
    }
}

/// What people do in a part. A call that finds no server never returns: whoever waits for the server's end waits beside it.
async fn act(jane: &Person, promises: &mut Promises, part: Part, session: &Option<SessionId>, name: &str) {
    match part {
        Part::Work => work(jane, promises, name).await,
        Part::PullRequest => {
            let wish = OpenPullRequest::default();
            match jane.client().open_pull_request(session.as_ref().unwrap(), &wish).await {
                Ok(_) => {}
                Err(_) => pending().await,
            }
        }
        Part::Sleep => {
            let new = new_session(None);
            let Ok(begun) = jane.client().create_session(&new).await else { return pending().await };
            promises.began(&begun.id);
            pending().await
        }
        Part::End | Part::Wake => pending().await,
    }
}

fn new_session(prompt: Option<NewPrompt>) -> NewSession {
    let repo = "acme/tiny".parse().unwrap();
    NewSession { repo, base_branch: None, model: None, prompt, visibility: None }
}

async fn work(jane: &Person, promises: &mut Promises, name: &str) {
    let first = format!("{name}-first");
    let prompt = Some(NewPrompt { request_id: Some(first.parse().unwrap()), text: "Please work.".to_owned() });
    let new = new_session(prompt);
    let Ok(begun) = jane.client().create_session(&new).await else { return pending().await };
    promises.began(&begun.id);
    let mut watch = Watch::new(jane, &begun.id);
    let second = format!("{name}-second");
    let Ok(Ok(accepted)) = jane.prompt(&begun.id, &second, "Also look.").await else { return pending().await };
    promises.acknowledged(&begun.id, &second, "Also look.", accepted.prompt);
    // Both turns and what was kept after the second.
    let mut last = false;
    while !last {
        let update = watch.stubborn_update().await;
        if let hangar_client::Update::Event(event) = update {
            promises.saw(&begun.id, std::slice::from_ref(&event));
            last = matches!(event.body, EventBody::SnapshotTaken { turn: Some(TurnId(2)), .. });
        }
    }
}

/// The session's open pull request, asked for until there is one.
async fn pull_request(jane: &Person, session: &SessionId) -> Option<()> {
    match jane.client().open_pull_request(session, &OpenPullRequest::default()).await {
        Ok(_) => {}
        Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Conflict => {}
        Err(_) => return None,
    }
    let state = jane.client().session(session).await.ok()?;
    let open: Vec<_> = state.pull_requests.iter().filter(|known| known.status == PullRequestStatus::Open).collect();
    assert!(open.len() <= 1, "{open:?}");
    (open.len() == 1).then_some(())
}

/// How often each part comes to each of a session's steps.
async fn rehearsal() -> Vec<Moment> {
    let mut mortal = Mortal::new().await;
    let mut moments: Vec<Moment> = Vec::new();
    for part in Part::WORKING {
        let times = mortal.live(part, None).await;
        for step in SessionStep::ALL.iter().map(|step| step.name()) {
            let Some(&times) = times.get(step) else { continue };
            // At an end and a start every session that is at work comes to the step, and how many are is another matter. Commits vary
            // by what comes together, so that the later half of them is not sure to come.
            let time = if matches!(part, Part::End | Part::Wake) { 1 } else { times.div_ceil(2) };
            moments.push(Moment { part, step: step.to_owned(), time });
        }
    }
    mortal.end().await;
    moments
}

/// Kills at these moments, all on one server; how many there were.
async fn kill_at(moments: Vec<Moment>) -> usize {
    let mut mortal = Mortal::new().await;
    for moment in &moments {
        println!("{moment:?}");
        mortal.live(moment.part, Some(moment)).await;
    }
    mortal.end().await;
    moments.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_of_a_session_nothing_is_lost() {
    let seed = soak::seed();
    let mut random = StdRng::seed_from_u64(seed);
    let all = rehearsal().await;
    let mut chosen: Vec<Moment> = Vec::new();
    let names = SessionStep::ALL.iter().map(|step| step.name()).filter(|name| !ASLEEP.contains(name));
    for (place, step) in (0u64..).zip(names) {
        let here: Vec<&Moment> = all.iter().filter(|moment| moment.step == step).collect();
        assert!(!here.is_empty(), "no part comes to {step}");
        // The first part that comes to it: in a later one it may be another session's.
        let first = here.iter().min_by_key(|moment| moment.part).unwrap();
        for _ in 0..soak::kills_at(place, seed) {
            chosen.push(Moment { time: random.random_range(1..=first.time), ..(*first).clone() });
        }
    }
    let share = chosen.len().div_ceil(AT_ONCE);
    let shares: Vec<Vec<Moment>> = chosen.chunks(share).map(<[Moment]>::to_vec).collect();
    let done: Vec<usize> = futures::stream::iter(shares).map(kill_at).buffer_unordered(AT_ONCE).collect().await;
    println!("HANGAR_SEED={seed}: {} kills at named steps", done.iter().sum::<usize>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_session_falls_asleep_nothing_is_lost() {
    let moments = ASLEEP.map(|step| Moment { part: Part::Sleep, step: step.to_owned(), time: 1 });
    assert_eq!(kill_at(moments.to_vec()).await, ASLEEP.len());
}
