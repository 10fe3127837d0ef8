//! What a repository needs: read from its own files, without running any of them.
//!
//! The first of these that a commit has decides; a broken one is refused rather than skipped, because an image built from the next
//! one would surprise whoever wrote it:
//!
//! 1. `.hangar/environment.toml` (`hangar`), our own format and the only one that can say everything;
//! 2. `devcontainer.json` (`devcontainer`);
//! 3. `.cursor/environment.json` (`cursor`);
//! 4. `.github/workflows/copilot-setup-steps.yml` (`copilot`);
//! 5. lock files (`detect`).
//!
//! What a format leaves open (no set-up step, no build to warm the caches) is filled in from the lock files, and a note says so.
//! Reading is pure: `Files` is taken from a commit once, and everything after it has no disk and no clock.

mod copilot;
mod cursor;
mod detect;
mod devcontainer;
mod files;
mod hangar;
mod preset;
mod step;
mod tools;

use std::collections::BTreeMap;

use hangar_protocol::RepoPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use files::{FILE_BYTES_MAX, Files};
pub use step::{Account, Health, Restart, STEP_SECONDS_DEFAULT, Service, Shell, Step};

/// Changed when the same files come to mean something else, so that images are built anew.
pub const RECIPE_VERSION: u32 = 2;
/// Steps of one kind at most.
pub const STEPS_MAX: usize = 64;
/// Services at most.
pub const SERVICES_MAX: usize = 16;
/// Other repositories at most.
pub const BESIDE_MAX: usize = 8;

/// What an image is built from and what a session over it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Where it was found: a path in the repository, or `lock files`.
    pub source: String,
    /// The lowest layer.
    pub base: BaseChoice,
    /// Run at build, in this order. The first that fails ends the build.
    pub setup: Vec<Step>,
    /// Run at build after the set-up, to fill caches. One that fails is a warning.
    pub warm: Vec<Step>,
    /// Must succeed after all of these, or the image is not good.
    pub verify: Option<Step>,
    /// Run when a session starts, one after the other; a session does not wait for them.
    pub start: Vec<Step>,
    /// What has to be running, in the order of starting.
    pub services: Vec<Service>,
    /// Environment of every command, at build and in the session. `${NAME}` stands for the base's own variable; see docs/images.md.
    pub env: BTreeMap<String, String>,
    /// Ports the repository's own programs listen at.
    pub ports: Vec<u16>,
    /// Names that may be reached besides those that always may.
    pub network: NetworkWishes,
    /// Other repositories that belong beside this one, at `/repos/<name>`.
    pub beside: Vec<Beside>,
    /// How often the image is built anew.
    pub schedule: Schedule,
    /// What a person should know: things that were not honoured, and guesses.
    pub notes: Vec<String>,
}

/// What the lowest layer is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseChoice {
    /// The machine's own programs and toolchains, read only.
    Host,
    /// A Debian system.
    Debian {
        /// Its code name; the newest stable one that hangar knows when empty.
        suite: String,
        /// Packages to install.
        packages: Vec<String>,
    },
    /// An image of a registry.
    Pull {
        /// As docker writes it: `node:22`, `ghcr.io/team/image@sha256:…`.
        reference: String,
    },
    /// A file of the repository: an OCI layout or what `docker save` writes, as a tar.
    Archive {
        /// From the repository's root.
        path: String,
    },
    /// Built from a Dockerfile of the repository.
    Dockerfile {
        /// From the repository's root.
        path: String,
        /// Directory its `COPY` reads, from the repository's root; empty for the root itself.
        context: String,
        /// The stage to stop at; the last when empty.
        target: String,
        /// Values of its `ARG`s.
        args: BTreeMap<String, String>,
    },
}

/// Names that may be reached, one list for each phase. `host`, `*.host` and `host:port` are understood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkWishes {
    /// While the image is built.
    pub setup: Vec<String>,
    /// While an agent works.
    pub agent: Vec<String>,
}

