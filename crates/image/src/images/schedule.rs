//! When a target is built next. Pure.

use std::time::Duration;

use crate::{
    build::{BuildFailure, Passing},
    recipe::Schedule,
};

/// After a first failure, and at most, before it is tried again by itself.
pub const RETRY_AFTER_FIRST: Duration = Duration::from_secs(60);
/// See [`RETRY_AFTER_FIRST`].
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// A failure of the machine, not of the repository, is tried again after at most this.
pub const RETRY_PASSING_MAX: Duration = Duration::from_secs(5 * 60);

/// How long after the end of its last build a target is built again by itself. `None`: only when somebody asks.
#[must_use]
pub(crate) fn wait(
    schedule: Schedule,
    usual: Duration,
    failure: Option<&BuildFailure>,
    in_a_row: u32,
) -> Option<Duration> {
    let every = match schedule {
        Schedule::Usual => Some(usual),
        Schedule::EverySeconds(seconds) => Some(Duration::from_secs(u64::from(seconds))),
        Schedule::OnDemand => None,
    };
    let Some(failure) = failure else { return every };
    let doubled = RETRY_AFTER_FIRST.saturating_mul(1 << in_a_row.saturating_sub(1).min(16));
    match failure.passing {
        Passing::Passing => Some(doubled.min(RETRY_PASSING_MAX)),
        // A new commit may mend it, so not much later than usual; but a build that fails for hours is not repeated at every turn.
        Passing::Lasting => every.map(|every| doubled.max(every.min(RETRY_AFTER_FIRST)).min(RETRY_AFTER_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_and_longer() {
        let usual = Duration::from_secs(1800);
        let lasting = BuildFailure::lasting("step", "what");
        let passing = BuildFailure::passing("step", "what");
        let seconds = |schedule, failure, in_a_row| wait(schedule, usual, failure, in_a_row).map(|wait| wait.as_secs());
        assert_eq!(seconds(Schedule::Usual, None, 0), Some(1800));
        assert_eq!(seconds(Schedule::EverySeconds(90), None, 0), Some(90));
        assert_eq!(seconds(Schedule::OnDemand, None, 0), None);
        assert_eq!(seconds(Schedule::Usual, Some(&lasting), 1), Some(60));
        assert_eq!(seconds(Schedule::Usual, Some(&lasting), 3), Some(240));
        assert_eq!(seconds(Schedule::Usual, Some(&lasting), 100), Some(21_600));
        assert_eq!(seconds(Schedule::OnDemand, Some(&lasting), 1), None);
        assert_eq!(seconds(Schedule::Usual, Some(&passing), 100), Some(300));
    }
}
