//! Guesses from lock files: how to fetch, build and test, for each kind of project, in the root and one level below it.

mod native;
mod node;
mod python;
mod scripted;

use super::{Files, Recipe, Step, files::joined};

/// Projects that are set up at most; a repository with more has a recipe of its own.
const PROJECTS_MAX: usize = 12;

/// One directory of the repository that may hold a project.
#[derive(Clone, Copy)]
struct Place<'a> {
    files: &'a Files,
    /// The root is empty.
    directory: &'a str,
}

impl<'a> Place<'a> {
    fn has(&self, name: &str) -> bool {
        self.files.has(&joined(self.directory, name))
    }

    fn first(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.has(name))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.files.text(&joined(self.directory, name))
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.files.names_in(self.directory)
    }
}

/// What was found out about a project.
#[derive(Default)]
struct Project {
    /// Fetches what it depends on.
    setup: Vec<String>,
    /// Builds it and runs its tests.
    warm: Vec<String>,
    /// Its members below are part of it: they are no projects of their own.
    whole: bool,
    env: Vec<(&'static str, &'static str)>,
}

/// Looks whether there is a project of one kind.
type Look = fn(Place<'_>) -> Option<Project>;

/// Every kind, in the order in which the projects of one directory are set up.
const KINDS: &[(&str, Look)] = &[
    ("cargo", native::cargo),
    ("go", native::go),
    ("node", node::node),
    ("deno", node::deno),
    ("python", python::python),
    ("ruby", scripted::ruby),
    ("php", scripted::php),
    ("maven", native::maven),
    ("gradle", native::gradle),
    ("dotnet", native::dotnet),
    ("elixir", scripted::elixir),
    ("swift", native::swift),
    ("dart", native::dart),
];

/// The recipe that lock files suggest; without steps where there are none.
pub(super) fn detect(files: &Files) -> Recipe {
    let mut recipe = Recipe::empty("lock files");
    let places = files.projects();
    let mut found = 0;
    for (kind, look) in KINDS {
        for directory in &places {
            let Some(project) = look(Place { files, directory }) else { continue };
            if found == PROJECTS_MAX {
                recipe.notes.push(format!(
                    "There are more than {PROJECTS_MAX} projects; the rest is not set up. Write .hangar/environment.toml to choose."
                ));
                return recipe;
            }
            found += 1;
            let whole = project.whole && directory.is_empty();
            add(&mut recipe, kind, directory, project);
            if whole {
                break;
            }
        }
    }
    if found == 0 {
        recipe.notes.push("No lock file was recognised; the image holds the clone alone.".into());
    }
    recipe
}

fn add(recipe: &mut Recipe, kind: &str, directory: &str, project: Project) {
    let name = |script: &str| if directory.is_empty() { script.to_owned() } else { format!("{directory}: {script}") };
    let step = |script: String| Step::strict(name(script.lines().next().unwrap_or(kind)), script).within(directory);
    recipe.setup.extend(project.setup.into_iter().map(step));
    recipe.warm.extend(project.warm.into_iter().map(step));
    recipe.env.extend(project.env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
}
