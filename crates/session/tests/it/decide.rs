//! The rules of a session, a row each.

use hangar_protocol::{
    Budget, Cause, Command, Event, EventBody, Exhausted, Person, PromptId, RefusalCode, Seq, SessionState, TurnId,
    Visibility,
    api::{OpenPullRequest, RepoTarget},
    budget::{BudgetScope, Measure},
    command::{AfterStop, Commanded, Reach},
    event::{PullRequestChange, SandboxPhase, ToolStatus, TurnOutcome},
    limits,
    state::SessionStatus,
};
use hangar_session::decide::{Decision, Effect, Input, Report, TURN_RESUMES_MAX, begin, decide};

pub(crate) fn person(user: &str) -> Person {
    Person { user: user.parse().unwrap(), name: user.to_uppercase(), email: format!("{user}@example.com") }
}

pub(crate) fn target() -> RepoTarget {
    RepoTarget {
        session: "abc123".parse().unwrap(),
        repo: "acme/web".parse().unwrap(),
        base_branch: "main".to_owned(),
        base_commit: "0".repeat(40),
        branch: "hangar/abc123".to_owned(),
        model: "scripted/demo".to_owned(),
        agent: None,
        title: "Make it blue".to_owned(),
        visibility: Visibility::Team,
    }
}

fn stop() -> Command {
    Command::Stop { turn: None, then: AfterStop::Drain, reach: Reach::WithChildren }
}

/// A session that can be fed and looked at.
pub(crate) struct Story {
    pub(crate) state: SessionState,
    pub(crate) written: Vec<String>,
    pub(crate) bodies: Vec<EventBody>,
}

impl Story {
    pub(crate) fn new() -> Self {
        let (cause, body) = begin(target(), person("ann")).unwrap().remove(0);
        let event = Event { seq: Seq(1), time_ms: 0, cause, body };
        Self { state: SessionState::begin(&event).unwrap(), written: Vec::new(), bodies: Vec::new() }
    }

    pub(crate) fn feed(&mut self, input: Input) -> Result<Decision, RefusalCode> {
        let decision = decide(&self.state, input).map_err(|refusal| refusal.code)?;
        for (cause, body) in decision.events.clone() {
            self.write(cause, body);
        }
        Ok(decision)
    }

    pub(crate) fn write(&mut self, cause: Cause, body: EventBody) {
        self.written.push(name_of(&body));
        self.bodies.push(body.clone());
        let event = Event { seq: self.state.seq.next(), time_ms: 0, cause, body };
        self.state.apply_next(&event).unwrap();
    }

    pub(crate) fn command(&mut self, by: &str, command: Command) -> Result<Decision, RefusalCode> {
        self.feed(Input::Command(Commanded { by: person(by), command }))
    }

    pub(crate) fn prompt(&mut self, by: &str, request: &str, text: &str) -> Result<Decision, RefusalCode> {
        self.command(by, Command::Prompt { request_id: request.parse().unwrap(), text: text.to_owned() })
    }

    pub(crate) fn report(&mut self, report: Report) -> Decision {
        self.feed(Input::Report(report)).unwrap()
    }

    pub(crate) fn end(&mut self, turn: u32, outcome: TurnOutcome) -> Decision {
        self.report(Report::TurnOver { turn: TurnId(turn), outcome })
    }

    pub(crate) fn call(&mut self, turn: u32, call: &str) {
        let body = EventBody::ToolStarted {
            turn: TurnId(turn),
            call: call.parse().unwrap(),
            name: "bash".to_owned(),
            input: serde_json::json!({}),
        };
        self.report(Report::Agent { turn: TurnId(turn), body });
    }

    pub(crate) fn check(&mut self, expect: &[&str]) {
        assert_eq!(std::mem::take(&mut self.written), expect);
    }
}

fn name_of(body: &EventBody) -> String {
    let json = serde_json::to_value(body).unwrap();
    json["type"].as_str().unwrap().to_owned()
}

