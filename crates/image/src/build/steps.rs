//! What every build does in its sandbox, and the manifest at the end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hangar_protocol::RepoPath;
use hangar_sandbox::{
    Base, Root,
    layers::{LayerId, LayerStore},
};

use super::{Builder, Job, env, failure::BuildFailure, millis, now_ms, work::Work};
use crate::{
    image::{BaseKind, BaseUsed, BesideAt, Checked, Image, Took},
    recipe::{Account, Health, RECIPE_VERSION, Recipe, Step},
    services::{LOG_FOLDER, ServicePhase, Services},
    source::Head,
    steps::BuildStep,
};

/// How long git may take to look at every file of a new clone, in seconds.
const PREPARE_SECONDS_MAX: u32 = 600;
/// How much of what a failed check said is kept in the manifest.
const SAID_LINES: usize = 12;

/// What an image is made of, as far as it is known.
pub(super) struct Parts {
    pub(super) head: Head,
    pub(super) beside: Vec<BesideAt>,
    pub(super) base: BaseUsed,
    pub(super) recipe: Recipe,
    /// Layers below the one that this build makes, topmost first, the base's included.
    pub(super) below: Vec<LayerId>,
    pub(super) parent: Option<Arc<Image>>,
    pub(super) took: Took,
    pub(super) began: Instant,
}

impl Parts {
    pub(super) fn root(&self, store: &LayerStore) -> Root {
        let base = match self.base.kind {
            BaseKind::Host => Base::Host,
            BaseKind::Tree => Base::Tree,
        };
        Root { base, layers: self.below.iter().map(|layer| store.tree(layer)).collect() }
    }
}

/// One clone of an image.
pub(super) struct CloneAt<'a> {
    pub(super) repo: &'a RepoPath,
    pub(super) directory: String,
    pub(super) branch: &'a str,
    pub(super) commit: &'a str,
}

/// Every clone, the main repository's first.
pub(super) fn clones<'a>(main: &'a RepoPath, parts: &'a Parts) -> impl Iterator<Item = CloneAt<'a>> {
    let head = &parts.head;
    let first = CloneAt { repo: main, directory: "/workspace".into(), branch: &head.branch, commit: &head.commit };
    let others = parts.beside.iter().map(|beside| CloneAt {
        repo: &beside.repo,
        directory: format!("/repos/{}", beside.name),
        branch: &beside.branch,
        commit: &beside.commit,
    });
    std::iter::once(first).chain(others)
}

/// Makes git inside look at sizes and times only: inode numbers and change times of files differ in every layer, and without this each first
/// `git status` would read the whole work tree.
pub(super) async fn prepare_clones(work: &mut Work<'_>, parts: &Parts) -> Result<(), BuildFailure> {
    for beside in std::iter::once("/workspace".to_owned())
        .chain(parts.beside.iter().map(|beside| format!("/repos/{}", beside.name)))
    {
        let script =
            "git config core.checkStat minimal; git config core.trustctime false; git update-index -q --refresh";
        let mut step = Step::strict(format!("git index of {beside}"), script).within(beside);
        step.seconds_max = PREPARE_SECONDS_MAX;
        work.run(&step).await?;
    }
    Ok(())
}

impl Builder {
    /// Set-up, services, first build and tests, check. Returns how the checks went.
    pub(super) async fn steps(
        &self,
        job: &Job,
        work: &mut Work<'_>,
        parts: &mut Parts,
    ) -> Result<Vec<Checked>, BuildFailure> {
        work.become_account(Account::Agent).await?;
        let base = env::of_sandbox(&work.sandbox).await;
        let base = base.map_err(|error| BuildFailure::passing("read the base's environment", error))?;
        work.env = env::filled(&parts.recipe.env, &base);
        BuildStep::EnvironmentRead.done();
        let recipe = parts.recipe.clone();
        let setting_up = Instant::now();
        for step in &recipe.setup {
            job.show(&step.name);
            work.run(step).await?;
        }
        for service in &recipe.services {
            for step in [&service.prepare, &service.setup].into_iter().flatten() {
                job.show(&step.name);
                work.run(step).await?;
            }
        }
        BuildStep::SetupRun.done();
        work.become_account(Account::Agent).await?;
        let services = self.services(job, work, &recipe).await?;
        BuildStep::ServicesReady.done();
        parts.took.setup_ms = millis(setting_up.elapsed());
        let warming = Instant::now();
        let mut checked = Vec::new();
        for step in &recipe.warm {
            job.show(&step.name);
            let began = Instant::now();
            match work.run(step).await {
                Ok(()) => checked.push(went(step, began.elapsed(), String::new(), true)),
                // Whatever stops the build as a whole stops it here too.
                Err(failure) if job.cancel.is_cancelled() => return Err(failure),
                Err(failure) => {
                    job.log.say(&format!("{} failed, which only leaves caches cold: {}", step.name, failure.what));
                    let skip = failure.last_lines.len().saturating_sub(SAID_LINES);
                    let said = format!("{}\n{}", failure.what, failure.last_lines[skip..].join("\n"));
                    checked.push(went(step, began.elapsed(), said, false));
                }
            }
        }
        BuildStep::WarmRun.done();
        if let Some(step) = &recipe.verify {
            job.show(&step.name);
            let began = Instant::now();
            work.run(step).await?;
            checked.push(went(step, began.elapsed(), String::new(), true));
        }
        BuildStep::CheckRun.done();
        services.stop().await;
        BuildStep::ServicesStopped.done();
        parts.took.warm_ms = millis(warming.elapsed());
        Ok(checked)
    }

