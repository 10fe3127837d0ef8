//! Whatever is commanded and reported, in whatever order: the rules of a session hold after each input.

use hangar_protocol::{
    Block, ChildPhase, Command, Event, EventBody, ModelUsage, PromptId, Seq, SessionState, StopReason, TurnId,
    api::OpenPullRequest,
    command::{AfterStop, Commanded, Reach},
    event::{FileChange, FileChangeKind, PullRequestChange, SandboxPhase, SnapshotGuarantee, ToolStatus, TurnOutcome},
    limits,
    state::{Place, PromptStatus},
};
use hangar_session::decide::{Effect, Input, Report, TURN_RESUMES_MAX, begin, decide};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    children::news,
    decide::{person, target},
};

/// How far a child may be.
const PHASES: [ChildPhase; 3] = [ChildPhase::Working, ChildPhase::Paused, ChildPhase::Done];

/// Inputs of one case.
const INPUTS_MAX: usize = 160;

fn first() -> Event {
    let (cause, body) = begin(target(), person("ann")).unwrap().remove(0);
    Event { seq: Seq(1), time_ms: 0, cause, body }
}

fn place() -> impl Strategy<Value = Place> {
    (0..6u32, 1..3u16).prop_map(|(host, port)| Place { host: format!("h{host}.example"), port })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (0..9u32, 0..2u32).prop_map(|(request, text)| Command::Prompt {
            request_id: format!("r{request}").parse().unwrap(),
            text: format!("text {text}"),
        }),
        1 => (0..9u32).prop_map(|prompt| Command::CancelPrompt { prompt: PromptId(prompt), request_id: None }),
        2 => Just(Command::Stop { turn: None, then: AfterStop::Drain, reach: Reach::WithChildren }),
        1 => "[a-z \n]{0,8}".prop_map(|title| Command::Rename { title }),
        1 => place().prop_map(Command::AllowNetwork),
        1 => Just(Command::OpenPullRequest(OpenPullRequest::default())),
    ]
}

/// What an agent writes, in a turn that may be another than the running one.
fn agent() -> impl Strategy<Value = Report> {
    let call = |call: u32| format!("c{call}").parse().unwrap();
    (1..6u32, 0..4u32, 0..4u32).prop_map(move |(turn, number, kind)| {
        let turn = TurnId(turn);
        let body = match kind {
            0 => EventBody::ModelRequested { turn, step: number + 1, model: "m/m".to_owned() },
            1 => EventBody::ModelReplied {
                turn,
                step: number + 1,
                blocks: vec![Block::ToolCall { call: call(number), name: "bash".to_owned(), input: json!({}) }],
                usage: ModelUsage { input_tokens: 2, output_tokens: 1, ..ModelUsage::default() },
                cost_micro_usd: Some(3),
                stop: StopReason::ToolUse,
                first_token_ms: 1,
                duration_ms: 2,
            },
            2 => EventBody::ToolStarted { turn, call: call(number), name: "bash".to_owned(), input: json!({}) },
            _ => EventBody::ToolFinished {
                turn,
                call: call(number),
                status: ToolStatus::Ok,
                output: String::new(),
                blob: None,
                image: None,
                duration_ms: 1,
            },
        };
        Report::Agent { turn, body }
    })
}

