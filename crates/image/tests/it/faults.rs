//! Builds that misbehave, what a restart finds, and what is collected.

use std::{collections::HashSet, sync::Arc, time::Duration};

use hangar_image::{BuildEnd, Exit, KeepImages, Passing};
use hangar_sandbox::layers::Keep;

use crate::world::{World, ended, open, output, target, until};

const HANGAR: &str = ".hangar/environment.toml";

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_and_a_disk_that_fills_end_their_own_build_only() {
    let world = World::with(|config| {
        config.limits.processes = 64;
        config.limits.disk_bytes = 64 * 1024 * 1024;
    })
    .await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']")]);
    let good = world.built(&app).await;
    let bomb = "setup = [{ run = 'bomb() { bomb | bomb & }; bomb; sleep 1; exit 7', timeout = '20s' }]";
    world.repos.commit("team/app", &[(HANGAR, bomb)]);
    let failure = world.fails(&app).await;
    assert!(failure.exit.is_some(), "{failure}");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['head -c 2G /dev/zero > ~/big; sleep 30']")]);
    let failure = world.fails(&app).await;
    assert!(failure.what.contains("disk"), "{failure}");
    assert_eq!(world.images.newest(&app).unwrap().id, good.id);
    world.repos.commit("team/app", &[(HANGAR, "setup = ['echo fine > ~/fine']")]);
    let image = world.built(&app).await;
    let sandbox = world.sandbox(&image, "look").await;
    assert_eq!(output(&sandbox, "cat ~/fine").await, "fine\n");
    sandbox.destroy().await;
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_go_when_nobody_needs_them_and_not_before() {
    let keep_nothing = KeepImages {
        replaced: Duration::ZERO,
        layers: Keep { at_least: Duration::ZERO, at_most: Duration::ZERO, ..Keep::default() },
        ..KeepImages::default()
    };
    let world = World::with(|config| config.keep = keep_nothing).await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['echo one > ~/own']")]);
    world.images.follow(app.clone()).await.unwrap();
    let first = world.built(&app).await;
    world.repos.commit("team/app", &[(HANGAR, "setup = ['echo two > ~/own']")]);
    let second = world.built(&app).await;
    let lease = world.images.lease(Arc::clone(&first));
    assert_eq!(world.images.collect(HashSet::new()).await.unwrap().images, [], "one is in use, the other newest");
    drop(lease);
    let collected = world.images.collect(HashSet::new()).await.unwrap();
    assert_eq!(collected.images, std::slice::from_ref(&first.id));
    assert!(first.own_layers().iter().all(|layer| !world.store.holds(layer)), "{collected:?}");
    assert!(second.layers.iter().all(|layer| world.store.holds(layer)));
    assert!(world.images.image(&first.id).is_none());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_is_read_again_and_a_changed_manifest_is_not_used() {
    let world = World::new().await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']")]);
    let image = world.built(&app).await;
    let (data, repos) = (world.data(), Arc::clone(&world.repos));
    let directory = end_and_keep(world).await;
    {
        let (engine, _, images) = open(&data, &repos, |_| {}).await;
        assert_eq!(images.newest(&app), Some(Arc::clone(&image)));
        images.close().await;
        engine.close();
        closed(engine, images).await;
    }
    let manifest = data.join("images/manifests").join(format!("{}.json", image.id));
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"branch\": \"main\"", "\"branch\": \"evil\"")).unwrap();
    let (engine, _, images) = open(&data, &repos, |_| {}).await;
    assert_eq!(images.newest(&app), None);
    images.close().await;
    engine.close();
    drop(directory);
}

async fn end_and_keep(world: World) -> tempfile::TempDir {
    let World { engine, images, directory, store, repos } = world;
    images.close().await;
    engine.close();
    drop((store, repos));
    closed(engine, images).await;
    directory
}

/// The engine's lock goes with the last handle to it, which tasks that end drop a moment later.
async fn closed(engine: hangar_sandbox::Engine, images: hangar_image::Images) {
    drop((engine, images));
    tokio::task::yield_now().await;
}

