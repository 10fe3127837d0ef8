//! Random histories, however they come to the list: what is listed is what the logs say.

use std::path::Path;

use hangar_protocol::{
    CallId, Cause, PromptId, TurnId,
    conversation::{ModelUsage, StopReason},
    event::{EventBody, FileChange, FileChangeKind, PullRequestChange, TurnOutcome},
    ids::Person,
};
use hangar_store::Writers;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use hangar_protocol::SessionState;

use super::*;
use crate::log::{LogReader, SessionLog, StoredEvent};

/// Each seed is a history. A failing one is replayed by its number.
const SEEDS: std::ops::Range<u64> = 0..12;
const EVENTS: u64 = 150;

fn person(login: &str) -> Person {
    Person { user: login.parse().unwrap(), name: format!("{login} Doe"), email: format!("{login}@example.org") }
}

fn session(seed: u64) -> SessionId {
    format!("session{seed:05}").parse().unwrap()
}

fn first(seed: u64) -> EventBody {
    EventBody::SessionCreated {
        session: session(seed),
        owner: person("ada"),
        repo: "acme/tiny".parse().unwrap(),
        base_branch: "main".to_owned(),
        base_commit: "1".repeat(40),
        branch: format!("hangar/{}", session(seed)),
        model: "test/model".to_owned(),
        agent: None,
        title: "The first title".to_owned(),
    }
}

/// Some event. Not all of them could follow each other in a real session: the list must not depend on that.
fn some(random: &mut StdRng, seq: u64) -> EventBody {
    let turn = TurnId(random.random_range(1..6));
    let prompt = PromptId(u32::try_from(seq).unwrap());
    let number = random.random_range(1..4);
    let by = "grace".to_owned();
    let who = ["ada", "grace", "linus"].choose(random).unwrap();
    let pick = random.random_range(0..16);
    match pick {
        0 => EventBody::ParticipantJoined { person: person(who) },
        1 => EventBody::TitleChanged {
            title: format!("Title {seq} of the {who}"),
            usage: ModelUsage::default(),
            cost_micro_usd: None,
        },
        2 | 3 => EventBody::PromptAdded {
            prompt,
            request_id: format!("request-{seq}").parse().unwrap(),
            author: who.parse().unwrap(),
            text: format!("Please make {who}'s \"login\" page number {seq} blue"),
        },
        4 => EventBody::PromptCancelled { prompt: PromptId(random.random_range(1..=prompt.0)), request_id: None },
        // A turn begins once.
        5 => {
            EventBody::TurnStarted { turn: TurnId(prompt.0 + 100), prompt: PromptId(random.random_range(1..=prompt.0)) }
        }
        6 => EventBody::TurnEnded { turn, outcome: TurnOutcome::Done },
        7 => EventBody::ModelRequested { turn, step: 1, model: "test/model".to_owned() },
        8 | 9 => EventBody::ModelReplied {
            turn: TurnId(random.random_range(100..=prompt.0 + 100)),
            step: 1,
            blocks: Vec::new(),
            usage: ModelUsage { input_tokens: 7, output_tokens: random.random_range(0..9), ..ModelUsage::default() },
            cost_micro_usd: random.random_bool(0.5).then_some(3),
            stop: StopReason::EndTurn,
            first_token_ms: 5,
            duration_ms: 50,
        },
        10 => EventBody::ToolStarted {
            turn: TurnId(random.random_range(100..=prompt.0 + 100)),
            call: CallId::try_from(format!("call{seq}")).unwrap(),
            name: "bash".to_owned(),
            input: serde_json::Value::Null,
        },
        11 => EventBody::FilesChanged {
            files: vec![FileChange { path: format!("src/file{number}.rs"), kind: FileChangeKind::Modified }],
            more: 0,
        },
        12 => EventBody::PullRequestOpened {
            number,
            title: "Blue".to_owned(),
            author: who.parse().unwrap(),
            url: "/pull".to_owned(),
        },
        13 => {
            EventBody::PullRequestChanged { number, change: PullRequestChange::Merged { by, commit: "2".repeat(40) } }
        }
        14 => EventBody::PullRequestChanged {
            number,
            change: PullRequestChange::Reviewed { by, verdict: "approved".to_owned() },
        },
        _ => EventBody::PullRequestChanged { number, change: PullRequestChange::Reopened { by } },
    }
}

fn history(seed: u64) -> Vec<Event> {
    let mut random = StdRng::seed_from_u64(seed);
    let bodies = std::iter::once(first(seed)).chain((2..=EVENTS).map(move |seq| some(&mut random, seq)));
    (1..)
        .zip(bodies)
        .map(|(seq, body)| Event { seq: Seq(seq), time_ms: 1_000 * seq, cause: Cause::System, body })
        .collect()
}

