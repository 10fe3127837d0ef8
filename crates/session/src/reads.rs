//! What the agent read while the sync was under way, and which of it the sync then changed.
//!
//! The model is told before its next step, with the difference, on the result of whatever call ends next. Until it has read such a file again, a write to it is
//! refused: what it would write is made of what it knows, and would undo what came with the sync. That holds for an edit, too, that had read before the sync and
//! waited with its writing.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hangar_agent::SandboxPath;
use hangar_sandbox::{ExecSpec, Sandbox};

/// Paths that are remembered. What is read beyond it is not named.
const PATHS_MAX: usize = 4_000;
/// Files that are named with their difference; the others by their names alone.
const SHOWN_MAX: usize = 50;
/// How much of the difference is shown.
const DIFFERENCE_BYTES_MAX: usize = 16 * 1024;
/// Names of changed files that are looked through.
const NAMES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long git may take for each of its answers.
const GIT_TIMEOUT_MS: u64 = 30_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Reads(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Read before the sync was in, from the workspace on.
    read: BTreeSet<String>,
    /// Everything that the sync changed, once it is in.
    changed: BTreeSet<String>,
    /// Read before, changed by the sync, and not read since.
    stale: BTreeSet<String>,
    /// What the model has not been told yet.
    news: Vec<String>,
}

impl Reads {
    /// Something is about to be read, while the sync is under way.
    pub(crate) fn before(&self, path: &SandboxPath) {
        let Some(path) = path.below_workspace() else { return };
        let mut known = self.known();
        if known.read.len() < PATHS_MAX {
            known.read.insert(path.to_owned());
        }
    }

    /// Something was found by a search that had begun while the sync was under way.
    pub(crate) fn found(&self, path: &SandboxPath) {
        self.before(path);
        let Some(path) = path.below_workspace() else { return };
        let mut known = self.known();
        // The sync came in during the search: what was found may be of before it.
        if known.changed.contains(path) && known.stale.insert(path.to_owned()) {
            known.news.push(format!("[{path} was changed by the sync while it was searched: read it again.]"));
        }
    }

    /// The file was read after the sync.
    pub(crate) fn again(&self, path: &SandboxPath) {
        if let Some(path) = path.below_workspace() {
            self.known().stale.remove(path);
        }
    }

    /// Whether what is known of this file is of before the sync.
    pub(crate) fn is_stale(&self, path: &SandboxPath) -> bool {
        path.below_workspace().is_some_and(|path| self.known().stale.contains(path))
    }

    /// What the model is to be told now; each piece once.
    pub(crate) fn news(&self) -> Option<String> {
        let news = std::mem::take(&mut self.known().news);
        (!news.is_empty()).then(|| news.join("\n"))
    }

    /// Looks what the sync changed between this commit and where the workspace is now. Called before anybody can write.
    pub(crate) async fn compare(&self, sandbox: &Sandbox, have: &str) -> Result<(), hangar_sandbox::Error> {
        let names = git(sandbox, &["--name-only", "-z", "--no-renames", have, "HEAD"], &[], NAMES_BYTES_MAX).await?;
        let names = String::from_utf8_lossy(&names);
        let changed: BTreeSet<String> = names.split_terminator('\0').map(str::to_owned).collect();
        let stale: Vec<String> = {
            let mut known = self.known();
            known.changed = changed;
            known.stale = known.read.intersection(&known.changed).cloned().collect();
            known.stale.iter().cloned().collect()
        };
        if stale.is_empty() {
            return Ok(());
        }
        let shown = &stale[..stale.len().min(SHOWN_MAX)];
        let difference =
            git(sandbox, &["--no-color", "--no-textconv", have, "HEAD"], shown, DIFFERENCE_BYTES_MAX + 1).await?;
        self.known().news.push(words(have, &stale, &difference));
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the model is told.
fn words(have: &str, stale: &[String], difference: &[u8]) -> String {
    let mut difference = String::from_utf8_lossy(difference).into_owned();
    if difference.len() > DIFFERENCE_BYTES_MAX {
        difference = hangar_protocol::limits::clip(&difference, DIFFERENCE_BYTES_MAX).to_owned();
        difference.push_str("\n[the difference is longer: read the files again]");
    }
    if stale.len() > SHOWN_MAX {
        difference.push_str(&format!("\n[the difference of {} more files is left out]", stale.len() - SHOWN_MAX));
    }
    format!(
        "<sync>\nWhile you were reading, the workspace was moved from commit {have} to the commit this session begins at. \
         Of what you had read, this changed: {}\n\n{}\n</sync>",
        stale.join(", "),
        difference.trim_end()
    )
}

/// Asks git what differs.
async fn git(
    sandbox: &Sandbox,
    words: &[&str],
    paths: &[String],
    bytes_max: usize,
) -> Result<Vec<u8>, hangar_sandbox::Error> {
    let begin = ["git", "--literal-pathspecs", "diff", "--no-ext-diff"];
    let argv = begin.into_iter().chain(words.iter().copied()).chain(["--"]).chain(paths.iter().map(String::as_str));
    let spec = ExecSpec::argv(argv).env("GIT_CONFIG_GLOBAL", "/dev/null").timeout_ms(GIT_TIMEOUT_MS).kill_leftovers();
    Ok(sandbox.exec_stream(&spec).await?.collect(bytes_max).await?.stdout)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn path(text: &str) -> SandboxPath {
        SandboxPath::parse(text).unwrap()
    }

    #[test]
    fn what_was_found_while_the_sync_came_in_is_named_and_stale_until_it_is_read() {
        let reads = Reads::default();
        reads.known().changed.insert("a".into());
        reads.found(&path("b"));
        assert_eq!((reads.news(), reads.is_stale(&path("b"))), (None, false));
        reads.found(&path("a"));
        reads.found(&path("a"));
        assert_eq!(reads.news().as_deref(), Some("[a was changed by the sync while it was searched: read it again.]"));
        assert_eq!((reads.news(), reads.is_stale(&path("a"))), (None, true));
        reads.again(&path("a"));
        assert!(!reads.is_stale(&path("a")));
        // What lies elsewhere is none of the sync's.
        reads.before(&path("/etc/hosts"));
        assert_eq!(reads.known().read.len(), 2);
    }

    #[test]
    fn a_long_difference_says_that_it_is_cut() {
        let many: Vec<String> = (0..SHOWN_MAX + 2).map(|number| number.to_string()).collect();
        let told = words("c0", &many, "x\n".repeat(DIFFERENCE_BYTES_MAX).as_bytes());
        assert!(told.len() < DIFFERENCE_BYTES_MAX + 2_000, "{}", told.len());
        for part in ["from commit c0", "0, 1, 2", "the difference is longer", "of 2 more files"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
