//! A client of GitHub's REST API, built on octocrab, whose structs take only what hangar needs and so tolerate whatever else a
//! server sends or leaves out. The local forge speaks the same API, so this is the one way in which hangar opens, reads,
//! reviews and merges pull requests, wherever they are.
//!
//! A request is always made as somebody: [`RestClient::as_user`] takes the token for the calls that follow.

mod shapes;

use std::time::Duration;

use octocrab::Octocrab;
use serde::de::DeserializeOwned;

use crate::checks::CheckState;
use crate::door::Token;
use crate::merge::MergeMethod;
use crate::names::{BranchName, CommitId, RepoPath};

pub use shapes::{
    Account, CommentInfo, FileInfo, MergeInfo, Permissions, PullInfo, PullWish, RepoInfo, ReviewInfo, Side, Verdict,
};

/// How long connecting may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one read of an answer may take.
const READ_TIME_MAX: Duration = Duration::from_secs(60);
/// Entries asked for per page of a list (GitHub's most).
const PER_PAGE: usize = 100;
/// Most pages that are read of one list.
const PAGES_MAX: usize = 30;

/// A server that speaks GitHub's REST API. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct RestClient {
    crab: Octocrab,
}

/// The same server, asked in somebody's name.
#[derive(Clone, Debug)]
pub struct UserClient {
    crab: Octocrab,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("the forge refused ({status}): {}", words(message, errors))]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's message.
        message: String,
        /// What exactly is wrong, in the server's words.
        errors: Vec<String>,
    },
    /// The server did not answer, or not in time.
    #[error("the forge cannot be reached: {0}")]
    Unreachable(String),
    /// The answer makes no sense.
    #[error("the forge gave an answer that is not understood: {0}")]
    Odd(String),
    /// The address or the token cannot be used at all.
    #[error("{0}")]
    Unusable(String),
}

fn words(message: &str, errors: &[String]) -> String {
    if errors.is_empty() { message.to_owned() } else { format!("{message}: {}", errors.join("; ")) }
}

/// What calls return.
pub type Answer<T> = std::result::Result<T, ClientError>;

impl RestClient {
    /// A client for an API: `https://api.github.com`, or `https://HOST/api/v3` for GitHub Enterprise Server and the local forge. Needs a
    /// tokio runtime.
    pub fn new(api_url: &str) -> Answer<Self> {
        let unusable =
            |error: octocrab::Error| ClientError::Unusable(format!("{api_url} cannot be used: {}", brief(&error)));
        let builder = Octocrab::builder().base_uri(api_url).map_err(unusable)?;
        let builder = builder.set_connect_timeout(Some(CONNECT_TIME_MAX)).set_read_timeout(Some(READ_TIME_MAX));
        Ok(Self { crab: builder.build().map_err(unusable)? })
    }

    /// The same server in somebody's name.
    pub fn as_user(&self, token: &Token) -> Answer<UserClient> {
        let crab = self.crab.user_access_token(token.reveal()).map_err(failed)?;
        Ok(UserClient { crab })
    }
}

impl UserClient {
    /// Whose token this is.
    pub async fn me(&self) -> Answer<Account> {
        self.get("/user").await
    }

    /// A repository, if the user may see it.
    pub async fn repo(&self, repo: &RepoPath) -> Answer<RepoInfo> {
        self.get(&format!("/repos/{repo}")).await
    }

    /// Opens a pull request.
    pub async fn create_pull(&self, repo: &RepoPath, wish: &PullWish) -> Answer<PullInfo> {
        self.crab.post(format!("/repos/{repo}/pulls"), Some(wish)).await.map_err(failed)
    }

    /// The open pull request of a branch, if there is one.
    pub async fn open_pull_of(&self, repo: &RepoPath, head: &BranchName) -> Answer<Option<PullInfo>> {
        let head = in_query(&format!("{}:{head}", repo.owner));
        let found: Vec<PullInfo> = self.get(&format!("/repos/{repo}/pulls?state=open&head={head}")).await?;
        Ok(found.into_iter().next())
    }

    /// A pull request.
    pub async fn pull(&self, repo: &RepoPath, number: u64) -> Answer<PullInfo> {
        self.get(&format!("/repos/{repo}/pulls/{number}")).await
    }

    /// All pull requests, newest first.
    pub async fn pulls(&self, repo: &RepoPath) -> Answer<Vec<PullInfo>> {
        self.list(&format!("/repos/{repo}/pulls?state=all")).await
    }

    /// Closes a pull request without a merge.
    pub async fn close_pull(&self, repo: &RepoPath, number: u64) -> Answer<PullInfo> {
        self.patch_pull(repo, number, serde_json::json!({"state": "closed"})).await
    }