/// Processes of sandboxes whose arguments hold this word.
fn running(word: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let words = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let words = words.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    words.filter(|text| text.starts_with("sleep ") && text.contains(word)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_hangs_is_ended_with_all_it_started() {
    let world = World::new().await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']")]);
    let mut good = world.built(&app).await;
    // A number of seconds that nobody else on the machine sleeps.
    let long = format!("9{}", std::process::id());
    let stubborn = format!("trap \"\" TERM INT HUP; setsid sleep {long} & (sleep {long} &); sleep {long}");
    let service = |health: &str| {
        format!(
            "[[services]]\nname = 'server'\nrun = 'setsid sleep {long} & exec sleep {long}'\nready = '1s'\n{health}"
        )
    };
    for (place, recipe, step) in [
        ("set-up", format!("[[setup]]\nname = 'hangs'\ntimeout = '1s'\nrun = '''{stubborn}'''\n"), "hangs"),
        ("check", format!("[verify]\nname = 'hangs'\ntimeout = '1s'\nrun = '''{stubborn}'''\n"), "hangs"),
        ("service", service("health = { tcp = 3999 }\n"), "service server"),
        ("question", service(&format!("health = {{ command = 'sleep {long}' }}\n")), "service server"),
    ] {
        world.repos.commit("team/app", &[(HANGAR, recipe.as_str())]);
        let failure = world.fails(&app).await;
        assert_eq!((failure.step.as_str(), failure.passing), (step, Passing::Lasting), "{place}: {failure}");
        if step == "hangs" {
            assert_eq!(failure.exit, Some(Exit::TimedOut), "{place}: {failure}");
        }
        until("nothing of it runs", || running(&long).is_empty()).await;
        assert_eq!(world.images.newest(&app).unwrap().id, good.id, "{place}");
    }
    // What only fills caches does not stop the image, but does not stay in it either.
    let warm = format!("[[warm]]\nname = 'hangs'\ntimeout = '1s'\nrun = '''{stubborn}'''\n");
    world.repos.commit("team/app", &[(HANGAR, warm.as_str())]);
    good = world.built(&app).await;
    assert!(!good.verification[0].ok && good.verification[0].said.contains("did not end"), "{:?}", good.verification);
    until("nothing of it runs", || running(&long).is_empty()).await;
    // What talks without end is ended, and what talks much fills no memory and no disk.
    let endless = "setup = [{ run = 'yes words without end', timeout = '2s' }]";
    let much = "setup = ['head -c 6000000 /dev/zero | tr \"\\0\" x; exit 3']";
    for (recipe, exit) in [(endless, Exit::TimedOut), (much, Exit::Code(3))] {
        world.repos.commit("team/app", &[(HANGAR, recipe)]);
        let build = world.build(&app).await;
        let BuildEnd::Failed(failure) = ended(&build).await else { panic!("it cannot succeed") };
        assert_eq!(failure.exit, Some(exit), "{failure}");
        let (said, _) = build.log.read(0, usize::MAX);
        // The limit is that of the output; behind it comes one line that says so.
        let beyond = said.get(hangar_image::LOG_BYTES_MAX..).unwrap_or_default();
        assert!(beyond.is_empty() || beyond.trim() == "hangar: the rest of the output is not kept", "{beyond}");
        assert!(exit == Exit::TimedOut || !beyond.is_empty(), "{} bytes", said.len());
    }
    assert_eq!(world.images.newest(&app).unwrap().id, good.id);
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_as_a_whole_has_its_time() {
    let world = World::with(|config| config.build_max = Duration::from_secs(8)).await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']")]);
    let good = world.built(&app).await;
    let long = format!("8{}", std::process::id());
    // Each step is well within its own twenty minutes.
    let recipe = format!("setup = ['sleep 1', 'setsid sleep {long} & sleep 2', 'sleep {long}']");
    world.repos.commit("team/app", &[(HANGAR, recipe.as_str())]);
    let failure = world.fails(&app).await;
    assert_eq!(failure.exit, Some(Exit::TimedOut), "{failure}");
    assert!(failure.what.contains("the whole build took longer than it may"), "{failure}");
    until("nothing of it runs", || running(&long).is_empty()).await;
    assert_eq!(world.images.newest(&app).unwrap().id, good.id);
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_that_outlive_their_step_and_files_without_end() {
    let world = World::with(|config| {
        config.limits.processes = 64;
        config.limits.disk_files = 5_000;
    })
    .await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']")]);
    let good = world.built(&app).await;
    let long = format!("7{}", std::process::id());
    // The step itself succeeds; what it left forks on while the layer is to be frozen. Whichever way the build ends, nothing goes on.
    let bomb = format!(
        "setup = ['''echo 'f() {{ setsid sleep {long} & f & f & wait; }}; f' > /tmp/bomb; (setsid bash /tmp/bomb > /dev/null 2>&1 &)''']"
    );
    world.repos.commit("team/app", &[(HANGAR, bomb.as_str())]);
    let build = world.build(&app).await;
    match ended(&build).await {
        BuildEnd::Built(_) | BuildEnd::Failed(_) => {}
        other => panic!("{other:?}"),
    }
    until("nothing of it runs", || running(&long).is_empty()).await;
    let kept = world.images.newest(&app).unwrap();
    let files = "setup = ['i=0; while :; do mkdir -p ~/many/$i; i=$((i+1)); done']";
    world.repos.commit("team/app", &[(HANGAR, files)]);
    let failure = world.fails(&app).await;
    assert!(failure.what.contains("disk"), "{failure}");
    assert_eq!(world.images.newest(&app).unwrap().id, kept.id);
    // Memory that looks like a disk has its own limit.
    world.repos.commit("team/app", &[(HANGAR, "setup = ['head -c 20G /dev/zero > /tmp/big']")]);
    let failure = world.fails(&app).await;
    assert!(failure.exit.is_some(), "{failure}");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['echo fine > ~/fine']")]);
    let image = world.built(&app).await;
    assert_ne!(image.id, good.id);
    let sandbox = world.sandbox(&image, "look").await;
    assert_eq!(output(&sandbox, "cat ~/fine; ls ~/many 2>/dev/null | wc -l").await, "fine\n0\n");
    sandbox.destroy().await;
    world.tidy().await;
    world.end().await;
}
