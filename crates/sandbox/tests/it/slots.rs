//! Slots made ahead of need.

use std::{collections::HashSet, sync::Arc};

use hangar_sandbox::{Account, Engine, EngineConfig, Error, Root, Sandbox, SandboxSpec};
use tokio::sync::Barrier;

use crate::bench::{output, processes, until};

fn spec(data: &std::path::Path, name: &str) -> SandboxSpec {
    SandboxSpec::new(name, Root::host(vec![]), data.join("sessions").join(name))
}

async fn engine(data: &std::path::Path, slots: usize) -> Engine {
    let mut config = EngineConfig::new(data);
    config.slots = slots;
    let engine = Engine::new(config).await.unwrap();
    until("the slots", || engine.slots().ready == slots).await;
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_a_ready_slot_and_another_is_made() {
    let directory = tempfile::TempDir::new().unwrap();
    let engine = engine(directory.path(), 2).await;
    let one = engine.create(spec(directory.path(), "one")).await.unwrap();
    let mut limited = spec(directory.path(), "two");
    limited.limits.tmp_bytes = 3 << 20;
    limited.limits.processes = 77;
    let two = engine.create(limited).await.unwrap();
    let counts = engine.slots();
    assert_eq!((counts.hits, counts.misses), (2, 0));
    // What the slot did not know when it was made.
    assert_eq!(output(&one, "hostname; cat /etc/hostname; whoami").await, "one\none\nagent\n");
    assert_eq!(output(&two, "hostname; df -k /tmp | tail -1 | awk '{print $2}'").await, "two\n3072\n");
    let ids = "cat /etc/machine-id; cut -d' ' -f2- /proc/self/uid_map; awk '{print $2}' /proc/self/uid_map";
    assert_ne!(output(&one, ids).await, output(&two, ids).await);
    until("new slots", || engine.slots().ready == 2).await;
    // A slot becomes a builder as well.
    let mut builder = spec(directory.path(), "builder");
    builder.account = Account::Builder;
    let builder = engine.create(builder).await.unwrap();
    let made = "id -u; mkdir /srv; chown 1000:1000 /srv; stat -c %u /srv; mount -t tmpfs none /srv 2>/dev/null || echo refused";
    assert_eq!(output(&builder, made).await, "0\n1000\nrefused\n");
    for sandbox in [one, two, builder] {
        sandbox.destroy().await;
    }
    engine.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_died_is_not_given_out_and_two_claimers_do_not_share_one() {
    let directory = tempfile::TempDir::new().unwrap();
    let engine = engine(directory.path(), 1).await;
    let own = i32::try_from(std::process::id()).unwrap();
    let slots = || -> Vec<i32> {
        let data = directory.path().to_string_lossy().into_owned();
        // Slots of this engine: their host names say nothing yet, their control groups do.
        let id = std::fs::read_to_string(format!("{data}/run/sandboxes/engine-id")).unwrap();
        processes()
            .into_iter()
            .filter(|seen| seen.parent == own && seen.name == "hangar-guest")
            .filter(|seen| {
                std::fs::read_to_string(format!("/proc/{}/cgroup", seen.pid)).is_ok_and(|groups| groups.contains(&id))
            })
            .map(|seen| seen.pid)
            .collect()
    };
    let [slot] = slots()[..] else { panic!("one slot") };
    rustix::process::kill_process(rustix::process::Pid::from_raw(slot).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    until("its death", || {
        std::fs::read_to_string(format!("/proc/{slot}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    })
    .await;
    let (one, two) =
        tokio::join!(engine.create(spec(directory.path(), "left")), engine.create(spec(directory.path(), "right")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(output(&one, "hostname").await, "left\n");
    assert_eq!(output(&two, "hostname").await, "right\n");
    one.destroy().await;
    two.destroy().await;
    engine.close();
    assert_eq!(slots(), Vec::<i32>::new(), "a slot outlives the engine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sandbox_stands_still_goes_on_and_can_be_ended() {
    let directory = tempfile::TempDir::new().unwrap();
    let engine = engine(directory.path(), 1).await;
    if !engine.capabilities().pause {
        panic!("this machine has no freezer: nothing is paused here");
    }
    let sandbox = engine.create(spec(directory.path(), "still")).await.unwrap();
    let counting = hangar_sandbox::ExecSpec::shell("i=0; while :; do i=$((i+1)); echo $i > /tmp/count; done");
    let _counting = sandbox.exec_stream(&counting).await.unwrap();
    until("the count", || true).await;
    sandbox.pause().await.unwrap();
    let pinged = tokio::time::timeout(std::time::Duration::from_millis(100), sandbox.ping()).await;
    assert!(pinged.is_err(), "a paused sandbox answered");
    sandbox.resume().await.unwrap();
    sandbox.ping().await.unwrap();
    sandbox.pause().await.unwrap();
    crate::bench::soon("the end", sandbox.destroy()).await;
    engine.close();
}

/// What must be one sandbox's alone: a line each.
const OWN: &str = "cat /etc/machine-id; hostname; awk '{print $2}' /proc/self/uid_map; \
    readlink /proc/self/ns/user /proc/self/ns/net /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/ipc /proc/self/ns/uts";

/// Asks for so many sandboxes at the same moment.
async fn claim_at_once(engine: &Engine, data: &std::path::Path, claimers: usize) -> Vec<Result<Sandbox, Error>> {
    let start = Arc::new(Barrier::new(claimers));
    let all = (0..claimers).map(|number| {
        let (engine, start, spec) = (engine.clone(), Arc::clone(&start), spec(data, &format!("claimer-{number}")));
        tokio::spawn(async move {
            start.wait().await;
            engine.create(spec).await
        })
    });
    futures::future::join_all(all).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_claimers_of_few_slots_share_nothing_and_the_counts_add_up() {
    const PLACES: usize = 14;
    const TOO_MANY: usize = 4;
    const SLOTS: usize = 3;
    let directory = tempfile::TempDir::new().unwrap();
    let mut config = EngineConfig::new(directory.path());
    (config.slots, config.sandboxes_max) = (SLOTS, PLACES);
    let engine = Engine::new(config).await.unwrap();
    for round in 1..=2 {
        until("the slots", || engine.slots().ready == SLOTS).await;
        let mut seen = HashSet::new();
        let (mut sandboxes, mut refused) = (Vec::new(), 0);
        for claimed in claim_at_once(&engine, directory.path(), PLACES + TOO_MANY).await {
            match claimed {
                Ok(sandbox) => sandboxes.push(sandbox),
                Err(Error::TooMany(PLACES)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!((sandboxes.len(), refused), (PLACES, TOO_MANY));
        for sandbox in &sandboxes {
            let own = output(sandbox, OWN).await;
            assert_eq!(own.lines().count(), 9, "{own}");
            for line in own.lines() {
                assert!(seen.insert(line.to_owned()), "two sandboxes have {line}");
            }
        }
        until("new slots", || engine.slots().ready == SLOTS).await;
        let counts = engine.slots();
        let claims = u64::try_from(PLACES * round).unwrap();
        assert_eq!(counts.hits + counts.misses, claims, "{counts:?}");
        assert_eq!(counts.made, claims + u64::try_from(SLOTS).unwrap(), "{counts:?}");
        assert!(counts.hits >= u64::try_from(SLOTS).unwrap(), "{counts:?}");
        for sandbox in sandboxes {
            sandbox.destroy().await;
        }
    }
    engine.close();
}
