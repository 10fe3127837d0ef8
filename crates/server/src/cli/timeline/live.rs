//! A session on a terminal: text as it is written, a spinner for each running tool, and a line to type on.
//!
//! What is over scrolls up and stays. Below it is the part that moves: the line of text that is still growing, the running
//! tools, what the agent waits for, and the composer.

use std::{collections::HashMap, time::Instant};

use hangar_client::Update;
use hangar_protocol::{Block, CallId, Cause, Event, EventBody, TurnId, event::SandboxPhase, frame::TextChannel};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{
    Timeline,
    flow::Flow,
    markdown::Markdown,
    others::Others,
    story::{Line, Mark, Story, stop_remark},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Paint, columns},
    words,
};

/// How often the moving part is drawn at most.
const DRAWS_PER_SECOND_MAX: u8 = 20;
/// How far text stands from the edge.
const INDENT: usize = 2;
/// Text is not made wider than this: longer lines are hard to read.
const TEXT_COLUMNS_MAX: usize = 110;
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

pub(super) struct Live {
    story: Story,
    paint: Paint,
    screen: MultiProgress,
    text: Text,
    tools: Vec<Running>,
    waiting: Option<Waiting>,
    composer: ProgressBar,
    /// What stands on it.
    line: String,
    others: Others,
    /// What scrolled up last: an empty line keeps different kinds apart.
    last: Scrolled,
    /// Lines that came while a reply was being written; they are told when it is complete.
    held: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scrolled {
    Line,
    Person,
    Text,
}

/// The reply that is being written.
struct Text {
    flow: Flow,
    markdown: Markdown,
    bar: Option<ProgressBar>,
    /// How many bytes of each block have been shown.
    shown: HashMap<(TurnId, u32, u32), usize>,
    block: Option<(TurnId, u32, u32)>,
}

struct Running {
    call: CallId,
    title: String,
    since: Instant,
    /// The last line of output so far.
    tail: String,
    bar: ProgressBar,
}

/// What the agent waits for, and since when.
struct Waiting {
    what: String,
    since: Instant,
    bar: ProgressBar,
}

impl Live {
    pub(super) fn new(story: Story, paint: Paint) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(DRAWS_PER_SECOND_MAX));
        let composer = screen.add(bar());
        Self {
            story,
            paint,
            screen,
            text: Text {
                flow: Flow::default(),
                markdown: Markdown::new(paint),
                bar: None,
                shown: HashMap::new(),
                block: None,
            },
            tools: Vec::new(),
            waiting: None,
            composer,
            line: String::new(),
            others: Others::default(),
            last: Scrolled::Line,
            held: Vec::new(),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        let title_of = |story: &Story, call: &CallId| story.call(call).unwrap_or_default().to_owned();
        let line = self.story.tell(event);
        if let Cause::User { user } = &event.cause {
            self.others.settled(user);
            self.compose();
        }
        match &event.body {
            EventBody::ModelReplied { turn, step, blocks, stop, .. } => {
                self.stop_waiting();
                self.rest_of_reply(*turn, *step, blocks)?;
                return match stop_remark(*stop) {
                    Some(remark) => self.scroll(&self.paint.paint(Look::Notice, remark)),
                    None => Ok(()),
                };
            }
            EventBody::ModelRequested { .. } => self.wait("thinking"),
            EventBody::ToolStarted { call, .. } => {
                self.stop_waiting();
                self.run_tool(call, title_of(&self.story, call));
            }
            EventBody::ToolFinished { call, .. } => self.end_tool(call),
            EventBody::SandboxChanged { phase: SandboxPhase::Preparing, .. } => self.wait("preparing the sandbox"),
            EventBody::SandboxChanged { phase: SandboxPhase::Syncing, .. } => self.wait("syncing with the base branch"),
            EventBody::SandboxChanged { .. } => self.stop_waiting(),
            EventBody::ModelRetried { .. } | EventBody::ModelFellBack { .. } => self.wait("waiting for the model"),
            EventBody::TurnEnded { .. } | EventBody::TurnPaused { .. } => {
                self.stop_waiting();
                self.end_text()?;
                for running in std::mem::take(&mut self.tools) {
                    self.screen.remove(&running.bar);
                }
            }
            EventBody::SessionCreated { .. }
            | EventBody::ParticipantJoined { .. }
            | EventBody::TitleChanged { .. }
            | EventBody::PromptAdded { .. }
            | EventBody::PromptCancelled { .. }
            | EventBody::PromptEdited { .. }
            | EventBody::PromptMoved { .. }
            | EventBody::SteerRequested { .. }
            | EventBody::PromptSteered { .. }
            | EventBody::QueuePaused { .. }
            | EventBody::QueueResumed { .. }
            | EventBody::TurnStarted { .. }
            | EventBody::TurnResumed { .. }
            | EventBody::TurnContinued { .. }
            | EventBody::BudgetChanged { .. }
            | EventBody::StopRequested { .. }
            | EventBody::TodoChanged { .. }
            | EventBody::QuestionAsked { .. }
            | EventBody::OutputsLeftOut { .. }
            | EventBody::HarnessStarted { .. }
            | EventBody::GatewayRequested { .. }
            | EventBody::GatewayReplied { .. }
            | EventBody::ConversationSummarized { .. }
            | EventBody::FilesChanged { .. }
            | EventBody::BranchPushed { .. }
            | EventBody::PluginDecided { .. }
            | EventBody::PushRefused { .. }
            | EventBody::ImageChosen { .. }
            | EventBody::BaseChanged { .. }
            | EventBody::SnapshotTaken { .. }
            | EventBody::NetworkDenied { .. }
            | EventBody::NetworkAllowed { .. }
            | EventBody::PullRequestOpened { .. }
            | EventBody::PullRequestChanged { .. }
            | EventBody::ForkedFrom { .. }
            | EventBody::SessionForked { .. }
            | EventBody::ChildOf { .. }
            | EventBody::ChildSpawned { .. }
            | EventBody::ChildReported { .. }
            | EventBody::Rewound { .. }
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
        match line {
            Some(line) if self.text.block.is_some() => {
                self.held.push(line);
                Ok(())
            }
            Some(line) => self.tell(&line),
            None => Ok(()),
        }
    }

    /// Lets a line scroll up.
    fn tell(&mut self, line: &Line) -> Result<(), Failure> {
        let (look, sign) = sign(&line.mark);
        let text = match &line.mark {
            Mark::Person(login) => {
                format!("{} {}", self.paint.paint(Look::Strong, &format!("{login}:")), indented(&line.text))
            }
            Mark::Session => self.paint.paint(Look::Strong, &line.text),
            Mark::Note | Mark::Todo => self.paint.paint(Look::Faint, &line.text),
            Mark::Question => self.paint.paint(Look::Strong, &indented(&line.text)),
            Mark::Agent
            | Mark::ToolOk
            | Mark::ToolError
            | Mark::ToolCut
            | Mark::Files
            | Mark::Pushed
            | Mark::PullRequest
            | Mark::Warning
            | Mark::Done
            | Mark::Stopped
            | Mark::Failed => indented(&line.text),
        };
        let apart = matches!(line.mark, Mark::Person(_) | Mark::Done | Mark::Stopped | Mark::Failed);
        if apart || self.last != Scrolled::Line {
            self.scroll("")?;
        }
        self.last = if matches!(line.mark, Mark::Person(_)) { Scrolled::Person } else { Scrolled::Line };
        let aside = match line.mark {
            Mark::PullRequest => self.paint.paint(Look::Place, &line.aside),
            _ => self.paint.paint(Look::Faint, &line.aside),
        };
        self.scroll(format!("{} {text}  {aside}", self.paint.paint(look, sign)).trim_end())
    }

    fn scroll(&self, text: &str) -> Result<(), Failure> {
        // An empty text would print nothing at all; a line with a space in it is an empty line.
        Ok(self.screen.println(if text.is_empty() { " " } else { text })?)
    }

    fn hint(&mut self, at: (TurnId, u32, u32), channel: TextChannel, offset: u32, text: &str) -> Result<(), Failure> {
        match channel {
            TextChannel::Reasoning => {
                self.wait("thinking");
                return Ok(());
            }
            TextChannel::Text => self.stop_waiting(),
        }
        let shown = self.text.shown.get(&at).copied().unwrap_or(0);
        if usize::try_from(offset).ok() != Some(shown) {
            // Text that began before this reader came: the event at the end brings it whole.
            return Ok(());
        }
        self.text.shown.insert(at, shown + text.len());
        self.write(at, text)
    }

    /// Shows what no hint has shown of a reply that is complete.
    fn rest_of_reply(&mut self, turn: TurnId, step: u32, blocks: &[Block]) -> Result<(), Failure> {
        for (block, index) in blocks.iter().zip(0..) {
            let Block::Text { text } = block else { continue };
            let shown = self.text.shown.get(&(turn, step, index)).copied().unwrap_or(0);
            if let Some(rest) = text.get(shown..).filter(|rest| !rest.is_empty()) {
                self.write((turn, step, index), rest)?;
            }
        }
        self.text.shown.retain(|at, _| (at.0, at.1) > (turn, step));
        self.end_text()
    }

    fn write(&mut self, at: (TurnId, u32, u32), text: &str) -> Result<(), Failure> {
        let begins = self.text.block != Some(at);
        if begins {
            self.end_text()?;
            self.text.markdown.begin();
            self.text.block = Some(at);
        }
        let width = columns().saturating_sub(INDENT + 1).clamp(8, TEXT_COLUMNS_MAX);
        let harmless = words::harmless(text);
        let text = if begins { harmless.trim_start() } else { &harmless };
        for line in self.text.flow.push(text, width) {
            self.text_line(&line)?;
        }
        self.show_growing();
        Ok(())
    }

    fn text_line(&mut self, line: &str) -> Result<(), Failure> {
        if self.last != Scrolled::Text {
            self.last = Scrolled::Text;
            self.scroll("")?;
        }
        let line = self.text.markdown.line(line);
        self.scroll(format!("{}{line}", " ".repeat(INDENT)).trim_end())
    }

    fn show_growing(&mut self) {
        if self.text.flow.growing().is_empty() {
            if let Some(bar) = self.text.bar.take() {
                self.screen.remove(&bar);
            }
            return;
        }
        let line = format!("{}{}", " ".repeat(INDENT), self.text.markdown.growing(self.text.flow.growing()));
        let screen = &self.screen;
        self.text.bar.get_or_insert_with(|| screen.insert(0, bar())).set_message(line);
    }

    fn end_text(&mut self) -> Result<(), Failure> {
        self.text.block = None;
        if let Some(bar) = self.text.bar.take() {
            self.screen.remove(&bar);
        }
        if let Some(line) = self.text.flow.end() {
            self.text_line(&line)?;
        }
        for line in std::mem::take(&mut self.held) {
            self.tell(&line)?;
        }
        Ok(())
    }

    fn run_tool(&mut self, call: &CallId, title: String) {
        let bar = self.screen.insert_before(&self.composer, bar());
        self.tools.push(Running { call: call.clone(), title, since: Instant::now(), tail: String::new(), bar });
        self.tick();
    }

    fn end_tool(&mut self, call: &CallId) {
        if let Some(index) = self.tools.iter().position(|running| running.call == *call) {
            self.screen.remove(&self.tools.remove(index).bar);
        }
    }

    fn tool_output(&mut self, call: &CallId, text: &str) {
        if let Some(running) = self.tools.iter_mut().find(|running| running.call == *call)
            && let Some(last) = text.lines().map(words::one_line).rfind(|line| !line.is_empty())
        {
            running.tail = last;
        }
    }

    fn wait(&mut self, what: &str) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.what == what) {
            return;
        }
        self.stop_waiting();
        let bar = self.screen.insert_before(&self.composer, bar());
        self.waiting = Some(Waiting { what: what.to_owned(), since: Instant::now(), bar });
        self.tick();
    }

    /// Writes the line that is being typed, or what there is to know while nothing is.
    fn compose(&mut self) {
        let line = &self.line;
        let room = columns().saturating_sub(5);
        let mut width = 0;
        // The end of a long line is what is being typed.
        let start = line.char_indices().rev().take_while(|(_, c)| {
            width += c.width().unwrap_or(0);
            width <= room
        });
        let start = start.last().map_or(line.len(), |(index, _)| index);
        let message = if line.is_empty() {
            let others = self.others.words();
            let others = if others.is_empty() { others } else { format!(" · {others}") };
            self.paint.paint(Look::Faint, &fit(&format!("› type to say something, /stop, /quit{others}"), room))
        } else {
            format!("{} {}▏", self.paint.paint(Look::Place, "›"), &line[start..])
        };
        self.composer.set_message(message);
    }

    fn stop_waiting(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.screen.remove(&waiting.bar);
        }
    }
}

