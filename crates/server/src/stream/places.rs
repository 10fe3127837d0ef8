//! How many streams one person holds open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hangar_protocol::{Refusal, RefusalCode, UserId};
use tokio::time::timeout;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// How long streams may take to say goodbye when the server stops.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Counts open streams. An entry is there as long as a stream of that person is.
#[derive(Clone, Debug)]
pub(crate) struct StreamPlaces {
    per_person_max: u32,
    // Held for a lookup, never across an await.
    taken: Arc<Mutex<HashMap<UserId, u32>>>,
    open: TaskTracker,
}

/// One open stream; dropping it frees its place.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    places: StreamPlaces,
    user: UserId,
    _open: TaskTrackerToken,
}

impl StreamPlaces {
    /// Allows so many to each person.
    pub(crate) fn new(per_person_max: u32) -> Self {
        Self { per_person_max, taken: Arc::default(), open: TaskTracker::new() }
    }

    /// Takes a place, or refuses.
    pub(crate) fn take(&self, user: &UserId) -> Result<StreamPlace, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user.clone()).or_insert(0);
        if *count >= self.per_person_max {
            return Err(Refusal::new(
                RefusalCode::TooMany,
                format!("You hold {} streams open already.", self.per_person_max),
                "Close some; http.streams_per_person_max in hangar.toml is the limit.",
            ));
        }
        *count += 1;
        Ok(StreamPlace { places: self.clone(), user: user.clone(), _open: self.open.token() })
    }

    /// Waits until every stream has ended, but not for ever.
    pub(crate) async fn empty(&self) {
        self.open.close();
        // Who does not take the goodbye is cut off when the program ends.
        let _ = timeout(FAREWELL_MAX, self.open.wait()).await;
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_stream_ends() {
        let places = StreamPlaces::new(1);
        let user: UserId = "jane".parse().unwrap();
        let first = places.take(&user).unwrap();
        assert_eq!(places.take(&user).unwrap_err().code, RefusalCode::TooMany);
        drop(first);
        assert!(places.take(&user).is_ok());
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
