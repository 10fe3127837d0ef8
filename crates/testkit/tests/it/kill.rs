//! The kill test: the server is killed again and again while people work, and nothing that was accepted or shown is lost or doubled.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hangar_protocol::{
    Event, EventBody, PromptId, SessionId, SessionState, TurnId,
    event::{ToolStatus, TurnOutcome},
    state::PromptStatus,
};
use hangar_testkit::{Person, Reply, Story, TestServer, Transcript, Watch, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

/// How often the server is killed; `HANGAR_KILLS` says otherwise.
const KILLS: u32 = 12;
/// A life of the server lasts so long, counted from when it listens.
const LIFE_MS: std::ops::Range<u64> = 50..1_500;
/// Every fourth life ends during the start, so long after the process was made.
const START_MS: std::ops::Range<u64> = 5..400;
/// Pauses between two prompts of a person.
const PAUSE_MS: std::ops::Range<u64> = 0..3_500;
/// Prompts that may wait before a person sends no more for a while: a busy machine works them off slowly.
const QUEUE_MAX: usize = 4;
/// After a broken connection the same prompt is sent again.
const AGAIN: Duration = Duration::from_millis(50);

/// Prints how many lines the journal has, after adding one. Files that were kept make the numbers rise.
const JOURNAL: &str = "echo line >> journal.txt && sleep 0.2 && echo \"journal $(wc -l < journal.txt) lines\"";

fn worker() -> Transcript {
    Transcript::new()
        .pace(6, 8)
        .on("begin", [Reply::say("I begin.").and_call("write", json!({"path": "kept.txt", "content": "kept words\n"})), Reply::say("Begun.")])
        .on(
            "work",
            [
                Reply::say("A line for the journal.").and_bash(JOURNAL),
                Reply::say("Now an edit and a look.")
                    .and_call("write", json!({"path": "state.txt", "content": "of the last turn\n"}))
                    .and_call("grep", json!({"pattern": "kept"})),
                Reply::bash("rm -f .git/index.lock && git add -A && git commit --quiet --allow-empty --message work && sleep 0.1 && echo committed"),
                Reply::say("That is done, and said in rather many words so that there is something to stream."),
            ],
        )
        .on("look", [Reply::bash("cat kept.txt state.txt && git status --short && git log --format=%an"), Reply::say("Seen.")])
}

fn kills() -> u32 {
    env::var("HANGAR_KILLS").map_or(KILLS, |text| text.parse().expect("HANGAR_KILLS is a number"))
}

fn seed() -> u64 {
    env::var("HANGAR_SEED").map_or_else(|_| rand::random(), |text| text.parse().expect("HANGAR_SEED is a number"))
}

/// What a person knows at the end: each request id with its text, and the number it was acknowledged with.
type Acknowledged = BTreeMap<String, (String, PromptId)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let seed = seed();
    println!("HANGAR_SEED={seed} HANGAR_KILLS={}", kills());
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = TestServer::start(worker()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let session = jane.begin("acme/tiny", "Please begin.").await.id;
    let mut first = Watch::new(&jane, &session);
    assert_eq!(first.turn_ended(1).await, TurnOutcome::Done);

    let over = Arc::new(AtomicBool::new(false));
    let people = [("jane", &jane), ("ada", &ada)];
    let prompting = people.map(|(name, person)| prompts(name, person, &session, &over, random.random()));
    let (ended, end) = watch::channel(false);
    let following =
        [follow(people[0].1, &session, end.clone()).await, follow(people[1].1, &session, end.clone()).await];

    for life in 0..kills() {
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        server.kill().await;
        if life % 4 == 3 {
            server.start_and_kill(Duration::from_millis(random.random_range(START_MS))).await;
        }
        server.restart().await;
    }
    over.store(true, Ordering::Release);

    let mut acknowledged = Acknowledged::new();
    for task in prompting {
        acknowledged.extend(within("every acknowledgement", task).await.expect("a person's task"));
    }
    let last = within("the last prompt", jane.prompt(&session, "last", "look at it")).await;
    let last = last.expect("the server runs").expect("it is accepted");
    acknowledged.insert("last".to_owned(), ("look at it".to_owned(), last.prompt));
    let turn = TurnId(last.prompt.0);
    assert_eq!(first.turn_ended(turn.0).await, TurnOutcome::Done, "{}", Story::of(first.events()));

    ended.send_replace(true);
    let mut seen = vec![first.events().to_vec()];
    for task in following {
        seen.push(within("a follower", task).await.expect("a follower's task"));
    }
    // Read last: the snapshot after the last turn is told when it is on disk, which may be later than anything that was waited for.
    let (log, state) = within("a log and a state of the same moment", async {
        loop {
            let log = jane.log(&session).await;
            let state = jane.client().session(&session).await.expect("the state");
            if log.last().is_some_and(|last| last.seq == state.seq) {
                break (log, state);
            }
        }
    })
    .await;
    check_log(&log, &acknowledged);
    for seen in seen {
        assert!(!seen.is_empty());
        check_seen(&log, &seen);
    }
    check_files(&log);
    assert_eq!(state, SessionState::fold(&log).expect("a log"), "the served state is the fold of the log");
    println!(
        "{} prompts, {} events, {} resumes",
        acknowledged.len(),
        log.len(),
        log.iter().filter(|event| matches!(event.body, EventBody::TurnResumed { .. })).count()
    );

    assert!(server.traces().has("process"), "traces of a running server are seen");
    server.stop().await;
    // The list of sessions went through the same kills and is what the logs say.
    let data = server.data().display().to_string();
    let compared = server.run(&["rebuild", "--check", "--data", &data]).await;
    assert_eq!(compared.code, Some(0), "{}{}", compared.out, compared.err);
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// Sends prompts until told to stop, each again and again until it is acknowledged.
fn prompts(
    name: &'static str,
    person: &Person,
    session: &SessionId,
    over: &Arc<AtomicBool>,
    seed: u64,
) -> JoinHandle<Acknowledged> {
    let (person, session, over) = (person.clone(), session.clone(), Arc::clone(over));
    tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(seed);
        let mut acknowledged = Acknowledged::new();
        for number in 0..kills() {
            if over.load(Ordering::Acquire) {
                break;
            }
            let (id, text) = (format!("{name}-{number}"), format!("work on {number} for {name}"));
            let accepted = loop {
                match person.prompt(&session, &id, &text).await {
                    Ok(Ok(accepted)) => break accepted,
                    Ok(Err(refusal)) => assert_eq!(refusal.code.http_status(), 503, "{refusal}"),
                    Err(_) => {}
                }
                tokio::time::sleep(AGAIN).await;
            };
            acknowledged.insert(id, (text, accepted.prompt));
            tokio::time::sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
            while !over.load(Ordering::Acquire) && !queue_is_short(&person, &session).await {
                tokio::time::sleep(AGAIN).await;
            }
        }
        acknowledged
    })
}

