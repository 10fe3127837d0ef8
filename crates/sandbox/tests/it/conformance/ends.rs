//! Limits and ends.

use std::{collections::BTreeSet, fs, process::Stdio};

use hangar_sandbox::{BackendKind, Engine, Error, ExecSpec, Life, Root, SandboxSpec};

use super::place::Place;
use crate::bench::{guest, output, processes, run, soon, tree, until};

pub(super) async fn memory_has_an_end(place: &Place) {
    let mut spec = place.spec("memory");
    spec.limits.memory_bytes = 256 * 1024 * 1024;
    let sandbox = place.create(spec).await;
    // Either the command is killed, or the whole sandbox with it; what must not happen is that it gets its 2 GiB.
    let bomb = "perl -e '$x = \"x\" x (2*1024*1024*1024); print length $x'";
    match soon("the limit", sandbox.exec(&ExecSpec::shell(bomb))).await {
        Ok(done) => assert!(!done.ended.status.success(), "{done:?}"),
        Err(Error::Gone) => {}
        Err(other) => panic!("{other}"),
    }
    sandbox.destroy().await;
}

pub(super) async fn processes_have_an_end(place: &Place) {
    let mut spec = place.spec("processes");
    spec.limits.processes = 64;
    let sandbox = place.create(spec).await;
    let before = processes().len();
    let bomb = "for i in $(seq 2000); do sleep 100 & done 2>/dev/null; wait";
    // Commands that cannot fork end, a kernel of its own may end with them; the host has not many more processes than before.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(3), sandbox.exec(&ExecSpec::shell(bomb))).await;
    let grown = processes().len().saturating_sub(before);
    assert!(grown < 1000, "{grown} processes more, {ended:?}");
    soon("the end", sandbox.destroy()).await;
}

pub(super) async fn paused_is_paused(place: &Place) {
    let sandbox = place.sandbox("paused").await;
    let ticking = "setsid sh -c 'while :; do date +%s%N > /workspace/tick; sleep 0.05; done' >/dev/null 2>&1 & while ! test -s tick; do sleep 0.05; done";
    output(&sandbox, ticking).await;
    soon("the pause", sandbox.pause()).await.unwrap();
    let tick = place.path("sessions/paused/upper/workspace/tick");
    let read = || fs::read_to_string(&tick).unwrap_or_default();
    // What was on its way when it was paused has arrived once two looks are alike.
    let mut last = read();
    soon("standing still", async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let now = read();
            if std::mem::replace(&mut last, now.clone()) == now {
                break;
            }
        }
    })
    .await;
    let silent = tokio::time::timeout(std::time::Duration::from_millis(300), sandbox.ping()).await;
    assert!(silent.is_err(), "a paused sandbox answered");
    soon("going on", sandbox.resume()).await.unwrap();
    soon("an answer", sandbox.ping()).await.unwrap();
    until("the next tick", || read() != last).await;
    // A paused sandbox can be destroyed as well.
    soon("the pause", sandbox.pause()).await.unwrap();
    soon("the end", sandbox.destroy()).await;
}

pub(super) async fn a_snapshot_is_a_layer(place: &Place) {
    let sandbox = place.sandbox("snapped").await;
    output(&sandbox, "echo one > file; rm README.md; mkdir d; echo deep > d/e; ln -s file link; chmod 755 file").await;
    let frozen = soon("the snapshot", sandbox.snapshot()).await.unwrap();
    // The sandbox goes on, and the layer stays as it is.
    output(&sandbox, "echo two > file; echo later > later").await;
    assert_eq!(output(&sandbox, "cat file d/e").await, "two\ndeep\n");
    let layers = vec![frozen.tree.clone(), place.path("upper"), place.path("lower")];
    for name in ["fork-one", "fork-two"] {
        let fork = SandboxSpec { root: Root::host(layers.clone()), ..place.spec(name) };
        let fork = place.create(fork).await;
        let seen = "cat file d/e; test -e README.md || echo removed; test -e later || echo none; readlink link; stat -c '%U %a' file; cat changed";
        assert_eq!(output(&fork, seen).await, "one\ndeep\nremoved\nnone\nfile\nagent 755\nabove\n");
        fork.destroy().await;
    }
    sandbox.destroy().await;
}

/// Mounts of the host's own namespace that belong to this place.
fn mounts(place: &Place) -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = place.directory.path().to_string_lossy().into_owned();
    text.lines().filter(|line| line.contains(&own)).map(String::from).collect()
}

/// Process ids of everything that runs for one sandbox of this place, and for nothing else of this machine: the guest with its name, and programs
/// that were told this place's directory.
fn bodies(place: &Place, name: &str) -> BTreeSet<i32> {
    let own = place.directory.path().to_string_lossy().into_owned();
    let told = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&own)
    };
    let ours = processes().into_iter().map(|seen| seen.pid).filter(|pid| told(*pid));
    let roots: Vec<i32> = ours.chain(guest(name).map(|seen| seen.pid)).collect();
    roots.into_iter().flat_map(tree).map(|seen| seen.pid).collect()
}

