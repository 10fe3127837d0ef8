//! Brings one session's entry in the list to the end of its log.

use hangar_protocol::{Event, Seq, SessionId, SessionState, api::SessionSummary, state::LogFault};
use hangar_store::StoreError;

use super::{From, Index, STEP_EVENTS_MAX, Step, Stepped};
use crate::log::{LogError, LogReader, fold_in};

/// How often it begins anew because somebody else wrote the entry meanwhile.
const TRIES_MAX: u32 = 8;

/// Why a session could not be brought up to date in the list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatchUpError {
    /// Its log.
    #[error("its log: {0}")]
    Log(#[from] LogError),
    /// The list.
    #[error("the list: {0}")]
    List(#[from] StoreError),
    /// Others write the same entry without end.
    #[error("others are writing its entry")]
    Busy,
}

/// Takes in what the log has beyond what the list has: that, and nothing twice. An entry that is further than its log (a log that was
/// restored) is made anew. Gives the session's state at the end of the log.
pub(crate) async fn catch_up(index: &Index, log: &LogReader, id: &SessionId) -> Result<SessionState, CatchUpError> {
    for _ in 0..TRIES_MAX {
        let at = index.position(id).await?;
        if let Some(state) = walk(index, log, From::After(at)).await? {
            return Ok(state);
        }
    }
    Err(CatchUpError::Busy)
}

/// Makes the entry anew from the beginning of the log.
pub(super) async fn anew(index: &Index, log: &LogReader) -> Result<(), CatchUpError> {
    for _ in 0..TRIES_MAX {
        if let Some(_state) = walk(index, log, From::Scratch).await? {
            return Ok(());
        }
    }
    Err(CatchUpError::Busy)
}

/// Folds the log from its beginning (a summary needs all of it) and writes the steps that are missing. `None`: somebody else wrote in between.
async fn walk(index: &Index, log: &LogReader, from: From) -> Result<Option<SessionState>, CatchUpError> {
    let mut from = from;
    let mut state: Option<SessionState> = None;
    let mut cursor = Seq::START;
    loop {
        let (events, head) = log.parsed_page(cursor, STEP_EVENTS_MAX).await?;
        if let From::After(at) = from
            && at > head
        {
            from = From::Scratch;
        }
        let Some(last) = events.last().map(|event| event.seq) else {
            return state.map(Some).ok_or(CatchUpError::Log(LogFault::NoBeginning.into()));
        };
        for event in &events {
            fold_in(&mut state, event)?;
        }
        cursor = last;
        let Some(state) = &state else { continue };
        let behind = match from {
            From::Scratch => Seq::START,
            From::After(at) => at,
        };
        let missing: Vec<Event> = events.into_iter().filter(|event| event.seq > behind).collect();
        if missing.is_empty() {
            continue;
        }
        match index.step(Step { from, events: missing, summary: SessionSummary::of(state) }).await? {
            Stepped::Taken => from = From::After(last),
            Stepped::Elsewhere(_) => return Ok(None),
        }
    }
}
