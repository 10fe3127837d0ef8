//! The machine's clock jumps ahead and is put right: what a session's turns used up is counted on as if it had not.

use hangar_protocol::{Event, SessionState, limits::TURN_QUIET_MS_MAX};
use proptest::{prelude::*, sample::Index};

use crate::fixtures;

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

/// The time that each event added, in milliseconds.
fn added(log: &[Event]) -> Vec<u64> {
    let mut state = SessionState::begin(&log[0]).expect("a log begins");
    let mut before = state.spent.time_ms;
    let mut times = vec![before];
    for event in &log[1..] {
        state.apply(event);
        times.push(state.spent.time_ms - before);
        before = state.spent.time_ms;
    }
    times
}

proptest! {
    #[test]
    fn a_jump_of_the_clock_costs_one_step_at_most(which in any::<Index>(), ahead in any::<Index>(), back in any::<Index>()) {
        let fixtures = fixtures::all();
        let (path, fixture) = which.get(&fixtures);
        let log = &fixture.events;
        let ahead = 1 + ahead.index(log.len());
        let back = ahead + back.index(log.len() - ahead + 1);
        let mut jumped = log.clone();
        for event in &mut jumped[ahead..back] {
            event.time_ms += YEAR_MS;
        }
        let (right, wrong) = (added(log), added(&jumped));
        for (place, (right, wrong)) in right.into_iter().zip(wrong).enumerate() {
            if ahead < back && place == ahead {
                prop_assert!(wrong <= TURN_QUIET_MS_MAX, "{path} {place}: {wrong}");
            } else if ahead < back && place == back {
                prop_assert_eq!(wrong, 0, "{} {}", path, place);
            } else {
                prop_assert_eq!(wrong, right, "{} {} of {}..{}", path, place, ahead, back);
            }
        }
    }
}
