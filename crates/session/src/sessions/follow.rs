//! Sessions as they are read: pages of history, and streams of what happens.

use std::sync::Arc;

use hangar_protocol::{
    Event, Kinds, Person, Refusal, RefusalCode, Seq, SessionId, api::EventPage, frame::FollowFrom,
    limits::EVENT_PAGE_MAX,
};

use super::Sessions;
use crate::{
    Subscription,
    driver::closing,
    home::log_refusal,
    list_tail::ListTail,
    log::{LogError, LogPage, LogReader, Side},
    tail::Tail,
};

/// Which part of a session's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The first events after this one.
    After(Seq),
    /// The last events before this one.
    Before(Seq),
}

impl Sessions {
    /// A page of history: at most `limit` events (no more than [`EVENT_PAGE_MAX`]), of these kinds or of all. Does not wake the
    /// session.
    ///
    /// # Errors
    /// When there is no such session, or its log cannot be read.
    pub async fn events(
        &self,
        id: &SessionId,
        page: Page,
        limit: u32,
        kinds: Option<Kinds>,
    ) -> Result<EventPage, Refusal> {
        let side = match page {
            Page::After(seq) => Side::After(seq),
            Page::Before(seq) => Side::Before(seq),
        };
        let reader = self.reader(id).await?;
        let page = reader.page(side, limit.min(EVENT_PAGE_MAX), kinds).await.map_err(|error| log_refusal(&error))?;
        let events = page.events.iter().map(|row| serde_json::from_str(&row.json)).collect::<Result<Vec<Event>, _>>();
        let events = events.map_err(|error| log_refusal(&error.into()))?;
        Ok(EventPage { events, head: page.head, looked_at: page.looked_at })
    }

    /// A stream of one session's frames for as long as the person may see it: first what the log holds after the cursor, then what
    /// happens. Does not wake it.
    ///
    /// # Errors
    /// When there is no such session, the person may not see it, or the cursor lies beyond its end.
    pub async fn follow(
        &self,
        from: &FollowFrom,
        person: Person,
        kinds: Option<Kinds>,
    ) -> Result<Subscription, Refusal> {
        let mut subscription = Subscription::of_one(self.clone(), person, kinds);
        subscription.follow(from).await?;
        Ok(subscription)
    }

    /// A stream of the frames of whatever sessions it is told to follow; at first none.
    #[must_use]
    pub fn follow_many(&self, person: Person, kinds: Option<Kinds>) -> Subscription {
        Subscription::of_many(self.clone(), person, kinds)
    }

    /// Tells those who have the session open that somebody is typing. Does not wake it.
    ///
    /// # Errors
    /// When there is no such session, or the person may not see it.
    pub async fn typing(&self, id: &SessionId, person: &Person) -> Result<(), Refusal> {
        self.role(id, &person.user).await?;
        if let Some(tail) = self.inner.registry.followed(id) {
            tail.typing(person);
        }
        Ok(())
    }

    /// A page for somebody who catches up.
    pub(crate) async fn page_for(
        &self,
        id: &SessionId,
        after: Seq,
        limit: u32,
        kinds: Option<Kinds>,
    ) -> Result<LogPage, LogError> {
        LogReader::new(&self.folder(id)).page(Side::After(after), limit, kinds).await
    }

    /// The tail of a session, for somebody who has seen it up to `after`.
    pub(crate) async fn tail_at(&self, id: &SessionId, after: Seq) -> Result<Arc<Tail>, Refusal> {
        if self.inner.closing.is_cancelled() {
            return Err(closing());
        }
        let reader = self.reader(id).await?;
        let (tail, _waking) = self.inner.registry.enter(id);
        let head = reader.page(Side::After(after), 0, None).await.map_err(|error| log_refusal(&error))?.head;
        if after > head {
            return Err(Refusal::new(
                RefusalCode::BadRequest,
                format!("The session's last event is {head}; there is nothing after {after} yet."),
                "Follow it from the last event that you have seen.",
            ));
        }
        tail.raise_head(head);
        Ok(tail)
    }

    pub(crate) fn list_tail(&self) -> &ListTail {
        self.inner.index.tail()
    }
}
