//! A build on top of the last image: only what is new is fetched, and the set-up finds its caches warm.

use std::{sync::Arc, time::Instant};

use hangar_sandbox::ExecSpec;

use super::{
    Builder, Job, NotOnto,
    failure::BuildFailure,
    millis,
    place::Place,
    steps::{CloneAt, Parts, clones},
    unsourced,
    work::Work,
};
use crate::{
    image::{Image, Took},
    recipe::{BaseChoice, Files, Recipe},
    source::{Head, SourceError},
    steps::BuildStep,
    sync::{Bringing, Move, SyncError, bring},
};

/// How long git may compare two commits.
const DIFF_TIMEOUT_MS: u64 = 60_000;

impl Builder {
    pub(super) async fn onto(
        &self,
        job: &Job,
        previous: &Arc<Image>,
        head: &Head,
        began: Instant,
    ) -> Result<Image, NotOnto> {
        if let Some(change) = self.base_change(previous).await {
            return Err(NotOnto::Afresh(change));
        }
        let _in_use: Vec<_> = previous.layers.iter().map(|layer| self.store.hold(layer)).collect();
        if let Err(failure) = self.verified(&previous.layers).await {
            return Err(NotOnto::Afresh(failure.what));
        }
        let place = Place::new(&self.folder).map_err(|error| BuildFailure::of_disk("make a directory", &error))?;
        BuildStep::PlaceMade.done();
        let recipe = previous.recipe.clone();
        let beside = self.beside(&job.target, &recipe).await?;
        let mut parts = Parts {
            head: head.clone(),
            beside,
            base: previous.base.clone(),
            recipe,
            below: previous.layers.clone(),
            parent: Some(Arc::clone(previous)),
            took: Took::default(),
            began,
        };
        let mut work = Work::begin(self.plan(job, &parts), &place).await?;
        let built = async {
            job.doing("bringing the new commits in");
            let syncing = Instant::now();
            self.bring_all(previous, &parts, &work, &place).await?;
            BuildStep::CommitsBrought.done();
            parts.recipe = same_recipe(previous, &work).await?;
            BuildStep::RecipeRead.done();
            parts.took.sync_ms = millis(syncing.elapsed());
            Ok(self.steps(job, &mut work, &mut parts).await?)
        };
        match built.await {
            Ok(checked) => Ok(self.finish(job, work, parts, checked).await?),
            Err(not) => {
                work.abandon().await;
                Err(not)
            }
        }
    }

    async fn bring_all(&self, previous: &Image, parts: &Parts, work: &Work<'_>, place: &Place) -> Result<(), NotOnto> {
        let old: Vec<&str> = previous.commits().collect();
        for (number, CloneAt { repo, directory, branch, commit }) in clones(&previous.target.repo, parts).enumerate() {
            let Some(have) = old.get(number).copied() else {
                return Err(NotOnto::Afresh("there is another repository".into()));
            };
            if have == commit {
                continue;
            }
            let pack = place.path(&format!("delta-{number}"));
            match self.source.delta(repo, have, commit, &pack).await {
                Ok(()) => {}
                Err(SourceError::Gone(what)) => return Err(NotOnto::Afresh(what)),
                Err(error) => return Err(unsourced(&error).into()),
            }
            match bring(&work.sandbox, &Move { directory: &directory, branch, commit }, &pack, Bringing::Open).await {
                Ok(()) => {}
                Err(SyncError::Unfit(what)) => return Err(NotOnto::Afresh(what)),
                Err(error) => return Err(BuildFailure::passing("bring the new commits in", error).into()),
            }
            if number == 0 && base_files_changed(work, &parts.recipe.base, have, commit).await? {
                return Err(NotOnto::Afresh("files of the base have changed".into()));
            }
        }
        Ok(())
    }
}

/// The recipe of the new commit, if it is the one that the last image was built from.
async fn same_recipe(previous: &Image, work: &Work<'_>) -> Result<Recipe, NotOnto> {
    let files = Files::of_sandbox(&work.sandbox).await;
    let files = files.map_err(|error| BuildFailure::passing("read the recipe", error))?;
    let recipe = Recipe::read_named(&files, &previous.target.environment);
    let recipe = recipe.map_err(|error| BuildFailure::lasting("read the recipe", error))?;
    if recipe.digest() != previous.recipe_digest {
        return Err(NotOnto::Afresh("the recipe has changed".into()));
    }
    Ok(recipe)
}

/// Whether a base that is made of the repository's own files would be another one. Git is asked inside: its answer concerns this image alone.
async fn base_files_changed(work: &Work<'_>, base: &BaseChoice, have: &str, want: &str) -> Result<bool, BuildFailure> {
    let paths = match base {
        BaseChoice::Host | BaseChoice::Debian { .. } | BaseChoice::Pull { .. } => return Ok(false),
        BaseChoice::Archive { path } => vec![path.as_str()],
        // The whole context may be copied; so may a build be that only looks at one file of it.
        BaseChoice::Dockerfile { path, context, .. } => {
            vec![path.as_str(), if context.is_empty() { "." } else { context }]
        }
    };
    let words = ["git", "diff", "--quiet", "--no-ext-diff", have, want, "--"];
    let spec = ExecSpec::argv(words.into_iter().chain(paths)).timeout_ms(DIFF_TIMEOUT_MS);
    let ran =
        work.sandbox.exec(&spec).await.map_err(|error| BuildFailure::passing("look at the base's files", error))?;
    Ok(!ran.ended.status.success())
}
