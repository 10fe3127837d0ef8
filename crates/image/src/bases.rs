//! What lies below an image, as a build asks for it.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use hangar_sandbox::toolchains::Toolchain;
use sha2::{Digest, Sha256};

use crate::{
    image::{BaseKind, BaseUsed},
    log::BuildLog,
    outside::SetupNetwork,
    recipe::{BaseChoice, hex},
};

/// Makes bases. `base/` makes every kind; [`HostOnly`] knows the machine's own programs.
#[async_trait]
pub trait Bases: Send + Sync + 'static {
    /// The digest that this choice would have if it were made now. `None` where only the repository's files could tell (a Dockerfile, an
    /// archive): the base is then taken for unchanged as long as those files are.
    ///
    /// # Errors
    /// When it cannot be found out; an image that is there stays as it is.
    async fn digest(&self, choice: &BaseChoice) -> Result<Option<String>, BaseError>;

    /// Makes the base, or finds that it is there. `checkout` is the repository's work tree on this machine: somebody else's files, in
    /// which no link may be followed out. `network` is what commands may reach that run while it is made.
    ///
    /// # Errors
    /// When it cannot be made; the words say what to do.
    async fn prepare(
        &self,
        choice: &BaseChoice,
        checkout: &Path,
        network: SetupNetwork,
        log: &BuildLog,
    ) -> Result<BaseUsed, BaseError>;
}

/// Why there is no base, in words for whoever wrote the recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BaseError(pub String);

/// The machine's own programs and toolchains, and nothing else.
#[derive(Clone, Debug)]
pub struct HostOnly {
    used: BaseUsed,
}

impl HostOnly {
    /// The base of this machine with these toolchains.
    #[must_use]
    pub fn new(toolchains: &[Toolchain]) -> Self {
        Self { used: host(toolchains) }
    }
}

/// What the base `host` is on this machine: its release and its toolchains name it. Packages that are added to the machine do not change it.
#[must_use]
pub fn host(toolchains: &[Toolchain]) -> BaseUsed {
    let mut digest = Sha256::new();
    digest.update(std::fs::read("/etc/os-release").unwrap_or_default());
    for toolchain in toolchains {
        digest.update(format!("{toolchain:?}\n"));
    }
    BaseUsed {
        kind: BaseKind::Host,
        name: "host".into(),
        digest: hex(&digest.finalize()),
        layers: Vec::new(),
        env: BTreeMap::new(),
    }
}

#[async_trait]
impl Bases for HostOnly {
    async fn digest(&self, choice: &BaseChoice) -> Result<Option<String>, BaseError> {
        Ok((*choice == BaseChoice::Host).then(|| self.used.digest.clone()))
    }

    async fn prepare(
        &self,
        choice: &BaseChoice,
        _: &Path,
        _: SetupNetwork,
        _: &BuildLog,
    ) -> Result<BaseUsed, BaseError> {
        match choice {
            BaseChoice::Host => Ok(self.used.clone()),
            BaseChoice::Debian { .. }
            | BaseChoice::Pull { .. }
            | BaseChoice::Archive { .. }
            | BaseChoice::Dockerfile { .. } => Err(BaseError(
                "This hangar makes images over the machine's own programs only; write `base = \"host\"`.".into(),
            )),
        }
    }
}
