//! A turn, from its prompt to its end.
//!
//! ```text
//!          ┌────────────────── a reply with calls ◀─────────────────────┐
//!          ▼                                                            │
//!   calls: hooks → tools → hooks ── all answered ──▶ hear people ──▶ ask the model
//!          │                                          ▲    │            │
//!          │                                          │    └── nothing was said and the model has the last word, or asked people ──▶ hooks ──▶ done
//!          │                                          └───────── a reply without calls
//!          └──────── stop, time over, budget, fatal ◀───────────────────┘
//! ```
//!
//! The turn begins wherever its log ends: calls that had not begun are run, calls that had are answered as interrupted,
//! and only then is the model asked. So a turn that goes on after a crash is the same code as one that was never cut.

use std::{sync::Arc, time::Duration};

use hangar_protocol::{EventBody, Exhausted, StopReason, TurnId, event::ToolStatus};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Conversation,
    conversation::{Call, INTERRUPTED_CALL},
    hooks::{Bus, Scene},
    jobs::Jobs,
    limits::TurnLimits,
    mcp::{McpInput, Servers},
    models::Model,
    prompt,
    sink::{TurnOver, TurnSink},
    tools::{Tool, ToolSpec, attempt_tools, is_repeatable, mcp_tools, toolbox},
    web::Web,
    workspace::Sandboxes,
};

mod ask;
mod calls;
mod compact;
pub mod identity;
mod plugged;
mod question;

/// What a turn needs.
pub struct TurnInput {
    /// Everything said so far, with a turn open.
    pub conversation: Conversation,
    /// Who is asked.
    pub model: Arc<Model>,
    /// Where a workspace comes from when the first tool needs one.
    pub sandboxes: Arc<dyn Sandboxes>,
    /// The session's background commands. Keep it from turn to turn; dropping it ends them.
    pub jobs: Jobs,
    /// The MCP servers that its agent can call. They end with the turn.
    pub mcp: McpInput,
    /// Where it reads the web.
    pub web: Arc<dyn Web>,
    /// What watches over the turn.
    pub hooks: Bus,
    /// How much the turn may use.
    pub limits: TurnLimits,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// The model says it is done.
    Done,
    /// It was cancelled. Every call has its result; the caller knows who asked.
    Stopped,
    /// It could not go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
    /// A budget is used up. Calls that had begun have their results, others wait: the turn can be taken up again from the log.
    Paused(Exhausted),
    /// The session took the turn away ([`TurnOver`]); there is nothing to record.
    Over,
}

/// Why a turn does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Stopped,
    Failed(String),
    Paused(Exhausted),
    Over,
}

impl From<Halt> for TurnEnd {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => Self::Stopped,
            Halt::Failed(reason) => Self::Failed { reason },
            Halt::Paused(exhausted) => Self::Paused(exhausted),
            Halt::Over => Self::Over,
        }
    }
}

impl From<TurnOver> for Halt {
    fn from(TurnOver: TurnOver) -> Self {
        Self::Over
    }
}

/// Works on the open turn of a conversation until it ends. Cancelling `stop` ends it within a second, with every call
/// answered. The caller records [`EventBody::TurnEnded`].
///
/// Dropping the future instead leaves the turn as a crash would: it can be taken up again from the log.
pub async fn run_turn(input: TurnInput, sink: Arc<dyn TurnSink>, stop: CancellationToken) -> TurnEnd {
    let open = input.conversation.open_turn().cloned();
    let Some((open, facts)) = open.zip(input.conversation.facts()) else {
        return TurnEnd::Failed { reason: "there is no open turn to work on".to_owned() };
    };
    let fallen_to = open.fell_back_to.as_deref().and_then(|id| input.model.or_fallback(id));
    let model = fallen_to.unwrap_or_else(|| Arc::clone(&input.model));
    let scene = Scene::of(facts, &open, &model.id);
    let servers = Arc::new(Servers::new(input.mcp.clone()));
    let mut tools = toolbox();
    tools.extend(mcp_tools(&servers));
    if input.conversation.has_attempts() {
        tools.extend(attempt_tools());
    }
    let mut turn = Turn {
        id: open.id,
        model,
        scene,
        system: prompt::system(&input.conversation, &servers.names()),
        env: identity::environment(&open.author, &open.steerers),
        specs: tools.iter().map(|tool| tool.spec().clone()).collect(),
        tools,
        deadline: Instant::now() + input.limits.duration_max,
        instructed: calls::Instructed::new(&input.conversation),
        input,
        sink,
        stop,
    };
    let ended = turn.work().await.map_or_else(TurnEnd::from, |()| TurnEnd::Done);
    servers.end().await;
    ended
}

