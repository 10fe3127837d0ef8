//! What a person is told of an event, as lines that the timelines then dress.

use std::collections::HashMap;

use hangar_protocol::{
    Block, CallId, ChildPhase, Event, EventBody, GatewayOutcome, HookPoint, ModelUsage, OnFailure, PluginDecision,
    PromptId, Question, StopReason, TodoItem, TodoStatus, TurnId, UserId,
    event::{
        FileChange, FileChangeKind, ForkPurpose, HarnessMemory, PullRequestChange, SandboxPhase, ToolStatus,
        TurnOutcome,
    },
    limits::clip,
};

use super::people;
use crate::cli::{image::short as short_id, words};

/// How many changed files one line names.
const FILES_NAMED_MAX: usize = 6;
/// How much of a failed tool's output stands on its line.
const OUTPUT_CHARS_MAX: usize = 160;
/// The tools whose effects are events of their own.
const TOLD_TOOLS: [&str; 2] = ["todo", "ask"];

/// One thing told. `text` may have several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) mark: Mark,
    pub(super) text: String,
    /// What matters less, shown behind the text.
    pub(super) aside: String,
}

/// What kind of thing a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Session,
    /// Somebody's words.
    Person(String),
    /// The agent's words.
    Agent,
    ToolOk,
    ToolError,
    ToolCut,
    Todo,
    Question,
    Files,
    Pushed,
    PullRequest,
    Note,
    Warning,
    Done,
    Stopped,
    Failed,
}

/// What must be remembered of earlier events to tell later ones.
#[derive(Debug)]
pub(crate) struct Story {
    /// The server's address, for pages it names relative to itself.
    server: String,
    calls: HashMap<CallId, String>,
    turns: HashMap<TurnId, Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    started_ms: u64,
    requests: u64,
    usage: ModelUsage,
    cost_micro_usd: u64,
}

impl Story {
    pub(crate) fn new(server: &str) -> Self {
        Self { server: server.to_owned(), calls: HashMap::new(), turns: HashMap::new() }
    }

    /// How a running call is called.
    pub(super) fn call(&self, call: &CallId) -> Option<&str> {
        self.calls.get(call).map(String::as_str)
    }

