//! Reads the configuration: defaults, then the file, then variables, then flags. What is not a key is refused by name.

use std::{
    env,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use hangar_protocol::{Refusal, RefusalCode};

use super::{
    AgentConfig, Config, Key, ModelConfig, Shape, agent,
    keys::{LISTED, keys},
    mcp_servers,
};
use crate::data_dir::CONFIGURATION;

/// Names that differ in more letters than this are not offered as what might have been meant.
const NEAR_LETTERS_MAX: usize = 2;
/// The machine's own configuration, used when the data directory has none.
const SYSTEM_FILE: &str = "/etc/hangar/hangar.toml";
/// Variables that begin like ours and are not configuration: the client's address and token, the file itself, the demo's switch.
const OTHER_VARIABLES: [&str; 6] =
    ["HANGAR_CONFIG", "HANGAR_URL", "HANGAR_SERVER", "HANGAR_TOKEN", "HANGAR_DEMO_EXIT", "HANGAR_LOG"];

/// Where the configuration is read from. Tests make their own; the program takes [`ConfigSources::of_process`].
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// The file somebody named; it must exist. `None` looks in the data directory, then in `/etc/hangar`.
    pub file: Option<PathBuf>,
    /// Variables of the environment.
    pub variables: Vec<(String, String)>,
    /// Flags, as key (`http.port`) and value. They weigh most.
    pub flags: Vec<(&'static str, String)>,
}

impl ConfigSources {
    /// The environment of this process, and the file that `$HANGAR_CONFIG` names if it does.
    #[must_use]
    pub fn of_process() -> Self {
        // Variables that are not UTF-8 cannot be ours.
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let file = env::var_os("HANGAR_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { file, variables: variables.collect(), flags: Vec::new() }
    }

    /// Reads it.
    ///
    /// # Errors
    /// A refusal that names the key, where it stands and what was expected.
    pub fn load(&self) -> Result<Config, Refusal> {
        let defaults = Config::in_directory(self.default_data()?);
        let mut figment = Figment::from(Serialized::defaults(defaults));
        let assigned = self.assigned()?;
        if let Some(file) = self.found_file(&figment, &assigned)? {
            refuse_unknown(&file)?;
            figment = figment.merge(Toml::file_exact(&file));
        }
        for value in assigned {
            figment = figment.merge(value);
        }
        let mut config: Config = figment.extract().map_err(|error| explain(&error))?;
        // A relative directory is meant from where the server was started, and must stay the same wherever it works.
        config.data = std::path::absolute(&config.data).unwrap_or(config.data);
        config.models.extend(agent::of_environment(|name| self.variable(name)));
        check(&config)?;
        Ok(config)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// `/var/lib/hangar` for root, else the user's data directory.
    fn default_data(&self) -> Result<PathBuf, Refusal> {
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/hangar"));
        }
        if let Some(home) = self.variable("XDG_DATA_HOME") {
            return Ok(Path::new(home).join("hangar"));
        }
        if let Some(home) = self.variable("HOME") {
            return Ok(Path::new(home).join(".local/share/hangar"));
        }
        if self.variable("HANGAR_DATA").is_some() || self.flags.iter().any(|(key, _)| *key == "data") {
            return Ok(PathBuf::new());
        }
        Err(refusal(
            "There is no directory to keep data in: neither $XDG_DATA_HOME nor $HOME is set.".into(),
            "Say where with --data DIR or HANGAR_DATA.",
        ))
    }

    /// Variables and flags as single values, the heaviest last.
    fn assigned(&self) -> Result<Vec<Assigned>, Refusal> {
        let mut assigned = Vec::new();
        for (name, text) in self.variables.iter().filter(|(name, _)| name.starts_with("HANGAR_")) {
            match keys().find(|key| key.variable().as_deref() == Some(name)) {
                // An empty variable is an unset one.
                Some(_) if text.is_empty() => {}
                Some(key) => assigned.push(Assigned::new(format!("the variable {name}"), key, text)),
                None if OTHER_VARIABLES.contains(&name.as_str()) => {}
                None => refuse_near_variable(name)?,
            }
        }
        for (path, text) in &self.flags {
            let Some(key) = keys().find(|key| key.path() == *path) else {
                return Err(refusal(format!("There is no key {path:?} to set."), "docs/configuration.md lists them."));
            };
            assigned.push(Assigned::new(format!("the flag --{}", key.name.replace('_', "-")), key, text));
        }
        Ok(assigned)
    }

    fn found_file(&self, defaults: &Figment, assigned: &[Assigned]) -> Result<Option<PathBuf>, Refusal> {
        if let Some(named) = &self.file {
            return match std::fs::metadata(named) {
                Ok(found) if found.is_file() => Ok(Some(named.clone())),
                Ok(_) => Err(refusal(format!("{} is not a file.", named.display()), "Name a hangar.toml.")),
                Err(error) => Err(refusal(
                    format!("{} cannot be read: {error}.", named.display()),
                    "Name a file that exists, or leave the flag and HANGAR_CONFIG out.",
                )),
            };
        }
        let mut figment = defaults.clone();
        for value in assigned.iter().filter(|value| value.key.path() == "data") {
            figment = figment.merge(value.clone());
        }
        let data: PathBuf = figment.extract_inner("data").map_err(|error| explain(&error))?;
        Ok([data.join(CONFIGURATION), PathBuf::from(SYSTEM_FILE)].into_iter().find(|file| file.is_file()))
    }
}

/// One value of one key, and who set it.
#[derive(Clone, Debug)]
struct Assigned {
    from: String,
    key: &'static Key,
    value: Value,
}

impl Assigned {
    fn new(from: String, key: &'static Key, text: &str) -> Self {
        let value = match key.shape {
            Shape::Number(_) => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
            Shape::Text | Shape::Choice(_) | Shape::Secret => Value::from(text),
            Shape::List => {
                let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
                Value::from(entries.map(Value::from).collect::<Vec<_>>())
            }
        };
        Self { from, key, value }
    }
}

impl Provider for Assigned {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.from.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default
            .collect(figment::util::nest(&self.key.path(), self.value.clone()).into_dict().unwrap_or_default()))
    }
}

