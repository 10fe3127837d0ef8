//! Text in progress: what a reply or a tool has said so far and no event has told yet.

use hangar_protocol::{CallId, EventBody, EventKind, Frame, TurnId, frame::TextChannel};

/// Text in progress, from `offset` on.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) of: PartOf,
    pub(crate) offset: u32,
    pub(crate) text: String,
}

/// What it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PartOf {
    Reply { turn: TurnId, step: u32, block: u32, channel: TextChannel },
    Tool { call: CallId },
}

impl PartOf {
    pub(crate) fn is_reply(&self, of_turn: TurnId, of_step: u32) -> bool {
        match self {
            Self::Reply { turn, step, .. } => *turn == of_turn && *step == of_step,
            Self::Tool { .. } => false,
        }
    }

    /// The kind of the event that will say it in full: who leaves that out wants no hints of it.
    pub(crate) fn settled_by(&self) -> EventKind {
        match self {
            Self::Reply { .. } => EventKind::ModelReplied,
            Self::Tool { .. } => EventKind::ToolFinished,
        }
    }
}

impl Partial {
    pub(crate) fn frame(&self) -> Frame {
        let (offset, text) = (self.offset, self.text.clone());
        match &self.of {
            PartOf::Reply { turn, step, block, channel } => {
                Frame::Text { turn: *turn, step: *step, block: *block, channel: *channel, offset, text }
            }
            PartOf::Tool { call } => Frame::ToolOutput { call: call.clone(), offset, text },
        }
    }

    /// Whether `next` says the very next bytes.
    pub(crate) fn goes_on_with(&self, of: &PartOf, offset: u32) -> bool {
        self.of == *of && self.offset as usize + self.text.len() == offset as usize
    }
}

/// Adds text to the part it continues, or begins one.
pub(crate) fn extend(parts: &mut Vec<Partial>, of: &PartOf, offset: u32, text: &str) {
    match parts.iter_mut().find(|part| part.goes_on_with(of, offset)) {
        Some(part) => part.text.push_str(text),
        None => parts.push(Partial { of: of.clone(), offset, text: text.to_owned() }),
    }
}

/// Text in progress is done with once its event says it in full.
pub(crate) fn forget_told(parts: &mut Vec<Partial>, body: &EventBody) {
    if parts.is_empty() {
        return;
    }
    if let EventBody::ModelReplied { turn, step, .. } = body {
        parts.retain(|partial| !partial.of.is_reply(*turn, *step));
    }
    if let EventBody::ToolFinished { call, .. } = body {
        parts.retain(|partial| partial.of != PartOf::Tool { call: call.clone() });
    }
    if let EventBody::TurnEnded { .. } = body {
        parts.clear();
    }
}
