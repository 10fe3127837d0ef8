//! Runs `git http-backend` for one request, streaming both ways: no body is ever held in memory. Protocol: RFC 3875 (CGI)
//! and git's `http-protocol`.

use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;

use crate::error::{ForgeError, Result};
use crate::git::{Pace, gather_stderr, spawn};
use crate::local::LocalForge;
use crate::names::RepoPath;

/// Longest block of header lines that git may answer with, in bytes.
const HEADER_BYTES_MAX: u64 = 16 << 10;
/// Bytes read from git at a time.
const PIECE_BYTES: usize = 64 << 10;
/// How long a client whose time is up may take to notice.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);
/// Pieces on their way to a client. When full, git waits for the client to read.
const PIECES_MAX: usize = 8;

/// What the client asked git for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }
}

/// The two steps of git's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `GET info/refs?service=…`
    Advertise,
    /// `POST git-…-pack`
    Exchange,
}

/// One request for git.
pub(crate) struct Wish<'a> {
    pub(crate) repo: &'a RepoPath,
    pub(crate) service: Service,
    pub(crate) step: Step,
    /// Of the client; three of them matter to git.
    pub(crate) headers: &'a HeaderMap,
    /// Who asks, for git's environment.
    pub(crate) login: &'a str,
}

/// A request body.
pub(crate) type Upload = Pin<Box<dyn AsyncRead + Send>>;

/// What the upload's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As the client sent them; its `Content-Encoding` holds.
    AsSent,
    /// Unpacked already.
    Plain,
}

/// Starts git, waits for the head of its answer and lets the rest stream. `after` runs when git has ended, whether or not the
/// client still listens, and before the client sees the end of the answer.
pub(crate) async fn serve(
    forge: &LocalForge,
    wish: Wish<'_>,
    upload: Upload,
    encoding: Encoding,
    after: BoxFuture<'static, ()>,
) -> Result<Response<Body>> {
    let turn = forge.inner.git.turn(Pace::Transfer).await?;
    let mut command = forge.inner.git.command(&forge.inner.repos_dir);
    command.arg("http-backend").stdin(Stdio::piped());
    let word = wish.service.word();
    let (method, tail, query) = match wish.step {
        Step::Advertise => ("GET", "info/refs", format!("service={word}")),
        Step::Exchange => ("POST", word, String::new()),
    };
    let header = |name: &str| wish.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    command
        .env("GIT_PROJECT_ROOT", &forge.inner.repos_dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{}.git/{tail}", wish.repo))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", wish.login);
    if encoding == Encoding::AsSent {
        command.env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    }
    // Without CONTENT_LENGTH git reads to the end, which is right for chunked bodies and for those unpacked here.
    let (mut child, mut group) = spawn(&mut command)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(ForgeError::Broken("git was started without pipes".into()));
    };
    let (head_out, head_in) = tokio::sync::oneshot::channel();
    let (pieces, stream) = mpsc::channel(PIECES_MAX);
    let (time_max, stall_max) = (forge.limits().transfer_time_max, forge.limits().stall_time_max);
    let what = format!("{} {word}", wish.repo);
    tokio::spawn(async move {
        let _turn = turn;
        let feed = tokio::spawn(feed(upload, stdin));
        let complain = tokio::spawn(gather_stderr(stderr));
        let relayed = tokio::time::timeout(time_max, relay(stdout, head_out, &pieces, stall_max)).await;
        match relayed {
            Ok(Relayed::ToTheEnd) => match tokio::time::timeout(time_max, child.wait()).await {
                Ok(Ok(_)) => group.ended(),
                Ok(Err(_)) | Err(_) => group.kill(),
            },
            Ok(Relayed::ClientGone) => {
                group.kill();
                let _ = child.wait().await;
            }
            Err(_) => {
                tracing::warn!(what, limit_s = time_max.as_secs(), "git took too long and was ended");
                group.kill();
                let _ = child.wait().await;
                // An error, so that the answer breaks off instead of looking complete.
                let _ =
                    tokio::time::timeout(GOODBYE_TIME_MAX, pieces.send(Err(std::io::ErrorKind::TimedOut.into()))).await;
            }
        }
        feed.abort();
        if let Ok(words) = complain.await
            && !words.trim().is_empty()
        {
            tracing::debug!(what, words = words.trim(), "git http-backend");
        }
        after.await;
        drop(pieces);
    });
    let head = head_in.await.map_err(|_| ForgeError::Broken("git http-backend ended without an answer".into()))?;
    let mut response = Response::new(Body::from_stream(futures::stream::unfold(stream, |mut stream| async move {
        let piece: std::io::Result<Bytes> = stream.recv().await?;
        Some((piece, stream))
    })));
    *response.status_mut() = head.0;
    *response.headers_mut() = head.1;
    Ok(response)
}

/// Gives the request's body to git.
async fn feed(mut upload: Upload, mut stdin: ChildStdin) {
    // An error means that the client went away or that git has read enough; either shows in git's answer.
    let _ = tokio::io::copy(&mut upload, &mut stdin).await;
    let _ = stdin.shutdown().await;
}

enum Relayed {
    ToTheEnd,
    ClientGone,
}

type Head = (StatusCode, HeaderMap);

/// Gives git's answer to the client.
async fn relay(
    stdout: ChildStdout,
    head_out: tokio::sync::oneshot::Sender<Head>,
    pieces: &mpsc::Sender<std::io::Result<Bytes>>,
    stall_max: Duration,
) -> Relayed {
    let mut stdout = BufReader::with_capacity(PIECE_BYTES, stdout);
    let Some(head) = read_head(&mut stdout).await else {
        return Relayed::ToTheEnd;
    };
    if head_out.send(head).is_err() {
        return Relayed::ClientGone;
    }
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = tokio::select! {
            read = stdout.read(&mut piece) => read,
            () = pieces.closed() => return Relayed::ClientGone,
        };
        match read {
            Ok(0) => return Relayed::ToTheEnd,
            Ok(n) => {
                let sent = pieces.send(Ok(Bytes::copy_from_slice(&piece[..n])));
                // A client that takes nothing for so long is as good as gone.
                if !matches!(tokio::time::timeout(stall_max, sent).await, Ok(Ok(()))) {
                    return Relayed::ClientGone;
                }
            }
            Err(error) => {
                let _ = pieces.send(Err(error)).await;
                return Relayed::ToTheEnd;
            }
        }
    }
}

/// Reads header lines up to the empty one.
async fn read_head(stdout: &mut BufReader<ChildStdout>) -> Option<Head> {
    let mut status = StatusCode::OK;
    let mut headers = HeaderMap::new();
    let mut lines = stdout.take(HEADER_BYTES_MAX);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Some((status, headers));
        }
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            status = value.split(' ').next()?.parse().ok()?;
        } else {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
        }
    }
}
