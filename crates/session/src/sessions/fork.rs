//! A session becomes two: the other one has all that this one had after a turn, and its own life from there.
//!
//! ```text
//!   the other folder:  mark ─▶ blobs ─▶ files, floor.json ─▶ log (the session exists) ─▶ session_forked in this log ─▶ mark removed
//! ```
//!
//! Killed before the log, a marked folder without one is left, which the next start removes; killed after it, the next start tells the source.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use hangar_protocol::{
    Command, Event, Person, Refusal, RefusalCode, Seq, SessionId, SessionState, TurnId, UserId,
    api::{NewPrompt, RepoTarget},
    command::Commanded,
    event::ForkPurpose,
    limits::STATE_SNAPSHOTS_MAX,
};
use serde::{Deserialize, Serialize};

use super::{Sessions, StartError, folder_refusal, random_request_id};
use crate::{
    blobs,
    clock::now_ms,
    decide::{Input, Report, check_fork, decide},
    examine::blob_of,
    floor,
    ground::{self, Ground},
    home::log_refusal,
    log,
    past::{self, Forking, UpTo},
    registry::Task,
    sandbox_host::{Kept, ground_refusal},
    steps::SessionStep,
};

/// How long a fork waits for the snapshot it begins over to be on disk.
const SNAPSHOT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The file in the folder of a session that begins on another's files, until its log is begun.
pub(crate) const COPYING: &str = "copying";

/// The file in the folder of a fork whose source does not know of it yet.
const MARK: &str = "forking.json";

/// What the source has to be told.
#[derive(Serialize, Deserialize)]
struct Mark {
    source: SessionId,
    into: SessionId,
    turn: TurnId,
    purpose: ForkPurpose,
    by: UserId,
}

/// What a fork is to be.
#[derive(Clone, Debug)]
pub struct ForkWish {
    /// Its id. Its branch and title are in [`ForkWish::branch`] and [`ForkWish::title`].
    pub session: SessionId,
    /// The branch it may push.
    pub branch: String,
    /// After which turn; 0 for before the first. `None`: everything up to now.
    pub at_turn: Option<TurnId>,
    /// Its first prompt.
    pub prompt: Option<NewPrompt>,
    /// `provider/model`; `None` for the source's.
    pub model: Option<String>,
    /// Its title; `None` for the source's.
    pub title: Option<String>,
}

/// What of a session forks are made of: read once for all that begin at the same time.
pub(super) struct Source {
    pub(super) state: SessionState,
    events: Vec<Event>,
    ground: Ground,
    up_to: UpTo,
    turn: TurnId,
}

impl Sessions {
    /// Begins a session with everything that `source` had after a turn. Everything is durable when this answers; nothing of the source changed but that its
    /// log says so.
    ///
    /// # Errors
    /// A refusal; nothing is left behind.
    pub async fn fork(&self, source: &SessionId, wish: ForkWish, by: Person) -> Result<SessionState, Refusal> {
        let taken = self.source(source, wish.at_turn, 1).await?;
        self.begin_fork(&taken, wish, by, ForkPurpose::Fork).await
    }

    /// What `count` forks of a session after a turn would be made of.
    pub(super) async fn source(
        &self,
        id: &SessionId,
        at_turn: Option<TurnId>,
        count: usize,
    ) -> Result<Source, Refusal> {
        let task = self.wake(id).await?;
        self.told(&task).await?;
        let before = self.state(id).await?;
        check_fork(&before, at_turn, count)?;
        let state = match at_turn {
            Some(_) => before,
            None => self.kept_now(id, &task, &before).await?,
        };
        let (wanted, up_to, turn) = match at_turn {
            Some(turn) => (ground::up_to_turn(&state.snapshots, turn), UpTo::Turn(turn), turn),
            None => {
                let last = state.last_turn().map_or(TurnId(0), |turn| turn.id);
                (Some(state.snapshots.as_slice()), UpTo::Now, last)
            }
        };
        let ground = task.home.sandbox.ground_at(wanted.unwrap_or_default().to_vec()).await;
        let ground = ground.map_err(|error| ground_refusal(&error))?;
        let events = self.log_until(id, state.seq).await?;
        Ok(Source { state, events, ground, up_to, turn })
    }

