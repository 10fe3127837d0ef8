//! Following a session: every event exactly once, in order, however often the connection is cut.
//!
//! ```text
//!            ┌────────────── frame ──────────────┐
//!            ▼                                   │
//!  connect ─ok─▶ read ──cut, bye, gap──▶ wait ───┘ connect again with the cursor
//!     │            │                      │
//!     └─refused────┴─not understood───────┴─too long away──▶ end with an error
//! ```
//!
//! The cursor is the sequence number of the last event handed on. An event at or below it is a repetition and is dropped;
//! one that leaves a gap is not handed on: the connection is made anew instead. One task owns the connection, so that
//! [`Stream::next`] may be dropped at any await point without losing anything.

use std::time::Duration;

use hangar_protocol::{
    CallId, Event, Frame, RefusalCode, Seq, SessionId, TurnId, UserId,
    frame::{PresenceScope, Present, TextChannel},
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use crate::{
    client::Client,
    error::Error,
    hints::Hints,
    wire::{Cut, Wire},
};

/// Updates that wait for a consumer. When it is full the task stops reading; the server then keeps a cursor for us and
/// nothing is lost.
const WAITING_UPDATES_MAX: usize = 256;

/// What a follower is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The next event. In order, without gaps and without doubles.
    Event(Box<Event>),
    /// Everything that was in the log when the stream began has been handed on; what follows is live. Told once.
    CaughtUp {
        /// The last event handed on.
        seq: Seq,
    },
    /// More text of a reply that is being written: always the very next bytes of its block, never a repetition.
    Text {
        /// In which turn.
        turn: TurnId,
        /// In which reply.
        step: u32,
        /// In which of its blocks.
        block: u32,
        /// Thoughts or words.
        channel: TextChannel,
        /// Where the text begins in its block, in bytes.
        offset: u32,
        /// The new text.
        text: String,
    },
    /// What was shown of this reply is void; it will be told anew from its beginning. Told before the event that says why,
    /// also to a reader who was away when it happened, and only if something had been shown.
    TextReset {
        /// In which turn.
        turn: TurnId,
        /// Which reply.
        step: u32,
    },
    /// More output of a running tool: always its very next bytes.
    ToolOutput {
        /// Of which call.
        call: CallId,
        /// Where the text begins in the output, in bytes.
        offset: u32,
        /// The new output.
        text: String,
    },
    /// Who has the session open; only on a stream that is [joined](Client::attend).
    Presence {
        /// Whether `people` is everybody or those with whom something changed.
        scope: PresenceScope,
        /// Who, with how many connections; 0 for somebody who left.
        people: Vec<Present>,
        /// How many people have it open.
        total: u32,
    },
    /// Somebody else is typing, likewise.
    Typing {
        /// Who.
        user: UserId,
        /// Their name.
        name: String,
        /// For how long this holds.
        lasts: Duration,
    },
    /// The connection is gone; the stream mends itself.
    Interrupted {
        /// Why, in words.
        cause: String,
        /// When the next try is.
        retry_in: Duration,
    },
    /// The connection is there again.
    Resumed,
}

/// How a stream behaves when its connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The pause before the first try.
    pub first_pause: Duration,
    /// Pauses double up to this one.
    pub longest_pause: Duration,
    /// How long a server may be away before the stream ends with [`Error::Unreachable`].
    pub away_max: Duration,
}

impl Default for Patience {
    /// From 100 ms to 5 s, for 10 minutes: a server that is restarted or updated is back by then.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            away_max: Duration::from_secs(600),
        }
    }
}

/// A session being followed. Dropping it ends the connection.
#[derive(Debug)]
pub struct Stream {
    updates: mpsc::Receiver<Result<Update, Error>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Follows a session from the event after `after` ([`Seq::START`]: from its beginning). Must be called inside a tokio runtime.
    #[must_use]
    pub fn follow(&self, session: &SessionId, after: Seq, patience: Patience) -> Stream {
        self.stream(session, after, Watching::Unseen, patience)
    }

    /// Follows a session as [`Client::follow`] does, shown to others as having it open, and told who has and who is typing.
    #[must_use]
    pub fn attend(&self, session: &SessionId, after: Seq, patience: Patience) -> Stream {
        self.stream(session, after, Watching::Shown, patience)
    }

    fn stream(&self, session: &SessionId, after: Seq, watching: Watching, patience: Patience) -> Stream {
        let (sender, updates) = mpsc::channel(WAITING_UPDATES_MAX);
        let follower = Follower {
            client: self.clone(),
            session: session.clone(),
            watching,
            cursor: after,
            caught_up: false,
            hints: Hints::default(),
            updates: sender,
        };
        Stream { updates, task: tokio::spawn(follower.run(patience)) }
    }
}