#[test]
fn a_prompt_starts_a_turn_and_the_next_one_waits() {
    let mut story = Story::new();
    let first = story.prompt("ann", "r1", "blue").unwrap();
    story.check(&["prompt_added", "turn_started"]);
    assert_eq!(first.effects, [Effect::RunTurn(TurnId(1))]);
    let second = story.prompt("bob", "r2", "darker").unwrap();
    story.check(&["participant_joined", "prompt_added"]);
    assert_eq!(second.effects, []);
    let ended = story.end(1, TurnOutcome::Done);
    story.check(&["turn_ended", "turn_started"]);
    assert_eq!(ended.effects, [Effect::Snapshot(TurnId(1)), Effect::RunTurn(TurnId(2))]);
    assert_eq!(story.state.author_of(TurnId(2)), Some(&person("bob")));
}

#[test]
fn a_repeated_request_adds_nothing_and_a_changed_one_is_a_conflict() {
    let mut story = Story::new();
    let first = story.prompt("ann", "r1", "blue").unwrap();
    story.check(&["prompt_added", "turn_started"]);
    let again = story.prompt("ann", "r1", "blue").unwrap();
    story.check(&[]);
    assert_eq!(again.answer, first.answer);
    assert_eq!(story.prompt("ann", "r1", "red"), Err(RefusalCode::Conflict));
    assert_eq!(story.prompt("bob", "r1", "blue"), Err(RefusalCode::Conflict));
    story.check(&[]);
}

#[test]
fn prompts_that_cannot_be_taken_are_refused() {
    let mut story = Story::new();
    assert_eq!(story.prompt("ann", "r1", " \n"), Err(RefusalCode::BadRequest));
    assert_eq!(story.prompt("ann", "r1", &"x".repeat(limits::PROMPT_BYTES_MAX + 1)), Err(RefusalCode::TooLarge));
    story.prompt("ann", "running", "go").unwrap();
    for n in 0..limits::QUEUED_PROMPTS_MAX {
        story.prompt("ann", &format!("q{n}"), "and this").unwrap();
    }
    assert_eq!(story.prompt("ann", "full", "one more"), Err(RefusalCode::TooMany));
}

#[test]
fn a_waiting_prompt_is_cancelled_by_its_author_or_the_owner_alone() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("bob", "r2", "then this").unwrap();
    story.prompt("cat", "r3", "then that").unwrap();
    story.written.clear();
    let cancel = |n| Command::CancelPrompt { prompt: PromptId(n), request_id: None };
    assert_eq!(story.command("cat", cancel(2)), Err(RefusalCode::Forbidden));
    assert_eq!(story.command("ann", cancel(1)), Err(RefusalCode::Conflict));
    assert_eq!(story.command("ann", cancel(9)), Err(RefusalCode::NotFound));
    story.command("bob", cancel(2)).unwrap();
    assert_eq!(story.command("bob", cancel(2)), Err(RefusalCode::Conflict));
    story.command("ann", cancel(3)).unwrap();
    story.check(&["prompt_cancelled", "prompt_cancelled"]);
    assert_eq!(story.end(1, TurnOutcome::Done).effects, [Effect::Snapshot(TurnId(1))]);
}

#[test]
fn stop_works_once_and_only_while_something_runs() {
    let mut story = Story::new();
    assert_eq!(story.command("ann", stop()), Err(RefusalCode::Conflict));
    story.prompt("ann", "r1", "go").unwrap();
    story.call(1, "c1");
    story.written.clear();
    let stopped = story.command("bob", stop()).unwrap();
    assert_eq!(stopped.effects, [Effect::StopTurn(TurnId(1))]);
    assert_eq!(story.command("ann", stop()), Err(RefusalCode::Conflict));
    story.end(1, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    story.check(&["stop_requested", "tool_finished", "turn_ended"]);
    assert_eq!(story.command("ann", stop()), Err(RefusalCode::Conflict));
}

#[test]
fn what_an_agent_writes_after_its_turn_is_dropped() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.end(1, TurnOutcome::Done);
    story.written.clear();
    story.call(1, "late");
    story.end(1, TurnOutcome::Done);
    story.check(&[]);
}