impl Timeline for Live {
    fn show(&mut self, update: &Update) -> Result<(), Failure> {
        match update {
            Update::Event(event) => self.event(event),
            Update::Text { turn, step, block, channel, offset, text } => {
                self.hint((*turn, *step, *block), *channel, *offset, text)
            }
            Update::TextReset { turn, step } => {
                self.end_text()?;
                self.text.shown.retain(|at, _| (at.0, at.1) != (*turn, *step));
                self.remark(Look::Notice, "The reply broke off and begins anew.");
                Ok(())
            }
            Update::ToolOutput { call, text, .. } => {
                self.tool_output(call, text);
                Ok(())
            }
            Update::Interrupted { cause, .. } => {
                self.wait(&format!("the connection is gone ({cause}); trying again"));
                Ok(())
            }
            Update::Presence { total, .. } => {
                self.others.here(*total);
                self.compose();
                Ok(())
            }
            Update::Typing { user, name, lasts } => {
                self.others.typing(user, name, *lasts);
                self.compose();
                Ok(())
            }
            Update::CaughtUp { .. } | Update::Resumed => {
                // Whatever was waited for is told anew by what follows.
                if matches!(update, Update::Resumed) {
                    self.stop_waiting();
                }
                Ok(())
            }
        }
    }

    fn tick(&mut self) {
        let room = columns().saturating_sub(1);
        let moment = |since: Instant| {
            let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let spinner = SPINNER[usize::try_from(ms / 100).unwrap_or(0) % SPINNER.len()];
            (spinner, words::duration(ms))
        };
        for running in &self.tools {
            let (spinner, took) = moment(running.since);
            let title = fit(&running.title, room.saturating_sub(took.width() + 6));
            let left = room.saturating_sub(title.width() + took.width() + 8);
            let aside = format!("{took}  {}", fit(&running.tail, left));
            running.bar.set_message(format!(
                "{} {title}  {}",
                self.paint.paint(Look::Notice, spinner),
                self.paint.paint(Look::Faint, aside.trim_end())
            ));
        }
        if let Some(waiting) = &self.waiting {
            let (spinner, took) = moment(waiting.since);
            let words = fit(&format!("{} {took}", waiting.what), room.saturating_sub(3));
            waiting.bar.set_message(format!(
                "{} {}",
                self.paint.paint(Look::Notice, spinner),
                self.paint.paint(Look::Faint, &words)
            ));
        }
        if self.others.tick() {
            self.compose();
        }
        self.composer.tick();
    }

