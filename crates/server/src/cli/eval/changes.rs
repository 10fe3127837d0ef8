//! What a session changed, as a patch that git takes: only what counts for the task.

use hangar_protocol::api::{FileDiff, SessionDiff};

use super::task::Task;

/// The changes that count. Says why not where they cannot be taken over.
pub(super) fn patch(task: &Task, diff: &SessionDiff) -> Result<String, String> {
    if diff.omitted > 0 {
        return Err(format!("{} changed files are too many to be checked", diff.omitted as usize + diff.files.len()));
    }
    let counts =
        |file: &&FileDiff| task.counts(&file.path) && file.old_path.as_ref().is_none_or(|old| task.counts(old));
    diff.files.iter().filter(counts).map(section).collect()
}

/// A file's part, with the head that the API leaves out.
fn section(file: &FileDiff) -> Result<String, String> {
    let (path, old) = (&file.path, file.old_path.as_ref().unwrap_or(&file.path));
    // Git quotes them, in a way of its own.
    if [path, old].iter().any(|path| path.contains(['"', '\\']) || path.chars().any(char::is_control)) {
        return Err(format!("{path:?} is a name that cannot be checked"));
    }
    let Some(hunks) = &file.patch else { return Err(format!("{path} is too large to be checked, or is no text")) };
    let head = match file.status.as_str() {
        "added" => "new file mode 100644\n".to_owned(),
        "removed" => "deleted file mode 100644\n".to_owned(),
        "renamed" => format!("similarity index 50%\nrename from {old}\nrename to {path}\n"),
        _ => String::new(),
    };
    let lines = match file.status.as_str() {
        // A change of mode alone is none that a check could see.
        _ if hunks.is_empty() && head.is_empty() => return Ok(String::new()),
        _ if hunks.is_empty() => String::new(),
        "added" => format!("--- /dev/null\n+++ b/{path}\n{hunks}"),
        "removed" => format!("--- a/{path}\n+++ /dev/null\n{hunks}"),
        _ => format!("--- a/{old}\n+++ b/{path}\n{hunks}"),
    };
    let end = if lines.is_empty() || lines.ends_with('\n') { "" } else { "\n" };
    Ok(format!("diff --git a/{old} b/{path}\n{head}{lines}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::task::tasks;

    fn file(status: &str, path: &str, old: Option<&str>, patch: Option<&str>) -> FileDiff {
        let (path, old_path, patch) = (path.to_owned(), old.map(str::to_owned), patch.map(str::to_owned));
        FileDiff { path, old_path, status: status.to_owned(), additions: 1, deletions: 1, patch }
    }

    fn made(files: Vec<FileDiff>, omitted: u32) -> Result<String, String> {
        let all = tasks(None).unwrap();
        // What counts of it is `src/`.
        let task = all.iter().find(|task| task.name == "strsim-fix").unwrap();
        patch(task, &SessionDiff { files, omitted })
    }

    const HUNK: Option<&str> = Some("@@ -1 +1 @@\n-a\n+b\n");

    #[test]
    fn what_counts_becomes_a_patch_that_git_takes() {
        let files = vec![
            file("modified", "src/lib.rs", None, HUNK),
            file("added", "src/new.rs", None, Some("@@ -0,0 +1 @@\n+b")),
            file("added", "src/empty.rs", None, Some("")),
            file("removed", "src/old.rs", None, Some("@@ -1 +0,0 @@\n-a\n")),
            file("renamed", "src/b.rs", Some("src/a.rs"), Some("")),
            file("modified", "src/run.sh", None, Some("")),
            file("modified", "tests/lib.rs", None, HUNK),
            file("renamed", "src/stolen.rs", Some("tests/lib.rs"), HUNK),
            file("modified", "logo.png", None, None),
        ];
        let expected = "\
            diff --git a/src/lib.rs b/src/lib.rs\n--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1 +1 @@\n-a\n+b\n\
            diff --git a/src/new.rs b/src/new.rs\nnew file mode 100644\n--- /dev/null\n+++ b/src/new.rs\n@@ -0,0 +1 @@\n+b\n\
            diff --git a/src/empty.rs b/src/empty.rs\nnew file mode 100644\n\
            diff --git a/src/old.rs b/src/old.rs\ndeleted file mode 100644\n--- a/src/old.rs\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n\
            diff --git a/src/a.rs b/src/b.rs\nsimilarity index 50%\nrename from src/a.rs\nrename to src/b.rs\n";
        assert_eq!(made(files, 0).as_deref(), Ok(expected));
    }

    #[test]
    fn what_cannot_be_taken_over_is_said() {
        for (files, omitted, told) in [
            (vec![], 3, "too many"),
            (vec![file("modified", "src/a.png", None, None)], 0, "src/a.png is too large"),
            (vec![file("added", "src/\"a", None, HUNK)], 0, "cannot be checked"),
        ] {
            let why = made(files, omitted).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
    }
}
