//! How a conversation that has grown too long is made shorter: outputs of old calls are left out, or a summary stands for all.
//!
//! Nothing of it is lost to the fold: the entries stay, and what the model is shown is a view on them. So a way back to an earlier turn
//! shows it as it was then, and the same log gives the same request.

use std::collections::BTreeSet;

use hangar_protocol::{
    Block, TodoItem, TodoStatus,
    event::{BlobRef, ToolStatus},
    limits::clip_bytes,
};

use super::{Call, CallOutput, Conversation, Entry, Message, Part};
use crate::{instructions, limits, tools::todo};

/// What a model is told in place of an output that is left out. Its first bytes stand before.
const LEFT_OUT: &str = "\n[… the rest of this output was left out to make room: make the call again if you need it]";
/// What stands before a summary.
const BEFORE_SUMMARY: &str =
    "[The conversation before this was long. This is your own summary of it; go on from here.]\n\n";
/// What stands between a summary and the words of the people whose turn it was written in.
const BEFORE_PROMPTS: &str = "[What this turn was asked, in full:]";

/// What a model is asked to write.
pub const SUMMARY_WISH: &str = "[hangar: this conversation nearly fills what you can read, and goes on from a summary of it. Write that \
summary now, for yourself. Call no tool. Use these headings:\n\
## Task: what people want and what they ruled out, in their words where they matter\n\
## Decisions: what was decided, and why\n\
## Files: each path that matters, with what it holds or how it was changed\n\
## Done: what was done and how it was verified\n\
## Open: what is left, in order; what fails, with its message\n\
## Facts: commands that work, names, numbers and whatever else would have to be found out again\n\
Be exact and complete: what you leave out is gone.]";

/// A place where the conversation was made shorter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cut {
    /// Outputs of calls before this entry are left out.
    Outputs { before: usize, made_at: usize },
    /// A summary stands for every entry before this one, but for the prompts of the turn that was running.
    Summary { text: String, prompts_from: usize, at: usize },
}

impl Cut {
    fn made_at(&self) -> usize {
        match self {
            Self::Outputs { made_at, .. } => *made_at,
            Self::Summary { at, .. } => *at,
        }
    }
}

impl Conversation {
    /// Leaves out the outputs of calls, but for those of the last so many replies.
    pub(super) fn leave_out_outputs(&mut self, replies_kept: u32) {
        let saved = self.saved_by_leaving_out(replies_kept);
        self.told = self.told.map(|(told, since)| (told.saturating_sub(saved), since));
        self.cuts.push(Cut::Outputs { before: self.outputs_end(replies_kept), made_at: self.entries.len() });
        self.shorten_outputs();
    }

    /// Lets a summary stand for everything so far.
    pub(super) fn sum_up(&mut self, text: &str) {
        let at = self.entries.len();
        let prompts_from = self.turn.as_ref().map_or(at, |turn| turn.first_entry);
        self.cuts.push(Cut::Summary { text: format!("{BEFORE_SUMMARY}{text}"), prompts_from, at });
        self.told = None;
        self.given = self.instructions_shown();
    }

    /// Drops what was made shorter after the entries that are left.
    pub(super) fn drop_cuts(&mut self) {
        let entries = self.entries.len();
        self.cuts.retain(|cut| cut.made_at() <= entries);
        self.told = None;
        for call in self.entries.iter_mut().flat_map(Entry::calls_mut) {
            if let Some(result) = &mut call.result {
                result.short = None;
            }
        }
        self.shorten_outputs();
        self.given = self.instructions_shown();
    }

    /// The entry before which outputs are left out where those of the last so many replies are kept.
    fn outputs_end(&self, replies_kept: u32) -> usize {
        let rounds = self.entries.iter().enumerate().filter(|(_, entry)| matches!(entry, Entry::Calls(_)));
        let rounds: Vec<usize> = rounds.map(|(place, _)| place).collect();
        let Some(first_kept) = rounds.len().checked_sub(replies_kept as usize) else { return 0 };
        rounds.get(first_kept).copied().unwrap_or(self.entries.len())
    }

    fn shorten_outputs(&mut self) {
        let end = self.cuts.iter().map(|cut| match cut {
            Cut::Outputs { before, .. } => *before,
            Cut::Summary { .. } => 0,
        });
        let end = end.max().unwrap_or(0).min(self.entries.len());
        for call in self.entries[..end].iter_mut().flat_map(Entry::calls_mut) {
            if let Some(result) = &mut call.result {
                result.short = result.shortened();
            }
        }
    }

