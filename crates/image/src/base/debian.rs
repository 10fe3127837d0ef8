//! Debian systems, made by mmdebstrap.
//!
//! mmdebstrap (`mmdebstrap.rs`) installs the packages as nobody of this machine and gives out a tar stream, which is unpacked like a layer from anywhere
//! else.

use std::{fs::File, io::BufReader, path::Path, sync::Arc, time::Duration};

use hangar_sandbox::layers::{About, Kind};

use crate::{
    base::{BaseError, BaseMaker, Made, Note, Notes, Record, account, blocking, mmdebstrap::Running, record},
    oci::{self, Digest, Owners, RunConfig, layer::merged::Merged},
};

/// The suite when none is asked for.
pub const SUITE_DEFAULT: &str = "bookworm";
/// How long it may take. A small system takes one to three minutes.
const PATIENCE: Duration = Duration::from_secs(40 * 60);
/// Packages one may ask for, and the length of a name.
const PACKAGES_MAX: usize = 500;
const NAME_CHARS_MAX: usize = 100;

/// How much is in the system without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// What every Debian has: `apt`, `bash`, coreutils.
    #[default]
    Minbase,
    /// Also compilers and `make` (`build-essential`).
    Buildd,
}

impl Variant {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Minbase => "minbase",
            Self::Buildd => "buildd",
        }
    }
}

/// A Debian system to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Debian {
    /// Its code name; [`SUITE_DEFAULT`] when empty.
    pub suite: String,
    /// How much is in it.
    pub variant: Variant,
    /// Packages besides.
    pub packages: Vec<String>,
}

/// What every base has: trust in other machines' names, and what clones and fetches.
const ALWAYS: &[&str] = &["ca-certificates", "git"];

impl Debian {
    pub(super) fn suite(&self) -> &str {
        if self.suite.is_empty() { SUITE_DEFAULT } else { &self.suite }
    }

    /// Packages, sorted, each once.
    pub(super) fn all(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.packages.iter().map(String::as_str).chain(ALWAYS.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Names of suites and packages become a program's arguments: nothing else may.
    fn check(&self) -> Result<(), BaseError> {
        let word = |word: &str, more: &str| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            word.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && word.len() <= NAME_CHARS_MAX
                && word.chars().all(fits)
        };
        if !word(self.suite(), "-") {
            let what = format!("`{}` is no Debian suite", self.suite().escape_debug());
            return Err(BaseError::unfit(what, format!("write a code name, as `{SUITE_DEFAULT}`")));
        }
        if self.packages.len() > PACKAGES_MAX {
            let what = format!("{} packages are more than {PACKAGES_MAX}", self.packages.len());
            return Err(BaseError::unfit(what, "install the rest in the set-up"));
        }
        match self.packages.iter().find(|package| !word(package, "+-.:")) {
            Some(package) => {
                let what = format!("`{}` is no name of a Debian package", package.escape_debug());
                Err(BaseError::unfit(what, "write names as `apt-get install` takes them, without versions or options"))
            }
            None => Ok(()),
        }
    }

    fn inputs(&self) -> Digest {
        record::inputs("debian", &[self.suite(), self.variant.word(), &self.all().join(" ")])
    }
}

impl BaseMaker {
    /// Names the base as it is now; a name of its own where it would have to be made, or made anew.
    ///
    /// # Errors
    /// When a name in `debian` cannot be one, or what is written down cannot be read.
    pub fn debian_digest(&self, debian: &Debian) -> Result<Digest, BaseError> {
        debian.check()?;
        let inputs = debian.inputs();
        Ok(self.fresh(inputs)?.map_or(inputs, |record| record.made.digest))
    }

    fn fresh(&self, inputs: Digest) -> Result<Option<Record>, BaseError> {
        let age_max = u64::try_from(self.settings.debian_age_max.as_millis()).unwrap_or(u64::MAX);
        let young = |record: &Record| record::now_ms().saturating_sub(record.made_at_ms) < age_max;
        Ok(self.recorded(inputs)?.filter(young))
    }

    /// A Debian system, made unless one of the same description and not too old is here. Dropping the future ends what runs.
    ///
    /// # Errors
    /// When mmdebstrap is missing or fails: no such package, no way to the mirror, no user namespaces.
    pub async fn debian(&self, debian: &Debian, notes: &Notes) -> Result<Made, BaseError> {
        let bare = self.debian_bare(debian, notes).await?;
        self.with_account(bare).await
    }

    async fn debian_bare(&self, debian: &Debian, notes: &Notes) -> Result<Made, BaseError> {
        debian.check()?;
        let inputs = debian.inputs();
        if let Some(record) = self.fresh(inputs)? {
            return Ok(record.made);
        }
        let name = format!("debian {}", debian.suite());
        notes(Note::Step(format!("make {name} with {} packages asked for", debian.all().len())));
        // Lives as long as anything that writes into it, also when nobody waits any more.
        let work = Arc::new(self.work()?);
        let mut running = Running::start(debian, &self.settings.debian_mirror, &self.directory)?;
        let stream = running.output()?;
        let listening = running.listen(notes);
        let (store, limits, at) = (Arc::clone(&self.store), self.settings.limits, Arc::clone(&work));
        let unpacking = blocking(move || {
            let tree = at.path().join("tree");
            std::fs::create_dir(&tree).map_err(BaseError::host(&tree))?;
            oci::unpack_plain(&mut BufReader::new(File::from(stream)), &tree, Owners::detect(), limits)?;
            Ok(tree)
        });
        let failed = |said: String| BaseError::Failed { what: format!("make {name}"), said };
        let ended = tokio::time::timeout(PATIENCE, async { tokio::join!(unpacking, running.ended()) });
        let too_long = |_| failed(format!("it took longer than {} minutes", PATIENCE.as_secs() / 60));
        let (tree, ended) = ended.await.map_err(too_long)?;
        let said = listening.await.unwrap_or_default();
        let tree = match (tree, ended?) {
            (Ok(tree), true) => tree,
            (Ok(_), false) => return Err(failed(said)),
            (Err(error), true) => return Err(error),
            (Err(error), false) => return Err(failed(format!("{said}\n{error}"))),
        };
        let maker = self.clone();
        let keep = work;
        blocking(move || {
            let _keep = keep;
            let packages = packages(&tree);
            if packages.is_empty() {
                return Err(BaseError::Failed {
                    what: format!("make {name}"),
                    said: "it has no packages in it".into(),
                });
            }
            let layer = store.seal(&tree, About::new(Kind::Base, name.as_str()))?;
            let layers = vec![layer];
            let config = RunConfig { env: [("LANG".to_owned(), "C.UTF-8".to_owned())].into(), ..RunConfig::default() };
            let made = Made { name, digest: record::content(&layers, &config), layers, config };
            maker.record(&Record { inputs, made: made.clone(), packages, made_at_ms: record::now_ms() })?;
            Ok(made)
        })
        .await
    }
}

/// What dpkg has installed, as `name=version`.
fn packages(tree: &Path) -> Vec<String> {
    let layers = Merged::open(&[tree.to_owned()], Owners::detect()).ok();
    let status = layers.and_then(|layers| account::read(&layers, "var/lib/dpkg/status")).unwrap_or_default();
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim().to_owned()))
    };
    let mut packages: Vec<_> = status
        .split("\n\n")
        .filter_map(|paragraph| Some(format!("{}={}", field(paragraph, "Package")?, field(paragraph, "Version")?)))
        .collect();
    packages.sort();
    packages
}
