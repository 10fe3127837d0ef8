//! A reader may get pages of any size and events it has already seen: the fold must not notice.

use hangar_protocol::{Event, Seq, SessionState, state::LogFault};
use proptest::{prelude::*, sample::Index};

use crate::fixtures;

/// What a careless but honest stream delivers: pages that overlap what was delivered before, never leaving a gap.
fn deliver(log: &[Event], pages: &[(Index, Index)]) -> SessionState {
    let mut state = SessionState::begin(&log[0]).expect("a log begins");
    for (back, forth) in pages {
        let known = usize::try_from(state.seq.0).expect("it is small");
        let from = back.index(known);
        let to = known + forth.index(log.len() - known + 1);
        for event in &log[from..to] {
            state.apply(event);
        }
    }
    let known = usize::try_from(state.seq.0).expect("it is small");
    for event in &log[known..] {
        state.apply(event);
    }
    state
}

proptest! {
    #[test]
    fn overlapping_pages_fold_to_the_same_state(
        which in any::<Index>(),
        pages in prop::collection::vec((any::<Index>(), any::<Index>()), 0..12),
    ) {
        let fixtures = fixtures::all();
        let (path, fixture) = which.get(&fixtures);
        let once = SessionState::fold(&fixture.events).expect("a fixture is a log");
        prop_assert_eq!(deliver(&fixture.events, &pages), once, "{}", path);
    }

    #[test]
    fn a_state_that_was_saved_goes_on_like_one_that_was_not(which in any::<Index>(), cut in any::<Index>()) {
        let fixtures = fixtures::all();
        let (path, fixture) = which.get(&fixtures);
        let cut = 1 + cut.index(fixture.events.len());
        let before = SessionState::fold(&fixture.events[..cut]).expect("a log's beginning is a log");
        let text = serde_json::to_string(&before).expect("a state is JSON");
        let mut after: SessionState = serde_json::from_str(&text).expect("and can be read again");
        for event in &fixture.events[cut..] {
            after.apply(event);
        }
        prop_assert_eq!(after, SessionState::fold(&fixture.events).expect("a fixture is a log"), "{}", path);
    }
}

#[test]
fn a_log_with_a_gap_a_double_or_no_beginning_is_refused() {
    let (_, fixture) = fixtures::all().remove(0);
    let log = fixture.events;
    assert_eq!(SessionState::fold(&[]), Err(LogFault::NoBeginning));
    assert_eq!(SessionState::fold(&log[1..]), Err(LogFault::NoBeginning));
    let gap = [log[0].clone(), log[2].clone()];
    assert_eq!(SessionState::fold(&gap), Err(LogFault::Gap { after: Seq(1), found: Seq(3) }));
    let double = [log[0].clone(), log[1].clone(), log[1].clone()];
    assert_eq!(SessionState::fold(&double), Err(LogFault::Gap { after: Seq(2), found: Seq(2) }));
}
