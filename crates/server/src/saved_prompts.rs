//! Prompts that a repository has ready: `.hangar/prompts/NAME.md`, and `.claude/commands/NAME.md` of those who have them.
//!
//! A prompt that begins with `/NAME` says what stands in that file at the session's commit, whoever sends it and from where. The words of the file are part of the
//! prompt in the log, so that everybody sees what was said.

use hangar_forge::{Content, EntryKind, ForgeError, LocalForge, Small};
use hangar_protocol::{Refusal, RefusalCode, RepoPath, api::SavedPrompt};
use hangar_session::forge_refusal;

/// Where they are; the first that has a name counts. Claude Code's come after the repository's own.
const FOLDERS: [&str; 2] = [".hangar/prompts", ".claude/commands"];
/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 32 * 1024;
/// So many are listed.
const LISTED_MAX: usize = 100;
/// Longest name.
const NAME_CHARS_MAX: usize = 60;
/// How much of a description is listed.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// What a person says who says `text` in a session on this repository that began at this commit.
///
/// # Errors
/// When the prompt that is named is too long to be one, or the forge cannot read it. A name that there is no prompt of is no error: paths begin with a slash, too.
pub(crate) async fn in_full(
    forge: &LocalForge,
    repo: &RepoPath,
    commit: &str,
    text: String,
) -> Result<String, Refusal> {
    let Some((name, arguments)) = named(&text) else { return Ok(text) };
    let paths = FOLDERS.map(|folder| format!("{folder}/{name}.md"));
    let found = files(forge, repo, commit, &paths).await.map_err(|error| forge_refusal(&error))?;
    match paths.iter().find_map(|path| found.iter().find(|small| small.entry.path == *path)) {
        None => Ok(text),
        Some(Small { entry, bytes: None }) => Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("{} is no file of at most {} KiB, and so no prompt.", entry.path, FILE_BYTES_MAX / 1024),
            "Shorten it, or write the prompt yourself.",
        )),
        Some(Small { bytes: Some(bytes), .. }) => {
            let file = String::from_utf8_lossy(bytes);
            Ok(format!("{}\n\n{}", text.trim(), Saved::parse(&file).said_with(arguments)))
        }
    }
}

/// Whether a text begins as one does that names a saved prompt.
pub(crate) fn may_be_one(text: &str) -> bool {
    named(text).is_some()
}

/// The prompts of a repository at a commit, by name.
///
/// # Errors
/// When the forge cannot read them.
pub(crate) async fn list(forge: &LocalForge, repo: &RepoPath, commit: &str) -> Result<Vec<SavedPrompt>, ForgeError> {
    let (path, at) = (repo.to_string().parse()?, commit.parse()?);
    let mut names: Vec<(String, String)> = Vec::new();
    for folder in FOLDERS {
        let entries = match forge.contents(&path, &at, folder).await {
            Ok(Content::Dir(entries)) => entries,
            Ok(Content::File(..)) | Err(ForgeError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
            let name = entry.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')?.strip_suffix(".md"));
            let Some(name) = name.filter(|name| is_name(name)) else { continue };
            if names.len() < LISTED_MAX && !names.iter().any(|(known, _)| known == name) {
                names.push((name.to_owned(), entry.path));
            }
        }
    }
    let paths: Vec<String> = names.iter().map(|(_, path)| path.clone()).collect();
    let found = files(forge, repo, commit, &paths).await?;
    let mut listed: Vec<SavedPrompt> = names
        .into_iter()
        .filter_map(|(name, path)| {
            let bytes = found.iter().find(|small| small.entry.path == path)?.bytes.as_ref()?;
            Some(Saved::parse(&String::from_utf8_lossy(bytes)).listed_as(name))
        })
        .collect();
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listed)
}

async fn files(forge: &LocalForge, repo: &RepoPath, commit: &str, paths: &[String]) -> Result<Vec<Small>, ForgeError> {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    forge.small_files(&repo.to_string().parse()?, &commit.parse()?, &paths, FILE_BYTES_MAX).await
}

/// The name that a text begins with, and what comes after it.
fn named(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim().strip_prefix('/')?;
    let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    is_name(name).then(|| (name, arguments.trim()))
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(fits)
}

/// A file, as Claude Code's users write them: a head between lines of dashes, where there is one, and the words.
#[derive(Debug, PartialEq)]
struct Saved<'a> {
    description: String,
    hint: Option<String>,
    words: &'a str,
}