struct World {
    folder: tempfile::TempDir,
    writers: Writers,
    index: Index,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writers = Writers::start().unwrap();
        let index = Index::open(&writers, folder.path()).await.unwrap();
        Self { folder, writers, index }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self, id: &SessionId) -> LogReader {
        LogReader::new(&self.path().join(id.as_str()))
    }

    async fn write_log(&self, id: &SessionId, events: &[Event]) {
        let folder = self.path().join(id.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        let rows = events.iter().map(|event| StoredEvent::new(event).unwrap()).collect();
        SessionLog::begin(&self.writers, &folder, rows).await.unwrap().close().await;
    }
}

fn step(events: &[Event], from: usize, to: usize) -> Step {
    let state = SessionState::fold(&events[..to]).unwrap();
    Step { from: From::After(Seq(from as u64)), events: events[from..to].to_vec(), summary: SessionSummary::of(&state) }
}

/// Brings a history to the list in pieces, some of them twice, some of them lost, some of them while the entry is made anew.
async fn bring(world: &World, seed: u64, events: &[Event]) {
    let id = session(seed);
    let mut random = StdRng::seed_from_u64(seed ^ 0xfeed);
    let mut at = 0;
    while at < events.len() {
        let to = (at + random.random_range(1..20)).min(events.len());
        let step = step(events, at, to);
        match random.random_range(0..8) {
            0 => drop(catch_up(&world.index, &world.log(&id), &id).await.unwrap()),
            1 => catch_up::anew(&world.index, &world.log(&id)).await.unwrap(),
            2 => {}
            3 => {
                world.index.step(step.clone()).await.unwrap();
                let again = world.index.step(step).await.unwrap();
                assert!(matches!(again, Stepped::Elsewhere(_)), "seed {seed}: a step counts once");
            }
            _ => drop(world.index.step(step).await.unwrap()),
        }
        at = to;
    }
    catch_up(&world.index, &world.log(&id), &id).await.unwrap();
}

#[tokio::test]
async fn whatever_way_a_history_took_the_list_is_what_the_logs_say() {
    let world = World::new().await;
    for seed in SEEDS {
        let events = history(seed);
        world.write_log(&session(seed), &events).await;
        bring(&world, seed, &events).await;
    }
    let compared = check(world.path(), AtRest::Yes).unwrap();
    let whole = Compared { sessions: SEEDS.end, ..Compared::default() };
    assert_eq!(compared, whole);
    // Against the fold, which is another program.
    for seed in SEEDS {
        let state = SessionState::fold(&history(seed)).unwrap();
        let sums = move |connection: &Connection| {
            connection.query_row(
                "SELECT (SELECT count(*) FROM prompt WHERE session = ?1),
                   (SELECT count(*) FROM prompt WHERE session = ?1 AND cancelled_ms IS NOT NULL),
                   (SELECT count(*) FROM turn WHERE session = ?1),
                   (SELECT count(*) FROM word WHERE session = ?1 AND place = 'path')",
                [session(seed).as_str()],
                |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
            )
        };
        let found = world.index.database.read(sums).await.unwrap();
        let cancelled = state.prompts.iter().filter(|p| p.status == hangar_protocol::state::PromptStatus::Cancelled);
        let expected = [state.prompts.len(), cancelled.count(), state.turns.len(), state.files.len()];
        // A prompt that was taken can be cancelled by no real session, so the fold knows at most as many.
        assert_eq!(found.map(|n| n as usize)[..1], expected[..1], "seed {seed}");
        assert_eq!(found.map(|n| n as usize)[2..], expected[2..], "seed {seed}");
        assert!(found[1] as usize >= expected[1], "seed {seed}");
    }
    let rebuilt = rebuild(world.path()).await.unwrap();
    assert_eq!(rebuilt, Rebuilt { sessions: SEEDS.end, damaged: Vec::new() });
    assert_eq!(check(world.path(), AtRest::Yes).unwrap(), whole);
}

