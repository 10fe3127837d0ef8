//! The calls of a program: what plugins say to each, when it gets leave, and what came of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use hangar_protocol::{Block, CallId, EventBody, StopReason, event::ToolStatus, limits::EVENT_OUTPUT_BYTES_MAX};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    TURN_CALLS_MAX,
    peer::Peer,
    turn::{Turn, gone},
    words::{Call, CallStatus, Permission},
};
use crate::{
    conversation::{INTERRUPTED_CALL, NEEDS_PERMISSION, UNSTARTED_CALL},
    hooks::{Held, ToolCall, ToolResult},
    limits,
    tools::{Tell, output},
    turn::{Halt, millis},
};

/// The calls of a turn that have not ended, by the program's names for them.
#[derive(Default)]
pub(super) struct Calls {
    open: BTreeMap<String, Open>,
    /// Those of which only the beginning is told.
    drafts: BTreeMap<String, Call>,
    /// Those that have ended: some programs tell their end twice.
    ended: BTreeSet<String>,
    /// What plugins refused since the program was given its last prompt.
    pub(super) refusals: Vec<String>,
}

/// A call that has not ended.
struct Open {
    seen: ToolCall,
    verdict: Verdict,
    /// Its beginning is written down.
    started: bool,
    began: Instant,
    /// What is shown of its output.
    shown: String,
}

/// What plugins said to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    /// With words for whoever asks. Until leave was asked, the program may be making the call without.
    Refused {
        words: String,
        asked: bool,
        since: Instant,
    },
}

impl Calls {
    /// When the first refused call counts as made without leave, and its words.
    pub(super) fn defied(&self, leave_max: Duration) -> Option<Instant> {
        let refused = self.open.values().filter_map(|open| match &open.verdict {
            Verdict::Refused { asked: false, since, .. } => Some(*since + leave_max),
            Verdict::Refused { asked: true, .. } | Verdict::Allowed => None,
        });
        refused.min()
    }
}

impl Turn {
    /// Takes in what is new of a call.
    pub(super) async fn call_news(&mut self, news: Call) -> Result<(), Halt> {
        let name = news.tool_call_id.clone();
        if self.calls.ended.contains(&name) {
            return Ok(());
        }
        let whole = match self.calls.drafts.remove(&name) {
            Some(mut draft) => {
                draft.update(news);
                draft
            }
            None => news,
        };
        if !self.calls.open.contains_key(&name) {
            if !whole.is_whole() {
                self.calls.drafts.insert(name, whole);
                return Ok(());
            }
            self.begin_call(&whole).await?;
        }
        match whole.status {
            Some(CallStatus::Completed) => self.end_call(&name, ToolStatus::Ok, whole.output()).await,
            Some(CallStatus::Failed) => self.end_call(&name, ToolStatus::Error, whole.output()).await,
            Some(CallStatus::Pending | CallStatus::InProgress | CallStatus::Other) | None => {
                self.show_output(&name, whole.output());
                Ok(())
            }
        }
    }

    /// Answers a wish for leave: by what plugins say, and not before the workspace can be written where the call may change something.
    pub(super) async fn permission(&mut self, peer: &mut Peer, id: Value, params: Value) -> Result<(), Halt> {
        let Permission { tool_call, options } = match serde_json::from_value(params) {
            Ok(permission) => permission,
            Err(fault) => {
                return self.within(peer.reject(&id, &fault)).await?.map_err(|ended| gone(&self.agent(), &ended));
            }
        };
        let name = tool_call.tool_call_id.clone();
        let mut whole = self.calls.drafts.remove(&name).unwrap_or_else(|| tool_call.clone());
        if !self.calls.open.contains_key(&name) {
            whole.update(tool_call);
            self.begin_call(&whole).await?;
        }
        self.asked_leave = Some(id.clone());
        let leave = self.leave(&name).await?;
        let option = match leave {
            Ok(()) => options.iter().find(|option| option.allows_once()),
            Err(()) => options.iter().find(|option| option.rejects()),
        };
        let outcome = match option {
            Some(option) => json!({"outcome": "selected", "optionId": option.option_id}),
            // It offers no such answer.
            None => json!({"outcome": "cancelled"}),
        };
        let answered = self.within(peer.answer(&id, json!({"outcome": outcome}))).await?;
        self.asked_leave = None;
        answered.map_err(|ended| gone(&self.agent(), &ended))
    }

