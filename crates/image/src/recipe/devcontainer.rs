//! `devcontainer.json`, as far as it fits a sandbox: what the container is made from, what is run when, and the environment.
//!
//! The keys are those of the Development Containers specification (containers.dev). What is read but not honoured becomes a note.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{BaseChoice, Files, Recipe, RecipeError, Step, hangar::inside};

/// Where the specification lets it lie; then one level of named folders.
const PATHS: &[&str] = &[".devcontainer/devcontainer.json", ".devcontainer.json", "devcontainer.json"];
/// Keys that are about an editor or a desktop and change nothing here.
const SILENT: &[&str] = &[
    "name",
    "customizations",
    "$schema",
    "portsAttributes",
    "otherPortsAttributes",
    "settings",
    "extensions",
    "shutdownAction",
    "overrideCommand",
    "waitFor",
    "userEnvProbe",
    "init",
    "updateRemoteUserUID",
    "secrets",
];
/// Keys that are honoured.
const HONOURED: &[&str] = &[
    "image",
    "build",
    "dockerFile",
    "context",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "containerEnv",
    "remoteEnv",
    "forwardPorts",
    "appPort",
];
/// Keys that are not honoured, and why.
const NOT_HONOURED: &[(&str, &str)] = &[
    ("features", "hangar installs no features; install what they bring in `onCreateCommand`, or in the image"),
    ("dockerComposeFile", "hangar runs one sandbox; declare other containers as services in .hangar/environment.toml"),
    ("service", "it belongs to dockerComposeFile"),
    ("runServices", "it belongs to dockerComposeFile"),
    ("mounts", "nothing of the host is mounted into a sandbox"),
    ("workspaceMount", "the workspace is always /workspace"),
    ("workspaceFolder", "the workspace is always /workspace"),
    ("runArgs", "there is no docker command line"),
    ("privileged", "a sandbox has no privileges"),
    ("capAdd", "a sandbox has no capabilities"),
    ("securityOpt", "a sandbox has its own confinement"),
    ("remoteUser", "commands run as the user `agent`"),
    ("containerUser", "commands run as the user `agent`"),
    ("hostRequirements", "limits are configured in hangar"),
    ("initializeCommand", "nothing of a repository runs on the host"),
    ("postAttachCommand", "an agent attaches to nothing; use postStartCommand"),
];

pub(super) fn read(files: &Files) -> Result<Option<Recipe>, RecipeError> {
    let named = files.paths().filter(|path| {
        let inner = path.strip_prefix(".devcontainer/").and_then(|rest| rest.strip_suffix("/devcontainer.json"));
        inner.is_some_and(|name| !name.contains('/'))
    });
    let path = PATHS.iter().copied().filter(|path| files.has(path)).chain(named).next();
    let Some(path) = path else { return Ok(None) };
    let Some(text) = files.deciding(path)? else { return Ok(None) };
    let refused = |line, message: String| RecipeError { file: path.to_owned(), line, message };
    let object = super::object(text).map_err(|(line, message)| refused(line, message))?;
    understood(path, &object).map(Some).map_err(|message| refused(None, message))
}

fn understood(path: &str, object: &Map<String, Value>) -> Result<Recipe, String> {
    let mut recipe = Recipe::empty(path);
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    recipe.base = base(folder, object, &mut recipe.notes)?;
    for key in ["onCreateCommand", "updateContentCommand", "postCreateCommand"] {
        recipe.setup.extend(commands(key, object.get(key))?);
    }
    recipe.start = commands("postStartCommand", object.get("postStartCommand"))?;
    for key in ["containerEnv", "remoteEnv"] {
        environment(key, object.get(key), &mut recipe)?;
    }
    ports(object.get("forwardPorts"), &mut recipe);
    ports(object.get("appPort"), &mut recipe);
    notes(object, &mut recipe.notes);
    Ok(recipe)
}

