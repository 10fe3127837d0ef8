//! Beginnings and ends: what stays, what goes, and what is refused.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Stdio};

use hangar_sandbox::{Engine, EngineConfig, Error, ExecSpec, Life, Root, SandboxSpec, adopt};

use crate::bench::{Bench, guest, output, run, soon, tree, until};

/// Every control group of the machine.
fn all_groups() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/sys/fs/cgroup")];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        found.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
        next += 1;
    }
    found
}

/// Control groups of one engine's sandboxes, in all hierarchies; not those in which nobody lives, of one number, which the engine has ready for the next.
fn groups(state: &std::path::Path) -> Vec<PathBuf> {
    let engines = engine_groups(state);
    let mut groups: Vec<PathBuf> = all_groups()
        .into_iter()
        .filter(|group| group.parent().is_some_and(|above| engines.iter().any(|engine| engine == above)))
        .collect();
    let empty =
        |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|members| members.is_empty());
    let next = groups
        .iter()
        .map(|group| group.file_name().unwrap().to_owned())
        .find(|number| groups.iter().filter(|group| group.ends_with(number)).all(empty));
    groups.retain(|group| next.as_ref().is_none_or(|next| !group.ends_with(next)));
    groups
}

/// The engine's own control groups.
fn engine_groups(state: &std::path::Path) -> Vec<PathBuf> {
    let name = format!("hangar-{}-", fs::read_to_string(state.join("engine-id")).unwrap());
    let named = |group: &PathBuf| group.file_name().is_some_and(|found| found.to_string_lossy().starts_with(&name));
    all_groups().into_iter().filter(named).collect()
}

fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().map(String::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn destroying_leaves_nothing_but_files() {
    let bench = Bench::new().await;
    let mounts_before = mounts();
    let sandbox = bench.sandbox("gone").await;
    run(&sandbox, "echo kept > file; setsid sleep 1111 & sleep 2222 &").await;
    assert_eq!(mounts(), mounts_before, "a mount shows on the host");
    let guest = guest("gone").unwrap();
    let members: Vec<i32> = tree(guest.pid).into_iter().map(|seen| seen.pid).collect();
    assert!(members.len() >= 3);
    let namespaces: Vec<PathBuf> = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .map(|kind| fs::read_link(format!("/proc/{}/ns/{kind}", guest.pid)).unwrap())
        .to_vec();
    assert!(!groups(&bench.path("run/sandboxes")).is_empty());

    soon("the end", sandbox.destroy()).await;
    assert_eq!(sandbox.health().borrow().life, Life::Ended);
    for pid in members {
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "process {pid} is left");
    }
    until("the end of its group", || groups(&bench.path("run/sandboxes")).is_empty()).await;
    assert_eq!(mounts(), mounts_before);
    for seen in crate::bench::processes() {
        for namespace in &namespaces {
            let kind = namespace.to_string_lossy().split(':').next().unwrap().to_owned();
            let theirs = fs::read_link(format!("/proc/{}/ns/{kind}", seen.pid));
            assert_ne!(theirs.ok().as_ref(), Some(namespace), "{seen:?}");
        }
    }
    assert!(matches!(sandbox.ping().await, Err(Error::Gone)));
    soon("a second time", sandbox.destroy()).await;

    // What stays is for hangar alone.
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(bench.path("sessions/gone")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let again = bench.sandbox("gone").await;
    assert_eq!(output(&again, "cat file; pgrep sleep || echo none").await, "kept\nnone\n");
    again.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_it() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("dropped").await;
    let copy = sandbox.clone();
    drop(sandbox);
    copy.ping().await.unwrap();
    let mut health = copy.health();
    drop(copy);
    soon("the end", health.wait_for(|health| health.life == Life::Ended)).await.unwrap();
    assert!(guest("dropped").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dies_is_noticed() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("killed").await;
    let mut exec = sandbox.exec_stream(&ExecSpec::shell("echo up; sleep 1111")).await.unwrap();
    exec.next().await.unwrap();
    let guest = guest("killed").unwrap();
    let pid = rustix::process::Pid::from_raw(guest.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let error = soon("the end", exec.wait()).await.unwrap_err();
    assert!(matches!(error, Error::Gone), "{error}");
    let mut health = sandbox.health();
    soon("the news", health.wait_for(|health| health.life == Life::Ended)).await.unwrap();
    assert!(matches!(sandbox.exec(&ExecSpec::argv(["true"])).await, Err(Error::Gone)));
    until("the end of its group", || groups(&bench.path("run/sandboxes")).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_takes_all_along_and_its_files_are_found_again() {
    let bench = Bench::new().await;
    let (data, state, session) = (bench.path("other"), bench.path("other/run/sandboxes"), bench.path("other/session"));
    std::fs::create_dir_all(bench.path("other")).unwrap();
    let copied =
        std::process::Command::new("cp").arg("-a").args([bench.path("layer"), bench.path("other/layer")]).status();
    assert!(copied.unwrap().success());
    adopt(&bench.path("other/layer/workspace")).unwrap();
    let script = "echo kept > file; echo mine > ~/notes; rm README.md; setsid sleep 1111 & echo ready; sleep 2222";
    let mut host = tokio::process::Command::new(env!("CARGO_BIN_EXE_sandbox-try"))
        .args([data.as_os_str(), bench.path("other/layer").as_os_str(), session.as_os_str()])
        .args(["bash", "-c", script])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    let mut stdout = host.stdout.take().unwrap();
    soon("the command", tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut ready)).await.unwrap();
    let pid = i32::try_from(host.id().unwrap()).unwrap();
    let members: Vec<i32> = tree(pid).into_iter().map(|seen| seen.pid).filter(|member| *member != pid).collect();
    assert!(members.len() >= 4, "{members:?}");
    host.kill().await.unwrap();
    until("the death of all", || members.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())).await;

    // Without slots of its own, which have groups too.
    let engine = Engine::new(EngineConfig { slots: 0, ..EngineConfig::new(&data) }).await.unwrap();
    until("the sweep of what the killed one could not remove", || groups(&state).is_empty()).await;
    let spec = |name, session| SandboxSpec::new(name, Root::host(vec![bench.path("other/layer")]), session);
    // Another sandbox first, so that the id range differs from the one that wrote the files.
    let first = engine.create(spec("first", bench.path("other/first"))).await.unwrap();
    let again = engine.create(spec("crash", session)).await.unwrap();
    let seen = output(
        &again,
        "cat file ~/notes; test -e README.md || echo removed; stat -c %U file; echo more >> file; cat file",
    )
    .await;
    assert_eq!(seen, "kept\nmine\nremoved\nagent\nkept\nmore\n");
    first.destroy().await;
    again.destroy().await;
    drop((first, again, engine));
    until("no group of the engine", || engine_groups(&state).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_is_cancelled_without_a_trace() {
    let bench = Bench::new().await;
    for round in 0..20 {
        let spec = bench.spec("cancelled");
        tokio::select! {
            biased;
            _ = bench.engine.create(spec) => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(round)) => {}
        }
    }
    until("no guest", || guest("cancelled").is_none()).await;
    until("no group", || groups(&bench.path("run/sandboxes")).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_words() {
    let bench = Bench::new().await;
    let second = Engine::new(EngineConfig::new(bench.path(""))).await.err().unwrap();
    assert!(matches!(second, Error::StateDirInUse(_)), "{second}");
    for name in ["", "a/b", "-x", "../up", &"x".repeat(61)] {
        let refused = bench.engine.create(bench.spec(name)).await.err().unwrap();
        assert!(matches!(refused, Error::BadName(_)), "{refused}");
    }
    let mut spec = bench.spec("nowhere");
    spec.root = Root::host(vec![bench.path("no-such-layer")]);
    let refused = bench.engine.create(spec).await.err().unwrap();
    assert!(refused.to_string().contains("no-such-layer"), "{refused}");
    assert!(guest("nowhere").is_none());

    let mut config = EngineConfig::new(bench.path("small"));
    config.sandboxes_max = 1;
    let engine = Engine::new(config).await.unwrap();
    let spec = |name| SandboxSpec::new(name, Root::host(vec![]), bench.path("small/session"));
    let refused = engine.create(bench.spec("outside")).await.err().unwrap();
    assert!(matches!(refused, Error::Outside { .. }), "{refused}");
    let one = engine.create(spec("only")).await.unwrap();
    let refused = engine.create(spec("too-many")).await.err().unwrap();
    assert!(matches!(refused, Error::TooMany(1)), "{refused}");
    one.destroy().await;
    engine.create(spec("next")).await.unwrap().destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_over_one_clone_do_not_see_each_others_changes() {
    let bench = Bench::new().await;
    let (one, two) = tokio::join!(bench.sandbox("first"), bench.sandbox("second"));
    output(&one, "echo one > README.md").await;
    assert_eq!(output(&two, "cat README.md; echo two > README.md").await, "hello\n");
    assert_eq!(output(&one, "cat README.md").await, "one\n");
    one.destroy().await;
    two.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_this_machine_fit() {
    let bench = Bench::new().await;
    let findings = hangar_sandbox::doctor::doctor(bench.directory.path(), None);
    let names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
    for name in [
        "kernel",
        "user",
        "namespaces",
        "overlay",
        "seccomp",
        "id mapping",
        "id ranges",
        "control groups",
        "disk",
        "kvm",
        "toolchains",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    for finding in findings {
        use hangar_sandbox::doctor::Verdict;
        match finding.verdict {
            Verdict::Ok => assert_eq!(finding.mend, ""),
            Verdict::Warn => assert_ne!(finding.mend, ""),
            // The other tests run here, so nothing can be missing.
            Verdict::Missing => panic!("{finding:?}"),
        }
    }
}