impl<'a> Saved<'a> {
    fn parse(text: &'a str) -> Self {
        let (head, words) = match text.trim_start().strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")) {
            Some((head, words)) => (head, words.trim()),
            None => ("", text.trim()),
        };
        let value = |key: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?.trim();
            let bare = ['"', '\''].into_iter().find_map(|quote| line.strip_prefix(quote)?.strip_suffix(quote));
            Some(bare.unwrap_or(line).to_owned()).filter(|value| !value.is_empty())
        };
        let first_line = words.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
        Self {
            description: hangar_protocol::limits::clip(
                &value("description").unwrap_or_else(|| first_line.to_owned()),
                DESCRIPTION_CHARS_MAX,
            ),
            hint: value("argument-hint"),
            words,
        }
    }

    /// The words with `$ARGUMENTS` and `$1` to `$9` filled in; arguments that no place waits for come at the end.
    fn said_with(&self, arguments: &str) -> String {
        let each: Vec<&str> = arguments.split_whitespace().collect();
        let mut said = String::new();
        let mut rest = self.words;
        let mut filled = false;
        while let Some(at) = rest.find('$') {
            let (before, place) = rest.split_at(at);
            said.push_str(before);
            let number = place[1..].chars().next().and_then(|c| c.to_digit(10)).filter(|number| *number > 0);
            if let Some(after) = place.strip_prefix("$ARGUMENTS") {
                said.push_str(arguments);
                (rest, filled) = (after, true);
            } else if let Some(number) = number {
                said.push_str(each.get(number as usize - 1).copied().unwrap_or_default());
                (rest, filled) = (&place[2..], true);
            } else {
                said.push('$');
                rest = &place[1..];
            }
        }
        said.push_str(rest);
        if !filled && !arguments.is_empty() {
            said.push_str(&format!("\n\n{arguments}"));
        }
        said
    }

    fn listed_as(self, name: String) -> SavedPrompt {
        SavedPrompt { name, description: self.description, hint: self.hint }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use std::{fs, path::Path};

    use hangar_forge::{ForgeConfig, ImportSource, Limits, NewRepo, Signature};

    use super::*;

    #[test]
    fn what_begins_with_a_name_is_told_from_what_does_not() {
        assert_eq!(named("/review 12 now"), Some(("review", "12 now")));
        assert_eq!(named(" /fix-ci\nand more "), Some(("fix-ci", "and more")));
        for text in ["review", "/etc/hosts is wrong", "/", "/ review", "//", "/../up", "Say /review"] {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn arguments_stand_where_they_are_wanted() {
        let said = |words: &str, arguments: &str| Saved::parse(words).said_with(arguments);
        assert_eq!(said("Review #$1 for $2.\n", "12 speed"), "Review #12 for speed.");
        assert_eq!(said("Do: $ARGUMENTS!", "a b"), "Do: a b!");
        assert_eq!(said("It costs $5x and $0, $HOME.", ""), "It costs x and $0, $HOME.");
        assert_eq!(said("Mend it.", "at once"), "Mend it.\n\nat once");
        assert_eq!(said("$1 and $ARGUMENTS", "$2 x"), "$2 and $2 x", "what was filled in is not looked through again");
    }

    #[test]
    fn a_head_says_what_it_is_for_and_is_not_said() {
        let saved = Saved::parse("---\ndescription: \"Reviews\"\nargument-hint: [number]\n---\n\n# Review\nDo.\n");
        assert_eq!(
            saved,
            Saved { description: "Reviews".into(), hint: Some("[number]".into()), words: "# Review\nDo." }
        );
        assert_eq!(Saved::parse("# Review\nDo.").description, "Review");
    }

    async fn forge_of(root: &Path, files: &[(&str, &str)]) -> (LocalForge, RepoPath, String) {
        let source = root.join("source");
        for (name, text) in files {
            let path = source.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let forge = LocalForge::open(ForgeConfig { data_dir: root.join("forge"), limits: Limits::default() });
        let forge = forge.await.unwrap();
        let author = Signature { name: "Ann".into(), email: "ann@example.org".into() };
        let source = ImportSource::detect(source.to_str().unwrap(), author, "It begins".into());
        let new = NewRepo { path: "acme/app".parse().unwrap(), description: String::new() };
        let made = forge.import(new, source).await.unwrap();
        let commit = forge.branch_tip(&made.path, &made.default_branch).await.unwrap().to_string();
        (forge, "acme/app".parse().unwrap(), commit)
    }

    #[tokio::test]
    async fn a_repositorys_prompts_are_listed_and_said() {
        let root = tempfile::tempdir().unwrap();
        let long = "x".repeat(40 * 1024);
        let files = [
            (".hangar/prompts/review.md", "Review $1."),
            (".claude/commands/review.md", "Another one."),
            (".claude/commands/mend.md", "---\ndescription: Mends\n---\nMend it."),
            (".claude/commands/deep/inner.md", "Not at the top."),
            (".hangar/prompts/long.md", long.as_str()),
            (".hangar/prompts/bad name.md", "No name."),
        ];
        let (forge, repo, commit) = forge_of(root.path(), &files).await;
        let listed = list(&forge, &repo, &commit).await.unwrap();
        let names: Vec<&str> = listed.iter().map(|saved| saved.name.as_str()).collect();
        assert_eq!(names, ["mend", "review"], "what is too long cannot be said");
        let said = async |text: &str| in_full(&forge, &repo, &commit, text.to_owned()).await;
        assert_eq!(said("/review 7").await.unwrap(), "/review 7\n\nReview 7.");
        assert_eq!(said("/mend").await.unwrap(), "/mend\n\nMend it.");
        assert_eq!(said("/nothing here").await.unwrap(), "/nothing here");
        assert_eq!(said("review").await.unwrap(), "review");
        assert_eq!(said("/long").await.unwrap_err().code, RefusalCode::TooLarge);
    }

    #[tokio::test]
    async fn a_repository_without_prompts_has_none() {
        let root = tempfile::tempdir().unwrap();
        let (forge, repo, commit) = forge_of(root.path(), &[("README.md", "Hello.")]).await;
        assert!(list(&forge, &repo, &commit).await.unwrap().is_empty());
    }
}
