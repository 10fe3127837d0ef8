//! The end of a session's log as its followers see it: the newest events, and hints about what is being written.
//!
//! A follower never has a queue here. It holds a position; frames that it did not fetch in time are forgotten, and it reads
//! the events among them from the log instead. Hints are lost then, which loses nothing: the event that follows says it all,
//! and text that is still being written is kept whole in `partials` for whoever attaches in mid-sentence.
//!
//! The tail outlives the session's task: it is there as long as somebody follows. Of a session that sleeps it keeps next to nothing.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hangar_protocol::{CallId, Event, EventKind, Frame, Person, Seq, SessionId, TurnId, UserId, frame::TextChannel};
use slab::Slab;

use crate::{
    access::Access,
    bell::{Bell, Slot},
    log::StoredEvent,
    partial::{self, PartOf, Partial},
    present::{GATHER, People},
    ring::{Framed, Ring, Wants, bytes_of, frame_json},
};

/// Hints are sent at once when nothing was sent for this long, and together at the end of this time otherwise.
const HINT_WINDOW: Duration = Duration::from_millis(40);
/// The same once a text is long: its reader is busy with what is there, and a frame's own words would outweigh the text.
const LONG_HINT_WINDOW: Duration = Duration::from_millis(150);
/// A text is long from here on, in bytes.
const LONG_TEXT_BYTES: usize = 1024;
/// Hints are sent before the window's end once they hold so much text.
const HINT_BYTES_MAX: usize = 4 * 1024;
/// Text in progress that is kept for late followers, all parts together. What exceeds it is shown to those who are there only.
const PARTIAL_BYTES_MAX: usize = 512 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tail {
    session: SessionId,
    end: Mutex<End>,
    /// Counts how often it changed who may follow. Asked before every frame, so it needs no lock.
    access_changes: AtomicU64,
}

#[derive(Debug)]
struct End {
    ring: Ring,
    /// The log's last durable event.
    head: Seq,
    partials: Vec<Partial>,
    pending: Vec<Partial>,
    flushed: Instant,
    timer_armed: bool,
    asleep: bool,
    /// Who may follow, since that was last told; `None` while it was not.
    access: Option<Arc<Access>>,
    /// Why the stream has ended.
    bye: Option<Arc<str>>,
    readers: Slab<Reader>,
    /// Boxed: most sessions have nobody who wants to be seen.
    people: Option<Box<People>>,
}

/// Somebody who follows, as the tail knows them.
#[derive(Debug)]
struct Reader {
    bell: Arc<Bell>,
    slot: Slot,
    /// It was told to look and has not looked yet.
    rung: bool,
    /// Who is shown to have the session open.
    shown: Option<UserId>,
}

/// What a follower gets.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Frames, in order; ask again from the position. `cursor` is the last event looked at.
    Frames { frames: Vec<Framed>, position: u64, cursor: Seq, more: More },
    /// The events after the cursor are not here: read the log.
    Behind,
    /// The stream has ended, for this reason.
    Bye(Arc<str>),
}

/// Whether there is more to fetch at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    Now,
    AfterTheBell,
}