/// Whether another prompt may be sent. Not while there is no server to say so.
async fn queue_is_short(person: &Person, session: &SessionId) -> bool {
    let state = person.client().session(session).await;
    state.is_ok_and(|state| state.queue().count() < QUEUE_MAX)
}

/// Follows through all restarts until told to end; gives every event seen. It is connected when this answers: a stream that never was does not wait for its server.
async fn follow(person: &Person, session: &SessionId, mut end: watch::Receiver<bool>) -> JoinHandle<Vec<Event>> {
    let mut watch = Watch::new(person, session);
    watch.until("the beginning", |_| true).await;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = watch.update() => {}
                _ = end.wait_for(|&ended| ended) => return watch.events().to_vec(),
            }
        }
    })
}

/// No gap, every acknowledged prompt once and as it was sent, one turn for each prompt, each with an end.
fn check_log(log: &[Event], acknowledged: &Acknowledged) {
    let state = SessionState::fold(log).expect("the log has no gap");
    let mut added = BTreeMap::new();
    let mut started = BTreeSet::new();
    let mut ended = BTreeMap::new();
    for event in log {
        match &event.body {
            EventBody::PromptAdded { prompt, request_id, author, text } => {
                let before = added.insert(request_id.to_string(), (text.clone(), *prompt));
                assert_eq!(before, None, "{request_id} was added twice");
                let sender = request_id.as_str().split('-').next().unwrap_or_default();
                assert!(
                    !["jane", "ada"].contains(&sender) || sender == author.as_str(),
                    "{request_id} is not {author}'s"
                );
            }
            EventBody::TurnStarted { turn, prompt } => {
                assert!(started.insert(*turn), "turn {turn} began twice");
                assert_eq!(turn.0, prompt.0, "prompts are worked on in order");
            }
            EventBody::TurnEnded { turn, outcome } => {
                assert_eq!(ended.insert(*turn, outcome.clone()), None, "turn {turn} ended twice");
            }
            _ => {}
        }
    }
    for (id, sent) in acknowledged {
        assert_eq!(added.get(id), Some(sent), "{id} was acknowledged");
    }
    assert_eq!(added.len(), acknowledged.len() + 1, "the first prompt, and those that were sent");
    assert!(state.prompts.iter().all(|prompt| prompt.status == PromptStatus::Taken));
    assert_eq!(started.len(), added.len());
    for turn in started {
        match ended.get(&turn) {
            Some(TurnOutcome::Done) => {}
            Some(TurnOutcome::Failed { reason }) => assert!(reason.contains("resumed"), "turn {turn} failed: {reason}"),
            other => panic!("turn {turn} ended as {other:?}"),
        }
    }
}

/// What somebody saw is what is true.
fn check_seen(log: &[Event], seen: &[Event]) {
    for event in seen {
        let place = usize::try_from(event.seq.0).expect("a place") - 1;
        assert_eq!(log.get(place), Some(event), "event {} as it was seen", event.seq);
    }
}

/// The journal never became shorter, and the first turn's file is there at the end.
fn check_files(log: &[Event]) {
    let mut lines = 0;
    let mut last = String::new();
    for event in log {
        let EventBody::ToolFinished { status: ToolStatus::Ok, output, .. } = &event.body else { continue };
        last.clone_from(output);
        let Some((_, rest)) = output.split_once("journal ") else { continue };
        let now: u32 = rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number of lines");
        assert!(now > lines, "the journal had {lines} lines and then {now}");
        lines = now;
    }
    assert!(lines > 0, "no journal was written");
    assert!(last.starts_with("kept words\nof the last turn\n"), "{last}");
}
