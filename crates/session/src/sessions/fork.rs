//! A session becomes two: the other one has all that this one had after a turn, and its own life from there.
//!
//! ```text
//!   the other folder:  blobs ─▶ files, floor.json ─▶ log (the session exists) ─▶ session_forked in this log ─▶ listed
//! ```
//!
//! Killed before the log, a folder without one is left, which the next start removes; killed after it, the next start finds a session that is not
//! listed, and tells its source.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use hangar_protocol::{
    Command, Event, EventBody, Person, Refusal, RefusalCode, Seq, SessionId, SessionState, TurnId,
    api::{NewPrompt, RepoTarget},
    command::Commanded,
    event::ForkPurpose,
};

use super::{Sessions, StartError, folder_refusal, random_request_id};
use crate::{
    blobs,
    clock::now_ms,
    decide::{Input, Report, check_fork, decide},
    floor,
    ground::{self, Ground},
    home::log_refusal,
    index::{self, Wakefulness},
    log,
    past::{self, Forking, UpTo},
    registry::Task,
    sandbox_host::ground_refusal,
};

/// How long a fork waits for the snapshot it begins over to be on disk.
const SNAPSHOT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

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
    pub(super) async fn told(&self, task: &Task) -> Result<(), Refusal> {
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
    async fn kept_now(&self, id: &SessionId, task: &Task, before: &SessionState) -> Result<SessionState, Refusal> {
        task.home.sandbox.keep_now().await?;
        self.told(task).await?;
        let state = self.state(id).await?;
        if state.turns.len() == before.turns.len() {
            return Ok(state);
        }
        Err(Refusal::new(RefusalCode::Conflict, "A turn began meanwhile.", "Name the turn that the fork is to follow."))
    }

    /// A session's events up to one.
    pub(super) async fn log_until(&self, id: &SessionId, last: Seq) -> Result<Vec<Event>, Refusal> {
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
        tokio::fs::create_dir_all(&folder).await.map_err(|error| folder_refusal(&error))?;
        let made = match self.fill(source, &id, &beginning).await {
            Ok(()) => self.write_beginning(&id, &folder, &beginning).await,
            Err(refusal) => Err(refusal),
        };
        match made {
            Ok((task, state)) => {
                let into = id.clone();
                let told = Report::Forked { into, turn: source.turn, purpose, by: by.user };
                self.tell_of_fork(&source.state.id, told).await;
                // After the source knows: what is not listed is told and listed at the next start.
                task.home.list(index::summary(&state), Wakefulness::Awake).await;
                Ok(state)
            }
            Err(refusal) => {
                drop(tokio::fs::remove_dir_all(&folder).await);
                Err(refusal)
            }
        }
    }

    /// Gives the fork the blobs that its log names, and its files.
    async fn fill(&self, source: &Source, id: &SessionId, beginning: &[Event]) -> Result<(), Refusal> {
        let (from, to) = (self.folder(&source.state.id), self.folder(id));
        let named: BTreeSet<String> = beginning.iter().filter_map(|event| blob_of(&event.body)).collect();
        let shared = tokio::task::spawn_blocking(move || blobs::share(&from, &to, named.iter().map(String::as_str)));
        let shared = shared.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        shared.map_err(|error| folder_refusal(&error))?;
        let rewound = SessionState::fold(beginning).map_err(|error| log_refusal(&error.into()))?.rewound;
        let (to, ground) = (self.folder(id), source.ground.clone());
        floor::blocking(move || ground::begin_files(&to, &ground, rewound.map(|rewound| rewound.seq))).await
    }

    async fn tell_of_fork(&self, source: &SessionId, report: Report) {
        if let Err(refusal) = self.record(source, report).await {
            tracing::warn!(session = %source, %refusal, "a session does not know of its fork");
        }
    }

    /// Tells the session that this one was forked from, in case it was not told before hangar was killed.
    pub(super) async fn tell_source(&self, state: &SessionState) {
        let Some(origin) = &state.forked_from else { return };
        // What it was for is not in its own log; that it was an attempt is lost with the crash.
        let (into, by) = (state.id.clone(), state.owner.clone());
        let report = Report::Forked { into, turn: origin.turn, purpose: ForkPurpose::Fork, by };
        self.tell_of_fork(&origin.session, report).await;
    }

    /// Removes folders of sessions whose log was never begun: nobody was told of them.
    pub(super) async fn remove_unbegun(&self) -> Result<(), StartError> {
        let path = self.inner.ports.sessions_dir.clone();
        let failed = |error| StartError::Folder { path: path.clone(), error };
        let mut folders = tokio::fs::read_dir(&path).await.map_err(failed)?;
        while let Some(folder) = folders.next_entry().await.map_err(failed)? {
            let is_session = folder.file_name().to_string_lossy().parse::<SessionId>().is_ok();
            if is_session && folder.path().is_dir() && !folder.path().join(log::FILE).exists() {
                tokio::fs::remove_dir_all(folder.path()).await.map_err(failed)?;
            }
        }
        Ok(())
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
        title,
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

fn blob_of(body: &EventBody) -> Option<String> {
    if let EventBody::ToolFinished { blob: Some(blob), .. } = body { Some(blob.sha256.clone()) } else { None }
}
