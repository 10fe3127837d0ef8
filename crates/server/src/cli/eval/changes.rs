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
