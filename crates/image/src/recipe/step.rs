//! Steps and services: what a recipe is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How long a step may take unless it says so itself, in seconds.
pub const STEP_SECONDS_DEFAULT: u32 = 20 * 60;

/// A script to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What a person calls it.
    pub name: String,
    /// Text for the shell.
    pub script: String,
    /// How the shell reads it.
    pub shell: Shell,
    /// From `/workspace`, or absolute; empty for `/workspace` itself.
    pub directory: String,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Who runs it.
    pub account: Account,
    /// After so many seconds it is ended and counts as failed.
    pub seconds_max: u32,
}

/// How the shell reads a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// The first command that fails ends it (`set -eo pipefail`), and the failure names the line.
    Strict,
    /// As `sh -c` does: the last command decides.
    Plain,
}

/// Who runs a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The user that agents work as.
    Agent,
    /// The sandbox's own root: for package managers. Not on the base `host`, whose programs are read only.
    Root,
}

impl Step {
    /// A script that ends at its first failing command.
    pub fn strict(name: impl Into<String>, script: impl Into<String>) -> Self {
        Self::new(name, script, Shell::Strict)
    }

    /// A script as `sh -c` reads it.
    pub fn plain(name: impl Into<String>, script: impl Into<String>) -> Self {
        Self::new(name, script, Shell::Plain)
    }

    fn new(name: impl Into<String>, script: impl Into<String>, shell: Shell) -> Self {
        Self {
            name: name.into(),
            script: script.into(),
            shell,
            directory: String::new(),
            env: BTreeMap::new(),
            account: Account::Agent,
            seconds_max: STEP_SECONDS_DEFAULT,
        }
    }

    /// The same in this directory.
    #[must_use]
    pub fn within(mut self, directory: impl Into<String>) -> Self {
        self.directory = directory.into();
        self
    }
}

/// Something that has to be running while commands do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name; its log is `/home/agent/.hangar/services/<name>.log`.
    pub name: String,
    /// What hangar itself does for a service that it knows, before [`setup`](Self::setup): its data directory, its first database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Step>,
    /// Runs once at build, before the service first starts.
    pub setup: Option<Step>,
    /// The program itself; it stays in the foreground.
    pub run: Step,
    /// Runs once at build while the service is up: schemas, first data.
    pub seed: Option<Step>,
    /// How to tell that it is ready.
    pub health: Health,
    /// After so many seconds without becoming ready, the start has failed.
    pub ready_seconds_max: u32,
    /// How it is asked to end; SIGTERM when absent.
    pub stop: Option<Step>,
    /// What happens when it ends by itself.
    pub restart: Restart,
}

/// How to tell that a service is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As soon as it runs.
    Running,
    /// A connection to this port of 127.0.0.1 or `::1` is accepted.
    Tcp(u16),
    /// This address answers with a status below 400.
    Http(String),
    /// This command returns 0.
    Command(String),
}

/// What happens when a service ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// It is started again, at growing intervals.
    Always,
    /// It is started again unless it returned 0.
    OnFailure,
    /// It stays ended.
    Never,
}
