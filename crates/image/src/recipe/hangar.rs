//! `.hangar/environment.toml`: our own format. docs/images.md describes every key.

use std::{collections::BTreeMap, fmt};

use hangar_protocol::RepoPath;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    BESIDE_MAX, BaseChoice, Beside, Files, Health, NetworkWishes, Recipe, RecipeError, Restart, SERVICES_MAX,
    STEPS_MAX, Schedule, Service, Shell, Step, preset,
    step::{Account, STEP_SECONDS_DEFAULT},
};

/// Where it lies.
const PATH: &str = ".hangar/environment.toml";
/// A schedule shorter than this would build without end, in seconds.
const SCHEDULE_SECONDS_MIN: u32 = 60;
/// Longest time a step may ask for, in seconds.
const STEP_SECONDS_MAX: u32 = 6 * 60 * 60;
/// How long a service may take to become ready unless it says so itself, in seconds.
const READY_SECONDS_DEFAULT: u32 = 60;

pub(super) fn read(files: &Files) -> Result<Option<Recipe>, RecipeError> {
    read_file(files, PATH)
}

/// Reads any file of this format.
pub(super) fn read_file(files: &Files, path: &str) -> Result<Option<Recipe>, RecipeError> {
    let refused = |line, message: &str| RecipeError { file: path.to_owned(), line, message: message.trim().to_owned() };
    let Some(text) = files.deciding(path)? else { return Ok(None) };
    let written: Written = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        refused(line, error.message())
    })?;
    written.understood(path).map(Some).map_err(|message| refused(None, &message))
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "Words::host")]
    base: Words<BaseTable>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    setup: Vec<Words<StepTable>>,
    #[serde(default)]
    warm: Vec<Words<StepTable>>,
    verify: Option<Words<StepTable>>,
    #[serde(default)]
    start: Vec<Words<StepTable>>,
    #[serde(default)]
    services: Vec<ServiceTable>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    network: NetworkTable,
    #[serde(default)]
    repositories: Vec<Words<BesideTable>>,
    schedule: Option<String>,
}

/// Either a word or a table: the short and the long way to say the same.
enum Words<T> {
    Short(String),
    Long(T),
}

impl<T> Words<T> {
    fn host() -> Self {
        Self::Short("host".to_owned())
    }
}

