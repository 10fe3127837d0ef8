//! A turn of an external agent, from its prompt to the end of its program.

use std::sync::Arc;

use hangar_protocol::{
    Block, EventBody, Exhausted, ModelUsage, StopReason, TodoItem, TodoStatus, TurnId,
    event::HarnessMemory,
    frame::TextChannel,
    limits::{TODO_ITEMS_MAX, clip},
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    HarnessTurn,
    asked::{Heard, Questions},
    calls::Calls,
    peer::{Ended, Peer},
    told::{self, Beginning},
    words::{Incoming, PlanEntry, Prompted, RpcError, Stopped, Update, Updated},
};
use crate::{
    conversation::Facts,
    hooks::{Occasion, Scene},
    limits,
    sink::TurnSink,
    turn::{CUT_OFF, Halt, REFUSED, TurnEnd, identity, millis},
};

/// What stands for the result of a call of which a program told no end.
const SAID_NOTHING: &str = "The agent ended its turn without saying what came of this call.";
/// Longest entry of a plan that is kept.
const PLAN_CHARS_MAX: usize = 300;

/// Works on the open turn of a conversation with the program of an external agent until it ends. Cancelling `stop` asks the program to
/// stop and ends its whole process tree, whether or not it does. The caller records [`EventBody::TurnEnded`].
///
/// Dropping the future instead leaves the turn as a crash would: the program ends, and the turn can be taken up again from the log.
pub async fn run_harness_turn(input: HarnessTurn, sink: Arc<dyn TurnSink>, stop: CancellationToken) -> TurnEnd {
    let open = input.conversation.open_turn().cloned();
    let Some((open, facts)) = open.zip(input.conversation.facts().cloned()) else {
        return TurnEnd::Failed { reason: "there is no open turn to work on".to_owned() };
    };
    let scene = Scene::of(&facts, &open, &input.model);
    let turn = Turn {
        id: open.id,
        step: open.steps,
        scene,
        facts,
        beginning: if open.handed_over { Beginning::Again } else { Beginning::Fresh },
        memory: HarnessMemory::New,
        env: identity::environment(&open.author, &open.steerers),
        deadline: Instant::now() + input.limits.duration_max,
        said: Said::default(),
        calls: Calls::default(),
        asked_leave: None,
        input,
        sink,
        stop,
    };
    turn.work().await.map_or_else(TurnEnd::from, |()| TurnEnd::Done)
}

/// See the module's documentation.
pub(super) struct Turn {
    pub(super) id: TurnId,
    /// The last reply that is written down.
    pub(super) step: u32,
    pub(super) scene: Scene,
    facts: Facts,
    pub(super) beginning: Beginning,
    /// What its program knows of what was said before.
    pub(super) memory: HarnessMemory,
    pub(super) env: Vec<(String, String)>,
    deadline: Instant,
    /// What it said since.
    pub(super) said: Said,
    pub(super) calls: Calls,
    /// The wish for leave that is not answered.
    pub(super) asked_leave: Option<Value>,
    pub(super) input: HarnessTurn,
    pub(super) sink: Arc<dyn TurnSink>,
    stop: CancellationToken,
}

/// A reply that is being written.
#[derive(Default)]
pub(super) struct Said {
    blocks: Vec<Block>,
    began: Option<Instant>,
    bytes: usize,
}

impl Said {
    /// Adds the call with which a reply ends.
    pub(super) fn call(&mut self, call: Block) {
        self.blocks.push(call);
    }
}

/// A program that can be given prompts.
pub(super) struct Speaker {
    pub(super) peer: Peer,
    /// Its own name for the conversation.
    pub(super) conversation: String,
    /// What its hooks ask.
    pub(super) questions: Questions,
}

/// What there is to do next in a turn.
enum Next {
    Message(Incoming),
    Hook(Heard),
    /// Something is due about calls.
    Due,
}

/// How a prompt was answered.
enum Answered {
    Ended(Stopped),
    Fault(RpcError),
}

