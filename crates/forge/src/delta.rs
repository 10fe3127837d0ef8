//! What one commit has and another has not, as a pack.

use std::{fs::File, path::Path};

use crate::{
    error::{ForgeError, Result},
    local::LocalForge,
    names::{CommitId, RepoPath},
};

impl LocalForge {
    /// Writes to `file`, which is made or replaced, a thin pack of every object that `want` needs and `have` has not. Nothing is
    /// written when there is none.
    ///
    /// # Errors
    /// When there is no such repository or commit, git fails, or the disk is full; the file may then hold a part.
    pub async fn delta(&self, path: &RepoPath, have: &CommitId, want: &CommitId, file: &Path) -> Result<()> {
        let repo = self.repo(path).await?;
        let have = self.resolve(&repo.path, have.as_str()).await?;
        let want = self.resolve(&repo.path, want.as_str()).await?;
        let out = File::create(file).map_err(ForgeError::from)?;
        let arguments =
            ["pack-objects", "--quiet", "--thin", "--revs", "--delta-base-offset", "--non-empty", "--stdout"];
        let call = self.inner.git.call(&self.dir(&repo.path), arguments);
        call.input(format!("{want}\n^{have}\n")).output_to(out).slow().must().await.map(drop)
    }
}