// By hand, because an untagged enum would forget which key was unknown and where it stands.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Words<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a table")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Words::Short(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Words::Long)
            }
        }
        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BaseTable {
    debian: Option<String>,
    #[serde(default)]
    packages: Vec<String>,
    image: Option<String>,
    archive: Option<String>,
    dockerfile: Option<String>,
    #[serde(default)]
    context: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    args: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepTable {
    run: String,
    name: Option<String>,
    #[serde(default)]
    directory: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    root: bool,
    timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    name: String,
    uses: Option<String>,
    database: Option<String>,
    run: Option<Words<StepTable>>,
    setup: Option<Words<StepTable>>,
    seed: Option<Words<StepTable>>,
    stop: Option<Words<StepTable>>,
    health: Option<HealthTable>,
    ready: Option<String>,
    restart: Option<RestartWord>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RestartWord {
    Always,
    OnFailure,
    Never,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthTable {
    tcp: Option<u16>,
    http: Option<String>,
    command: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkTable {
    #[serde(default)]
    setup: Vec<String>,
    #[serde(default)]
    agent: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BesideTable {
    repo: String,
    #[serde(default)]
    branch: String,
    name: Option<String>,
}

impl Written {
    fn understood(self, path: &str) -> Result<Recipe, String> {
        let mut recipe = Recipe::empty(path);
        recipe.base = base(self.base)?;
        recipe.env = self.env;
        recipe.setup = steps("setup", self.setup)?;
        recipe.warm = steps("warm", self.warm)?;
        recipe.start = steps("start", self.start)?;
        recipe.verify = self.verify.map(|verify| step("verify", "verify".into(), verify)).transpose()?;
        if self.services.len() > SERVICES_MAX {
            return Err(format!("there are {} services; at most {SERVICES_MAX} can be started", self.services.len()));
        }
        for table in self.services {
            let service = service(table)?;
            if recipe.services.iter().any(|other| other.name == service.name) {
                return Err(format!("two services are called `{}`", service.name));
            }
            recipe.services.push(service);
        }
        recipe.ports = self.ports;
        recipe.network = NetworkWishes { setup: self.network.setup, agent: self.network.agent };
        for host in recipe.network.setup.iter().chain(&recipe.network.agent) {
            check_host(host)?;
        }
        recipe.beside = beside(self.repositories)?;
        recipe.schedule = self.schedule.as_deref().map_or(Ok(Schedule::Usual), schedule)?;
        for name in recipe.env.keys() {
            check_variable(name)?;
        }
        if recipe.base == BaseChoice::Host {
            let rooted = recipe.setup.iter().chain(&recipe.warm).find(|step| step.account == Account::Root);
            if let Some(step) = rooted {
                return Err(format!(
                    "step `{}` asks for root, but the base `host` has nothing root could change; choose another `base`",
                    step.name
                ));
            }
        }
        Ok(recipe)
    }
}

fn base(base: Words<BaseTable>) -> Result<BaseChoice, String> {
    let table = match base {
        Words::Short(word) => match word.as_str() {
            "host" => return Ok(BaseChoice::Host),
            "debian" => return Ok(BaseChoice::Debian { suite: String::new(), packages: Vec::new() }),
            other => {
                return Err(format!(
                    "base = {other:?} is not known; write \"host\", \"debian\", or a table: {{ image = {other:?} }}, \
                     {{ dockerfile = \"…\" }}, {{ debian = \"…\" }} or {{ archive = \"…\" }}"
                ));
            }
        },
        Words::Long(table) => table,
    };
    let BaseTable { debian, packages, image, archive, dockerfile, context, target, args } = table;
    let dockered = !context.is_empty() || !target.is_empty() || !args.is_empty();
    if dockerfile.is_none() && dockered {
        return Err("`context`, `target` and `args` belong to a base with `dockerfile`".into());
    }
    if debian.is_none() && !packages.is_empty() {
        return Err("`packages` belongs to a base with `debian`".into());
    }
    match (debian, image, archive, dockerfile) {
        (Some(suite), None, None, None) => Ok(BaseChoice::Debian { suite, packages }),
        (None, Some(reference), None, None) => Ok(BaseChoice::Pull { reference }),
        (None, None, Some(path), None) => Ok(BaseChoice::Archive { path: inside("archive", &path)? }),
        (None, None, None, Some(path)) => Ok(BaseChoice::Dockerfile {
            path: inside("dockerfile", &path)?,
            context: inside("context", &context)?,
            target,
            args,
        }),
        _ => Err("`base` must name exactly one of `debian`, `image`, `archive` and `dockerfile`".into()),
    }
}

/// A path within the repository, without `.` and with no way out.
pub(super) fn inside(key: &str, path: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(format!("{key} = {path:?} leads out of the repository"));
                }
            }
            part => parts.push(part),
        }
    }
    if path.starts_with('/') {
        return Err(format!("{key} = {path:?} must be relative to the repository"));
    }
    Ok(parts.join("/"))
}

fn steps(what: &str, written: Vec<Words<StepTable>>) -> Result<Vec<Step>, String> {
    if written.len() > STEPS_MAX {
        return Err(format!("`{what}` has {} steps; at most {STEPS_MAX} are run", written.len()));
    }
    let named = written.into_iter().enumerate();
    named.map(|(at, written)| step(what, format!("{what} {}", at + 1), written)).collect()
}

fn step(what: &str, name: String, written: Words<StepTable>) -> Result<Step, String> {
    let (script, table) = match written {
        Words::Short(script) => (script, None),
        Words::Long(table) => (table.run.clone(), Some(table)),
    };
    if script.trim().is_empty() {
        return Err(format!("a step of `{what}` has nothing to run"));
    }
    let mut step = Step::strict(name, script);
    if let Some(table) = table {
        step.name = table.name.unwrap_or(step.name);
        step.directory = table.directory;
        step.env = table.env;
        for name in step.env.keys() {
            check_variable(name)?;
        }
        step.account = if table.root { Account::Root } else { Account::Agent };
        step.seconds_max = table.timeout.as_deref().map_or(Ok(STEP_SECONDS_DEFAULT), seconds)?;
        if step.seconds_max == 0 || step.seconds_max > STEP_SECONDS_MAX {
            return Err(format!("the time of step `{}` must be between 1 s and 6 h", step.name));
        }
    }
    Ok(step)
}

fn service(table: ServiceTable) -> Result<Service, String> {
    let name = table.name;
    check_name("service", &name)?;
    let part = |what: &str, written: Option<Words<StepTable>>| {
        written.map(|written| step(what, format!("{name}: {what}"), written)).transpose()
    };
    let (run, setup) = (part("run", table.run)?, part("setup", table.setup)?);
    let (seed, stop) = (part("seed", table.seed)?, part("stop", table.stop)?);
    let health = table.health.map(|health| health.understood(&name)).transpose()?;
    let mut service = match (table.uses.as_deref(), run) {
        (Some(uses), None) => preset::service(&name, uses, table.database.as_deref())?,
        (None, Some(mut run)) => {
            if table.database.is_some() {
                return Err(format!("service `{name}`: `database` belongs to `uses = \"postgresql\"`"));
            }
            // `exec` is the writer's affair; a service that pipes its output must not die of a failing first command.
            run.shell = Shell::Plain;
            let ready_seconds_max = READY_SECONDS_DEFAULT;
            let restart = Restart::OnFailure;
            Service {
                name: name.clone(),
                prepare: None,
                setup: None,
                run,
                seed: None,
                health: Health::Running,
                ready_seconds_max,
                stop: None,
                restart,
            }
        }
        (Some(_), Some(_)) => return Err(format!("service `{name}` has both `uses` and `run`; keep one")),
        (None, None) => {
            return Err(format!(
                "service `{name}` needs `run = \"…\"`, or `uses` with one of: {}",
                preset::NAMES.join(", ")
            ));
        }
    };
    (service.setup, service.seed) = (setup, seed);
    service.stop = stop.or(service.stop);
    service.health = health.unwrap_or(service.health);
    if let Some(ready) = table.ready {
        service.ready_seconds_max = seconds(&ready)?;
    }
    service.restart = match table.restart {
        None => service.restart,
        Some(RestartWord::Always) => Restart::Always,
        Some(RestartWord::OnFailure) => Restart::OnFailure,
        Some(RestartWord::Never) => Restart::Never,
    };
    Ok(service)
}

impl HealthTable {
    fn understood(self, service: &str) -> Result<Health, String> {
        match (self.tcp, self.http, self.command) {
            (Some(port), None, None) => Ok(Health::Tcp(port)),
            (None, Some(address), None) if address.starts_with("http://") => Ok(Health::Http(address)),
            (None, Some(address), None) => {
                Err(format!("service `{service}`: health.http = {address:?} must begin with http://"))
            }
            (None, None, Some(command)) => Ok(Health::Command(command)),
            _ => Err(format!("service `{service}`: `health` must name exactly one of `tcp`, `http` and `command`")),
        }
    }
}

fn beside(written: Vec<Words<BesideTable>>) -> Result<Vec<Beside>, String> {
    if written.len() > BESIDE_MAX {
        return Err(format!("there are {} other repositories; at most {BESIDE_MAX} can be beside one", written.len()));
    }
    let mut found: Vec<Beside> = Vec::new();
    for written in written {
        let (repo, branch, name) = match written {
            Words::Short(repo) => (repo, String::new(), None),
            Words::Long(table) => (table.repo, table.branch, table.name),
        };
        let repo: RepoPath = repo.parse().map_err(|refusal: hangar_protocol::Refusal| refusal.to_string())?;
        let name = name.unwrap_or_else(|| repo.name().to_owned());
        check_name("repository", &name)?;
        if found.iter().any(|other| other.name == name) {
            return Err(format!("two repositories would be at /repos/{name}; give one a `name`"));
        }
        found.push(Beside { repo, branch, name });
    }
    Ok(found)
}

fn schedule(text: &str) -> Result<Schedule, String> {
    match text {
        "on-demand" => Ok(Schedule::OnDemand),
        text => match seconds(text)? {
            short if short < SCHEDULE_SECONDS_MIN => Err(format!("schedule = {text:?} is shorter than a minute")),
            every => Ok(Schedule::EverySeconds(every)),
        },
    }
}

/// `90s`, `20m`, `1h 30m`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a length of time; write it like \"90s\", \"20m\" or \"1h 30m\"");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    u32::try_from(duration.as_secs()).map_err(|_| wrong())
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let fits = !name.is_empty()
        && name.len() <= 60
        && !name.starts_with(['-', '.'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits {
        Ok(())
    } else {
        Err(format!("{name:?} cannot name a {what}: use 1 to 60 letters, digits, `-`, `_` and `.`"))
    }
}

fn check_variable(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fits { Ok(()) } else { Err(format!("{name:?} cannot name a variable: use letters, digits and `_`")) }
}

fn check_host(host: &str) -> Result<(), String> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let (name, port) = name.split_once(':').map_or((name, None), |(name, port)| (name, Some(port)));
    let fits = !name.is_empty()
        && name.len() <= 253
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    if fits {
        Ok(())
    } else {
        Err(format!("{host:?} is not a name to allow; write \"host\", \"*.host\" or \"host:port\""))
    }
}
