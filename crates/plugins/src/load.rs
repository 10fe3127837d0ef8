//! Reads plugins as they are configured, and knows which hold for which repository.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use globset::{Glob, GlobSet, GlobSetBuilder};
use hangar_agent::hooks::Installed;
use hangar_protocol::{OnFailure, RepoPath};

use crate::{engine::Source, javascript::JavaScript, limits};

/// A plugin as the administrator configures it.
#[derive(Clone, Debug)]
pub struct PluginSettings {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The repositories it holds for, e.g. `acme/*`; none for all.
    pub repos: Vec<String>,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// How long a question may take, in milliseconds.
    pub timeout_ms: u32,
    /// How much memory it may use, in MiB.
    pub memory_mib: u32,
    /// What it reads as `options`.
    pub options: Vec<String>,
}

/// Why the plugins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A setting makes no sense.
    #[error("the plugin {name:?}: {fault}")]
    Setting {
        /// The plugin.
        name: String,
        /// What is wrong.
        fault: String,
    },
    /// Its file cannot be read.
    #[error("the plugin {name} ({}) cannot be read: {fault}", path.display())]
    Unreadable {
        /// The plugin.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        fault: String,
    },
    /// Its file does not run.
    #[error("the plugin {name} ({}) does not load: {fault}", path.display())]
    Broken {
        /// The plugin.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        fault: String,
    },
}

/// Every plugin of a server, in the order of its configuration.
#[derive(Clone, Default)]
pub struct Plugins {
    all: Arc<[Placed]>,
}

struct Placed {
    /// `None` holds for every repository.
    repos: Option<GlobSet>,
    installed: Installed,
}

impl Plugins {
    /// Reads and runs the file of each. Blocks meanwhile, at most a few seconds for each.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(settings: &[PluginSettings]) -> Result<Self, LoadError> {
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for plugin in settings {
            check(plugin, &mut names, settings.len())
                .map_err(|fault| LoadError::Setting { name: plugin.name.clone(), fault })?;
            all.push(place(plugin)?);
        }
        Ok(Self { all: all.into() })
    }

    /// Those that hold for a repository, in order.
    #[must_use]
    pub fn of(&self, repo: &RepoPath) -> Vec<Installed> {
        let holds = |placed: &&Placed| placed.repos.as_ref().is_none_or(|repos| repos.is_match(repo.to_string()));
        self.all.iter().filter(holds).map(|placed| placed.installed.clone()).collect()
    }
}

fn check<'a>(plugin: &'a PluginSettings, names: &mut BTreeSet<&'a str>, count: usize) -> Result<(), String> {
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if count > limits::PLUGINS_MAX {
        return Err(format!("there are {count} plugins; a server has at most {}", limits::PLUGINS_MAX));
    }
    if plugin.name.is_empty() || !plain(&plugin.name) {
        return Err("a name has letters, digits, - and _".to_owned());
    }
    if !names.insert(&plugin.name) {
        return Err("another has the same name".to_owned());
    }
    if !(1..=limits::TIMEOUT_MS_MAX).contains(&plugin.timeout_ms) {
        return Err(format!("timeout_ms is {}; write 1 to {}", plugin.timeout_ms, limits::TIMEOUT_MS_MAX));
    }
    if !(1..=limits::MEMORY_MIB_MAX).contains(&plugin.memory_mib) {
        return Err(format!("memory_mb is {}; write 1 to {}", plugin.memory_mib, limits::MEMORY_MIB_MAX));
    }
    Ok(())
}

fn place(plugin: &PluginSettings) -> Result<Placed, LoadError> {
    let PluginSettings { name, path, on_failure, timeout_ms, memory_mib, options, .. } = plugin;
    let repos = globs(&plugin.repos).map_err(|fault| LoadError::Setting { name: name.clone(), fault })?;
    let text = read(path).map_err(|fault| LoadError::Unreadable { name: name.clone(), path: path.clone(), fault })?;
    let timeout = Duration::from_millis((*timeout_ms).into());
    let source = Source {
        name: name.clone(),
        text,
        options: options.clone(),
        memory_bytes_max: *memory_mib as usize * 1024 * 1024,
    };
    let hook = JavaScript::start(source, timeout).map_err(|fault| LoadError::Broken {
        name: name.clone(),
        path: path.clone(),
        fault,
    })?;
    let installed =
        Installed { plugin: name.clone(), hook: Arc::new(hook), on_failure: *on_failure, deadline: timeout };
    Ok(Placed { repos, installed })
}

fn globs(patterns: &[String]) -> Result<Option<GlobSet>, String> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| format!("repos: {error}"))?);
    }
    set.build().map(Some).map_err(|error| format!("repos: {error}"))
}

fn read(path: &Path) -> Result<String, String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    if found.len() > limits::SOURCE_BYTES_MAX {
        return Err(format!("it is larger than {} bytes", limits::SOURCE_BYTES_MAX));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}
