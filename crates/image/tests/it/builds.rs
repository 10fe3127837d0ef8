//! Builds in real sandboxes: from each kind of recipe, on top of each other, and those that fail.

use hangar_image::{Exit, Passing, Way};

use crate::world::{World, ended, output, target};

const HANGAR: &str = ".hangar/environment.toml";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_holds_the_clone_and_what_the_setup_made() {
    let world = World::new().await;
    let recipe = "setup = ['mkdir -p ~/cache && echo warm > ~/cache/file', 'echo built > out']\n\
                  warm = ['true', 'echo cold; false']\nverify = 'test -f out'\n[env]\nMODE = 'dev'\nPATH = '/workspace/bin:${PATH}'\n";
    let commit =
        world.repos.commit("team/app", &[(HANGAR, recipe), ("a.txt", "one\n"), ("bin/tool", "#!/bin/sh\necho tool\n")]);
    let image = world.built(&target("team/app")).await;
    assert_eq!(
        (image.commit.as_str(), image.branch.as_str(), image.base.name.as_str()),
        (commit.as_str(), "main", "host")
    );
    assert_eq!(image.layers.len(), 2, "the clone and what the set-up made");
    assert_eq!(image.parent, None);
    let checks: Vec<(&str, bool)> = image.verification.iter().map(|check| (check.step.as_str(), check.ok)).collect();
    assert_eq!(checks, [("warm 1", true), ("warm 2", false), ("verify", true)]);
    assert!(image.verification[1].said.contains("cold"), "{:?}", image.verification[1]);

    let sandbox = world.sandbox(&image, "look").await;
    assert_eq!(
        output(&sandbox, "cat a.txt ~/cache/file out; git rev-parse HEAD; git status --short; echo $MODE").await,
        format!("one\nwarm\nbuilt\n{commit}\n?? out\ndev\n")
    );
    assert_eq!(output(&sandbox, "chmod +x bin/tool; tool; git --version | cut -c 1-3").await, "tool\ngit\n");
    sandbox.destroy().await;
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_image_is_built_on_top() {
    let world = World::new().await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['echo run >> ~/runs']"), ("a", "one\n"), ("gone", "x\n")]);
    let first = world.built(&app).await;
    let build = world.build(&app).await;
    assert_eq!(ended(&build).await, hangar_image::BuildEnd::Unchanged);

    let commit = world.repos.commit("team/app", &[("a", "two\n"), ("gone", ""), ("dir/new", "three\n")]);
    let second = world.built(&app).await;
    assert_eq!(second.parent.as_ref(), Some(&first.id));
    assert_eq!((second.generation, second.layers.len()), (1, 3));
    assert_eq!(second.layers[1..], first.layers[..]);
    assert_eq!(world.images.newest(&app).unwrap().id, second.id);
    let sandbox = world.sandbox(&second, "look").await;
    assert_eq!(
        output(&sandbox, "cat a dir/new ~/runs; test ! -e gone; git rev-parse HEAD origin/main; git status --short")
            .await,
        format!("two\nthree\nrun\nrun\n{commit}\n{commit}\n")
    );
    sandbox.destroy().await;

    world.repos.commit("team/app", &[(HANGAR, "setup = ['echo other >> ~/runs']")]);
    let third = world.built(&app).await;
    assert_eq!((third.parent.as_ref(), third.layers.len()), (None, 2), "another recipe is built afresh");
    let sandbox = world.sandbox(&third, "look-again").await;
    assert_eq!(output(&sandbox, "cat ~/runs").await, "other\n");
    sandbox.destroy().await;
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_step_says_where_and_keeps_the_last_good_image() {
    let world = World::new().await;
    let app = target("team/app");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['true']")]);
    let good = world.built(&app).await;
    let recipe = "[[setup]]\nname = 'install'\nrun = '''\necho first\ntest -d /nowhere\necho never\n'''\n";
    world.repos.commit("team/app", &[(HANGAR, recipe)]);
    let failure = world.fails(&app).await;
    assert_eq!(
        (failure.step.as_str(), failure.exit, failure.passing),
        ("install", Some(Exit::Code(1)), Passing::Lasting)
    );
    let at = failure.at.clone().unwrap();
    assert_eq!((at.line, at.command.as_str()), (2, "test -d /nowhere"), "{failure}");
    assert_eq!(failure.last_lines, ["first"], "{failure}");
    let (said, _) = world.images.builds().last().unwrap().log.read(0, 1 << 20);
    assert!(
        said.ends_with("hangar: ── install\nfirst\nhangar: failed: install: exit code 1 (line 2: test -d /nowhere)\n"),
        "each is said once: {said}"
    );
    assert_eq!(world.images.newest(&app).unwrap().id, good.id);
    let last = &world.images.last_builds()[0];
    assert_eq!((last.failures_in_a_row, last.failure.as_ref()), (1, Some(&failure)));

    world.repos.commit("team/app", &[(HANGAR, "setup = ['no-such-program']")]);
    let failure = world.fails(&app).await;
    assert!(failure.what.contains("a program is missing in the base"), "{failure}");
    world.repos.commit("team/app", &[(HANGAR, "steps = []")]);
    let failure = world.fails(&app).await;
    assert!(failure.what.contains("line 1: unknown field `steps`"), "{failure}");
    assert_eq!(world.images.last_builds()[0].failures_in_a_row, 3);
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_service_is_prepared_before_the_setup_that_the_recipe_adds() {
    let world = World::new().await;
    let app = target("team/app");
    let recipe = "setup = ['chmod +x bin/*']\nverify = 'grep -x added ~/.hangar/services/cache/own'\n[env]\nPATH = '/workspace/bin:${PATH}'\n\
                  [[services]]\nname = 'cache'\nuses = 'redis'\nsetup = 'cd ~/.hangar/services/cache && echo added > own'\n\
                  stop = 'touch /tmp/stopped'\n";
    // The host has no Redis; whatever listens at its port will do.
    let server = "#!/bin/sh\nexec python3 -m http.server 6379 --bind 127.0.0.1\n";
    world.repos.commit("team/app", &[(HANGAR, recipe), ("bin/redis-server", server)]);
    let image = world.built(&app).await;
    let service = &image.recipe.services[0];
    let named = [&service.prepare, &service.setup].map(|step| step.as_ref().unwrap().name.as_str());
    assert_eq!(named, ["cache: prepare", "cache: setup"]);
    world.tidy().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_step_is_ended_and_a_build_can_be_cancelled() {
    let world = World::new().await;
    let app = target("team/app");
    world
        .repos
        .commit("team/app", &[(HANGAR, "setup = [{ run = 'trap \"\" TERM; sleep 1000 & wait', timeout = '1s' }]")]);
    let failure = world.fails(&app).await;
    assert_eq!(failure.exit, Some(Exit::TimedOut), "{failure}");
    world.repos.commit("team/app", &[(HANGAR, "setup = ['setsid sleep 1000 & echo waiting; sleep 1000']")]);
    let build = world.images.build(app.clone(), Way::Usual).await.unwrap();
    let mut said = build.log.length();
    crate::world::soon("the step", async {
        while !build.log.read(0, 1 << 20).0.contains("\nwaiting\n") {
            said.changed().await.unwrap();
        }
    })
    .await;
    world.images.cancel(build.number).await.unwrap();
    assert_eq!(ended(&build).await, hangar_image::BuildEnd::Cancelled);
    assert_eq!(world.images.last_builds()[0].failures_in_a_row, 1, "cancelling is no failure");
    world.tidy().await;
    world.end().await;
}
