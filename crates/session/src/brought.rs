//! What a repository brings into a session: the hooks and the MCP servers in the files of the commit that it began with.
//!
//! They are read by git from the repository at the forge, never from a work tree: what an agent, or whoever speaks to it through a file or a page,
//! writes into these files has no effect in the session, and in later ones only once it is in the commit that they begin with. A commit never changes, so
//! what was read is kept, and a session whose repository brings nothing waits for nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use hangar_agent::{hooks::RepositoryHooks, limits::HOOK_FILE_BYTES_MAX, mcp::McpFiles};
use hangar_forge::{EntryKind, ForgeError, LocalForge, Small};
use hangar_protocol::RepoPath;
use tokio::sync::OnceCell;

/// Commits of which this is kept in memory; those asked for longest ago go first.
const COMMITS_MAX: usize = 64;

/// What was read of one commit, or is being read.
type Read = Arc<OnceCell<Arc<Brought>>>;

/// What a commit brings.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) hooks: RepositoryHooks,
    pub(crate) mcp: McpFiles,
}

/// What the commits bring that sessions began with. A cheap handle.
#[derive(Clone, Default)]
pub struct BroughtByCommits {
    /// The one asked for last at the end.
    known: Arc<Mutex<VecDeque<(RepoPath, String, Read)>>>,
}

impl BroughtByCommits {
    /// What a repository brings at a commit. Whoever asks at the same time waits for the same reading.
    ///
    /// # Errors
    /// When the forge cannot read the commit. The next one who asks tries again.
    pub(crate) async fn of(
        &self,
        forge: &LocalForge,
        repo: &RepoPath,
        commit: &str,
    ) -> Result<Arc<Brought>, ForgeError> {
        self.place(repo, commit).get_or_try_init(|| read(forge, repo, commit)).await.cloned()
    }

    /// Begins to read what will be asked for soon.
    pub(crate) fn begin(&self, forge: &LocalForge, repo: &RepoPath, commit: &str) {
        let (brought, forge, repo, commit) = (self.clone(), forge.clone(), repo.clone(), commit.to_owned());
        tokio::spawn(async move {
            // Whoever needs it asks again, and is told why it cannot be read.
            drop(brought.of(&forge, &repo, &commit).await);
        });
    }

    fn place(&self, repo: &RepoPath, commit: &str) -> Read {
        // A poisoned lock means that a reader of it panicked; what is there is whole.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|(of, at, _)| of == repo && at == commit);
        let (of, at, read) = place
            .and_then(|place| known.remove(place))
            .unwrap_or_else(|| (repo.clone(), commit.to_owned(), Read::default()));
        known.push_back((of, at, Arc::clone(&read)));
        if known.len() > COMMITS_MAX {
            known.pop_front();
        }
        read
    }
}

