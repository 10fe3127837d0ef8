//! Python, by whatever keeps its dependencies.

use super::{Place, Project};

/// A virtual environment in the workspace that git does not see.
const VENV: &str = "python3 -m venv .venv && printf '*\\n' > .venv/.gitignore";

pub(super) fn python(place: Place<'_>) -> Option<Project> {
    let pyproject = place.text("pyproject.toml");
    let (setup, run) = if place.has("uv.lock") {
        (vec!["uv sync --frozen --all-groups".to_owned()], "uv run --frozen ")
    } else if place.has("poetry.lock") {
        (vec!["poetry install --no-interaction --no-ansi".to_owned()], "poetry run ")
    } else if place.has("pdm.lock") {
        (vec!["pdm sync --dev".to_owned()], "pdm run ")
    } else if place.has("Pipfile.lock") {
        (vec!["pipenv sync --dev".to_owned()], "pipenv run ")
    } else {
        let requirements = ["requirements.txt", "requirements-dev.txt", "dev-requirements.txt"];
        let listed: Vec<String> =
            requirements.iter().filter(|name| place.has(name)).map(|name| format!("--requirement {name}")).collect();
        let installable = pyproject.is_some_and(|text| text.contains("[build-system]")) || place.has("setup.py");
        let wanted = match (listed.is_empty(), installable) {
            (false, _) => Some(listed.join(" ")),
            (true, true) => Some("--editable .".to_owned()),
            (true, false) if pyproject.is_some_and(|text| text.contains("[project]")) => None,
            (true, false) => return None,
        };
        let install =
            wanted.map(|wanted| format!("{VENV}\n.venv/bin/pip install --disable-pip-version-check {wanted}"));
        let run = if install.is_some() { ".venv/bin/" } else { "" };
        (install.into_iter().collect(), run)
    };
    Some(Project { setup, warm: test(place, pyproject, run).into_iter().collect(), ..Project::default() })
}

/// How its tests are run: pytest where anything names it, else the library's own runner where there is a directory for it.
fn test(place: Place<'_>, pyproject: Option<&str>, run: &str) -> Option<String> {
    let texts = ["requirements.txt", "requirements-dev.txt", "dev-requirements.txt"].map(|name| place.text(name));
    let named = texts.iter().chain([&pyproject]).flatten().any(|text| text.contains("pytest"));
    if named || place.first(&["pytest.ini", "conftest.py", "tox.ini"]).is_some() {
        return Some(format!("{run}python -m pytest --quiet"));
    }
    let python = if run.is_empty() { "python3".to_owned() } else { format!("{run}python") };
    let directory = place.first(&["tests", "test"])?;
    Some(format!("{python} -m unittest discover --start-directory {directory}"))
}
