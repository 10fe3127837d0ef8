//! What an image says about how it is run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::oci::Error;

/// What an image's configuration says, as far as hangar heeds or keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunConfig {
    /// Variables for every process.
    pub env: BTreeMap<String, String>,
    /// Where commands start; empty for the root.
    pub working_dir: String,
    /// Whom commands run as, as the image has it (`name`, `id`, `name:group`); empty for root.
    pub user: String,
    /// The program that is always run. Kept, not run: hangar runs what a recipe says.
    pub entrypoint: Vec<String>,
    /// Its usual arguments, or the usual program. Kept, not run.
    pub cmd: Vec<String>,
    /// The shell of a Dockerfile's commands; empty for `/bin/sh -c`.
    pub shell: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Ports something may listen on, as `8080/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Directories for data that should outlive a container. Kept; in a sandbox they are directories like others.
    pub volumes: BTreeSet<String>,
    /// The signal that asks the program to end; empty for TERM.
    pub stop_signal: String,
}

/// `config` of an image's configuration, as the specification writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<BTreeMap<String, Nothing>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<BTreeMap<String, Nothing>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
}

/// The specification's way to write a set.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Nothing {}

/// An image's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created: Option<String>,
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub config: Option<Written>,
    pub rootfs: RootFs,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub history: Option<Vec<History>>,
}

/// The uncompressed layers, lowest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    pub diff_ids: Vec<String>,
}

/// How a layer came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub empty_layer: Option<bool>,
}

impl ImageConfig {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::not_an_image(format!("its configuration cannot be read ({error})")))?;
        if config.os != "linux" {
            let what = format!("an image for {}", config.os.chars().take(40).collect::<String>());
            return Err(Error::Unsupported { what, instead: "use an image for linux".into() });
        }
        if config.architecture != architecture() {
            let what = format!("an image for {}", config.architecture.chars().take(40).collect::<String>());
            return Err(Error::Unsupported { what, instead: format!("use an image for {}", architecture()) });
        }
        Ok(config)
    }
}

/// This machine's architecture, as images name it.
#[must_use]
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

impl From<Written> for RunConfig {
    fn from(written: Written) -> Self {
        let env = written.env.unwrap_or_default();
        Self {
            env: env
                .iter()
                .filter_map(|variable| variable.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            working_dir: written.working_dir.unwrap_or_default(),
            user: written.user.unwrap_or_default(),
            entrypoint: written.entrypoint.unwrap_or_default(),
            cmd: written.cmd.unwrap_or_default(),
            shell: written.shell.unwrap_or_default(),
            labels: written.labels.unwrap_or_default(),
            exposed_ports: written.exposed_ports.unwrap_or_default().into_keys().collect(),
            volumes: written.volumes.unwrap_or_default().into_keys().collect(),
            stop_signal: written.stop_signal.unwrap_or_default(),
        }
    }
}

impl From<&RunConfig> for Written {
    fn from(config: &RunConfig) -> Self {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let set = |set: &BTreeSet<String>| {
            (!set.is_empty()).then(|| set.iter().map(|entry| (entry.clone(), Nothing {})).collect())
        };
        Self {
            user: text(&config.user),
            exposed_ports: set(&config.exposed_ports),
            env: (!config.env.is_empty())
                .then(|| config.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            entrypoint: list(&config.entrypoint),
            cmd: list(&config.cmd),
            shell: list(&config.shell),
            volumes: set(&config.volumes),
            working_dir: text(&config.working_dir),
            labels: (!config.labels.is_empty()).then(|| config.labels.clone()),
            stop_signal: text(&config.stop_signal),
        }
    }
}
