//! All sessions of a server: the one door to them.

mod attempts;
mod follow;
mod fork;
mod rewind;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicBool},
    time::Duration,
};

pub use follow::Page;
pub use fork::ForkWish;
use hangar_agent::{Conversation, Jobs};
use hangar_protocol::{
    Cause, Command, Event, EventBody, Person, Refusal, RefusalCode, RequestId, Seq, SessionId, SessionRole,
    SessionState, UserId,
    api::{DayBudgets, NewPrompt, RepoTarget, SessionDiff, SessionSummary},
    budget::day_of,
    command::Commanded,
};
use hangar_sandbox::layers::LayerId;
use hangar_store::{StoreError, Writers};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Budgets, KeepClones, Reply, SessionQuery,
    access::{Access, AccessList},
    blobs::Blobs,
    budgets::{Families, Family, Ledger, Meter},
    clock::now_ms,
    decide::{self, Input, Report, check_kept, decide, needed, no_session},
    diff,
    driver::{Driver, First, GOODBYE, INBOX_MAX, Message, closing},
    floor, forge_follower,
    ground::{self, Ground},
    home::{Home, log_refusal},
    index::{self, CatchUpError, Index, Step, Wanted},
    log::{self, LogError, LogReader, SessionLog, StoredEvent},
    ports::Ports,
    put_right,
    registry::{Registry, Task},
    removal::{self, Removals, refuse_removed},
    sandbox_host::SandboxHost,
    steps::SessionStep,
    tail::Tail,
    woken_again,
    working::Working,
};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Sessions that may have a task at the same time.
const AWAKE_MAX: usize = 1_000;
/// How often a message is handed to a task, where the one before was just ending.
const SEND_TRIES: u32 = 3;
/// How long a task that is ending is waited for.
const ENDING_MAX: Duration = Duration::from_secs(10);

/// A handle on every session of this server. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

/// The same, for a session's task: it does not keep the sessions alive.
#[derive(Clone)]
pub(crate) struct WeakSessions(Weak<Inner>);

impl WeakSessions {
    /// `None` once the server has given its sessions up.
    pub(crate) fn upgrade(&self) -> Option<Sessions> {
        self.0.upgrade().map(|inner| Sessions { inner })
    }
}

struct Inner {
    ports: Arc<Ports>,
    writers: Writers,
    index: Index,
    working: Working,
    registry: Arc<Registry>,
    access: Arc<AccessList>,
    removals: Removals,
    ledger: Arc<Ledger>,
    families: Families,
    /// Cancelled when the server shuts down: no session is woken any more.
    closing: CancellationToken,
}

/// Why sessions cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of the sessions.
    #[error("cannot use {}: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The list of sessions.
    #[error("cannot open the list of sessions: {0}")]
    Index(#[from] StoreError),
    /// What the server remembers beside the logs.
    #[error("cannot open working.db, in which the server remembers which sessions were at work: {0}")]
    Working(StoreError),
}

impl Sessions {
    /// Opens the sessions below `ports.sessions_dir`, puts those right whose task ended without tidying up (open turns go
    /// on), and begins to follow the forge.
    ///
    /// # Errors
    /// When the folder or the list cannot be used. A single damaged session is logged and does not hinder the others.
    pub async fn open(ports: Ports) -> Result<Self, StartError> {
        let folder = ports.sessions_dir.clone();
        let failed = |error| StartError::Folder { path: folder.clone(), error };
        tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
        let writers = Writers::start().map_err(failed)?;
        let working = Working::open(&writers, &folder).await.map_err(StartError::Working)?;
        let index = open_index(&writers, &working, &folder).await?;
        let inner = Inner {
            ports: Arc::new(ports),
            writers,
            index,
            working,
            registry: Arc::default(),
            access: Arc::default(),
            removals: Removals::default(),
            ledger: Arc::default(),
            families: Families::default(),
            closing: CancellationToken::new(),
        };
        let sessions = Self { inner: Arc::new(inner) };
        removal::forget_left_over(&folder, &sessions).await.map_err(failed)?;
        let untold = sessions.begun_forks().await?;
        put_right::put_right(&sessions, &folder).await?;
        for id in untold {
            sessions.tell_source(&id).await;
        }
        tokio::spawn(forge_follower::run(sessions.clone()));
        tokio::spawn(removal::run(sessions.clone()));
        tokio::spawn(woken_again::run(sessions.clone()));
        Ok(sessions)
    }

