//! A fork's copied beginning is its source as it was after the turn.

use hangar_agent::Conversation;
use hangar_protocol::{
    Cause, Event, EventBody, PromptId, Seq, SessionId, SessionState, TurnId,
    api::Rewind,
    event::{FileChange, FileChangeKind, ForkPurpose, SandboxPhase, SnapshotGuarantee, TurnOutcome},
    state::{PromptStatus, SessionStatus},
};
use hangar_session::{
    decide::{Decision, Input, Past, Report, check_fork, check_rewind},
    past::{Forking, UpTo, fork, until},
};
use proptest::prelude::*;

use crate::decide::{Story, person, target};

/// A story with its log.
struct Told {
    story: Story,
    log: Vec<Event>,
}

/// What happens next, in a story that ends turns and begins others.
#[derive(Clone, Copy, Debug)]
enum Step {
    Prompt(u32),
    Reply,
    Files(u32),
    End,
    Snapshot,
    Push,
    PullRequest,
    Allow,
    Rewind(u32),
    Fork,
}

impl Told {
    fn new() -> Self {
        let story = Story::new();
        let begun = hangar_session::decide::begin(target(), person("ann")).unwrap().remove(0);
        Self { log: vec![Event { seq: Seq(1), time_ms: 0, cause: begun.0, body: begun.1 }], story }
    }

    /// Begins as a fork of a log.
    fn forked(log: Vec<Event>) -> Self {
        let mut story = Story::new();
        story.state = SessionState::fold(&log).unwrap();
        Self { story, log }
    }

    fn feed(&mut self, input: Input) {
        // What is refused is not told.
        let decision: Decision = self.story.feed(input).unwrap_or_default();
        for (cause, body) in decision.events {
            let seq = Seq(self.log.len() as u64 + 1);
            self.log.push(Event { seq, time_ms: 0, cause, body });
        }
    }

    fn report(&mut self, report: Report) {
        self.feed(Input::Report(report));
    }

    fn open(&self) -> Option<TurnId> {
        self.story.state.open_turn().map(|turn| turn.id)
    }

    fn step(&mut self, number: usize, step: Step) {
        match step {
            Step::Prompt(who) => {
                let by = person(["ann", "bob", "cat"][who as usize % 3]);
                let request_id = format!("r{number}-{}", self.log.len()).parse().unwrap();
                let command = hangar_protocol::Command::Prompt { request_id, text: format!("wish {number}") };
                self.feed(Input::Command(hangar_protocol::command::Commanded { by, command }));
            }
            Step::Reply => self.reply(number),
            Step::Files(file) => self.report(Report::Files {
                files: vec![FileChange { path: format!("f{file}"), kind: FileChangeKind::Created }],
                more: 0,
            }),
            Step::End => {
                let Some(turn) = self.open() else { return };
                let outcome = if number.is_multiple_of(3) {
                    TurnOutcome::Failed { reason: "no".to_owned() }
                } else {
                    TurnOutcome::Done
                };
                self.report(Report::TurnOver { turn, outcome });
            }
            Step::Snapshot => {
                let turn = self.story.state.turns.iter().rev().find(|turn| turn.outcome.is_some() && !turn.undone);
                let turn = turn.map(|turn| turn.id);
                let snapshot = format!("{number:064x}");
                let guarantee = SnapshotGuarantee::Quiescent;
                self.report(Report::SnapshotTaken { snapshot, turn, guarantee, files: 1, bytes: 1, duration_ms: 1 });
            }
            Step::Push => {
                let branch = self.story.state.branch.clone();
                self.report(Report::Pushed { branch, old: None, new: format!("{number:040x}") });
            }
            Step::PullRequest => self.report(Report::PullRequestOpened {
                number: 7,
                title: "Seven".to_owned(),
                author: "ann".parse().unwrap(),
                url: "/s/x/pull-request".to_owned(),
            }),
            Step::Allow => self.report(Report::NetworkDenied {
                place: hangar_protocol::state::Place { host: "example.org".to_owned(), port: 443 },
                reason: "closed".to_owned(),
                approvable: true,
                count: 1,
            }),
            Step::Rewind(turn) => self.rewind(number, TurnId(turn)),
            Step::Fork => self.report(Report::Forked {
                into: format!("other{number}").parse().unwrap(),
                turn: TurnId(0),
                purpose: ForkPurpose::Fork,
                by: "bob".parse().unwrap(),
            }),
        }
    }

