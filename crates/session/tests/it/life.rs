//! Archive, delete, and back: a story each.

use hangar_protocol::{
    Command, Exhausted, RefusalCode, TurnId,
    budget::{BudgetScope, Measure},
    event::TurnOutcome,
};
use hangar_session::decide::{Effect, Report};

use crate::decide::Story;

#[test]
fn a_prompt_takes_a_session_out_of_the_archive() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    assert_eq!(story.command("ann", Command::Archive), Err(RefusalCode::Conflict), "it is at work");
    story.end(1, TurnOutcome::Done);
    story.written.clear();
    story.command("ann", Command::Archive).unwrap();
    story.command("ann", Command::Archive).unwrap();
    assert_eq!(story.state.archived_ms, Some(0));
    story.prompt("bob", "r2", "more").unwrap();
    story.check(&["session_archived", "session_unarchived", "participant_joined", "prompt_added", "turn_started"]);
    assert_eq!(story.state.archived_ms, None);
}

#[test]
fn deleting_stops_what_runs_and_keeps_what_waits() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("ann", "r2", "then this").unwrap();
    story.written.clear();
    let deleted = story.command("ann", Command::Delete { purge_ms: 9 }).unwrap();
    assert_eq!(deleted.effects, [Effect::StopTurn(TurnId(1))]);
    assert_eq!(story.prompt("ann", "r3", "more"), Err(RefusalCode::Conflict));
    assert_eq!(story.command("ann", Command::Delete { purge_ms: 99 }), Err(RefusalCode::Conflict));
    let ended = story.end(1, TurnOutcome::Stopped { by: "ann".parse().unwrap() });
    assert_eq!(ended.effects, [Effect::Snapshot(TurnId(1))], "the next one does not begin");
    let restored = story.command("ann", Command::Restore).unwrap();
    assert_eq!(restored.effects, [Effect::RunTurn(TurnId(2))]);
    story.check(&["stop_requested", "session_deleted", "turn_ended", "session_restored", "turn_started"]);
    assert_eq!(story.command("ann", Command::Restore), Err(RefusalCode::Conflict));
}

#[test]
fn deleting_ends_a_turn_that_waits_for_its_budget() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("ann", "r2", "then this").unwrap();
    let reason = "used up".to_owned();
    let exhausted = Exhausted { scope: BudgetScope::Session, measure: Measure::ToolCalls, spent: 1, limit: 1, reason };
    story.report(Report::TurnPaused { turn: TurnId(1), exhausted });
    story.written.clear();
    let deleted = story.command("ann", Command::Delete { purge_ms: 9 }).unwrap();
    assert_eq!(deleted.effects, [Effect::Snapshot(TurnId(1))], "the next one does not begin");
    story.check(&["stop_requested", "session_deleted", "turn_ended"]);
}

#[test]
fn a_session_that_was_taken_back_before_its_turn_had_ended_goes_on_when_it_has() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("ann", "r2", "then this").unwrap();
    story.command("ann", Command::Delete { purge_ms: 9 }).unwrap();
    assert_eq!(story.command("ann", Command::Restore).unwrap().effects, []);
    let ended = story.end(1, TurnOutcome::Stopped { by: "ann".parse().unwrap() });
    assert_eq!(ended.effects, [Effect::Snapshot(TurnId(1)), Effect::RunTurn(TurnId(2))]);
}

#[test]
fn a_deleted_session_that_was_cut_off_stays_stopped() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("ann", "r2", "then this").unwrap();
    story.command("ann", Command::Delete { purge_ms: 9 }).unwrap();
    let woken = story.report(Report::Woken { reason: "hangar was restarted".to_owned() });
    assert_eq!(woken.effects, [Effect::Snapshot(TurnId(1))]);
    assert!(story.state.open_turn().is_none());
}
