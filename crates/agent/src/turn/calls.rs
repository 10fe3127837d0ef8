//! The calls of one reply: what may run beside what, hooks before and after, and what the model is told.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use hangar_protocol::{
    CallId, EventBody, Question,
    event::{BlobRef, ToolStatus},
    limits::EVENT_OUTPUT_BYTES_MAX,
};
use serde_json::Value;
use tokio::time::Instant;

use super::{Halt, Turn, ask::UNPARSED, millis};
use crate::{
    Conversation,
    conversation::{Call, INTERRUPTED_CALL, NEEDS_PERMISSION, UNSTARTED_CALL},
    hooks::{Decided, Held, ToolCall, ToolResult},
    instructions, limits,
    tools::{CallContext, Effect, Picture, Tell, Tool, ToolError, ToolOutput, output},
    workspace::SandboxPath,
};

/// Which instruction files the model has been given, and which directories were looked into.
pub(super) struct Instructed(Mutex<BTreeSet<String>>);

impl Instructed {
    pub(super) fn new(conversation: &Conversation) -> Self {
        let directory = |path: &String| path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        Self(Mutex::new(conversation.instructions_given().iter().map(directory).collect()))
    }

    /// Whether nobody has looked into this directory before.
    fn claim(&self, directory: &str) -> bool {
        // A poisoned lock means that another call panicked; instructions are then given once more at worst.
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert(directory.to_owned())
    }
}

/// A call with what is known about it before it runs.
struct Planned {
    call: Call,
    effect: Effect,
    place: usize,
}

/// What came of a call.
struct Ended {
    events: Vec<EventBody>,
    /// Outputs and images that did not fit into their event.
    whole: Vec<(BlobRef, Bytes)>,
    halt: Option<Halt>,
}

impl Turn {
    /// Runs every open call of the last reply. Reads run side by side, writes to one path in the model's order, commands
    /// alone. After a stop, each call is still answered.
    pub(super) async fn run_calls(&mut self) -> Result<(), Halt> {
        let planned: Vec<Planned> = self
            .input
            .conversation
            .open_calls()
            .cloned()
            .enumerate()
            .map(|(place, call)| self.plan(place, call))
            .collect();
        let mut begun = vec![false; planned.len()];
        let mut ended = vec![false; planned.len()];
        let mut results: Vec<Ended> = Vec::new();
        let mut halt = None;
        let turn: &Self = self;
        let mut running = FuturesUnordered::new();
        loop {
            for planned_call in &planned {
                let place = planned_call.place;
                let waits = planned[..place]
                    .iter()
                    .any(|earlier| !ended[earlier.place] && planned_call.effect.waits_for(&earlier.effect));
                if !begun[place] && !waits && running.len() < limits::CALLS_AT_ONCE_MAX {
                    begun[place] = true;
                    running.push(async move { (place, turn.run_call(planned_call).await) });
                }
            }
            let Some((place, done)) = running.next().await else { break };
            ended[place] = true;
            halt = halt.or_else(|| done.halt.clone());
            results.push(done);
            if halt == Some(Halt::Over) {
                break;
            }
        }
        drop(running);
        for Ended { events, whole, .. } in results {
            for event in &events {
                self.input.conversation.apply_body(event);
            }
            for (blob, bytes) in whole {
                self.input.conversation.supply(&blob, &bytes);
            }
        }
        halt.map_or(Ok(()), Err)
    }

    fn plan(&self, place: usize, call: Call) -> Planned {
        let effect = self.tool(&call.name).map_or(Effect::Reads, |tool| tool.effect(&call.input));
        Planned { call, effect, place }
    }

    fn tool(&self, name: &str) -> Option<&dyn Tool> {
        self.tools.iter().find(|tool| tool.spec().name == name).map(AsRef::as_ref)
    }

    /// One call from hooks to hooks. Whatever happens, it ends with a result in the log, unless the log is closed or a budget holds it back.
    async fn run_call(&self, planned: &Planned) -> Ended {
        let mut ended = Ended { events: Vec::new(), whole: Vec::new(), halt: None };
        if let Err(halt) = self.try_call(planned, &mut ended).await {
            ended.halt = Some(halt);
        }
        ended
    }

