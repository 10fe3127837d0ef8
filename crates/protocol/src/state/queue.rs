//! The prompts of a session: those that wait, and what became of the others.
//!
//! ```text
//!                        ┌─ prompt_edited, prompt_moved
//!                        ▼ │
//!   prompt_added ──▶ queued ──── turn_started ───────────────────────▶ taken
//!                        │                                               ▲
//!                        ├─ steer_requested ──▶ steering ─ turn_started ─┘  (the turn had ended before)
//!                        │                        │   └─── prompt_steered ──▶ steered
//!                        └─── prompt_cancelled ───┴──▶ cancelled
//! ```

use super::{PromptState, PromptStatus, RequestState, SessionState, fingerprint, remember};
use crate::{
    ids::{Person, PromptId, RequestId, TurnId, UserId},
    limits,
};

/// What a request about the queue asks for: two with the same id must ask for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Other words for a prompt.
    Edit(PromptId, &'a str),
    /// Another place for a prompt: before this one, or at the end.
    Move(PromptId, Option<PromptId>),
    /// That a prompt be said to the running turn.
    Steer(PromptId),
    /// That a prompt be taken back.
    Cancel(PromptId),
}

impl Asked<'_> {
    /// What stands in [`RequestState::fingerprint`] for it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&match self {
            Self::Edit(prompt, text) => format!("edit {prompt} {text}"),
            Self::Move(prompt, Some(before)) => format!("move {prompt} before {before}"),
            Self::Move(prompt, None) => format!("move {prompt} to the end"),
            Self::Steer(prompt) => format!("steer {prompt}"),
            Self::Cancel(prompt) => format!("cancel {prompt}"),
        })
    }
}

impl SessionState {
    /// A prompt by its number.
    #[must_use]
    pub fn prompt(&self, prompt: PromptId) -> Option<&PromptState> {
        // Prompts are numbered in the order in which they were accepted.
        let place = self.prompts.binary_search_by_key(&prompt, |known| known.id).ok()?;
        self.prompts.get(place)
    }

    /// The prompts that wait, the next one first.
    pub fn queue(&self) -> impl Iterator<Item = &PromptState> {
        self.waiting.iter().filter_map(|prompt| self.prompt(*prompt))
    }

    /// The prompts that wait to be said to the running turn, in order.
    pub fn steers(&self) -> impl Iterator<Item = &PromptState> {
        self.queue().take_while(|prompt| prompt.status == PromptStatus::Steering)
    }

    /// The person a turn's commits are attributed to: the author of its prompt.
    #[must_use]
    pub fn author_of(&self, turn: TurnId) -> Option<&Person> {
        let prompt = self.turns.iter().find(|known| known.id == turn)?.prompt;
        self.participant(&self.prompt(prompt)?.author)
    }

    /// Who else has a part in a turn's commits: the authors of what was said to it since, in order, without its own author.
    #[must_use]
    pub fn co_authors_of(&self, turn: TurnId) -> Vec<&Person> {
        let author = self.author_of(turn).map(|author| &author.user);
        let steered = self.turns.iter().find(|known| known.id == turn).map_or(&[][..], |known| &known.steered);
        let mut others: Vec<&Person> = Vec::new();
        for person in steered.iter().filter_map(|prompt| self.participant(&self.prompt(*prompt)?.author)) {
            if Some(&person.user) != author && !others.contains(&person) {
                others.push(person);
            }
        }
        others
    }

    fn participant(&self, user: &UserId) -> Option<&Person> {
        self.participants.iter().find(|person| person.user == *user)
    }

    pub(super) fn add_prompt(&mut self, prompt: PromptId, request_id: &RequestId, author: &UserId, text: &str) {
        self.prompts.push(PromptState {
            id: prompt,
            request_id: request_id.clone(),
            author: author.clone(),
            text: text.to_owned(),
            fingerprint: fingerprint(text),
            edited_by: None,
            status: PromptStatus::Queued,
        });
        self.waiting.push(prompt);
    }

    pub(super) fn edit_prompt(&mut self, prompt: PromptId, by: &UserId, text: &str) {
        if let Some(known) = self.prompt_mut(prompt) {
            text.clone_into(&mut known.text);
            known.edited_by = Some(by.clone());
        }
    }

    pub(super) fn move_prompt(&mut self, prompt: PromptId, before: Option<PromptId>) {
        self.waiting.retain(|waiting| *waiting != prompt);
        let place = before.and_then(|before| self.waiting.iter().position(|waiting| *waiting == before));
        self.waiting.insert(place.unwrap_or(self.waiting.len()), prompt);
    }

    /// Behind those that wait to be said already, before all others.
    pub(super) fn steer_prompt(&mut self, prompt: PromptId) {
        self.waiting.retain(|waiting| *waiting != prompt);
        let place = self.steers().count();
        self.waiting.insert(place, prompt);
        if let Some(known) = self.prompt_mut(prompt) {
            known.status = PromptStatus::Steering;
        }
    }

    pub(super) fn settle_prompt(&mut self, prompt: PromptId, status: PromptStatus) {
        self.waiting.retain(|waiting| *waiting != prompt);
        if let Some(known) = self.prompt_mut(prompt) {
            known.status = status;
            known.text = limits::clip(&known.text, limits::STATE_PROMPT_CHARS_MAX);
        }
    }

    pub(super) fn remember_request(&mut self, request_id: &RequestId, by: &UserId, asked: &Asked<'_>) {
        let request = RequestState { request_id: request_id.clone(), by: by.clone(), fingerprint: asked.fingerprint() };
        remember(&mut self.requests, request, limits::STATE_REQUESTS_MAX);
    }

    fn prompt_mut(&mut self, prompt: PromptId) -> Option<&mut PromptState> {
        let place = self.prompts.binary_search_by_key(&prompt, |known| known.id).ok()?;
        self.prompts.get_mut(place)
    }
}
