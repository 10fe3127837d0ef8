//! Asks the hooks of a turn, one after the other, and notes what they decided.

use std::{sync::Arc, time::Duration};

use hangar_protocol::{
    CallId, EventBody, HookPoint, OnFailure, Permission, PluginDecision, Question, TurnId,
    event::ToolStatus,
    limits::{QUESTION_CHARS_MAX, clip, clip_bytes},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout};

use super::{Installed, Occasion, RepositoryHooks, Scene, ToolCall, ToolResult, Verdict};
use crate::{
    limits,
    tools::{Tell, output},
};

/// What closes the arguments that a question shows, after they were cut.
const CLOSING_CHARS: usize = 4;

/// Every hook that watches over a turn, in the order in which they are asked.
#[derive(Clone, Default)]
pub struct Bus {
    installed: Arc<[Installed]>,
}

/// What a hook decided, where it did not let something pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    plugin: String,
    hook: HookPoint,
    call: Option<CallId>,
    decision: PluginDecision,
    took: Duration,
}

impl Decided {
    /// The event that says so.
    #[must_use]
    pub fn event(self, turn: TurnId) -> EventBody {
        EventBody::PluginDecided {
            turn,
            call: self.call,
            plugin: self.plugin,
            hook: self.hook,
            decision: self.decision,
            duration_us: u32::try_from(self.took.as_micros()).unwrap_or(u32::MAX),
        }
    }
}

/// A verdict that fits the place where it was asked for, or what stands in for it.
enum Answer {
    Passed,
    Arguments(Value),
    Output(String),
    /// Words for the model, which stand in the decision.
    Context,
    /// Why a person has to decide.
    Asks(String),
    Refused(String),
}

/// Why a call is not made.
#[derive(Debug)]
pub(crate) enum Held {
    Refused(Tell),
    /// People are to be asked this.
    Asks(Question),
}

impl Bus {
    /// These hooks, asked in this order.
    #[must_use]
    pub fn new(installed: Vec<Installed>) -> Self {
        Self { installed: installed.into() }
    }

    /// Asks before a call. Each hook sees the arguments that those before it left; `mutates` judges them anew. `permitted` is what people have allowed.
    ///
    /// # Errors
    /// When the call is refused, or a person has to allow it first.
    pub(crate) async fn before(
        &self,
        scene: &Scene,
        call: &mut ToolCall,
        mutates: impl Fn(&Value) -> bool,
        permitted: &[Permission],
        decided: &mut Vec<Decided>,
    ) -> Result<(), Held> {
        for installed in self.listening(HookPoint::ToolExecuteBefore) {
            match installed.ask(scene, Occasion::ToolExecuteBefore(call), decided).await {
                Answer::Passed | Answer::Output(_) | Answer::Context => {}
                Answer::Arguments(input) => {
                    call.mutates = mutates(&input);
                    call.input = input;
                }
                Answer::Asks(words) => installed.permit(call, &words, permitted, decided)?,
                Answer::Refused(words) => return Err(Held::Refused(Tell(words))),
            }
        }
        for installed in self.listening(HookPoint::PermissionAsk) {
            match installed.ask(scene, Occasion::PermissionAsk(call), decided).await {
                Answer::Passed | Answer::Arguments(_) | Answer::Output(_) | Answer::Context => {}
                Answer::Asks(words) => installed.permit(call, &words, permitted, decided)?,
                Answer::Refused(words) => return Err(Held::Refused(Tell(words))),
            }
        }
        Ok(())
    }

    /// Asks after a call. Each hook sees the result that those before it left.
    pub(crate) async fn after(
        &self,
        scene: &Scene,
        call: &ToolCall,
        result: &mut ToolResult,
        decided: &mut Vec<Decided>,
    ) {
        for installed in self.listening(HookPoint::ToolExecuteAfter) {
            match installed.ask(scene, Occasion::ToolExecuteAfter(call, result), decided).await {
                Answer::Passed | Answer::Arguments(_) | Answer::Context | Answer::Asks(_) => {}
                Answer::Output(text) => result.output = text,
                Answer::Refused(words) => *result = ToolResult { status: ToolStatus::Error, output: words },
            }
        }
    }

    /// Asks about what is no call. A hook that `answered` before, by its plugin's name, is not asked again.
    ///
    /// # Errors
    /// Why it was refused, in words.
    pub(crate) async fn pass(
        &self,
        scene: &Scene,
        occasion: Occasion<'_>,
        answered: impl Fn(&str) -> bool,
        decided: &mut Vec<Decided>,
    ) -> Result<(), String> {
        for installed in self.listening(occasion.point()).filter(|installed| !answered(&installed.plugin)) {
            match installed.ask(scene, occasion, decided).await {
                Answer::Passed | Answer::Context | Answer::Arguments(_) | Answer::Output(_) | Answer::Asks(_) => {}
                Answer::Refused(words) => return Err(words),
            }
        }
        Ok(())
    }

    fn listening(&self, point: HookPoint) -> impl Iterator<Item = &Installed> {
        self.installed.iter().filter(move |installed| installed.hook.listens(point))
    }
}