async fn read(forge: &LocalForge, repo: &RepoPath, commit: &str) -> Result<Arc<Brought>, ForgeError> {
    let (path, commit) = (repo.to_string().parse()?, commit.parse()?);
    let wanted: Vec<&str> = RepositoryHooks::FILES.into_iter().chain(McpFiles::FILES).collect();
    let found = forge.small_files(&path, &commit, &wanted, HOOK_FILE_BYTES_MAX).await?;
    let content = |file: &str| {
        let Small { entry, bytes } = found.iter().find(|small| small.entry.path == file)?;
        Some(match (entry.kind, bytes) {
            (EntryKind::File, Some(bytes)) => Ok(bytes.clone()),
            (EntryKind::File, None) => Err(format!("it is larger than {} KiB", HOOK_FILE_BYTES_MAX / 1024)),
            (EntryKind::Symlink | EntryKind::Dir | EntryKind::Submodule, _) => Err("it is no file".to_owned()),
        })
    };
    let files =
        |names: &[&'static str]| -> Vec<_> { names.iter().filter_map(|file| Some((*file, content(file)?))).collect() };
    let hooks = RepositoryHooks::parse(&files(&RepositoryHooks::FILES));
    Ok(Arc::new(Brought { hooks, mcp: McpFiles::parse(&files(&McpFiles::FILES)) }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use std::{fs, path::Path};

    use async_trait::async_trait;
    use hangar_agent::{Sandboxes, Workspace, WorkspaceError};
    use hangar_forge::{ForgeConfig, ImportSource, Limits, NewRepo, Signature};

    use super::*;

    struct Nowhere;

    #[async_trait]
    impl Sandboxes for Nowhere {
        async fn workspace(&self) -> Result<Arc<dyn Workspace>, WorkspaceError> {
            Err(WorkspaceError::Lost("there is none".to_owned()))
        }
    }

    /// Brings a directory in under this name; gives the commit.
    async fn imported(forge: &LocalForge, repo: &RepoPath, directory: &Path) -> String {
        let author = Signature { name: "Ann".into(), email: "ann@example.org".into() };
        let source = ImportSource::detect(directory.to_str().unwrap(), author, "It begins".into());
        let new = NewRepo { path: repo.to_string().parse().unwrap(), description: String::new() };
        let made = forge.import(new, source).await.unwrap();
        forge.branch_tip(&made.path, &made.default_branch).await.unwrap().to_string()
    }

    fn names(hooks: &RepositoryHooks) -> Vec<String> {
        let sandboxes: Arc<dyn Sandboxes> = Arc::new(Nowhere);
        hooks.installed(&sandboxes).into_iter().map(|installed| installed.plugin).collect()
    }

    #[tokio::test]
    async fn what_is_brought_is_that_of_the_commit_and_read_once() {
        let root = tempfile::tempdir().unwrap();
        let config = ForgeConfig { data_dir: root.path().join("forge"), limits: Limits::default() };
        let forge = LocalForge::open(config).await.unwrap();
        let with = root.path().join("with");
        for folder in [".claude", ".codex", ".hangar"] {
            fs::create_dir_all(with.join(folder)).unwrap();
        }
        let hooks = br#"{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]}}"#;
        fs::write(with.join("elsewhere"), hooks).unwrap();
        // A link could lead anywhere; it is not followed.
        std::os::unix::fs::symlink("../elsewhere", with.join(".claude/settings.json")).unwrap();
        let large = usize::try_from(HOOK_FILE_BYTES_MAX).unwrap() + 1;
        fs::write(with.join(".codex/hooks.json"), " ".repeat(large)).unwrap();
        fs::write(with.join(".hangar/hooks.json"), hooks).unwrap();
        fs::write(with.join(".mcp.json"), br#"{"mcpServers": {"db": {"command": "db-server"}}}"#).unwrap();
        let repo: RepoPath = "acme/with".parse().unwrap();
        let commit = imported(&forge, &repo, &with).await;
        let known = BroughtByCommits::default();
        let found = known.of(&forge, &repo, &commit).await.unwrap();
        assert_eq!(
            names(&found.hooks),
            [
                "repository:.claude/settings.json",
                "repository:.codex/hooks.json",
                "repository:.hangar/hooks.json:Stop#1"
            ]
        );
        let again = known.of(&forge, &repo, &commit).await.unwrap();
        assert!(Arc::ptr_eq(&found, &again));

        let without = root.path().join("without");
        fs::create_dir_all(without.join(".claude")).unwrap();
        fs::write(without.join(".claude/CLAUDE.md"), "Be kind.\n").unwrap();
        let other: RepoPath = "acme/without".parse().unwrap();
        let other_commit = imported(&forge, &other, &without).await;
        assert!(known.of(&forge, &other, &other_commit).await.unwrap().hooks.is_empty());

        // What cannot be read is not taken for a commit without hooks, and takes the place of nothing for long.
        for number in 0..COMMITS_MAX + 3 {
            let gone = format!("{number:040x}");
            assert!(known.of(&forge, &repo, &gone).await.is_err());
        }
        assert_eq!(known.known.lock().unwrap().len(), COMMITS_MAX);
        let once_more = known.of(&forge, &repo, &commit).await.unwrap();
        assert_eq!(names(&once_more.hooks), names(&found.hooks));
        assert_eq!((once_more.mcp.servers.len(), once_more.mcp.faults.len()), (1, 0));
    }
}
