//! Versions of tools that a repository asks for, installed by mise where the base has it.

use super::{Files, Recipe, Step};

/// Files that mise reads.
const MISE: &[&str] = &["mise.toml", ".mise.toml", ".tool-versions", ".config/mise.toml"];

/// Adds what installs the repository's tools, before every other step.
pub(super) fn add(files: &Files, recipe: &mut Recipe) {
    let Some(file) = MISE.iter().find(|path| files.has(path)) else { return };
    let script = format!(
        "if command -v mise >/dev/null; then mise trust --yes --quiet && mise install --yes\n\
         else echo 'hangar: the base has no mise, so the versions in {file} are not installed; what the base has is used' >&2; fi"
    );
    recipe.setup.insert(0, Step::strict(format!("tools of {file}"), script));
    recipe.notes.push(format!("The tools of {file} are installed by mise if the base has it."));
    shims(recipe);
}

/// A step that installs one tool for all of the sandbox.
pub(super) fn wanted(tool: &str, version: &str) -> Step {
    let script = format!(
        "if command -v mise >/dev/null; then mise use --global --yes {tool}@{version}\n\
         else echo 'hangar: the base has no mise, so {tool} {version} is not installed; what the base has is used' >&2; fi"
    );
    Step::strict(format!("{tool} {version}"), script)
}

/// What mise installs is found by every later command.
fn shims(recipe: &mut Recipe) {
    let path = recipe.env.entry("PATH".to_owned()).or_insert_with(|| "${PATH}".to_owned());
    *path = format!("/home/agent/.local/share/mise/shims:{path}");
}