    /// What is told of an event: nothing, or a line.
    pub(super) fn tell(&mut self, event: &Event) -> Option<Line> {
        match &event.body {
            EventBody::SessionCreated { session, repo, base_branch, model, .. } => {
                Some(line(Mark::Session, format!("{session} · {repo} ({base_branch}) · {model}")))
            }
            EventBody::ParticipantJoined { person } => Some(line(Mark::Note, format!("{} takes part", person.name))),
            EventBody::TitleChanged { title, .. } => {
                Some(line(Mark::Note, format!("the title is now “{}”", words::one_line(title))))
            }
            EventBody::PromptAdded { author, text, .. } => {
                Some(line(Mark::Person(author.to_string()), words::harmless(text.trim())))
            }
            EventBody::PromptCancelled { prompt, .. } => {
                Some(line(Mark::Note, format!("prompt {prompt} was taken back")))
            }
            EventBody::PromptEdited { prompt, by, text, .. } => {
                Some(line(Mark::Note, format!("{by} changed prompt {prompt}: {}", words::one_line(text))))
            }
            EventBody::PromptMoved { prompt, by, before, .. } => Some(line(Mark::Note, moved(*prompt, by, *before))),
            EventBody::SteerRequested { prompt, by, .. } => {
                Some(line(Mark::Note, format!("{by} sends prompt {prompt} into the running turn")))
            }
            EventBody::PromptSteered { prompt, .. } => {
                Some(line(Mark::Note, format!("the agent hears prompt {prompt}")))
            }
            EventBody::QueuePaused { by } => {
                Some(line(Mark::Note, format!("{by} paused the queue: what waits goes on after `hangar resume`")))
            }
            EventBody::QueueResumed { by } => Some(line(Mark::Note, format!("{by} lets the queue go on"))),
            EventBody::TurnStarted { turn, .. } => {
                self.turns.insert(*turn, Turn { started_ms: event.time_ms, ..Turn::default() });
                None
            }
            EventBody::TurnResumed { reason, .. } => {
                Some(line(Mark::Note, format!("goes on after an interruption: {}", words::one_line(reason))))
            }
            EventBody::TurnPaused { exhausted, .. } => {
                Some(line(Mark::Warning, format!("waits: {}", words::one_line(&exhausted.reason))))
            }
            EventBody::TurnContinued { .. } => Some(line(Mark::Note, "goes on".to_owned())),
            EventBody::BudgetChanged { budget } => {
                Some(line(Mark::Note, format!("the session's budget is now {}", words::budget(budget))))
            }
            EventBody::StopRequested { by, .. } => Some(line(Mark::Note, format!("{by} asked to stop"))),
            EventBody::ChildOf { parent, .. } => {
                Some(line(Mark::Note, format!("begun by the agent of the session {parent}")))
            }
            EventBody::ChildSpawned { child, repo, title, .. } => Some(Line {
                mark: Mark::Note,
                text: format!("began the session {child} on {repo}"),
                aside: words::one_line(title),
            }),
            EventBody::ChildReported { child, phase, words, pull_request, .. } => Some(Line {
                mark: child_mark(*phase),
                text: match pull_request {
                    Some(pull) => {
                        format!("the session {child} is {} · {}", phase.word(), words::short_pull_request(Some(pull)).1)
                    }
                    None => format!("the session {child} is {}", phase.word()),
                },
                aside: clip(&words::one_line(words), OUTPUT_CHARS_MAX),
            }),
            EventBody::TurnEnded { turn, outcome } => Some(self.ended(event.time_ms, *turn, outcome)),
            EventBody::SandboxChanged { phase, detail, duration_ms } => sandbox(*phase, detail, *duration_ms),
            EventBody::ModelRequested { turn, .. } => {
                self.turns.entry(*turn).or_default().requests += 1;
                None
            }
            EventBody::ModelRetried { wait_ms, reason, .. } => Some(Line {
                mark: Mark::Warning,
                text: format!("the model gave no answer: {}", words::one_line(reason)),
                aside: format!("again in {}", words::duration(u64::from(*wait_ms))),
            }),
            EventBody::ModelFellBack { to, reason, .. } => Some(Line {
                mark: Mark::Warning,
                text: format!("the turn goes on with {to}"),
                aside: words::one_line(reason),
            }),
            EventBody::OutputsLeftOut { tokens_before, .. } => Some(Line {
                mark: Mark::Note,
                text: "the model is shown no outputs of older calls any more".to_owned(),
                aside: format!("it had {} tokens to read", words::count(*tokens_before)),
            }),
            EventBody::ConversationSummarized { turn, usage, cost_micro_usd, tokens_before, .. } => {
                let turn = self.turns.entry(*turn).or_default();
                turn.usage.add(*usage);
                turn.cost_micro_usd += cost_micro_usd.unwrap_or(0);
                Some(Line {
                    mark: Mark::Note,
                    text: "the model goes on from a summary of the conversation".to_owned(),
                    aside: format!("it had {} tokens to read", words::count(*tokens_before)),
                })
            }
            EventBody::HarnessStarted { program, memory, duration_ms, agent, .. } => {
                let name = if program.is_empty() { agent } else { program };
                let knows = match memory {
                    HarnessMemory::New => "",
                    HarnessMemory::Loaded => ", with its own conversation",
                    HarnessMemory::Told => ", told what was said before",
                };
                Some(line(
                    Mark::Note,
                    format!("{} works{knows} ({})", words::one_line(name), words::duration(u64::from(*duration_ms))),
                ))
            }
            // The program that asked shows what it was answered.
            EventBody::GatewayRequested { turn, .. } => {
                self.turns.entry(*turn).or_default().requests += 1;
                None
            }
            EventBody::GatewayReplied { turn, outcome, usage, cost_micro_usd, .. } => {
                let turn = self.turns.entry(*turn).or_default();
                turn.usage.add(*usage);
                turn.cost_micro_usd += cost_micro_usd.unwrap_or(0);
                match outcome {
                    GatewayOutcome::Answered | GatewayOutcome::CutOff => None,
                    GatewayOutcome::Failed { reason, .. } => Some(line(
                        Mark::Warning,
                        format!("a program in the sandbox got no answer of a model: {}", words::one_line(reason)),
                    )),
                }
            }
            EventBody::ModelReplied { turn, blocks, usage, cost_micro_usd, stop, .. } => {
                let turn = self.turns.entry(*turn).or_default();
                turn.usage.add(*usage);
                turn.cost_micro_usd += cost_micro_usd.unwrap_or(0);
                reply(blocks, *stop)
            }
            EventBody::ToolStarted { call, name, input, .. } => {
                self.calls.insert(call.clone(), words::call(name, input));
                None
            }
            EventBody::ToolFinished { call, status, output, duration_ms, .. } => {
                self.tool(call, *status, output, *duration_ms)
            }
            EventBody::PluginDecided { plugin, hook, decision, .. } => Some(decided(plugin, *hook, decision)),
            EventBody::TodoChanged { items } => todo(items),
            EventBody::QuestionAsked { question, .. } => Some(asked(question)),
            EventBody::FilesChanged { files, more } => Some(line(Mark::Files, file_names(files, *more))),
            EventBody::BranchPushed { branch, new, .. } => {
                Some(line(Mark::Pushed, format!("{branch} at {}", short(new))))
            }
            EventBody::PushRefused { reason } => {
                Some(line(Mark::Warning, format!("the push was refused: {}", words::one_line(reason))))
            }
            EventBody::PullRequestOpened { number, title, author, url } => Some(Line {
                mark: Mark::PullRequest,
                text: format!("#{number} “{}” by {author}", words::one_line(title)),
                aside: self.page(url),
            }),
            EventBody::PullRequestChanged { number, change } => {
                Some(line(Mark::PullRequest, format!("#{number} {}", pull_request_change(change))))
            }
            EventBody::ImageChosen { image, commit, age_ms } => Some(Line {
                mark: Mark::Note,
                text: format!("starts from the image {} of {}", short_id(&words::one_line(image)), short(commit)),
                aside: format!("{} old", words::duration(*age_ms)),
            }),
            EventBody::BaseChanged { commit, by } => {
                Some(line(Mark::Note, format!("{by} let it begin at {}, the commit of its image", short(commit))))
            }
            // One comes after every turn; what it is good for is shown where somebody goes back to it.
            EventBody::SnapshotTaken { .. } => None,
            EventBody::NetworkDenied { host, port, reason, count, .. } => Some(Line {
                mark: Mark::Warning,
                text: format!("no way to {}:{port}: {}", words::one_line(host), words::one_line(reason)),
                aside: if *count > 1 { format!("{count} times") } else { String::new() },
            }),
            EventBody::NetworkAllowed { host, port, by } => {
                Some(line(Mark::Note, format!("{by} opened the way to {}:{port}", words::one_line(host))))
            }
            EventBody::ForkedFrom { session, turn, .. } => Some(line(
                Mark::Note,
                format!("a fork of {session} {}; what follows was copied", words::after_turn(*turn)),
            )),
            EventBody::SessionForked { into, turn, purpose } => Some(line(
                Mark::Note,
                match purpose {
                    ForkPurpose::Fork => format!("{into} was forked from here {}", words::after_turn(*turn)),
                    ForkPurpose::Attempt { round } => format!("attempt {into} of round {round} began"),
                },
            )),
            EventBody::Rewound { to_turn, .. } => {
                Some(line(Mark::Note, format!("back to where it was {}", words::after_turn(*to_turn))))
            }
            EventBody::AttemptKept { session, .. } => {
                Some(line(Mark::Note, format!("attempt {session} was chosen; it goes on there")))
            }
            EventBody::MemberAdded { .. }
            | EventBody::RoleChanged { .. }
            | EventBody::MemberRemoved { .. }
            | EventBody::OwnershipTaken { .. }
            | EventBody::VisibilityChanged { .. }
            | EventBody::InvitationMade { .. }
            | EventBody::InvitationRevoked { .. }
            | EventBody::SessionArchived
            | EventBody::SessionUnarchived
            | EventBody::SessionDeleted { .. }
            | EventBody::SessionRestored => people::told(&event.cause, &event.body).map(|text| line(Mark::Note, text)),
            EventBody::Warning { text } => Some(line(Mark::Warning, words::one_line(text))),
        }
    }

