//! The git broker of one sandbox. A sandbox holds no credential: its connection is its identity, because the listener exists in
//! that sandbox's network namespace alone. Through it the session's repositories can be fetched, and the session's own
//! branch can be pushed; everything else is refused with words that tell the agent what to do instead.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::backend::{Service, Step, Wish};
use crate::border::Border;
use crate::door::ForgeUser;
use crate::error::ForgeError;
use crate::gitdoor::{Moved, Place, Push, error_words, fetch, open_push, words};
use crate::local::LocalForge;
use crate::names::{BranchName, CommitId, RepoPath};

/// What one session may do with git.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The session's id, for logs.
    pub session: String,
    /// Its repositories.
    pub repos: Vec<RepoGrant>,
}

/// What one session may do with one repository: fetch all, push one branch and those below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoGrant {
    /// The repository.
    pub repo: RepoPath,
    /// `hangar/x` allows `hangar/x` and `hangar/x/…`.
    pub branch: BranchName,
}

impl RepoGrant {
    fn allows(&self, branch: &BranchName) -> bool {
        let below = branch.as_str().strip_prefix(self.branch.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What the session is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerReport {
    /// A push moved a branch. Sent before git inside the sandbox sees the end of its push.
    Pushed {
        /// Where.
        repo: RepoPath,
        /// Which branch.
        branch: BranchName,
        /// Where it stood; zero for a new one.
        old: CommitId,
        /// Where it stands.
        new: CommitId,
    },
    /// Something was refused.
    Refused {
        /// What was tried, e.g. `push refs/heads/main of acme/web`.
        what: String,
        /// The words that git showed.
        why: String,
    },
}

/// The broker of one sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    forge: LocalForge,
    grant: Grant,
    user: watch::Receiver<ForgeUser>,
    reports: mpsc::Sender<BrokerReport>,
    /// So that one sandbox cannot take all places of the forge.
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("grant", &self.inner.grant).finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker for one session. `user` is whose prompt is being worked on, in whose name branches move; it may change while the
    /// session lives. `reports` should be read all the time: when it is full an accepted push waits for room (so none is
    /// lost), while a report of a refusal is dropped (so a sandbox cannot stall anybody by asking for the forbidden).
    pub fn new(
        forge: LocalForge,
        grant: Grant,
        user: watch::Receiver<ForgeUser>,
        reports: mpsc::Sender<BrokerReport>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(forge.limits().sandbox_transfers_max));
        Self { inner: Arc::new(Inner { forge, grant, user, reports, places }) }
    }

    /// The broker as a router, to be served on connections from that one sandbox only.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/{owner}/{repo}/info/refs", get(advertise))
            .route("/{owner}/{repo}/git-upload-pack", post(upload_pack))
            .route("/{owner}/{repo}/git-receive-pack", post(receive_pack))
            .fallback(nothing_else)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(self.clone())
    }

    fn find(&self, owner: &str, repo: &str) -> Result<&RepoGrant, Refused> {
        let name = repo.strip_suffix(".git").unwrap_or(repo);
        let granted = |grant: &&RepoGrant| {
            grant.repo.owner.as_str().eq_ignore_ascii_case(owner) && grant.repo.name.as_str().eq_ignore_ascii_case(name)
        };
        self.inner.grant.repos.iter().find(granted).ok_or_else(|| {
            let own: Vec<String> = self.inner.grant.repos.iter().map(|grant| grant.repo.to_string()).collect();
            Refused {
                what: format!("access to {}/{}", clip(owner), clip(name)),
                why: format!("This session has no access to that repository. It may use: {}.", own.join(", ")),
            }
        })
    }