impl Turn {
    async fn work(mut self) -> Result<(), Halt> {
        self.begin().await?;
        let mut speaker = self.start().await?;
        let worked = self.converse(&mut speaker).await;
        if let Err(Halt::Stopped | Halt::Failed(_) | Halt::Paused(_)) = &worked {
            // Hooks that are held are told that the turn has ended, so that the program can.
            speaker.questions.close();
            self.calls.waiting.clear();
            self.take_leave(&mut speaker).await?;
        }
        speaker.peer.end().await;
        // What it had said is said, however it ended.
        self.flush(StopReason::EndTurn).await?;
        self.close_calls(worked.is_ok().then_some(SAID_NOTHING)).await?;
        worked
    }

    /// Asks plugins about the turn's beginning, before any program works on it.
    async fn begin(&mut self) -> Result<(), Halt> {
        if self.beginning == Beginning::Again {
            return Ok(());
        }
        let Some(open) = self.input.conversation.open_turn() else { return Ok(()) };
        let (by, text) = (open.author.user.clone(), open.said.clone());
        self.pass(Occasion::PromptSubmit { by: &by, text: &text }).await?;
        if self.id.0 == 1 {
            self.pass(Occasion::SessionStart).await?;
        }
        self.pass(Occasion::ContextInject).await
    }

    async fn pass(&mut self, occasion: Occasion<'_>) -> Result<(), Halt> {
        self.asked(occasion).await?.map_err(Halt::Failed)
    }

    async fn asked(&mut self, occasion: Occasion<'_>) -> Result<Result<(), String>, Halt> {
        let (point, mut decided) = (occasion.point(), Vec::new());
        let answered = |plugin: &str| self.input.conversation.was_answered(point, plugin);
        let asking = self.input.hooks.pass(&self.scene, occasion, answered, &mut decided);
        let answer = self.within(asking).await?;
        for decided in decided {
            self.record(decided.event(self.id)).await?;
        }
        Ok(answer)
    }

    /// Gives it the prompt, and what plugins say to its end, until it may end.
    async fn converse(&mut self, speaker: &mut Speaker) -> Result<(), Halt> {
        let mut words = told::first_words(&self.input.conversation, &self.facts, self.memory, self.beginning);
        let mut told_refusals = 0;
        loop {
            let given = self.input.conversation.said_to_turn(0).count();
            self.calls.refusals.clear();
            let prompt = json!({"sessionId": speaker.conversation, "prompt": [{"type": "text", "text": words}]});
            let asked = self.within(speaker.peer.ask("session/prompt", prompt)).await?;
            let asked = asked.map_err(|ended| gone(&self.agent(), &ended))?;
            let answered = self.listen(speaker, asked).await?;
            self.flush(StopReason::EndTurn).await?;
            match answered {
                Answered::Fault(fault) => {
                    return Err(Halt::Failed(format!("{} cannot go on: {}", self.agent(), fault.words())));
                }
                Answered::Ended(Stopped::Cancelled) if !self.calls.refusals.is_empty() => {
                    told_refusals += 1;
                    if told_refusals > limits::TURN_SENT_BACK_MAX {
                        return Err(Halt::Failed(self.calls.refusals.join(" · ")));
                    }
                    words = told::refused_words(&self.calls.refusals);
                    continue;
                }
                Answered::Ended(Stopped::EndTurn) => {}
                Answered::Ended(stopped) => return Err(Halt::Failed(self.stopped_words(stopped))),
            }
            if self.may_end().await? {
                return Ok(());
            }
            words = self.input.conversation.said_to_turn(given).collect::<Vec<_>>().join("\n\n");
        }
    }

    /// Whether plugins let the turn end; where not, what they say is in the conversation.
    async fn may_end(&mut self) -> Result<bool, Halt> {
        let sent_back = self.input.conversation.open_turn().map_or(0, |turn| turn.sent_back);
        if sent_back >= limits::TURN_SENT_BACK_MAX {
            return Ok(true);
        }
        let said = self.input.conversation.last_words();
        match self.asked(Occasion::TurnEnd { said: &said, sent_back }).await? {
            Ok(()) => Ok(true),
            // A guard that failed did not say what is missing: the agent could do nothing about it.
            Err(words) if self.input.conversation.ended().is_some() => Err(Halt::Failed(words)),
            Err(_) => Ok(false),
        }
    }

