//! A task: what is asked of the agent, in which package, and how its work is checked. `docs/eval.md` has the format.

use std::{collections::BTreeMap, fs, path::Path};

use hangar_protocol::{Refusal, RefusalCode};
use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};

/// Longest that a check may take: what a hook of a repository may, less what it takes to set it up.
pub(super) const CHECK_S_MAX: u32 = 270;
/// A task's name is the name of its folder.
const NAME_CHARS_MAX: usize = 60;
/// Its description, in its folder.
const ABOUT: &str = "task.toml";
/// The program that checks, in its folder.
pub(super) const CHECK: &str = "check.sh";

/// The tasks that come with hangar.
#[derive(RustEmbed)]
#[folder = "../../evals"]
#[allow_missing = true]
struct Shipped;

/// One task, with all its files.
#[derive(Debug)]
pub(super) struct Task {
    /// The name of its folder.
    pub(super) name: String,
    /// What stands in `task.toml`.
    pub(super) about: About,
    /// Its other files by their path in its folder.
    files: BTreeMap<String, Vec<u8>>,
}

/// `task.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// What kind of work it is, in one or two words.
    pub(super) kind: String,
    /// What the agent is asked.
    pub(super) wish: String,
    /// What the work is done on.
    pub(super) package: Package,
    /// Files of the package that are not brought in: paths, or folders with a `/` at their end.
    #[serde(default)]
    pub(super) without: Vec<String>,
    /// Which of the agent's changes count, likewise. Everything else of the package is checked as it was.
    pub(super) result: Vec<String>,
    /// How long the check may take.
    #[serde(default = "usual_check_s")]
    pub(super) check_s: u32,
}

fn usual_check_s() -> u32 {
    120
}

/// A published package.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Package {
    /// Where it was published.
    pub(super) registry: Registry,
    /// Its name there.
    pub(super) name: String,
    /// The exact version.
    pub(super) version: String,
    /// SHA-256 of the published file, in hex.
    pub(super) sha256: String,
    /// Its licence, as SPDX has it.
    pub(super) license: String,
}

/// Where packages are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Registry {
    /// crates.io: the `.crate`.
    #[serde(rename = "crates.io")]
    CratesIo,
    /// PyPI: the wheel.
    #[serde(rename = "pypi")]
    Pypi,
    /// npm: the tarball.
    #[serde(rename = "npm")]
    Npm,
}

impl Task {
    /// A file of its folder.
    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The files below a folder of it, by their path there.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let inside = move |path: &'_ str| path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some();
        let cut = folder.len() + 1;
        self.files.iter().filter(move |(path, _)| inside(path)).map(move |(path, file)| (&path[cut..], file.as_slice()))
    }

    /// Whether a path is part of what the agent may change.
    pub(super) fn counts(&self, path: &str) -> bool {
        self.about.result.iter().any(|entry| within(entry, path))
    }

    fn read(name: &str, mut files: BTreeMap<String, Vec<u8>>) -> Result<Self, Refusal> {
        let wrong = |what: String| Refusal::new(RefusalCode::BadRequest, format!("The task {name} {what}."), HINT);
        let text = files.remove(ABOUT).ok_or_else(|| wrong(format!("has no {ABOUT}")))?;
        let text = String::from_utf8(text).map_err(|_| wrong(format!("has a {ABOUT} that is not UTF-8")))?;
        let about: About = toml::from_str(&text).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
            return Err(wrong("has a name that is not small letters, digits and hyphens".to_owned()));
        }
        if !(1..=CHECK_S_MAX).contains(&about.check_s) {
            return Err(wrong(format!("has a check_s that is not 1 to {CHECK_S_MAX}")));
        }
        if about.wish.trim().is_empty() || about.result.is_empty() {
            return Err(wrong("has no wish, or no result".to_owned()));
        }
        if !files.contains_key(CHECK) {
            return Err(wrong(format!("has no {CHECK}")));
        }
        Ok(Self { name: name.to_owned(), about, files })
    }
}

const HINT: &str = "docs/eval.md says what a task is made of.";