    /// The full address of a page of the server.
    pub(super) fn page(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.server) } else { words::one_line(url) }
    }

    fn ended(&mut self, now_ms: u64, turn: TurnId, outcome: &TurnOutcome) -> Line {
        let turn = self.turns.remove(&turn).unwrap_or_default();
        let took = match turn.started_ms {
            // Its beginning was before the cursor this reader began at.
            0 => String::new(),
            started_ms => words::duration(now_ms.saturating_sub(started_ms)),
        };
        let tokens = turn.usage.input_tokens + turn.usage.cache_read_tokens + turn.usage.cache_write_tokens;
        let mut costs = Vec::new();
        if turn.requests > 0 {
            costs.push(words::plural(turn.requests, "model request"));
        }
        if tokens + turn.usage.output_tokens > 0 {
            costs.push(format!("{} tokens in, {} out", words::count(tokens), words::count(turn.usage.output_tokens)));
        }
        if turn.cost_micro_usd > 0 {
            costs.push(words::money(turn.cost_micro_usd));
        }
        let (mark, text) = match outcome {
            TurnOutcome::Done if took.is_empty() => (Mark::Done, "done".to_owned()),
            TurnOutcome::Done => (Mark::Done, format!("done in {took}")),
            TurnOutcome::Stopped { by } => (Mark::Stopped, format!("stopped by {by}")),
            TurnOutcome::Failed { reason } => (Mark::Failed, words::one_line(reason)),
        };
        Line { mark, text, aside: costs.join(" · ") }
    }

    fn tool(&mut self, call: &CallId, status: ToolStatus, output: &str, duration_ms: u32) -> Option<Line> {
        let title = self.calls.remove(call).unwrap_or_else(|| call.to_string());
        if TOLD_TOOLS.contains(&title.as_str()) && status == ToolStatus::Ok {
            return None;
        }
        let took = words::duration(u64::from(duration_ms));
        let (mark, aside) = match status {
            ToolStatus::Ok => (Mark::ToolOk, took),
            ToolStatus::Interrupted => (Mark::ToolCut, format!("{took}, cut off")),
            ToolStatus::Error => (Mark::ToolError, with_reason(&took, output)),
        };
        Some(Line { mark, text: title, aside })
    }
}