    /// Begins a session, with its first prompt where one is given. Everything is durable when this answers.
    ///
    /// # Errors
    /// A refusal; nothing is left behind.
    pub async fn create(
        &self,
        target: RepoTarget,
        by: Person,
        first: Option<NewPrompt>,
    ) -> Result<SessionState, Refusal> {
        let id = target.session.clone();
        let beginning = numbered(decide::begin(target, by.clone())?);
        let beginning = match first {
            Some(prompt) => with_prompt(beginning, by, prompt)?,
            None => beginning,
        };
        self.create_with(&id, &beginning, None).await
    }

    /// Begins a session with these events and a prompt, on another's files where they are given.
    pub(crate) async fn create_from(
        &self,
        id: &SessionId,
        events: Vec<(Cause, EventBody)>,
        by: Person,
        first: NewPrompt,
        ground: Option<&Ground>,
    ) -> Result<SessionState, Refusal> {
        self.create_with(id, &with_prompt(numbered(events), by, first)?, ground).await
    }

    async fn create_with(
        &self,
        id: &SessionId,
        beginning: &[Event],
        ground: Option<&Ground>,
    ) -> Result<SessionState, Refusal> {
        let folder = self.folder(id);
        if tokio::fs::try_exists(&folder).await.unwrap_or(true) {
            return Err(Refusal::new(
                RefusalCode::Conflict,
                format!("Session {id} exists already."),
                "Use another id.",
            ));
        }
        match self.begin(id, &folder, beginning, ground).await {
            Ok(state) => Ok(state),
            Err(refusal) => {
                drop(tokio::fs::remove_dir_all(&folder).await);
                Err(refusal)
            }
        }
    }

    async fn begin(
        &self,
        id: &SessionId,
        folder: &Path,
        beginning: &[Event],
        ground: Option<&Ground>,
    ) -> Result<SessionState, Refusal> {
        tokio::fs::create_dir_all(folder).await.map_err(|error| folder_refusal(&error))?;
        SessionStep::SessionFolderMade.done();
        let Some(ground) = ground else { return self.write_beginning(id, folder, beginning).await };
        let copying = folder.join(fork::COPYING);
        tokio::fs::write(&copying, "").await.map_err(|error| folder_refusal(&error))?;
        let (files, over) = (folder.to_owned(), ground.clone());
        floor::blocking(move || ground::begin_files(&files, &over, None)).await?;
        SessionStep::ChildFilesBegun.done();
        let state = self.write_beginning(id, folder, beginning).await?;
        drop(tokio::fs::remove_file(copying).await);
        Ok(state)
    }