    /// Waits until the snapshots of a session are told.
    pub(crate) async fn told(&self, task: &Task) -> Result<(), Refusal> {
        let told = tokio::time::timeout(SNAPSHOT_PATIENCE, task.home.sandbox.snapshots_told());
        told.await.map_err(|_| {
            Refusal::new(
                RefusalCode::Unavailable,
                "The session's files are still being kept.",
                "Try again in a moment; the server's disk is slow or its files are many.",
            )
        })
    }

    /// The state once its files as they are now are a snapshot.
    pub(crate) async fn kept_now(
        &self,
        id: &SessionId,
        task: &Task,
        before: &SessionState,
    ) -> Result<SessionState, Refusal> {
        let kept = task.home.sandbox.keep_now().await?;
        self.told(task).await?;
        let state = self.state(id).await?;
        let told = state.snapshots.len() > before.snapshots.len() || state.snapshots.len() == STATE_SNAPSHOTS_MAX;
        let missing = match kept {
            Kept::Taken => !told,
            Kept::AsTheyWere => state.snapshots.is_empty(),
            Kept::NeverBegun => false,
        };
        if missing {
            return Err(Refusal::new(
                RefusalCode::Unavailable,
                "The session's files cannot be kept as a snapshot.",
                "Its last warning says why. Without one there is nothing to fork.",
            ));
        }
        if state.turns.len() == before.turns.len() {
            return Ok(state);
        }
        Err(Refusal::new(RefusalCode::Conflict, "A turn began meanwhile.", "Name the turn that the fork is to follow."))
    }

    /// A session's events up to one.
    pub(crate) async fn log_until(&self, id: &SessionId, last: Seq) -> Result<Vec<Event>, Refusal> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&events);
        let take = move |event: &Event| {
            if event.seq <= last {
                filled.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
            }
        };
        self.reader(id).await?.fold(take).await.map_err(|error| log_refusal(&error))?;
        Ok(std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Makes one fork.
    pub(super) async fn begin_fork(
        &self,
        source: &Source,
        wish: ForkWish,
        by: Person,
        purpose: ForkPurpose,
    ) -> Result<SessionState, Refusal> {
        let id = wish.session.clone();
        let beginning = first_events(source, wish, by.clone())?;
        let folder = self.folder(&id);
        if tokio::fs::try_exists(&folder).await.unwrap_or(true) {
            return Err(Refusal::new(
                RefusalCode::Conflict,
                format!("Session {id} exists already."),
                "Use another id.",
            ));
        }
        let (from, into) = (source.state.id.clone(), id.clone());
        let mark = Mark { source: from, into, turn: source.turn, purpose, by: by.user };
        match self.make_fork(source, &id, &mark, &beginning).await {
            Ok(state) => {
                self.tell_source(&id).await;
                Ok(state)
            }
            Err(refusal) => {
                drop(tokio::fs::remove_dir_all(&folder).await);
                Err(refusal)
            }
        }
    }

    async fn make_fork(
        &self,
        source: &Source,
        id: &SessionId,
        mark: &Mark,
        beginning: &[Event],
    ) -> Result<SessionState, Refusal> {
        let folder = self.folder(id);
        tokio::fs::create_dir_all(&folder).await.map_err(|error| folder_refusal(&error))?;
        let text = serde_json::to_vec(mark).map_err(|error| log_refusal(&error.into()))?;
        tokio::fs::write(folder.join(MARK), text).await.map_err(|error| folder_refusal(&error))?;
        SessionStep::ForkMarked.done();
        self.fill(source, id, beginning).await?;
        SessionStep::ForkFilled.done();
        self.write_beginning(id, &folder, beginning).await
    }

    /// Gives the fork the blobs that its log names, and its files.
    async fn fill(&self, source: &Source, id: &SessionId, beginning: &[Event]) -> Result<(), Refusal> {
        let (from, to) = (self.folder(&source.state.id), self.folder(id));
        let named = beginning.iter().filter_map(|event| blob_of(&event.body));
        let named: BTreeSet<String> = named.map(|blob| blob.sha256.clone()).collect();
        let shared = tokio::task::spawn_blocking(move || blobs::share(&from, &to, named.iter().map(String::as_str)));
        let shared = shared.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        shared.map_err(|error| folder_refusal(&error))?;
        let rewound = SessionState::fold(beginning).map_err(|error| log_refusal(&error.into()))?.rewound;
        let (to, ground) = (self.folder(id), source.ground.clone());
        floor::blocking(move || ground::begin_files(&to, &ground, rewound.map(|rewound| rewound.seq))).await
    }

    /// Tells the session that this one was forked from, and that all is done then.
    pub(super) async fn tell_source(&self, fork: &SessionId) {
        let mark = self.folder(fork).join(MARK);
        let told = match tokio::fs::read(&mark).await {
            Ok(text) => self.tell(&text).await,
            Err(error) => Err(folder_refusal(&error)),
        };
        match told {
            Ok(()) => {
                SessionStep::ForkTold.done();
                drop(tokio::fs::remove_file(&mark).await);
                SessionStep::ForkUnmarked.done();
            }
            // The next start tries again.
            Err(refusal) => tracing::warn!(session = %fork, %refusal, "a session does not know of its fork"),
        }
    }

    async fn tell(&self, mark: &[u8]) -> Result<(), Refusal> {
        let unreadable = |error: serde_json::Error| log_refusal(&error.into());
        let Mark { source, into, turn, purpose, by } = serde_json::from_slice(mark).map_err(unreadable)?;
        self.record(&source, Report::Forked { into, turn, purpose, by }).await.map(drop)
    }

    /// The forks whose source may not know of them, because hangar was killed. Those, and children on another's files, whose log was never begun are removed: nobody was told of them.
    pub(super) async fn begun_forks(&self) -> Result<Vec<SessionId>, StartError> {
        let path = self.inner.ports.sessions_dir.clone();
        let failed = |error| StartError::Folder { path: path.clone(), error };
        let mut folders = tokio::fs::read_dir(&path).await.map_err(failed)?;
        let mut begun = Vec::new();
        while let Some(folder) = folders.next_entry().await.map_err(failed)? {
            let Ok(id) = folder.file_name().to_string_lossy().parse::<SessionId>() else { continue };
            let log = folder.path().join(log::FILE);
            let copying = folder.path().join(COPYING);
            if copying.exists() && log.exists() {
                tokio::fs::remove_file(copying).await.map_err(failed)?;
            } else if copying.exists() {
                tokio::fs::remove_dir_all(folder.path()).await.map_err(failed)?;
            }
            if !folder.path().join(MARK).exists() {
                continue;
            }
            // A log that cannot be read is left for somebody to look at.
            if log.exists() && log::has_events(&log).unwrap_or(true) {
                begun.push(id);
            } else {
                tokio::fs::remove_dir_all(folder.path()).await.map_err(failed)?;
            }
        }
        Ok(begun)
    }
}

