//! Skills: files `SKILL.md` that say how something is done (<https://agentskills.io/specification>). The model is told their names and
//! descriptions, and reads the file of one when it needs it.

use hangar_protocol::{guest::FileKind, limits::clip};

use crate::{
    limits,
    workspace::{SandboxPath, Workspace, WorkspaceError},
};

/// What the list is called among the instruction files. A file of this name would be no instruction file.
pub(super) const NAME: &str = "skills";
/// Where skills are, a folder each; the first that has a name counts.
const FOLDERS: [&str; 2] = [".agents/skills", ".claude/skills"];
/// How much of a file is read for its head.
const HEAD_BYTES_MAX: u64 = 8 * 1024;
/// How much of a description is told.
const DESCRIPTION_CHARS_MAX: usize = 300;
/// What stands before the list.
const BEFORE: &str = "Skills of this repository. Before work that one of them is for, read its file and follow it:";

/// A skill, as its file's head names it.
#[derive(Debug, PartialEq)]
struct Skill {
    name: String,
    description: String,
}

/// The list of a repository's skills, where it has any.
pub(super) async fn listed(workspace: &dyn Workspace) -> Result<Option<String>, WorkspaceError> {
    let mut names: Vec<String> = Vec::new();
    let mut lines = vec![BEFORE.to_owned()];
    for folder in FOLDERS {
        for path in files(workspace, folder).await? {
            if names.len() == limits::SKILLS_MAX {
                lines.push(format!("[… at most {} are listed; the rest is in {folder}]", limits::SKILLS_MAX));
                return Ok(Some(lines.join("\n")));
            }
            let Some(skill) = head_of(workspace, &path).await? else { continue };
            if !names.contains(&skill.name) {
                lines.push(format!("- {}: {} ({path})", skill.name, skill.description));
                names.push(skill.name);
            }
        }
    }
    Ok((!names.is_empty()).then(|| lines.join("\n")))
}

/// The files that may be skills, sorted by their folder's name.
async fn files(workspace: &dyn Workspace, folder: &str) -> Result<Vec<String>, WorkspaceError> {
    let Ok(path) = SandboxPath::parse(folder) else { return Ok(Vec::new()) };
    let limit = u32::try_from(limits::SKILLS_MAX + 1).unwrap_or(u32::MAX);
    match workspace.list(&path, limit).await {
        Ok(listing) => Ok(listing
            .entries
            .into_iter()
            .filter(|entry| matches!(entry.kind, FileKind::Directory | FileKind::Symlink))
            .map(|entry| format!("{folder}/{}/SKILL.md", entry.name))
            .collect()),
        Err(WorkspaceError::Failed(_)) => Ok(Vec::new()),
        Err(lost @ WorkspaceError::Lost(_)) => Err(lost),
    }
}

async fn head_of(workspace: &dyn Workspace, path: &str) -> Result<Option<Skill>, WorkspaceError> {
    let Ok(file) = SandboxPath::parse(path) else { return Ok(None) };
    match workspace.read(&file, 0, HEAD_BYTES_MAX).await {
        Ok(content) => Ok(parse(&String::from_utf8_lossy(&content.bytes))),
        Err(WorkspaceError::Failed(_)) => Ok(None),
        Err(lost @ WorkspaceError::Lost(_)) => Err(lost),
    }
}

/// Reads the head of a skill: a few lines of YAML between two lines of dashes, of which two keys matter.
fn parse(text: &str) -> Option<Skill> {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let head: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let value = |key: &str| {
        let at = head.iter().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
        let first = head[at][key.len() + 1..].trim();
        // A value goes on in lines that stand further in, whether it says so (`>`, `|`) or not.
        let more = head[at + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
        let block = first.starts_with(['>', '|']);
        let words = (!block).then_some(first).into_iter().chain(more.map(|line| line.trim()));
        let joined = words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let bare = ['"', '\''].into_iter().find_map(|quote| joined.strip_prefix(quote)?.strip_suffix(quote));
        Some(bare.unwrap_or(&joined).to_owned()).filter(|value| !value.is_empty())
    };
    Some(Skill { name: value("name")?, description: clip(&value("description")?, DESCRIPTION_CHARS_MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_in_every_way_it_is_written() {
        let skill = |name: &str, description: &str| Some(Skill { name: name.into(), description: description.into() });
        let check = |text: &str, expect: Option<Skill>| assert_eq!(parse(text), expect, "{text}");
        check(
            "---\nname: pdf\ndescription: Fills forms: all of them.\n---\n# PDF",
            skill("pdf", "Fills forms: all of them."),
        );
        check("---\nname: 'a'\ndescription: \"b\"\nlicense: MIT\n---", skill("a", "b"));
        check("---\ndescription: >-\n  One\n  two.\nmetadata:\n  name: wrong\nname: a\n---", skill("a", "One two."));
        check("---\nname: a\ndescription: One\n  two.\n---", skill("a", "One two."));
        check("---\nname: a\n---\ndescription: below", None);
        check("# No head\nname: a\ndescription: b", None);
        check("", None);
        let long = format!("---\nname: a\ndescription: {}\n---", "x".repeat(2_000));
        assert_eq!(parse(&long).unwrap().description.chars().count(), DESCRIPTION_CHARS_MAX + 1);
    }
}
