//! Prepared clones: the read-only layer that the sandboxes of one commit share where there is no image. Its tree has the clone at `workspace`.
//!
//! ```text
//!   clones/OWNER/NAME/COMMIT.tree        a clone
//!   clones/OWNER/NAME/COMMIT.used        when a session last asked for it (its modification time)
//!   clones/OWNER/NAME/COMMIT.XXXX.part   one that is being made, or removed; of an earlier process: swept at the start
//! ```
//!
//! **Collection.** A clone that any session stands on stays, also while that session sleeps: what git keeps in it may not be made the same again once
//! branches have been moved by force. One that no session stands on goes a day after its last use, and sooner when there are many.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use hangar_forge::{CommitId, ForgeError, LocalForge, WorkspaceClone, WorkspaceHead};
use hangar_protocol::{Refusal, RefusalCode, RepoPath};
use tokio::sync::RwLock;

use crate::{
    forge_words::forge_refusal,
    sandbox_host::{origin_url, sandbox_refusal},
};

const TREE: &str = "tree";
const USED: &str = "used";
const PART: &str = "part";

/// Which clones stay that no session stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepClones {
    /// So long after they were used last.
    pub unused: Duration,
    /// At most so many of them; those unused for longest go first.
    pub count: usize,
}

impl Default for KeepClones {
    /// A day, and 32.
    fn default() -> Self {
        Self { unused: Duration::from_secs(24 * 60 * 60), count: 32 }
    }
}

/// The prepared clones of a data directory. A cheap handle.
#[derive(Clone, Debug)]
pub struct Clones {
    folder: PathBuf,
    /// Held for writing while what nobody needs is picked and taken out of its place, for reading while somebody finds one in its place. A session writes
    /// down that it stands on a clone before it asks for it, so whoever finds one is seen by the next who picks.
    picking: Arc<RwLock<()>>,
}

impl Clones {
    /// Opens `folder` and removes what an earlier process was making or removing.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for path in below(&folder)?.into_iter().filter(|path| ends(path, PART)) {
            remove(&path)?;
        }
        Ok(Self { folder, picking: Arc::default() })
    }

    /// The layer's tree with the clone of a repository at a commit, made if there is none. Made beside its place and moved there when whole, so that
    /// a crash leaves no half of one; of two that are made at once, the second is thrown away.
    pub(crate) async fn prepared(&self, forge: &LocalForge, repo: &RepoPath, commit: &str) -> Result<PathBuf, Refusal> {
        let folder = self.folder.join(repo.owner()).join(repo.name());
        let place = folder.join(format!("{commit}.{TREE}"));
        if self.found(&place).await {
            return Ok(place);
        }
        let unfinished = part(&place);
        let made = make(forge, repo, commit, unfinished.clone()).await;
        let moved = match made {
            Ok(()) => {
                let _finding = self.picking.read().await;
                let moved = tokio::fs::rename(&unfinished, &place).await;
                used_now(&place);
                moved
            }
            Err(refusal) => {
                drop(tokio::fs::remove_dir_all(&unfinished).await);
                return Err(refusal);
            }
        };
        match moved {
            Ok(()) => Ok(place),
            Err(error) => {
                drop(tokio::fs::remove_dir_all(&unfinished).await);
                if self.found(&place).await { Ok(place) } else { Err(disk_refusal(&error)) }
            }
        }
    }

    async fn found(&self, place: &Path) -> bool {
        let _finding = self.picking.read().await;
        let found = tokio::fs::try_exists(place).await.unwrap_or(false);
        if found {
            used_now(place);
        }
        found
    }

    /// Removes clones that no session stands on, as `keep` says. `stood_on` gives the commits that sessions stand on; it is asked while nobody can find a clone.
    /// Returns how many went.
    pub(crate) async fn collect<E: From<io::Error> + Send + 'static>(
        &self,
        keep: KeepClones,
        stood_on: impl FnOnce() -> Result<HashSet<String>, E> + Send + 'static,
    ) -> Result<usize, E> {
        let picking = Arc::clone(&self.picking).write_owned().await;
        let folder = self.folder.clone();
        let work = tokio::task::spawn_blocking(move || {
            let stood_on = stood_on()?;
            let mut taken = Vec::new();
            for place in those_that_go(found_in(&folder, &stood_on)?, SystemTime::now(), keep) {
                let part = part(&place);
                fs::rename(&place, &part)?;
                taken.push(part);
                match fs::remove_file(place.with_extension(USED)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    Ok(()) | Err(_) => {}
                }
            }
            // They have lost their names: sessions may go on finding others while these are removed.
            drop(picking);
            taken.iter().try_for_each(|part| remove(part))?;
            Ok(taken.len())
        });
        work.await.map_err(io::Error::other)?
    }
}

/// A clone that no session stands on, and when it was used last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unneeded {
    place: PathBuf,
    used: SystemTime,
}

fn found_in(folder: &Path, stood_on: &HashSet<String>) -> io::Result<Vec<Unneeded>> {
    let mut found = Vec::new();
    for place in below(folder)?.into_iter().filter(|path| ends(path, TREE)) {
        let commit = place.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !stood_on.contains(commit) {
            let used = fs::metadata(place.with_extension(USED)).or_else(|_| fs::metadata(&place))?;
            found.push(Unneeded { used: used.modified()?, place });
        }
    }
    Ok(found)
}

