//! A row of a report.

use std::time::Duration;

use serde::Serialize;

/// One figure beside its floor.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) n: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// What the figure is held against.
    pub(super) floor: &'static str,
    pub(super) floor_p50: Option<f64>,
    /// `p50 / floor_p50`.
    pub(super) ratio: Option<f64>,
    pub(super) goal: &'static str,
    pub(super) ok: bool,
}

/// What a row is to be.
pub(super) struct Goal {
    pub(super) name: &'static str,
    pub(super) floor: &'static str,
    pub(super) goal: &'static str,
    /// The largest good ratio; a row without one is reported and cannot miss.
    pub(super) ratio_max: Option<f64>,
}

impl Row {
    /// A row in milliseconds; `floor` may be empty where a figure has none.
    pub(super) fn of_times(goal: Goal, times: &[Duration], floor: &[Duration]) -> Self {
        let p50 = quantile(times, 0.50);
        let floor_p50 = (!floor.is_empty()).then(|| quantile(floor, 0.50));
        let ratio = floor_p50.map(|floor| p50 / floor);
        Self {
            name: goal.name,
            unit: "ms",
            n: times.len(),
            p50,
            p99: quantile(times, 0.99),
            floor: goal.floor,
            floor_p50,
            ratio,
            goal: goal.goal,
            ok: goal.ratio_max.is_none_or(|max| ratio.is_some_and(|ratio| ratio <= max)),
        }
    }

    /// A row of times in milliseconds that were measured in microseconds.
    pub(super) fn of_latencies(name: &'static str, times_us: &[u64], floor_us: &[u64]) -> Self {
        let times = |us: &[u64]| us.iter().copied().map(Duration::from_micros).collect::<Vec<_>>();
        Self::of_times(Goal { name, floor: "", goal: "", ratio_max: None }, &times(times_us), &times(floor_us))
    }

    /// A row of one figure that is no time.
    pub(super) fn of_figure(
        name: &'static str,
        unit: &'static str,
        n: usize,
        value: f64,
        goal: &'static str,
        ok: bool,
    ) -> Self {
        let value = value.round();
        Self { name, unit, n, p50: value, p99: value, floor: "none", floor_p50: None, ratio: None, goal, ok }
    }
}

/// The value below which this share of the times lies, in milliseconds (nearest rank); 0 of none.
fn quantile(times: &[Duration], share: f64) -> f64 {
    let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
    sorted.sort_by(f64::total_cmp);
    let ranks = (1..=sorted.len()).map(|rank| rank as f64 / sorted.len() as f64);
    let rank = ranks.zip(&sorted).find(|(covered, _)| *covered >= share);
    let value = rank.map_or(0.0, |(_, value)| *value);
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!((quantile(&times, 0.5), quantile(&times, 0.99), quantile(&[], 0.5)), (50.0, 99.0, 0.0));
    }

    #[test]
    fn a_goal_is_missed_above_its_ratio_alone() {
        let row = |max| {
            let goal = Goal { name: "x", floor: "y", goal: "z", ratio_max: max };
            Row::of_times(goal, &[Duration::from_millis(3)], &[Duration::from_millis(1)])
        };
        assert_eq!([row(Some(2.9)).ok, row(Some(3.0)).ok, row(None).ok], [false, true, true]);
    }
}
