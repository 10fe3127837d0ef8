//! Runs the agent on a turn, beside the driver.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_agent::{
    Conversation, SandboxPath, Sandboxes, Tell, TurnEnd, TurnInput, TurnOver, TurnSink, Workspace, WorkspaceError,
    acp::{HarnessTimes, HarnessTurn, run_harness_turn},
    conversation::Steer,
    hooks::{Bus, Installed, ProtectedPaths},
    limits::{OWN_HOOK_DEADLINE, TurnLimits},
    models::Price,
    run_turn,
    web::Web,
};
use hangar_forge::ForgeError;
use hangar_protocol::{
    CallId, EventBody, Exhausted, OnFailure, Person, Seq, SessionState, TurnId, UserId,
    api::OpenPullRequest,
    event::{BlobRef, TurnOutcome},
    frame::TextChannel,
    state::{PullRequestState, PullRequestStatus},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    budgets::Priced,
    clock::now_ms,
    decide::Report,
    driver::Message,
    harness::SandboxPrograms,
    home::{Home, Inbox},
    ports::Ports,
    pull_request,
    steps::SessionStep,
    web::SessionWeb,
};

/// Starts the agent on a turn. Its end comes to the inbox as a report.
pub(crate) fn spawn(
    home: &Arc<Home>,
    state: &SessionState,
    conversation: &Conversation,
    turn: TurnId,
    stop: CancellationToken,
    inbox: Inbox,
) {
    let author = state.author_of(turn).cloned();
    let model = home.ports.models.find(&state.model);
    let sink = Sink { home: Arc::clone(home), turn, author, inbox: inbox.clone() };
    let (Some(model), Some(author)) = (model, sink.author.clone()) else {
        let reason = format!(
            "This server has no model {} any more. Configure it again, or start a session with another one.",
            state.model
        );
        tokio::spawn(async move { end(&inbox, turn, TurnOutcome::Failed { reason }).await });
        return;
    };
    home.sandbox.prepare_for(author.user);
    let harness = match &state.agent {
        None => None,
        Some(agent) => match home.ports.harnesses.find(agent) {
            Some(harness) => Some(harness),
            None => {
                let reason = format!(
                    "This server has no agent {agent} any more. Configure it again ([[agents]]), or start a session with another one."
                );
                tokio::spawn(async move { end(&inbox, turn, TurnOutcome::Failed { reason }).await });
                return;
            }
        },
    };
    let (conversation, repo, commit) = (conversation.clone(), state.repo.clone(), state.base_commit.clone());
    SessionStep::TurnHandedOver.done();
    let by = Arc::clone(home);
    tokio::spawn(async move {
        let sandboxes: Arc<dyn Sandboxes> = Arc::new(SessionSandboxes { home: Arc::clone(&by) });
        let Ports { brought, forge, plugins, mcp, .. } = &*by.ports;
        let brought = match brought.of(forge, &repo, &commit).await {
            Ok(brought) => brought,
            // Guards may stand there: nothing goes on without them.
            Err(error) => {
                return end(&inbox, turn, TurnOutcome::Failed { reason: unknown_hooks(&commit, &error) }).await;
            }
        };
        let mut own = brought.hooks.installed(&sandboxes);
        own.extend(brought.mcp.told());
        let hooks = watching(own, plugins.of(&repo));
        let mcp = mcp.of(&repo, &brought.mcp, &by);
        let (sink, limits) = (Arc::new(sink), TurnLimits::default());
        let ended = match harness {
            None => {
                let jobs = by.jobs.clone();
                let web: Arc<dyn Web> = Arc::new(SessionWeb { home: Arc::clone(&by) });
                let input = TurnInput { conversation, model, sandboxes, jobs, mcp, web, hooks, limits };
                run_turn(input, sink, stop).await
            }
            Some(harness) => {
                // What was refused before it was raised does not count.
                by.refused.send_replace(None);
                let input = HarnessTurn {
                    conversation,
                    harness,
                    model: model.id.clone(),
                    programs: Arc::new(SandboxPrograms { home: Arc::clone(&by) }),
                    refused: by.refused.subscribe(),
                    door: by.sandbox.hooks(),
                    hooks,
                    limits,
                    times: HarnessTimes::default(),
                };
                run_harness_turn(input, sink, stop).await
            }
        };
        by.report_end(&inbox, turn, ended).await;
    });
}

async fn end(inbox: &Inbox, turn: TurnId, outcome: TurnOutcome) {
    // A session that is gone resumes the turn when it is woken.
    drop(inbox.send(Message::Report(Report::TurnOver { turn, outcome })).await);
}

fn unknown_hooks(commit: &str, error: &ForgeError) -> String {
    format!(
        "The hooks of the repository cannot be read from the session's commit {commit}: {error}. Prompt again; where the commit is gone from the \
         repository, start a new session."
    )
}

/// What watches over a turn: the repository's own hooks, then plugins. hangar's own guards come last: they see a call as it will be made.
fn watching(mut hooks: Vec<Installed>, plugins: Vec<Installed>) -> Bus {
    hooks.extend(plugins);
    let git = SandboxPath::parse(".git").into_iter().collect();
    hooks.push(Installed {
        plugin: ProtectedPaths::PLUGIN.to_owned(),
        hook: Arc::new(ProtectedPaths::new(git)),
        on_failure: OnFailure::Closed,
        deadline: OWN_HOOK_DEADLINE,
    });
    Bus::new(hooks)
}

