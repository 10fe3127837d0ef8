//! One question to the model: a request, its retries, and the reply.

use std::time::Duration;

use futures::{
    FutureExt, StreamExt,
    future::{Shared, ready},
};
use hangar_protocol::{Block, CallId, EventBody, Seq, StopReason, frame::TextChannel};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Halt, Turn, millis,
    question::{NoReply, Question, Timed},
};
use crate::{
    limits,
    provider::{Fault, FaultKind, ModelRequest, Piece, ReplyBlock, ReplyLength, timeouts},
    sink::TurnOver,
};

/// The key under which arguments stand that were no JSON object, in a call's input.
pub(super) const UNPARSED: &str = "unparsed_arguments";

impl Turn {
    /// Asks until there is a whole reply, and records it.
    pub(super) async fn ask(&mut self) -> Result<(), Halt> {
        let asked = self.input.conversation.open_turn().map_or(0, |turn| turn.steps);
        if asked >= self.input.limits.steps_max {
            return Err(Halt::Failed(format!(
                "The turn used its {asked} model requests. Its files are kept; send another prompt to go on."
            )));
        }
        let step = asked + 1;
        self.make_room(step).await?;
        self.sink.admit_request(&self.model.price).map_err(Halt::Paused)?;
        let question = Question::Work { step };
        let requested = EventBody::ModelRequested { turn: self.id, step, model: self.model.id.clone() };
        // The prompt or the results that are sent are durable already, so the request need not wait for this event; only what
        // comes back does.
        let recorded = self.sink.record(requested.clone()).shared();
        let (mut replied, recorded) = tokio::join!(self.reply(question, recorded.clone()), recorded);
        let recorded = recorded?;
        self.input.conversation.apply_body(&requested);
        let mut summed_up = false;
        let Timed { reply, first_token, whole } = loop {
            match replied {
                Ok(timed) => break timed,
                Err(NoReply::Halt(halt)) => return Err(halt),
                Err(NoReply::GivenUp(reason)) if self.may_be_an_image(&reason) => self.leave_out_images(step).await?,
                Err(NoReply::GivenUp(reason)) => self.fall_back(step, reason).await?,
                Err(NoReply::TooLong(reason)) if summed_up => {
                    return Err(Halt::Failed(format!(
                        "What the model {} has to read is more than it can, even after a summary: {reason}. Choose a model with a larger \
                         window.",
                        self.model.id
                    )));
                }
                Err(NoReply::TooLong(_)) => {
                    self.sum_up(step).await?;
                    summed_up = true;
                }
            }
            replied = self.reply(question, ready(Ok(recorded)).shared()).await;
        };
        let stop = reply.stop.unwrap_or(StopReason::EndTurn);
        let cost_micro_usd = self.model.price.cost_micro_usd(reply.usage);
        let replied = EventBody::ModelReplied {
            turn: self.id,
            step,
            usage: reply.usage,
            cost_micro_usd,
            stop,
            first_token_ms: millis(first_token),
            duration_ms: millis(whole),
            blocks: self.blocks(step, reply.blocks),
        };
        self.record(replied).await
    }

    /// Goes on with the model that is there for when this one does not answer.
    pub(super) async fn fall_back(&mut self, step: u32, reason: String) -> Result<(), Halt> {
        let Some(next) = self.model.fallback.clone() else { return Err(Halt::Failed(reason)) };
        // Another model has another price, or none that is known.
        self.sink.admit_request(&next.price).map_err(Halt::Paused)?;
        let (from, to) = (self.model.id.clone(), next.id.clone());
        tracing::warn!(turn = self.id.0, step, %from, %to, %reason, "the turn goes on with another model");
        self.model = next;
        self.scene.model.clone_from(&self.model.id);
        self.record(EventBody::ModelFellBack { turn: self.id, step, from, to, reason }).await
    }

    /// Sends the request until it is answered, or it makes no sense to go on.
    pub(super) async fn reply(
        &self,
        question: Question,
        recorded: Shared<impl Future<Output = Result<Seq, TurnOver>>>,
    ) -> Result<Timed, NoReply> {
        let limits = self.model.timeouts;
        let step = question.step();
        let mut attempt = 1;
        loop {
            let mut shown = false;
            let fault = tokio::select! {
                biased;
                halt = self.halted() => return Err(halt.into()),
                reply = self.attempt(question, recorded.clone(), &mut shown) => match reply {
                    Ok(timed) => return Ok(timed),
                    Err(fault) => fault,
                },
            };
            // What announces the retry must not stand before what announced the request.
            recorded.clone().await?;
            if shown {
                self.sink.text_reset(step);
            }
            if fault.kind == FaultKind::TooLong {
                return Err(NoReply::TooLong(fault.reason));
            }
            let wait = self.pause(attempt, &fault).map_err(NoReply::GivenUp)?;
            if attempt >= limits.attempts_max {
                return Err(NoReply::GivenUp(format!(
                    "The model {} did not answer after {attempt} attempts; the last said: {}. Try again later, or choose another \
                     model.",
                    self.model.id, fault.reason
                )));
            }
            tracing::warn!(
                session = self.input.conversation.facts().map(|facts| facts.session.as_str()),
                turn = self.id.0,
                step,
                attempt,
                model = %self.model.id,
                wait_ms = millis(wait),
                reason = %fault.reason,
                "a model request failed and is sent again"
            );
            let retried =
                EventBody::ModelRetried { turn: self.id, step, attempt, wait_ms: millis(wait), reason: fault.reason };
            self.sink.record(retried).await?;
            tokio::select! {
                biased;
                halt = self.halted() => return Err(halt.into()),
                () = sleep(wait) => {}
            }
            attempt += 1;
        }
    }

