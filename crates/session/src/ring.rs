//! The newest frames of a session, and what each reader is to get of them.

use std::{collections::VecDeque, sync::Arc};

use hangar_protocol::{EventKind, Frame, Kinds, Seq};

use crate::{log::StoredEvent, partial::Partial};

/// Frames kept for followers that are a little behind.
const RING_FRAMES_MAX: usize = 512;
/// Bytes of frames kept likewise.
const RING_BYTES_MAX: usize = 1024 * 1024;
/// Frames kept of a session that sleeps: who came, who left, who is typing.
const ASLEEP_FRAMES_MAX: usize = 4;
/// Frames a follower takes at a time, so that one session does not hold up the others of a stream.
const FETCH_FRAMES_MAX: usize = 128;
/// Text that is put together into one frame for a follower who is behind.
const MERGED_BYTES_MAX: usize = 64 * 1024;

/// What a reader wants of a session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    /// Of the events; `None` for all.
    pub(crate) kinds: Option<Kinds>,
    /// Whether it is told who is there.
    pub(crate) presence: bool,
}

impl Wants {
    pub(crate) fn kind(&self, kind: EventKind) -> bool {
        self.kinds.is_none_or(|kinds| kinds.has(kind))
    }
}

/// A frame, and the number of its event if it is one's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Framed {
    pub(crate) frame: Arc<str>,
    pub(crate) seq: Option<Seq>,
}

impl Framed {
    pub(crate) fn event(event: &StoredEvent) -> Self {
        Self { frame: event_frame(event), seq: Some(event.seq) }
    }

    pub(crate) fn hint(frame: Arc<str>) -> Self {
        Self { frame, seq: None }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    entries: VecDeque<Entry>,
    /// Position of `entries[0]`.
    first: u64,
    bytes: usize,
    /// Text that was put together for one follower is most often wanted by the next one too.
    merged: Option<Merged>,
}

#[derive(Debug)]
struct Entry {
    frame: Arc<str>,
    what: What,
}

#[derive(Debug)]
enum What {
    Event(Seq, EventKind),
    Text(Partial),
    Reset,
    People,
}

#[derive(Debug)]
struct Merged {
    positions: (u64, u64),
    frame: Arc<str>,
}

/// What a reader gets from its position on.
pub(crate) struct Taken {
    pub(crate) frames: Vec<Framed>,
    /// Where to go on.
    pub(crate) position: u64,
    /// The last event among what was looked at, wanted or not.
    pub(crate) last: Option<Seq>,
}

impl Ring {
    /// The position after the newest frame.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether a reader at this position has missed nothing yet.
    pub(crate) fn reaches(&self, position: u64) -> bool {
        position >= self.first
    }

    pub(crate) fn push_event(&mut self, event: &StoredEvent, kind: EventKind) {
        self.push(event_frame(event), What::Event(event.seq, kind));
    }

    pub(crate) fn push_text(&mut self, partial: Partial) {
        self.push(frame_json(&partial.frame()), What::Text(partial));
    }

    pub(crate) fn push_reset(&mut self, frame: &Frame) {
        self.push(frame_json(frame), What::Reset);
    }

    pub(crate) fn push_people(&mut self, frame: Arc<str>) {
        self.push(frame, What::People);
    }

    fn push(&mut self, frame: Arc<str>, what: What) {
        self.bytes += frame.len();
        self.entries.push_back(Entry { frame, what });
        while self.entries.len() > RING_FRAMES_MAX || (self.bytes > RING_BYTES_MAX && self.entries.len() > 1) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.frame.len();
            self.first += 1;
        }
    }

