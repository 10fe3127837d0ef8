//! Somebody who follows sessions, one or many: cursors, nothing more.
//!
//! ```text
//!   bell rings ─▶ ready: slots to look at ─▶ front ─ position known ─▶ fetch from the tail ─ frames ─▶ handed out one by one
//!                                              │                            │
//!                                              └─ no position ─▶ attach ────┴─ behind ─▶ read a page of the log, look again
//! ```
//!
//! Sessions take turns, one page each, so that a busy one does not hold up the others of the stream.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    vec,
};

use hangar_protocol::{
    Frame, Kinds, Person, Refusal, RefusalCode, Seq, SessionId, api::SessionSummary, frame::FollowFrom,
    limits::STREAM_SESSIONS_MAX,
};

use crate::{
    SessionQuery, Sessions,
    bell::{Bell, Slot},
    list_tail::{Change, Changes, changed_frame},
    log::LogError,
    ring::{Framed, Wants, frame_json},
    tail::{Fetched, More, Tail},
};

/// Events a catching-up follower reads from the log at a time.
const PAGE_EVENTS: u32 = 256;
/// Where events are left out, the position is told at least every so many.
const CURSOR_EVERY_EVENTS: u64 = 256;
/// The slot of the list of sessions.
const LIST: Slot = Slot::MAX;
/// Sessions of the list that are remembered as shown to one follower; a stream that has shown more ends, and is begun anew.
const LIST_SHOWN_MAX: usize = 10_000;
/// What somebody is told whose right to see a session has ended.
const SHUT_OUT: &str = "You may not see this session any more: you were removed from it, or it is private now.";

/// A stream of frames of the sessions that are followed. Dropping it ends it.
pub struct Subscription {
    sessions: Sessions,
    person: Person,
    kinds: Option<Kinds>,
    scope: Scope,
    bell: Arc<Bell>,
    readings: Vec<Option<Reading>>,
    /// Boxed: most streams are about one session.
    list: Option<Box<ListReading>>,
    /// Slots to look at, in turns.
    ready: VecDeque<Slot>,
    /// Fetched and not yet handed out: at most one page, of one slot.
    page: vec::IntoIter<Framed>,
    page_of: Option<Arc<Tail>>,
    /// Where the page's session is followed, unless it is so no more.
    page_at: Option<usize>,
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
    /// How often it had changed who may follow when this person's right was last looked at.
    access_changes: u64,
}