#[test]
fn an_open_turn_goes_on_after_a_crash_and_its_running_call_is_marked() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.report(Report::Sandbox { phase: SandboxPhase::Ready, detail: String::new(), duration_ms: 1 });
    story.call(1, "c1");
    story.written.clear();
    let woken = story.report(Report::Woken { reason: "hangar was restarted".to_owned() });
    story.check(&["sandbox_changed", "tool_finished", "turn_resumed"]);
    assert_eq!(woken.effects, [Effect::RunTurn(TurnId(1))]);
    assert!(matches!(&woken.events[1].1, EventBody::ToolFinished { status: ToolStatus::Interrupted, .. }));
    assert_eq!(story.state.open_calls, []);
}

#[test]
fn a_stopped_turn_is_not_resumed_and_a_cursed_one_fails() {
    let woken = || Report::Woken { reason: "hangar was restarted".to_owned() };
    let mut stopped = Story::new();
    stopped.prompt("ann", "r1", "go").unwrap();
    stopped.command("ann", stop()).unwrap();
    stopped.written.clear();
    assert_eq!(stopped.report(woken()).effects, [Effect::Snapshot(TurnId(1))]);
    stopped.check(&["turn_ended"]);
    let mut cursed = Story::new();
    cursed.prompt("ann", "r1", "go").unwrap();
    for _ in 0..TURN_RESUMES_MAX {
        assert_eq!(cursed.report(woken()).effects, [Effect::RunTurn(TurnId(1))]);
    }
    cursed.written.clear();
    assert_eq!(cursed.report(woken()).effects, [Effect::Snapshot(TurnId(1))]);
    cursed.check(&["turn_ended"]);
    assert!(matches!(cursed.state.turns[0].outcome, Some(TurnOutcome::Failed { .. })));
}

#[test]
fn a_session_that_ended_in_order_is_woken_without_a_word() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.end(1, TurnOutcome::Done);
    story.written.clear();
    assert_eq!(story.report(Report::Woken { reason: "x".to_owned() }), Decision::default());
    story.check(&[]);
}

#[test]
fn a_pull_request_waits_for_the_turn_and_is_the_only_open_one() {
    let mut story = Story::new();
    let open = || Command::OpenPullRequest(OpenPullRequest::default());
    story.prompt("ann", "r1", "go").unwrap();
    assert_eq!(story.command("ann", open()), Err(RefusalCode::Conflict));
    story.end(1, TurnOutcome::Done);
    assert!(matches!(story.command("ann", open()).unwrap().effects[..], [Effect::OpenPullRequest { .. }]));
    let opened = || Report::PullRequestOpened {
        number: 7,
        title: "Blue".to_owned(),
        author: "ann".parse().unwrap(),
        url: "/s/abc123/pull-request".to_owned(),
    };
    story.written.clear();
    story.report(opened());
    story.report(opened());
    story.check(&["pull_request_opened"]);
    assert_eq!(story.command("ann", open()), Err(RefusalCode::Conflict));
    let merged = || Report::PullRequestChanged {
        number: 7,
        change: PullRequestChange::Merged { by: "bob".to_owned(), commit: "1".repeat(40) },
    };
    story.report(merged());
    story.report(merged());
    story.check(&["pull_request_changed"]);
    assert!(story.command("ann", open()).is_ok());
}

#[test]
fn titles_have_one_line_and_an_end() {
    let mut story = Story::new();
    let rename = |title: &str| Command::Rename { title: title.to_owned() };
    for bad in ["", "  ", "a\nb", &"x".repeat(limits::TITLE_CHARS_MAX + 1)] {
        assert_eq!(story.command("ann", rename(bad)), Err(RefusalCode::BadRequest), "{bad:?}");
    }
    story.command("bob", rename("Bluer")).unwrap();
    assert_eq!(story.state.title, "Bluer");
}

pub(crate) fn used_up(scope: BudgetScope) -> Exhausted {
    Exhausted { scope, measure: Measure::ToolCalls, spent: 1, limit: 1, reason: "used up".to_owned() }
}

