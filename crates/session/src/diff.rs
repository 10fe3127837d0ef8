//! What a session changed: git's own diff, made inside the sandbox, where the files are.

use hangar_forge::{Diff, FileStatus, Limits, Patch};
use hangar_protocol::{
    Refusal, RefusalCode, SessionState,
    api::{FileDiff, SessionDiff},
};

use crate::{forge_words::forge_refusal, home::Home};

/// Makes a scratch index that knows new files too, so that they are part of the diff and the work tree's own index stays as
/// it is. Its time is the index's own: by that git knows which files were changed within the second in which it was written, and looks into them.
const PREPARE: &str = "set -e\n\
    index=$(mktemp)\n\
    trap 'rm -f \"$index\"' EXIT\n\
    cp -p \"$(git rev-parse --git-path index)\" \"$index\"\n\
    export GIT_INDEX_FILE=\"$index\"\n\
    git add --all --intent-to-add . 2>/dev/null\n";
const OPTIONS: &str = "--no-color --no-ext-diff --no-textconv --find-renames --full-index --no-abbrev";

/// The difference between the commit the session started from and its files as they are now.
pub(crate) async fn of_workspace(home: &Home, state: &SessionState) -> Result<SessionDiff, Refusal> {
    let limits = Limits::default();
    let base = &state.base_commit;
    let summary =
        git(home, &format!("git diff --raw --numstat -z {OPTIONS} {base} --"), limits.output_bytes_max).await?;
    let patches = git(home, &format!("git diff --patch {OPTIONS} {base} --"), limits.diff_bytes_max).await?;
    let text = String::from_utf8_lossy(&patches.bytes);
    let diff = Diff::parse(&summary.bytes, &text, patches.cut, &limits).map_err(|error| forge_refusal(&error))?;
    Ok(from_forge(diff))
}

/// A forge's diff in the words of the API.
#[must_use]
pub fn from_forge(diff: Diff) -> SessionDiff {
    let omitted = diff.changed_files.saturating_sub(diff.files.len() as u64);
    SessionDiff {
        files: diff.files.into_iter().map(file_diff).collect(),
        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
    }
}

fn file_diff(file: hangar_forge::FileDiff) -> FileDiff {
    let status = match file.status {
        FileStatus::Added | FileStatus::Copied => "added",
        FileStatus::Removed => "removed",
        FileStatus::Modified | FileStatus::Changed => "modified",
        FileStatus::Renamed => "renamed",
    };
    let patch = match file.patch {
        Patch::Text(text) => Some(text),
        Patch::Empty => Some(String::new()),
        Patch::Binary | Patch::TooLarge => None,
    };
    FileDiff {
        path: file.path,
        old_path: file.previous_path,
        status: status.to_owned(),
        additions: u32::try_from(file.additions).unwrap_or(u32::MAX),
        deletions: u32::try_from(file.deletions).unwrap_or(u32::MAX),
        patch,
    }
}

/// What a git command printed.
struct Printed {
    bytes: Vec<u8>,
    cut: bool,
}

async fn git(home: &Home, command: &str, bytes_max: usize) -> Result<Printed, Refusal> {
    let ran = home.sandbox.run(&format!("{PREPARE}{command}"), Vec::new(), bytes_max).await?;
    if ran.ok || ran.cut {
        return Ok(Printed { bytes: ran.stdout, cut: ran.cut });
    }
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("Git cannot say what changed: {}", String::from_utf8_lossy(&ran.stderr).trim()),
        "Ask the agent to put the repository right.",
    ))
}
