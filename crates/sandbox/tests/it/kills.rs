//! The process that has the engine is killed at every step of a sandbox's life: nothing stays on the machine, nothing that was done is lost, and what was
//! interrupted can be done again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use hangar_sandbox::{
    Engine, Error, Guarantee, Root, SandboxSpec, adopt,
    layers::{About, Kind, LayerId, LayerStore, begin, snapshots},
    steps::Step,
};

use crate::{
    bench::{engine_with_slots, output, until},
    remains,
};

/// Steps of what `faults-try` does not do: collecting layers has a test of its own (`layer_faults.rs`).
const NOT_IN_A_LIFE: [Step; 2] = [Step::CollectMoved, Step::CollectHalfRemoved];
/// The same as in `faults-try`.
const LOOK: &str = "cd /; find workspace home/agent -type d -printf '%p d %m %U %G\\n' | sort; \
    find workspace home/agent ! -type d -printf '%p %y %m %U %G %s %l\\n' | sort; \
    find workspace home/agent -type f -exec sha256sum {} + | sort";
/// How long a killed engine's sandboxes may take to be gone, once the next engine is there.
const SWEEP_PATIENCE: Duration = Duration::from_secs(20);

/// Lives at once: each waits for the kernel more than it works.
const AT_ONCE: usize = 4;

/// A data directory with one layer.
pub(crate) fn data() -> tempfile::TempDir {
    let directory = tempfile::TempDir::new().unwrap();
    let workspace = directory.path().join("layer/workspace");
    fs::create_dir_all(workspace.join("src")).unwrap();
    fs::write(workspace.join("README.md"), "hello\n").unwrap();
    fs::write(workspace.join("src/lib.rs"), "pub fn one() -> u32 {\n    1\n}\n").unwrap();
    adopt(&workspace).unwrap();
    directory
}

async fn life(data: &Path, name: &str, environment: &[(&str, &str)]) -> Output {
    let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_faults-try"))
        .arg(data)
        .args(["life", name])
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&program.stderr), "");
    program
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
}

/// What a life said is durable: what it shows, and its layers.
fn durable(lines: &[String]) -> BTreeMap<String, (String, Vec<LayerId>)> {
    let told = lines.iter().filter_map(|line| line.strip_prefix("durable "));
    told.map(|line| {
        let mut words = line.splitn(3, ' ');
        let (name, ids, look) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let ids = ids.split(',').map(|id| id.parse().unwrap()).collect();
        (name.to_owned(), (look.replace('|', "\n"), ids))
    })
    .collect()
}

fn spec(data: &Path, name: &str) -> SandboxSpec {
    SandboxSpec::new(name, Root::host(vec![data.join("layer")]), data.join("sessions").join(name))
}