/// Sandboxes that have files in the engine's state.
fn plots(place: &Place) -> usize {
    fs::read_dir(place.path("run/sandboxes/plots")).into_iter().flatten().count()
}

pub(super) async fn destroying_leaves_nothing_but_files(place: &Place) {
    let name = format!("conform-gone-{}", place.kind.name());
    let (mounts_before, bodies_before, plots_before) = (mounts(place), bodies(place, &name), plots(place));
    let sandbox = place.sandbox(&name).await;
    run(&sandbox, "echo kept > file; setsid sleep 1111 >/dev/null 2>&1 & setsid sleep 2222 >/dev/null 2>&1 &").await;
    let made: Vec<i32> = bodies(place, &name).difference(&bodies_before).copied().collect();
    assert!(!made.is_empty());
    match place.kind {
        // The daemon is another program's, and mounts where it lives.
        BackendKind::Docker => {}
        BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Vm => assert_eq!(mounts(place), mounts_before),
    }
    soon("the end", sandbox.destroy()).await;
    assert_eq!(sandbox.health().borrow().life, Life::Ended);
    assert!(matches!(sandbox.ping().await, Err(Error::Gone)));
    soon("a second time", sandbox.destroy()).await;
    drop(sandbox);
    until("no process", || made.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())).await;
    until("no mount", || mounts(place).is_subset(&mounts_before)).await;
    until("no plot", || plots(place) <= plots_before).await;
    // The last handle ends it as well.
    let dropped = place.sandbox("dropped").await;
    let mut health = dropped.health();
    drop(dropped);
    soon("the end", health.wait_for(|health| health.life == Life::Ended)).await.unwrap();
}

pub(super) async fn a_body_that_dies_is_noticed(place: &Place) {
    let name = format!("conform-killed-{}", place.kind.name());
    let before = bodies(place, &name);
    let sandbox = place.sandbox(&name).await;
    let mut exec = sandbox.exec_stream(&ExecSpec::shell("echo up; sleep 1111")).await.unwrap();
    soon("the start", exec.next()).await.unwrap();
    for pid in bodies(place, &name).difference(&before) {
        let pid = rustix::process::Pid::from_raw(*pid).unwrap();
        // One of them takes the others along.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let error = soon("the end", exec.wait()).await.unwrap_err();
    assert!(matches!(error, Error::Gone), "{error}");
    let mut health = sandbox.health();
    soon("the news", health.wait_for(|health| health.life == Life::Ended)).await.unwrap();
    assert!(matches!(sandbox.exec(&ExecSpec::argv(["true"])).await, Err(Error::Gone)));
}

pub(super) async fn a_killed_host_takes_all_along(place: &Place) {
    let data = place.path("other");
    fs::create_dir_all(&data).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").args([place.path("lower"), data.join("layer")]).status();
    assert!(copied.unwrap().success());
    let name = format!("conform-host-{}", place.kind.name());
    let before = bodies(place, &name);
    let script = "echo kept > file; rm README.md; setsid sleep 1111 & echo ready; sleep 2222";
    let mut host = tokio::process::Command::new(env!("CARGO_BIN_EXE_sandbox-try"))
        .args([data.as_os_str(), data.join("layer").as_os_str(), data.join("session").as_os_str()])
        .args(["bash", "-c", script])
        .env("SANDBOX_TRY_NAME", &name)
        .env("SANDBOX_TRY_BACKEND", place.kind.name())
        .env("SANDBOX_TRY_DOCKER", &place.config.docker_socket)
        .envs(place.config.machine_kernel.iter().map(|kernel| ("SANDBOX_TRY_KERNEL", &kernel.image)))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    let mut stdout = host.stdout.take().unwrap();
    soon("the command", tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut ready)).await.unwrap();
    let below = tree(i32::try_from(host.id().unwrap()).unwrap());
    let mut made: BTreeSet<i32> = bodies(place, &name).difference(&before).copied().collect();
    made.extend(below.into_iter().map(|seen| seen.pid));
    assert!(made.len() >= 2, "{made:?}");
    host.kill().await.unwrap();
    until("the death of all", || made.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())).await;
    let mut config = place.config.clone();
    config.data_dir.clone_from(&data);
    let engine = Engine::new(config).await.unwrap();
    assert_eq!(fs::read_dir(data.join("run/sandboxes/plots")).into_iter().flatten().count(), 0);
    let mut spec = SandboxSpec::new("again", Root::host(vec![data.join("layer")]), data.join("session"));
    spec.limits = place.spec("x").limits;
    let again = engine.create(spec).await.unwrap();
    assert_eq!(output(&again, "cat file; test -e README.md || echo removed").await, "kept\nremoved\n");
    soon("the end", again.destroy()).await;
    drop(again);
    engine.close();
}
