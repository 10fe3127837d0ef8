//! Which hints (text and tool output that no event has told yet) a follower has already seen.
//!
//! Every hint says where its text begins. What was seen is the one number per reply block and per tool call up to which
//! text has arrived without a hole: a hint below it is a repetition, one that reaches over it is cut, and one above it would
//! leave a hole and is dropped, because the event at the end says everything anyway.

use std::collections::{BTreeSet, HashMap, VecDeque};

use hangar_protocol::{CallId, Event, EventBody, Frame, TurnId};

/// How many ended tool calls are remembered, so that their late output is recognised. Older ones cannot be confused: a
/// connection repeats at most what ran when it was cut.
const ENDED_CALLS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Hints {
    text: HashMap<(TurnId, u32, u32), u32>,
    output: HashMap<CallId, u32>,
    /// The newest reply whose event has been seen: hints about it or older ones are late.
    replied: Option<(TurnId, u32)>,
    ended_calls: VecDeque<CallId>,
}

impl Hints {
    /// Takes note of an event: what it tells in full needs no hints any more, and what it voids will be told anew. Gives back
    /// the replies that were shown in part and are void; a reader who was away has missed the hint that says so.
    pub(crate) fn settle(&mut self, event: &Event) -> Vec<(TurnId, u32)> {
        match &event.body {
            EventBody::ModelRetried { turn, step, .. } | EventBody::ModelFellBack { turn, step, .. } => {
                return self.void(|of, in_step| (of, in_step) == (*turn, *step));
            }
            EventBody::TurnResumed { turn, .. } => return self.void(|of, _| of == *turn),
            EventBody::ModelReplied { turn, step, .. } => {
                let settled = (*turn, *step);
                self.replied = self.replied.max(Some(settled));
                self.text.retain(|(turn, step, _), _| (*turn, *step) > settled);
            }
            EventBody::ToolFinished { call, .. } => {
                self.output.remove(call);
                self.ended_calls.push_back(call.clone());
                if self.ended_calls.len() > ENDED_CALLS_MAX {
                    self.ended_calls.pop_front();
                }
            }
            EventBody::TurnEnded { turn, .. } => {
                self.replied = self.replied.max(Some((*turn, u32::MAX)));
                self.text.retain(|(of, _, _), _| of > turn);
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
            | EventBody::OutputsLeftOut { .. }
            | EventBody::ConversationSummarized { .. }
            | EventBody::TurnPaused { .. }
            | EventBody::TurnContinued { .. }
            | EventBody::BudgetChanged { .. }
            | EventBody::StopRequested { .. }
            | EventBody::SandboxChanged { .. }
            | EventBody::HarnessStarted { .. }
            | EventBody::GatewayRequested { .. }
            | EventBody::GatewayReplied { .. }
            | EventBody::ModelRequested { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::TodoChanged { .. }
            | EventBody::QuestionAsked { .. }
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
        Vec::new()
    }

    /// Forgets the text of the replies that fit.
    fn void(&mut self, fits: impl Fn(TurnId, u32) -> bool) -> Vec<(TurnId, u32)> {
        let voided = self.text.extract_if(|(turn, step, _), _| fits(*turn, *step));
        let voided: BTreeSet<(TurnId, u32)> = voided.map(|((turn, step, _), _)| (turn, step)).collect();
        voided.into_iter().collect()
    }

    /// The part of a hint that is new, or `None`.
    pub(crate) fn fresh(&mut self, frame: Frame) -> Option<Frame> {
        match frame {
            Frame::Text { turn, step, block, channel, offset, text } => {
                if self.replied >= Some((turn, step)) {
                    return None;
                }
                let seen = self.text.entry((turn, step, block)).or_default();
                let (offset, text) = unseen(seen, offset, text)?;
                Some(Frame::Text { turn, step, block, channel, offset, text })
            }
            Frame::TextReset { turn, step } => {
                let voided = self.void(|of, in_step| (of, in_step) == (turn, step));
                (!voided.is_empty()).then_some(Frame::TextReset { turn, step })
            }
            Frame::ToolOutput { call, offset, text } => {
                if self.ended_calls.contains(&call) {
                    return None;
                }
                let seen = self.output.entry(call.clone()).or_default();
                let (offset, text) = unseen(seen, offset, text)?;
                Some(Frame::ToolOutput { call, offset, text })
            }
            Frame::Event { .. }
            | Frame::CaughtUp { .. }
            | Frame::Cursor { .. }
            | Frame::Presence { .. }
            | Frame::Typing { .. }
            | Frame::SessionChanged { .. }
            | Frame::SessionUnlisted { .. }
            | Frame::ListComplete {}
            | Frame::Refused { .. }
            | Frame::Bye { .. } => Some(frame),
        }
    }
}

/// Cuts off what was seen before and moves the mark behind the rest.
fn unseen(seen: &mut u32, offset: u32, mut text: String) -> Option<(u32, String)> {
    let known = usize::try_from(seen.checked_sub(offset)?).ok()?;
    if known >= text.len() || !text.is_char_boundary(known) {
        return None;
    }
    text.drain(..known);
    let offset = *seen;
    *seen = offset.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
    Some((offset, text))
}

#[cfg(test)]
mod tests {
    use hangar_protocol::frame::TextChannel;

    use super::*;

    fn text(offset: u32, text: &str) -> Frame {
        Frame::Text { turn: TurnId(1), step: 1, block: 0, channel: TextChannel::Text, offset, text: text.to_owned() }
    }

    #[test]
    fn text_is_shown_once_whatever_is_repeated() {
        let mut hints = Hints::default();
        for (given, expected) in [
            (text(0, "Hello"), Some(text(0, "Hello"))),
            (text(0, "Hello"), None),
            (text(3, "lo, wör"), Some(text(5, ", wör"))),
            (text(20, "a hole"), None),
            // Byte 10 is inside the ö: an offset that no honest server sends.
            (text(10, "x"), None),
            (text(11, "ld"), Some(text(11, "ld"))),
        ] {
            assert_eq!(hints.fresh(given.clone()), expected, "{given:?}");
        }
    }

    #[test]
    fn a_reset_begins_anew_and_is_told_once() {
        let mut hints = Hints::default();
        let reset = Frame::TextReset { turn: TurnId(1), step: 1 };
        assert_eq!(hints.fresh(reset.clone()), None);
        hints.fresh(text(0, "half"));
        assert_eq!(hints.fresh(reset.clone()), Some(reset.clone()));
        assert_eq!(hints.fresh(reset), None);
        assert_eq!(hints.fresh(text(0, "whole")), Some(text(0, "whole")));
    }
}
