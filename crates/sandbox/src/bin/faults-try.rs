//! A process of its own for the tests of faults: `faults-try DATA life NAME` · `faults-try DATA many NUMBER SEED`
//!
//! `life` takes a sandbox over `DATA/layer` through everything that can happen to one, and says on standard output what is done and which layers hold it. With
//! `HANGAR_END_AFTER=<step>` it kills itself in the middle (`steps/mod.rs`). `many` makes and ends sandboxes, some while they are being made, and says what
//! this process had before and has afterwards.
#![allow(clippy::print_stdout, reason = "a program that answers on standard output")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::future::join_all;
use hangar_sandbox::{
    Engine, EngineConfig, Error, ExecSpec, Guarantee, Hold, Holding, Root, Sandbox, SandboxSpec,
    layers::{About, Kind, LayerError, LayerId, LayerStore, Snapshot, begin, rewind, snapshots},
    steps,
};

/// What one look at a sandbox shows: every file and its content. Sizes of directories belong to the file system.
const LOOK: &str = "cd /; find workspace home/agent -type d -printf '%p d %m %U %G\\n' | sort; \
    find workspace home/agent ! -type d -printf '%p %y %m %U %G %s %l\\n' | sort; \
    find workspace home/agent -type f -exec sha256sum {} + | sort";
