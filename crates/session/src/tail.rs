//! The end of a session's log as its followers see it: the newest events, and hints about what is being written.
//!
//! A follower never has a queue here. It holds a position; frames that it did not fetch in time are forgotten, and it reads
//! the events among them from the log instead. Hints are lost then, which loses nothing: the event that follows says it all,
//! and text that is still being written is kept whole in `partials` for whoever attaches in mid-sentence.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hangar_protocol::{CallId, Event, EventBody, Frame, Seq, TurnId, frame::TextChannel};
use tokio::sync::watch;

use crate::{access::Access, log::StoredEvent};

/// Frames kept for followers that are a little behind.
const RING_FRAMES_MAX: usize = 512;
/// Bytes of frames kept likewise.
const RING_BYTES_MAX: usize = 1024 * 1024;
/// Hints are sent at once when nothing was sent for this long, and together at the end of this time otherwise.
const HINT_WINDOW: Duration = Duration::from_millis(40);
/// Hints are sent before the window's end once they hold so much text.
const HINT_BYTES_MAX: usize = 4 * 1024;
/// Text in progress that is kept for late followers, all parts together. What exceeds it is shown to those who are there only.
const PARTIAL_BYTES_MAX: usize = 512 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tail {
    ring: Mutex<Ring>,
    /// Counts frames ever put in; tells followers to look.
    moved: watch::Sender<u64>,
    /// Who may follow, since that last changed; `None` while it has not.
    access: watch::Sender<Option<Arc<Access>>>,
}

#[derive(Debug)]
struct Ring {
    frames: VecDeque<Entry>,
    /// Position of `frames[0]`.
    first: u64,
    bytes: usize,
    /// The log's last durable event.
    head: Seq,
    partials: Vec<Partial>,
    pending: Vec<Partial>,
    flushed: Instant,
    timer_armed: bool,
    bye: Option<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    frame: Arc<str>,
    /// Of an event; hints have none.
    seq: Option<Seq>,
}

/// Text in progress, from `offset` on.
#[derive(Clone, Debug)]
struct Partial {
    of: PartOf,
    offset: u32,
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum PartOf {
    Reply { turn: TurnId, step: u32, block: u32, channel: TextChannel },
    Tool { call: CallId },
}

/// What a follower gets.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Frames, in order; ask again from the position. `cursor` is the last event among them or before them.
    Frames { frames: Vec<Arc<str>>, position: u64, cursor: Seq },
    /// The events after the cursor are not here: read the log.
    Behind,
    /// The stream ends with this frame.
    Bye(Arc<str>),
}

impl Tail {
    /// The tail of a log of which nothing is known yet: see [`Tail::raise_head`].
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::new(Ring {
                frames: VecDeque::new(),
                first: 0,
                bytes: 0,
                head: Seq::START,
                partials: Vec::new(),
                pending: Vec::new(),
                flushed: Instant::now() - HINT_WINDOW,
                timer_armed: false,
                bye: None,
            }),
            moved: watch::Sender::new(0),
            access: watch::Sender::new(None),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // The ring is a cache: if a thread died holding it, what it holds is still frames in order.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log is known to reach so far. Followers read what they lack from it.
    pub(crate) fn raise_head(&self, head: Seq) {
        let mut ring = self.ring();
        ring.head = ring.head.max(head);
    }

    /// Tells when to look again.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Tells who may follow. What is shown afterwards is shown to those alone.
    pub(crate) fn let_follow(&self, access: Arc<Access>) {
        self.access.send_replace(Some(access));
    }

    /// Tells when who may follow has changed.
    pub(crate) fn watch_access(&self) -> watch::Receiver<Option<Arc<Access>>> {
        self.access.subscribe()
    }

    /// Shows events that have become durable.
    pub(crate) fn publish(&self, events: &[(Event, StoredEvent)]) {
        let mut ring = self.ring();
        ring.flush();
        for (event, stored) in events {
            ring.forget_partials(&event.body);
            ring.head = stored.seq;
            ring.push(event_frame(stored), Some(stored.seq));
        }
        self.announce(&ring);
    }

    /// Shows text of a reply. May wait a moment to travel with what follows.
    pub(crate) fn text(
        self: &Arc<Self>,
        turn: TurnId,
        step: u32,
        block: u32,
        channel: TextChannel,
        offset: u32,
        text: &str,
    ) {
        self.hint(PartOf::Reply { turn, step, block, channel }, offset, text);
    }

    /// Shows output of a tool, likewise.
    pub(crate) fn tool_output(self: &Arc<Self>, call: &CallId, offset: u32, text: &str) {
        self.hint(PartOf::Tool { call: call.clone() }, offset, text);
    }

    /// What was shown of a reply is void.
    pub(crate) fn text_reset(&self, turn: TurnId, step: u32) {
        let mut ring = self.ring();
        ring.flush();
        ring.partials.retain(|partial| !partial.of.is_reply(turn, step));
        ring.push(frame_json(&Frame::TextReset { turn, step }), None);
        self.announce(&ring);
    }

    /// Ends every follower's stream.
    pub(crate) fn bye(&self, reason: &str) {
        let mut ring = self.ring();
        ring.bye = Some(frame_json(&Frame::Bye { reason: reason.to_owned() }));
        ring.first += 1;
        self.announce(&ring);
    }