    fn reply(&mut self, number: usize) {
        let Some(turn) = self.open() else { return };
        let body = serde_json::json!({
            "type": "model_replied", "turn": turn, "step": 1, "blocks": [{"type": "text", "text": format!("words {number}")}],
            "usage": {"input_tokens": 10, "output_tokens": 3, "cache_read_tokens": 0, "cache_write_tokens": 0},
            "cost_micro_usd": 5, "stop": "end_turn", "first_token_ms": 1, "duration_ms": 2,
        });
        self.report(Report::Agent { turn, body: serde_json::from_value(body).unwrap() });
    }

    fn rewind(&mut self, number: usize, to_turn: TurnId) {
        let wish = Rewind { to_turn, request_id: format!("back-{number}-{}", self.log.len()).parse().unwrap() };
        if check_rewind(&self.story.state, &"ann".parse().unwrap(), &wish).is_err() {
            return;
        }
        let then = SessionState::fold(until(&self.log, UpTo::Turn(to_turn)).unwrap()).unwrap();
        let past = Past { files: then.files.clone(), todos: then.todos };
        self.feed(Input::Rewind { by: person("ann"), wish, past });
        assert_eq!(self.story.state.files, then.files, "the list of files is what it was");
        let conversation = Conversation::fold(&self.log);
        let before = Conversation::fold(until(&self.log, UpTo::Turn(to_turn)).unwrap());
        assert_eq!(conversation.messages(), before.messages(), "the model sees what it saw then");
    }
}

fn forking(session: &str, by: &str, source: &SessionState, turn: TurnId) -> Forking {
    let session: SessionId = session.parse().unwrap();
    let branch = format!("hangar/{session}");
    let target = hangar_protocol::api::RepoTarget { session, branch, ..target() };
    Forking { target, by: person(by), source: source.id.clone(), turn, time_ms: 9 }
}

/// The copy is the source after that turn, but for what a fork is said not to take over.
fn check_copy(source: &[Event], turn: TurnId, by: &str) -> Vec<Event> {
    let past = until(source, UpTo::Turn(turn)).unwrap();
    let then = SessionState::fold(past).unwrap();
    let copy = fork(source, UpTo::Turn(turn), forking("copy1", by, &then, turn)).unwrap();
    let state = SessionState::fold(&copy).unwrap();
    assert!(state.is_copied(state.seq), "all of it is copied");
    let origin = state.forked_from.as_ref().map(|origin| (origin.session.clone(), origin.turn));
    assert_eq!(origin, Some((then.id.clone(), turn)));
    assert_eq!(state.usage, hangar_protocol::ModelUsage::default(), "it was paid for by the source");
    let mut participants = then.participants.clone();
    if participants.iter().all(|known| known.user.as_str() != by) {
        participants.push(person(by));
    }
    let mut prompts = then.prompts.clone();
    for prompt in prompts.iter_mut().filter(|prompt| then.waiting.contains(&prompt.id)) {
        prompt.status = PromptStatus::Cancelled;
    }
    let status = if then.status == SessionStatus::Merged { SessionStatus::Idle } else { then.status };
    let rewound = state.rewound.clone();
    assert_eq!(
        rewound.as_ref().map(|rewound| (rewound.to_turn, &rewound.request_id)),
        then.rewound.as_ref().map(|rewound| (rewound.to_turn, &rewound.request_id))
    );
    let expected = SessionState {
        id: "copy1".parse().unwrap(),
        owner: by.parse().unwrap(),
        branch: "hangar/copy1".to_owned(),
        title: target().title,
        created_ms: 9,
        updated_ms: 9,
        last_event_ms: state.last_event_ms,
        seq: state.seq,
        status,
        participants,
        prompts,
        // It is the forker's alone.
        members: [(by.parse().unwrap(), hangar_protocol::SessionRole::Owner)].into(),
        waiting: Vec::new(),
        queue_paused_by: None,
        sandbox: SandboxPhase::Absent,
        // Those of its turns that were told later are there too.
        snapshots: state.snapshots.clone(),
        denied: Vec::new(),
        allowed: Vec::new(),
        pushed: None,
        pull_requests: Vec::new(),
        usage: state.usage,
        cost_micro_usd: 0,
        day_spent: hangar_protocol::budget::DaySpent::default(),
        forked_from: state.forked_from.clone(),
        forks: Vec::new(),
        rewound,
        ..then.clone()
    };
    assert_eq!(state, expected);
    assert!(state.snapshots.starts_with(&then.snapshots));
    assert_eq!(Conversation::fold(&copy).messages(), Conversation::fold(past).messages(), "the model sees the same");
    copy
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3u32).prop_map(Step::Prompt),
        2 => Just(Step::Reply),
        2 => (0..4u32).prop_map(Step::Files),
        4 => Just(Step::End),
        4 => Just(Step::Snapshot),
        1 => Just(Step::Push),
        1 => Just(Step::PullRequest),
        1 => Just(Step::Allow),
        1 => (0..4u32).prop_map(Step::Rewind),
        1 => Just(Step::Fork),
    ]
}

