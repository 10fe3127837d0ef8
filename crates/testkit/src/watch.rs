//! Waiting: always for something that happens, never for a time.

use std::{future::Future, time::Duration};

use hangar_client::{Client, Patience, Stream, Update};
use hangar_protocol::{Event, EventBody, Seq, SessionId, event::TurnOutcome};
use tokio::time::{Instant, timeout, timeout_at};

use crate::person::Person;

/// Longer than anything takes that is waited for, also on a busy machine. Only a broken test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at something that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The future's output.
///
/// # Panics
/// When it does not come within [`PATIENCE`], saying what did not.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}

/// Looks again and again until there is something.
///
/// # Panics
/// When there is nothing within [`PATIENCE`], saying what was looked for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Somebody who follows a session and remembers every event.
#[derive(Debug)]
pub struct Watch {
    stream: Stream,
    /// Where to connect again; the stream itself does so only once it was connected.
    place: (Client, SessionId),
    after: Seq,
    events: Vec<Event>,
}

const PATIENT: Patience =
    Patience { first_pause: Duration::from_millis(20), longest_pause: Duration::from_millis(200), away_max: PATIENCE };

impl Watch {
    /// Follows a session from its beginning, through restarts of the server.
    #[must_use]
    pub fn new(person: &Person, session: &SessionId) -> Self {
        Self::after(person, session, Seq::START)
    }

    /// Follows a session from the event after `after`.
    #[must_use]
    pub fn after(person: &Person, session: &SessionId, after: Seq) -> Self {
        let place = (person.client().clone(), session.clone());
        Self { stream: person.client().follow(session, after, PATIENT), place, after, events: Vec::new() }
    }

    /// Every event so far.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The next update. Cancel safe.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn update(&mut self) -> Update {
        let update = self.stream.next().await.expect("a stream ends with an error").expect("the stream goes on");
        if let Update::Event(event) = &update {
            self.events.push((**event).clone());
        }
        update
    }

    /// The next update, also where the very first connection is broken. Cancel safe.
    pub async fn stubborn_update(&mut self) -> Update {
        loop {
            match self.stream.next().await {
                Some(Ok(update)) => {
                    if let Update::Event(event) = &update {
                        self.events.push((**event).clone());
                    }
                    return update;
                }
                Some(Err(_)) | None => {
                    let (client, session) = &self.place;
                    let after = self.events.last().map_or(self.after, |event| event.seq);
                    tokio::time::sleep(LOOK_AGAIN).await;
                    self.stream = client.follow(session, after, PATIENT);
                }
            }
        }
    }

    /// The first event, among those seen and those to come, that `wanted` accepts.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`]; it then tells the whole log.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        if let Some(seen) = self.events.iter().find(|event| wanted(event)) {
            return seen.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(update) = timeout_at(deadline, self.update()).await else {
                panic!("{what} did not come within {PATIENCE:?} in:\n{}", crate::Story::of(&self.events));
            };
            if let Update::Event(event) = update
                && wanted(&event)
            {
                return *event;
            }
        }
    }

    /// How this turn ended, once it did.
    pub async fn turn_ended(&mut self, number: u32) -> TurnOutcome {
        let ended = |event: &Event| matches!(&event.body, EventBody::TurnEnded { turn, .. } if turn.0 == number);
        let event = self.until(&format!("the end of turn {number}"), ended).await;
        match event.body {
            EventBody::TurnEnded { outcome, .. } => outcome,
            other => panic!("{other:?} is no end of a turn"),
        }
    }

    /// The first start of a tool with this name.
    pub async fn tool_started(&mut self, tool: &str) -> Event {
        let wanted = |event: &Event| matches!(&event.body, EventBody::ToolStarted { name, .. } if name == tool);
        self.until(&format!("the start of {tool}"), wanted).await
    }
}
