//! What a model is shown: a fold over a session's events.
//!
//! Architecture invariant: the fold only ever appends, or goes back to what it was after an earlier turn (`rewound`). Between two events that
//! make it shorter (`outputs_left_out`, `conversation_summarized`), the messages after a longer log begin with the messages after a shorter
//! one, so that a provider's prompt cache stays warm, and a server that was killed asks its next question with the same bytes. A fork's copied beginning gives the messages of its source.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use hangar_protocol::{
    Block, CallId, Event, EventBody, HookPoint, Permission, Person, PluginDecision, PromptId, RepoPath, Seq, SessionId,
    StopReason, TurnId, UserId,
    event::{BlobRef, ForkPurpose, ImageKind, ToolStatus, TurnOutcome},
    limits::clip_bytes,
};

use self::{
    children::Children,
    compact::{Cut, Outputs},
};
use crate::{
    hooks, instructions, limits,
    tools::{ask, is_repeatable},
};

mod children;
mod compact;

pub use compact::SUMMARY_WISH;

/// What a model is told about a call that had begun when the turn was cut off.
pub const INTERRUPTED_CALL: &str =
    "This call was interrupted after it had begun. It may have had some of its effects; look before you repeat it.";
/// What a model is told about a call that had not begun when the turn was cut off.
pub const UNSTARTED_CALL: &str = "The turn ended before this call began. It had no effect.";

/// What a model is told about a call that a person has to allow.
pub const NEEDS_PERMISSION: &str = "This call needs a person's permission, and they were asked. Your turn ends here; their answer is the next message. \
    If they allow it, make exactly this call again. If not, go on without it.";

/// What was said in a session so far, as its model is to see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    facts: Option<Facts>,
    people: Vec<Person>,
    waiting: BTreeMap<PromptId, (UserId, String)>,
    entries: Vec<Entry>,
    /// Where it was made shorter, in the order of the log.
    cuts: Vec<Cut>,
    /// What its service told of the last request's size in tokens, its reply included, and the first entry that is not counted there.
    told: Option<(u64, usize)>,
    turn: Option<OpenTurn>,
    note: Option<String>,
    /// Why the model stopped, when its last reply asks for nothing.
    ended: Option<StopReason>,
    given: BTreeSet<String>,
    /// Where each turn ended, oldest first, for a way back.
    turns: Vec<TurnMark>,
    /// What the next prompt's reader has to know about the branch; said once.
    branch_note: Option<String>,
    /// Where the branch stands at the forge.
    pushed: Option<String>,
    /// People were asked something since the last request to the model.
    asked: bool,
    /// What the next words of theirs may allow.
    permission: Option<Permission>,
    /// What they allowed and was not done since.
    permitted: Vec<Permission>,
    /// What was heard of the sessions that its agent began.
    children: Children,
    /// Its wish was tried in forks of it.
    attempts: bool,
    /// The last external agent's own name for the conversation.
    harness: Option<String>,
    /// As long as what is taken in was copied from another session, which may have copied its beginning from a third.
    copying: Vec<Copying>,
}

/// The beginning of a fork, which is told as it was told in its source.
#[derive(Clone, Debug, PartialEq)]
struct Copying {
    until: Seq,
    /// What the first prompt after it begins with.
    note: String,
}

/// What the conversation was when a turn had ended.
#[derive(Clone, Debug, PartialEq)]
struct TurnMark {
    turn: TurnId,
    entries: usize,
    note: Option<String>,
}

/// What a session works on.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The session.
    pub session: SessionId,
    /// The repository.
    pub repo: RepoPath,
    /// The branch its pull request goes to.
    pub base_branch: String,
    /// The branch it works on.
    pub branch: String,
}

