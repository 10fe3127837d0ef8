//! The server is killed at every named step of a session's life (`crates/session/src/steps.rs`): nothing acknowledged or shown is lost.
//!
//! One life that nobody interrupts shows how often each part of it comes to each step; then a session of its own is killed at
//! each, at one of those times: at every third in short, at all of them several times in long. A step that is new and not reached
//! fails the test.

mod parts;

use std::{
    collections::BTreeMap,
    fs,
    future::pending,
    path::{Path, PathBuf},
};

use futures::StreamExt as _;
use hangar_protocol::SessionId;
use hangar_session::steps::SessionStep;
use hangar_testkit::{Ground, Person, Promises, Setting, TestServer, until, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::parts::{Part, worker};
use crate::soak;

/// Servers at once: each waits more than it works.
const AT_ONCE: usize = 3;
/// Steps that are done only where a session has nothing to do: a test of their own.
const ASLEEP: [&str; 2] = ["SleepListed", "SleepTaken"];

/// When the server ends.
#[derive(Clone, Debug)]
struct Moment {
    part: Part,
    step: String,
    time: u32,
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
            .env("HANGAR_SESSIONS_RESTORABLE_HOURS", "0")
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
        let session = part.before(&self.jane, &mut self.promises).await;
        if part == Part::Wake {
            self.server.kill().await;
        }
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
                // Some of what people wish for goes on after it was answered.
                let acting = async {
                    part.act(&jane, promises, &session, &name).await;
                    pending::<()>().await;
                };
                tokio::select! {
                    () = self.server.killed() => {}
                    () = acting => {}
                }
                fs::write(&self.order, "").unwrap();
                self.server.restart().await;
                BTreeMap::new()
            }
            None => self.whole(part, &session, &name).await,
        };
        self.after(part, session, &name).await;
        times
    }

    /// How often each step is done in a part that nobody interrupts.
    async fn whole(&mut self, part: Part, session: &Option<SessionId>, name: &str) -> BTreeMap<String, u32> {
        match part {
            Part::Work | Part::PullRequest | Part::Fork | Part::Rewind | Part::Removal | Part::Sleep | Part::Spawn => {
                within("the part's end", part.act(&self.jane, &mut self.promises, session, name)).await;
                // A removal is answered before it is carried out.
                if part == Part::Removal {
                    until("the removal", async || self.noted().contains_key("RemovalDone").then_some(())).await;
                }
            }
            Part::End => self.server.stop().await,
            // It was started without being waited for.
            Part::Wake => {
                let jane = self.jane.clone();
                until("the server", async || jane.client().health().await.ok()).await;
            }
        }
        let times = self.noted();
        if part == Part::End {
            self.server.restart().await;
        }
        times
    }

    /// How often each step was done since the part began.
    fn noted(&self) -> BTreeMap<String, u32> {
        let mut times = BTreeMap::new();
        for step in fs::read_to_string(&self.steps).unwrap().lines() {
            *times.entry(step.to_owned()).or_default() += 1;
        }
        times
    }

    /// The server is there again: everything was kept, and the session can be worked with.
    async fn after(&mut self, part: Part, session: Option<SessionId>, name: &str) {
        let session = part.put_right(&self.jane, &self.server, session).await;
        // Whatever is listed is a session, whether it was answered or not.
        let listed = self.jane.client().sessions().await.unwrap();
        listed.iter().for_each(|session| self.promises.began(&session.id));
        let folders = fs::read_dir(self.server.data().join("sessions")).unwrap().flatten();
        let folders = folders.filter(|entry| entry.path().is_dir()).count();
        assert_eq!(folders, listed.len(), "no folder without a session");
        if let Some(newest) = session.or_else(|| listed.first().map(|session| session.id.clone())) {
            let accepted = self.jane.prompt(&newest, name, "Also look.").await.unwrap().unwrap();
            self.promises.acknowledged(&newest, name, "Also look.", accepted.prompt);
            self.promises.kept(&self.jane).await;
            part.check_files(&self.jane, &newest).await;
        }
    }

    async fn end(mut self) {
        assert!(self.server.traces().has("process"), "traces of a running server are seen");
        self.server.stop().await;
        assert!(self.server.traces().is_empty(), "left behind:\n{}", self.server.traces());
    }
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