pub(super) fn refusal(message: String, hint: &str) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, message, hint)
}

/// figment's error in our words: which key, where it stands, what was expected.
fn explain(error: &figment::Error) -> Refusal {
    let place = match &error.metadata {
        Some(metadata) => match metadata.source.as_ref().and_then(figment::Source::file_path) {
            Some(file) => format!(" in {}", file.display()),
            None => format!(" in {}", metadata.name),
        },
        None => String::new(),
    };
    let key = error.path.join(".");
    let message = match key.is_empty() {
        true => format!("The configuration{place} cannot be read: {}.", error.kind),
        false => format!("{key}{place}: {}.", error.kind),
    };
    let hint = match keys().find(|known| known.path() == key) {
        Some(Key { shape: Shape::Number(unit), .. }) => format!("Write a whole number of {unit}."),
        Some(Key { shape: Shape::Choice(words), .. }) => format!("Write one of {}.", words.join(", ")),
        Some(Key { about, .. }) => about.trim().to_owned(),
        None => "docs/configuration.md lists every key and its form.".to_owned(),
    };
    Refusal::new(RefusalCode::BadRequest, message, hint)
}

/// Every key of the file must be one of ours.
fn refuse_unknown(file: &Path) -> Result<(), Refusal> {
    let profiles = Toml::file_exact(file).data().map_err(|error| explain_toml(file, &error))?;
    for (section, entry) in profiles.values().flatten() {
        let is_table = keys().any(|key| key.section == section);
        match entry {
            Value::Dict(_, table) if is_table => refuse_unknown_in(file, section, table)?,
            Value::Array(_, tables) if LISTED.contains(&section.as_str()) => {
                for table in tables.iter().filter_map(Value::as_dict) {
                    refuse_unknown_in(file, section, table)?;
                }
            }
            Value::Dict(..)
            | Value::Array(..)
            | Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..) => {
                if !is_table && !keys().any(|key| key.path() == *section) {
                    return Err(unknown(file, section));
                }
            }
        }
    }
    Ok(())
}

fn refuse_unknown_in(file: &Path, section: &str, table: &Dict) -> Result<(), Refusal> {
    match table.keys().find(|name| !keys().any(|key| key.section == section && key.name == **name)) {
        Some(name) => Err(unknown(file, &format!("{section}.{name}"))),
        None => Ok(()),
    }
}