fn first_events(source: &Source, wish: ForkWish, by: Person) -> Result<Vec<Event>, Refusal> {
    let ForkWish { session, branch, at_turn: _, prompt, model, title } = wish;
    let state = &source.state;
    let title = title.unwrap_or_else(|| state.title.clone());
    crate::decide::check_title(&title)?;
    let target = RepoTarget {
        session,
        repo: state.repo.clone(),
        base_branch: state.base_branch.clone(),
        base_commit: state.base_commit.clone(),
        branch,
        model: model.unwrap_or_else(|| state.model.clone()),
        agent: state.agent.clone(),
        title,
        // What was private stays so: the fork has its maker alone.
        visibility: state.visibility,
    };
    let time_ms = now_ms();
    let forking = Forking { target, by: by.clone(), source: state.id.clone(), turn: source.turn, time_ms };
    let events = past::fork(&source.events, source.up_to, forking);
    let mut events = events.ok_or_else(|| {
        Refusal::new(RefusalCode::Internal, "The session's log does not have that turn.", "The server's log says more.")
    })?;
    let Some(NewPrompt { request_id, text }) = prompt else { return Ok(events) };
    let state = SessionState::fold(&events).map_err(|error| log_refusal(&error.into()))?;
    let command = Command::Prompt { request_id: request_id.unwrap_or_else(random_request_id), text };
    let decision = decide(&state, Input::Command(Commanded { by, command }))?;
    let number = |(seq, (cause, body))| Event { seq: Seq(seq), time_ms, cause, body };
    events.extend((state.seq.0 + 1..).zip(decision.events).map(number));
    Ok(events)
}