    /// Whether a call may be made, once it may.
    async fn leave(&mut self, name: &str) -> Result<Result<(), ()>, Halt> {
        let Some(open) = self.calls.open.get_mut(name) else { return Ok(Err(())) };
        match &mut open.verdict {
            Verdict::Refused { asked, .. } => {
                *asked = true;
                Ok(Err(()))
            }
            Verdict::Allowed if !open.seen.mutates => Ok(Ok(())),
            Verdict::Allowed => match self.within(self.input.programs.writable()).await? {
                Ok(()) => Ok(Ok(())),
                Err(words) => {
                    self.calls.refusals.push(words.clone());
                    self.end_call(name, ToolStatus::Error, words).await?;
                    Ok(Err(()))
                }
            },
        }
    }

    /// Writes a call down and asks plugins about it.
    async fn begin_call(&mut self, call: &Call) -> Result<(), Halt> {
        if self.calls.ended.len() + self.calls.open.len() >= TURN_CALLS_MAX {
            return Err(Halt::Failed(format!(
                "{} made more than {TURN_CALLS_MAX} calls in one turn. Send another prompt to go on.",
                self.agent()
            )));
        }
        let (tool, input) = call.named();
        if input.to_string().len() > limits::REPLY_BYTES_MAX {
            return Err(Halt::Failed(format!(
                "{} made a call with arguments of more than {} MiB. Its processes were ended; send another prompt to go on.",
                self.agent(),
                limits::REPLY_BYTES_MAX / 1024 / 1024
            )));
        }
        let id = self.call_id(&call.tool_call_id);
        self.said.call(Block::ToolCall { call: id.clone(), name: tool.clone(), input: input.clone() });
        self.flush(StopReason::ToolUse).await?;
        let mut seen = ToolCall { call: id.clone(), name: tool.clone(), input, mutates: call.mutates() };
        let began = Instant::now();
        // Should the turn have to end meanwhile, the call is answered as one that had not begun.
        let waiting =
            Open { seen: seen.clone(), verdict: Verdict::Allowed, started: false, began, shown: String::new() };
        self.calls.open.insert(call.tool_call_id.clone(), waiting);
        let verdict = match self.refusal(&mut seen, &call.paths()).await? {
            Some(words) => {
                self.finish(&seen, ToolResult { status: ToolStatus::Error, output: words.clone() }, began).await?;
                self.calls.refusals.push(words.clone());
                Verdict::Refused { words, asked: false, since: began }
            }
            None => {
                self.sink.admit_call().map_err(Halt::Paused)?;
                let started = EventBody::ToolStarted { turn: self.id, call: id, name: tool, input: seen.input.clone() };
                self.record(started).await?;
                Verdict::Allowed
            }
        };
        let open = Open { seen, verdict, started: true, began, shown: String::new() };
        self.calls.open.insert(call.tool_call_id.clone(), open);
        Ok(())
    }

    /// Why plugins refuse a call; asked about each file that it names.
    async fn refusal(&mut self, seen: &mut ToolCall, paths: &[String]) -> Result<Option<String>, Halt> {
        let mut all: Vec<Option<&String>> = paths.iter().map(Some).collect();
        if all.is_empty() {
            all.push(None);
        }
        for path in all {
            if let Some(path) = path {
                seen.input["path"] = path.clone().into();
            }
            let asked = seen.input.clone();
            let (mut decided, mutates) = (Vec::new(), seen.mutates);
            let permitted = self.input.conversation.permitted();
            let before = self.input.hooks.before(&self.scene, seen, |_| mutates, permitted, &mut decided);
            let answer = self.within(before).await?;
            for decided in decided {
                self.record(decided.event(self.id)).await?;
            }
            match answer {
                Ok(()) => {}
                Err(Held::Refused(Tell(words))) => return Ok(Some(words)),
                Err(Held::Asks(question)) => {
                    let asked = EventBody::QuestionAsked { turn: self.id, call: seen.call.clone(), question };
                    self.record(asked).await?;
                    return Ok(Some(NEEDS_PERMISSION.to_owned()));
                }
            }
            if seen.input != asked {
                seen.input = asked;
                return Ok(Some(
                    "A plugin of this server changes such calls before they are made, which an external agent cannot be told. So it was \
                     refused."
                        .to_owned(),
                ));
            }
        }
        Ok(None)
    }

