//! Keeps one session's entry in the list up to date beside its task.

use std::sync::{Arc, Mutex, PoisonError};

use hangar_protocol::{Event, Seq, api::SessionSummary};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{From, Index, Step, Stepped, catch_up};
use crate::log::LogReader;

/// How far the time of the last event may lag behind in the list.
const LIST_EVERY_MS: u64 = 5_000;
/// Events after which the list is written whatever they are.
const EVENTS_SOON: usize = 64;
/// Events that may wait while the list is being written. When there are more, all are forgotten, and read from the log instead.
const EVENTS_MAX: usize = 512;

/// The session's task shows it what it wrote and never waits for it. What comes while the list is being written is written together
/// after that.
#[derive(Debug)]
pub(crate) struct Lister {
    waiting: Arc<Waiting>,
    writing: JoinHandle<Listed>,
}

/// Whether the list has all that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It has.
    All,
    /// It is behind, and will be put right from the log.
    Behind,
}

/// Whether a session is in the same lists as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    /// It is.
    Same,
    /// It was put away, deleted or taken back, or other people see it.
    Others,
}

#[derive(Debug)]
struct Waiting {
    news: Mutex<News>,
    soon: Notify,
    /// How many times something was shown before what the list says now.
    written: watch::Sender<u64>,
}

#[derive(Debug)]
struct News {
    /// What was shown last.
    summary: SessionSummary,
    /// What the list says once what was taken is written.
    listed: SessionSummary,
    events: Vec<Event>,
    /// How many times something was shown.
    shown: u64,
    /// More came than may wait.
    forgotten: bool,
    over: bool,
}

impl Lister {
    /// Begins for a session that is in the list, or is behind in it.
    pub(crate) fn start(index: Index, log: LogReader, listed: SessionSummary) -> Self {
        let news =
            News { summary: listed.clone(), listed, events: Vec::new(), shown: 0, forgotten: false, over: false };
        let waiting = Waiting { news: Mutex::new(news), soon: Notify::new(), written: watch::Sender::new(0) };
        let waiting = Arc::new(waiting);
        let writing = tokio::spawn(write(Arc::clone(&waiting), index, log));
        Self { waiting, writing }
    }

    /// Takes in what was appended to the log. It is listed soon if the session differs in more than its time from what is listed, if that
    /// time is old, or if much has come together.
    pub(crate) fn show(&self, events: impl IntoIterator<Item = Event>, summary: SessionSummary) -> Lists {
        let mut news = self.waiting.lock();
        news.shown += 1;
        let lists = lists(&news.summary, &summary);
        news.events.extend(events);
        if news.events.len() > EVENTS_MAX {
            news.events.clear();
            news.forgotten = true;
        }
        let same = SessionSummary { updated_ms: news.listed.updated_ms, ..summary.clone() } == news.listed;
        let fresh = summary.updated_ms < news.listed.updated_ms + LIST_EVERY_MS;
        let few = news.events.len() < EVENTS_SOON && !news.forgotten;
        news.summary = summary;
        drop(news);
        if !(same && fresh && few) {
            self.waiting.soon.notify_one();
        }
        lists
    }

    /// Waits until everything that was shown is listed, or could not be.
    pub(crate) async fn caught_up(&self) {
        let shown = self.waiting.lock().shown;
        self.waiting.soon.notify_one();
        // An error: the list is not written any more, and is put right from the log.
        drop(self.waiting.written.subscribe().wait_for(|written| *written >= shown).await);
    }

    /// Waits until everything that was shown is listed, or cannot be.
    pub(crate) async fn end(self) -> Listed {
        self.waiting.lock().over = true;
        self.waiting.soon.notify_one();
        self.writing.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the list of sessions was not kept");
            Listed::Behind
        })
    }
}

fn lists(before: &SessionSummary, now: &SessionSummary) -> Lists {
    let sorted = |summary: &SessionSummary| {
        let purge_ms = summary.deleted.as_ref().map(|deletion| deletion.purge_ms);
        (summary.visibility, summary.archived_ms.is_some(), purge_ms)
    };
    if sorted(before) == sorted(now) && before.members == now.members { Lists::Same } else { Lists::Others }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, News> {
        // Every change is whole whenever the lock is free.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> (Vec<Event>, bool, SessionSummary, bool, u64) {
        let mut news = self.lock();
        news.listed = news.summary.clone();
        let forgotten = std::mem::take(&mut news.forgotten);
        (std::mem::take(&mut news.events), forgotten, news.summary.clone(), news.over, news.shown)
    }
}

async fn write(waiting: Arc<Waiting>, index: Index, log: LogReader) -> Listed {
    let mut listed = Listed::All;
    loop {
        waiting.soon.notified().await;
        let (events, forgotten, summary, over, shown) = waiting.take();
        let id = summary.id.clone();
        let done = if forgotten || listed == Listed::Behind {
            catch_up(&index, &log, &id).await.map(drop)
        } else {
            take_in(&index, &log, events, summary).await
        };
        listed = match done {
            Ok(()) => Listed::All,
            Err(error) => {
                tracing::warn!(%error, session = %id, "the list of sessions is behind");
                Listed::Behind
            }
        };
        waiting.written.send_replace(shown);
        if over {
            return listed;
        }
    }
}

async fn take_in(
    index: &Index,
    log: &LogReader,
    events: Vec<Event>,
    summary: SessionSummary,
) -> Result<(), super::CatchUpError> {
    let Some(first) = events.first() else { return Ok(()) };
    let id = summary.id.clone();
    let from = From::After(Seq(first.seq.0.saturating_sub(1)));
    match index.step(Step { from, events, summary }).await? {
        Stepped::Taken => Ok(()),
        // Somebody else was here: `hangar rebuild`, or nobody where this should have been.
        Stepped::Elsewhere(_) => catch_up(index, log, &id).await.map(drop),
    }
}