impl Installed {
    /// Asks one hook within its time, and notes what it decided.
    async fn ask(&self, scene: &Scene, occasion: Occasion<'_>, decided: &mut Vec<Decided>) -> Answer {
        let point = occasion.point();
        let began = Instant::now();
        let verdict = match timeout(self.deadline, self.hook.ask(scene, occasion)).await {
            Ok(verdict) => verdict.and_then(|verdict| fitting(point, verdict)),
            Err(_) => Err(format!("it took longer than {} ms", self.deadline.as_millis())),
        };
        let took = began.elapsed();
        let call = match occasion {
            Occasion::ToolExecuteBefore(call) | Occasion::PermissionAsk(call) | Occasion::ToolExecuteAfter(call, _) => {
                Some(&call.call)
            }
            Occasion::SessionStart
            | Occasion::PromptSubmit { .. }
            | Occasion::ContextInject
            | Occasion::TurnEnd { .. } => None,
        };
        let mut note = |decision| {
            decided.push(Decided { plugin: self.plugin.clone(), hook: point, call: call.cloned(), decision, took });
        };
        let verdict = verdict.map(|verdict| match verdict {
            Verdict::Adding { words, and } => {
                note(PluginDecision::Injected {
                    text: clip_bytes(&words, limits::PLUGIN_CONTEXT_BYTES_MAX).to_owned(),
                });
                *and
            }
            verdict => verdict,
        });
        let (decision, answer) = match verdict {
            // What was added beside it is noted, and more does not fit.
            Ok(Verdict::Allow | Verdict::Adding { .. }) => return Answer::Passed,
            Ok(Verdict::Arguments(input)) => (PluginDecision::Replaced, Answer::Arguments(input)),
            Ok(Verdict::Output(text)) => {
                let text = if text.len() > limits::OUTPUT_BYTES_MAX {
                    output::ends(&text, limits::OUTPUT_BYTES_MAX)
                } else {
                    text
                };
                (PluginDecision::Replaced, Answer::Output(text))
            }
            Ok(Verdict::Context(text)) => {
                let text = clip_bytes(&text, limits::PLUGIN_CONTEXT_BYTES_MAX).to_owned();
                (PluginDecision::Injected { text }, Answer::Context)
            }
            Ok(Verdict::Ask(words)) => {
                let words = clip_bytes(&words, limits::PLUGIN_WORDS_BYTES_MAX).to_owned();
                (PluginDecision::Asked { words: words.clone() }, Answer::Asks(words))
            }
            Ok(Verdict::Deny(words)) => {
                let words = clip_bytes(&words, limits::PLUGIN_WORDS_BYTES_MAX).to_owned();
                (PluginDecision::Denied { words: words.clone() }, Answer::Refused(words))
            }
            Err(reason) => self.failed(point, clip_bytes(&reason, limits::PLUGIN_WORDS_BYTES_MAX).to_owned()),
        };
        note(decision);
        answer
    }

    /// Lets a call pass that a person has allowed; what is noted last is that this hook asked.
    fn permit(
        &self,
        call: &ToolCall,
        words: &str,
        permitted: &[Permission],
        decided: &mut [Decided],
    ) -> Result<(), Held> {
        let wanted = Permission { plugin: self.plugin.clone(), call: fingerprint(call) };
        if permitted.contains(&wanted) {
            if let Some(asked) = decided.last_mut() {
                asked.decision = PluginDecision::Permitted { call: wanted.call };
            }
            return Ok(());
        }
        let shown = serde_json::to_string_pretty(&call.input).unwrap_or_default();
        let text = format!(
            "{words}\n\nThe agent wants to call `{}`; the plugin {} asks.\n\n```json\n{shown}",
            call.name, self.plugin
        );
        let text = format!("{}\n```", clip(&text, QUESTION_CHARS_MAX - CLOSING_CHARS));
        let choices = [Permission::ALLOW, Permission::REFUSE].map(str::to_owned).to_vec();
        Err(Held::Asks(Question { text, choices, permission: Some(wanted) }))
    }

    fn failed(&self, point: HookPoint, reason: String) -> (PluginDecision, Answer) {
        let plugin = &self.plugin;
        tracing::warn!(plugin, hook = point.name(), reason, "a plugin failed");
        let answer = match self.on_failure {
            OnFailure::Open => Answer::Passed,
            OnFailure::Closed => {
                let (what, mend) = if plugin.starts_with(RepositoryHooks::PREFIX) {
                    (
                        "hook",
                        "It can be mended in the repository: sessions that begin from a commit with the mended hook have it.",
                    )
                } else {
                    ("plugin", "Whoever runs this server can mend the plugin.")
                };
                Answer::Refused(format!(
                    "The {what} {plugin} failed at {} ({reason}). It guards this, so nothing passes without its answer. {mend}",
                    point.name()
                ))
            }
        };
        (PluginDecision::Failed { reason, on_failure: self.on_failure }, answer)
    }
}

/// A call's name and arguments, told from all others.
fn fingerprint(call: &ToolCall) -> String {
    // The arguments' keys are sorted, however the model wrote them.
    let text = serde_json::json!([call.name, call.input]).to_string();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The verdict, where it may be said at this point.
fn fitting(point: HookPoint, verdict: Verdict) -> Result<Verdict, String> {
    let adds_words = matches!(point, HookPoint::SessionStart | HookPoint::ContextInject);
    let fits = match &verdict {
        Verdict::Allow => true,
        Verdict::Arguments(input) => point == HookPoint::ToolExecuteBefore && input.is_object(),
        Verdict::Output(_) => point == HookPoint::ToolExecuteAfter,
        Verdict::Context(_) => adds_words,
        Verdict::Ask(_) => matches!(point, HookPoint::ToolExecuteBefore | HookPoint::PermissionAsk),
        Verdict::Deny(_) => !adds_words,
        Verdict::Adding { and, .. } => {
            let beside = match point {
                HookPoint::ToolExecuteBefore | HookPoint::ToolExecuteAfter | HookPoint::PromptSubmit => true,
                HookPoint::SessionStart | HookPoint::ContextInject | HookPoint::PermissionAsk | HookPoint::TurnEnd => {
                    false
                }
            };
            beside && !matches!(**and, Verdict::Adding { .. }) && fitting(point, (**and).clone()).is_ok()
        }
    };
    if fits { Ok(verdict) } else { Err(format!("its answer does not fit {}", point.name())) }
}
