//! What images are made with: commits of the forge, the network of set-ups, bases.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use hangar_forge::{ChangeKind, ForgeError, LocalForge, WorkspaceClone, WorkspaceHead};
use hangar_image::{
    Branch, Head, Images, ImagesConfig, Means, Outside, Pool, PoolConfig, Serving, SetupNetwork, Source, SourceError,
    Target,
};
use hangar_protocol::{Refusal, RefusalCode, RepoPath};
use hangar_sandbox::{Border, Engine, layers::LayerStore};
use hangar_session::{KeepClones, Outbound, origin_url};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    bases,
    config::{Config, ImagesConfig as ImagesSettings},
};

/// Between two looks for images and layers that nobody needs.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Opens the images.
///
/// # Errors
/// When the data directory cannot be used.
pub(crate) fn open(config: &Config, means: Means) -> Result<Images, Refusal> {
    let ImagesSettings { every_minutes, builds_max, build_minutes_max, replaced_hours, disk_gib, .. } = config.images;
    let mut wish = ImagesConfig::new(&config.data);
    if every_minutes > 0 {
        wish.every = Duration::from_secs(u64::from(every_minutes) * 60);
    }
    wish.builds_max = builds_max as usize;
    wish.build_max = Duration::from_secs(u64::from(build_minutes_max) * 60);
    wish.keep.replaced = Duration::from_secs(u64::from(replaced_hours) * 3600);
    wish.keep.disk_bytes = u64::from(disk_gib) * GIB;
    wish.keep.layers.disk_bytes = wish.keep.disk_bytes;
    wish.import_limits = bases::limits(config);
    Images::open(wish, means).map_err(|error| {
        Refusal::new(RefusalCode::Unavailable, format!("{error}."), "Look whether the disk is full or not writable.")
    })
}

/// Opens the pool of sandboxes over images.
///
/// # Errors
/// When its directory cannot be used.
pub(crate) fn pool(
    config: &Config,
    engine: &Engine,
    layers: &Arc<LayerStore>,
    images: &Images,
    source: Arc<dyn Source>,
) -> Result<Pool, Refusal> {
    let mut wish = PoolConfig::new(&config.data);
    wish.sizes.floor = config.pool.floor;
    wish.sizes.ceiling = config.pool.ceiling;
    wish.sizes.memory_bytes = u64::from(config.pool.memory_mib) * MIB;
    wish.warm_kept = Duration::from_secs(u64::from(config.pool.warm_kept_s));
    let pool = Pool::open(wish, engine.clone(), Arc::clone(layers), images.clone(), source);
    pool.map_err(|error| {
        Refusal::new(RefusalCode::Unavailable, format!("{error}."), "Look whether the disk is full or not writable.")
    })
}

/// Keeps the images of every repository built, as the configuration wants it, and removes what nobody needs.
pub(crate) async fn look_after(app: App, stop: CancellationToken) {
    let mut forge = app.forge.changes();
    let mut cursor = *forge.borrow_and_update();
    let mut collect = tokio::time::interval(COLLECT_EVERY);
    collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if app.config.images.every_minutes > 0
            && let Err(why) = follow_all(&app).await
        {
            tracing::warn!(why, "images are not looked after for now");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = forge.changed() => {
                if changed.is_err() {
                    break;
                }
                cursor = tell_pushes(&app, cursor).await;
            }
            _ = collect.tick() => {
                collect_clones(&app).await;
                collect_unused(&app).await;
            }
        }
    }
}

