//! Connections between clients and server, and between server and model, are cut, delayed, halved and answered with garbage, clients send
//! everything more than once and come back with old cursors, and now and then the server is killed: nothing is lost or doubled.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hangar_client::{Patience, Update};
use hangar_protocol::{Event, RefusalCode, Seq, SessionId};
use hangar_testkit::{Chaos, PATIENCE, Person, Promises, Proxy, Reply, Setting, TestServer, Transcript, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinHandle;

use crate::{model_faults::play, soak};

/// Sessions at once, with a person who prompts and one who follows each.
const SESSIONS: usize = 3;
/// Prompts that may wait before a person sends no more for a while.
const QUEUE_MAX: usize = 3;
/// Connections spoiled between two kills of the server.
const CUTS_A_KILL: u64 = 45;
/// A follower stays at most so long, then comes back from somewhere before.
const STAY: Duration = Duration::from_millis(400);
const AGAIN: Duration = Duration::from_millis(20);
const BRISK: Patience = Patience {
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_millis(50),
    away_max: Duration::from_secs(1),
};

fn worker() -> Transcript {
    let words = "Some sentences to be cut anywhere, said slowly enough. ".repeat(6);
    Transcript::new().pace(24, 3).on(
        "work",
        [
            Reply::say(&words).and_bash("echo line >> journal.txt; seq 1 1500; wc -l < journal.txt").costing(3, 2),
            Reply::say("That is done.").costing(3, 2),
        ],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_connections_meet_nothing_is_lost_or_doubled() {
    let seed = soak::seed();
    println!("HANGAR_SEED={seed} HANGAR_SOAK_CUTS={} HANGAR_SOAK_SECONDS={}", soak::cuts(), soak::at_least().as_secs());
    let mut random = StdRng::seed_from_u64(seed);
    let model = play(&worker()).await;
    let to_model =
        Proxy::before(model, Chaos { seed: random.random(), passing: 60, bytes_max: 4_000, pause_ms_max: 200 }).await;
    let models = format!("[[models]]\nid = \"m/m\"\nwire = \"anthropic\"\nbase_url = \"{}\"\n", to_model.url());
    let setting = Setting::new(Transcript::new())
        .configured(&format!("default_model = \"m/m\"\ntitles = \"first_words\"\n{models}"));
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let address: SocketAddr = jane.client().url().trim_start_matches("http://").parse().unwrap();
    let chaos = Chaos { seed: random.random(), passing: 20, bytes_max: 12_000, pause_ms_max: 300 };
    let to_server = Proxy::before(address, chaos).await;

    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..SESSIONS {
        let session = jane.begin("acme/tiny", "Please work.").await.id;
        let via = Via { url: to_server.url(), token: jane.token().to_owned(), session, over: Arc::clone(&over) };
        tasks.push(via.clone().prompting(number, random.random()));
        tasks.push(via.following(random.random()));
    }
    let spoiled = || to_server.cuts() + to_model.cuts();
    let began = Instant::now();
    let mut kills = 0;
    let mut moved = (0, began);
    while spoiled() < soak::cuts() || began.elapsed() < soak::at_least() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if spoiled() > moved.0 {
            moved = (spoiled(), Instant::now());
        }
        assert!(moved.1.elapsed() < PATIENCE, "nothing has been spoiled for long after {}", moved.0);
        if spoiled() > CUTS_A_KILL * (kills + 1) {
            kills += 1;
            server.kill().await;
            server.restart().await;
        }
    }
    over.store(true, Ordering::Release);
    to_model.calm_down();
    to_server.calm_down();
    let mut promises = Promises::default();
    for task in tasks {
        promises.join(within("somebody's end", task).await.unwrap());
    }
    let logs = promises.kept(&jane).await;
    let events: usize = logs.values().map(Vec::len).sum();
    println!(
        "HANGAR_SEED={seed}: {} connections spoiled to the server, {} to the model, {kills} kills, {} prompts, {events} events",
        to_server.cuts(),
        to_model.cuts(),
        promises.prompts(),
    );
    assert!(to_server.cuts() > 0 && to_model.cuts() > 0 && promises.prompts() > 0);
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// The way of one person to one session.
#[derive(Clone)]
struct Via {
    url: String,
    token: String,
    session: SessionId,
    over: Arc<AtomicBool>,
}

impl Via {
    /// A connection that no other request uses.
    fn person(&self) -> Person {
        Person::with_token(&self.url, &self.token)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Sends prompts, each until it is acknowledged and often once more.
    fn prompting(self, who: usize, seed: u64) -> JoinHandle<Promises> {
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut promises = Promises::default();
            let mut number = 0;
            while !self.is_over() {
                let (id, text) = (format!("p{who}-{number}"), format!("work on {number}"));
                number += 1;
                self.send(&mut promises, &id, &text).await;
                // Again, as a client does that lost the answer: acknowledged with the same number, or the promises say otherwise.
                if random.random_bool(0.5) {
                    self.send(&mut promises, &id, &text).await;
                }
                while !self.is_over() && self.waiting().await.is_none_or(|waiting| waiting >= QUEUE_MAX) {
                    tokio::time::sleep(AGAIN).await;
                }
            }
            promises
        })
    }

    async fn send(&self, promises: &mut Promises, id: &str, text: &str) {
        let accepted = loop {
            match self.person().prompt(&self.session, id, text).await {
                Ok(Ok(accepted)) => break accepted,
                Ok(Err(refusal)) => assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal}"),
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        };
        promises.acknowledged(&self.session, id, text, accepted.prompt);
    }

    async fn waiting(&self) -> Option<usize> {
        let state = tokio::time::timeout(STAY, self.person().client().session(&self.session)).await;
        Some(state.ok()?.ok()?.queue().count())
    }

    /// Follows for a while, goes, and comes back with a cursor from before.
    fn following(self, seed: u64) -> JoinHandle<Promises> {
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut seen: BTreeMap<Seq, Event> = BTreeMap::new();
            while !self.is_over() {
                let known = seen.keys().next_back().map_or(0, |seq| seq.0);
                let after = Seq(known.saturating_sub(random.random_range(0..20)));
                self.look(after, &mut seen).await;
            }
            let mut promises = Promises::default();
            promises.saw(&self.session, &seen.into_values().collect::<Vec<_>>());
            promises
        })
    }

    async fn look(&self, after: Seq, seen: &mut BTreeMap<Seq, Event>) {
        let mut stream = self.person().client().follow(&self.session, after, BRISK);
        let mut expected = after.next();
        let until = tokio::time::Instant::now() + STAY;
        while let Ok(Some(Ok(update))) = tokio::time::timeout_at(until, stream.next()).await {
            let Update::Event(event) = update else { continue };
            assert_eq!(event.seq, expected, "the very next event after {after}");
            expected = event.seq.next();
            let before = seen.insert(event.seq, (*event).clone());
            assert!(before.as_ref().is_none_or(|before| *before == *event), "{before:?} is now {event:?}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The proxy itself: the same seed has the same schedule, and another has another.
#[test]
fn a_seed_repeats_its_schedule() {
    let schedule = |seed| {
        let chaos = Chaos { seed, passing: 20, bytes_max: 1_000, pause_ms_max: 100 };
        (0..200).map(|connection| chaos.fate(connection)).collect::<Vec<_>>()
    };
    assert_eq!(schedule(7), schedule(7));
    assert_ne!(schedule(7), schedule(8));
}