impl Tail {
    /// The tail of a log of which nothing is known yet: see [`Tail::raise_head`].
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            end: Mutex::new(End {
                ring: Ring::default(),
                head: Seq::START,
                partials: Vec::new(),
                pending: Vec::new(),
                flushed: Instant::now() - HINT_WINDOW,
                timer_armed: false,
                asleep: true,
                access: None,
                bye: None,
                readers: Slab::new(),
                people: None,
            }),
            access_changes: AtomicU64::new(0),
        }
    }

    fn end(&self) -> MutexGuard<'_, End> {
        // The ring is a cache: if a thread died holding it, what it holds is still frames in order.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose it is.
    pub(crate) fn session(&self) -> &SessionId {
        &self.session
    }

    /// Tells who may follow. What is shown afterwards is shown to those alone.
    pub(crate) fn let_follow(&self, access: Arc<Access>) {
        let mut end = self.end();
        if end.access.as_ref().is_some_and(|known| *known == access) {
            return;
        }
        end.access = Some(access);
        self.access_changes.fetch_add(1, Ordering::Release);
        // Who may not follow any more leaves now, and not at the next frame.
        end.announce();
    }

    /// How often it changed who may follow.
    pub(crate) fn access_changes(&self) -> u64 {
        self.access_changes.load(Ordering::Acquire)
    }

    /// Whether somebody may follow as far as was told here. Who comes is asked for their right elsewhere.
    pub(crate) fn lets_follow(&self, user: &UserId) -> bool {
        self.end().access.as_ref().is_none_or(|access| access.role_of(user).is_some())
    }

    /// The log is known to reach so far. Followers read what they lack from it.
    pub(crate) fn raise_head(&self, head: Seq) {
        let mut end = self.end();
        end.head = end.head.max(head);
    }

    /// The session has a task.
    pub(crate) fn wake(&self) {
        self.end().asleep = false;
    }

    /// The session's task ends in order: what followers lack they read from the log.
    pub(crate) fn sleep(&self) {
        let mut end = self.end();
        end.asleep = true;
        end.ring.clear();
        (end.partials, end.pending) = (Vec::new(), Vec::new());
        // Who had not fetched all of it must look again.
        end.announce();
    }

    /// Shows events that have become durable.
    pub(crate) fn publish(&self, events: &[(Event, StoredEvent)]) {
        let mut end = self.end();
        end.flush();
        for (event, stored) in events {
            partial::forget_told(&mut end.partials, &event.body);
            end.head = stored.seq;
            end.ring.push_event(stored, EventKind::from(&event.body));
        }
        end.announce();
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
        let mut end = self.end();
        end.flush();
        end.partials.retain(|partial| !partial.of.is_reply(turn, step));
        end.ring.push_reset(&Frame::TextReset { turn, step });
        end.announce();
    }

    /// Ends every follower's stream.
    pub(crate) fn bye(&self, reason: &str) {
        let mut end = self.end();
        if end.bye.is_none() {
            end.bye = Some(reason.into());
        }
        end.announce();
    }

    fn hint(self: &Arc<Self>, of: PartOf, offset: u32, text: &str) {
        let mut end = self.end();
        end.add_hint(&of, offset, text);
        let window = end.window(&of);
        if end.flushed.elapsed() >= window || bytes_of(&end.pending) >= HINT_BYTES_MAX {
            end.flush();
            end.announce();
        } else if !end.timer_armed {
            end.timer_armed = true;
            let due = end.flushed + window;
            let tail = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep_until(due.into()).await;
                let mut end = tail.end();
                end.timer_armed = false;
                end.flush();
                end.announce();
            });
        }
    }

    /// Lets somebody in who is rung in `slot` from now on. They look at once: what was there before does not ring.
    pub(crate) fn enter(self: &Arc<Self>, bell: &Arc<Bell>, slot: Slot, shown: Option<&Person>) -> usize {
        let mut end = self.end();
        if let Some(person) = shown {
            end.people.get_or_insert_default().joined(&person.user, &person.name);
            self.gather(&mut end);
        }
        let shown = shown.map(|person| person.user.clone());
        // Most sessions have one reader, and a list that begins by itself has room for four.
        if end.readers.is_empty() {
            end.readers.reserve_exact(1);
        }
        end.readers.insert(Reader { bell: Arc::clone(bell), slot, rung: true, shown })
    }

    /// Lets them out again.
    pub(crate) fn leave(self: &Arc<Self>, key: usize) {
        let mut end = self.end();
        let Some(reader) = end.readers.try_remove(key) else { return };
        if end.readers.is_empty() {
            end.readers = Slab::new();
        }
        if let (Some(user), Some(people)) = (&reader.shown, &mut end.people) {
            people.left(user);
            self.gather(&mut end);
        }
    }

    /// Tells that somebody is typing.
    pub(crate) fn typing(&self, person: &Person) {
        let mut end = self.end();
        if let Some(frame) = end.people.get_or_insert_default().typing(&person.user, &person.name) {
            end.show_people(frame);
        }
    }

    /// Sees to it that comings and goings are told soon.
    fn gather(self: &Arc<Self>, end: &mut End) {
        let Some(people) = &mut end.people else { return };
        // A program that ends has nobody to tell it to.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if std::mem::replace(&mut people.gathering, true) {
            return;
        }
        let tail = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep(GATHER).await;
            let mut end = tail.end();
            let gathered = end.people.as_mut().and_then(|people| people.gathered());
            if end.people.as_ref().is_some_and(|people| people.is_empty()) {
                end.people = None;
            }
            if let Some(frame) = gathered {
                end.show_people(frame);
            }
        });
    }

    /// The frames after a follower's position.
    pub(crate) fn fetch(&self, key: usize, position: u64, cursor: Seq, wants: &Wants) -> Fetched {
        let mut end = self.end();
        end.looked(key);
        if let Some(bye) = &end.bye {
            return Fetched::Bye(Arc::clone(bye));
        }
        if !end.ring.reaches(position) {
            return Fetched::Behind;
        }
        let taken = end.ring.take(position, wants);
        let more = if taken.position < end.ring.end() { More::Now } else { More::AfterTheBell };
        let cursor = taken.last.unwrap_or(cursor);
        Fetched::Frames { frames: taken.frames, position: taken.position, cursor, more }
    }

    /// Lets a follower in that has seen the log up to `cursor`: the events it lacks, who is there, then text in progress.
    pub(crate) fn attach(&self, key: usize, cursor: Seq, wants: &Wants) -> Fetched {
        let mut end = self.end();
        end.looked(key);
        if let Some(bye) = &end.bye {
            return Fetched::Bye(Arc::clone(bye));
        }
        let Some(mut frames) = end.ring.after(cursor, end.head, wants) else { return Fetched::Behind };
        let cursor = cursor.max(end.head);
        frames.push(Framed::hint(frame_json(&Frame::CaughtUp { seq: cursor })));
        if wants.presence {
            frames.push(Framed::hint(end.people.get_or_insert_default().everybody()));
        }
        let wanted = end.partials.iter().filter(|partial| wants.kind(partial.of.settled_by()));
        frames.extend(wanted.map(|partial| Framed::hint(frame_json(&partial.frame()))));
        Fetched::Frames { frames, position: end.ring.end(), cursor, more: More::AfterTheBell }
    }
}

