//! When programs in a sandbox may ask models, and what is counted of it.

use hangar_protocol::{
    Command, EventBody, GatewayOutcome, ModelUsage, TurnId,
    command::{AfterStop, Reach},
    event::TurnOutcome,
};
use hangar_session::decide::{Report, TURN_REQUESTS_MAX};

use crate::decide::Story;

fn asks(turn: u32) -> Report {
    Report::GatewayAsks { turn: TurnId(turn), model: "scripted/demo".to_owned() }
}

fn replied(turn: u32, request: u32) -> Report {
    let usage = ModelUsage { input_tokens: 10, output_tokens: 5, ..ModelUsage::default() };
    Report::GatewayReplied {
        turn: TurnId(turn),
        request,
        outcome: GatewayOutcome::Answered,
        usage,
        cost_micro_usd: Some(7),
        first_byte_ms: 1,
        duration_ms: 2,
    }
}

#[test]
fn requests_are_numbered_in_a_turn_that_runs() {
    let mut story = Story::new();
    story.report(asks(1));
    story.check(&[]);
    story.prompt("ann", "r1", "blue").unwrap();
    story.report(asks(1));
    story.report(asks(1));
    story.report(asks(2));
    story.check(&["prompt_added", "turn_started", "gateway_requested", "gateway_requested"]);
    let numbers: Vec<u32> = story
        .bodies
        .iter()
        .filter_map(|body| if let EventBody::GatewayRequested { request, .. } = body { Some(*request) } else { None })
        .collect();
    assert_eq!(numbers, [1, 2]);
    story.command("ann", Command::Stop { turn: None, then: AfterStop::Drain, reach: Reach::WithChildren }).unwrap();
    story.report(asks(1));
    story.check(&["stop_requested"]);
}

#[test]
fn what_was_used_up_counts_for_its_own_turn_also_after_its_end() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "blue").unwrap();
    story.prompt("bob", "r2", "red").unwrap();
    story.report(asks(1));
    story.report(asks(1));
    story.report(replied(1, 1));
    story.end(1, TurnOutcome::Done);
    assert_eq!(story.state.running_turn().map(|turn| turn.id), Some(TurnId(2)));
    story.written.clear();
    story.report(replied(1, 2));
    story.check(&["gateway_replied"]);
    let spent = |user: &str| story.state.day_spent.by.get(&user.parse().unwrap()).map_or(0, |spent| spent.tokens);
    assert_eq!((spent("ann"), spent("bob")), (30, 0));
    assert_eq!((story.state.spent.tokens, story.state.usage.total(), story.state.cost_micro_usd), (30, 30, 14));
    // What nobody asked is no news.
    story.report(replied(1, 3));
    story.report(replied(1, 0));
    story.report(replied(9, 1));
    story.check(&[]);
}

#[test]
fn a_turn_asks_so_often_and_no_more() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "blue").unwrap();
    let first = EventBody::GatewayRequested {
        turn: TurnId(1),
        request: TURN_REQUESTS_MAX - 1,
        model: "scripted/demo".to_owned(),
    };
    story.write(hangar_protocol::Cause::Turn { turn: TurnId(1) }, first);
    story.written.clear();
    story.report(asks(1));
    story.report(asks(1));
    story.check(&["gateway_requested"]);
}
