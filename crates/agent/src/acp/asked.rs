//! What hooks of a program ask: each question is decided on as soon as the call is told, or is not going to be, and answered when the call may be
//! made. Questions that are held for the sync hold up nothing else.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use hangar_protocol::{
    event::ToolStatus,
    guest::hook::{Answer, Question},
};
use serde_json::Value;
use tokio::{sync::oneshot, time::Instant};

use super::{
    HookFormat,
    calls::{Arguments, Calls, NewCall, Ruling, Verdict},
    door::{Asked, OpenDoor},
    seen::Seen,
    turn::Turn,
};
use crate::{
    hooks::{ToolCall, ToolResult},
    turn::Halt,
};

/// What hooks ask of one program.
pub(super) struct Questions {
    /// Where they do; `None` where it has no hooks.
    door: Option<OpenDoor>,
    /// Those that are decided on and wait for the workspace.
    held: FuturesUnordered<BoxFuture<'static, Released>>,
}

/// A question that waits for the program to tell of the call.
pub(super) struct Waiting {
    asked: Asked,
    /// The call's name.
    name: String,
    /// So long.
    pub(super) until: Instant,
}

/// A question whose call may change something, when the workspace can be written or is not going to be.
pub(super) struct Released {
    name: String,
    answer: Answer,
    to: oneshot::Sender<Answer>,
    writable: Result<(), String>,
}

/// What came of listening to hooks.
pub(super) enum Heard {
    Asked(Asked),
    Released(Released),
}

impl Questions {
    pub(super) fn new(door: Option<OpenDoor>) -> Self {
        Self { door, held: FuturesUnordered::new() }
    }

    /// Nothing more is asked; who waits is told so.
    pub(super) fn close(&mut self) {
        *self = Self::new(None);
    }

    /// The next question, or the next one that is not held any more. Cancel safe.
    pub(super) async fn next(&mut self) -> Heard {
        let Self { door, held } = self;
        let asked = async {
            match door {
                Some(door) => door.questions.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            Some(released) = held.next(), if !held.is_empty() => Heard::Released(released),
            Some(asked) = asked => Heard::Asked(asked),
            else => std::future::pending().await,
        }
    }
}

impl Turn {
    /// Takes in what was heard of hooks.
    pub(super) async fn heard(&mut self, heard: Heard) -> Result<(), Halt> {
        match heard {
            Heard::Asked(asked) => {
                let now = Instant::now();
                let is_told_first = self.input.harness.hooks.is_some_and(HookFormat::is_told_first);
                let name = self.named(&asked.question);
                let waits = is_told_first && !self.calls.drafts.contains_key(&name);
                let until = if waits { now + self.input.times.notice_max } else { now };
                self.calls.waiting.push(Waiting { asked, name, until });
                Ok(())
            }
            Heard::Released(released) => self.release(released).await,
        }
    }

    /// Decides on the questions that wait no longer.
    pub(super) async fn decide_on_questions(&mut self, questions: &mut Questions) -> Result<(), Halt> {
        let now = Instant::now();
        loop {
            let Calls { drafts, waiting, .. } = &self.calls;
            let ready = waiting.iter().position(|one| one.until <= now || drafts.contains_key(&one.name));
            let Some(ready) = ready else { return Ok(()) };
            let Waiting { asked, name, .. } = self.calls.waiting.remove(ready);
            self.decide(questions, asked, name).await?;
        }
    }

    async fn decide(&mut self, questions: &mut Questions, asked: Asked, name: String) -> Result<(), Halt> {
        let Asked { question, answer: to } = asked;
        let answer = self.answer(&question, &name).await?;
        let mutates = self.calls.open.get(&name).is_some_and(|open| open.seen.mutates);
        match &answer {
            Answer::Allow | Answer::Change { .. } if mutates => {
                let programs = Arc::clone(&self.input.programs);
                let held = async move { Released { name, answer, to, writable: programs.writable().await } };
                questions.held.push(held.boxed());
            }
            // A hook that is gone needs no answer.
            Answer::Allow | Answer::Change { .. } | Answer::Deny { .. } => drop(to.send(answer)),
        }
        Ok(())
    }