    async fn try_call(&self, planned: &Planned, ended: &mut Ended) -> Result<(), Halt> {
        let Call { call, name, input, started, .. } = &planned.call;
        let meant = self.tool(name).and_then(|tool| tool.meant(input));
        let (seen_name, seen_input) = meant.unwrap_or_else(|| (name.clone(), input.clone()));
        let mut seen =
            ToolCall { call: call.clone(), name: seen_name, input: seen_input, mutates: planned.effect.mutates() };
        let mut decided = Vec::new();
        let admitted = tokio::select! {
            biased;
            halt = self.halted() => Err(Refused::Halt(halt)),
            admitted = self.admit(planned, &mut seen, &mut decided) => admitted.map_err(Refused::from),
        };
        self.note(decided, ended).await?;
        let tool = match admitted {
            Ok(tool) => tool,
            Err(Refused::Tell(Tell(words))) => {
                let result = ToolResult { status: ToolStatus::Error, output: words };
                return self.finish(call, result, Duration::ZERO, ended).await;
            }
            Err(Refused::Asks(question)) => {
                let asked = EventBody::QuestionAsked { turn: self.id, call: call.clone(), question };
                self.sink.record(asked.clone()).await?;
                ended.events.push(asked);
                let result = ToolResult { status: ToolStatus::Error, output: NEEDS_PERMISSION.to_owned() };
                return self.finish(call, result, Duration::ZERO, ended).await;
            }
            Err(Refused::Halt(halt)) => {
                let result = ToolResult { status: ToolStatus::Interrupted, output: UNSTARTED_CALL.to_owned() };
                self.finish(call, result, Duration::ZERO, ended).await?;
                return Err(halt);
            }
        };
        // Nothing is written of a call that a budget holds back: it is made when the turn goes on. One that was refused costs nothing.
        // One that had begun before the server was killed goes on, and was counted then.
        if !started {
            self.sink.admit_call().map_err(Halt::Paused)?;
            let (turn, input) = (self.id, seen.input.clone());
            let started = EventBody::ToolStarted { turn, call: call.clone(), name: seen.name.clone(), input };
            self.sink.record(started.clone()).await?;
            ended.events.push(started);
        }
        let began = Instant::now();
        let mut decided = Vec::new();
        let (result, image, halt) = tokio::select! {
            biased;
            halt = self.halted() => {
                let output = INTERRUPTED_CALL.to_owned();
                (ToolResult { status: ToolStatus::Interrupted, output }, None, Some(halt))
            }
            result = self.carry_out(tool, &seen, &mut decided) => result?,
        };
        self.note(decided, ended).await?;
        self.finish_showing(call, result, image, began.elapsed(), ended).await?;
        halt.map_or(Ok(()), Err)
    }

    /// Makes what plugins decided durable, before what follows from it.
    async fn note(&self, decided: Vec<Decided>, ended: &mut Ended) -> Result<(), Halt> {
        for decided in decided {
            let event = decided.event(self.id);
            self.sink.record(event.clone()).await?;
            ended.events.push(event);
        }
        Ok(())
    }

    /// Whether a call may run, and with which arguments.
    async fn admit(
        &self,
        planned: &Planned,
        seen: &mut ToolCall,
        decided: &mut Vec<Decided>,
    ) -> Result<&dyn Tool, Held> {
        let refused = |words: String| Held::Refused(Tell(words));
        if planned.place >= self.input.limits.step_calls_max {
            return Err(refused(format!(
                "At most {} calls are run for one reply. Make this call again in the next.",
                self.input.limits.step_calls_max
            )));
        }
        let tool = self.tool(&planned.call.name).ok_or_else(|| {
            let names: Vec<&str> = self.specs.iter().map(|spec| spec.name).collect();
            refused(format!("There is no tool {:?}. The tools are: {}.", seen.name, names.join(", ")))
        })?;
        if let Some(Value::String(text)) = seen.input.get(UNPARSED) {
            let fault = serde_json::from_str::<serde_json::Map<String, Value>>(text).err();
            let fault = fault.map_or_else(|| "not an object".to_owned(), |fault| fault.to_string());
            return Err(refused(format!(
                "The arguments are not a JSON object ({fault}). Make the call again with valid JSON."
            )));
        }
        let mutates = |input: &Value| tool.effect(input).mutates();
        let permitted = self.input.conversation.permitted();
        self.input.hooks.before(&self.scene, seen, mutates, permitted, decided).await?;
        Ok(tool)
    }