    /// Writes the first events of a session into its folder, lists it and starts its task.
    async fn write_beginning(
        &self,
        id: &SessionId,
        folder: &Path,
        beginning: &[Event],
    ) -> Result<SessionState, Refusal> {
        let state = SessionState::fold(beginning).map_err(|error| log_refusal(&error.into()))?;
        self.begin_brought(&state);
        let rows = beginning.iter().map(StoredEvent::new).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| log_refusal(&error))?;
        // Side by side: neither is of any use without the other, and a mark without a session goes at the next start.
        let (begun, marked) =
            tokio::join!(SessionLog::begin(&self.inner.writers, folder, rows), self.inner.working.mark(id));
        let log = begun.map_err(|error| log_refusal(&error))?;
        marked.map_err(|error| log_refusal(&error.into()))?;
        SessionStep::SessionLogBegun.done();
        let mut conversation = Conversation::default();
        beginning.iter().for_each(|event| conversation.apply(event));
        // Listed before it is answered, so that whoever began it finds it. It need not be on disk: a session that is missing in the list is
        // found by its folder at the next start.
        let step = Step {
            from: index::From::After(Seq::START),
            events: beginning.to_vec(),
            summary: SessionSummary::of(&state),
        };
        if let Err(error) = self.inner.index.step(step).await {
            tracing::warn!(%error, session = %id, "the list of sessions is behind");
        }
        SessionStep::SessionListed.done();
        let family = self.family(&state).await;
        let (tail, waking) = self.inner.registry.enter(id);
        let _only_one = waking.lock().await;
        self.start_task(id, tail, Start { state: state.clone(), conversation, log, family, woken: Woken::New });
        SessionStep::SessionTaskStarted.done();
        Ok(state)
    }

    /// Carries out a command. What it did is durable when this answers.
    ///
    /// # Errors
    /// The refusal.
    pub async fn command(&self, id: &SessionId, commanded: Commanded) -> Result<Reply, Refusal> {
        // Asked before it is woken, so that a session which may not be seen answers as one that there is not.
        if needed(&commanded.by, &commanded.command).is_some() {
            self.role(id, &commanded.by.user).await?;
        }
        let deletes = matches!(commanded.command, Command::Delete { .. });
        let (answer, answered) = oneshot::channel();
        self.send(id, Message::Command(commanded, answer)).await?;
        let reply = answered.await.map_err(|_| closing())?;
        if deletes && reply.is_ok() {
            self.inner.removals.deleted.notify_one();
        }
        reply
    }

    /// What somebody may do in a session. The one question before anything of it is read. Does not wake it.
    ///
    /// # Errors
    /// When there is no such session, or they may not see it: the two look the same.
    pub async fn role(&self, id: &SessionId, user: &UserId) -> Result<SessionRole, Refusal> {
        let access = match self.inner.access.get(id) {
            Some(known) => known,
            None => {
                let state = self.state_on_disk(id).await?;
                self.inner.access.note(id, &state)
            }
        };
        access.role_of(user).ok_or_else(|| no_session(id))
    }

    /// Tells a session what happened to it elsewhere. Durable when this answers; `None` when it made no difference.
    pub(crate) async fn record(&self, id: &SessionId, report: Report) -> Result<Option<Seq>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(id, Message::Record(report, answer)).await?;
        answered.await.map_err(|_| closing())
    }

    /// Hands a message to the session's task. One that is just ending takes none any more: the next one does, or says why there is none, be it that the
    /// disk is full.
    async fn send(&self, id: &SessionId, mut message: Message) -> Result<(), Refusal> {
        for _ in 0..SEND_TRIES {
            let task = self.wake(id).await?;
            match task.inbox.send(message).await {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(back)) => message = back,
            }
            if self.inner.closing.is_cancelled() || timeout(ENDING_MAX, task.home.over.cancelled()).await.is_err() {
                break;
            }
        }
        Err(closing())
    }

    /// What is true of a session now. Does not wake it.
    ///
    /// # Errors
    /// When there is no such session, or its log cannot be read.
    pub async fn state(&self, id: &SessionId) -> Result<SessionState, Refusal> {
        if let Some(task) = self.inner.registry.task(id) {
            let (answer, answered) = oneshot::channel();
            if task.inbox.send(Message::State(answer)).await.is_ok()
                && let Ok(state) = answered.await
            {
                return Ok(state);
            }
        }
        self.state_on_disk(id).await
    }

    /// What the log says.
    pub(crate) async fn state_on_disk(&self, id: &SessionId) -> Result<SessionState, Refusal> {
        let reader = self.reader(id).await?;
        match reader.fold(|_event| {}).await {
            Ok(state) => Ok(state),
            Err(error) => Err(self.unreadable(id, &error).await),
        }
    }

    /// What the session changed against the commit it started from, files not yet committed included.
    ///
    /// # Errors
    /// When there is no such session or its sandbox cannot be had.
    pub async fn diff(&self, id: &SessionId) -> Result<SessionDiff, Refusal> {
        let state = self.state(id).await?;
        check_kept(&state)?;
        let task = self.wake(id).await?;
        diff::of_workspace(&task.home, &state).await
    }

    /// The bytes of a blob that an event names.
    ///
    /// # Errors
    /// When there is no such session or blob.
    pub async fn blob(&self, id: &SessionId, sha256: &str) -> Result<Vec<u8>, Refusal> {
        self.reader(id).await?;
        Blobs::new(&self.folder(id)).get(sha256).await
    }

    /// A page of the sessions that fit, newest first.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn list(&self, query: SessionQuery) -> Result<Vec<SessionSummary>, Refusal> {
        let seen_by = query.seen_by.clone();
        let page = self.inner.index.list(query).await.map_err(|error| log_refusal(&error.into()))?;
        let page = match seen_by {
            Some(user) => self.seen_by(&user, page),
            None => page,
        };
        self.with_damage(page).await
    }

    /// The newest sessions that `user` may see and in which all words of `wanted` are found, in titles, prompts, names of participants and paths of
    /// changed files; newest first, each with the place that fits best. Not those that were deleted.
    ///
    /// # Errors
    /// When there is no word in it, or the list cannot be read.
    pub async fn search(&self, wanted: &str, user: &UserId) -> Result<Vec<SessionSummary>, Refusal> {
        let wanted = Wanted::parse(wanted).ok_or_else(|| {
            Refusal::new(
                RefusalCode::BadRequest,
                "There is no word to look for.",
                "Write letters or digits, for example `login page`.",
            )
        })?;
        let found = self.inner.index.search(wanted, user).await.map_err(|error| log_refusal(&error.into()))?;
        self.with_damage(self.seen_by(user, found)).await
    }

    /// The list may be a moment behind; who may see what is never.
    fn seen_by(&self, user: &UserId, mut sessions: Vec<SessionSummary>) -> Vec<SessionSummary> {
        let hidden = |access: Arc<Access>| access.role_of(user).is_none();
        sessions.retain(|summary| !self.inner.access.get(&summary.id).is_some_and(hidden));
        sessions
    }

    /// Adds what is known of damaged logs.
    async fn with_damage(&self, mut sessions: Vec<SessionSummary>) -> Result<Vec<SessionSummary>, Refusal> {
        let damaged = self.inner.working.damaged().await.map_err(|error| log_refusal(&error.into()))?;
        for session in &mut sessions {
            session.damaged = damaged.get(session.id.as_str()).cloned();
        }
        Ok(sessions)
    }

    /// What a person is told whose session's log cannot be read. Damage is remembered, so that lists show it.
    pub(crate) async fn unreadable(&self, id: &SessionId, error: &LogError) -> Refusal {
        tracing::error!(session = %id, %error, "a session's log cannot be read");
        if error.is_damage()
            && let Err(error) = self.inner.working.note_damage(id, error.to_string()).await
        {
            tracing::warn!(%error, session = %id, "a damaged session is not listed as such");
        }
        log_refusal(error)
    }

    /// Brings the list to what the log of a session says.
    pub(crate) async fn relist(&self, id: &SessionId) -> Result<(), Refusal> {
        let listed = index::catch_up(&self.inner.index, &LogReader::new(&self.folder(id)), id).await;
        match listed {
            Ok(_state) => Ok(()),
            Err(CatchUpError::Log(error)) => Err(self.unreadable(id, &error).await),
            Err(CatchUpError::List(error)) => Err(log_refusal(&error.into())),
            Err(CatchUpError::Busy) => Err(closing()),
        }
    }

    /// Takes a session that is gone out of everything that is known of it elsewhere.
    pub(crate) async fn unlist(&self, id: &SessionId) -> Result<(), StoreError> {
        self.inner.index.forget(id).await?;
        // On disk before its folder goes: the next start must not look for it.
        self.inner.index.harden().await?;
        self.inner.working.note_whole(id).await?;
        self.inner.working.unmark(id).await
    }

    /// The usual budgets of this server.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        self.inner.ports.budgets
    }

    /// What was used up today, UTC.
    #[must_use]
    pub fn day_budgets(&self) -> DayBudgets {
        let Budgets { user_day, team_day, session: _ } = self.budgets();
        let day = day_of(now_ms());
        let (spent, by) = self.inner.ledger.all(day);
        DayBudgets { day, user_day, team_day, spent, by }
    }

    /// Every layer that a session needs, running or not: nobody else may remove them.
    ///
    /// # Errors
    /// When a session's folder cannot be read; nothing may be removed then.
    pub async fn layers_in_use(&self) -> Result<HashSet<LayerId>, Refusal> {
        let folder = self.inner.ports.sessions_dir.clone();
        floor::blocking(move || floor::in_use(&folder)).await
    }

    /// Removes prepared clones that no session stands on, and returns how many went.
    ///
    /// # Errors
    /// When a session's folder or a clone cannot be read or removed; what some session may need was not removed.
    pub async fn collect_clones(&self, keep: KeepClones) -> Result<usize, Refusal> {
        let folder = self.inner.ports.sessions_dir.clone();
        let collected = self.inner.ports.clones.collect(keep, move || floor::cloned_commits(&folder)).await;
        collected.map_err(|error| floor::floor_refusal(&error))
    }

    /// Ends every session's task in order. Open turns go on at the next start; commands are refused from now on.
    pub async fn shut_down(&self) {
        self.inner.closing.cancel();
        let tasks = self.inner.registry.all();
        for task in &tasks {
            drop(task.inbox.send(Message::ShutDown).await);
        }
        for task in &tasks {
            task.home.over.cancelled().await;
        }
        // Those who follow a session that sleeps, or the list, hear it from nobody else.
        self.inner.registry.bye(GOODBYE);
        self.inner.index.tail().bye(GOODBYE);
    }

    /// The sessions' folder of one session.
    fn folder(&self, id: &SessionId) -> PathBuf {
        self.inner.ports.sessions_dir.join(id.as_str())
    }

    pub(crate) async fn reader(&self, id: &SessionId) -> Result<LogReader, Refusal> {
        if self.folder_exists(id).await { Ok(LogReader::new(&self.folder(id))) } else { Err(no_session(id)) }
    }

    /// Whether the session has a log.
    pub(crate) async fn folder_exists(&self, id: &SessionId) -> bool {
        tokio::fs::try_exists(self.folder(id).join(log::FILE)).await.unwrap_or(false)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn access(&self) -> &AccessList {
        &self.inner.access
    }

    pub(crate) fn families(&self) -> &Families {
        &self.inner.families
    }

    pub(crate) fn removals(&self) -> &Removals {
        &self.inner.removals
    }

    pub(crate) fn ports(&self) -> &Arc<Ports> {
        &self.inner.ports
    }

    /// Cancelled when the server shuts down.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.inner.closing
    }

    pub(crate) fn index(&self) -> &Index {
        &self.inner.index
    }

    pub(crate) fn working(&self) -> &Working {
        &self.inner.working
    }

    /// The session's task, begun if there is none.
    pub(crate) async fn wake(&self, id: &SessionId) -> Result<Task, Refusal> {
        if let Some(task) = self.inner.registry.task(id) {
            return Ok(task);
        }
        let (tail, waking) = self.inner.registry.enter(id);
        let _only_one = waking.lock().await;
        refuse_removed(&self.inner.removals, id)?;
        let reader = self.reader(id).await?;
        if let Some(task) = self.inner.registry.task(id) {
            return Ok(task);
        }
        if self.inner.closing.is_cancelled() {
            return Err(closing());
        }
        if self.inner.registry.awake_count() >= AWAKE_MAX {
            return Err(Refusal::new(
                RefusalCode::TooMany,
                format!("{AWAKE_MAX} sessions are at work on this server already."),
                "Try again when some of them rest.",
            ));
        }
        let (state, conversation) = match fold(&reader).await {
            Ok(folded) => folded,
            Err(error) => return Err(self.unreadable(id, &error).await),
        };
        SessionStep::WakeFolded.done();
        self.begin_brought(&state);
        let log = SessionLog::new(&self.inner.writers, &self.folder(id));
        let working = &self.inner.working;
        // The mark is on disk before anything is accepted: a crash from here on is put right at the next start.
        let (opened, marked, noted) = tokio::join!(log.open(), working.mark(id), working.note_whole(id));
        if let Err(error) = opened.and(marked.map_err(LogError::from)) {
            log.close().await;
            return Err(log_refusal(&error));
        }
        if let Err(error) = noted {
            tracing::warn!(%error, session = %id, "a session that is whole may be listed as damaged");
        }
        SessionStep::WakeLogOpened.done();
        let family = self.family(&state).await;
        if state.children_at_work().next().is_some() {
            self.ask_children_soon(state.clone());
        }
        Ok(self.start_task(id, tail, Start { state, conversation, log, family, woken: Woken::FromLog }))
    }

    /// Lets what the session's commit brings be read while its log is written or opened, so that its first turn need not wait for it.
    fn begin_brought(&self, state: &SessionState) {
        let Ports { brought, forge, .. } = &*self.inner.ports;
        brought.begin(forge, &state.repo, &state.base_commit);
    }

    fn start_task(&self, id: &SessionId, tail: Arc<Tail>, start: Start) -> Task {
        let Start { state, conversation, log, family, woken } = start;
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let folder = self.folder(id);
        let log_reader = LogReader::new(&folder);
        let ports = Arc::clone(&self.inner.ports);
        tail.raise_head(state.seq);
        let meter = Meter::new(id.clone(), ports.budgets, Arc::clone(&self.inner.ledger), family);
        meter.read(&state, now_ms());
        let home = Arc::new(Home {
            id: id.clone(),
            owner: state.owner.clone(),
            tail,
            blobs: Blobs::new(&folder),
            sandbox: SandboxHost::new(Arc::clone(&ports), &state, folder, sender.downgrade()),
            jobs: Jobs::default(),
            log: log_reader,
            meter,
            index: self.inner.index.clone(),
            working: self.inner.working.clone(),
            access: Arc::clone(&self.inner.access),
            registry: Arc::downgrade(&self.inner.registry),
            sessions: WeakSessions(Arc::downgrade(&self.inner)),
            ports,
            steered: AtomicBool::new(state.steers().next().is_some()),
            heard: watch::Sender::new(()),
            refused: watch::Sender::new(None),
            over: CancellationToken::new(),
        });
        let task = Task { inbox: sender.clone(), home: Arc::clone(&home) };
        self.inner.registry.awake(id, task.clone());
        let first = match woken {
            Woken::New => First::Begin,
            Woken::FromLog => First::PutRight("hangar was restarted".to_owned()),
        };
        tokio::spawn(Driver::new(home, state, conversation, log, inbox, sender).run(first));
        task
    }

    /// Reads what sessions used up today. After the list was brought up to date, and before any turn goes on.
    pub(crate) async fn read_day(&self) -> Result<(), StartError> {
        let today = day_of(now_ms());
        let midnight_ms = u64::from(today) * DAY_MS;
        for id in self.inner.index.updated_since(midnight_ms).await? {
            match LogReader::new(&self.folder(&id)).fold(|_event| {}).await {
                Ok(state) => self.inner.ledger.tell(&id, &state.day_spent, today),
                // Its turns cannot go on either.
                Err(error) => tracing::error!(session = %id, %error, "what a session used up today cannot be read"),
            }
        }
        Ok(())
    }
}