    /// What becomes of a call, workspace aside.
    async fn answer(&mut self, question: &Question, name: &str) -> Result<Answer, Halt> {
        self.calls.drafts.remove(name);
        if self.calls.ended.contains(name) {
            return Ok(denied("This call has ended already."));
        }
        let seen = Seen::of(question);
        let ruling = match self.calls.open.get_mut(name) {
            None => {
                let Seen { tool, input, mutates, .. } = &seen;
                self.open_call(NewCall {
                    name: name.to_owned(),
                    tool: tool.clone(),
                    input: input.clone(),
                    mutates: *mutates,
                    paths: seen.path.clone().into_iter().collect(),
                    arguments: Arguments::Open,
                })
                .await?
            }
            Some(open) => match (&open.asked, &open.verdict) {
                (Some((asked, answer)), _) if asked == question => return Ok(answer.clone()),
                (Some(_), _) => return Ok(denied("This call was asked about with other arguments before.")),
                (None, Verdict::Refused { words, .. }) => Ruling::Refused(words.clone()),
                (None, Verdict::Allowed) => self.rule_again(&seen, name).await?,
            },
        };
        let Some(open) = self.calls.open.get_mut(name) else { return Ok(denied("This call has ended already.")) };
        if let Verdict::Refused { asked, .. } = &mut open.verdict {
            *asked = true;
        }
        let answer = match ruling {
            Ruling::Allowed => Answer::Allow,
            Ruling::Changed => Answer::Change { input: seen.changed(question, &open.seen.input) },
            Ruling::Refused(words) => Answer::Deny { words },
        };
        open.asked = Some((question.clone(), answer.clone()));
        Ok(answer)
    }

    /// A call that was let pass as the program told it, and that its hook asks about in its own words only now.
    async fn rule_again(&mut self, seen: &Seen, name: &str) -> Result<Ruling, Halt> {
        let Some(open) = self.calls.open.get(name) else { return Ok(Ruling::Allowed) };
        let (call, began) = (open.seen.call.clone(), open.began);
        let mut asked = ToolCall { call, name: seen.tool.clone(), input: seen.input.clone(), mutates: seen.mutates };
        let paths: Vec<String> = seen.path.clone().into_iter().collect();
        let ruling = self.ruling(&mut asked, &paths, Arguments::Open).await?;
        let verdict = match &ruling {
            Ruling::Allowed | Ruling::Changed => Verdict::Allowed,
            Ruling::Refused(words) => {
                self.finish(&asked, ToolResult { status: ToolStatus::Error, output: words.clone() }, began).await?;
                self.calls.refusals.push(words.clone());
                Verdict::Refused { words: words.clone(), asked: true, since: began }
            }
        };
        if let Some(open) = self.calls.open.get_mut(name) {
            open.seen = asked;
            open.verdict = verdict;
        }
        Ok(ruling)
    }

    /// Answers a question whose call may be made now, or not at all.
    async fn release(&mut self, released: Released) -> Result<(), Halt> {
        let Released { name, answer, to, writable } = released;
        let answer = match writable {
            Ok(()) => answer,
            Err(words) => {
                self.calls.refusals.push(words.clone());
                self.end_call(&name, ToolStatus::Error, words.clone()).await?;
                Answer::Deny { words }
            }
        };
        // A hook that is gone needs no answer.
        drop(to.send(answer));
        Ok(())
    }

    /// The program's name for the call that a question is about: what the hook says, else that of a call which was told with these arguments.
    fn named(&self, question: &Question) -> String {
        let Calls { drafts, open, ended, waiting, .. } = &self.calls;
        if let Some(name) = &question.tool_use_id {
            return name.clone();
        }
        let told = drafts.iter().find(|(_, draft)| is_part(&question.tool_input, &draft.call.raw_input));
        told.map_or_else(|| format!("hook-{}", open.len() + ended.len() + waiting.len() + 1), |(name, _)| name.clone())
    }
}

fn denied(words: &str) -> Answer {
    Answer::Deny { words: words.to_owned() }
}

/// Whether all these arguments stand among those of a notice, which may say more.
fn is_part(arguments: &Value, told: &Value) -> bool {
    let Some(arguments) = arguments.as_object().filter(|arguments| !arguments.is_empty()) else { return false };
    arguments.iter().all(|(name, value)| told.get(name) == Some(value))
}