    /// Starts the services and seeds each one as soon as it is ready.
    async fn services(&self, job: &Job, work: &mut Work<'_>, recipe: &Recipe) -> Result<Services, BuildFailure> {
        let services = Services::start(work.sandbox.clone(), &recipe.services, &work.env);
        for service in &recipe.services {
            job.doing(&format!("service {}", service.name));
            let phase = tokio::select! {
                phase = services.settled_one(&service.name) => phase,
                () = job.cancel.cancelled() => return Err(BuildFailure::passing(&service.name, "it was cancelled")),
            };
            let what = match phase {
                ServicePhase::Ready => {
                    if let Some(seed) = &service.seed {
                        work.run(seed).await?;
                    }
                    continue;
                }
                ServicePhase::Ended(how) => format!("it ended by itself ({how})"),
                ServicePhase::Failed(why) => why,
                ServicePhase::Waiting | ServicePhase::Starting | ServicePhase::Stopped => "it was not started".into(),
            };
            // One that nobody asks whether it is ready, a dev server perhaps, may end: the image is good without it.
            if service.health == Health::Running && service.seed.is_none() {
                job.log.say(&format!("service {}: {what}", service.name));
                continue;
            }
            let log = work.sandbox.read(&format!("{LOG_FOLDER}/{}.log", service.name), 0, 16 * 1024).await;
            let text = log.map(|content| String::from_utf8_lossy(&content.bytes).into_owned()).unwrap_or_default();
            let mut failure = BuildFailure::lasting(format!("service {}", service.name), what);
            let lines: Vec<&str> = text.lines().collect();
            lines.iter().for_each(|line| job.log.add(format!("{line}\n").as_bytes()));
            failure.last_lines = lines[lines.len().saturating_sub(crate::log::LAST_LINES)..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect();
            return Err(failure);
        }
        Ok(services)
    }

    /// Freezes the layer and writes down what it is.
    pub(super) async fn finish(
        &self,
        job: &Job,
        work: Work<'_>,
        mut parts: Parts,
        verification: Vec<Checked>,
    ) -> Result<Image, BuildFailure> {
        job.doing("freezing the layer");
        let freezing = Instant::now();
        let env = work.env.clone();
        let label = format!("{} at {}", job.target, parts.head.commit);
        let layer = work.freeze(&self.store, label.clone()).await?;
        let below = parts.below.len() - parts.base.layers.len();
        let own = std::iter::once(layer).chain(parts.below[..below].iter().cloned()).collect();
        let own = self.short(own, &parts.base.layers, label).await?;
        let disk_bytes = self.disk_bytes(&own);
        parts.took.freeze_ms = millis(freezing.elapsed());
        parts.took.total_ms = millis(parts.began.elapsed());
        let mut image_env = parts.base.env.clone();
        image_env.extend(env);
        let image = Image {
            id: Image::unnamed(),
            target: job.target.clone(),
            commit: parts.head.commit,
            branch: parts.head.branch,
            beside: parts.beside,
            layers: own.into_iter().chain(parts.base.layers.iter().cloned()).collect(),
            base: parts.base,
            recipe_digest: parts.recipe.digest(),
            notes: parts.recipe.notes.clone(),
            recipe: parts.recipe,
            recipe_version: RECIPE_VERSION,
            env: image_env,
            verification,
            built_at_ms: now_ms(),
            took: parts.took,
            generation: parts.parent.as_ref().map_or(0, |parent| parent.generation + 1),
            parent: parts.parent.map(|parent| parent.id.clone()),
            disk_bytes,
        };
        let image = image.named();
        BuildStep::Described.done();
        Ok(image)
    }
}

fn went(step: &Step, took: Duration, said: String, ok: bool) -> Checked {
    Checked { step: step.name.clone(), ok, said, duration_ms: millis(took) }
}