    fn instructions_shown(&self) -> BTreeSet<String> {
        self.outputs_shown().flat_map(|output| instructions::given_in(&output.text)).collect()
    }

    /// Where what the model is shown begins.
    fn beginning(&self) -> usize {
        self.summary().map_or(0, |(_, _, at)| at)
    }

    fn summary(&self) -> Option<(&str, usize, usize)> {
        self.cuts.iter().rev().find_map(|cut| match cut {
            Cut::Summary { text, prompts_from, at } => Some((text.as_str(), *prompts_from, *at)),
            Cut::Outputs { .. } => None,
        })
    }

    fn outputs_shown(&self) -> impl Iterator<Item = &CallOutput> {
        let calls = self.entries[self.beginning()..].iter().flat_map(Entry::calls);
        calls.filter_map(|call| call.result.as_ref()).filter(|result| result.short.is_none())
    }

    /// Results that the model is shown and of which only the beginning and end are here. Fetch each and hand it to
    /// [`Conversation::supply`].
    #[must_use]
    pub fn missing(&self) -> Vec<BlobRef> {
        self.outputs_shown().filter_map(|output| output.missing.clone()).collect()
    }

    /// What a model is shown. Results that are still missing are shown as far as they are here.
    #[must_use]
    pub fn messages(&self) -> Vec<Message<'_>> {
        self.messages_with(Outputs::AsTheyAre)
    }

    /// What a model is shown to write a summary of it: the conversation, shortened in so many steps, and the wish. `None` when it cannot
    /// be shortened so far.
    #[must_use]
    pub fn messages_to_sum_up(&self, shortened: u32) -> Option<Vec<Message<'_>>> {
        let outputs = if shortened == 0 { Outputs::AsTheyAre } else { Outputs::LeftOut };
        let mut messages = self.messages_with(outputs);
        // From the second step on the older half of the replies goes with their results, then the older half of what is left.
        for _ in 1..shortened {
            let rounds = messages.len().saturating_sub(1) / 2;
            let gone = rounds.div_ceil(2);
            if rounds < 2 {
                return None;
            }
            messages.drain(1..=2 * gone);
        }
        push(&mut messages, vec![Part::Text(SUMMARY_WISH)]);
        Some(messages)
    }

    fn messages_with(&self, outputs: Outputs) -> Vec<Message<'_>> {
        let mut messages: Vec<Message<'_>> = Vec::new();
        let mut beginning = 0;
        if let Some((text, prompts_from, at)) = self.summary() {
            let prompts: Vec<&str> = self.entries[prompts_from..at].iter().filter_map(Entry::prompt).collect();
            let mut parts = vec![Part::Text(text)];
            if !prompts.is_empty() {
                parts.push(Part::Text(BEFORE_PROMPTS));
            }
            parts.extend(prompts.into_iter().map(Part::Text));
            messages.push(Message::User(parts));
            beginning = at;
        }
        for entry in &self.entries[beginning..] {
            match entry {
                Entry::Reply(blocks) => messages.push(Message::Assistant(blocks)),
                Entry::Prompt(text) => push(&mut messages, vec![Part::Text(text)]),
                Entry::Calls(calls) => {
                    push(&mut messages, calls.iter().filter_map(|call| call.part(outputs)).collect());
                }
            }
        }
        messages
    }

    /// How many tokens the model is shown: what its service told with the last reply, and an estimate of what came since.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let bytes =
            |since: usize| -> usize { self.entries[since..].iter().map(|entry| entry.bytes(Outputs::AsTheyAre)).sum() };
        match self.told {
            Some((told, since)) => told + tokens_of(bytes(since)),
            None => {
                let summary = self.summary().map_or(0, |(text, _, _)| text.len());
                tokens_of(limits::PREAMBLE_BYTES_MAX + summary + bytes(self.beginning()))
            }
        }
    }

    /// How many tokens it would save to leave out outputs, but for those of the last so many replies.
    #[must_use]
    pub fn saved_by_leaving_out(&self, replies_kept: u32) -> u64 {
        let (begin, end) = (self.beginning(), self.outputs_end(replies_kept));
        let entries = self.entries.get(begin..end).unwrap_or_default();
        let bytes = |outputs| -> usize { entries.iter().map(|entry| entry.bytes(outputs)).sum() };
        tokens_of(bytes(Outputs::AsTheyAre).saturating_sub(bytes(Outputs::LeftOut)))
    }

    /// Whether the model is shown an image.
    #[must_use]
    pub fn shows_images(&self) -> bool {
        self.outputs_shown().any(|output| output.image.is_some())
    }

    /// How often the model replied since the last summary.
    #[must_use]
    pub fn replies_since_summary(&self) -> usize {
        self.entries[self.beginning()..].iter().filter(|entry| matches!(entry, Entry::Reply(_))).count()
    }

    /// A summary as it is kept: the model's words, and the list of what is to be done as hangar knows it.
    #[must_use]
    pub fn kept_summary(&self, written: &str) -> String {
        let mut text = clip_bytes(written.trim(), limits::SUMMARY_BYTES_MAX).to_owned();
        let todos = self.todos();
        if !todos.is_empty() {
            text.push_str("\n\nThe todo list:\n");
            text.push_str(&todos.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
        text
    }

    /// The list as the last call that changed it has it.
    fn todos(&self) -> Vec<TodoItem> {
        let calls = self.entries.iter().rev().flat_map(|entry| entry.calls().iter().rev());
        let noted = |call: &&Call| {
            call.name == todo::NAME && call.result.as_ref().is_some_and(|result| result.status == ToolStatus::Ok)
        };
        let last = calls.into_iter().find(noted);
        last.and_then(|call| serde_json::from_value(call.input["items"].clone()).ok()).unwrap_or_default()
    }
}

/// How outputs of calls are shown.
#[derive(Clone, Copy)]
pub(super) enum Outputs {
    AsTheyAre,
    /// All are left out.
    LeftOut,
}

fn push<'a>(messages: &mut Vec<Message<'a>>, parts: Vec<Part<'a>>) {
    match messages.last_mut() {
        Some(Message::User(said)) => said.extend(parts),
        Some(Message::Assistant(_)) | None => messages.push(Message::User(parts)),
    }
}