    /// Gives a pull request another title and body.
    pub async fn edit_pull(&self, repo: &RepoPath, number: u64, title: &str, body: &str) -> Answer<PullInfo> {
        self.patch_pull(repo, number, serde_json::json!({"title": title, "body": body})).await
    }

    async fn patch_pull(&self, repo: &RepoPath, number: u64, body: serde_json::Value) -> Answer<PullInfo> {
        self.crab.patch(format!("/repos/{repo}/pulls/{number}"), Some(&body)).await.map_err(failed)
    }

    /// The files that a pull request changes.
    pub async fn pull_files(&self, repo: &RepoPath, number: u64) -> Answer<Vec<FileInfo>> {
        self.list(&format!("/repos/{repo}/pulls/{number}/files?")).await
    }

    /// Merges a pull request if its head is still the given commit.
    pub async fn merge(&self, repo: &RepoPath, number: u64, method: MergeMethod, head: &CommitId) -> Answer<MergeInfo> {
        let word = match method {
            MergeMethod::Merge => "merge",
            MergeMethod::Squash => "squash",
        };
        let body = serde_json::json!({"merge_method": word, "sha": head});
        self.crab.put(format!("/repos/{repo}/pulls/{number}/merge"), Some(&body)).await.map_err(failed)
    }

    /// Gives a review.
    pub async fn review(&self, repo: &RepoPath, number: u64, verdict: Verdict, body: &str) -> Answer<ReviewInfo> {
        let body = serde_json::json!({"event": verdict, "body": body});
        self.crab.post(format!("/repos/{repo}/pulls/{number}/reviews"), Some(&body)).await.map_err(failed)
    }

    /// The reviews of a pull request, oldest first.
    pub async fn reviews(&self, repo: &RepoPath, number: u64) -> Answer<Vec<ReviewInfo>> {
        self.list(&format!("/repos/{repo}/pulls/{number}/reviews?")).await
    }

    /// Writes a comment on a pull request.
    pub async fn comment(&self, repo: &RepoPath, number: u64, body: &str) -> Answer<CommentInfo> {
        let body = serde_json::json!({ "body": body });
        self.crab.post(format!("/repos/{repo}/issues/{number}/comments"), Some(&body)).await.map_err(failed)
    }

    /// The comments of a pull request, oldest first.
    pub async fn comments(&self, repo: &RepoPath, number: u64) -> Answer<Vec<CommentInfo>> {
        self.list(&format!("/repos/{repo}/issues/{number}/comments?")).await
    }

    /// Reports a status of a commit.
    pub async fn set_status(
        &self,
        repo: &RepoPath,
        commit: &CommitId,
        context: &str,
        state: CheckState,
        description: &str,
    ) -> Answer<()> {
        let body = serde_json::json!({"state": state, "context": context, "description": description});
        let _: serde_json::Value =
            self.crab.post(format!("/repos/{repo}/statuses/{commit}"), Some(&body)).await.map_err(failed)?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, route: &str) -> Answer<T> {
        self.crab.get(route, None::<&()>).await.map_err(failed)
    }

    /// Reads a list page by page. The route ends with a query, be it empty.
    async fn list<T: DeserializeOwned>(&self, route: &str) -> Answer<Vec<T>> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let found: Vec<T> = self.get(&format!("{route}&per_page={PER_PAGE}&page={page}")).await?;
            let last = found.len() < PER_PAGE;
            all.extend(found);
            if last {
                break;
            }
        }
        Ok(all)
    }
}

fn in_query(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':' | b'/');
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn failed(error: octocrab::Error) -> ClientError {
    match error {
        octocrab::Error::GitHub { source, .. } => ClientError::Refused {
            status: source.status_code.as_u16(),
            message: source.message.clone(),
            errors: source.errors.iter().flatten().map(one_error).collect(),
        },
        octocrab::Error::Serde { .. } | octocrab::Error::Json { .. } | octocrab::Error::InvalidUtf8 { .. } => {
            ClientError::Odd(brief(&error))
        }
        octocrab::Error::InvalidHeaderValue { .. }
        | octocrab::Error::Http { .. }
        | octocrab::Error::Uri { .. }
        | octocrab::Error::UriParse { .. } => ClientError::Unusable(brief(&error)),
        // octocrab's list is open; everything else happens on the way.
        _ => ClientError::Unreachable(brief(&error)),
    }
}

/// An entry of `errors`: a text, or an object with a message or at least a field and a code.
fn one_error(error: &serde_json::Value) -> String {
    let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str);
    match (error.as_str(), text("message"), text("field"), text("code")) {
        (Some(words), ..) | (None, Some(words), ..) => words.to_owned(),
        (None, None, Some(field), Some(code)) => format!("{field}: {code}"),
        (None, None, ..) => error.to_string(),
    }
}

/// The innermost cause, on one line: octocrab's own texts carry a backtrace.
fn brief(error: &octocrab::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}
