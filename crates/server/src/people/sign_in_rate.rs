//! How often one address may try to sign in. Codes cannot be guessed; this keeps the trying from costing anything.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hangar_protocol::{Refusal, RefusalCode};

/// Addresses remembered at the same time. When it is full, those that have not tried within the window are forgotten; if
/// none can be, a new address is refused.
const ADDRESSES_MAX: usize = 10_000;
/// The time over which attempts are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts attempts.
#[derive(Debug)]
pub(crate) struct SignInRate {
    attempts_max: u32,
    // Held for a lookup, never across an await.
    seen: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl SignInRate {
    /// Allows `attempts_max` per window and address.
    pub(crate) fn new(attempts_max: u32) -> Self {
        Self { attempts_max, seen: Mutex::default() }
    }

    /// Counts an attempt, or refuses it.
    pub(crate) fn attempt(&self, from: IpAddr, now: Instant) -> Result<(), Refusal> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= ADDRESSES_MAX {
            seen.retain(|_, (began, _)| now.duration_since(*began) < WINDOW);
        }
        let room = seen.len() < ADDRESSES_MAX;
        let (began, count) = match seen.get_mut(&from) {
            Some(entry) => entry,
            None if room => seen.entry(from).or_insert((now, 0)),
            None => return Err(too_often()),
        };
        if now.duration_since(*began) >= WINDOW {
            (*began, *count) = (now, 0);
        }
        if *count >= self.attempts_max {
            return Err(too_often());
        }
        *count += 1;
        Ok(())
    }
}

fn too_often() -> Refusal {
    Refusal::new(RefusalCode::TooMany, "Too many sign-in attempts from this address.", "Wait a minute and try again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_try_so_often_in_a_minute() {
        let rate = SignInRate::new(2);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        assert!(rate.attempt(one, start).is_ok());
        assert!(rate.attempt(one, start).is_ok());
        assert_eq!(rate.attempt(one, start).unwrap_err().code, RefusalCode::TooMany);
        assert!(rate.attempt(other, start).is_ok());
        assert!(rate.attempt(one, start + WINDOW).is_ok());
    }
}