/// Turns that a fork can follow.
fn ended(state: &SessionState) -> Vec<TurnId> {
    let turns = state.turns.iter().filter(|turn| check_fork(state, Some(turn.id), 1).is_ok()).map(|turn| turn.id);
    std::iter::once(TurnId(0)).chain(turns).collect()
}

proptest! {
    #[test]
    fn a_fork_is_its_source_after_the_turn_and_so_is_a_fork_of_a_fork(
        first in prop::collection::vec(any_step(), 0..60),
        second in prop::collection::vec(any_step(), 0..30),
        by in prop::sample::select(vec!["ann", "bob", "dan"]),
    ) {
        let mut source = Told::new();
        for (number, step) in first.into_iter().enumerate() {
            source.step(number, step);
        }
        for turn in ended(&source.story.state) {
            let mut fork = Told::forked(check_copy(&source.log, turn, by));
            for (number, step) in second.iter().enumerate() {
                fork.step(100 + number, *step);
            }
            for turn in ended(&fork.story.state) {
                check_copy(&fork.log, turn, "eve");
            }
        }
    }
}

#[test]
fn going_back_is_refused_with_words_where_it_cannot_be_done() {
    let mut told = Told::new();
    for (number, step) in
        [Step::Prompt(0), Step::End, Step::Snapshot, Step::Prompt(1), Step::End].into_iter().enumerate()
    {
        told.step(number, step);
    }
    let refused = |state: &SessionState, by: &str, turn: u32| {
        let wish = Rewind { to_turn: TurnId(turn), request_id: "back".parse().unwrap() };
        check_rewind(state, &by.parse().unwrap(), &wish).map_err(|refusal| refusal.message)
    };
    let state = &told.story.state;
    assert_eq!(refused(state, "ann", 3).unwrap_err(), "This session has no turn 3.");
    let unkept = refused(state, "ann", 2).unwrap_err();
    assert!(unkept.starts_with("The files were not kept after turn 2"), "{unkept}");
    assert_eq!(refused(state, "ann", 1), Ok(()));
    assert_eq!(refused(state, "bob", 1), Ok(()), "what bob undoes is bob's own");
    assert_eq!(refused(state, "bob", 0).unwrap_err(), "That would undo what ann asked for.");
    told.step(5, Step::Prompt(0));
    assert_eq!(refused(&told.story.state, "ann", 1).unwrap_err(), "Turn 3 is still running.");
    told.step(6, Step::End);
    told.step(7, Step::Rewind(1));
    let state = &told.story.state;
    assert_eq!(refused(state, "ann", 2).unwrap_err(), "Turn 2 was undone when the session was taken back.");
    assert_eq!(state.prompts.len(), 3, "what was asked stays known");
    told.step(8, Step::Prompt(0));
    let last = told.story.state.turns.last().map(|turn| (turn.id, turn.prompt));
    assert_eq!(last, Some((TurnId(4), PromptId(4))), "numbers go on");
    assert!(matches!(
        told.log.last(),
        Some(Event { cause: Cause::User { .. }, body: EventBody::TurnStarted { .. }, .. })
    ));
}