    fn stopped_words(&self, stopped: Stopped) -> String {
        match stopped {
            Stopped::MaxTokens => CUT_OFF.to_owned(),
            Stopped::Refusal => REFUSED.to_owned(),
            Stopped::MaxTurnRequests => {
                format!("{} reached its own limit of requests in one turn. Send \"go on\".", self.agent())
            }
            Stopped::Cancelled | Stopped::EndTurn => {
                format!("{} gave up without saying why. Send another prompt to go on.", self.agent())
            }
        }
    }

    /// Takes in what the program and its hooks tell until it answers the prompt.
    async fn listen(&mut self, speaker: &mut Speaker, asked: u64) -> Result<Answered, Halt> {
        let Speaker { peer, questions, .. } = speaker;
        loop {
            let incoming = match self.next(peer, questions).await? {
                Next::Message(incoming) => incoming,
                Next::Hook(heard) => {
                    self.heard(heard).await?;
                    self.decide_on_questions(questions).await?;
                    continue;
                }
                Next::Due => {
                    self.decide_on_questions(questions).await?;
                    self.overdue().await?;
                    continue;
                }
            };
            match incoming {
                Incoming { method: Some(method), id, params, .. } => self.told(peer, &method, id, params).await?,
                Incoming { id: Some(id), error: Some(fault), .. } if id == asked => return Ok(Answered::Fault(fault)),
                Incoming { id: Some(id), result, .. } if id == asked => {
                    let prompted: Prompted = self.understood(Ok(result.unwrap_or_default()))?;
                    return Ok(Answered::Ended(prompted.stop_reason));
                }
                Incoming { .. } => {}
            }
            self.decide_on_questions(questions).await?;
        }
    }

    /// What comes first. What the program said stands before what its hooks ask.
    async fn next(&self, peer: &mut Peer, questions: &mut Questions) -> Result<Next, Halt> {
        let due = self.calls.due(&self.input.times);
        let incoming = tokio::select! {
            biased;
            halt = self.halted() => return Err(halt),
            incoming = timeout(self.input.times.silence_max, peer.next()) => incoming,
            heard = questions.next() => return Ok(Next::Hook(heard)),
            () = sleep_until(due.unwrap_or(self.deadline)), if due.is_some() => return Ok(Next::Due),
        };
        let incoming = incoming.map_err(|_elapsed| {
            Halt::Failed(format!(
                "{} said nothing for {} s. Its processes were ended; send another prompt to go on.",
                self.agent(),
                self.input.times.silence_max.as_secs()
            ))
        })?;
        Ok(Next::Message(incoming.map_err(|ended| gone(&self.agent(), &ended))?))
    }

    /// Takes in one message that is no answer.
    async fn told(&mut self, peer: &mut Peer, method: &str, id: Option<Value>, params: Value) -> Result<(), Halt> {
        match (method, id) {
            ("session/update", None) => {
                let Updated { update } = serde_json::from_value(params).map_err(|fault| {
                    Halt::Failed(format!("{} told something that hangar cannot read: {fault}.", self.agent()))
                })?;
                self.news(update).await
            }
            ("session/request_permission", Some(id)) => self.permission(peer, id, params).await,
            (method, Some(id)) => {
                self.within(peer.refuse(&id, method)).await?.map_err(|ended| gone(&self.agent(), &ended))
            }
            (_, None) => Ok(()),
        }
    }

    async fn news(&mut self, update: Update) -> Result<(), Halt> {
        match update {
            Update::AgentMessageChunk { content } => self.more(TextChannel::Text, &content),
            Update::AgentThoughtChunk { content } => self.more(TextChannel::Reasoning, &content),
            Update::ToolCall(call) | Update::CallNews(call) => self.call_news(call).await,
            Update::Plan { entries } => {
                let items = entries.iter().take(TODO_ITEMS_MAX).map(todo).collect();
                self.record(EventBody::TodoChanged { items }).await
            }
            Update::Other => Ok(()),
        }
    }