#[tokio::test]
async fn a_list_that_says_anything_else_is_found_out() {
    let tampered = [
        "UPDATE session SET seq = seq - 1",
        "UPDATE session SET summary = replace(summary, 'title', 'tilte')",
        "DELETE FROM session",
        "DELETE FROM prompt WHERE prompt = (SELECT min(prompt) FROM prompt)",
        "UPDATE turn SET output_tokens = output_tokens + 1 WHERE turn = (SELECT min(turn) FROM turn)",
        "INSERT INTO pull_request (session, number, author, opened_ms, status) VALUES ('session00003', 99, 'ada', 1, 'merged')",
        "UPDATE word SET text = 'another' WHERE id = (SELECT min(id) FROM word)",
        "INSERT INTO words (words) VALUES ('delete-all')",
    ];
    for sql in tampered {
        let world = World::new().await;
        world.write_log(&session(3), &history(3)).await;
        catch_up::anew(&world.index, &world.log(&session(3))).await.unwrap();
        assert_eq!(check(world.path(), AtRest::Yes).unwrap().differences, Vec::<String>::new());
        world.index.database.write(move |connection| connection.execute(sql, [])).await.unwrap();
        let compared = check(world.path(), AtRest::Yes).unwrap();
        assert!(!compared.differences.is_empty(), "{sql}");
        rebuild(world.path()).await.unwrap();
        assert_eq!(check(world.path(), AtRest::Yes).unwrap().differences, Vec::<String>::new(), "{sql}");
    }
}

#[tokio::test]
async fn what_a_fork_copied_is_found_in_it_and_counted_where_it_was_done() {
    let world = World::new().await;
    let id = session(2);
    let prompt = |number: u32| EventBody::PromptAdded {
        prompt: PromptId(number),
        request_id: format!("request-{number}").parse().unwrap(),
        author: "ada".parse().unwrap(),
        text: format!("wish{number}"),
    };
    let forked = EventBody::ForkedFrom { session: session(1), turn: TurnId(1), until: Seq(3) };
    let events: Vec<Event> = (1..)
        .zip([first(2), forked, prompt(1), prompt(2)])
        .map(|(seq, body)| Event { seq: Seq(seq), time_ms: seq, cause: Cause::System, body })
        .collect();
    world.write_log(&id, &events).await;
    catch_up(&world.index, &world.log(&id), &id).await.unwrap();
    let counted = |connection: &Connection| {
        connection.query_row("SELECT group_concat(prompt) FROM prompt", [], |row| row.get::<_, String>(0))
    };
    assert_eq!(world.index.database.read(counted).await.unwrap(), "2");
    for wanted in ["wish1", "wish2"] {
        assert_eq!(
            world.index.search(Wanted::parse(wanted).unwrap(), &person("zoe").user).await.unwrap().len(),
            1,
            "{wanted}"
        );
    }
}

#[tokio::test]
async fn words_are_found_where_they_stand() {
    let world = World::new().await;
    let id = session(1);
    let mut events = vec![first(1)];
    events.push(EventBody::PromptAdded {
        prompt: PromptId(1),
        request_id: "one".parse().unwrap(),
        author: "ada".parse().unwrap(),
        text: "Make the Zürich login page blue; keep \"quotes\" AND OR NOT as they are".to_owned(),
    });
    events.push(EventBody::FilesChanged {
        files: vec![FileChange { path: "web/src/login_page.tsx".to_owned(), kind: FileChangeKind::Created }],
        more: 0,
    });
    let events: Vec<Event> = (1..)
        .zip(events)
        .map(|(seq, body)| Event { seq: Seq(seq), time_ms: seq, cause: Cause::System, body })
        .collect();
    world.write_log(&id, &events).await;
    catch_up(&world.index, &world.log(&id), &id).await.unwrap();
    // What is typed, and the words that match in the place that is shown.
    let table: [(&str, Option<&[&str]>); 12] = [
        ("zurich", Some(&["Zürich"])),
        ("ZÜR", Some(&["Zürich"])),
        ("login_page.tsx", Some(&["login_page.tsx"])),
        ("ada blue", Some(&["blue"])),
        ("blue green", None),
        ("\"quotes\"", Some(&["quotes"])),
        ("or", Some(&["OR"])),
        ("not\"", Some(&["NOT"])),
        ("ogin", None),
        ("text:blue", None),
        ("first title", Some(&["first", "title"])),
        ("-blue*", Some(&["blue"])),
    ];
    for (typed, expected) in table {
        let found = world.index.search(Wanted::parse(typed).unwrap(), &person("zoe").user).await.unwrap();
        let matched: Option<Vec<String>> = found.first().map(|session| {
            let pieces = &session.found.as_ref().unwrap().pieces;
            pieces.iter().filter(|piece| piece.matched).map(|piece| piece.text.clone()).collect()
        });
        let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        if typed == "ada blue" {
            // Either word's place may fit best.
            assert!(matched.is_some(), "{typed}");
        } else {
            assert_eq!(matched, expected, "{typed}");
        }
    }
    assert_eq!(Wanted::parse(" \" * - "), None);
}