/// What the sandbox does before its first snapshot, before its second, and while the third is taken. Doing one again changes nothing.
const DEEDS: [&str; 3] = [
    "cd /workspace && mkdir -p deep/er && echo one > deep/er/one && rm -f README.md && rm -rf lib && mv src lib && ln -sf lib/lib.rs soft",
    "cd /workspace && rm -rf deep && mkdir deep && echo two > deep/two && chmod 600 deep/two && echo home > ~/notes",
    "echo three > /workspace/three",
];
/// Sandboxes at once in `many`.
const WAVE: usize = 25;
/// How long the engine of an earlier process of this test may take to let go of its lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// How long the last of many sandboxes may take to be gone.
const CALM_PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    steps::as_told();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [data, "life", name] => life(Path::new(data), name).await,
        [data, "many", number, seed] => match (number.parse(), seed.parse()) {
            (Ok(number), Ok(seed)) => many(Path::new(data), number, seed).await,
            _ => Err("NUMBER and SEED are numbers".into()),
        },
        _ => Err("usage: faults-try DATA life NAME | DATA many NUMBER SEED".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An engine as soon as the one before has let go.
async fn engine(data: &Path, slots: usize) -> Result<Engine, Error> {
    let began = Instant::now();
    loop {
        let config = EngineConfig { slots, ..EngineConfig::new(data) };
        match Engine::new(config).await {
            Err(Error::StateDirInUse(_)) if began.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            other => return other,
        }
    }
}

fn spec(data: &Path, name: &str) -> SandboxSpec {
    SandboxSpec::new(name, Root::host(vec![data.join("layer")]), data.join("sessions").join(name))
}

async fn run(sandbox: &Sandbox, script: &str) -> Result<String, Failure> {
    let done = sandbox.exec(&ExecSpec::shell(script)).await?;
    if !done.ended.status.success() {
        return Err(format!("{script}: {:?} {}", done.ended, String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Work on layers, which blocks.
async fn blocking<T: Send + 'static>(
    data: &Path,
    work: impl FnOnce(&LayerStore) -> Result<T, LayerError> + Send + 'static,
) -> Result<T, Failure> {
    let data = data.to_owned();
    Ok(tokio::task::spawn_blocking(move || work(&LayerStore::open(&data)?)).await??)
}

/// Says that these layers hold what has this name, and how it looks, so that the test can hold both against each other.
fn durable(name: &str, layers: &[LayerId], look: &str) {
    let ids: Vec<&str> = layers.iter().map(LayerId::as_str).collect();
    println!("durable {name} {} {}", ids.join(","), look.replace('\n', "|"));
}

async fn sealed(data: &Path, session: &Path) -> Result<Vec<LayerId>, Failure> {
    let session = session.to_owned();
    blocking(data, move |store| store.seal_session(&session, &About::new(Kind::Snapshot, "life"))).await
}

async fn life(data: &Path, name: &str) -> Result<(), Failure> {
    let engine = engine(data, 0).await?;
    let spec_of = |name: &str| spec(data, name);
    let mut first = spec_of(name);
    let session = first.session_dir.clone();
    first.holding = Holding::Possible;
    let sandbox = engine.create(first).await?;
    println!("created");
    held_and_released(&sandbox).await?;
    let mut look = String::new();
    let mut layers = Vec::new();
    for (number, deed) in DEEDS[..2].iter().enumerate() {
        run(&sandbox, deed).await?;
        println!("did {number}");
        look = run(&sandbox, LOOK).await?;
        expect_quiet(&sandbox).await?;
        layers = sealed(data, &session).await?;
        durable(&format!("snapshot-{number}"), &layers, &look);
    }
    let mut copy = busy_copy(data, &sandbox).await?;
    copy.extend(layers.iter().cloned());
    durable("copy", &copy, &run(&sandbox, LOOK).await?);
    sandbox.pause().await?;
    sandbox.resume().await?;
    sandbox.destroy().await;
    println!("destroyed");

    let fork = spec_of(&format!("{name}-fork"));
    let fork_session = fork.session_dir.clone();
    begin(&fork_session, &layers)?;
    let forked = engine.create(fork.clone()).await?;
    if run(&forked, LOOK).await? != look {
        return Err("a fork shows something else".into());
    }
    println!("restored");
    run(&forked, "echo later > /workspace/later").await?;
    expect_quiet(&forked).await?;
    forked.destroy().await;
    let rewound = fork_session.clone();
    tokio::task::spawn_blocking(move || rewind(&rewound, 2)).await??;
    println!("rewound");
    let forked = engine.create(fork).await?;
    if run(&forked, LOOK).await? != look {
        return Err("a rewound fork shows something else".into());
    }
    forked.destroy().await;
    let squashing = fork_session.clone();
    blocking(data, move |store| store.squash_session(&squashing, 1)).await?;
    let squashed = snapshots(&fork_session)?;
    let [Snapshot::Layer(one)] = &squashed[..] else { return Err(format!("squashed to {squashed:?}").into()) };
    durable("squashed", std::slice::from_ref(one), &look);
    engine.close();
    println!("closed");
    Ok(())
}

/// The workspace is held for a moment, in which nobody can write.
async fn held_and_released(sandbox: &Sandbox) -> Result<(), Failure> {
    match sandbox.hold().await? {
        Hold::Held => {}
        Hold::InUse => return Err("nothing ran, but the workspace was in use".into()),
    }
    if run(sandbox, "touch /workspace/early").await.is_ok() {
        return Err("a held workspace could be written".into());
    }
    Ok(sandbox.release().await?)
}

/// A snapshot by rotation.
async fn expect_quiet(sandbox: &Sandbox) -> Result<(), Failure> {
    match sandbox.snapshot().await?.guarantee {
        Guarantee::Quiescent => Ok(()),
        Guarantee::Frozen => Err("nothing ran, but it was copied".into()),
    }
}

/// A snapshot while a command runs, sealed.
async fn busy_copy(data: &Path, sandbox: &Sandbox) -> Result<Vec<LayerId>, Failure> {
    let mut exec = sandbox.exec_stream(&ExecSpec::shell(format!("{} && echo go && sleep 1000", DEEDS[2]))).await?;
    exec.next().await?;
    let frozen = sandbox.snapshot().await?;
    match frozen.guarantee {
        Guarantee::Frozen => {}
        Guarantee::Quiescent => return Err("a command ran, but nothing was copied".into()),
    }
    let copied = blocking(data, move |store| store.seal(&frozen.tree, About::new(Kind::Snapshot, "copy"))).await?;
    drop(exec);
    sandbox.kill_all().await?;
    Ok(vec![copied])
}

/// What a process has that could grow.
fn counts() -> String {
    let entries = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    let rss: String = rss.chars().filter(char::is_ascii_digit).collect();
    format!(
        "descriptors={} threads={} children={} rss_kib={rss}",
        entries("/proc/self/fd"),
        entries("/proc/self/task"),
        children()
    )
}

fn children() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

/// Every so many are given up while they are being made.
const GIVEN_UP_EVERY: usize = 4;
/// At some moment within this time of their making.
const GIVEN_UP_WITHIN_US: u64 = 30_000;

async fn many(data: &Path, number: usize, seed: u64) -> Result<(), Failure> {
    const SLOTS: usize = 4;
    let engine = engine(data, SLOTS).await?;
    // The first waves bring thread pools and caches to their size.
    let mut random = seed;
    let mut made = 0;
    let mut ids = 0;
    while made < number {
        let wave = WAVE.min(number - made);
        let all = (0..wave).map(|place| one(&engine, data, made + place, next(&mut random)));
        for highest in join_all(all).await {
            ids = ids.max(highest?);
        }
        made += wave;
        if made == 4 * WAVE || made == number {
            calm(&engine, data, SLOTS).await?;
            println!("after {made} highest_id={ids} groups={} {}", groups(data), counts());
        }
    }
    engine.close();
    println!("closed");
    Ok(())
}

/// One of many; returns the first id of its range on the host, or 0.
async fn one(engine: &Engine, data: &Path, number: usize, random: u64) -> Result<u64, Failure> {
    let spec = spec(data, &format!("many-{}", number % WAVE));
    let session = spec.session_dir.clone();
    let making = engine.create(spec);
    if number.is_multiple_of(GIVEN_UP_EVERY) {
        let moment = Duration::from_micros(random % GIVEN_UP_WITHIN_US);
        tokio::select! {
            biased;
            () = tokio::time::sleep(moment) => {}
            // One that was faster goes with its last handle.
            made = making => drop(made?),
        }
        return Ok(0);
    }
    let sandbox = making.await?;
    let map = run(&sandbox, "echo $$ > /workspace/mine; awk '{print $2}' /proc/self/uid_map").await?;
    sandbox.destroy().await;
    if !session.join("upper/workspace/mine").exists() {
        return Err(format!("{} lost its file", session.display()).into());
    }
    Ok(map.trim().parse()?)
}

/// Waits until nothing but the slots, the nursery they are from and the next one's place is there.
async fn calm(engine: &Engine, data: &Path, slots: usize) -> Result<(), Failure> {
    let began = Instant::now();
    while engine.slots().ready != slots || children() != slots + 1 || groups(data) > slots + 1 || ending() > 0 {
        if began.elapsed() > CALM_PATIENCE {
            return Err(format!("{} children, {} groups, {} threads stay", children(), groups(data), ending()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Threads that clear away what was dropped.
fn ending() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "hangar-ending").count()
}

/// Control groups of sandboxes and slots, in the hierarchy that has most of them.
fn groups(data: &Path) -> usize {
    let id = fs::read_to_string(data.join("run/sandboxes/engine-id")).unwrap_or_default();
    let name = format!("hangar-{id}-{}", std::process::id());
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    let mut most = 0;
    while let Some(directory) = waiting.pop() {
        let below: Vec<PathBuf> = fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        if directory.file_name().is_some_and(|found| found.to_string_lossy() == name) {
            most = most.max(below.len());
        } else {
            waiting.extend(below);
        }
    }
    most
}

/// The next of a row of numbers that look random (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