fn line(mark: Mark, text: String) -> Line {
    Line { mark, text, aside: String::new() }
}

fn child_mark(phase: ChildPhase) -> Mark {
    match phase {
        ChildPhase::Working | ChildPhase::Done | ChildPhase::Stopped => Mark::Note,
        ChildPhase::Paused | ChildPhase::Asking | ChildPhase::Failed => Mark::Warning,
    }
}

fn moved(prompt: PromptId, by: &UserId, before: Option<PromptId>) -> String {
    match before {
        Some(before) => format!("{by} moved prompt {prompt} before prompt {before}"),
        None => format!("{by} moved prompt {prompt} to the end of the queue"),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// The last line of a failed tool's output says most about why; what stands in brackets below it is the tool's own remark.
fn with_reason(took: &str, output: &str) -> String {
    let mut lines = output.lines().rev().map(words::one_line).filter(|line| !line.is_empty()).peekable();
    let remark = lines.peek().cloned();
    match lines.find(|line| !line.starts_with('[')).or(remark) {
        Some(reason) => format!("{took} · {}", clip(reason.trim_matches(['[', ']']), OUTPUT_CHARS_MAX)),
        None => took.to_owned(),
    }
}

fn sandbox(phase: SandboxPhase, detail: &str, duration_ms: u32) -> Option<Line> {
    match phase {
        SandboxPhase::Absent | SandboxPhase::Preparing | SandboxPhase::Syncing => None,
        SandboxPhase::Ready => Some(Line {
            mark: Mark::Note,
            text: "sandbox ready".to_owned(),
            aside: words::duration(u64::from(duration_ms)),
        }),
        SandboxPhase::Failed => Some(line(Mark::Warning, format!("the sandbox failed: {}", words::one_line(detail)))),
    }
}

/// What a plugin did. Its words come from whoever wrote the plugin, and from what it was asked about.
fn decided(plugin: &str, hook: HookPoint, decision: &PluginDecision) -> Line {
    let plugin = words::one_line(plugin);
    match decision {
        PluginDecision::Replaced => {
            let what = match hook {
                HookPoint::ToolExecuteAfter => "what a call gave",
                HookPoint::ToolExecuteBefore
                | HookPoint::PermissionAsk
                | HookPoint::SessionStart
                | HookPoint::PromptSubmit
                | HookPoint::ContextInject
                | HookPoint::TurnEnd => "a call",
            };
            line(Mark::Note, format!("{plugin} changed {what}"))
        }
        PluginDecision::Denied { words } => {
            line(Mark::Warning, format!("{plugin} refused: {}", words::one_line(words)))
        }
        PluginDecision::Asked { words } => {
            line(Mark::Warning, format!("{plugin} wants a person to decide: {}", words::one_line(words)))
        }
        PluginDecision::Permitted { .. } => {
            line(Mark::Note, format!("{plugin} lets a call pass that a person allowed"))
        }
        PluginDecision::Injected { text } => {
            line(Mark::Note, format!("{plugin} tells the agent: {}", clip(&words::one_line(text), OUTPUT_CHARS_MAX)))
        }
        PluginDecision::Failed { reason, on_failure } => {
            let then = match on_failure {
                OnFailure::Closed => "so it was refused",
                OnFailure::Open => "and was passed over",
            };
            line(Mark::Warning, format!("{plugin} failed at {}, {then}: {}", hook.name(), words::one_line(reason)))
        }
    }
}

/// A whole reply's words. Thoughts and tool calls are told elsewhere.
fn reply(blocks: &[Block], stop: StopReason) -> Option<Line> {
    let mut texts: Vec<String> = blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(words::harmless(text.trim())),
            Block::Reasoning { .. } | Block::ToolCall { .. } => None,
        })
        .filter(|text| !text.is_empty())
        .collect();
    texts.extend(stop_remark(stop).map(str::to_owned));
    (!texts.is_empty()).then(|| line(Mark::Agent, texts.join("\n\n")))
}

