//! The calls of a program: what plugins say to each, when it gets leave, and what came of it.
//!
//! A call is told by a notice of the program, by its wish for leave, and by the question of its hook, in any order; all three have one name for
//! it, so that it is decided on once. Where there is a hook, its question counts: a notice alone is decided on when no question came for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use hangar_protocol::{
    Block, CallId, EventBody, StopReason,
    event::ToolStatus,
    guest::hook::{Answer, Question},
    limits::EVENT_OUTPUT_BYTES_MAX,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    HarnessTimes, TURN_CALLS_MAX,
    asked::Waiting,
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
    pub(super) open: BTreeMap<String, Open>,
    /// Those of which only the beginning is told, or whose hook has not asked.
    pub(super) drafts: BTreeMap<String, Draft>,
    /// Those that have ended: some programs tell their end twice.
    pub(super) ended: BTreeSet<String>,
    /// What hooks ask and is not decided on.
    pub(super) waiting: Vec<Waiting>,
    /// What plugins refused since the program was given its last prompt.
    pub(super) refusals: Vec<String>,
}

/// A call that is told and not decided on.
pub(super) struct Draft {
    pub(super) call: Call,
    /// Since when it is told as a whole, where its hook is waited for.
    told: Option<Instant>,
}

/// A call that has not ended.
pub(super) struct Open {
    pub(super) seen: ToolCall,
    pub(super) verdict: Verdict,
    /// What its hook asked and was answered.
    pub(super) asked: Option<(Question, Answer)>,
    /// Its beginning is written down.
    started: bool,
    pub(super) began: Instant,
    /// What is shown of its output.
    shown: String,
}

/// A call that begins.
pub(super) struct NewCall {
    pub(super) name: String,
    pub(super) tool: String,
    pub(super) input: Value,
    pub(super) mutates: bool,
    /// The files that it names; plugins are asked about each.
    pub(super) paths: Vec<String>,
    pub(super) arguments: Arguments,
}

/// Whether a call can be made with other arguments than the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// A hook was asked, and can say so.
    Open,
    /// The protocol has no way to say so.
    Fixed,
}

/// What plugins make of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ruling {
    Allowed,
    /// With other arguments, which the call has now.
    Changed,
    /// With words for whoever asks.
    Refused(String),
}

/// What plugins said to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
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

    /// When something is to be done about calls although the program says nothing.
    pub(super) fn due(&self, times: &HarnessTimes) -> Option<Instant> {
        let unasked = self.drafts.values().filter_map(|draft| draft.told).map(|told| told + times.leave_max);
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        unasked.chain(waiting).chain(self.defied(times.leave_max)).min()
    }

    /// A call that is told and whose hook did not ask about it in time.
    fn unasked(&mut self, leave_max: Duration) -> Option<Call> {
        let now = Instant::now();
        let is_over = |draft: &Draft| draft.told.is_some_and(|told| told + leave_max <= now);
        let (name, _) = self.drafts.iter().find(|(_, draft)| is_over(draft))?;
        let name = name.clone();
        self.drafts.remove(&name).map(|draft| draft.call)
    }
}