/// The turn that is running.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenTurn {
    /// Its number.
    pub id: TurnId,
    /// Whose prompt it works on.
    pub author: Person,
    /// The prompt's words.
    pub said: String,
    /// Who else said something to it, in order, each once.
    pub steerers: Vec<Person>,
    /// Model requests so far.
    pub steps: u32,
    /// The model that it goes on with, where the session's own did not answer.
    pub fell_back_to: Option<String>,
    /// An external agent was given its prompt, or was about to be.
    pub handed_over: bool,
    /// Where its own prompt stands.
    first_entry: usize,
    /// How often plugins refused to let it end.
    pub sent_back: u32,
    /// Which plugins added words to it, and where.
    given: Vec<(HookPoint, String)>,
}

/// Something that is said to the running turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Steer {
    /// Who says it.
    pub author: Person,
    /// The words.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Prompt(String),
    Reply(Vec<Block>),
    Calls(Vec<Call>),
}

/// A call that a model asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The model's name for it.
    pub call: CallId,
    /// The tool.
    pub name: String,
    /// Its arguments, as the model gave them.
    pub input: serde_json::Value,
    /// Its effect may have begun.
    pub started: bool,
    result: Option<CallOutput>,
    /// Words of plugins that the model is shown below the result.
    added: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct CallOutput {
    status: ToolStatus,
    text: String,
    /// Where the whole text is, as long as `text` is only a part of it; or the image, as long as `base64` is empty.
    missing: Option<BlobRef>,
    /// What kind of image the model is shown beside the text.
    image: Option<ImageKind>,
    /// The image, as every wire wants it.
    base64: String,
    /// What the model is shown instead, where it is left out.
    short: Option<String>,
    /// The text with what plugins added, where they did.
    with_added: Option<String>,
}

/// How far a transcript goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// To the beginning of the running turn.
    Turn,
    /// To the last word.
    Now,
}

/// One message of a request to a model. Two of the same kind never follow each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// What people said and tools gave: results first, in the order of their calls.
    User(Vec<Part<'a>>),
    /// What the model replied. Never empty.
    Assistant(&'a [Block]),
}

/// A piece of what a model is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Words.
    Text(&'a str),
    /// What a call gave.
    Result {
        /// Which call.
        call: &'a CallId,
        /// What it gave.
        output: &'a str,
        /// An image beside it.
        image: Option<Image<'a>>,
        /// Whether it did what it was asked.
        ok: bool,
    },
}

/// An image as a model is shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// What kind of file it is.
    pub kind: ImageKind,
    /// The file, as every wire wants it.
    pub base64: &'a str,
}

impl Image<'_> {
    /// The image as an address that holds it.
    #[must_use]
    pub fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.kind.media_type(), self.base64)
    }
}