    fn typed(&mut self, line: &str) {
        line.clone_into(&mut self.line);
        self.compose();
    }

    fn remark(&mut self, look: Look, text: &str) {
        // A terminal that takes no lines any more cannot be told so.
        let _ = self.screen.println(self.paint.paint(look, text));
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.stop_waiting();
        self.end_text()?;
        Ok(self.screen.clear()?)
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    // "{msg}" is a template that cannot be wrong; should it ever be, the default style shows the message, too.
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

/// The beginning of a text that is at most `room` columns wide.
fn fit(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut width = 1;
    let mut fitting: String = text
        .chars()
        .take_while(|c| {
            width += c.width().unwrap_or(0);
            width <= room
        })
        .collect();
    fitting.push('…');
    fitting
}

fn indented(text: &str) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(INDENT)))
}

fn sign(mark: &Mark) -> (Look, &'static str) {
    match mark {
        Mark::Session => (Look::Strong, "◆"),
        Mark::Person(_) => (Look::Place, "›"),
        Mark::Agent => (Look::Plain, " "),
        Mark::ToolOk | Mark::Done => (Look::Good, "✓"),
        Mark::ToolError | Mark::Failed => (Look::Bad, "✗"),
        Mark::ToolCut | Mark::Stopped => (Look::Notice, "■"),
        Mark::Todo => (Look::Faint, "☐"),
        Mark::Question => (Look::Notice, "?"),
        Mark::Files => (Look::Place, "±"),
        Mark::Pushed => (Look::Place, "↑"),
        Mark::PullRequest => (Look::Place, "⇄"),
        Mark::Note => (Look::Faint, "·"),
        Mark::Warning => (Look::Notice, "!"),
    }
}
