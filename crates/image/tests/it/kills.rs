//! The process that builds is killed at every step of a build: nothing stays on the machine, the last good image is still the newest and can be used, and the
//! build can be done again. And the disk is filled after every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};

use hangar_image::{Image, steps::BuildStep};

use crate::{
    remains,
    world::{Repos, World, open, output, target},
};

const REPO: &str = "team/app";
const HANGAR: &str = ".hangar/environment.toml";
/// Steps of a build on top of another that one afresh has not, and the other way round.
const ONTO_ONLY: [BuildStep; 1] = [BuildStep::CommitsBrought];
const AFRESH_ONLY: [BuildStep; 4] =
    [BuildStep::Cloned, BuildStep::BasePrepared, BuildStep::CloneSealed, BuildStep::ClonesPrepared];
/// Steps after which nothing needs room any more: the manifest only gets its name.
const NEEDS_NO_ROOM: [BuildStep; 4] =
    [BuildStep::CatalogPartWritten, BuildStep::CatalogMoved, BuildStep::ImageKept, BuildStep::EndNoted];
/// Builds until there are so many layers that they are squashed.
const SQUASH_AFTER_MAX: u32 = 30;
/// How long a killed builder's processes may take to be gone, once the next engine is there.
const SWEEP_PATIENCE: Duration = Duration::from_secs(20);

/// A recipe with something of everything; another number is another recipe.
fn recipe(number: u32) -> String {
    format!(
        "setup = ['echo made > ~/made', 'setsid sleep 1000 & echo {number} > ~/number']\nwarm = ['true']\nverify = 'test -f ~/made'\n\
         [[services]]\nname = 'server'\nrun = 'exec sleep 1000'\n"
    )
}

