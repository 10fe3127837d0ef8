//! Sessions that an agent begins: limits, shares, what is heard of them, and how far a stop goes.

use hangar_protocol::{
    Budget, CallId, Cause, ChildFiles, ChildPhase, ChildState, Command, EventBody, Exhausted, Parent, RefusalCode, Seq,
    SessionRole, SessionState, Spent, TurnId, Visibility,
    api::RepoTarget,
    budget::{BudgetScope, Measure},
    command::{AfterStop, Reach},
    event::TurnOutcome,
    limits::{CHILDREN_AT_ONCE_MAX, CHILDREN_DEPTH_MAX, DESCENDANTS_MAX},
};
use hangar_session::decide::{Birth, Decision, Effect, Report, begin_child, check_spawn, share_of};

use crate::decide::{Story, person, target};

fn call(number: usize) -> CallId {
    format!("call_{number}").parse().unwrap()
}

/// What is heard of the n-th child: in which phase it is after which of its events.
pub(crate) fn news(number: usize, phase: ChildPhase, as_of: u64) -> ChildState {
    ChildState {
        session: format!("child{number}").parse().unwrap(),
        turn: TurnId(1),
        call: call(number),
        repo: "acme/web".parse().unwrap(),
        title: "Part".to_owned(),
        share: Budget::default(),
        phase,
        words: if phase.is_over() { "It is blue.".to_owned() } else { String::new() },
        pull_request: None,
        spent: Spent { tool_calls: 2, ..Spent::default() },
        as_of: Seq(as_of),
        stop_requested_by: None,
    }
}

fn hear(story: &mut Story, number: usize, phase: ChildPhase, as_of: u64) -> Decision {
    story.report(Report::Child(Box::new(news(number, phase, as_of))))
}

/// Ann's turn runs and has begun so many.
fn parent_of(children: usize) -> Story {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    for number in 1..=children {
        hear(&mut story, number, ChildPhase::Working, 4);
    }
    story.written.clear();
    story
}

fn stop_child(number: usize, by: &str) -> Effect {
    Effect::StopChild { child: format!("child{number}").parse().unwrap(), by: by.parse().unwrap() }
}

fn stop(reach: Reach) -> Command {
    Command::Stop { turn: None, then: AfterStop::Drain, reach }
}

/// A session that another one's agent began.
fn child(visibility: Visibility) -> SessionState {
    let parent = Parent {
        session: "parent".parse().unwrap(),
        turn: TurnId(2),
        call: call(1),
        depth: 1,
        files: ChildFiles::Branch,
    };
    let members = [("ann", SessionRole::Owner), ("bob", SessionRole::Viewer)];
    let members = members.map(|(user, role)| (person(user), role)).to_vec();
    let share = Budget { tool_calls: Some(3), ..Budget::default() };
    let target = RepoTarget { visibility, ..target() };
    let events = begin_child(target, person("cat"), Birth { parent, members, share }).unwrap();
    let mut story = Story::new();
    // The first event is the story's own, of the same session.
    for (cause, body) in events.into_iter().skip(1) {
        story.write(cause, body);
    }
    story.state
}

#[test]
fn a_child_inherits_who_may_do_what_and_has_a_share() {
    let state = child(Visibility::Private);
    assert_eq!(state.visibility, Visibility::Private);
    let roles = ["ann", "bob", "dan"].map(|user| state.role_of(&user.parse().unwrap()));
    assert_eq!(roles, [Some(SessionRole::Owner), Some(SessionRole::Viewer), None]);
    assert_eq!((state.depth(), state.budget.and_then(|budget| budget.tool_calls)), (1, Some(3)));
    assert_eq!(child(Visibility::Team).role_of(&"dan".parse().unwrap()), Some(SessionRole::Prompter));
}

#[test]
fn each_limit_refuses_in_words() {
    let ann = "ann".parse().unwrap();
    let mut state = parent_of(CHILDREN_AT_ONCE_MAX - 1).state;
    check_spawn(&state, &ann).unwrap();
    state = parent_of(CHILDREN_AT_ONCE_MAX).state;
    let refused = check_spawn(&state, &ann).unwrap_err();
    assert_eq!(refused.code, RefusalCode::TooMany);
    assert!(refused.to_string().contains("8 sessions that this one began are at work. wait_sessions"), "{refused}");
    let mut deep = child(Visibility::Team);
    check_spawn(&deep, &ann).unwrap();
    deep.parent.as_mut().unwrap().depth = CHILDREN_DEPTH_MAX;
    let refused = check_spawn(&deep, &ann).unwrap_err();
    assert!(refused.to_string().contains("2 levels below one that a person began"), "{refused}");
    // Whoever lost their role begins nothing any more.
    let private = child(Visibility::Private);
    assert_eq!(check_spawn(&private, &"bob".parse().unwrap()).unwrap_err().code, RefusalCode::Forbidden);
    assert_eq!(check_spawn(&private, &"dan".parse().unwrap()).unwrap_err().code, RefusalCode::NotFound);
}