    fn hint(self: &Arc<Self>, of: PartOf, offset: u32, text: &str) {
        let mut ring = self.ring();
        ring.add_hint(of, offset, text);
        if ring.flushed.elapsed() >= HINT_WINDOW || ring.pending_bytes() >= HINT_BYTES_MAX {
            ring.flush();
            self.announce(&ring);
        } else if !ring.timer_armed {
            ring.timer_armed = true;
            let due = ring.flushed + HINT_WINDOW;
            let tail = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep_until(due.into()).await;
                let mut ring = tail.ring();
                ring.timer_armed = false;
                ring.flush();
                tail.announce(&ring);
            });
        }
    }

    fn announce(&self, ring: &Ring) {
        self.moved.send_replace(ring.end());
    }

    /// The frames after a follower's position.
    pub(crate) fn fetch(&self, position: u64, cursor: Seq) -> Fetched {
        let ring = self.ring();
        if let Some(bye) = &ring.bye {
            return Fetched::Bye(Arc::clone(bye));
        }
        if position < ring.first {
            return Fetched::Behind;
        }
        let skip = usize::try_from(position - ring.first).unwrap_or(usize::MAX);
        let new = ring.frames.iter().skip(skip);
        let cursor = new.clone().filter_map(|entry| entry.seq).next_back().unwrap_or(cursor);
        Fetched::Frames { frames: new.map(|entry| Arc::clone(&entry.frame)).collect(), position: ring.end(), cursor }
    }

    /// Lets a follower in that has seen the log up to `cursor`: the events it lacks, then text in progress.
    pub(crate) fn attach(&self, cursor: Seq) -> Fetched {
        let ring = self.ring();
        if let Some(bye) = &ring.bye {
            return Fetched::Bye(Arc::clone(bye));
        }
        let mut lacking = ring.frames.iter().filter(|entry| entry.seq.is_some_and(|seq| seq > cursor)).peekable();
        let complete = match lacking.peek().and_then(|entry| entry.seq) {
            Some(first) => first == cursor.next(),
            None => cursor >= ring.head,
        };
        if !complete {
            return Fetched::Behind;
        }
        let mut frames: Vec<_> = lacking.map(|entry| Arc::clone(&entry.frame)).collect();
        let cursor = cursor.max(ring.head);
        frames.push(frame_json(&Frame::CaughtUp { seq: cursor }));
        frames.extend(ring.partials.iter().map(|partial| frame_json(&partial.frame())));
        Fetched::Frames { frames, position: ring.end(), cursor }
    }
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn push(&mut self, frame: Arc<str>, seq: Option<Seq>) {
        self.bytes += frame.len();
        self.frames.push_back(Entry { frame, seq });
        while self.frames.len() > RING_FRAMES_MAX || (self.bytes > RING_BYTES_MAX && self.frames.len() > 1) {
            if let Some(oldest) = self.frames.pop_front() {
                self.bytes -= oldest.frame.len();
                self.first += 1;
            }
        }
    }

    fn pending_bytes(&self) -> usize {
        self.pending.iter().map(|partial| partial.text.len()).sum()
    }

    fn add_hint(&mut self, of: PartOf, offset: u32, text: &str) {
        let kept: usize = self.partials.iter().map(|partial| partial.text.len()).sum();
        if kept + text.len() <= PARTIAL_BYTES_MAX {
            extend(&mut self.partials, &of, offset, text);
        }
        extend(&mut self.pending, &of, offset, text);
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.flushed = Instant::now();
        for partial in std::mem::take(&mut self.pending) {
            self.push(frame_json(&partial.frame()), None);
        }
    }

    /// Text in progress is done with once its event says it in full.
    fn forget_partials(&mut self, body: &EventBody) {
        if self.partials.is_empty() {
            return;
        }
        if let EventBody::ModelReplied { turn, step, .. } = body {
            self.partials.retain(|partial| !partial.of.is_reply(*turn, *step));
        }
        if let EventBody::ToolFinished { call, .. } = body {
            self.partials.retain(|partial| partial.of != PartOf::Tool { call: call.clone() });
        }
        if let EventBody::TurnEnded { .. } = body {
            self.partials.clear();
        }
    }
}

/// Adds text to the part it continues, or begins one.
fn extend(parts: &mut Vec<Partial>, of: &PartOf, offset: u32, text: &str) {
    let continued =
        parts.iter_mut().find(|part| part.of == *of && part.offset as usize + part.text.len() == offset as usize);
    match continued {
        Some(part) => part.text.push_str(text),
        None => parts.push(Partial { of: of.clone(), offset, text: text.to_owned() }),
    }
}

impl PartOf {
    fn is_reply(&self, of_turn: TurnId, of_step: u32) -> bool {
        match self {
            Self::Reply { turn, step, .. } => *turn == of_turn && *step == of_step,
            Self::Tool { .. } => false,
        }
    }
}

impl Partial {
    fn frame(&self) -> Frame {
        let (offset, text) = (self.offset, self.text.clone());
        match &self.of {
            PartOf::Reply { turn, step, block, channel } => {
                Frame::Text { turn: *turn, step: *step, block: *block, channel: *channel, offset, text }
            }
            PartOf::Tool { call } => Frame::ToolOutput { call: call.clone(), offset, text },
        }
    }
}

/// The frame of an event, around JSON that was made once for the log.
pub(crate) fn event_frame(event: &StoredEvent) -> Arc<str> {
    format!(r#"{{"frame":"event","event":{}}}"#, event.json).into()
}

/// A hint's frame. Frames are plain data, so making JSON of one cannot fail.
pub(crate) fn frame_json(frame: &Frame) -> Arc<str> {
    serde_json::to_string(frame).unwrap_or_default().into()
}