impl Stream {
    /// The next update; `None` after an error. An error is the last thing a stream tells. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Update, Error>> {
        self.updates.recv().await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watching {
    Unseen,
    Shown,
}

struct Follower {
    client: Client,
    session: SessionId,
    watching: Watching,
    /// The last event handed on.
    cursor: Seq,
    caught_up: bool,
    hints: Hints,
    updates: mpsc::Sender<Result<Update, Error>>,
}

/// Nobody listens any more.
struct Gone;

impl Follower {
    async fn run(mut self, patience: Patience) {
        // The result only says that the consumer has gone, and then there is nobody to tell.
        let _ = self.follow(patience).await;
    }

    async fn follow(&mut self, patience: Patience) -> Result<(), Gone> {
        let mut connected_once = false;
        let mut away_since: Option<Instant> = None;
        let mut pause = patience.first_pause;
        loop {
            let error = match Wire::open(&self.client, &self.path()).await {
                Ok(wire) => {
                    if away_since.take().is_some() {
                        self.tell(Update::Resumed).await?;
                    }
                    connected_once = true;
                    let before = self.cursor;
                    let cut = self.read(wire).await?;
                    if self.cursor > before {
                        pause = patience.first_pause;
                    }
                    match cut {
                        Cut::Broken(cause) => Error::Unreachable { url: self.client.url().to_owned(), cause },
                        Cut::Strange(cause) => return self.end(self.client.strange(cause)).await,
                    }
                }
                Err(error) => error,
            };
            let since = *away_since.get_or_insert_with(Instant::now);
            if !connected_once || !may_pass(&error) || since.elapsed() >= patience.away_max {
                return self.end(error).await;
            }
            let retry_in = pause.mul_f64(rand::random_range(0.5..1.0));
            self.tell(Update::Interrupted { cause: cause_of(&error), retry_in }).await?;
            tokio::time::sleep(retry_in).await;
            pause = (pause * 2).min(patience.longest_pause);
        }
    }

    fn path(&self) -> String {
        let presence = match self.watching {
            Watching::Unseen => "",
            Watching::Shown => "&presence=true",
        };
        format!("/api/v1/sessions/{}/stream?after={}{presence}", self.session, self.cursor)
    }

    /// Hands on what a connection brings until it ends.
    async fn read(&mut self, mut wire: Wire) -> Result<Cut, Gone> {
        loop {
            let frame = match wire.next().await {
                Ok(frame) => frame,
                Err(cut) => return Ok(cut),
            };
            let Some(frame) = self.hints.fresh(frame) else { continue };
            let update = match frame {
                Frame::Event { event } if event.seq <= self.cursor => continue,
                Frame::Event { event } if event.seq > self.cursor.next() => {
                    return Ok(Cut::Broken(format!("event {} came after event {}", event.seq, self.cursor)));
                }
                Frame::Event { event } => {
                    self.cursor = event.seq;
                    for (turn, step) in self.hints.settle(&event) {
                        self.tell(Update::TextReset { turn, step }).await?;
                    }
                    Update::Event(event)
                }
                Frame::CaughtUp { .. } if self.caught_up => continue,
                Frame::CaughtUp { .. } => {
                    self.caught_up = true;
                    Update::CaughtUp { seq: self.cursor }
                }
                Frame::Text { turn, step, block, channel, offset, text } => {
                    Update::Text { turn, step, block, channel, offset, text }
                }
                Frame::TextReset { turn, step } => Update::TextReset { turn, step },
                Frame::ToolOutput { call, offset, text } => Update::ToolOutput { call, offset, text },
                Frame::Presence { scope, people, total } => Update::Presence { scope, people, total },
                Frame::Typing { user, name, for_ms } => {
                    Update::Typing { user, name, lasts: Duration::from_millis(u64::from(for_ms)) }
                }
                // Of streams that leave events out, or are about many sessions, or were asked something.
                Frame::Cursor { .. }
                | Frame::SessionChanged { .. }
                | Frame::SessionUnlisted { .. }
                | Frame::ListComplete {}
                | Frame::Refused { .. } => continue,
                Frame::Bye { reason, .. } => return Ok(Cut::Broken(reason)),
            };
            self.tell(update).await?;
        }
    }

    async fn tell(&self, update: Update) -> Result<(), Gone> {
        self.updates.send(Ok(update)).await.map_err(|_| Gone)
    }

    async fn end(&self, error: Error) -> Result<(), Gone> {
        self.updates.send(Err(error)).await.map_err(|_| Gone)
    }
}

/// Whether connecting again may help.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::NotHangar { .. } => false,
        Error::Refused(refusal) => match refusal.code {
            RefusalCode::TooMany | RefusalCode::Unavailable | RefusalCode::Internal => true,
            RefusalCode::BadRequest
            | RefusalCode::Unauthenticated
            | RefusalCode::Forbidden
            | RefusalCode::NotFound
            | RefusalCode::Conflict
            | RefusalCode::TooLarge => false,
        },
    }
}

fn cause_of(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.message.trim_end_matches('.').to_owned(),
        Error::Unreachable { cause, .. } | Error::NotHangar { cause, .. } => cause.clone(),
    }
}