/// Pure: those unused for too long, and of the others those that are too many.
fn those_that_go(mut found: Vec<Unneeded>, now: SystemTime, keep: KeepClones) -> Vec<PathBuf> {
    found.sort_by(|one, other| other.used.cmp(&one.used).then_with(|| one.place.cmp(&other.place)));
    let old = |clone: &Unneeded| now.duration_since(clone.used).is_ok_and(|unused| unused >= keep.unused);
    let going = found.into_iter().enumerate().filter(|(newer, clone)| *newer >= keep.count || old(clone));
    going.map(|(_, clone)| clone.place).collect()
}

/// Everything at the depth of clones.
fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut level = vec![folder.to_owned()];
    for _ in ["owner", "name", "clone"] {
        let mut next = Vec::new();
        for directory in level.iter().filter(|path| path.is_dir()) {
            for entry in fs::read_dir(directory)? {
                next.push(entry?.path());
            }
        }
        level = next;
    }
    Ok(level)
}

fn ends(path: &Path, with: &str) -> bool {
    path.extension().is_some_and(|extension| extension == with)
}

fn part(place: &Path) -> PathBuf {
    place.with_extension(format!("{:08x}.{PART}", rand::random::<u32>()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// When it cannot be noted, the clone goes sooner; it is made again then.
fn used_now(place: &Path) {
    let noted = File::create(place.with_extension(USED)).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = noted {
        tracing::debug!(place = %place.display(), %error, "that a clone was used cannot be noted");
    }
}

async fn make(forge: &LocalForge, repo: &RepoPath, commit: &str, dir: PathBuf) -> Result<(), Refusal> {
    let parse = |error| forge_refusal(&ForgeError::Name(error));
    let commit: CommitId = commit.parse().map_err(parse)?;
    let workspace = dir.join("workspace");
    tokio::fs::create_dir_all(&dir).await.map_err(|error| disk_refusal(&error))?;
    let wish =
        WorkspaceClone { commit, head: WorkspaceHead::Detached, dir: workspace.clone(), origin_url: origin_url(repo) };
    let path = repo.to_string().parse().map_err(parse)?;
    forge.clone_to(&path, wish).await.map_err(|error| forge_refusal(&error))?;
    let adopted = tokio::task::spawn_blocking(move || hangar_sandbox::adopt(&workspace)).await;
    adopted.map_err(|error| disk_refusal(&io::Error::other(error)))?.map_err(|error| sandbox_refusal(&error))
}

fn disk_refusal(error: &io::Error) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("The clone of the repository cannot be kept: {error}."),
        "Free space in hangar's data directory, then try again.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn ago(hours: u64) -> SystemTime {
        SystemTime::now() - Duration::from_secs(hours * 3600)
    }

    /// A clone that was used so many hours ago.
    fn clone(folder: &Path, commit: &str, hours: u64) -> PathBuf {
        let place = folder.join("acme/app").join(format!("{commit}.{TREE}"));
        fs::create_dir_all(place.join("workspace")).unwrap();
        used_now(&place);
        File::options().write(true).open(place.with_extension(USED)).unwrap().set_modified(ago(hours)).unwrap();
        place
    }

    fn left(folder: &Path) -> Vec<String> {
        let mut left: Vec<String> = below(folder)
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        left.sort();
        left
    }

    #[tokio::test]
    async fn clones_go_by_use_and_age_and_never_one_that_is_stood_on() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let clones = Clones::open(folder.to_owned()).unwrap();
        for (commit, hours) in [("stood-on", 1000), ("old", 25), ("young", 23), ("younger", 2), ("youngest", 1)] {
            clone(folder, commit, hours);
        }
        let stood_on = || Ok::<_, io::Error>(HashSet::from(["stood-on".to_owned()]));
        let keep = KeepClones::default();
        assert_eq!(clones.collect(keep, stood_on).await.unwrap(), 1);
        let both = |names: &[&str]| -> Vec<String> {
            let mut all: Vec<String> =
                names.iter().flat_map(|name| [format!("{name}.tree"), format!("{name}.used")]).collect();
            all.sort();
            all
        };
        assert_eq!(left(folder), both(&["stood-on", "young", "younger", "youngest"]));
        assert_eq!(clones.collect(KeepClones { count: 2, ..keep }, stood_on).await.unwrap(), 1, "too many");
        assert_eq!(left(folder), both(&["stood-on", "younger", "youngest"]));
        // What cannot be told is needed.
        let unknown = || Err::<HashSet<String>, _>(io::Error::other("unreadable"));
        assert!(clones.collect(KeepClones { count: 0, ..keep }, unknown).await.is_err());
        assert_eq!(left(folder), both(&["stood-on", "younger", "youngest"]));
        let nobody = || Ok::<_, io::Error>(HashSet::new());
        assert_eq!(clones.collect(KeepClones { count: 0, ..keep }, nobody).await.unwrap(), 3);
        assert_eq!(left(folder), Vec::<String>::new());
    }

    #[tokio::test]
    async fn one_that_is_found_was_used_now_and_what_is_half_done_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let clones = Clones::open(folder.to_owned()).unwrap();
        let place = clone(folder, "found", 1000);
        assert!(clones.found(&place).await && !clones.found(&place.with_extension("none")).await);
        let nobody = || Ok::<_, io::Error>(HashSet::new());
        assert_eq!(clones.collect(KeepClones::default(), nobody).await.unwrap(), 0);
        fs::create_dir_all(part(&place).join("workspace/.git")).unwrap();
        drop(Clones::open(folder.to_owned()).unwrap());
        assert_eq!(left(folder), ["found.tree", "found.used"]);
    }
}
