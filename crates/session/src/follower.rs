//! Somebody who follows a session: a cursor, nothing more.

use std::{collections::VecDeque, sync::Arc};

use hangar_protocol::{Frame, Seq, UserId};
use tokio::sync::watch;

use crate::{
    access::Access,
    log::{LogError, LogReader},
    tail::{Fetched, Tail, event_frame, frame_json},
};

/// Events a catching-up follower reads from the log at a time.
const PAGE_EVENTS: u32 = 256;

/// A stream of one session's frames: first what the log holds after the cursor, then what happens. Dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    tail: Arc<Tail>,
    moved: watch::Receiver<u64>,
    who: UserId,
    access: watch::Receiver<Option<Arc<Access>>>,
    log: LogReader,
    cursor: Seq,
    /// Where in the tail it reads; `None` while it catches up from the log.
    position: Option<u64>,
    /// Fetched and not yet handed out: at most one page.
    fetched: VecDeque<Arc<str>>,
    ended: bool,
}

impl Follower {
    pub(crate) fn new(tail: Arc<Tail>, log: LogReader, who: UserId, after: Seq) -> Self {
        let (moved, access) = (tail.watch(), tail.watch_access());
        Self { tail, moved, who, access, log, cursor: after, position: None, fetched: VecDeque::new(), ended: false }
    }

    /// The next frame, serialized once for all followers. Waits until there is one; `None` once the stream has ended
    /// (a `bye` frame came before). Cancel-safe: a frame is handed out or kept.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        loop {
            self.leave_if_shut_out();
            if let Some(frame) = self.fetched.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            self.moved.mark_unchanged();
            match self.fetch() {
                Fetched::Frames { frames, position, cursor } => {
                    self.position = Some(position);
                    self.cursor = cursor;
                    self.fetched.extend(frames);
                    if self.fetched.is_empty() && self.moved.changed().await.is_err() {
                        self.end("The session's stream was closed.");
                    }
                }
                Fetched::Behind => self.catch_up().await,
                Fetched::Bye(frame) => {
                    self.fetched.push_back(frame);
                    self.ended = true;
                }
            }
        }
    }

    fn fetch(&self) -> Fetched {
        match self.position {
            Some(position) => self.tail.fetch(position, self.cursor),
            None => self.tail.attach(self.cursor),
        }
    }

    /// Ends the stream of somebody whose right to see the session has ended, before they see what came after that.
    fn leave_if_shut_out(&mut self) {
        if self.ended || !self.access.has_changed().unwrap_or(false) {
            return;
        }
        let access = self.access.borrow_and_update().clone();
        if access.is_some_and(|access| access.role_of(&self.who).is_none()) {
            self.fetched.clear();
            self.end("You may not see this session any more: you were removed from it, or it is private now.");
        }
    }

    async fn catch_up(&mut self) {
        self.position = None;
        match self.log.page(self.cursor, PAGE_EVENTS).await {
            Ok((events, head)) => {
                if let Some(last) = events.last() {
                    self.cursor = last.seq;
                } else if head < self.cursor {
                    self.end("The cursor lies beyond the end of the log. Connect again from the beginning.");
                }
                self.fetched.extend(events.iter().map(event_frame));
            }
            Err(error) => {
                tracing::error!(%error, "a follower cannot read the log");
                self.end(&goodbye(&error));
            }
        }
    }

    fn end(&mut self, reason: &str) {
        self.fetched.push_back(frame_json(&Frame::Bye { reason: reason.to_owned() }));
        self.ended = true;
    }
}

/// What a follower is told whose log cannot be read.
fn goodbye(error: &LogError) -> String {
    if error.is_damage() {
        return format!("The session's log is damaged here: {error}. `hangar check` says how far it can be read.");
    }
    format!("The session's log cannot be read: {error}.")
}
