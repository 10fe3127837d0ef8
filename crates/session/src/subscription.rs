//! Somebody who follows sessions, one or many: cursors, nothing more.
//!
//! ```text
//!   bell rings ─▶ ready: slots to look at ─▶ front ─ position known ─▶ fetch from the tail ─ frames ─▶ handed out one by one
//!                                              │                            │
//!                                              └─ no position ─▶ attach ────┴─ behind ─▶ read a page of the log, look again
//! ```
//!
//! Sessions take turns, one page each, so that a busy one does not hold up the others of the stream.

use std::{collections::VecDeque, sync::Arc, vec};

use hangar_protocol::{
    Frame, Kinds, Person, Refusal, RefusalCode, Seq, SessionId, frame::FollowFrom, limits::STREAM_SESSIONS_MAX,
};

use crate::{
    Sessions,
    bell::{Bell, Slot},
    list_tail::{Changes, changed_frame},
    ring::{Framed, Wants, frame_json},
    tail::{Fetched, More, Tail},
};

/// Events a catching-up follower reads from the log at a time.
const PAGE_EVENTS: u32 = 256;
/// Where events are left out, the position is told at least every so many.
const CURSOR_EVERY_EVENTS: u64 = 256;
/// The slot of the list of sessions.
const LIST: Slot = Slot::MAX;

/// A stream of frames of the sessions that are followed. Dropping it ends it.
pub struct Subscription {
    sessions: Sessions,
    person: Person,
    kinds: Option<Kinds>,
    scope: Scope,
    bell: Arc<Bell>,
    readings: Vec<Option<Reading>>,
    list: Option<ListReading>,
    /// Slots to look at, in turns.
    ready: VecDeque<Slot>,
    /// Fetched and not yet handed out: at most one page, of one slot.
    page: vec::IntoIter<Framed>,
    page_of: Option<Arc<Tail>>,
    ended: bool,
}

/// Whether the stream is about one session and ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    One,
    Many,
}

/// One session's cursor.
#[derive(Debug)]
struct Reading {
    tail: Arc<Tail>,
    key: usize,
    cursor: Seq,
    /// The last position that the peer knows of.
    told: Seq,
    /// Where in the tail it reads; `None` while it catches up from the log.
    position: Option<u64>,
    wants: Wants,
}

#[derive(Debug)]
struct ListReading {
    key: usize,
    position: Option<u64>,
}

/// A frame, serialized once for everybody who gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    framed: Framed,
    of: Option<Arc<Tail>>,
}

impl Delivery {
    /// The frame as the stream of one session carries it.
    #[must_use]
    pub fn frame(&self) -> &str {
        &self.framed.frame
    }

    /// The event's number, if the frame is an event's.
    #[must_use]
    pub fn seq(&self) -> Option<Seq> {
        self.framed.seq
    }

    /// The frame as a stream of many carries it: with its session's id.
    #[must_use]
    pub fn addressed(&self) -> String {
        match &self.of {
            Some(tail) => addressed(tail.session(), &self.framed.frame),
            None => self.framed.frame.to_string(),
        }
    }
}