/// A repository, and a data directory over which processes come and go.
struct Place {
    directory: tempfile::TempDir,
    repos: Arc<Repos>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let repos = Arc::new(Repos { folder: directory.path().join("forge") });
        Self { directory, repos }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    async fn program(&self, mode: &str, environment: &[(&str, &str)]) -> Output {
        let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_images-try"))
            .args([self.path("data"), self.path("forge")])
            .args([REPO, mode])
            .envs(environment.iter().copied())
            .output()
            .await
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&program.stderr), "");
        program
    }

    /// Builds in a process of its own that must come to its end; how often it came to each step.
    async fn built(&self, commit: &str) -> BTreeMap<String, u32> {
        let list = self.path("steps");
        let _ = fs::remove_file(&list);
        let built = self.program("build", &[("HANGAR_STEPS_TO", list.to_str().unwrap())]).await;
        let said = String::from_utf8_lossy(&built.stdout).into_owned();
        assert!(
            said.lines().last().is_some_and(|last| last.starts_with("built ")) && said.trim().ends_with(commit),
            "{said}"
        );
        let mut steps = BTreeMap::new();
        let own: BTreeSet<&str> = BuildStep::ALL.iter().map(|step| step.name()).collect();
        let listed = fs::read_to_string(list).unwrap();
        for step in listed.lines().filter(|step| own.contains(step)) {
            *steps.entry(step.to_owned()).or_default() += 1;
        }
        steps
    }

    /// Kills a build at `step` and does it again; what is newest then. An error: it never came to the step, and what it said.
    async fn killed(&self, step: &str, good: &Image, commit: &str) -> Result<Arc<Image>, String> {
        let note = self.path("children");
        let environment = [("HANGAR_END_AFTER", step), ("HANGAR_CHILDREN_TO", note.to_str().unwrap())];
        let ended = self.program("build", &environment).await;
        if ended.status.signal() != Some(9) {
            return Err(format!(
                "it does not come to {step}: {:?} {}",
                ended.status,
                String::from_utf8_lossy(&ended.stdout)
            ));
        }
        let data = self.path("data");
        let (engine, store, images) = open(&data, &self.repos, |_| {}).await;
        let noted = remains::noted(&note);
        let began = Instant::now();
        loop {
            let left = [remains::of_engine(&data), remains::of_processes(&noted)].concat();
            if left.is_empty() {
                break;
            }
            assert!(began.elapsed() < SWEEP_PATIENCE, "{step}: left behind:\n{}", left.join("\n"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(remains::half_done(&data), Vec::<String>::new(), "{step}");
        let builds = fs::read_dir(data.join("images/builds")).unwrap().count();
        let parts = ["manifests", "last"].map(|folder| data.join("images").join(folder));
        let parts = parts.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
        let parts: Vec<_> = parts.map(|part| part.path()).filter(|path| path.extension().unwrap() != "json").collect();
        assert_eq!((builds, parts), (0, vec![]), "{step}");

        let world = World {
            engine,
            store,
            images,
            repos: Arc::clone(&self.repos),
            directory: tempfile::TempDir::new().unwrap(),
        };
        let newest = world.images.newest(&target(REPO)).unwrap();
        // From the moment its manifest has its name the new one counts, and not before.
        let counts = ["CatalogMoved", "ImageKept", "EndNoted", "CatalogPartWritten:2"];
        let is_new = counts.iter().any(|name| step.starts_with(name));
        assert_eq!(newest.id != good.id, is_new, "{step}");
        self.usable(&world, &newest, step).await;
        let again = if is_new {
            newest
        } else {
            let again = world.built(&target(REPO)).await;
            self.usable(&world, &again, step).await;
            again
        };
        assert_eq!(again.commit, commit, "{step}");
        world.end().await;
        Ok(again)
    }

    /// What everybody who begins a session on the image finds.
    async fn usable(&self, world: &World, image: &Image, step: &str) {
        let session = self.path("data/sessions/look");
        let mut spec = hangar_sandbox::SandboxSpec::new("look", image.root(&world.store), &session);
        spec.env = image.env.clone();
        let sandbox = world.engine.create(spec).await.unwrap_or_else(|error| panic!("{step}: {error}"));
        let seen = output(&sandbox, "cat ~/made; git rev-parse HEAD; git fsck 2>&1; git status --short; cat a").await;
        let number = seen.lines().last().unwrap().to_owned();
        assert_eq!(seen, format!("made\n{}\n{number}\n", image.commit), "{step}");
        sandbox.destroy().await;
        fs::remove_dir_all(session).unwrap();
    }

    async fn newest(&self) -> Arc<Image> {
        let (engine, store, images) = open(&self.path("data"), &self.repos, |_| {}).await;
        let image = images.newest(&target(REPO)).unwrap();
        let world = World {
            engine,
            store,
            images,
            repos: Arc::clone(&self.repos),
            directory: tempfile::TempDir::new().unwrap(),
        };
        world.end().await;
        image
    }
}

/// Every time of every step but the last, for which there is nothing left to do.
fn moments(steps: &BTreeMap<String, u32>) -> Vec<String> {
    steps.iter().flat_map(|(step, times)| (1..=*times).map(move |time| format!("{step}:{time}"))).collect()
}

fn expected(without: &[BuildStep]) -> BTreeSet<&'static str> {
    let all = BuildStep::ALL.iter().filter(|step| !without.contains(step) && **step != BuildStep::LayersSquashed);
    all.map(|step| step.name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_afresh_killed_at_every_step() {
    let place = Place::new();
    let mut number = 0;
    // Another recipe each time, so that nothing is built on top of anything.
    let mut change = || {
        number += 1;
        let (recipe, a) = (recipe(number), format!("{number}\n"));
        place.repos.commit(REPO, &[(HANGAR, recipe.as_str()), ("a", a.as_str())])
    };
    let steps = place.built(&change()).await;
    assert_eq!(steps.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected(&ONTO_ONLY));
    let mut good = place.newest().await;
    let began = Instant::now();
    for moment in moments(&steps) {
        let commit = change();
        good = place.killed(&moment, &good, &commit).await.unwrap();
        assert_eq!(good.parent, None, "{moment}");
    }
    println!("{} kills in {:?}", moments(&steps).len(), began.elapsed());
    assert_eq!(remains::of_engine(&place.path("data")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_on_top_killed_at_every_step() {
    let place = Place::new();
    let recipe = recipe(0);
    let mut number = 0;
    let mut change = || {
        number += 1;
        let a = format!("{number}\n");
        place.repos.commit(REPO, &[(HANGAR, recipe.as_str()), ("a", a.as_str())])
    };
    place.built(&change()).await;
    let steps = place.built(&change()).await;
    assert_eq!(steps.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected(&AFRESH_ONLY));
    let mut good = place.newest().await;
    for moment in moments(&steps) {
        let commit = change();
        let before = good.id.clone();
        good = place.killed(&moment, &good, &commit).await.unwrap();
        assert_eq!(good.parent, Some(before), "{moment}");
    }
    // Each had one layer more; now and then they are made one.
    for _ in 0..SQUASH_AFTER_MAX {
        let commit = change();
        match place.killed("LayersSquashed", &good, &commit).await {
            Ok(image) => {
                assert!(image.layers.len() < good.layers.len(), "{} layers", image.layers.len());
                return;
            }
            Err(_) => good = place.newest().await,
        }
    }
    panic!("layers are never squashed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_every_step_of_a_build() {
    let place = Place::new();
    place.repos.commit(REPO, &[(HANGAR, recipe(0).as_str()), ("a", "0\n")]);
    fs::create_dir(place.path("data")).unwrap();
    let done = place.program("full", &[]).await;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(said.lines().last(), Some("closed"), "{said}");
    println!("{said}");
    let steps = BuildStep::ALL.iter().map(|step| step.name());
    let ends: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(ends.iter().map(|(step, _)| *step).collect::<Vec<_>>(), steps.collect::<Vec<_>>(), "{said}");
    let reached = expected(&ONTO_ONLY);
    for (step, end) in ends {
        if !reached.contains(step) {
            assert_eq!(end, "not reached", "{step}");
        } else if NEEDS_NO_ROOM.iter().any(|fits| fits.name() == step) {
            assert_eq!(end, "fitted", "{step}");
        } else {
            // What the machine is in the way of is tried again soon.
            assert!(end.starts_with("refused Passing ") && end.contains("the disk is full"), "{step} {end}");
        }
    }
    assert_eq!(remains::of_engine(Path::new(&place.path("data"))), Vec::<String>::new());
}
