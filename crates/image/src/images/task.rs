//! The one task: what waits, what runs, what is next.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use hangar_protocol::RepoPath;
use hangar_sandbox::layers::LayerId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{Id, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Adopted, Build, BuildEnd, BuildState, Collected, ImagesConfig, ImagesError, LastBuild, Shared, View, collect,
    schedule,
};
use crate::{
    build::{BuildFailure, Builder, Job, Outcome, Way, now_ms},
    image::{Image, Target},
    recipe::Schedule,
    steps::BuildStep,
};

/// Builds that are remembered for people.
pub(super) const BUILDS_KEPT: usize = 100;
/// A push is followed by others; the build begins so long after the first of them.
const PUSH_SETTLES: Duration = Duration::from_secs(2);

/// What the task is asked for.
pub(super) enum Ask {
    Follow(Target),
    Unfollow(Target),
    Pushed(RepoPath),
    Build { target: Target, way: Way, answer: oneshot::Sender<Build> },
    Cancel(u32),
    Adopt { image: Arc<Image>, answer: oneshot::Sender<Result<Adopted, ImagesError>> },
    Collect { in_use_elsewhere: HashSet<LayerId>, answer: oneshot::Sender<Result<Collected, ImagesError>> },
    Close(oneshot::Sender<()>),
}

/// What the task knows of a followed target.
#[derive(Default)]
struct Followed {
    /// When it is built by itself.
    next: Option<Instant>,
}

/// A build, seen from the task.
struct Known {
    build: Build,
    way: Way,
    step: watch::Sender<String>,
    state: watch::Sender<BuildState>,
    cancel: CancellationToken,
}

pub(super) struct Task {
    config: ImagesConfig,
    builder: Arc<Builder>,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Ask>,
    publish: watch::Sender<Arc<View>>,
    view: View,
    followed: BTreeMap<Target, Followed>,
    queue: VecDeque<Known>,
    running: BTreeMap<Target, Known>,
    tasks: JoinSet<Result<Outcome, BuildFailure>>,
    /// Which target each task builds, also after it panicked.
    whose: BTreeMap<Id, Target>,
    builds_asked: u32,
}