    /// A call is over: plugins see its result before it is written down. The program has seen it already.
    pub(super) async fn end_call(&mut self, name: &str, status: ToolStatus, text: String) -> Result<(), Halt> {
        let Some(Open { seen, verdict, began, .. }) = self.calls.open.remove(name) else { return Ok(()) };
        self.calls.ended.insert(name.to_owned());
        match verdict {
            Verdict::Refused { words, .. } if status == ToolStatus::Ok => Err(Halt::Failed(self.defied_words(&words))),
            // Its result was written with the refusal.
            Verdict::Refused { .. } => Ok(()),
            Verdict::Allowed => {
                let output = if text.len() > limits::OUTPUT_BYTES_MAX {
                    output::ends(&text, limits::OUTPUT_BYTES_MAX)
                } else {
                    text
                };
                let mut result = ToolResult { status, output };
                let mut decided = Vec::new();
                self.input.hooks.after(&self.scene, &seen, &mut result, &mut decided).await;
                for decided in decided {
                    self.record(decided.event(self.id)).await?;
                }
                self.finish(&seen, result, began).await
            }
        }
    }

    /// A refused call for which nobody asked leave: it is being made without.
    pub(super) fn defiance(&self) -> Halt {
        let words = self.calls.open.values().find_map(|open| match &open.verdict {
            Verdict::Refused { words, asked: false, .. } => Some(words.as_str()),
            Verdict::Refused { asked: true, .. } | Verdict::Allowed => None,
        });
        Halt::Failed(self.defied_words(words.unwrap_or_default()))
    }

    fn defied_words(&self, words: &str) -> String {
        format!(
            "{} made a call without asking leave that a plugin of this server had refused ({words}). Its processes were ended; what the call \
             did meanwhile stays. Configure the agent so that it asks before such calls.",
            self.agent()
        )
    }

    /// Answers calls that have not ended: nobody works on them any more, or `said_nothing` stands for what the program left out.
    pub(super) async fn close_calls(&mut self, said_nothing: Option<&str>) -> Result<(), Halt> {
        for (_, Open { seen, verdict, started, began, .. }) in std::mem::take(&mut self.calls.open) {
            if verdict == Verdict::Allowed {
                let cut_off = if started { INTERRUPTED_CALL } else { UNSTARTED_CALL };
                let output = said_nothing.unwrap_or(cut_off).to_owned();
                self.finish(&seen, ToolResult { status: ToolStatus::Interrupted, output }, began).await?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self, seen: &ToolCall, result: ToolResult, began: Instant) -> Result<(), Halt> {
        let whole = result.output;
        let (output, blob) = if whole.len() <= EVENT_OUTPUT_BYTES_MAX {
            (whole, None)
        } else {
            (output::ends(&whole, EVENT_OUTPUT_BYTES_MAX), Some(self.sink.blob(Bytes::from(whole)).await?))
        };
        let finished = EventBody::ToolFinished {
            turn: self.id,
            call: seen.call.clone(),
            status: result.status,
            output,
            blob,
            image: None,
            duration_ms: millis(began.elapsed()),
        };
        self.record(finished).await
    }

    /// Shows what is new of a running call's output.
    fn show_output(&mut self, name: &str, text: String) {
        let Some(open) = self.calls.open.get_mut(name).filter(|open| open.verdict == Verdict::Allowed) else { return };
        let Some(new) = text.strip_prefix(open.shown.as_str()).filter(|new| !new.is_empty()) else { return };
        if text.len() <= limits::LIVE_BYTES_MAX {
            let offset = u32::try_from(open.shown.len()).unwrap_or(u32::MAX);
            self.sink.tool_output(&open.seen.call, offset, new);
            open.shown = text;
        }
    }

    /// An id that no other call of the session has: the program's own where it can be.
    fn call_id(&self, name: &str) -> CallId {
        let own = name.parse::<CallId>().ok().filter(|id| !self.input.conversation.knows_call(id.as_str()));
        let numbered = |number: u32| format!("call_{}_{}_{number}", self.id, self.step).parse::<CallId>().ok();
        let free = |id: &CallId| !self.input.conversation.knows_call(id.as_str());
        own.or_else(|| (1..).filter_map(numbered).find(free)).unwrap_or_else(|| unreachable!("one of them is free"))
    }
}