    /// More of its words or thoughts. What is no text is not shown.
    pub(super) fn more(&mut self, channel: TextChannel, content: &Value) -> Result<(), Halt> {
        let Some(text) = content["text"].as_str().filter(|text| !text.is_empty()) else { return Ok(()) };
        let Said { blocks, began, bytes } = &mut self.said;
        began.get_or_insert_with(Instant::now);
        *bytes += text.len();
        if *bytes > limits::REPLY_BYTES_MAX {
            return Err(Halt::Failed(format!(
                "{} wrote a reply of more than {} MiB. Its processes were ended; send another prompt to go on.",
                self.input.harness.id,
                limits::REPLY_BYTES_MAX / 1024 / 1024
            )));
        }
        let known = match (channel, blocks.last_mut()) {
            (TextChannel::Text, Some(Block::Text { text }))
            | (TextChannel::Reasoning, Some(Block::Reasoning { text, .. })) => Some(text),
            (TextChannel::Text | TextChannel::Reasoning, _) => None,
        };
        let offset = match known {
            Some(known) => {
                let offset = known.len();
                known.push_str(text);
                offset
            }
            None => {
                blocks.push(match channel {
                    TextChannel::Text => Block::Text { text: text.to_owned() },
                    TextChannel::Reasoning => Block::Reasoning { text: text.to_owned(), provider: Value::Null },
                });
                0
            }
        };
        let block = u32::try_from(blocks.len() - 1).unwrap_or(u32::MAX);
        self.sink.text(self.step + 1, block, channel, u32::try_from(offset).unwrap_or(u32::MAX), text);
        Ok(())
    }

    /// Writes down what it said. What that cost, the gateway has counted.
    pub(super) async fn flush(&mut self, stop: StopReason) -> Result<(), Halt> {
        let Said { blocks, began, .. } = std::mem::take(&mut self.said);
        if blocks.is_empty() {
            return Ok(());
        }
        self.step += 1;
        let replied = EventBody::ModelReplied {
            turn: self.id,
            step: self.step,
            blocks,
            usage: ModelUsage::default(),
            cost_micro_usd: Some(0),
            stop,
            first_token_ms: 0,
            duration_ms: began.map_or(0, |began| millis(began.elapsed())),
        };
        self.record(replied).await
    }

    /// Makes an event durable and takes it into the conversation.
    pub(super) async fn record(&mut self, body: EventBody) -> Result<(), Halt> {
        self.sink.record(body.clone()).await?;
        self.input.conversation.apply_body(&body);
        Ok(())
    }

    /// Does something, unless the turn has to end first.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            halt = self.halted() => Err(halt),
            done = work => Ok(done),
        }
    }

    /// Waits until the turn has to end.
    async fn halted(&self) -> Halt {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Halt::Stopped,
            exhausted = refused(self.input.refused.clone(), self.id) => Halt::Paused(exhausted),
            () = sleep_until(self.deadline) => Halt::Failed(format!(
                "The turn took longer than {} minutes. Its files are kept; send another prompt to go on.",
                self.input.limits.duration_max.as_secs() / 60
            )),
        }
    }

    /// The agent's name, for people.
    pub(super) fn agent(&self) -> String {
        format!("The agent {}", self.input.harness.id)
    }
}

/// Waits until the gateway has refused a request of the turn for its budget.
async fn refused(mut refused: watch::Receiver<Option<(TurnId, Exhausted)>>, turn: TurnId) -> Exhausted {
    let exhausted = match refused.wait_for(|told| told.as_ref().is_some_and(|(of, _)| *of == turn)).await {
        Ok(told) => told.as_ref().map(|(_, exhausted)| exhausted.clone()),
        Err(_) => None,
    };
    match exhausted {
        Some(exhausted) => exhausted,
        // Nobody tells any more.
        None => std::future::pending().await,
    }
}

/// A program that is gone, for people.
pub(super) fn gone(agent: &str, Ended(words): &Ended) -> Halt {
    Halt::Failed(format!("{agent} is gone: {words}. Its files are kept; send another prompt to go on."))
}

fn todo(entry: &PlanEntry) -> TodoItem {
    let status = match entry.status.as_str() {
        "in_progress" => TodoStatus::InProgress,
        "completed" => TodoStatus::Done,
        _ => TodoStatus::Pending,
    };
    TodoItem { text: clip(entry.content.lines().next().unwrap_or_default(), PLAN_CHARS_MAX), status }
}
