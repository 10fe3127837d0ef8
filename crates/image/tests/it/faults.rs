//! Builds that misbehave, what a restart finds, and what is collected.

use std::{collections::HashSet, sync::Arc, time::Duration};

use hangar_image::KeepImages;
use hangar_sandbox::layers::Keep;

use crate::world::{World, open, output, target};

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