impl Conversation {
    /// The conversation after these events.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut conversation = Self::default();
        for event in events {
            conversation.apply(event);
        }
        conversation
    }

    /// Takes in the next event.
    pub fn apply(&mut self, event: &Event) {
        while let Some(fork) = self.copying.pop_if(|fork| event.seq > fork.until) {
            // What was copied was pushed to another branch.
            self.pushed = None;
            self.branch_note = Some(fork.note);
        }
        self.apply_body(&event.body);
    }

    /// Takes in what the next event says.
    pub fn apply_body(&mut self, body: &EventBody) {
        match body {
            EventBody::SessionCreated { session, owner, repo, base_branch, branch, .. } => {
                self.people.push(owner.clone());
                self.facts = Some(Facts {
                    session: session.clone(),
                    repo: repo.clone(),
                    base_branch: base_branch.clone(),
                    branch: branch.clone(),
                });
            }
            EventBody::ParticipantJoined { person } => self.people.push(person.clone()),
            EventBody::PromptAdded { prompt, author, text, .. } => {
                self.waiting.insert(*prompt, (author.clone(), text.clone()));
            }
            EventBody::PromptEdited { prompt, text, .. } => {
                if let Some((_, words)) = self.waiting.get_mut(prompt) {
                    words.clone_from(text);
                }
            }
            EventBody::PromptCancelled { prompt, .. } => drop(self.waiting.remove(prompt)),
            EventBody::PromptSteered { prompt, .. } => {
                if let Some((user, text)) = self.waiting.remove(prompt) {
                    let author = self.person(user);
                    self.steer(Steer { author, text });
                }
            }
            EventBody::TurnStarted { turn, prompt } => self.begin_turn(*turn, *prompt),
            EventBody::TurnEnded { turn, outcome } => self.end_turn(*turn, outcome),
            EventBody::ModelRequested { step, .. } => {
                if let Some(turn) = &mut self.turn {
                    turn.steps = *step;
                }
            }
            EventBody::ModelFellBack { to, .. } => {
                if let Some(turn) = &mut self.turn {
                    turn.fell_back_to = Some(to.clone());
                }
            }
            EventBody::ModelReplied { step, blocks, stop, usage, .. } => {
                if let Some(turn) = &mut self.turn {
                    turn.steps = turn.steps.max(*step);
                }
                self.add_reply(blocks, *stop, usage.total());
            }
            EventBody::HarnessStarted { conversation, .. } => {
                self.harness = Some(conversation.clone());
                if let Some(turn) = &mut self.turn {
                    turn.handed_over = true;
                }
            }
            EventBody::OutputsLeftOut { replies_kept, .. } => self.leave_out_outputs(*replies_kept),
            EventBody::ConversationSummarized { summary, .. } => self.sum_up(summary),
            EventBody::ToolStarted { call, .. } => {
                if let Some(known) = self.call_mut(call) {
                    known.started = true;
                }
            }
            EventBody::ToolFinished { call, status, output, blob, image, .. } => {
                self.given.extend(instructions::given_in(output));
                if let Some(known) = self.call_mut(call) {
                    let asked = is_repeatable(&known.name);
                    let (missing, image) = (blob.clone(), *image);
                    known.answer(CallOutput { missing, image, ..CallOutput::new(*status, output) });
                    if asked {
                        self.children.told_in(output);
                    }
                }
            }
            EventBody::PluginDecided { call, plugin, hook, decision, .. } => {
                self.hear_plugin(call.as_ref(), plugin, *hook, decision);
            }
            EventBody::QuestionAsked { question, .. } => {
                self.asked = true;
                self.permission.clone_from(&question.permission);
            }
            EventBody::BranchPushed { new, .. } => self.pushed = Some(new.clone()),
            EventBody::ForkedFrom { session, until, .. } => {
                // Everybody who took part there is told by an event of their own.
                self.people.clear();
                (self.permission, self.permitted) = (None, Vec::new());
                let note = format!(
                    "From here on this is a session of its own, forked from {session}, with a branch of its own."
                );
                self.copying.push(Copying { until: *until, note });
            }
            EventBody::SessionForked { purpose, .. } => {
                self.attempts |= matches!(purpose, ForkPurpose::Attempt { .. });
            }
            EventBody::Rewound { to_turn, .. } => self.take_back(*to_turn),
            EventBody::ChildOf { parent, .. } => self.note = Some(children::begun_by(parent)),
            EventBody::BaseChanged { commit, by } => {
                self.note = Some(format!(
                    "The newest commits of the base branch could not be fetched. {by} let this session begin at {commit} instead: its files are those of that commit."
                ));
            }
            EventBody::ChildSpawned { child, title, .. } => self.children.spawned(child, title),
            EventBody::ChildReported { child, phase, words, .. } => self.children.reported(child, *phase, words),
            EventBody::TitleChanged { .. }
            | EventBody::PromptMoved { .. }
            | EventBody::SteerRequested { .. }
            | EventBody::QueuePaused { .. }
            | EventBody::QueueResumed { .. }
            | EventBody::TurnResumed { .. }
            | EventBody::TurnPaused { .. }
            | EventBody::TurnContinued { .. }
            | EventBody::BudgetChanged { .. }
            | EventBody::StopRequested { .. }
            | EventBody::SandboxChanged { .. }
            | EventBody::GatewayRequested { .. }
            | EventBody::GatewayReplied { .. }
            | EventBody::ModelRetried { .. }
            | EventBody::TodoChanged { .. }
            | EventBody::FilesChanged { .. }
            | EventBody::PushRefused { .. }
            | EventBody::ImageChosen { .. }
            | EventBody::SnapshotTaken { .. }
            | EventBody::NetworkDenied { .. }
            | EventBody::NetworkAllowed { .. }
            | EventBody::PullRequestOpened { .. }
            | EventBody::PullRequestChanged { .. }
            | EventBody::AttemptKept { .. }
            | EventBody::MemberAdded { .. }
            | EventBody::RoleChanged { .. }
            | EventBody::MemberRemoved { .. }
            | EventBody::OwnershipTaken { .. }
            | EventBody::VisibilityChanged { .. }
            | EventBody::InvitationMade { .. }
            | EventBody::InvitationRevoked { .. }
            | EventBody::SessionArchived
            | EventBody::SessionUnarchived
            | EventBody::SessionDeleted { .. }
            | EventBody::SessionRestored
            | EventBody::Warning { .. } => {}
        }
    }

    /// Drops what was said after a turn.
    fn take_back(&mut self, to_turn: TurnId) {
        self.turns.retain(|mark| mark.turn <= to_turn);
        let (entries, note) = self.turns.last().map_or((0, None), |mark| (mark.entries, mark.note.clone()));
        self.entries.truncate(entries);
        self.drop_cuts();
        (self.asked, self.permission, self.permitted) = (false, None, Vec::new());
        self.note = note;
        self.ended = None;
        if let Some(commit) = &self.pushed {
            self.branch_note = Some(format!(
                "The workspace and this conversation were taken back to an earlier state. The branch at the forge still ends at {commit}. \
                 Before you push, make your work follow it: git fetch origin {commit} && git merge -s ours -m 'Go back to an earlier state' {commit}"
            ));
        }
    }

    fn begin_turn(&mut self, turn: TurnId, prompt: PromptId) {
        self.close_calls();
        let Some((user, text)) = self.waiting.remove(&prompt) else { return };
        self.hear_answer(&text);
        let author = self.person(user);
        let mut said = self.note.take().map(|note| format!("[{note}]\n\n")).unwrap_or_default();
        if let Some(note) = self.branch_note.take() {
            said.push_str(&format!("[{note}]\n\n"));
        }
        said.push_str(&self.children.tell());
        if self.people.len() > 1 {
            said.push_str(&format!("{} ({}):\n", author.name, author.user));
        }
        said.push_str(&text);
        let first_entry = self.entries.len();
        self.entries.push(Entry::Prompt(said));
        self.ended = None;
        self.turn = Some(OpenTurn {
            id: turn,
            author,
            said: text,
            steerers: Vec::new(),
            steps: 0,
            fell_back_to: None,
            handed_over: false,
            first_entry,
            sent_back: 0,
            given: Vec::new(),
        });
    }

    /// Takes in what somebody says to the running turn, whose calls all have their results. A model that had the last word has it no more.
    pub fn steer(&mut self, steer: Steer) {
        let Steer { author, text } = steer;
        self.hear_answer(&text);
        self.entries.push(Entry::Prompt(format!("[{} ({}) says while you work:]\n\n{text}", author.name, author.user)));
        self.ended = None;
        if let Some(turn) = &mut self.turn {
            // These words are asked about by themselves, whoever added something to those before.
            turn.given.retain(|(point, _)| *point != HookPoint::PromptSubmit);
        }
        if let Some(turn) = &mut self.turn
            && turn.author.user != author.user
            && !turn.steerers.contains(&author)
        {
            turn.steerers.push(author);
        }
    }

    /// Takes in that somebody has spoken since something was asked.
    fn hear_answer(&mut self, text: &str) {
        self.asked = false;
        self.permitted.extend(self.permission.take().filter(|_| text.trim() == Permission::ALLOW));
    }

    /// Takes in what a plugin has to say to the model. What became of calls, their results say.
    fn hear_plugin(&mut self, call: Option<&CallId>, plugin: &str, hook: HookPoint, decision: &PluginDecision) {
        let origin = hooks::origin(plugin);
        let said = match (decision, hook) {
            (PluginDecision::Injected { text }, HookPoint::ToolExecuteBefore | HookPoint::ToolExecuteAfter) => {
                let Some(known) = call.and_then(|call| self.call_mut(call)) else { return };
                let words = format!("[{plugin}, {origin}, adds about this call:]\n\n{text}");
                // A call that had not begun before a restart is asked about again.
                if !known.added.contains(&words) {
                    known.added.push(words);
                }
                return;
            }
            (PluginDecision::Injected { text }, _) => {
                if let Some(turn) = &mut self.turn {
                    turn.given.push((hook, plugin.to_owned()));
                }
                format!("[{plugin}, {origin}, adds:]\n\n{text}")
            }
            (PluginDecision::Denied { words }, HookPoint::TurnEnd) => {
                if let Some(turn) = &mut self.turn {
                    turn.sent_back = turn.sent_back.saturating_add(1);
                }
                format!("[{plugin}, {origin}, does not let the turn end yet:]\n\n{words}")
            }
            (PluginDecision::Permitted { call }, _) => {
                self.permitted.retain(|known| !(known.plugin == plugin && known.call == *call));
                return;
            }
            (
                PluginDecision::Denied { .. }
                | PluginDecision::Replaced
                | PluginDecision::Asked { .. }
                | PluginDecision::Failed { .. },
                _,
            ) => return,
        };
        self.entries.push(Entry::Prompt(said));
        self.ended = None;
    }

    fn person(&self, user: UserId) -> Person {
        let known = self.people.iter().find(|person| person.user == user);
        known.cloned().unwrap_or_else(|| Person { name: user.to_string(), email: String::new(), user })
    }

    fn end_turn(&mut self, turn: TurnId, outcome: &TurnOutcome) {
        self.close_calls();
        self.turn = None;
        self.note = match outcome {
            TurnOutcome::Done => None,
            TurnOutcome::Stopped { by } => Some(format!("{by} stopped the turn before this message.")),
            TurnOutcome::Failed { .. } => {
                Some("The turn before this message failed for a technical reason.".to_owned())
            }
        };
        self.turns.push(TurnMark { turn, entries: self.entries.len(), note: self.note.clone() });
    }

    fn add_reply(&mut self, blocks: &[Block], stop: StopReason, tokens: u64) {
        let calls: Vec<Call> = blocks
            .iter()
            .filter_map(|block| match block {
                Block::ToolCall { call, name, input } => Some(Call {
                    call: call.clone(),
                    name: name.clone(),
                    input: input.clone(),
                    started: false,
                    result: None,
                    added: Vec::new(),
                }),
                Block::Text { .. } | Block::Reasoning { .. } => None,
            })
            .collect();
        self.asked = false;
        if !blocks.is_empty() {
            self.entries.push(Entry::Reply(blocks.to_vec()));
        }
        self.told = (tokens > 0).then_some((tokens, self.entries.len()));
        self.ended = calls.is_empty().then_some(stop);
        if !calls.is_empty() {
            self.entries.push(Entry::Calls(calls));
        }
    }

    /// Gives every open call of the turn an answer: a request with a call but no result is refused by every provider.
    fn close_calls(&mut self) {
        let first = self.turn.as_ref().map_or(self.entries.len().saturating_sub(1), |turn| turn.first_entry);
        let calls = self.entries.iter_mut().skip(first).flat_map(Entry::calls_mut);
        for call in calls.filter(|call| call.result.is_none()) {
            let text = if call.started { INTERRUPTED_CALL } else { UNSTARTED_CALL };
            call.answer(CallOutput::new(ToolStatus::Interrupted, text));
        }
    }

    /// A call of the running turn. An external agent may make one while another runs, so it need not be one of the last reply.
    fn call_mut(&mut self, wanted: &CallId) -> Option<&mut Call> {
        let first = self.turn.as_ref().map_or(0, |turn| turn.first_entry);
        let mut calls = self.entries.iter_mut().skip(first).rev().flat_map(Entry::calls_mut);
        calls.find(|call| call.call == *wanted)
    }

    /// The last external agent's own name for the conversation.
    #[must_use]
    pub fn harness(&self) -> Option<&str> {
        self.harness.as_deref()
    }

    /// What people and plugins said to the running turn, behind the first `after` pieces.
    pub fn said_to_turn(&self, after: usize) -> impl Iterator<Item = &str> {
        let first = self.turn.as_ref().map_or(self.entries.len(), |turn| turn.first_entry);
        self.entries.iter().skip(first).filter_map(Entry::prompt).skip(after)
    }

    /// Whether anything was said before the running turn.
    #[must_use]
    pub fn has_past(&self) -> bool {
        self.turn.as_ref().map_or(!self.entries.is_empty(), |turn| turn.first_entry > 0)
    }

    /// What was said before the running turn, or all of it, as plain text for a reader that takes no messages. Empty where there is nothing.
    #[must_use]
    pub fn transcript(&self, before: Before) -> String {
        let end = match before {
            Before::Turn => self.turn.as_ref().map_or(self.entries.len(), |turn| turn.first_entry),
            Before::Now => self.entries.len(),
        };
        self.entries.iter().take(end).map(Entry::told).collect()
    }

    /// Whether its wish was tried in several forks of it at once.
    #[must_use]
    pub fn has_attempts(&self) -> bool {
        self.attempts
    }

    /// What the session works on; `None` before its first event.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// The turn that is running.
    #[must_use]
    pub fn open_turn(&self) -> Option<&OpenTurn> {
        self.turn.as_ref()
    }

    /// Whether this plugin added words to the running turn here.
    #[must_use]
    pub fn was_answered(&self, point: HookPoint, plugin: &str) -> bool {
        let known = |(at, by): &(HookPoint, String)| *at == point && by == plugin;
        self.turn.as_ref().is_some_and(|turn| turn.given.iter().any(known))
    }

    /// The words of the model's last reply, where it has the last word.
    #[must_use]
    pub fn last_words(&self) -> String {
        let blocks = match self.entries.last() {
            Some(Entry::Reply(blocks)) => blocks.as_slice(),
            Some(Entry::Prompt(_) | Entry::Calls(_)) | None => &[],
        };
        let text = |block: &Block| match block {
            Block::Text { text } => Some(text.clone()),
            Block::Reasoning { .. } | Block::ToolCall { .. } => None,
        };
        blocks.iter().filter_map(text).collect::<Vec<_>>().join("\n")
    }

    /// Calls of the last reply that have no result yet, in the model's order.
    pub fn open_calls(&self) -> impl Iterator<Item = &Call> {
        let calls: &[Call] = match self.entries.last() {
            Some(Entry::Calls(calls)) => calls,
            Some(Entry::Prompt(_) | Entry::Reply(_)) | None => &[],
        };
        calls.iter().filter(|call| call.result.is_none())
    }

    /// Why the model stopped, when it has the last word: its last reply to the open turn asks for nothing.
    #[must_use]
    pub fn ended(&self) -> Option<StopReason> {
        self.ended
    }

    /// Whether the session's people were asked something by the last reply, or because of it: the next words are theirs.
    #[must_use]
    pub fn has_asked(&self) -> bool {
        let asks = |call: &Call| {
            call.name == ask::NAME && call.result.as_ref().is_some_and(|result| result.status == ToolStatus::Ok)
        };
        self.asked || matches!(self.entries.last(), Some(Entry::Calls(calls)) if calls.iter().any(asks))
    }

    /// What people have allowed, and was not done since.
    #[must_use]
    pub fn permitted(&self) -> &[Permission] {
        &self.permitted
    }

    /// Whether a call of this name was made before in the session.
    #[must_use]
    pub fn knows_call(&self, wanted: &str) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Calls(calls) => calls.iter().any(|call| call.call.as_str() == wanted),
            Entry::Prompt(_) | Entry::Reply(_) => false,
        })
    }

    /// Instruction files the model has been given, by their path.
    #[must_use]
    pub fn instructions_given(&self) -> &BTreeSet<String> {
        &self.given
    }

    /// The whole text of a result that was [missing](Conversation::missing), or its image.
    pub fn supply(&mut self, blob: &BlobRef, whole: &[u8]) {
        for entry in &mut self.entries {
            let Entry::Calls(calls) = entry else { continue };
            for call in calls {
                let Some(mut output) = call.result.take_if(|output| output.missing.as_ref() == Some(blob)) else {
                    continue;
                };
                match output.image {
                    Some(_) => output.base64 = BASE64.encode(whole),
                    None => output.text = String::from_utf8_lossy(whole).into_owned(),
                }
                output.missing = None;
                call.answer(output);
            }
        }
    }
}