struct Turn {
    id: TurnId,
    /// Who is asked now: the session's model, or one that it fell back to.
    model: Arc<Model>,
    /// Where plugins are asked.
    scene: Scene,
    input: TurnInput,
    system: String,
    tools: Vec<Arc<dyn Tool>>,
    specs: Vec<ToolSpec>,
    env: Vec<(String, String)>,
    sink: Arc<dyn TurnSink>,
    stop: CancellationToken,
    deadline: Instant,
    instructed: calls::Instructed,
}

impl Turn {
    async fn work(&mut self) -> Result<(), Halt> {
        self.fetch_missing().await?;
        self.answer_interrupted().await?;
        self.begin().await?;
        loop {
            if self.input.conversation.open_calls().next().is_some() {
                self.run_calls().await?;
            }
            self.hear().await?;
            match self.input.conversation.ended() {
                Some(StopReason::EndTurn | StopReason::ToolUse) if self.may_end().await? => return Ok(()),
                Some(StopReason::MaxTokens) => return Err(Halt::Failed(CUT_OFF.to_owned())),
                Some(StopReason::Refusal) => return Err(Halt::Failed(REFUSED.to_owned())),
                None if self.input.conversation.has_asked() && self.may_end().await? => return Ok(()),
                Some(StopReason::EndTurn | StopReason::ToolUse) | None => {}
            }
            self.ask().await?;
        }
    }

    /// Takes in what people say to the turn. No call is open here, so that every wire takes it as the next words of the user.
    async fn hear(&mut self) -> Result<(), Halt> {
        for steer in self.sink.steers().await? {
            let (by, text) = (steer.author.user.clone(), steer.text.clone());
            self.input.conversation.steer(steer);
            self.said(&by, &text).await?;
        }
        if let Some(open) = self.input.conversation.open_turn() {
            self.env = identity::environment(&open.author, &open.steerers);
        }
        Ok(())
    }

    /// Results whose middle is only in a blob are read back once, so that the model sees them as it did before.
    async fn fetch_missing(&mut self) -> Result<(), Halt> {
        for blob in self.input.conversation.missing() {
            let bytes = self.sink.read_blob(&blob).await?;
            self.input.conversation.supply(&blob, &bytes);
        }
        Ok(())
    }

    /// Calls that had begun when the turn was cut off may have had any part of their effect: they are not run again, but for those of which that
    /// makes no difference.
    async fn answer_interrupted(&mut self) -> Result<(), Halt> {
        let cut_off = |call: &&Call| call.started && !is_repeatable(&call.name);
        let started: Vec<_> =
            self.input.conversation.open_calls().filter(cut_off).map(|call| call.call.clone()).collect();
        for call in started {
            let finished = EventBody::ToolFinished {
                turn: self.id,
                call,
                status: ToolStatus::Interrupted,
                output: INTERRUPTED_CALL.to_owned(),
                blob: None,
                image: None,
                duration_ms: 0,
            };
            self.record(finished).await?;
        }
        Ok(())
    }

    /// Makes an event durable and takes it into the conversation.
    async fn record(&mut self, body: EventBody) -> Result<(), Halt> {
        self.sink.record(body.clone()).await?;
        self.input.conversation.apply_body(&body);
        Ok(())
    }

    /// Waits until the turn has to end.
    async fn halted(&self) -> Halt {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Halt::Stopped,
            () = tokio::time::sleep_until(self.deadline) => Halt::Failed(format!(
                "The turn took longer than {} minutes. Its files are kept; send another prompt to go on.",
                self.input.limits.duration_max.as_secs() / 60
            )),
        }
    }
}

pub(crate) const CUT_OFF: &str =
    "The model reached the limit of what it may write in one reply. Send \"go on\", or raise output_tokens_max.";
pub(crate) const REFUSED: &str = "The model refused to go on. Put the wish in other words, or choose another model.";

/// A time span in whole milliseconds, as events carry it.
pub(crate) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// A turn runs as a task of its own.
const _: () = {
    const fn is_send<T: Send>(_: &T) {}
    fn check(input: TurnInput, sink: Arc<dyn TurnSink>, stop: CancellationToken) {
        is_send(&run_turn(input, sink, stop));
    }
    let _ = check;
};