/// An id needs no escapes, and every frame is an object that is not empty.
fn addressed(session: &SessionId, frame: &str) -> String {
    format!(r#"{{"session":"{session}",{}"#, frame.strip_prefix('{').unwrap_or(frame))
}

impl Subscription {
    /// A stream that ends when the one session that it is about does.
    pub(crate) fn of_one(sessions: Sessions, person: Person, kinds: Option<Kinds>) -> Self {
        Self::new(sessions, person, kinds, Scope::One)
    }

    /// A stream that the peer ends.
    pub(crate) fn of_many(sessions: Sessions, person: Person, kinds: Option<Kinds>) -> Self {
        Self::new(sessions, person, kinds, Scope::Many)
    }

    fn new(sessions: Sessions, person: Person, kinds: Option<Kinds>, scope: Scope) -> Self {
        Self {
            sessions,
            person,
            kinds,
            scope,
            bell: Arc::default(),
            readings: Vec::new(),
            list: None,
            ready: VecDeque::new(),
            page: Vec::new().into_iter(),
            page_of: None,
            ended: false,
        }
    }

    /// Follows a session from a cursor, or anew if it is followed already. Does not wake it.
    ///
    /// # Errors
    /// When there is no such session, the cursor lies beyond its end, or too many are followed.
    pub async fn follow(&mut self, from: &FollowFrom) -> Result<(), Refusal> {
        let tail = self.sessions.tail_at(&from.session, from.after).await?;
        self.unfollow(&from.session);
        let free = self.readings.iter().position(Option::is_none);
        if free.is_none() && self.readings.len() >= STREAM_SESSIONS_MAX {
            return Err(Refusal::new(
                RefusalCode::TooMany,
                format!("This stream follows {STREAM_SESSIONS_MAX} sessions already."),
                "Unfollow some, or open another stream.",
            ));
        }
        let at = free.unwrap_or(self.readings.len());
        let slot = Slot::try_from(at).unwrap_or(LIST);
        let shown = from.presence.then_some(&self.person);
        let key = tail.enter(&self.bell, slot, shown);
        let wants = Wants { kinds: self.kinds, presence: from.presence };
        let reading = Reading { tail, key, cursor: from.after, told: from.after, position: None, wants };
        match free {
            Some(at) => self.readings[at] = Some(reading),
            None => {
                // Most streams are about one session, and many are open.
                self.readings.reserve_exact(1);
                self.readings.push(Some(reading));
            }
        }
        self.ready.push_back(slot);
        Ok(())
    }

    /// Follows a session no more.
    pub fn unfollow(&mut self, session: &SessionId) {
        let followed = |reading: &Option<Reading>| reading.as_ref().is_some_and(|of| of.tail.session() == session);
        if let Some(at) = self.readings.iter().position(followed) {
            self.drop_reading(at);
        }
    }

    fn drop_reading(&mut self, at: usize) {
        if let Some(reading) = self.readings[at].take() {
            reading.tail.leave(reading.key);
        }
        // A slot is given to another session only when nothing of this one waits in it.
        self.ready.retain(|slot| *slot as usize != at);
    }

    /// Follows the list of sessions: all of them, then what changes.
    pub fn follow_list(&mut self) {
        if self.list.is_none() {
            let key = self.sessions.list_tail().enter(&self.bell, LIST);
            self.list = Some(ListReading { key, position: None });
            self.ready.push_back(LIST);
        }
    }

    /// Tells others that the person is typing in a session that this stream follows.
    ///
    /// # Errors
    /// When it does not follow it. `None` stands for the only one.
    pub fn typing(&self, session: Option<&SessionId>) -> Result<(), Refusal> {
        let mut followed = self.readings.iter().flatten();
        let meant = match session {
            Some(session) => followed.find(|reading| reading.tail.session() == session),
            None => followed.next(),
        };
        let Some(reading) = meant else {
            return Err(Refusal::new(
                RefusalCode::Conflict,
                "This stream does not follow that session.",
                "Follow it first.",
            ));
        };
        reading.tail.typing(&self.person);
        Ok(())
    }

    /// The next frame. Waits until there is one; `None` once the stream has ended (a `bye` frame came before). Cancel-safe: a frame
    /// is handed out or kept.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(framed) = self.page.next() {
                return Some(Delivery { framed, of: self.page_of.clone() });
            }
            self.turn_page(Vec::new(), None);
            if self.ended {
                return None;
            }
            match self.ready.front() {
                None => {
                    let rung = self.bell.rung().await;
                    self.ready.extend(rung);
                }
                // It stays in front until it was looked at: whoever drops this future in between loses nothing.
                // Boxed: what is rare must not take room in every idle connection.
                Some(&LIST) => Box::pin(self.look_at_list()).await,
                Some(&slot) => self.look_at(slot as usize).await,
            }
        }
    }

    fn turn_page(&mut self, frames: Vec<Framed>, of: Option<Arc<Tail>>) {
        self.page = frames.into_iter();
        self.page_of = of;
    }

    /// Fetches a page of the session in front.
    async fn look_at(&mut self, at: usize) {
        let Some(reading) = self.readings.get_mut(at).and_then(Option::as_mut) else {
            self.ready.pop_front();
            return;
        };
        let fetched = match reading.position {
            Some(position) => reading.tail.fetch(reading.key, position, reading.cursor, &reading.wants),
            None => reading.tail.attach(reading.key, reading.cursor, &reading.wants),
        };
        let tail = Arc::clone(&reading.tail);
        match fetched {
            Fetched::Frames { mut frames, position, cursor, more } => {
                let attached = reading.position.replace(position).is_none();
                frames.extend(reading.pass(cursor, if attached { Told::Already } else { Told::Perhaps }));
                self.turn_page(frames, Some(tail));
                self.next_turn(more);
            }
            Fetched::Behind => {
                reading.position = None;
                let (cursor, kinds) = (reading.cursor, reading.wants.kinds);
                // Boxed, as above.
                match Box::pin(self.sessions.page_for(tail.session(), cursor, PAGE_EVENTS, kinds)).await {
                    Ok(page) if page.head < reading.cursor => {
                        self.end_one(
                            at,
                            "The cursor lies beyond the end of the log. Connect again from the beginning.",
                        );
                    }
                    Ok(page) => {
                        let mut frames: Vec<_> = page.events.iter().map(Framed::event).collect();
                        let last = page.events.last().map(|event| event.seq);
                        reading.told = last.unwrap_or(reading.told);
                        frames.extend(reading.pass(page.looked_at, Told::Perhaps));
                        self.turn_page(frames, Some(tail));
                        self.next_turn(More::Now);
                    }
                    Err(error) => {
                        tracing::error!(%error, session = %tail.session(), "a follower cannot read the log");
                        self.end_one(at, "The session's log cannot be read. The server's log has the cause.");
                    }
                }
            }
            Fetched::Bye(reason) => self.end_one(at, &reason),
        }
    }

    /// The session in front has had its turn.
    fn next_turn(&mut self, more: More) {
        let Some(slot) = self.ready.pop_front() else { return };
        match more {
            More::Now => self.ready.push_back(slot),
            More::AfterTheBell => {}
        }
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
    }

    /// The session's stream ends; that of a server which stops ends altogether.
    fn end_one(&mut self, at: usize, reason: &str) {
        let after = self.readings[at].as_ref().map(|reading| reading.cursor);
        let tail = self.readings[at].as_ref().map(|reading| Arc::clone(&reading.tail));
        self.drop_reading(at);
        let closing = self.sessions.closing().is_cancelled();
        self.ended = self.scope == Scope::One || closing;
        // What ends the whole stream is about no session.
        let after = if closing && self.scope == Scope::Many { None } else { after };
        let bye = frame_json(&Frame::Bye { reason: reason.to_owned(), after });
        self.turn_page(vec![Framed::hint(bye)], if closing { None } else { tail });
    }

    fn end_all(&mut self, reason: &str) {
        self.ended = true;
        let bye = frame_json(&Frame::Bye { reason: reason.to_owned(), after: None });
        self.turn_page(vec![Framed::hint(bye)], None);
    }

    async fn look_at_list(&mut self) {
        let Some(list) = &mut self.list else {
            self.ready.pop_front();
            return;
        };
        match self.sessions.list_tail().fetch(list.key, list.position) {
            Changes::Frames { frames, position } => {
                list.position = Some(position);
                self.turn_page(frames, None);
            }
            Changes::ReadAnew(position) => match self.sessions.list().await {
                Ok(summaries) => {
                    list.position = Some(position);
                    let mut frames: Vec<_> =
                        summaries.into_iter().rev().map(|one| Framed::hint(changed_frame(one))).collect();
                    frames.push(Framed::hint(frame_json(&Frame::ListComplete {})));
                    self.turn_page(frames, None);
                }
                Err(refusal) => self.end_all(&refusal.message),
            },
            Changes::Bye(reason) => self.end_all(&reason),
        }
        self.next_turn(More::AfterTheBell);
    }
}

/// Whether the peer knows the position that a page ends with.
enum Told {
    /// `caught_up` said it.
    Already,
    /// Unless events were left out.
    Perhaps,
}

impl Reading {
    /// The cursor has come so far. Where the peer cannot know that, and it is far enough, the frame that tells it.
    fn pass(&mut self, cursor: Seq, told: Told) -> Option<Framed> {
        self.cursor = cursor;
        match (told, self.wants.kinds) {
            (Told::Already, _) | (Told::Perhaps, None) => {
                self.told = cursor;
                return None;
            }
            (Told::Perhaps, Some(_)) if cursor.0 < self.told.0 + CURSOR_EVERY_EVENTS => return None,
            (Told::Perhaps, Some(_)) => self.told = cursor,
        }
        Some(Framed::hint(frame_json(&Frame::Cursor { seq: cursor })))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for reading in self.readings.drain(..).flatten() {
            reading.tail.leave(reading.key);
        }
        if let Some(list) = self.list.take() {
            self.sessions.list_tail().leave(list.key);
        }
    }
}