/// Another repository beside the main one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Which.
    pub repo: RepoPath,
    /// Its branch; the default branch when empty.
    pub branch: String,
    /// Its directory is `/repos/<name>`.
    pub name: String,
}

/// How often an image is built anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// As configured for this hangar.
    #[default]
    Usual,
    /// Every so many seconds, if anything changed.
    EverySeconds(u32),
    /// Only when somebody asks, or something is pushed.
    OnDemand,
}

/// A file of the repository that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct RecipeError {
    /// Which file.
    pub file: String,
    /// The line, where it is known.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Recipe {
    /// Reads the usual recipe of a commit.
    ///
    /// # Errors
    /// When the file that decides cannot be understood.
    pub fn read(files: &Files) -> Result<Self, RecipeError> {
        Ok(Self::completed(Self::written(files)?, files))
    }

    /// Reads the recipe of a named environment, `.hangar/environments/<name>.toml`; an empty name is the usual one.
    ///
    /// # Errors
    /// When the file that decides cannot be understood, or there is no environment of this name.
    pub fn read_named(files: &Files, environment: &str) -> Result<Self, RecipeError> {
        if environment.is_empty() {
            return Self::read(files);
        }
        let file = format!(".hangar/environments/{environment}.toml");
        let Some(written) = hangar::read_file(files, &file)? else {
            let message = "there is no such environment; commit this file, or choose another one".into();
            return Err(RecipeError { file, line: None, message });
        };
        Ok(Self::completed(Some(written), files))
    }

    fn completed(written: Option<Self>, files: &Files) -> Self {
        let found = detect::detect(files);
        let mut recipe = match written {
            Some(written) => written.filled_from(found),
            None => found,
        };
        tools::add(files, &mut recipe);
        recipe
    }

    fn written(files: &Files) -> Result<Option<Self>, RecipeError> {
        for read in [hangar::read, devcontainer::read, cursor::read, copilot::read] {
            if let Some(recipe) = read(files)? {
                return Ok(Some(recipe));
            }
        }
        Ok(None)
    }

    /// A recipe with nothing in it, found at `source`.
    pub(crate) fn empty(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            base: BaseChoice::Host,
            setup: Vec::new(),
            warm: Vec::new(),
            verify: None,
            start: Vec::new(),
            services: Vec::new(),
            env: BTreeMap::new(),
            ports: Vec::new(),
            network: NetworkWishes::default(),
            beside: Vec::new(),
            schedule: Schedule::Usual,
            notes: Vec::new(),
        }
    }

    /// Fills in what was left open. Whoever wrote set-up steps knows better than a guess; the first build and test run are
    /// guessed all the same, since only our own format has words for them.
    fn filled_from(mut self, found: Self) -> Self {
        if self.setup.is_empty() && !found.setup.is_empty() {
            self.notes.push(format!("{} has no set-up step; those of the lock files are used.", self.source));
            self.setup = found.setup;
        }
        if self.warm.is_empty() {
            self.warm = found.warm;
        }
        for (name, value) in found.env {
            self.env.entry(name).or_insert(value);
        }
        self
    }

    /// Names what an image is built from: equal digests build equal images from equal commits. Notes do not count.
    #[must_use]
    pub fn digest(&self) -> String {
        let counted = Self { notes: Vec::new(), ..self.clone() };
        // Only structs, vectors and sorted maps: the order of the text is fixed. Serialising them cannot fail.
        let text = serde_json::to_vec(&(RECIPE_VERSION, counted)).unwrap_or_default();
        hex(&Sha256::digest(text))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The object of a JSON file with comments and trailing commas, or the line and what is wrong there.
pub(crate) fn object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, (Option<usize>, String)> {
    let parsed = jsonc_parser::parse_to_serde_value(text, &jsonc_parser::ParseOptions::default());
    match parsed {
        Ok(Some(serde_json::Value::Object(object))) => Ok(object),
        Ok(_) => Err((None, "must be a JSON object".into())),
        Err(error) => Err((Some(error.line_display()), error.kind().to_string())),
    }
}

/// A word as the shell reads it back unchanged.
pub(crate) fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
