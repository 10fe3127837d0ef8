//! What a session knows of those that its agent began, and of the one whose agent began it.

use super::SessionState;
use crate::{
    budget::Spent,
    children::{ChildPhase, ChildState, Parent, shortened},
    event::EventBody,
    ids::{Seq, SessionId, UserId},
    limits,
};

impl SessionState {
    pub(super) fn note_family(&mut self, body: &EventBody) {
        if let EventBody::ChildOf { parent, turn, call, depth, files } = body {
            let (session, turn, call) = (parent.clone(), *turn, call.clone());
            self.parent = Some(Parent { session, turn, call, depth: *depth, files: *files });
        }
        if let EventBody::ChildSpawned { child, turn, call, repo, title, share } = body
            && self.children.len() < limits::DESCENDANTS_MAX
            && self.child(child).is_none()
        {
            self.children.push(ChildState {
                session: child.clone(),
                turn: *turn,
                call: call.clone(),
                repo: repo.clone(),
                title: title.clone(),
                share: *share,
                phase: ChildPhase::Working,
                words: String::new(),
                pull_request: None,
                spent: Spent::default(),
                as_of: Seq::START,
                stop_requested_by: None,
            });
        }
        if let EventBody::ChildReported { child, phase, words, pull_request, spent, as_of } = body
            && let Some(known) = self.children.iter_mut().find(|known| known.session == *child)
        {
            known.phase = *phase;
            known.words = shortened(words);
            known.pull_request.clone_from(pull_request);
            known.spent = *spent;
            known.as_of = *as_of;
            if phase.is_over() {
                known.stop_requested_by = None;
            }
        }
    }

    /// Notes that those at work are to be stopped too.
    pub(super) fn stop_children(&mut self, by: &UserId) {
        for child in self.children.iter_mut().filter(|child| !child.phase.is_over()) {
            child.stop_requested_by.get_or_insert_with(|| by.clone());
        }
    }

    /// A session that its agent began.
    #[must_use]
    pub fn child(&self, session: &SessionId) -> Option<&ChildState> {
        self.children.iter().find(|known| known.session == *session)
    }

    /// Those of them whose last turn is not over.
    pub fn children_at_work(&self) -> impl Iterator<Item = &ChildState> {
        self.children.iter().filter(|child| !child.phase.is_over())
    }

    /// What it used up with all those that its agent began, as far as those were heard of.
    #[must_use]
    pub fn spent_with_children(&self) -> Spent {
        let mut spent = self.spent;
        self.children.iter().for_each(|child| spent.add(child.spent));
        spent
    }

    /// How many sessions are above this one whose agents began it; 0 where a person did.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.parent.as_ref().map_or(0, |parent| parent.depth)
    }
}
