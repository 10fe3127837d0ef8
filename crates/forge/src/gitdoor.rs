//! What the public face and the broker have in common: reading a git request, letting a push through, taking note of what it
//! moved.

use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::StreamReader;

use crate::backend::{Encoding, Service, Step, Upload, Wish, serve};
use crate::door::ForgeUser;
use crate::error::{ForgeError, Result};
use crate::local::LocalForge;
use crate::names::{BranchName, CommitId, RepoPath};
use crate::push::{Command, Head, HeadError, read_head, refusal};

/// How much of a refused push is read to its end, in bytes, so that git sees the refusal instead of a broken pipe.
const DRAIN_BYTES_MAX: u64 = 256 << 20;

/// A branch that a push moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) branch: BranchName,
    pub(crate) old: CommitId,
    pub(crate) new: CommitId,
}

/// A place that a request holds until its git has ended.
pub(crate) enum Place {
    /// Only that in the forge's own queue.
    Public,
    /// One of a sandbox's few.
    Sandbox { _permit: OwnedSemaphorePermit },
}

/// Takes note of branches that a push has moved.
pub(crate) type Note = Box<dyn FnOnce(Vec<Moved>) -> BoxFuture<'static, ()> + Send>;

/// Answers a clone or fetch, or the question which refs there are. `place` is given back when git has ended.
pub(crate) async fn fetch(forge: &LocalForge, wish: Wish<'_>, body: Body, place: Place) -> Result<Response<Body>> {
    serve(forge, wish, read_body(forge, body), Encoding::AsSent, Box::pin(async move { drop(place) })).await
}

/// A push whose list of refs has been read.
pub(crate) struct Push {
    pub(crate) head: Head,
    rest: Upload,
}

/// Reads the list of refs at the beginning of a push.
pub(crate) async fn open_push(forge: &LocalForge, headers: &HeaderMap, body: Body) -> Result<Push, HeadError> {
    let gzip =
        headers.get(header::CONTENT_ENCODING).is_some_and(|value| matches!(value.as_bytes(), b"gzip" | b"x-gzip"));
    let body = read_body(forge, body);
    let mut rest: Upload = if gzip { Box::pin(GzipDecoder::new(BufReader::new(body))) } else { body };
    let head = read_head(&mut rest, forge.limits().push_commands_max).await?;
    Ok(Push { head, rest })
}

impl Push {
    /// Refuses every ref of the push; stock git shows both texts.
    pub(crate) async fn refuse(self, reason: &str, words: &str) -> Response<Body> {
        let _ = tokio::io::copy(&mut self.rest.take(DRAIN_BYTES_MAX), &mut tokio::io::sink()).await;
        let mut response = Response::new(Body::from(refusal(&self.head, reason, words)));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-git-receive-pack-result"));
        response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
        response
    }

    /// Gives the push to git, then records what it moved and tells `note`.
    pub(crate) async fn accept(
        self,
        forge: &LocalForge,
        repo: &RepoPath,
        headers: &HeaderMap,
        by: ForgeUser,
        note: Note,
    ) -> Result<Response<Body>> {
        let upload: Upload = Box::pin(std::io::Cursor::new(self.head.raw).chain(self.rest));
        let wish =
            Wish { repo, service: Service::ReceivePack, step: Step::Exchange, headers, login: by.login.as_str() };
        let before = before(forge, repo, &self.head.commands).await;
        let after = after_push(forge.clone(), repo.clone(), before, by.clone(), note);
        serve(forge, wish, upload, Encoding::Plain, Box::pin(after)).await
    }
}

/// Where the branches of a push stand before it.
async fn before(forge: &LocalForge, repo: &RepoPath, commands: &[Command]) -> Vec<(BranchName, CommitId, CommitId)> {
    let mut found = Vec::new();
    for command in commands {
        if let Ok(branch) = BranchName::from_full_ref(&command.full_ref) {
            let old = forge.branch_tip(repo, &branch).await.unwrap_or_else(|_| CommitId::zero());
            found.push((branch, old, command.new.clone()));
        }
    }
    found
}

/// Looks which branches stand where the push wanted them.
async fn after_push(
    forge: LocalForge,
    repo: RepoPath,
    wanted: Vec<(BranchName, CommitId, CommitId)>,
    by: ForgeUser,
    note: Note,
) {
    let mut moved = Vec::new();
    for (branch, old, new) in wanted {
        let now = match forge.branch_tip(&repo, &branch).await {
            Ok(tip) => tip,
            Err(ForgeError::NoCommit { .. }) => CommitId::zero(),
            Err(error) => {
                tracing::error!(%repo, %branch, %error, "a push cannot be looked at");
                continue;
            }
        };
        if now == new && now != old {
            moved.push(Moved { branch, old, new });
        }
    }
    for moved in &moved {
        if let Err(error) = forge.after_ref_moved(&repo, &moved.branch, &moved.old, &moved.new, &by).await {
            tracing::error!(%repo, branch = %moved.branch, %error, "a push was not recorded; the next one or a restart will do it");
        }
    }
    note(moved).await;
}

/// A request's body, which breaks off when the client sends nothing for too long.
fn read_body(forge: &LocalForge, body: Body) -> Upload {
    let stall = forge.limits().stall_time_max;
    let stream = futures::stream::unfold(body.into_data_stream(), move |mut body| async move {
        let piece = match tokio::time::timeout(stall, body.next()).await {
            Ok(piece) => piece?.map_err(std::io::Error::other),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        Some((piece, body))
    });
    Box::pin(StreamReader::new(Box::pin(stream)))
}

/// Words for a person at a terminal: git shows the body of a refused `info/refs` as `remote: …` when it is plain text.
pub(crate) fn words(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{words}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer to an error on a git route.
pub(crate) fn error_words(error: &ForgeError) -> Response<Body> {
    match error {
        ForgeError::NoRepository(_) | ForgeError::Name(_) => words(StatusCode::NOT_FOUND, "Repository not found."),
        ForgeError::Busy => words(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        other => {
            tracing::error!(error = %other, "git request failed");
            words(StatusCode::INTERNAL_SERVER_ERROR, "The forge failed. Its log says why.")
        }
    }
}