#[test]
fn a_share_is_a_part_of_what_is_left_in_each_measure() {
    let budget = Budget { tokens: Some(1_000), tool_calls: Some(10), ..Budget::default() };
    let spent = Spent { tokens: 600, tool_calls: 2, ..Spent::default() };
    let share = share_of(budget, spent, 25).unwrap();
    assert_eq!((share.tokens, share.tool_calls, share.cost_micro_usd, share.time_ms), (Some(100), Some(2), None, None));
    assert_eq!(share_of(Budget::default(), spent, 1).unwrap(), Budget::default());
    // Nothing that is limited becomes nothing, which would be no limit.
    let refused = share_of(budget, spent, 10).unwrap_err();
    assert!(refused.to_string().contains("2 tool calls of 10 tool calls are used up"), "{refused}");
    assert!(share_of(budget, Spent { tokens: 2_000, ..spent }, 100).is_err());
    let huge = Budget { tokens: Some(u64::MAX), ..Budget::default() };
    assert_eq!(share_of(huge, Spent::default(), 100).unwrap().tokens, Some(u64::MAX));
}

#[test]
fn what_is_heard_is_written_once_and_in_order() {
    let mut story = parent_of(0);
    hear(&mut story, 1, ChildPhase::Working, 4);
    story.check(&["child_spawned"]);
    hear(&mut story, 1, ChildPhase::Working, 6);
    story.check(&[]);
    hear(&mut story, 1, ChildPhase::Done, 9);
    story.check(&["child_reported"]);
    // What is older came late.
    hear(&mut story, 1, ChildPhase::Failed, 8);
    hear(&mut story, 1, ChildPhase::Done, 9);
    story.check(&[]);
    // One that ended before it was known to begin.
    hear(&mut story, 2, ChildPhase::Done, 9);
    story.check(&["child_spawned", "child_reported"]);
    assert_eq!(story.state.spent_with_children().tool_calls, 4);
    // Also after the turn that began it.
    story.end(1, TurnOutcome::Done);
    hear(&mut story, 1, ChildPhase::Working, 12);
    assert_eq!(story.state.children_at_work().count(), 1);
}

#[test]
fn more_than_there_may_be_are_not_remembered() {
    let mut story = parent_of(0);
    for number in 1..=DESCENDANTS_MAX + 1 {
        hear(&mut story, number, ChildPhase::Done, 4);
    }
    assert_eq!(story.state.children.len(), DESCENDANTS_MAX);
}