    /// Gives the memory back. Who had not read it all reads the log.
    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        *self = Self { first: self.first, ..Self::default() };
    }

    /// Keeps a sleeping session's ring small.
    pub(crate) fn doze(&mut self) {
        while self.entries.len() > ASLEEP_FRAMES_MAX {
            self.drop_oldest();
        }
    }

    /// The frames after a position that a reader wants. Pieces of the same text that follow one another travel as one: a reader who is
    /// behind gets fewer and longer frames.
    pub(crate) fn take(&mut self, position: u64, wants: &Wants) -> Taken {
        let mut at = usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.entries.len());
        let mut taken = Taken { frames: Vec::new(), position, last: None };
        while at < self.entries.len() && taken.frames.len() < FETCH_FRAMES_MAX {
            let entry = &self.entries[at];
            let mut after = at + 1;
            match &entry.what {
                What::Event(seq, kind) => {
                    taken.last = Some(*seq);
                    if wants.kind(*kind) {
                        taken.frames.push(Framed { frame: Arc::clone(&entry.frame), seq: Some(*seq) });
                    }
                }
                What::Text(partial) if wants.kind(partial.of.settled_by()) => {
                    after = self.run_of(at);
                    taken.frames.push(Framed::hint(self.text_frame(at, after)));
                }
                What::Reset if wants.kind(EventKind::ModelReplied) => {
                    taken.frames.push(Framed::hint(Arc::clone(&entry.frame)));
                }
                What::People if wants.presence => taken.frames.push(Framed::hint(Arc::clone(&entry.frame))),
                What::Text(_) | What::Reset | What::People => {}
            }
            at = after;
        }
        taken.position = self.first + at as u64;
        taken
    }

    /// The first index after `at` whose entry does not go on with the text of the one before.
    fn run_of(&self, at: usize) -> usize {
        let mut bytes = 0;
        let mut after = at;
        let mut before: Option<&Partial> = None;
        while let Some(Entry { what: What::Text(next), .. }) = self.entries.get(after) {
            bytes += next.text.len();
            let goes_on = before.is_none_or(|before| before.goes_on_with(&next.of, next.offset));
            if !goes_on || (before.is_some() && bytes > MERGED_BYTES_MAX) {
                break;
            }
            before = Some(next);
            after += 1;
        }
        after
    }

    /// One frame for the text of these entries.
    fn text_frame(&mut self, from: usize, to: usize) -> Arc<str> {
        if to <= from + 1 {
            return Arc::clone(&self.entries[from].frame);
        }
        let positions = (self.first + from as u64, self.first + to as u64);
        if let Some(merged) = self.merged.as_ref().filter(|merged| merged.positions == positions) {
            return Arc::clone(&merged.frame);
        }
        let mut whole: Option<Partial> = None;
        for entry in self.entries.range(from..to) {
            let What::Text(next) = &entry.what else { continue };
            match &mut whole {
                Some(whole) => whole.text.push_str(&next.text),
                None => whole = Some(next.clone()),
            }
        }
        let frame = whole.map_or_else(|| Arc::clone(&self.entries[from].frame), |whole| frame_json(&whole.frame()));
        self.merged = Some(Merged { positions, frame: Arc::clone(&frame) });
        frame
    }

    /// The frames of the events after a cursor that a reader wants, if they are all here; `head` is the log's last.
    pub(crate) fn after(&self, cursor: Seq, head: Seq, wants: &Wants) -> Option<Vec<Framed>> {
        let mut lacking = self.events().filter(|(seq, ..)| *seq > cursor).peekable();
        let complete = match lacking.peek() {
            Some((first, ..)) => *first == cursor.next(),
            None => cursor >= head,
        };
        let wanted = lacking.filter(|(_, kind, _)| wants.kind(*kind));
        complete.then(|| wanted.map(|(seq, _, frame)| Framed { frame: Arc::clone(frame), seq: Some(seq) }).collect())
    }

    fn events(&self) -> impl Iterator<Item = (Seq, EventKind, &Arc<str>)> {
        self.entries.iter().filter_map(|entry| match entry.what {
            What::Event(seq, kind) => Some((seq, kind, &entry.frame)),
            What::Text(_) | What::Reset | What::People => None,
        })
    }
}

/// How much text these parts hold.
pub(crate) fn bytes_of(parts: &[Partial]) -> usize {
    parts.iter().map(|partial| partial.text.len()).sum()
}

/// The frame of an event, around JSON that was made once for the log.
fn event_frame(event: &StoredEvent) -> Arc<str> {
    format!(r#"{{"frame":"event","event":{}}}"#, event.json).into()
}

/// A frame that is no event's. Frames are plain data, so making JSON of one cannot fail.
pub(crate) fn frame_json(frame: &Frame) -> Arc<str> {
    serde_json::to_string(frame).unwrap_or_default().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use hangar_protocol::{TurnId, frame::TextChannel};

    use super::*;
    use crate::partial::PartOf;

    fn piece(offset: u32, text: &str) -> Partial {
        let of = PartOf::Reply { turn: TurnId(1), step: 1, block: 0, channel: TextChannel::Text };
        Partial { of, offset, text: text.to_owned() }
    }

    fn event(seq: u64) -> StoredEvent {
        StoredEvent { seq: Seq(seq), json: format!("{{\"seq\":{seq}}}").into() }
    }

    #[test]
    fn a_reader_who_is_behind_gets_its_text_in_one_piece() {
        let mut ring = Ring::default();
        ring.push_text(piece(0, "One "));
        let (mut whole, mut prompt) = (Vec::new(), Vec::new());
        prompt.extend(ring.take(0, &Wants::default()).frames);
        ring.push_text(piece(4, "two "));
        ring.push_text(piece(8, "three."));
        // What does not go on where the last one ended stays apart, and so does what an event stands between.
        ring.push_text(piece(20, "Elsewhere"));
        ring.push_event(&event(1), EventKind::TitleChanged);
        ring.push_text(piece(29, "."));
        whole.extend(ring.take(0, &Wants::default()).frames);
        prompt.extend(ring.take(1, &Wants::default()).frames);
        let json = |offset, text| Framed::hint(frame_json(&piece(offset, text).frame()));
        let one = Framed::event(&event(1));
        assert_eq!(whole, [json(0, "One two three."), json(20, "Elsewhere"), one.clone(), json(29, ".")]);
        assert_eq!(prompt, [json(0, "One "), json(4, "two three."), json(20, "Elsewhere"), one, json(29, ".")]);
    }

    #[test]
    fn what_nobody_asked_for_is_left_out_and_passed_over() {
        let mut ring = Ring::default();
        ring.push_event(&event(1), EventKind::PromptAdded);
        ring.push_text(piece(0, "words"));
        ring.push_people("{}".into());
        ring.push_event(&event(2), EventKind::TurnEnded);
        let wants = Wants { kinds: Some([EventKind::PromptAdded].into_iter().collect()), presence: false };
        let taken = ring.take(0, &wants);
        assert_eq!((taken.frames, taken.position, taken.last), (vec![Framed::event(&event(1))], 4, Some(Seq(2))));
        assert_eq!(ring.after(Seq::START, Seq(2), &wants).unwrap().len(), 1);
        assert!(ring.after(Seq::START, Seq(2), &Wants::default()).is_some_and(|frames| frames.len() == 2));
        ring.clear();
        assert!(!ring.reaches(3) && ring.reaches(4));
        assert!(ring.after(Seq(1), Seq(2), &wants).is_none());
    }
}