fn report() -> impl Strategy<Value = Report> {
    let outcome = prop_oneof![
        Just(TurnOutcome::Done),
        Just(TurnOutcome::Stopped { by: "ann".parse().unwrap() }),
        Just(TurnOutcome::Failed { reason: "It could not.".to_owned() }),
    ];
    let change = prop_oneof![
        Just(PullRequestChange::Closed { by: "bob".to_owned() }),
        Just(PullRequestChange::Reopened { by: "bob".to_owned() }),
        Just(PullRequestChange::Merged { by: "bob".to_owned(), commit: "1".repeat(40) }),
        Just(PullRequestChange::Reviewed { by: "bob".to_owned(), verdict: "approved".to_owned() }),
        Just(PullRequestChange::Synchronized { head: "2".repeat(40) }),
    ];
    let phase = prop_oneof![Just(SandboxPhase::Ready), Just(SandboxPhase::Preparing), Just(SandboxPhase::Failed)];
    prop_oneof![
        6 => agent(),
        4 => (1..6u32, outcome).prop_map(|(turn, outcome)| Report::TurnOver { turn: TurnId(turn), outcome }),
        3 => Just(Report::Woken { reason: "restart".to_owned() }),
        1 => phase.prop_map(|phase| Report::Sandbox { phase, detail: String::new(), duration_ms: 0 }),
        1 => (0..3u32).prop_map(|number| Report::PullRequestOpened {
            number, title: "T".to_owned(), author: "ann".parse().unwrap(), url: "/p".to_owned(),
        }),
        2 => (0..3u32, change).prop_map(|(number, change)| Report::PullRequestChanged { number, change }),
        1 => place().prop_map(|place| Report::NetworkDenied {
            place, reason: "no".to_owned(), approvable: true, count: 1,
        }),
        1 => (0..9u32).prop_map(|file| Report::Files {
            files: vec![FileChange { path: format!("f{file}"), kind: FileChangeKind::Modified }], more: 0,
        }),
        1 => (0..6u32).prop_map(|turn| Report::SnapshotTaken {
            snapshot: "a".repeat(64), turn: Some(TurnId(turn)), guarantee: SnapshotGuarantee::Quiescent,
            files: 1, bytes: 1, duration_ms: 1,
        }),
        1 => Just(Report::Pushed { branch: "hangar/abc123".to_owned(), old: None, new: "3".repeat(40) }),
        2 => (1..4usize, prop::sample::select(PHASES.to_vec()), 1..40u64)
            .prop_map(|(number, phase, as_of)| Report::Child(Box::new(news(number, phase, as_of)))),
        1 => Just(Report::StoppedFromAbove { by: "ann".parse().unwrap() }),
        1 => Just(Report::BudgetAboveRaised { by: "ann".parse().unwrap() }),
        1 => Just(Report::Warning { text: "w".to_owned() }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let by = prop::sample::select(vec!["ann", "bob", "cat"]);
    prop_oneof![
        2 => (by, command()).prop_map(|(by, command)| Input::Command(Commanded { by: person(by), command })),
        3 => report().prop_map(Input::Report),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_commands_and_reports_keeps_the_rules(inputs in prop::collection::vec(input(), 0..INPUTS_MAX)) {
        let mut log = vec![first()];
        let mut state = SessionState::begin(&log[0]).unwrap();
        for input in inputs {
            let decided = decide(&state, input.clone());
            prop_assert_eq!(&decided, &decide(&state, input.clone()), "the same state and input, the same decision");
            prop_assert!(decided.is_ok() || matches!(input, Input::Command(_)), "a report is never refused");
            let Ok(decision) = decided else { continue };
            let before = state.clone();
            for (cause, body) in decision.events {
                let event = Event { seq: state.seq.next(), time_ms: state.seq.0, cause, body };
                prop_assert!(state.apply_next(&event).is_ok());
                log.push(event);
            }
            effects_stand_in_the_log(&before, &state, &decision.effects)?;
            rules_hold(&state)?;
        }
        prop_assert_eq!(&SessionState::fold(&log).unwrap(), &state, "the log folds to the state");
        let words: Vec<String> = log.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let read: Vec<Event> = words.iter().map(|word| serde_json::from_str(word).unwrap()).collect();
        prop_assert_eq!(&SessionState::fold(&read).unwrap(), &state, "and so does what is on disk");
    }
}

/// Nothing is set going that the log does not say.
fn effects_stand_in_the_log(
    before: &SessionState,
    after: &SessionState,
    effects: &[Effect],
) -> Result<(), TestCaseError> {
    for effect in effects {
        match effect {
            Effect::RunTurn(turn) => {
                prop_assert_eq!(after.open_turn().map(|open| open.id), Some(*turn));
                prop_assert!(after.seq > before.seq, "a turn begins or resumes with an event");
            }
            Effect::StopTurn(turn) => {
                let stopped = after.turns.iter().find(|known| known.id == *turn);
                prop_assert!(stopped.is_some_and(|known| known.stop_requested_by.is_some()));
            }
            Effect::Snapshot(turn) => {
                let ended = after.turns.iter().find(|known| known.id == *turn);
                prop_assert!(ended.is_some_and(|known| known.outcome.is_some()));
            }
            Effect::MakeSandbox => prop_assert_eq!(after.sandbox, SandboxPhase::Failed),
            Effect::OpenNetwork(place) => prop_assert!(after.allowed.contains(place)),
            // Its outcome is an event, its beginning is not: the forge is where it happens.
            Effect::WriteTitle => prop_assert!(!after.prompts.is_empty()),
            Effect::OpenPullRequest { .. } => prop_assert!(after.open_turn().is_none()),
            Effect::StopChild { child, .. } | Effect::RaiseChild { child, .. } => {
                prop_assert!(after.child(child).is_some());
            }
            Effect::TakeBackFiles => prop_assert!(after.rewound.is_some()),
        }
    }
    Ok(())
}

fn rules_hold(state: &SessionState) -> Result<(), TestCaseError> {
    let open = state.turns.iter().filter(|turn| turn.outcome.is_none()).count();
    prop_assert!(open <= 1, "one turn at a time");
    let may_wait = open == 1 || state.queue_paused_by.is_some();
    prop_assert!(may_wait || state.queue().count() == 0, "nothing waits while nothing runs");
    prop_assert!(open == 1 || state.open_calls.is_empty(), "no call outlives its turn");
    let ids: Vec<u32> = state.turns.iter().map(|turn| turn.id.0).collect();
    prop_assert_eq!(ids, (1..=u32::try_from(state.turns.len()).unwrap()).collect::<Vec<_>>(), "turns are counted");
    let prompts: Vec<u32> = state.turns.iter().map(|turn| turn.prompt.0).collect();
    prop_assert!(prompts.is_sorted_by(|one, next| one < next), "a prompt has one turn, in the order of the queue");
    for prompt in &state.prompts {
        let turns = state.turns.iter().filter(|turn| turn.prompt == prompt.id).count();
        prop_assert!(turns <= 1 && (turns == 1) == (prompt.status == PromptStatus::Taken));
    }
    prop_assert!(state.turns.iter().all(|turn| turn.resumes <= TURN_RESUMES_MAX));
    prop_assert!(state.allowed.len() <= limits::STATE_PLACES_MAX && state.denied.len() <= limits::STATE_PLACES_MAX);
    prop_assert!(state.files.len() <= limits::STATE_FILES_MAX && state.participants.len() <= limits::PARTICIPANTS_MAX);
    prop_assert!(state.snapshots.len() <= limits::STATE_SNAPSHOTS_MAX);
    Ok(())
}