/// What is to be said about a reply that did not end by itself.
pub(super) fn stop_remark(stop: StopReason) -> Option<&'static str> {
    match stop {
        StopReason::EndTurn | StopReason::ToolUse => None,
        StopReason::MaxTokens => Some("[the reply reached the model's output limit]"),
        StopReason::Refusal => Some("[the model refused to go on]"),
    }
}

fn asked(question: &Question) -> Line {
    let text = words::harmless(&question.text);
    let choices =
        question.choices.iter().zip(1..).map(|(choice, number)| format!("\n{number}. {}", words::one_line(choice)));
    line(Mark::Question, text + &choices.collect::<String>())
}

fn todo(items: &[TodoItem]) -> Option<Line> {
    let done = items.iter().filter(|item| item.status == TodoStatus::Done).count();
    let now = items.iter().find(|item| item.status == TodoStatus::InProgress);
    let now = now.map(|item| words::one_line(&item.text));
    match (items.len(), now) {
        (0, _) => None,
        (all, Some(now)) => Some(Line { mark: Mark::Todo, text: now, aside: format!("{done} of {all} done") }),
        (all, None) => Some(line(Mark::Todo, format!("{done} of {all} done"))),
    }
}

fn file_names(files: &[FileChange], more: u32) -> String {
    let named = files.iter().take(FILES_NAMED_MAX).map(|file| {
        let sign = match file.kind {
            FileChangeKind::Created => '+',
            FileChangeKind::Modified => '~',
            FileChangeKind::Removed => '-',
        };
        format!("{sign}{}", words::one_line(&file.path))
    });
    let mut named: Vec<String> = named.collect();
    let unnamed = files.len().saturating_sub(FILES_NAMED_MAX) as u64 + u64::from(more);
    if unnamed > 0 {
        named.push(format!("and {} more", words::count(unnamed)));
    }
    named.join("  ")
}

fn pull_request_change(change: &PullRequestChange) -> String {
    match change {
        PullRequestChange::Synchronized { head } => format!("has new commits, up to {}", short(head)),
        PullRequestChange::Reviewed { by, verdict } => format!("{} by {by}", verdict.replace('_', " ")),
        PullRequestChange::Merged { by, commit } => format!("merged by {by} as {}", short(commit)),
        PullRequestChange::Closed { by } => format!("closed by {by}"),
        PullRequestChange::Reopened { by } => format!("opened again by {by}"),
    }
}