fn tokens_of(bytes: usize) -> u64 {
    bytes as u64 / limits::BYTES_PER_TOKEN
}

fn line(item: &TodoItem) -> String {
    let status = match item.status {
        TodoStatus::Pending => "open",
        TodoStatus::InProgress => "in progress",
        TodoStatus::Done => "done",
    };
    format!("- {} ({status})", item.text)
}

impl Entry {
    fn calls(&self) -> &[Call] {
        match self {
            Self::Calls(calls) => calls,
            Self::Prompt(_) | Self::Reply(_) => &[],
        }
    }

    pub(super) fn calls_mut(&mut self) -> &mut [Call] {
        match self {
            Self::Calls(calls) => calls,
            Self::Prompt(_) | Self::Reply(_) => &mut [],
        }
    }

    pub(super) fn prompt(&self) -> Option<&str> {
        match self {
            Self::Prompt(text) => Some(text),
            Self::Calls(_) | Self::Reply(_) => None,
        }
    }

    fn bytes(&self, outputs: Outputs) -> usize {
        match self {
            Self::Prompt(text) => text.len(),
            Self::Reply(blocks) => blocks.iter().map(block_bytes).sum(),
            Self::Calls(calls) => {
                calls.iter().filter_map(|call| call.result.as_ref()).map(|result| result.bytes(outputs)).sum()
            }
        }
    }
}

fn block_bytes(block: &Block) -> usize {
    match block {
        Block::Text { text } => text.len(),
        Block::Reasoning { provider, .. } => provider.to_string().len(),
        Block::ToolCall { input, .. } => input.to_string().len(),
    }
}

impl CallOutput {
    /// What stands for it where it is left out. `None` where it is short, and where it carries instructions of the repository, which hold
    /// for all that comes. Says the same of the whole output and of its ends alone.
    fn shortened(&self) -> Option<String> {
        let long = self.image.is_some() || self.text.len() > limits::PRUNED_BYTES_MIN;
        let head = clip_bytes(&self.text, limits::PRUNED_HEAD_BYTES);
        (long && instructions::given_in(&self.text).is_empty()).then(|| format!("{head}{LEFT_OUT}"))
    }

    fn bytes(&self, outputs: Outputs) -> usize {
        match (&self.short, outputs) {
            (Some(short), _) => short.len(),
            (None, Outputs::AsTheyAre) => self.shown().len() + self.image.map_or(0, |_| limits::IMAGE_BYTES_COUNTED),
            (None, Outputs::LeftOut) => self.shortened().map_or(self.shown().len(), |short| short.len()),
        }
    }
}
