//! `.github/workflows/copilot-setup-steps.yml`: the steps of its one job that run a script.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Files, Recipe, RecipeError, STEPS_MAX, Step};

const PATHS: &[&str] = &[".github/workflows/copilot-setup-steps.yml", ".github/workflows/copilot-setup-steps.yaml"];
/// The job that GitHub looks for.
const JOB: &str = "copilot-setup-steps";
/// Actions that install a tool, the key that names its version, and how mise calls the tool.
const TOOLS: &[(&str, &str, &str)] = &[
    ("actions/setup-node", "node-version", "node"),
    ("actions/setup-python", "python-version", "python"),
    ("actions/setup-go", "go-version", "go"),
    ("actions/setup-java", "java-version", "java"),
    ("actions/setup-dotnet", "dotnet-version", "dotnet"),
    ("ruby/setup-ruby", "ruby-version", "ruby"),
    ("pnpm/action-setup", "version", "pnpm"),
    ("oven-sh/setup-bun", "bun-version", "bun"),
    ("astral-sh/setup-uv", "version", "uv"),
    ("denoland/setup-deno", "deno-version", "deno"),
    ("erlef/setup-beam", "elixir-version", "elixir"),
    ("dtolnay/rust-toolchain", "toolchain", "rust"),
    ("actions-rust-lang/setup-rust-toolchain", "toolchain", "rust"),
];
/// Actions whose work hangar has done already.
const DONE: &[&str] = &["actions/checkout", "actions/cache", "Swatinem/rust-cache"];

/// The workflow, as far as it matters. Workflows have many more keys, so unknown ones are no mistake.
#[derive(Deserialize)]
struct Workflow {
    #[serde(default)]
    env: BTreeMap<String, Value>,
    #[serde(default)]
    jobs: BTreeMap<String, Job>,
}

#[derive(Deserialize)]
struct Job {
    #[serde(default)]
    env: BTreeMap<String, Value>,
    #[serde(default)]
    steps: Vec<JobStep>,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    services: BTreeMap<String, Value>,
    container: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Defaults {
    #[serde(default)]
    run: RunDefaults,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RunDefaults {
    #[serde(default)]
    working_directory: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JobStep {
    name: Option<String>,
    run: Option<String>,
    uses: Option<String>,
    #[serde(default)]
    with: BTreeMap<String, Value>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    working_directory: Option<String>,
    timeout_minutes: Option<f64>,
    #[serde(rename = "if")]
    condition: Option<Value>,
    shell: Option<String>,
}

pub(super) fn read(files: &Files) -> Result<Option<Recipe>, RecipeError> {
    let Some(path) = PATHS.iter().copied().find(|path| files.has(path)) else { return Ok(None) };
    let Some(text) = files.deciding(path)? else { return Ok(None) };
    let refused = |line, message: String| RecipeError { file: path.to_owned(), line, message };
    let workflow: Workflow = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map(|location| usize::try_from(location.line()).unwrap_or(usize::MAX));
        refused(line, error.without_snippet().to_string())
    })?;
    let Workflow { env, mut jobs } = workflow;
    let job = jobs.remove(JOB).ok_or_else(|| refused(None, format!("there is no job `{JOB}`")))?;
    understood(path, env, job).map(Some).map_err(|message| refused(None, message))
}

fn understood(path: &str, env: BTreeMap<String, Value>, job: Job) -> Result<Recipe, String> {
    let mut recipe = Recipe::empty(path);
    if job.steps.len() > STEPS_MAX {
        return Err(format!("there are {} steps; at most {STEPS_MAX} are run", job.steps.len()));
    }
    let mut both = env;
    both.extend(job.env);
    recipe.env = plain(both, &mut recipe.notes);
    for name in job.services.keys() {
        recipe.notes.push(format!(
            "The service `{name}` is a container and is not started; declare it in .hangar/environment.toml."
        ));
    }
    if job.container.is_some() {
        recipe.notes.push("`container` is not honoured; name the image as `base` in .hangar/environment.toml.".into());
    }
    for (at, step) in job.steps.into_iter().enumerate() {
        take(at, step, &job.defaults.run.working_directory, &mut recipe);
    }
    Ok(recipe)
}

fn take(at: usize, step: JobStep, directory: &str, recipe: &mut Recipe) {
    let name = step.name.unwrap_or_else(|| format!("step {}", at + 1));
    if let Some(uses) = step.uses {
        return action(&uses, &step.with, recipe);
    }
    let Some(script) = step.run else { return };
    if step.condition.is_some() {
        recipe.notes.push(format!("`{name}` has a condition (`if`); it is run in any case."));
    }
    if script.contains("${{") {
        recipe.notes.push(format!("`{name}` is skipped: it uses `${{{{ … }}}}`, which only GitHub fills in."));
        return;
    }
    if step.shell.as_deref().is_some_and(|shell| !matches!(shell, "bash" | "sh")) {
        recipe.notes.push(format!("`{name}` is skipped: its shell is neither bash nor sh."));
        return;
    }
    // GitHub runs scripts with `bash -e`.
    let mut run = Step::strict(name, script);
    run.directory = step.working_directory.unwrap_or_else(|| directory.to_owned());
    run.env = plain(step.env, &mut recipe.notes);
    if let Some(minutes) = step.timeout_minutes.filter(|minutes| (0.0..=360.0).contains(minutes)) {
        // In range, so nothing is cut off.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 21,600")]
        let seconds = (minutes * 60.0).ceil() as u32;
        run.seconds_max = seconds.max(1);
    }
    recipe.setup.push(run);
}

/// An action is not run; one that only installs a tool is as good as a line in mise.toml.
fn action(uses: &str, with: &BTreeMap<String, Value>, recipe: &mut Recipe) {
    let name = uses.split('@').next().unwrap_or(uses);
    if DONE.contains(&name) {
        return;
    }
    let Some((_, key, tool)) = TOOLS.iter().find(|(action, _, _)| *action == name) else {
        recipe.notes.push(format!(
            "`uses: {uses}` is skipped: hangar does not run actions; write what it does as a `run` step."
        ));
        return;
    };
    let version = with.get(*key).map(|version| version.as_str().map_or_else(|| version.to_string(), str::to_owned));
    let version = version.filter(|version| {
        !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
    });
    let version = version.unwrap_or_else(|| "latest".to_owned());
    recipe.setup.push(super::tools::wanted(tool, version.trim_end_matches(".x")));
}

/// Values as text, without those that only GitHub could fill in.
fn plain(env: BTreeMap<String, Value>, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in env {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.contains("${{") {
            notes.push(format!("The variable `{name}` is left out: its value is filled in by GitHub only."));
        } else {
            kept.insert(name, text);
        }
    }
    kept
}