pub(crate) fn calls(most: u64) -> Budget {
    Budget { tool_calls: Some(most), ..Budget::default() }
}

#[test]
fn a_turn_whose_budget_is_used_up_waits_until_it_is_raised() {
    let mut story = Story::new();
    let paused = || Report::TurnPaused { turn: TurnId(1), exhausted: used_up(BudgetScope::Session) };
    story.prompt("ann", "r1", "go").unwrap();
    story.call(1, "c1");
    story.written.clear();
    assert_eq!(story.report(paused()).effects, []);
    story.report(paused());
    story.check(&["turn_paused"]);
    assert_eq!(story.state.status, SessionStatus::Paused);
    // It is kept through a restart, and what is prompted meanwhile waits.
    assert_eq!(story.report(Report::Woken { reason: "restart".to_owned() }), Decision::default());
    assert_eq!(story.prompt("bob", "r2", "and this").unwrap().effects, []);
    story.written.clear();
    assert_eq!(story.command("ann", Command::SetBudget(calls(1))).unwrap().effects, []);
    story.check(&["budget_changed"]);
    let raised = story.command("ann", Command::SetBudget(calls(2))).unwrap();
    story.check(&["budget_changed", "turn_continued"]);
    assert_eq!((raised.effects, story.state.status), (vec![Effect::RunTurn(TurnId(1))], SessionStatus::Running));
    assert_eq!(story.command("ann", Command::ContinueTurn), Err(RefusalCode::Conflict));
    // The budget of a day is none of the session's.
    story.report(Report::TurnPaused { turn: TurnId(1), exhausted: used_up(BudgetScope::UserDay) });
    assert_eq!(story.command("ann", Command::SetBudget(calls(9))).unwrap().effects, []);
    assert_eq!(story.command("bob", Command::ContinueTurn).unwrap().effects, [Effect::RunTurn(TurnId(1))]);
}

#[test]
fn a_turn_that_waits_can_be_stopped() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.prompt("bob", "r2", "then this").unwrap();
    story.report(Report::TurnPaused { turn: TurnId(1), exhausted: used_up(BudgetScope::TeamDay) });
    story.written.clear();
    let stopped = story.command("bob", stop()).unwrap();
    story.check(&["stop_requested", "turn_ended", "turn_started"]);
    assert_eq!(stopped.effects, [Effect::Snapshot(TurnId(1)), Effect::RunTurn(TurnId(2))]);
    // A stop that comes while the agent is on its way to wait ends it as well.
    story.command("ann", stop()).unwrap();
    story.written.clear();
    story.report(Report::TurnPaused { turn: TurnId(2), exhausted: used_up(BudgetScope::TeamDay) });
    story.check(&["turn_ended"]);
}

#[test]
fn what_is_used_up_is_counted_by_who_prompted() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.call(1, "c1");
    story.call(1, "c2");
    story.prompt("bob", "r2", "then this").unwrap();
    story.end(1, TurnOutcome::Done);
    story.call(2, "c3");
    assert_eq!(story.state.spent.tool_calls, 3);
    let by: Vec<_> = story.state.day_spent.by.iter().map(|(user, spent)| (user.as_str(), spent.tool_calls)).collect();
    assert_eq!(by, [("ann", 2), ("bob", 1)]);
}

#[test]
fn a_title_that_comes_after_its_turn_is_charged_to_who_prompted() {
    let mut story = Story::new();
    story.prompt("ann", "r1", "go").unwrap();
    story.end(1, TurnOutcome::Done);
    let usage = hangar_protocol::ModelUsage { input_tokens: 30, output_tokens: 4, ..Default::default() };
    story.report(Report::Titled { title: "Go".to_owned(), usage, cost_micro_usd: Some(7) });
    assert_eq!((story.state.title.as_str(), story.state.spent.tokens, story.state.spent.cost_micro_usd), ("Go", 34, 7));
    assert_eq!(story.state.day_spent.by[&"ann".parse().unwrap()].tokens, 34);
}
