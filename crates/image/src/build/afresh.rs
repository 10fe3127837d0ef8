//! A build from nothing: the clone is the first layer, the base lies below it.

use std::{path::Path, sync::Arc, time::Instant};

use hangar_sandbox::layers::{About, Given, Kind, LayerId};

use super::{
    Builder, Job,
    failure::BuildFailure,
    millis,
    place::Place,
    steps::{Parts, prepare_clones},
    unsourced,
    work::{Plan, Work},
};
use crate::{
    image::{Image, Took},
    recipe::{Files, Recipe},
    source::Head,
    steps::BuildStep,
};

impl Builder {
    pub(super) async fn afresh(&self, job: &Job, head: &Head, began: Instant) -> Result<Image, BuildFailure> {
        let place = Place::new(&self.folder).map_err(|error| BuildFailure::of_disk("make a directory", &error))?;
        BuildStep::PlaceMade.done();
        let mut took = Took::default();
        job.doing("cloning");
        let cloning = Instant::now();
        let tree = place.path("clone");
        let workspace = tree.join("workspace");
        self.clone(&job.target.repo, &head.commit, &workspace).await?;
        let recipe = read(&workspace, &job.target.environment).await?;
        BuildStep::RecipeRead.done();
        let beside = self.beside(&job.target, &recipe).await?;
        for other in &beside {
            self.clone(&other.repo, &other.commit, &tree.join("repos").join(&other.name)).await?;
        }
        BuildStep::Cloned.done();
        took.sync_ms = millis(cloning.elapsed());
        recipe.notes.iter().for_each(|note| job.log.say(note));
        job.doing("preparing the base");
        let basing = Instant::now();
        let network = Self::network(job, &recipe.network.setup);
        let base = tokio::select! {
            base = self.bases.prepare(&recipe.base, &workspace, network, &job.log) => base,
            () = job.cancel.cancelled() => return Err(BuildFailure::passing("the base", "it was cancelled")),
        };
        let base = base.map_err(|error| {
            let failure = BuildFailure::lasting("the base", error);
            BuildFailure { last_lines: job.log.last_lines(), ..failure }
        })?;
        BuildStep::BasePrepared.done();
        took.base_ms = millis(basing.elapsed());
        let clone = self.sealed_clone(&tree, format!("{} at {}", job.target, head.commit)).await?;
        BuildStep::CloneSealed.done();
        let _in_use: Vec<_> = base.layers.iter().chain([&clone]).map(|layer| self.store.hold(layer)).collect();
        let below: Vec<LayerId> = std::iter::once(clone).chain(base.layers.iter().cloned()).collect();
        self.verified(&below).await?;
        let mut parts = Parts { head: head.clone(), beside, base, recipe, below, parent: None, took, began };
        let mut work = Work::begin(self.plan(job, &parts), &place).await?;
        let built = async {
            prepare_clones(&mut work, &parts).await?;
            BuildStep::ClonesPrepared.done();
            self.steps(job, &mut work, &mut parts).await
        };
        match built.await {
            Ok(checked) => self.finish(job, work, parts, checked).await,
            Err(failure) => {
                work.abandon().await;
                Err(failure)
            }
        }
    }

    pub(super) fn plan<'a>(&'a self, job: &'a Job, parts: &Parts) -> Plan<'a> {
        Plan {
            engine: &self.engine,
            outside: &self.outside,
            network: Self::network(job, &parts.recipe.network.setup),
            name: job.sandbox_name(),
            root: parts.root(&self.store),
            base_env: parts.base.env.clone(),
            limits: self.limits,
            log: &job.log,
            deadline: (parts.began + self.build_max).into(),
            cancel: &job.cancel,
        }
    }

    async fn clone(&self, repo: &hangar_protocol::RepoPath, commit: &str, to: &Path) -> Result<(), BuildFailure> {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(|error| BuildFailure::of_disk("make a directory", &error))?;
        }
        let cloned = self.source.clone_to(repo, commit, to).await;
        cloned.map_err(|error| BuildFailure { step: format!("clone {repo}"), ..unsourced(&error) })
    }

    /// Gives the clone to the agent and makes it a layer.
    async fn sealed_clone(&self, tree: &Path, label: String) -> Result<LayerId, BuildFailure> {
        let (store, tree) = (Arc::clone(&self.store), tree.to_owned());
        let sealed = tokio::task::spawn_blocking(move || {
            store.adopt(&tree, Given::ToAgent)?;
            store.seal(&tree, About::new(Kind::Image, label))
        });
        let failed = |error: &dyn std::fmt::Display| BuildFailure::passing("keep the clone", error);
        sealed.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

async fn read(workspace: &Path, environment: &str) -> Result<Recipe, BuildFailure> {
    let (workspace, environment) = (workspace.to_owned(), environment.to_owned());
    let failed = |error: &dyn std::fmt::Display| BuildFailure::passing("read the recipe", error);
    let read = tokio::task::spawn_blocking(move || {
        let files = Files::of_directory(&workspace)?;
        Ok::<_, std::io::Error>(Recipe::read_named(&files, &environment))
    });
    let recipe = read.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    recipe.map_err(|error| BuildFailure::lasting("read the recipe", error))
}