impl Turn {
    /// Takes in what is new of a call.
    pub(super) async fn call_news(&mut self, news: Call) -> Result<(), Halt> {
        let name = news.tool_call_id.clone();
        if self.calls.ended.contains(&name) {
            return Ok(());
        }
        let (whole, told) = match self.calls.drafts.remove(&name) {
            Some(Draft { mut call, told }) => {
                call.update(news);
                (call, told)
            }
            None => (news, None),
        };
        if !self.calls.open.contains_key(&name) {
            let waits = self.input.harness.hooks.is_some() && !whole.is_over();
            if waits || !whole.is_whole() {
                let told = told.or_else(|| (waits && whole.is_whole()).then(Instant::now));
                self.calls.drafts.insert(name, Draft { call: whole, told });
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
        let draft = self.calls.drafts.remove(&name);
        let mut whole = draft.map_or_else(|| tool_call.clone(), |draft| draft.call);
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

    /// Begins a call that the program tells.
    async fn begin_call(&mut self, call: &Call) -> Result<(), Halt> {
        let (tool, input) = call.named();
        let (name, paths, mutates) = (call.tool_call_id.clone(), call.paths(), call.mutates());
        self.open_call(NewCall { name, tool, input, mutates, paths, arguments: Arguments::Fixed }).await?;
        Ok(())
    }

    /// Writes a call down and asks plugins about it.
    pub(super) async fn open_call(&mut self, call: NewCall) -> Result<Ruling, Halt> {
        let NewCall { name, tool, input, mutates, paths, arguments } = call;
        if self.calls.ended.len() + self.calls.open.len() >= TURN_CALLS_MAX {
            return Err(Halt::Failed(format!(
                "{} made more than {TURN_CALLS_MAX} calls in one turn. Send another prompt to go on.",
                self.agent()
            )));
        }
        if input.to_string().len() > limits::REPLY_BYTES_MAX {
            return Err(Halt::Failed(format!(
                "{} made a call with arguments of more than {} MiB. Its processes were ended; send another prompt to go on.",
                self.agent(),
                limits::REPLY_BYTES_MAX / 1024 / 1024
            )));
        }
        let id = self.call_id(&name);
        self.said.call(Block::ToolCall { call: id.clone(), name: tool.clone(), input: input.clone() });
        self.flush(StopReason::ToolUse).await?;
        let mut seen = ToolCall { call: id.clone(), name: tool.clone(), input, mutates };
        let began = Instant::now();
        // Should the turn have to end meanwhile, the call is answered as one that had not begun.
        let open = |seen: &ToolCall, verdict, started| Open {
            seen: seen.clone(),
            verdict,
            asked: None,
            started,
            began,
            shown: String::new(),
        };
        self.calls.open.insert(name.clone(), open(&seen, Verdict::Allowed, false));
        let ruling = self.ruling(&mut seen, &paths, arguments).await?;
        let verdict = match &ruling {
            Ruling::Refused(words) => {
                self.finish(&seen, ToolResult { status: ToolStatus::Error, output: words.clone() }, began).await?;
                self.calls.refusals.push(words.clone());
                Verdict::Refused { words: words.clone(), asked: false, since: began }
            }
            Ruling::Allowed | Ruling::Changed => {
                self.sink.admit_call().map_err(Halt::Paused)?;
                let started = EventBody::ToolStarted { turn: self.id, call: id, name: tool, input: seen.input.clone() };
                self.record(started).await?;
                Verdict::Allowed
            }
        };
        self.calls.open.insert(name, open(&seen, verdict, true));
        Ok(ruling)
    }

    /// What plugins make of a call; they are asked about each file that it names.
    pub(super) async fn ruling(
        &mut self,
        seen: &mut ToolCall,
        paths: &[String],
        arguments: Arguments,
    ) -> Result<Ruling, Halt> {
        let original = seen.input.clone();
        let mut all: Vec<Option<&String>> = paths.iter().map(Some).collect();
        if all.is_empty() {
            all.push(None);
        }
        // What is changed about one of several files says nothing about the others.
        let is_fixed = arguments == Arguments::Fixed || all.len() > 1;
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
                Err(Held::Refused(Tell(words))) => return Ok(Ruling::Refused(words)),
                Err(Held::Asks(question)) => {
                    let asked = EventBody::QuestionAsked { turn: self.id, call: seen.call.clone(), question };
                    self.record(asked).await?;
                    return Ok(Ruling::Refused(NEEDS_PERMISSION.to_owned()));
                }
            }
            if seen.input != asked && is_fixed {
                seen.input = asked;
                return Ok(Ruling::Refused(
                    "A plugin of this server changes such calls before they are made, which an external agent cannot be told. So it was \
                     refused."
                        .to_owned(),
                ));
            }
        }
        Ok(if seen.input == original || is_fixed { Ruling::Allowed } else { Ruling::Changed })
    }

    /// Does what is due about calls of which nothing was heard.
    pub(super) async fn overdue(&mut self) -> Result<(), Halt> {
        let leave_max = self.input.times.leave_max;
        if self.calls.defied(leave_max).is_some_and(|when| when <= Instant::now()) {
            return Err(self.defiance());
        }
        while let Some(call) = self.calls.unasked(leave_max) {
            self.begin_call(&call).await?;
        }
        Ok(())
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
    fn defiance(&self) -> Halt {
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

    pub(super) async fn finish(&mut self, seen: &ToolCall, result: ToolResult, began: Instant) -> Result<(), Halt> {
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
