//! Sandboxes that are ready before anybody asks.

use std::{sync::Arc, time::Duration};

use hangar_image::{At, Hit, Pool, PoolConfig, PoolCounts, ServicePhase, Source};

use crate::world::{World, output, soon, target, until};

const HANGAR: &str = ".hangar/environment.toml";

fn pool(world: &World, change: impl FnOnce(&mut PoolConfig)) -> Pool {
    let mut config = PoolConfig::new(world.data());
    change(&mut config);
    let source = Arc::clone(&world.repos) as Arc<dyn Source>;
    Pool::open(config, world.engine.clone(), Arc::clone(&world.store), world.images.clone(), source).unwrap()
}

async fn counts(pool: &Pool, what: &str, holds: impl FnMut(&Vec<PoolCounts>) -> bool) -> PoolCounts {
    let mut watch = pool.watch();
    let counts = soon(what, watch.wait_for(holds)).await.unwrap().clone();
    counts[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_types_finds_the_newest_commits_and_what_was_started() {
    let world = World::new().await;
    let app = target("team/app");
    let recipe = "setup = ['mkdir ~/made']\nstart = ['echo started > ~/started']\n\
                  [[services]]\nname = 'server'\nrun = 'exec python3 -m http.server 8123 --bind 127.0.0.1'\n\
                  health = { http = 'http://127.0.0.1:8123/a' }\n";
    world.repos.commit("team/app", &[(HANGAR, recipe), ("a", "one\n")]);
    let pool = pool(&world, |_| {});
    assert!(pool.take(app.clone(), "ann", At::Newest).await.unwrap().is_none(), "there is no image yet");
    world.built(&app).await;
    let newer = world.repos.commit("team/app", &[("a", "two\n")]);
    assert!(!pool.warm(app.clone(), "ann").await.unwrap().ready);
    counts(&pool, "one for ann", |counts| counts.iter().any(|counts| counts.reserved == 1)).await;
    let served = async {
        while !pool.warm(app.clone(), "ann").await.unwrap().ready {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("a sandbox with its server", served).await;

    let mut taken = pool.take(app.clone(), "ann", At::Commit(newer.clone())).await.unwrap().unwrap();
    assert_eq!((taken.hit, taken.commit.as_str()), (Hit::Warmed, newer.as_str()));
    assert_eq!(taken.services.states().borrow()[0].phase, ServicePhase::Ready);
    soon("the start steps", &mut taken.starting).await.unwrap();
    let seen =
        output(&taken.sandbox, "cat a ~/started; ls -d ~/made; git rev-parse HEAD origin/main; git status --short")
            .await;
    assert_eq!(seen, format!("two\nstarted\n/home/agent/made\n{newer}\n{newer}\n"));
    let stats = counts(&pool, "the wait", |counts| {
        counts.iter().any(|counts| counts.hits == 1 && counts.ready == counts.wanted)
    })
    .await;
    assert_eq!((stats.misses, stats.wanted), (0, 2), "two were asked for within a minute");
    println!(
        "keystroke: create {:?}, sync {:?}; hit waited {:?}",
        taken.prepared.create, taken.prepared.sync, taken.waited
    );

    taken.keep().unwrap();
    let files = taken.session_dir();
    taken.services.stop().await;
    taken.sandbox.destroy().await;
    assert!(files.join("upper").exists(), "a session's files stay");

    let other = pool.take(app.clone(), "ben", At::Newest).await.unwrap().unwrap();
    assert_eq!((other.hit, other.commit.as_str()), (Hit::Waiting, newer.as_str()));
    assert_eq!(output(&other.sandbox, "cat a").await, "two\n");
    other.sandbox.destroy().await;
    drop(other);
    pool.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_warmed_in_vain_goes_back_and_a_new_image_replaces_what_waits() {
    let world = World::new().await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']"), ("a", "one\n")]);
    world.built(&app).await;
    let pool = pool(&world, |config| config.warm_kept = Duration::from_millis(50));
    let first = pool.take(app.clone(), "ann", At::Image).await.unwrap().unwrap();
    assert_eq!(first.hit, Hit::Missed);
    println!("miss waited {:?}", first.waited);
    first.sandbox.destroy().await;
    drop(first);
    counts(&pool, "one that waits", |counts| counts.iter().any(|counts| counts.ready == 1)).await;
    pool.warm(app.clone(), "ben").await.unwrap();
    let stats = counts(&pool, "it going back", |counts| {
        counts.iter().any(|counts| counts.abandoned == 1 && counts.reserved == 0)
    })
    .await;
    assert_eq!((stats.hits, stats.misses), (0, 1));

    world.repos.commit("team/app", &[("a", "two\n")]);
    let image = world.built(&app).await;
    // The old one ends and a new one is made; it is over the new image.
    let taken = soon("a sandbox over the new image", async {
        loop {
            let taken = pool.take(app.clone(), "ann", At::Image).await.unwrap().unwrap();
            if taken.lease.image().id == image.id {
                return taken;
            }
            taken.sandbox.destroy().await;
        }
    })
    .await;
    assert_eq!(output(&taken.sandbox, "cat a").await, "two\n");
    taken.sandbox.destroy().await;
    drop(taken);
    pool.close().await;
    let folder = world.data().join("pool");
    until("the pool leaves nothing", || std::fs::read_dir(&folder).unwrap().next().is_none()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_many_people_do_not_fill_the_machine() {
    let world = World::new().await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']"), ("a", "one\n")]);
    world.built(&app).await;
    let pool = pool(&world, |config| {
        config.sizes.memory_bytes = 2 * config.each_bytes;
    });
    for who in ["ann", "ben", "eve"] {
        pool.warm(app.clone(), who).await.unwrap();
    }
    let stats = counts(&pool, "two that are kept", |counts| {
        counts.iter().any(|counts| counts.reserved == 2 && counts.preparing == 0)
    })
    .await;
    assert_eq!((stats.ready, stats.memory_bytes), (0, 16 * 1024 * 1024), "the third has to wait for the session");
    assert!(pool.warm(app.clone(), "ann").await.unwrap().ready, "whoever has one keeps it");
    assert!(!pool.warm(app.clone(), "eve").await.unwrap().ready);
    let taken = pool.take(app.clone(), "eve", At::Newest).await.unwrap().unwrap();
    assert_eq!(taken.hit, Hit::Missed, "the session gets one all the same");
    taken.sandbox.destroy().await;
    drop(taken);
    pool.close().await;
    world.end().await;
}
