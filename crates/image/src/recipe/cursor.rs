//! `.cursor/environment.json`: `install` at build, `start` and `terminals` at the session's start.

use std::collections::BTreeMap;

use hangar_protocol::RepoPath;
use serde_json::Value;

use super::{BaseChoice, Beside, Files, Health, Recipe, RecipeError, Restart, Service, Step, hangar::inside};

const PATH: &str = ".cursor/environment.json";
/// Its folder: a Dockerfile is named relative to it.
const FOLDER: &str = ".cursor";

pub(super) fn read(files: &Files) -> Result<Option<Recipe>, RecipeError> {
    let Some(text) = files.deciding(PATH)? else { return Ok(None) };
    let refused = |line, message: String| RecipeError { file: PATH.to_owned(), line, message };
    let object = super::object(text).map_err(|(line, message)| refused(line, message))?;
    let mut recipe = Recipe::empty(PATH);
    for (key, value) in &object {
        take(key, value, &mut recipe).map_err(|message| refused(None, message))?;
    }
    Ok(Some(recipe))
}

fn take(key: &str, value: &Value, recipe: &mut Recipe) -> Result<(), String> {
    let text = || value.as_str().ok_or_else(|| format!("`{key}` must be text"));
    match key {
        "name" | "$schema" | "agentCanUpdateSnapshot" => {}
        "install" | "update" => recipe.setup.extend(script(key, text()?)),
        "start" => recipe.start.extend(script(key, text()?)),
        "terminals" => {
            for terminal in value.as_array().ok_or("`terminals` must be a list")? {
                recipe.services.push(service(terminal, recipe.services.len() + 1)?);
            }
        }
        "build" => recipe.base = dockerfile(value)?,
        "ports" => {
            for port in value.as_array().ok_or("`ports` must be a list")? {
                let number = port.get("port").unwrap_or(port).as_u64().and_then(|port| u16::try_from(port).ok());
                recipe.ports.push(number.ok_or("each of `ports` must have a `port`")?);
            }
        }
        "repositoryDependencies" => {
            for dependency in value.as_array().ok_or("`repositoryDependencies` must be a list")? {
                let written = dependency.as_str().ok_or("`repositoryDependencies` must be a list of text")?;
                recipe.beside.push(beside(written)?);
            }
        }
        "user" => recipe.notes.push(".cursor/environment.json: `user` is not honoured: commands run as `agent`.".into()),
        "snapshot" => recipe.notes.push(
            ".cursor/environment.json: `snapshot` is kept by Cursor and cannot be read here; say with `build` what it contains.".into(),
        ),
        other => recipe.notes.push(format!(".cursor/environment.json: `{other}` is not honoured: hangar does not know it.")),
    }
    Ok(())
}

fn script(key: &str, script: &str) -> Option<Step> {
    (!script.trim().is_empty()).then(|| Step::plain(key, script))
}

fn dockerfile(value: &Value) -> Result<BaseChoice, String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let dockerfile = text("dockerfile").ok_or("`build` must have a `dockerfile`")?;
    let context = text("context").unwrap_or(".");
    Ok(BaseChoice::Dockerfile {
        path: inside("build.dockerfile", &format!("{FOLDER}/{dockerfile}"))?,
        context: inside("build.context", &format!("{FOLDER}/{context}"))?,
        target: String::new(),
        args: BTreeMap::new(),
    })
}

/// A terminal runs the app beside the agent: here it is a service without a health check.
fn service(terminal: &Value, number: usize) -> Result<Service, String> {
    let text = |key: &str| terminal.get(key).and_then(Value::as_str);
    let command = text("command").ok_or("each of `terminals` must have a `command`")?;
    let name = text("name").unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = name.trim_matches('-').to_owned();
    let name = if name.is_empty() { format!("terminal-{number}") } else { name };
    Ok(Service {
        run: Step::plain(format!("{name}: run"), command),
        name,
        prepare: None,
        setup: None,
        seed: None,
        health: Health::Running,
        ready_seconds_max: 60,
        stop: None,
        restart: Restart::Never,
    })
}

/// `github.com/owner/name`, with or without a scheme.
fn beside(written: &str) -> Result<Beside, String> {
    let path = written.trim_start_matches("https://").trim_end_matches(".git");
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let repo: RepoPath =
        format!("{owner}/{name}").parse().map_err(|refusal: hangar_protocol::Refusal| refusal.to_string())?;
    Ok(Beside { name: repo.name().to_owned(), repo, branch: String::new() })
}