    /// Waits for one of the sandbox's own places.
    async fn place(&self) -> Result<Place, ForgeError> {
        let wait =
            tokio::time::timeout(self.inner.forge.limits().queue_wait_max, self.inner.places.clone().acquire_owned());
        match wait.await {
            Ok(Ok(permit)) => Ok(Place::Sandbox { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(ForgeError::Busy),
        }
    }

    /// Tells the session and answers with the words.
    fn refuse(&self, refused: Refused) -> Response<Body> {
        let response = words(StatusCode::FORBIDDEN, &refused.why);
        self.report_refused(refused);
        response
    }

    fn report_refused(&self, Refused { what, why }: Refused) {
        tracing::info!(session = self.inner.grant.session, what, why, "broker refused");
        if self.inner.reports.try_send(BrokerReport::Refused { what, why }).is_err() {
            tracing::warn!(
                session = self.inner.grant.session,
                "the session does not read its broker's reports; one was dropped"
            );
        }
    }

    async fn report_pushed(self, repo: RepoPath, moved: Vec<Moved>) {
        for Moved { branch, old, new } in moved {
            tracing::info!(session = self.inner.grant.session, %repo, %branch, %new, "pushed");
            let report = BrokerReport::Pushed { repo: repo.clone(), branch, old, new };
            if self.inner.reports.send(report).await.is_err() {
                tracing::warn!(
                    session = self.inner.grant.session,
                    "the session has ended; a push is reported to nobody"
                );
            }
        }
    }
}

/// Serves a broker on a listener that only its sandbox can reach, until `shutdown` resolves and open requests are done.
pub async fn serve_border(
    listener: TcpListener,
    broker: Broker,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = Border::new(listener, broker.inner.forge.limits().sandbox_connections_max);
    axum::serve(listener, broker.router()).with_graceful_shutdown(shutdown).await
}

#[derive(Debug)]
struct Refused {
    what: String,
    why: String,
}

#[derive(Debug, Deserialize)]
struct Question {
    service: Option<String>,
}

async fn advertise(
    State(broker): State<Broker>,
    Path((owner, repo)): Path<(String, String)>,
    Query(question): Query<Question>,
    headers: HeaderMap,
) -> Response<Body> {
    let grant = match broker.find(&owner, &repo) {
        Ok(grant) => grant,
        Err(refused) => return broker.refuse(refused),
    };
    let Some(service) = question.service.as_deref().and_then(Service::from_word) else {
        return words(StatusCode::FORBIDDEN, "Only git's smart HTTP protocol is served here; use a newer git.");
    };
    let place = match broker.place().await {
        Ok(place) => place,
        Err(error) => return error_words(&error),
    };
    let wish = Wish { repo: &grant.repo, service, step: Step::Advertise, headers: &headers, login: "sandbox" };
    fetch(&broker.inner.forge, wish, Body::empty(), place).await.unwrap_or_else(|error| error_words(&error))
}

async fn upload_pack(
    State(broker): State<Broker>,
    Path((owner, repo)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let grant = match broker.find(&owner, &repo) {
        Ok(grant) => grant,
        Err(refused) => return broker.refuse(refused),
    };
    let place = match broker.place().await {
        Ok(place) => place,
        Err(error) => return error_words(&error),
    };
    let wish = Wish {
        repo: &grant.repo,
        service: Service::UploadPack,
        step: Step::Exchange,
        headers: &headers,
        login: "sandbox",
    };
    fetch(&broker.inner.forge, wish, body, place).await.unwrap_or_else(|error| error_words(&error))
}

async fn receive_pack(
    State(broker): State<Broker>,
    Path((owner, repo)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let grant = match broker.find(&owner, &repo) {
        Ok(grant) => grant,
        Err(refused) => return broker.refuse(refused),
    };
    let place = match broker.place().await {
        Ok(place) => place,
        Err(error) => return error_words(&error),
    };
    let push = match open_push(&broker.inner.forge, &headers, body).await {
        Ok(push) => push,
        Err(error) => {
            return broker.refuse(Refused { what: format!("push to {}", grant.repo), why: error.to_string() });
        }
    };
    if let Err((reason, refused)) = may_push(grant, &push) {
        let why = refused.why.clone();
        broker.report_refused(refused);
        return push.refuse(reason, &why).await;
    }
    let user = broker.inner.user.borrow().clone();
    let repo = grant.repo.clone();
    let reporter = broker.clone();
    let note = Box::new(move |moved| -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            reporter.report_pushed(repo, moved).await;
            drop(place);
        })
    });
    push.accept(&broker.inner.forge, &grant.repo, &headers, user, note)
        .await
        .unwrap_or_else(|error| error_words(&error))
}

/// All refs of the push must be of the session's own branch; otherwise none is moved.
fn may_push(grant: &RepoGrant, push: &Push) -> Result<(), (&'static str, Refused)> {
    for command in &push.head.commands {
        let what = format!("push {} of {}", clip(&command.full_ref), grant.repo);
        let own = BranchName::from_full_ref(&command.full_ref).is_ok_and(|branch| grant.allows(&branch));
        if !own {
            let why = format!(
                "This session may push only the branch {0} (or {0}/…). Nothing was pushed.\n\
                 Commit your work and run: git push origin HEAD:refs/heads/{0}",
                grant.branch
            );
            return Err(("not this session's branch", Refused { what, why }));
        }
        if command.new.is_zero() {
            let why = "A session cannot delete branches. Push new commits to the branch instead; a person can delete it later.".to_owned();
            return Err(("deletion is not allowed", Refused { what: format!("delete: {what}"), why }));
        }
    }
    Ok(())
}

async fn nothing_else(State(broker): State<Broker>, request: axum::extract::Request) -> Response<Body> {
    let what = format!("{} {}", request.method(), clip(request.uri().path()));
    let why = "Only git is served here: fetch this session's repositories and push this session's branch. \
               Pull requests, reviews and merges are made by people; say in your answer what you wish for.";
    broker.refuse(Refused { what, why: why.to_owned() })
}

/// What a sandbox sends goes into logs and events: at most this much, and no control characters.
fn clip(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