fn unknown(file: &Path, path: &str) -> Refusal {
    let sections = keys().map(|key| key.section.to_owned()).filter(|section| !section.is_empty());
    let near = nearest(path, keys().map(Key::path).chain(sections));
    let hint = match near {
        Some(near) => format!("Did you mean {near}? docs/configuration.md lists every key."),
        None => "docs/configuration.md lists every key.".to_owned(),
    };
    Refusal::new(RefusalCode::BadRequest, format!("There is no key {path} (in {}).", file.display()), hint)
}

/// A variable that is nearly one of ours is a slip of the fingers; any other may belong to somebody else.
fn refuse_near_variable(name: &str) -> Result<(), Refusal> {
    match nearest(name, keys().filter_map(Key::variable)) {
        Some(near) => Err(refusal(
            format!("{name} is not a variable hangar knows."),
            &format!("Did you mean {near}? Unset it otherwise."),
        )),
        None => Ok(()),
    }
}

/// The known name that is most like `given`: the same last part in another table, else the fewest changed letters.
fn nearest(given: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |name: &String| match last(name) == last(given) {
        true => 0,
        false => {
            strsim::damerau_levenshtein(name, given).min(strsim::damerau_levenshtein(&last(name), &last(given)) + 1)
        }
    };
    known
        .map(|name| (distance(&name), name))
        .filter(|(letters, _)| *letters <= NEAR_LETTERS_MAX)
        .min()
        .map(|(_, name)| name)
}

/// Where a file stops being TOML. The line itself is left out: it may hold a key.
fn explain_toml(file: &Path, error: &figment::Error) -> Refusal {
    let said = error.kind.to_string();
    let quotes_the_file =
        |line: &&str| line.trim_start().starts_with(|first: char| first.is_ascii_digit() || first == '|');
    let words: Vec<&str> = said.lines().filter(|line| !quotes_the_file(line)).map(str::trim).collect();
    refusal(format!("{} is not valid TOML: {}.", file.display(), words.join(": ")), "Mend the line it names.")
}

/// What no single type can say.
fn check(config: &Config) -> Result<(), Refusal> {
    if config.data.as_os_str().is_empty() {
        return Err(refusal("data is empty.".into(), "Name a directory."));
    }
    let zero = [
        ("bases.debian_days", config.bases.debian_days),
        ("bases.image_gib", config.bases.image_gib),
        ("bases.image_files", config.bases.image_files),
        ("http.request_timeout_s", config.http.request_timeout_s),
        ("http.body_bytes_max", config.http.body_bytes_max),
        ("http.requests_at_once_max", config.http.requests_at_once_max),
        ("http.streams_per_person_max", config.http.streams_per_person_max),
        ("images.builds_max", config.images.builds_max),
        ("images.build_minutes_max", config.images.build_minutes_max),
        ("people.sign_in_link_minutes", config.people.sign_in_link_minutes),
        ("people.cookie_days", config.people.cookie_days),
        ("people.sign_in_attempts_per_minute", config.people.sign_in_attempts_per_minute),
    ];
    if let Some((key, _)) = zero.iter().find(|(_, number)| *number == 0) {
        return Err(refusal(format!("{key} is 0."), "Write 1 or more."));
    }
    if config.pool.floor > config.pool.ceiling {
        let (floor, ceiling) = (config.pool.floor, config.pool.ceiling);
        return Err(refusal(
            format!("pool.floor is {floor} and pool.ceiling is {ceiling}."),
            "Write a ceiling that is at least the floor.",
        ));
    }
    config.agents.iter().try_for_each(AgentConfig::check)?;
    mcp_servers::check(&config.mcp_servers)?;
    config.models.iter().try_for_each(check_model)
}

fn check_model(model: &ModelConfig) -> Result<(), Refusal> {
    if !model.id.split_once('/').is_some_and(|(provider, name)| !provider.is_empty() && !name.is_empty()) {
        return Err(refusal(
            format!("models.id is {:?}.", model.id),
            "Write it as provider/model, e.g. ollama/qwen3-coder.",
        ));
    }
    if !(model.base_url.starts_with("http://") || model.base_url.starts_with("https://")) {
        return Err(refusal(
            format!("models.base_url of {} is {:?}.", model.id, model.base_url),
            "Write the endpoint's address, e.g. http://127.0.0.1:11434/v1.",
        ));
    }
    Ok(())
}