/// A life that nobody interrupts: what it shows, and how often it comes to each step.
async fn whole_life() -> (BTreeMap<String, String>, BTreeMap<String, u32>) {
    let directory = data();
    let list = directory.path().join("steps");
    let ended = life(directory.path(), "whole", &[("HANGAR_STEPS_TO", list.to_str().unwrap())]).await;
    let said = lines(&ended);
    assert_eq!(said.last().map(String::as_str), Some("closed"), "{said:?}");
    assert_eq!(remains::of_engine(directory.path()), Vec::<String>::new());
    let looks = durable(&said).into_iter().map(|(name, (look, _))| (name, look)).collect();
    let mut steps = BTreeMap::new();
    for step in fs::read_to_string(list).unwrap().lines() {
        *steps.entry(step.to_owned()).or_default() += 1;
    }
    (looks, steps)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_life_nothing_stays_and_nothing_is_lost() {
    let (looks, steps) = whole_life().await;
    let expected: BTreeSet<&str> =
        Step::ALL.iter().filter(|step| !NOT_IN_A_LIFE.contains(step)).map(|step| step.name()).collect();
    let found: BTreeSet<&str> = steps.keys().map(String::as_str).collect();
    assert_eq!(found, expected, "the steps of a life are others than those that are named");
    let began = Instant::now();
    // Where it comes again and again, in the middle: snapshots are there by then, and others are to come.
    let moments: Vec<String> = steps.iter().map(|(step, times)| format!("{step}:{}", times.div_ceil(2))).collect();
    let looks = Arc::new(looks);
    let kills = futures::stream::iter(moments.clone()).map(|moment| {
        let looks = Arc::clone(&looks);
        // A task each, so that all that go wrong are told, not only the first.
        tokio::spawn(async move { kill_at(&moment, &looks).await })
    });
    let kills: Vec<_> = kills.buffered(AT_ONCE).collect().await;
    let wrong: Vec<&String> = moments.iter().zip(&kills).filter(|(_, kill)| kill.is_err()).map(|(at, _)| at).collect();
    assert_eq!(wrong, Vec::<&String>::new());
    println!("{} kills in {:?}", kills.len(), began.elapsed());
    assert_eq!(kills.len(), expected.len());
}

/// One life that ends at `step`, and what comes after.
async fn kill_at(step: &str, looks: &BTreeMap<String, String>) {
    let directory = data();
    let data = directory.path();
    let note = data.join("children");
    let environment = [("HANGAR_END_AFTER", step), ("HANGAR_CHILDREN_TO", note.to_str().unwrap())];
    let ended = life(data, "first", &environment).await;
    let said = lines(&ended);
    assert_eq!(ended.status.signal(), Some(9), "{step}: {said:?}");

    let engine = engine_with_slots(data, 0).await;
    let noted = remains::noted(&note);
    let began = Instant::now();
    loop {
        let left = [remains::of_engine(data), remains::of_processes(&noted)].concat();
        if left.is_empty() {
            break;
        }
        assert!(began.elapsed() < SWEEP_PATIENCE, "{step}: left behind:\n{}", left.join("\n"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    taken_up(step, data, &engine, &said, looks).await;
    restored(step, data, &engine, &said, looks).await;
    assert_eq!(remains::half_done(data), Vec::<String>::new(), "{step}");
    engine.close();
    drop(engine);

    // All of it again, over the same data.
    let again = life(data, "again", &[]).await;
    let said = lines(&again);
    assert_eq!(said.last().map(String::as_str), Some("closed"), "{step}: {said:?}");
    let shown: BTreeMap<String, String> = durable(&said).into_iter().map(|(name, (look, _))| (name, look)).collect();
    assert_eq!(&shown, looks, "{step}");
    assert_eq!(remains::of_engine(data), Vec::<String>::new(), "{step}");
}

/// The interrupted session goes on: its files are those after the last deed that was done, or after the one that was being done. A snapshot of it is taken.
async fn taken_up(step: &str, data: &Path, engine: &Engine, said: &[String], looks: &BTreeMap<String, String>) {
    let sandbox = engine.create(spec(data, "first")).await.unwrap_or_else(|error| panic!("{step}: {error}"));
    let look = output(&sandbox, LOOK).await;
    let did = said.iter().filter(|line| line.starts_with("did ")).count();
    let after: Vec<&String> = ["snapshot-0", "snapshot-1", "copy"].iter().map(|name| &looks[*name]).collect();
    match did {
        0 => assert!(!after[1..].contains(&&look), "{step}: {look}"),
        1 => assert!(look == *after[0] || look == *after[1], "{step}: {look}"),
        _ => assert!(look == *after[1] || look == *after[2], "{step}: {look}"),
    }
    let frozen = sandbox.snapshot().await.unwrap_or_else(|error| panic!("{step}: {error}"));
    assert_eq!(frozen.guarantee, Guarantee::Quiescent, "{step}");
    assert_eq!(output(&sandbox, LOOK).await, look, "{step}");
    let session = spec(data, "first").session_dir;
    let layers =
        blocking(data, move |store| store.seal_session(&session, &About::new(Kind::Snapshot, "taken up")).unwrap())
            .await;
    sandbox.destroy().await;
    let fork = fork(data, engine, "taken-up", &layers).await.unwrap();
    assert_eq!(fork, look, "{step}");
    // What was begun over layers shows them, or has not begun and can be.
    let begun = spec(data, "first-fork");
    if begun.session_dir.exists() {
        if snapshots(&begun.session_dir).unwrap().is_empty() {
            begin(&begun.session_dir, &durable(said)["snapshot-1"].1).unwrap();
        }
        let forked = engine.create(begun).await.unwrap_or_else(|error| panic!("{step}: {error}"));
        let look = output(&forked, &format!("rm -f /workspace/later; {LOOK}")).await;
        assert_eq!(look, *after[1], "{step}");
        forked.destroy().await;
    }
}

/// Everything that was said to be durable shows what it showed.
async fn restored(step: &str, data: &Path, engine: &Engine, said: &[String], looks: &BTreeMap<String, String>) {
    for (name, (look, layers)) in durable(said) {
        assert_eq!(Some(&look), looks.get(&name), "{step}");
        let checked = layers.clone();
        blocking(data, move |store| checked.iter().for_each(|layer| store.verify(layer).unwrap())).await;
        let shown = fork(data, engine, &format!("restored-{name}"), &layers).await;
        assert_eq!(shown.unwrap_or_else(|error| panic!("{step} {name}: {error}")), look, "{step} {name}");
    }
}

/// What a session over these layers shows.
async fn fork(data: &Path, engine: &Engine, name: &str, layers: &[LayerId]) -> Result<String, Error> {
    let spec = spec(data, name);
    begin(&spec.session_dir, layers)?;
    let sandbox = engine.create(spec).await?;
    let look = output(&sandbox, LOOK).await;
    sandbox.destroy().await;
    Ok(look)
}

async fn blocking<T: Send + 'static>(data: &Path, work: impl FnOnce(&LayerStore) -> T + Send + 'static) -> T {
    let data: PathBuf = data.to_owned();
    tokio::task::spawn_blocking(move || work(&LayerStore::open(&data).unwrap())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_slots_are_made_ahead_nothing_stays() {
    let directory = data();
    // Slots that wait, and one that is being made, belong to nobody yet.
    for step in ["SlotGroupMade:4", "SlotBorn:5", "SlotRangeMapped:3", "SlotViewed:6", "SlotStaged:4"] {
        let note = directory.path().join("children");
        let steps = directory.path().join(format!("steps-to-{step}"));
        let ended = Command::new(env!("CARGO_BIN_EXE_faults-try"))
            .arg(directory.path())
            .args(["many", "40", "3"])
            .envs([("HANGAR_END_AFTER", step), ("HANGAR_CHILDREN_TO", note.to_str().unwrap())])
            .env("HANGAR_STEPS_TO", &steps)
            .output()
            .unwrap();
        assert_eq!(ended.status.signal(), Some(9), "{step}");
        let noted = remains::noted(&note);
        // Places are made beside the first process, several of them before it where that one is slow; it is there from its step on.
        let born = fs::read_to_string(&steps).unwrap().lines().any(|done| done == "NurseryStarted");
        assert!(born || !["SlotBorn:5", "SlotStaged:4"].contains(&step), "{step} was done, and the nursery never was");
        assert!(!noted.is_empty() || !born, "{step}: nobody was there");
        let engine = engine_with_slots(directory.path(), 0).await;
        until("nothing is left", || {
            remains::of_engine(directory.path()).is_empty() && remains::of_processes(&noted).is_empty()
        })
        .await;
        engine.close();
    }
}