    /// Runs the tool and puts its result into the form the model sees.
    async fn carry_out(
        &self,
        tool: &dyn Tool,
        seen: &ToolCall,
        decided: &mut Vec<Decided>,
    ) -> Result<(ToolResult, Option<Picture>, Option<Halt>), Halt> {
        let context = CallContext {
            turn: self.id,
            call: &seen.call,
            tool: &seen.name,
            sandboxes: &*self.input.sandboxes,
            sink: &*self.sink,
            jobs: &self.input.jobs,
            web: &*self.input.web,
            env: &self.env,
        };
        let given = tool.run(&context, seen.input.clone()).await;
        let (mut result, image, halt) = match given {
            Ok(ToolOutput { text, ok, image }) => {
                let status = if ok { ToolStatus::Ok } else { ToolStatus::Error };
                (ToolResult { status, output: text }, image, None)
            }
            Err(ToolError::Tell(Tell(words))) => (ToolResult { status: ToolStatus::Error, output: words }, None, None),
            Err(ToolError::Fatal(reason)) => {
                (ToolResult { status: ToolStatus::Error, output: reason.clone() }, None, Some(Halt::Failed(reason)))
            }
            Err(ToolError::Over(over)) => return Err(over.into()),
        };
        // Plugins are asked about what the model would be told, so what they see is never longer than that.
        result.output = output::fit(result.output, &context).await;
        let before = image.is_some().then(|| result.clone());
        self.input.hooks.after(&self.scene, seen, &mut result, decided).await;
        // What stands beside a result that was replaced or withheld is not shown either.
        let image = image.filter(|_| before.as_ref() == Some(&result));
        // An image has no room beside it for more than a few words.
        if halt.is_none()
            && image.is_none()
            && let Some(news) = self.input.sandboxes.news().await
        {
            result.output.push_str(&format!("\n\n{news}"));
        }
        if tool.uses_workspace() && halt.is_none() && image.is_none() {
            self.instruct(&context, seen, &mut result.output).await;
        }
        Ok((result, image, halt))
    }

    /// Adds the repository's instructions to the first result that can carry them.
    async fn instruct(&self, context: &CallContext<'_>, seen: &ToolCall, output: &mut String) {
        let path = seen.input.get("path").and_then(Value::as_str).and_then(|path| SandboxPath::parse(path).ok());
        let directories = instructions::directories(&path.unwrap_or_else(SandboxPath::workspace));
        let wanted: Vec<&String> = directories.iter().filter(|directory| self.instructed.claim(directory)).collect();
        if wanted.is_empty() {
            return;
        }
        let Ok(workspace) = context.workspace().await else { return };
        let mut found = Vec::new();
        for directory in wanted {
            // A sandbox that went away just now will be noticed by the next call.
            let Ok(file) = instructions::of_directory(&*workspace, directory).await else { return };
            found.extend(file);
        }
        instructions::append(output, &found);
    }

    async fn finish(&self, call: &CallId, result: ToolResult, took: Duration, ended: &mut Ended) -> Result<(), Halt> {
        self.finish_showing(call, result, None, took, ended).await
    }

    async fn finish_showing(
        &self,
        call: &CallId,
        result: ToolResult,
        image: Option<Picture>,
        took: Duration,
        ended: &mut Ended,
    ) -> Result<(), Halt> {
        let whole = result.output;
        let (output, blob) = if let Some(Picture { bytes, .. }) = &image {
            let few = hangar_protocol::limits::clip_bytes(&whole, EVENT_OUTPUT_BYTES_MAX);
            (few.to_owned(), Some(self.sink.blob(bytes.clone()).await?))
        } else if whole.len() <= EVENT_OUTPUT_BYTES_MAX {
            (whole.clone(), None)
        } else {
            (output::ends(&whole, EVENT_OUTPUT_BYTES_MAX), Some(self.sink.blob(Bytes::from(whole.clone())).await?))
        };
        let finished = EventBody::ToolFinished {
            turn: self.id,
            call: call.clone(),
            status: result.status,
            output,
            blob: blob.clone(),
            image: image.as_ref().map(|image| image.kind),
            duration_ms: millis(took),
        };
        self.sink.record(finished.clone()).await?;
        ended.events.push(finished);
        match (blob, image) {
            (Some(blob), None) => ended.whole.push((blob, Bytes::from(whole))),
            (Some(blob), Some(image)) => ended.whole.push((blob, image.bytes)),
            (None, _) => {}
        }
        Ok(())
    }
}

/// Why a call does not run.
enum Refused {
    Tell(Tell),
    /// A person has to allow it.
    Asks(Question),
    Halt(Halt),
}

impl From<Held> for Refused {
    fn from(held: Held) -> Self {
        match held {
            Held::Refused(tell) => Self::Tell(tell),
            Held::Asks(question) => Self::Asks(question),
        }
    }
}