/// Whether a path is the entry's, or below it where it ends with `/`.
pub(super) fn within(entry: &str, path: &str) -> bool {
    path == entry || (entry.ends_with('/') && path.starts_with(entry))
}

/// The tasks by name: those of a folder, or those that come with hangar.
pub(super) fn tasks(folder: Option<&Path>) -> Result<Vec<Task>, Refusal> {
    let files = match folder {
        Some(folder) => read_folder(folder).map_err(|error| {
            let message = format!("The tasks in {} cannot be read: {error}.", folder.display());
            Refusal::new(RefusalCode::BadRequest, message, HINT)
        })?,
        None => Shipped::iter()
            .filter_map(|path| Shipped::get(&path).map(|file| (path.into_owned(), file.data.into_owned())))
            .collect(),
    };
    let mut by_task: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (path, file) in files {
        // What lies beside the folders is for whoever reads them.
        if let Some((task, rest)) = path.split_once('/') {
            by_task.entry(task.to_owned()).or_default().insert(rest.to_owned(), file);
        }
    }
    by_task.into_iter().map(|(name, files)| Task::read(&name, files)).collect()
}

fn read_folder(folder: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(place) = left.pop() {
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else if let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) {
                found.push((name.to_owned(), fs::read(&path)?));
            }
        }
    }
    Ok(found)
}

/// Those that were named, in that order; all of them where none was.
pub(super) fn chosen(tasks: Vec<Task>, named: &[String]) -> Result<Vec<Task>, Refusal> {
    if let Some(unknown) = named.iter().find(|name| !tasks.iter().any(|task| task.name == **name)) {
        let known: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
        let message = format!("There is no task {unknown:?}.");
        return Err(Refusal::new(RefusalCode::NotFound, message, format!("There are: {}.", known.join(", "))));
    }
    Ok(tasks.into_iter().filter(|task| named.is_empty() || named.contains(&task.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kind = \"fix\"\nwish = \"Mend it.\"\nresult = [\"src/\", \"README.md\"]\n\
        [package]\nregistry = \"npm\"\nname = \"ms\"\nversion = \"2.1.3\"\nsha256 = \"00\"\nlicense = \"MIT\"\n";

    fn task(about: &str) -> Result<Task, Refusal> {
        let files = [(ABOUT, about), (CHECK, "true"), ("check/test/a.js", "1"), ("checks.txt", "2")];
        Task::read("a-task", files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into())
    }

    #[test]
    fn a_task_says_what_counts_and_what_is_put_over_it() {
        let task = task(GOOD).unwrap();
        for (path, counts) in [("src/a/b.js", true), ("README.md", true), ("README.md2", false), ("srcs/a", false)] {
            assert_eq!(task.counts(path), counts, "{path}");
        }
        assert_eq!(task.below("check").collect::<Vec<_>>(), [("test/a.js", "1".as_bytes())]);
    }

    #[test]
    fn what_is_no_task_is_refused_with_its_name() {
        for (wrong, told) in [
            (GOOD.replace("kind", "sort"), "unknown field"),
            (GOOD.replace("kind", "check_s = 600\nkind"), "check_s"),
            (GOOD.replace("[\"src/\", \"README.md\"]", "[]"), "no result"),
        ] {
            let refusal = task(&wrong).unwrap_err();
            assert!(refusal.message.starts_with("The task a-task ") && refusal.message.contains(told), "{refusal}");
        }
        let refusal = chosen(vec![task(GOOD).unwrap()], &["other".to_owned()]).unwrap_err();
        assert_eq!((refusal.code, refusal.hint.as_str()), (RefusalCode::NotFound, "There are: a-task."));
    }

    #[test]
    fn the_tasks_that_come_with_hangar_are_whole() {
        let tasks = tasks(None).unwrap();
        assert_eq!(tasks.len(), 20);
        for task in &tasks {
            let package = &task.about.package;
            assert!(task.file("recording.json").is_some(), "{} has no recording", task.name);
            assert!(package.sha256.len() == 64 && !package.license.is_empty(), "{}", task.name);
        }
    }
}