async fn follow_all(app: &App) -> Result<(), String> {
    for repo in app.forge.repos().await.map_err(|error| error.to_string())? {
        let Ok(path) = repo.path.to_string().parse::<RepoPath>() else { continue };
        app.images.follow(Target::of(path)).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Says which base branches have moved since the cursor, and gives the next one. What cannot be told now is seen by the schedule.
async fn tell_pushes(app: &App, mut cursor: i64) -> i64 {
    while let Ok(changes) = app.forge.changes_since(cursor).await
        && let Some(last) = changes.last()
    {
        cursor = last.id;
        for change in &changes {
            let (ChangeKind::BranchMoved { branch, .. }, Ok(repo)) = (&change.kind, change.repo.to_string().parse())
            else {
                continue;
            };
            let base = app.forge.repo(&change.repo).await.map(|repo| repo.default_branch);
            if base.is_ok_and(|base| base == *branch) && app.images.pushed(repo).await.is_err() {
                return cursor;
            }
        }
    }
    cursor
}

async fn collect_clones(app: &App) {
    let keep = KeepClones {
        unused: Duration::from_secs(u64::from(app.config.images.clones_hours) * 3600),
        count: app.config.images.clones_max as usize,
    };
    match app.sessions.collect_clones(keep).await {
        Ok(0) => {}
        Ok(clones) => tracing::info!(clones, "clones that no session stands on were removed"),
        Err(why) => tracing::warn!(%why, "clones that no session stands on could not be removed"),
    }
}

async fn collect_unused(app: &App) {
    let removed = match app.sessions.layers_in_use().await {
        Ok(mut used) => match app.bases.layers_in_use() {
            Ok(bases) => {
                used.extend(bases);
                app.images.collect(used).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        },
        Err(refusal) => Err(refusal.to_string()),
    };
    match removed {
        Ok(removed) if removed.layers.is_empty() && removed.images.is_empty() => {}
        Ok(removed) => tracing::info!(
            images = removed.images.len(),
            layers = removed.layers.len(),
            bytes = removed.disk_bytes,
            "images and layers that nobody needs were removed"
        ),
        Err(why) => tracing::warn!(why, "images and layers that nobody needs could not be removed"),
    }
}

/// Commits of the embedded forge.
pub(crate) struct ForgeSource(pub(crate) LocalForge);

#[async_trait]
impl Source for ForgeSource {
    async fn head(&self, repo: &RepoPath, branch: &Branch) -> Result<Head, SourceError> {
        let path = forge_path(repo)?;
        let branch = match branch {
            Branch::Default => self.0.repo(&path).await.map_err(|error| told(&error))?.default_branch,
            Branch::Named(name) => name.parse().map_err(|error| told(&ForgeError::Name(error)))?,
        };
        let commit = self.0.branch_tip(&path, &branch).await.map_err(|error| told(&error))?;
        Ok(Head { branch: branch.to_string(), commit: commit.to_string() })
    }

    async fn clone_to(&self, repo: &RepoPath, commit: &str, dir: &Path) -> Result<(), SourceError> {
        let commit = commit.parse().map_err(|error| told(&ForgeError::Name(error)))?;
        let wish =
            WorkspaceClone { commit, head: WorkspaceHead::Detached, dir: dir.to_owned(), origin_url: origin_url(repo) };
        self.0.clone_to(&forge_path(repo)?, wish).await.map_err(|error| told(&error))
    }

    async fn delta(&self, repo: &RepoPath, have: &str, want: &str, file: &Path) -> Result<(), SourceError> {
        let parse = |text: &str| text.parse().map_err(|error| told(&ForgeError::Name(error)));
        let (have, want) = (parse(have)?, parse(want)?);
        self.0.delta(&forge_path(repo)?, &have, &want, file).await.map_err(|error| told(&error))
    }

    async fn may_lie_beside(&self, _main: &RepoPath, other: &RepoPath) -> Result<bool, SourceError> {
        // Every member of this server may read every repository of its forge.
        match self.0.repo(&forge_path(other)?).await {
            Ok(_) => Ok(true),
            Err(ForgeError::NoRepository(_)) => Ok(false),
            Err(error) => Err(told(&error)),
        }
    }
}

fn forge_path(repo: &RepoPath) -> Result<hangar_forge::RepoPath, SourceError> {
    repo.to_string().parse().map_err(|error| told(&ForgeError::Name(error)))
}

fn told(error: &ForgeError) -> SourceError {
    match error {
        ForgeError::NoRepository(_) | ForgeError::NoCommit { .. } => SourceError::Gone(error.to_string()),
        other => SourceError::Failed(other.to_string()),
    }
}

/// The network of set-ups: what the operator allows in that phase, and the names of the recipe. No credential is used.
pub(crate) struct SetupOutside(pub(crate) Arc<Outbound>);

impl Outside for SetupOutside {
    fn serve_setup(&self, border: Border, ask: SetupNetwork) -> Serving {
        match self.0.serve_setup(border, &ask.allow) {
            Ok(served) => Serving::until_dropped(served),
            Err(error) => {
                // Nothing is reached then, and the step that needs it says so in the build's log.
                tracing::warn!(%error, target = %ask.target, "the network of a build cannot be served");
                Serving::until_dropped(())
            }
        }
    }
}
