//! AGENTS.md and skills: how a repository wants to be worked on.
//!
//! The first request leaves before there is a sandbox to read from, so instructions ride on the result of the first call
//! that reaches the workspace, and those of a deeper directory on the first call that names a path below it. The last line
//! of such a result names the files; it is how a conversation knows, after any restart, what its model has been given.

use crate::{
    limits,
    workspace::{SandboxPath, Workspace, WorkspaceError},
};

mod skills;

/// Names looked for in a directory; the first that exists counts.
const NAMES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];
const GIVEN: &str = "[project instructions given: ";
const SEPARATOR: &str = ", ";

/// The instruction files that a result carries, by the line it ends with.
pub(crate) fn given_in(output: &str) -> Vec<String> {
    let last = output.lines().next_back().unwrap_or_default();
    match last.strip_prefix(GIVEN).and_then(|rest| rest.strip_suffix(']')) {
        Some(paths) => paths.split(SEPARATOR).map(str::to_owned).collect(),
        None => Vec::new(),
    }
}

/// Directories whose instructions hold for a path below the repository's root, the root first.
pub(crate) fn directories(path: &SandboxPath) -> Vec<String> {
    let mut directories = vec![String::new()];
    let below = path.below_workspace().unwrap_or_default();
    directories.extend(below.match_indices('/').map(|(end, _)| below[..end].to_owned()));
    directories
}

/// An instruction file.
pub(crate) struct Instructions {
    path: String,
    text: String,
}

/// What a directory has: its instruction file, and at the root the list of skills.
pub(crate) async fn of_directory(
    workspace: &dyn Workspace,
    directory: &str,
) -> Result<Vec<Instructions>, WorkspaceError> {
    let mut found: Vec<Instructions> = file_of(workspace, directory).await?.into_iter().collect();
    if directory.is_empty()
        && let Some(text) = skills::listed(workspace).await?
    {
        found.push(Instructions { path: skills::NAME.to_owned(), text });
    }
    Ok(found)
}

async fn file_of(workspace: &dyn Workspace, directory: &str) -> Result<Option<Instructions>, WorkspaceError> {
    for name in NAMES {
        let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        let Ok(file) = SandboxPath::parse(&path) else { continue };
        match workspace.read(&file, 0, limits::INSTRUCTIONS_BYTES_MAX as u64).await {
            Ok(content) => {
                let mut text = String::from_utf8_lossy(&content.bytes).into_owned();
                if content.size > content.bytes.len() as u64 {
                    text.push_str("\n[… the rest of this file is left out: read it if you need it]");
                }
                return Ok(Some(Instructions { path, text }));
            }
            Err(WorkspaceError::Failed(_)) => {}
            Err(lost @ WorkspaceError::Lost(_)) => return Err(lost),
        }
    }
    Ok(None)
}

/// A result with instructions at its end.
pub(crate) fn append(output: &mut String, found: &[Instructions]) {
    if found.is_empty() {
        return;
    }
    for Instructions { path, text } in found {
        output.push_str(&format!(
            "\n\n<project-instructions file=\"{path}\">\n{}\n</project-instructions>",
            text.trim_end()
        ));
    }
    let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
    output.push_str(&format!("\n{GIVEN}{}]", paths.join(SEPARATOR)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_read_back_from_the_result() {
        let mut output = "done".to_owned();
        let file = |path: &str| Instructions { path: path.into(), text: "Be kind.\n".into() };
        append(&mut output, &[file("AGENTS.md"), file("src/AGENTS.md")]);
        assert_eq!(given_in(&output), ["AGENTS.md", "src/AGENTS.md"]);
        assert!(given_in("done").is_empty());
    }

    #[test]
    fn nested_directories_are_asked_from_the_root_down() {
        let of = |path: &str| directories(&SandboxPath::parse(path).unwrap());
        assert_eq!(of("a/b/c.rs"), ["", "a", "a/b"]);
        assert_eq!(of("c.rs"), [""]);
        assert_eq!(of("/etc/passwd"), [""]);
    }
}