#[test]
fn a_stop_goes_down_unless_it_is_for_this_session_alone() {
    let mut story = parent_of(2);
    hear(&mut story, 1, ChildPhase::Done, 9);
    let stopped = story.command("bob", stop(Reach::WithChildren)).unwrap();
    // One that has ended may have begun others.
    assert_eq!(stopped.effects, [Effect::StopTurn(TurnId(1)), stop_child(1, "bob"), stop_child(2, "bob")]);
    let asked =
        |story: &Story| story.state.children.iter().map(|child| child.stop_requested_by.is_some()).collect::<Vec<_>>();
    assert_eq!(asked(&story), [false, true]);
    // Killed before the child heard of it, it is told again, until it is heard to have ended.
    story.end(1, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    let woken = || Report::Woken { reason: "killed".to_owned() };
    assert_eq!(story.report(woken()).effects, [stop_child(2, "bob")]);
    hear(&mut story, 2, ChildPhase::Stopped, 9);
    assert_eq!(story.report(woken()).effects, []);

    let mut story = parent_of(1);
    let stopped = story.command("ann", stop(Reach::Alone)).unwrap();
    assert_eq!((stopped.effects, asked(&story)), (vec![Effect::StopTurn(TurnId(1))], vec![false]));
}

#[test]
fn what_is_below_is_stopped_also_when_nothing_else_runs() {
    let mut story = parent_of(1);
    story.end(1, TurnOutcome::Done);
    assert_eq!(story.command("ann", stop(Reach::Alone)), Err(RefusalCode::Conflict));
    let stopped = story.command("ann", stop(Reach::WithChildren)).unwrap();
    assert_eq!(stopped.effects, [stop_child(1, "ann")]);
    assert_eq!(story.command("ann", stop(Reach::WithChildren)), Err(RefusalCode::Conflict), "once is enough");
    let mut story = parent_of(1);
    story.end(1, TurnOutcome::Done);
    let deleted = story.command("ann", Command::Delete { purge_ms: 9 }).unwrap();
    assert_eq!(deleted.effects, [stop_child(1, "ann")]);
}

#[test]
fn a_child_that_begins_while_its_turn_is_stopped_is_stopped() {
    let mut story = parent_of(0);
    story.command("bob", stop(Reach::WithChildren)).unwrap();
    story.end(1, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    assert_eq!(hear(&mut story, 1, ChildPhase::Working, 4).effects, [stop_child(1, "bob")]);
}

#[test]
fn from_above_a_session_stops_with_all_below_it_and_its_queue_waits() {
    let mut story = parent_of(1);
    story.prompt("cat", "r2", "next").unwrap();
    story.written.clear();
    let from_above = || Report::StoppedFromAbove { by: "zoe".parse().unwrap() };
    let stopped = story.report(from_above());
    story.check(&["stop_requested", "queue_paused"]);
    assert_eq!(stopped.effects, [stop_child(1, "zoe"), Effect::StopTurn(TurnId(1))]);
    story.end(1, TurnOutcome::Stopped { by: "zoe".parse().unwrap() });
    story.check(&["turn_ended"]);
    story.report(from_above());
    story.check(&[]);
    // Nothing runs, and nothing ever ran.
    assert_eq!(Story::new().report(from_above()), Decision::default());
    // One that waits for its budget ends at once.
    let mut story = parent_of(0);
    story.report(Report::TurnPaused { turn: TurnId(1), exhausted: exhausted(BudgetScope::Session) });
    story.written.clear();
    story.report(from_above());
    story.check(&["stop_requested", "turn_ended"]);
}

fn exhausted(scope: BudgetScope) -> Exhausted {
    Exhausted { scope, measure: Measure::ToolCalls, spent: 9, limit: 9, reason: "used up".to_owned() }
}

#[test]
fn a_budget_counts_for_the_family_and_those_below_go_on_when_it_is_raised() {
    let mut story = parent_of(0);
    hear(&mut story, 1, ChildPhase::Paused, 9);
    story.report(Report::TurnPaused { turn: TurnId(1), exhausted: exhausted(BudgetScope::Session) });
    let raise = |story: &mut Story, most| {
        let budget = Budget { tool_calls: Some(most), ..Budget::default() };
        story.command("ann", Command::SetBudget(budget)).unwrap().effects
    };
    let child = Effect::RaiseChild { child: "child1".parse().unwrap(), by: "ann".parse().unwrap() };
    // The child used up 2.
    assert_eq!(raise(&mut story, 2), std::slice::from_ref(&child));
    assert_eq!(raise(&mut story, 3), [child, Effect::RunTurn(TurnId(1))]);

    let raised = || Report::BudgetAboveRaised { by: "ann".parse().unwrap() };
    for (scope, effects) in [(BudgetScope::Parent, vec![Effect::RunTurn(TurnId(1))]), (BudgetScope::Session, vec![])] {
        let mut story = parent_of(0);
        story.report(Report::TurnPaused { turn: TurnId(1), exhausted: exhausted(scope) });
        assert_eq!(story.report(raised()).effects, effects, "{scope:?}");
    }
}

#[test]
fn calls_that_may_be_made_twice_are_not_answered_as_interrupted() {
    let mut story = parent_of(0);
    for (number, name) in [(1, "spawn_session"), (2, "wait_sessions"), (3, "bash")] {
        let body = EventBody::ToolStarted {
            turn: TurnId(1),
            call: call(number),
            name: name.to_owned(),
            input: serde_json::json!({}),
        };
        story.report(Report::Agent { turn: TurnId(1), body });
    }
    let woken = story.report(Report::Woken { reason: "killed".to_owned() });
    let finished = woken.events.iter().filter_map(|(cause, body)| match body {
        EventBody::ToolFinished { call, .. } => Some((cause.clone(), call.clone())),
        _ => None,
    });
    assert_eq!(finished.collect::<Vec<_>>(), [(Cause::System, call(3))]);
    // The end of the turn is the end of all of them.
    story.written.clear();
    story.end(1, TurnOutcome::Done);
    story.check(&["tool_finished", "tool_finished", "turn_ended"]);
}