impl End {
    /// Tells everybody to look who was not told already.
    fn announce(&mut self) {
        for (_, reader) in &mut self.readers {
            if !std::mem::replace(&mut reader.rung, true) {
                reader.bell.ring(reader.slot);
            }
        }
    }

    fn looked(&mut self, key: usize) {
        if let Some(reader) = self.readers.get_mut(key) {
            reader.rung = false;
        }
    }

    fn show_people(&mut self, frame: Arc<str>) {
        self.ring.push_people(frame);
        if self.asleep {
            self.ring.doze();
        }
        self.announce();
    }

    fn add_hint(&mut self, of: &PartOf, offset: u32, text: &str) {
        if bytes_of(&self.partials) + text.len() <= PARTIAL_BYTES_MAX {
            partial::extend(&mut self.partials, of, offset, text);
        }
        partial::extend(&mut self.pending, of, offset, text);
    }

    /// How long hints of this part are gathered.
    fn window(&self, of: &PartOf) -> Duration {
        let shown: usize = self.partials.iter().filter(|part| part.of == *of).map(|part| part.text.len()).sum();
        if shown < LONG_TEXT_BYTES { HINT_WINDOW } else { LONG_HINT_WINDOW }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.flushed = Instant::now();
        for partial in std::mem::take(&mut self.pending) {
            self.ring.push_text(partial);
        }
    }
}