fn base(folder: &str, object: &Map<String, Value>, notes: &mut Vec<String>) -> Result<BaseChoice, String> {
    if let Some(image) = object.get("image") {
        let reference = image.as_str().ok_or("`image` must be text")?;
        return Ok(BaseChoice::Pull { reference: reference.to_owned() });
    }
    let build = match object.get("build") {
        None => None,
        Some(Value::Object(build)) => Some(build),
        Some(_) => return Err("`build` must be an object".into()),
    };
    let from_build = |key: &str| build.and_then(|build| build.get(key));
    let text = |value: Option<&Value>, key: &str| match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{key}` must be text")),
    };
    let dockerfile = text(from_build("dockerfile").or_else(|| object.get("dockerFile")), "dockerfile")?;
    let Some(dockerfile) = dockerfile else {
        if !object.contains_key("dockerComposeFile") {
            notes.push(
                "devcontainer.json names neither `image` nor `build`; the base is the host's own programs.".into(),
            );
        }
        return Ok(BaseChoice::Host);
    };
    let context =
        text(from_build("context").or_else(|| object.get("context")), "context")?.unwrap_or_else(|| ".".into());
    let target = text(from_build("target"), "target")?.unwrap_or_default();
    let args = match from_build("args") {
        None => BTreeMap::new(),
        Some(args) => strings("build.args", args)?,
    };
    for key in ["options", "cacheFrom"] {
        if from_build(key).is_some() {
            notes.push(format!("build.{key} is not honoured: there is no docker command line."));
        }
    }
    // Both are relative to the folder of devcontainer.json.
    let path = inside(
        "build.dockerfile",
        &format!("{folder}/{dockerfile}").replacen('/', "", usize::from(folder.is_empty())),
    )?;
    let context =
        inside("build.context", &format!("{folder}/{context}").replacen('/', "", usize::from(folder.is_empty())))?;
    Ok(BaseChoice::Dockerfile { path, context, target, args })
}

/// A command is a line for the shell, a list of arguments, or an object of such, each with a name. The specification runs the members of
/// an object at once; here they run one after the other, which gives the same result and a log that can be read.
fn commands(key: &str, value: Option<&Value>) -> Result<Vec<Step>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(named)) => named
            .iter()
            .filter_map(|(name, value)| {
                let name = format!("{key}: {name}");
                command(key, value).map(|script| script.map(|script| Step::plain(name, script))).transpose()
            })
            .collect(),
        Some(one) => Ok(command(key, one)?.map(|script| Step::plain(key, script)).into_iter().collect()),
    }
}

fn command(key: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::String(line) if line.trim().is_empty() => Ok(None),
        Value::String(line) => Ok(Some(substituted(line, &mut Vec::new()))),
        Value::Array(words) if words.is_empty() => Ok(None),
        Value::Array(words) => {
            let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(super::quoted)).collect();
            words.map(|words| Some(words.join(" "))).ok_or_else(|| format!("`{key}` must be a list of text"))
        }
        _ => Err(format!("`{key}` must be text, a list of text, or an object of these")),
    }
}

fn environment(key: &str, value: Option<&Value>, recipe: &mut Recipe) -> Result<(), String> {
    let Some(value) = value else { return Ok(()) };
    let Value::Object(pairs) = value else { return Err(format!("`{key}` must be an object")) };
    for (name, value) in pairs {
        match value {
            // The specification's way to take a variable away.
            Value::Null => drop(recipe.env.remove(name)),
            Value::String(text) => {
                let text = substituted(text, &mut recipe.notes);
                recipe.env.insert(name.clone(), text);
            }
            _ => return Err(format!("`{key}.{name}` must be text")),
        }
    }
    Ok(())
}

/// The specification's `${…}`. `containerEnv` becomes `${NAME}`, which the build fills in.
fn substituted(text: &str, notes: &mut Vec<String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}').map(|end| at + end) else { break };
        let inner = &rest[at + 2..end];
        out.push_str(&rest[..at]);
        let (kind, argument) = inner.split_once(':').unwrap_or((inner, ""));
        match kind {
            "localWorkspaceFolder" | "containerWorkspaceFolder" => out.push_str("/workspace"),
            "localWorkspaceFolderBasename" | "containerWorkspaceFolderBasename" => out.push_str("workspace"),
            "containerEnv" => out.push_str(&format!("${{{}}}", argument.split(':').next().unwrap_or(argument))),
            "localEnv" => {
                let (name, default) = argument.split_once(':').unwrap_or((argument, ""));
                notes.push(format!(
                    "${{localEnv:{name}}} is {default:?}: nothing of the host's environment enters a sandbox."
                ));
                out.push_str(default);
            }
            "devcontainerId" => out.push_str("hangar"),
            _ => out.push_str(&rest[at..=end]),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

fn ports(value: Option<&Value>, recipe: &mut Recipe) {
    let values = match value {
        None => return,
        Some(Value::Array(values)) => values.clone(),
        Some(one) => vec![one.clone()],
    };
    for value in values {
        // Docker's `8080:80` publishes the container's 80.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let port = text.rsplit(':').next().and_then(|port| port.parse().ok());
        let local = text
            .split_once(':')
            .is_none_or(|(host, _)| matches!(host, "localhost" | "127.0.0.1") || host.parse::<u16>().is_ok());
        match port {
            Some(port) if local => {
                if !recipe.ports.contains(&port) {
                    recipe.ports.push(port);
                }
            }
            _ => recipe.notes.push(format!("The port {text} is not in the sandbox and is not forwarded.")),
        }
    }
}

fn notes(object: &Map<String, Value>, notes: &mut Vec<String>) {
    for key in object.keys() {
        if HONOURED.contains(&key.as_str()) || SILENT.contains(&key.as_str()) {
            continue;
        }
        let why = NOT_HONOURED.iter().find(|(name, _)| name == key).map_or("hangar does not know it", |(_, why)| why);
        notes.push(format!("devcontainer.json: `{key}` is not honoured: {why}."));
    }
}

fn strings(key: &str, value: &Value) -> Result<BTreeMap<String, String>, String> {
    let pairs = value.as_object().ok_or_else(|| format!("`{key}` must be an object"))?;
    let pair = |(name, value): (&String, &Value)| value.as_str().map(|text| (name.clone(), text.to_owned()));
    pairs.iter().map(pair).collect::<Option<_>>().ok_or_else(|| format!("the values of `{key}` must be text"))
}