/// Opens the list of sessions. What an older one held that is no part of it any more is kept first.
async fn open_index(writers: &Writers, working: &Working, folder: &Path) -> Result<Index, StartError> {
    match Index::inherited(folder).await {
        Ok(inherited) => working.inherit(inherited).await.map_err(StartError::Working)?,
        // It is put aside by `open`.
        Err(error) => tracing::warn!(%error, "nothing can be learned from the list of sessions"),
    }
    Ok(Index::open(writers, folder).await?)
}

/// What a session's task begins with.
struct Start {
    state: SessionState,
    conversation: Conversation,
    log: SessionLog,
    family: Arc<Family>,
    woken: Woken,
}

/// Why a session's task begins.
enum Woken {
    /// The session is new.
    New,
    /// Somebody needs it.
    FromLog,
}

async fn fold(reader: &LogReader) -> Result<(SessionState, Conversation), LogError> {
    let conversation = Arc::new(Mutex::new(Conversation::default()));
    let filled = Arc::clone(&conversation);
    let take = move |event: &Event| filled.lock().unwrap_or_else(PoisonError::into_inner).apply(event);
    let state = reader.fold(take).await?;
    let conversation = std::mem::take(&mut *conversation.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((state, conversation))
}

fn numbered(events: Vec<(Cause, EventBody)>) -> Vec<Event> {
    let time_ms = now_ms();
    (1..).zip(events).map(|(seq, (cause, body))| Event { seq: Seq(seq), time_ms, cause, body }).collect()
}

fn with_prompt(mut events: Vec<Event>, by: Person, first: NewPrompt) -> Result<Vec<Event>, Refusal> {
    let NewPrompt { request_id, text } = first;
    let state = SessionState::fold(&events).map_err(|error| log_refusal(&error.into()))?;
    let command = Command::Prompt { request_id: request_id.unwrap_or_else(random_request_id), text };
    let decision = decide(&state, Input::Command(Commanded { by, command }))?;
    let time_ms = now_ms();
    let number = |(seq, (cause, body))| Event { seq: Seq(seq), time_ms, cause, body };
    events.extend((state.seq.0 + 1..).zip(decision.events).map(number));
    Ok(events)
}

/// A request id for a client that gave none.
#[must_use]
pub fn random_request_id() -> RequestId {
    format!("server-{:016x}", rand::random::<u64>()).parse().unwrap_or_else(|_| unreachable!("hex digits are allowed"))
}

pub(crate) fn folder_refusal(error: &std::io::Error) -> Refusal {
    if let known @ (StoreError::DiskFull | StoreError::ReadOnly) = StoreError::from(std::io::Error::from(error.kind()))
    {
        return log_refusal(&known.into());
    }
    Refusal::new(
        RefusalCode::Unavailable,
        format!("The session's folder cannot be made: {error}."),
        "Look at hangar's data directory, then try again.",
    )
}
