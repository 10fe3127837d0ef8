//! What was asked for of late.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::prepared::Hit;

/// How far back it counts.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// The window in which a burst is counted.
const BURST: Duration = Duration::from_secs(60);
/// Moments that are remembered; beyond that the oldest are forgotten, and the ceiling is reached long before.
const MOMENTS_MAX: usize = 4096;
/// Waits that the middle is taken of.
const WAITS_MAX: usize = 100;

/// The demand for one repository.
#[derive(Debug, Default)]
pub(super) struct Recent {
    moments: VecDeque<Instant>,
    hit_waits: Waits,
    miss_waits: Waits,
}

/// How long the last sessions waited.
#[derive(Debug, Default)]
pub(super) struct Waits(VecDeque<Duration>);

impl Recent {
    pub(super) fn asked(&mut self, now: Instant) {
        if self.moments.len() == MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.moments.push_back(now);
    }

    pub(super) fn waited(&mut self, wait: Duration, hit: Hit) {
        match hit {
            Hit::Warmed | Hit::Waiting => self.hit_waits.add(wait),
            Hit::Missed => self.miss_waits.add(wait),
        }
    }

    /// How many within the last hour, and the most within a minute of it.
    pub(super) fn counted(&mut self, now: Instant) -> (u32, u32) {
        while self.moments.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.moments.pop_front();
        }
        let (mut burst, mut first) = (0, 0);
        for (last, moment) in self.moments.iter().enumerate() {
            while moment.duration_since(self.moments[first]) > BURST {
                first += 1;
            }
            burst = burst.max(last + 1 - first);
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(self.moments.len()), number(burst))
    }

    /// How long a session waited in the middle: one that found a sandbox, and one that did not.
    pub(super) fn wait_p50(&self) -> (Duration, Duration) {
        (self.hit_waits.p50(), self.miss_waits.p50())
    }
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        if self.0.len() == WAITS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(wait);
    }

    fn p50(&self) -> Duration {
        let mut waits: Vec<Duration> = self.0.iter().copied().collect();
        waits.sort_unstable();
        waits.get(waits.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_and_hours_are_counted() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut recent = Recent::default();
        for seconds in [0, 100, 110, 120, 300] {
            recent.asked(at(seconds));
        }
        assert_eq!(recent.counted(at(300)), (5, 3));
        assert_eq!(recent.counted(at(3650)), (4, 3));
        assert_eq!(recent.counted(at(3790)), (1, 1));
        assert_eq!(recent.counted(at(9999)), (0, 0));
        assert_eq!(recent.wait_p50(), (Duration::ZERO, Duration::ZERO));
        for (millis, hit) in [(5, Hit::Warmed), (1, Hit::Waiting), (9, Hit::Waiting), (700, Hit::Missed)] {
            recent.waited(Duration::from_millis(millis), hit);
        }
        assert_eq!(recent.wait_p50(), (Duration::from_millis(5), Duration::from_millis(700)));
    }
}