#[derive(Debug)]
struct ListReading {
    key: usize,
    position: Option<u64>,
    /// What was shown: whoever cannot see one of these any more is told so, and of others not even that they exist.
    shown: HashSet<SessionId>,
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
            page_at: None,
            ended: false,
        }
    }

    /// Follows a session from a cursor, or anew if it is followed already, for as long as the person may see it. Does not wake it.
    ///
    /// # Errors
    /// When there is no such session, the person may not see it, the cursor lies beyond its end, or too many are followed.
    pub async fn follow(&mut self, from: &FollowFrom) -> Result<(), Refusal> {
        // Asked before anything is told, that the session exists among it.
        self.sessions.role(&from.session, &self.person.user).await?;
        let tail = self.sessions.tail_at(&from.session, from.after).await?;
        let access_changes = tail.access_changes();
        // And again: of what changes from here on the tail tells.
        self.sessions.role(&from.session, &self.person.user).await?;
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
        let reading =
            Reading { tail, key, cursor: from.after, told: from.after, position: None, wants, access_changes };
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
        if self.page_at == Some(at) {
            self.turn_page(Vec::new(), None, None);
        }
        // A slot is given to another session only when nothing of this one waits in it.
        self.ready.retain(|slot| *slot as usize != at);
    }

    /// Follows the list of sessions: all of them, then what changes.
    pub fn follow_list(&mut self) {
        if self.list.is_none() {
            let key = self.sessions.list_tail().enter(&self.bell, LIST);
            self.list = Some(Box::new(ListReading { key, position: None, shown: HashSet::new() }));
            self.ready.push_back(LIST);
        }
    }

    /// Tells others that the person is typing in a session that this stream follows.
    ///
    /// # Errors
    /// When it does not follow it, or the person may not see it any more. `None` stands for the only one.
    pub fn typing(&self, session: Option<&SessionId>) -> Result<(), Refusal> {
        let mut followed = self.readings.iter().flatten();
        let meant = match session {
            Some(session) => followed.find(|reading| reading.tail.session() == session),
            None => followed.next(),
        };
        let Some(reading) = meant.filter(|reading| reading.tail.lets_follow(&self.person.user)) else {
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
            self.leave_if_shut_out();
            if let Some(framed) = self.page.next() {
                return Some(Delivery { framed, of: self.page_of.clone() });
            }
            self.turn_page(Vec::new(), None, None);
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

    fn turn_page(&mut self, frames: Vec<Framed>, of: Option<Arc<Tail>>, at: Option<usize>) {
        self.page = frames.into_iter();
        self.page_of = of;
        self.page_at = at;
    }

    /// Ends the reading of somebody whose right to see the page's session has ended, before they see what came after that.
    fn leave_if_shut_out(&mut self) {
        if let Some(at) = self.page_at
            && self.is_shut_out(at)
        {
            self.end_one(at, SHUT_OUT);
        }
    }

    fn is_shut_out(&mut self, at: usize) -> bool {
        let Some(reading) = self.readings.get_mut(at).and_then(Option::as_mut) else { return false };
        let changes = reading.tail.access_changes();
        if std::mem::replace(&mut reading.access_changes, changes) == changes {
            return false;
        }
        !reading.tail.lets_follow(&self.person.user)
    }

    /// Fetches a page of the session in front.
    async fn look_at(&mut self, at: usize) {
        if self.is_shut_out(at) {
            return self.end_one(at, SHUT_OUT);
        }
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
                self.turn_page(frames, Some(tail), Some(at));
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
                        self.turn_page(frames, Some(tail), Some(at));
                        self.next_turn(More::Now);
                    }
                    Err(error) => {
                        tracing::error!(%error, session = %tail.session(), "a follower cannot read the log");
                        self.end_one(at, &goodbye(&error));
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
        self.turn_page(vec![Framed::hint(bye)], if closing { None } else { tail }, None);
    }

    fn end_all(&mut self, reason: &str) {
        self.ended = true;
        let bye = frame_json(&Frame::Bye { reason: reason.to_owned(), after: None });
        self.turn_page(vec![Framed::hint(bye)], None, None);
    }

    /// What the person is told of the list's changes.
    fn told_of(&mut self, changes: &[Change]) -> Vec<Framed> {
        let Some(list) = &mut self.list else { return Vec::new() };
        let user = &self.person.user;
        let mut frames = Vec::new();
        for change in changes {
            // The list may be a moment behind; who may see what is never.
            let may = self.sessions.access().get(&change.session).is_none_or(|access| access.role_of(user).is_some());
            match change.shown_to(user).filter(|_| may) {
                Some(frame) => {
                    list.shown.insert(change.session.clone());
                    frames.push(frame);
                }
                None if list.shown.remove(&change.session) => {
                    let gone = Frame::SessionUnlisted { id: change.session.clone() };
                    frames.push(Framed::hint(frame_json(&gone)));
                }
                None => {}
            }
        }
        frames
    }

    async fn look_at_list(&mut self) {
        let Some(list) = &mut self.list else {
            self.ready.pop_front();
            return;
        };
        match self.sessions.list_tail().fetch(list.key, list.position) {
            Changes::New { changes, position } => {
                list.position = Some(position);
                let frames = self.told_of(&changes);
                self.turn_page(frames, None, None);
            }
            Changes::ReadAnew(position) => {
                match self.sessions.list(SessionQuery::newest_for(&self.person.user)).await {
                    Ok(summaries) => {
                        list.position = Some(position);
                        let mut frames = list.anew(summaries);
                        frames.push(Framed::hint(frame_json(&Frame::ListComplete {})));
                        self.turn_page(frames, None, None);
                    }
                    Err(refusal) => self.end_all(&refusal.message),
                }
            }
            Changes::Bye(reason) => self.end_all(&reason),
        }
        if self.list.as_ref().is_some_and(|list| list.shown.len() > LIST_SHOWN_MAX) {
            self.end_all("This stream has shown more sessions than it can remember. Connect again.");
        }
        self.next_turn(More::AfterTheBell);
    }
}

impl ListReading {
    /// The frames that show this list to somebody who may have been shown another.
    fn anew(&mut self, summaries: Vec<SessionSummary>) -> Vec<Framed> {
        let now: HashSet<SessionId> = summaries.iter().map(|summary| summary.id.clone()).collect();
        let gone = self.shown.difference(&now).map(|id| frame_json(&Frame::SessionUnlisted { id: id.clone() }));
        let mut frames: Vec<Framed> = gone.map(Framed::hint).collect();
        frames.extend(summaries.into_iter().rev().map(|one| Framed::hint(changed_frame(one))));
        self.shown = now;
        frames
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

/// What a follower is told whose log cannot be read.
fn goodbye(error: &LogError) -> String {
    if error.is_damage() {
        return format!("The session's log is damaged here: {error}. `hangar check` says how far it can be read.");
    }
    format!("The session's log cannot be read: {error}.")
}