impl Home {
    /// Tells the session how the agent's turn ended.
    async fn report_end(&self, inbox: &Inbox, turn: TurnId, ended: TurnEnd) {
        let outcome = match ended {
            TurnEnd::Done => TurnOutcome::Done,
            TurnEnd::Stopped => TurnOutcome::Stopped { by: self.stopped_by(inbox, turn).await },
            TurnEnd::Failed { reason } => TurnOutcome::Failed { reason },
            TurnEnd::Paused(exhausted) => {
                drop(inbox.send(Message::Report(Report::TurnPaused { turn, exhausted })).await);
                return;
            }
            TurnEnd::Over => return,
        };
        SessionStep::TurnOver.done();
        end(inbox, turn, outcome).await;
    }

    /// Who asked a turn to stop; the owner where nobody did (the server shuts down, and nothing of it is written).
    async fn stopped_by(&self, inbox: &Inbox, turn: TurnId) -> UserId {
        let (answer, answered) = oneshot::channel();
        drop(inbox.send(Message::State(answer)).await);
        let state = answered.await.ok();
        let stopped = state.as_ref().and_then(|state| state.turns.iter().find(|known| known.id == turn));
        let by = stopped.and_then(|known| known.stop_requested_by.clone());
        by.or_else(|| state.map(|state| state.owner)).unwrap_or_else(|| self.owner.clone())
    }
}

/// A turn's way to its session.
pub(crate) struct Sink {
    pub(crate) home: Arc<Home>,
    pub(crate) turn: TurnId,
    pub(crate) author: Option<Person>,
    pub(crate) inbox: Inbox,
}

impl Sink {
    /// Whether somebody wants to say something to the turn.
    pub(crate) fn is_called(&self) -> bool {
        self.home.steered.load(Ordering::Acquire)
    }

    /// Whose budget of the day is used.
    fn payer(&self) -> &UserId {
        self.author.as_ref().map_or(&self.home.owner, |author| &author.user)
    }
}

#[async_trait]
impl TurnSink for Sink {
    fn admit_request(&self, price: &Price) -> Result<(), Exhausted> {
        self.home.meter.admit_request(self.payer(), Priced::of(price), now_ms())
    }

    fn admit_call(&self) -> Result<(), Exhausted> {
        self.home.meter.admit_call(self.payer(), now_ms())
    }

    async fn record(&self, body: EventBody) -> Result<Seq, TurnOver> {
        let (recorded, durable) = oneshot::channel();
        let message = Message::Record(Report::Agent { turn: self.turn, body }, recorded);
        self.inbox.send(message).await.map_err(|_| TurnOver)?;
        let recorded = durable.await.ok().flatten().ok_or(TurnOver);
        SessionStep::TurnEventRecorded.done();
        recorded
    }

    async fn steers(&self) -> Result<Vec<Steer>, TurnOver> {
        if !self.is_called() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Message::Steers(self.turn, answer)).await.map_err(|_| TurnOver)?;
        answered.await.ok().flatten().ok_or(TurnOver)
    }

    fn text(&self, step: u32, block: u32, channel: TextChannel, offset: u32, text: &str) {
        self.home.tail.text(self.turn, step, block, channel, offset, text);
    }

    fn text_reset(&self, step: u32) {
        self.home.tail.text_reset(self.turn, step);
    }

    fn tool_output(&self, call: &CallId, offset: u32, text: &str) {
        self.home.tail.tool_output(call, offset, text);
    }

    async fn blob(&self, bytes: Bytes) -> Result<BlobRef, TurnOver> {
        match self.home.blobs.put(&bytes).await {
            Ok(blob) => {
                SessionStep::TurnBlobKept.done();
                Ok(blob)
            }
            Err(error) => {
                tracing::error!(%error, session = %self.home.id, "a tool's output cannot be kept");
                let reason =
                    format!("A tool's output cannot be kept: {error}. Free space on the server, then prompt again.");
                end(&self.inbox, self.turn, TurnOutcome::Failed { reason }).await;
                Err(TurnOver)
            }
        }
    }

    async fn read_blob(&self, blob: &BlobRef) -> Result<Bytes, TurnOver> {
        match self.home.blobs.get(&blob.sha256).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(refusal) => {
                let reason = format!("An earlier tool's output is missing on the server's disk: {refusal}");
                end(&self.inbox, self.turn, TurnOutcome::Failed { reason }).await;
                Err(TurnOver)
            }
        }
    }

    async fn open_pull_request(&self, wish: OpenPullRequest) -> Result<PullRequestState, Tell> {
        let (answer, answered) = oneshot::channel();
        let over = || Tell("The session is being closed.".to_owned());
        self.inbox.send(Message::State(answer)).await.map_err(|_| over())?;
        let state = answered.await.map_err(|_| over())?;
        if let Some(open) = state.pull_requests.iter().find(|known| known.status == PullRequestStatus::Open) {
            return Err(Tell(format!(
                "Pull request #{} of this session is open already. Push to its branch to change it.",
                open.number
            )));
        }
        let author = self.author.clone().ok_or_else(over)?;
        let opened = pull_request::open(Arc::clone(&self.home), state, author, wish, self.inbox.clone()).await;
        opened.map_err(|refusal| Tell(refusal.to_string()))
    }
}

/// Where a turn's workspace comes from.
struct SessionSandboxes {
    home: Arc<Home>,
}

#[async_trait]
impl Sandboxes for SessionSandboxes {
    async fn workspace(&self) -> Result<Arc<dyn Workspace>, WorkspaceError> {
        let sandbox = self.home.sandbox.get().await;
        let sandbox = sandbox.map_err(|refusal| WorkspaceError::Lost(refusal.to_string()))?;
        Ok(Arc::new(crate::workspace::SandboxWorkspace::new(sandbox)))
    }

    async fn news(&self) -> Option<String> {
        self.home.sandbox.news()
    }
}