impl Task {
    pub(super) fn new(
        config: ImagesConfig,
        builder: Builder,
        shared: Arc<Shared>,
        inbox: mpsc::Receiver<Ask>,
        publish: watch::Sender<Arc<View>>,
    ) -> Self {
        let view = View::clone(&publish.borrow());
        Self {
            config,
            builder: Arc::new(builder),
            shared,
            inbox,
            publish,
            view,
            followed: BTreeMap::new(),
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            whose: BTreeMap::new(),
            builds_asked: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.begin_builds();
            let next = self.followed.values().filter_map(|followed| followed.next).min();
            tokio::select! {
                ask = self.inbox.recv() => match ask {
                    Some(Ask::Close(answer)) => {
                        self.end().await;
                        // Whoever asked may be gone.
                        let _ = answer.send(());
                        return;
                    }
                    Some(ask) => self.answer(ask).await,
                    // The last handle is gone.
                    None => return self.end().await,
                },
                Some(done) = self.tasks.join_next_with_id() => {
                    let (id, result) = match done {
                        Ok((id, result)) => (id, result),
                        Err(error) => (error.id(), Err(BuildFailure::passing("the build", error))),
                    };
                    if let Some(target) = self.whose.remove(&id) {
                        self.over(&target, result).await;
                    }
                }
                () = sleep_until(next) => self.due(),
            }
        }
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Follow(target) => {
                let wait = self.wait(&target);
                let fresh = self.view.newest.get(&target).and_then(|image| {
                    let age = Duration::from_millis(now_ms().saturating_sub(image.built_at_ms));
                    Some(wait?.saturating_sub(age))
                });
                self.followed
                    .entry(target)
                    .or_insert_with(|| Followed { next: Some(Instant::now() + fresh.unwrap_or_default()) });
            }
            Ask::Unfollow(target) => drop(self.followed.remove(&target)),
            Ask::Pushed(repo) => self.pushed(&repo),
            Ask::Build { target, way, answer } => {
                let build = self.ask(target, way);
                // Whoever asked may be gone; it is built all the same.
                let _ = answer.send(build);
            }
            Ask::Cancel(number) => self.cancel(number),
            Ask::Adopt { image, answer } => {
                let adopted = self.adopt(image).await;
                self.tell();
                let _ = answer.send(adopted);
            }
            Ask::Collect { in_use_elsewhere, answer } => {
                let (shared, mut view) = (Arc::clone(&self.shared), self.view.clone());
                // The task waits: no image can be added meanwhile, so nothing that is new is collected.
                let done = tokio::task::spawn_blocking(move || {
                    let collected = collect::collect(&shared, &mut view, in_use_elsewhere);
                    (view, collected)
                });
                if let Ok((view, collected)) = done.await {
                    self.view = view;
                    self.tell();
                    let _ = answer.send(collected);
                }
            }
            // Handled where the loop ends.
            Ask::Close(answer) => drop(answer),
        }
        self.view.followed = self.followed.keys().cloned().collect();
        self.tell();
    }

    fn pushed(&mut self, repo: &RepoPath) {
        let soon = Instant::now() + PUSH_SETTLES;
        for (target, followed) in &mut self.followed {
            let beside = self.view.newest.get(target);
            let beside = beside.is_some_and(|image| image.beside.iter().any(|beside| beside.repo == *repo));
            if target.repo == *repo || beside {
                followed.next = Some(followed.next.map_or(soon, |next| next.min(soon)));
            }
        }
    }

    /// Asks for a build of everything whose time has come.
    fn due(&mut self) {
        let now = Instant::now();
        let due: Vec<Target> = self
            .followed
            .iter_mut()
            .filter(|(_, followed)| followed.next.is_some_and(|next| next <= now))
            .map(|(target, followed)| {
                // Set anew when the build is over.
                followed.next = None;
                target.clone()
            })
            .collect();
        for target in due {
            drop(self.ask(target, Way::Usual));
        }
    }

    /// A build of this target: the one that waits already, or a new one. One that runs may have begun before what is asked for, so it is only joined
    /// when it began with the same wish.
    fn ask(&mut self, target: Target, way: Way) -> Build {
        if let Some(known) = self.queue.iter_mut().find(|known| known.build.target == target) {
            if way == Way::Afresh {
                known.way = way;
            }
            return known.build.clone();
        }
        if let Some(known) = self.running.get(&target).filter(|known| known.way == way) {
            return known.build.clone();
        }
        self.builds_asked += 1;
        let (step, step_seen) = watch::channel(String::new());
        let (state, state_seen) = watch::channel(BuildState::Queued);
        let build = Build {
            number: self.builds_asked,
            target,
            asked_at_ms: now_ms(),
            log: Arc::default(),
            step: step_seen,
            state: state_seen,
        };
        self.queue.push_back(Known { build: build.clone(), way, step, state, cancel: CancellationToken::new() });
        self.view.builds.push(build.clone());
        let over = self.view.builds.len().saturating_sub(BUILDS_KEPT);
        self.view.builds.drain(..over);
        self.tell();
        build
    }

    fn begin_builds(&mut self) {
        while self.running.len() < self.config.builds_max.max(1) {
            let free = |known: &Known| !self.running.contains_key(&known.build.target);
            let Some(known) = self.queue.iter().position(free).and_then(|place| self.queue.remove(place)) else {
                return;
            };
            let target = known.build.target.clone();
            let job = Job {
                target: target.clone(),
                number: known.build.number,
                previous: self.view.newest.get(&target).cloned(),
                way: known.way,
                log: Arc::clone(&known.build.log),
                step: known.step.clone(),
                cancel: known.cancel.clone(),
            };
            known.state.send_replace(BuildState::Running);
            let builder = Arc::clone(&self.builder);
            let handle = self.tasks.spawn(async move { builder.build(&job).await });
            self.whose.insert(handle.id(), target.clone());
            self.running.insert(target, known);
        }
    }

    async fn over(&mut self, target: &Target, result: Result<Outcome, BuildFailure>) {
        let Some(known) = self.running.remove(target) else { return };
        let cancelled = known.cancel.is_cancelled();
        let kept = match result {
            Ok(Outcome::Built(image)) => self.keep(*image).await.map(Some),
            Ok(Outcome::Unchanged) => Ok(None),
            Err(failure) => Err(failure),
        };
        let end = match kept {
            Ok(Some(image)) => BuildEnd::Built(image.id.clone()),
            Ok(None) => BuildEnd::Unchanged,
            Err(_) if cancelled => BuildEnd::Cancelled,
            Err(failure) => {
                // What the step said last was said already.
                known.build.log.say(&format!("failed: {}", failure.summary()));
                let instead = if self.view.newest.contains_key(target) { "the last good one" } else { "clones of it" };
                tracing::warn!(%target, build = known.build.number, failure = failure.summary(), "an image was not built; sessions start from {instead}");
                BuildEnd::Failed(Box::new(failure))
            }
        };
        if let BuildEnd::Built(_) | BuildEnd::Unchanged | BuildEnd::Failed(_) = &end {
            self.note(target, &end).await;
        }
        let wait = self.wait(target);
        if let Some(followed) = self.followed.get_mut(target)
            && followed.next.is_none()
        {
            followed.next = wait.map(|wait| Instant::now() + wait);
        }
        self.tell();
        known.state.send_replace(BuildState::Ended { at_ms: now_ms(), end });
    }

    /// Writes the manifest. From then on it is the newest.
    async fn keep(&mut self, image: Image) -> Result<Arc<Image>, BuildFailure> {
        let image = Arc::new(image);
        let (shared, writing) = (Arc::clone(&self.shared), Arc::clone(&image));
        let written = tokio::task::spawn_blocking(move || shared.catalog.add(&writing)).await;
        let written = written.map_err(|error| BuildFailure::passing("write the manifest", error))?;
        written.map_err(|error| BuildFailure::of_disk("write the manifest", &error))?;
        self.view.images.push(Arc::clone(&image));
        self.view.newest.insert(image.target.clone(), Arc::clone(&image));
        BuildStep::ImageKept.done();
        Ok(image)
    }

    /// Takes in an image that was built elsewhere. Images are in the order of their builds, so it is the newest one only if none was built later.
    async fn adopt(&mut self, image: Arc<Image>) -> Result<Adopted, ImagesError> {
        if self.view.images.iter().any(|known| known.id == image.id) {
            return Ok(Adopted::Known);
        }
        let (shared, writing) = (Arc::clone(&self.shared), Arc::clone(&image));
        let disk = |source| ImagesError::Disk { path: image.id.as_str().into(), source };
        let written = tokio::task::spawn_blocking(move || shared.catalog.add(&writing)).await;
        written.map_err(|error| disk(std::io::Error::other(error)))?.map_err(disk)?;
        let place = self.view.images.partition_point(|known| known.built_at_ms <= image.built_at_ms);
        self.view.images.insert(place, Arc::clone(&image));
        let later = |newest: &Arc<Image>| newest.built_at_ms > image.built_at_ms;
        if !self.view.newest.get(&image.target).is_some_and(later) {
            self.view.newest.insert(image.target.clone(), image);
        }
        Ok(Adopted::New)
    }

    async fn note(&mut self, target: &Target, end: &BuildEnd) {
        let failure = match end {
            BuildEnd::Failed(failure) => Some(BuildFailure::clone(failure)),
            BuildEnd::Built(_) | BuildEnd::Unchanged | BuildEnd::Cancelled => None,
        };
        let before = self.view.last.get(target).map_or(0, |last| last.failures_in_a_row);
        let failures_in_a_row = if failure.is_some() { before + 1 } else { 0 };
        let last = LastBuild { target: target.clone(), ended_at_ms: now_ms(), failure, failures_in_a_row };
        self.view.last.insert(target.clone(), last.clone());
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || shared.catalog.note(&last)).await;
        if let Ok(Err(error)) = written {
            // It is shown from memory; only a restart would forget it.
            tracing::warn!(%target, %error, "how a build ended cannot be written down");
        }
        BuildStep::EndNoted.done();
    }

    /// How long after its last build a target is built again.
    fn wait(&self, target: &Target) -> Option<Duration> {
        let schedule = self.view.newest.get(target).map_or(Schedule::Usual, |image| image.recipe.schedule);
        let last = self.view.last.get(target);
        let failure = last.and_then(|last| last.failure.as_ref());
        schedule::wait(schedule, self.config.every, failure, last.map_or(0, |last| last.failures_in_a_row))
    }

    fn cancel(&mut self, number: u32) {
        if let Some(known) = self.running.values().find(|known| known.build.number == number) {
            known.cancel.cancel();
        }
        if let Some(place) = self.queue.iter().position(|known| known.build.number == number)
            && let Some(known) = self.queue.remove(place)
        {
            known.state.send_replace(BuildState::Ended { at_ms: now_ms(), end: BuildEnd::Cancelled });
        }
    }

    fn tell(&self) {
        self.publish.send_replace(Arc::new(self.view.clone()));
    }

    async fn end(&mut self) {
        for known in self.queue.drain(..) {
            known.state.send_replace(BuildState::Ended { at_ms: now_ms(), end: BuildEnd::Cancelled });
        }
        self.running.values().for_each(|known| known.cancel.cancel());
        while let Some(done) = self.tasks.join_next_with_id().await {
            if let Ok((id, result)) = done
                && let Some(target) = self.whose.remove(&id)
            {
                self.over(&target, result).await;
            }
        }
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
