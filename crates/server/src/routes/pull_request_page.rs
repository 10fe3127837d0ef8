//! What the page of a pull request shows, gathered from the forge.

use hangar_forge::{
    CheckProgress, CheckRun, Diff, FileStatus, LocalForge, Mergeability, Patch, Pull, PullState, Review, ReviewState,
    Status, newest_by_context,
};
use hangar_protocol::{
    SessionState,
    api::{CheckInfo, CommitInfo, FileDiff, PullRequestView, ReviewInfo, SessionDiff},
    state::PullRequestState,
};

use super::{pull_request::status, repos::forge_path};
use crate::answer::Answer;

/// Commits shown.
const COMMITS_MAX: usize = 250;
/// Reviews shown, the newest.
const REVIEWS_MAX: usize = 100;
/// Checks shown.
const CHECKS_MAX: usize = 100;

/// Everything the page shows.
pub(super) async fn view(forge: &LocalForge, session: &SessionState, pull: &Pull) -> Answer<PullRequestView> {
    let path = forge_path(&session.repo)?;
    let mergeable = match &pull.state {
        PullState::Open => {
            let found = forge.mergeability(&path, &pull.base.1, &pull.head.1).await?;
            Some(matches!(found, Mergeability::Clean { .. }))
        }
        PullState::Closed { .. } | PullState::Merged { .. } => Some(false),
    };
    let commits = forge.pull_commits(&path, pull).await?;
    let reviews = forge.reviews(&path, pull.number).await?;
    let runs = forge.check_runs(&path, &pull.head.1).await?;
    let reported = forge.statuses(&path, &pull.head.1).await?;
    let statuses = newest_by_context(&reported).into_iter().map(status_info);
    Ok(PullRequestView {
        state: with_reviews(session, pull, &reviews)?,
        body: pull.body.clone().unwrap_or_default(),
        head_branch: pull.head.0.to_string(),
        base_branch: pull.base.0.to_string(),
        mergeable,
        commits: commits.into_iter().take(COMMITS_MAX).map(commit_info).collect(),
        reviews: reviews.iter().skip(reviews.len().saturating_sub(REVIEWS_MAX)).map(review_info).collect(),
        checks: runs.iter().map(run_info).chain(statuses).take(CHECKS_MAX).collect(),
        diff: session_diff(forge.pull_diff(&path, pull).await?),
    })
}

/// Number, state, author, address.
pub(super) async fn state(forge: &LocalForge, session: &SessionState, pull: &Pull) -> Answer<PullRequestState> {
    let reviews = forge.reviews(&forge_path(&session.repo)?, pull.number).await?;
    with_reviews(session, pull, &reviews)
}

fn with_reviews(session: &SessionState, pull: &Pull, reviews: &[Review]) -> Answer<PullRequestState> {
    let (status, merge_commit) = status(pull);
    Ok(PullRequestState {
        number: u32::try_from(pull.number).unwrap_or(u32::MAX),
        title: pull.title.clone(),
        author: pull.author.login.parse()?,
        url: format!("/s/{}/pull-request", session.id),
        status,
        merge_commit,
        approved_by: approvers(reviews),
    })
}

/// Who approved and has not asked for changes since. A comment takes nothing back.
fn approvers(reviews: &[Review]) -> Vec<String> {
    let mut approved: Vec<String> = Vec::new();
    for review in reviews {
        match review.state {
            ReviewState::Approved if !approved.contains(&review.by.login) => approved.push(review.by.login.clone()),
            ReviewState::ChangesRequested => approved.retain(|login| *login != review.by.login),
            ReviewState::Approved | ReviewState::Commented => {}
        }
    }
    approved
}

fn commit_info(commit: hangar_forge::Commit) -> CommitInfo {
    CommitInfo {
        sha: commit.id.to_string(),
        message: commit.message,
        author_name: commit.author.name,
        author_email: commit.author.email,
    }
}

fn review_info(review: &Review) -> ReviewInfo {
    ReviewInfo { by: review.by.login.clone(), verdict: review.state.word().to_owned(), body: review.body.clone() }
}

fn run_info(run: &CheckRun) -> CheckInfo {
    let status = match &run.progress {
        CheckProgress::Queued => "queued",
        CheckProgress::InProgress => "in_progress",
        CheckProgress::Completed { conclusion, .. } => conclusion.word(),
    };
    CheckInfo { name: run.name.clone(), status: status.to_owned() }
}

fn status_info(status: &Status) -> CheckInfo {
    CheckInfo { name: status.context.clone(), status: status.state.word().to_owned() }
}

fn session_diff(diff: Diff) -> SessionDiff {
    let shown = diff.files.len() as u64;
    SessionDiff {
        omitted: u32::try_from(diff.changed_files.saturating_sub(shown)).unwrap_or(u32::MAX),
        files: diff.files.into_iter().map(file_diff).collect(),
    }
}

fn file_diff(file: hangar_forge::FileDiff) -> FileDiff {
    let status = match file.status {
        FileStatus::Added | FileStatus::Copied => "added",
        FileStatus::Removed => "removed",
        FileStatus::Modified | FileStatus::Changed => "modified",
        FileStatus::Renamed => "renamed",
    };
    FileDiff {
        path: file.path,
        old_path: file.previous_path,
        status: status.to_owned(),
        additions: u32::try_from(file.additions).unwrap_or(u32::MAX),
        deletions: u32::try_from(file.deletions).unwrap_or(u32::MAX),
        patch: match file.patch {
            Patch::Text(text) => Some(text),
            Patch::Empty => Some(String::new()),
            Patch::Binary | Patch::TooLarge => None,
        },
    }
}