    /// One attempt: shows a reply to the work while it comes.
    async fn attempt(
        &self,
        question: Question,
        recorded: Shared<impl Future<Output = Result<Seq, TurnOver>>>,
        shown: &mut bool,
    ) -> Result<Timed, Fault> {
        let messages = match question {
            Question::Work { .. } => self.input.conversation.messages(),
            Question::Summary { shortened, .. } => {
                self.input.conversation.messages_to_sum_up(shortened).unwrap_or_default()
            }
        };
        let request = ModelRequest {
            system: &self.system,
            tools: &self.specs,
            messages: &messages,
            length: ReplyLength::Whole,
            cache_key: self.input.conversation.facts().map(|facts| facts.session.as_str()),
        };
        let began = Instant::now();
        let mut pieces = self.model.provider.reply(&request);
        let mut first_token = None;
        let mut offsets: Vec<u32> = Vec::new();
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            let first_token = *first_token.get_or_insert_with(|| began.elapsed());
            // Nothing is shown of a reply whose request is not in the log. `ask` judges a failed record.
            let _ = recorded.clone().await;
            match piece {
                Piece::Text { block, channel, text } => {
                    bytes += text.len();
                    if bytes > limits::REPLY_BYTES_MAX {
                        return Err(Fault::lasting("the reply is larger than hangar takes"));
                    }
                    if let Question::Work { step } = question {
                        *shown = true;
                        self.show(step, block, channel, &text, &mut offsets);
                    }
                }
                Piece::Done(reply) if !question.is_answered_by(&reply) => {
                    return Err(Fault::lasting("it wrote no summary of the conversation when it was asked to"));
                }
                Piece::Done(reply) => return Ok(Timed { reply, first_token, whole: began.elapsed() }),
            }
        }
        Err(Fault::passing("the stream ended before the reply did"))
    }

    fn show(&self, step: u32, block: u32, channel: TextChannel, text: &str, offsets: &mut Vec<u32>) {
        let place = block as usize;
        if offsets.len() <= place {
            offsets.resize(place + 1, 0);
        }
        self.sink.text(step, block, channel, offsets[place], text);
        offsets[place] += u32::try_from(text.len()).unwrap_or(u32::MAX);
    }

    /// How long to wait before the next attempt; `Err` says why there is none.
    fn pause(&self, attempt: u32, fault: &Fault) -> Result<Duration, String> {
        let model = &self.model.id;
        match fault.kind {
            FaultKind::Lasting | FaultKind::TooLong => {
                Err(format!("The model {model} cannot be used: {}", fault.reason))
            }
            FaultKind::Passing { retry_after: Some(wait) } if wait > timeouts::RETRY_AFTER_MAX => Err(format!(
                "The model {model} asks to come back in {} s ({}). Try again then, or choose another model.",
                wait.as_secs(),
                fault.reason
            )),
            FaultKind::Passing { retry_after: Some(wait) } => Ok(wait),
            FaultKind::Passing { retry_after: None } => {
                let doubled = self.model.timeouts.pause_first.saturating_mul(1 << (attempt - 1).min(16));
                // Between half and the whole of it, so that many sessions do not come back at the same moment.
                Ok(doubled.min(timeouts::PAUSE_MAX).mul_f64(0.5 + 0.5 * rand::random::<f64>()))
            }
        }
    }

    /// A reply in hangar's words: every call has an id that no other call of the session has.
    fn blocks(&self, step: u32, blocks: Vec<ReplyBlock>) -> Vec<Block> {
        let mut ids: Vec<String> = Vec::new();
        let mut named = |id: String| {
            let taken = |id: &str| ids.iter().any(|known| known == id) || self.input.conversation.knows_call(id);
            let call = CallId::try_from(id).ok().filter(|id| !taken(id.as_str()));
            let call = call.or_else(|| format!("call_{}_{step}_{}", self.id, ids.len() + 1).parse().ok());
            ids.extend(call.as_ref().map(ToString::to_string));
            call
        };
        let word = |block| match block {
            ReplyBlock::Text(text) => Some(Block::Text { text }),
            ReplyBlock::Reasoning { text, provider } => Some(Block::Reasoning { text, provider }),
            ReplyBlock::Call { id, name, arguments } => {
                Some(Block::ToolCall { call: named(id)?, name, input: parsed(arguments) })
            }
        };
        blocks.into_iter().filter_map(word).collect()
    }
}

/// A call's arguments. Nothing at all means no arguments; what is no JSON object is kept as text, to be told about.
fn parsed(arguments: String) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(&arguments) {
        Ok(input @ Value::Object(_)) => input,
        Ok(_) | Err(_) => json!({ UNPARSED: arguments }),
    }
}