impl Entry {
    /// The entry as a piece of a transcript. Of outputs their beginning stays, and thoughts are the model's own.
    fn told(&self) -> String {
        match self {
            Self::Prompt(text) => format!("[people]\n{text}\n\n"),
            Self::Reply(blocks) => {
                let words = blocks.iter().filter_map(|block| match block {
                    Block::Text { text } if !text.trim().is_empty() => Some(format!("[agent]\n{text}\n\n")),
                    Block::Text { .. } | Block::Reasoning { .. } | Block::ToolCall { .. } => None,
                });
                words.collect()
            }
            Self::Calls(calls) => calls.iter().map(Call::told).collect(),
        }
    }
}

impl CallOutput {
    fn new(status: ToolStatus, text: &str) -> Self {
        Self {
            status,
            text: text.to_owned(),
            missing: None,
            image: None,
            base64: String::new(),
            short: None,
            with_added: None,
        }
    }

    /// What the model is shown of it where it is not left out.
    fn shown(&self) -> &str {
        self.with_added.as_ref().unwrap_or(&self.text)
    }

    fn image(&self, outputs: Outputs) -> Option<Image<'_>> {
        let shown = match outputs {
            Outputs::AsTheyAre => self.short.is_none() && !self.base64.is_empty(),
            Outputs::LeftOut => false,
        };
        self.image.filter(|_| shown).map(|kind| Image { kind, base64: &self.base64 })
    }
}

impl Call {
    fn told(&self) -> String {
        let output = self.result.as_ref().map_or("", |result| clip_bytes(&result.text, limits::PRUNED_BYTES_MIN));
        format!("[{} {}]\n{output}\n\n", self.name, self.input)
    }

    /// Takes in what it gave.
    fn answer(&mut self, mut output: CallOutput) {
        let added = |text: &str| format!("{text}\n\n{}", self.added.join("\n\n"));
        output.with_added = (!self.added.is_empty()).then(|| added(&output.text));
        self.result = Some(output);
    }

    fn part(&self, outputs: Outputs) -> Option<Part<'_>> {
        let result = self.result.as_ref()?;
        let output = match (&result.short, outputs) {
            (Some(short), _) => short,
            (None, Outputs::AsTheyAre) => result.shown(),
            (None, Outputs::LeftOut) => clip_bytes(&result.text, limits::PRUNED_HEAD_BYTES),
        };
        let ok = match result.status {
            ToolStatus::Ok => true,
            ToolStatus::Error | ToolStatus::Interrupted => false,
        };
        Some(Part::Result { call: &self.call, output, image: result.image(outputs), ok })
    }
}
