//! Inputs of any kind in any order: what is true of every session.

use std::collections::BTreeMap;

use hangar_protocol::{
    Command, EventBody, ModelUsage, PromptId, SessionRole, TurnId, Visibility,
    api::OpenPullRequest,
    budget::BudgetScope,
    command::BeginAt,
    command::{AfterStop, Commanded, Reach},
    event::{SandboxPhase, TurnOutcome},
    limits,
    state::PromptStatus,
};
use hangar_session::decide::{Answer, Effect, Input, Report};
use proptest::prelude::*;

use crate::decide::{Story, calls, person, used_up};

fn any_command() -> impl Strategy<Value = Command> {
    let request = || (0..12u32).prop_map(|request| format!("r{request}").parse().unwrap());
    let text = || (0..3u32).prop_map(|text| format!("text {text}"));
    let prompt = || (0..8u32).prop_map(PromptId);
    let then = prop::sample::select(vec![AfterStop::Drain, AfterStop::Pause]);
    prop_oneof![
        4 => (request(), text()).prop_map(|(request_id, text)| Command::Prompt { request_id, text }),
        2 => (request(), text()).prop_map(|(request_id, text)| Command::Steer { request_id, text }),
        1 => (request(), text()).prop_map(|(request_id, text)| Command::PromptAndResume { request_id, text }),
        1 => (prompt(), prop::option::of(request()))
            .prop_map(|(prompt, request_id)| Command::CancelPrompt { prompt, request_id }),
        1 => (prompt(), request(), text())
            .prop_map(|(prompt, request_id, text)| Command::EditPrompt { prompt, request_id, text }),
        2 => (prompt(), request(), prop::option::of(prompt()))
            .prop_map(|(prompt, request_id, before)| Command::MovePrompt { prompt, request_id, before }),
        1 => (prompt(), request()).prop_map(|(prompt, request_id)| Command::SteerPrompt { prompt, request_id }),
        2 => (prop::option::of((1..5u32).prop_map(TurnId)), then).prop_map(|(turn, then)| Command::Stop { turn, then, reach: Reach::WithChildren }),
        1 => Just(Command::Resume),
        1 => Just(Command::ContinueTurn),
        1 => prop::sample::select(vec![BeginAt::Base, BeginAt::Image]).prop_map(|begin_at| Command::RetrySandbox { begin_at }),
        1 => (0..4u64).prop_map(|most| Command::SetBudget(calls(most))),
        1 => Just(Command::OpenPullRequest(OpenPullRequest::default())),
        1 => prop::sample::select(vec![Visibility::Team, Visibility::Private])
            .prop_map(|visibility| Command::SetVisibility { visibility }),
        1 => prop::sample::select(vec![SessionRole::Viewer, SessionRole::Prompter, SessionRole::Owner])
            .prop_map(|role| Command::SetRole { person: person("bob"), role }),
        1 => prop::sample::select(vec!["ann", "bob"]).prop_map(|user| Command::RemoveMember { user: user.parse().unwrap() }),
        1 => Just(Command::Archive),
        1 => Just(Command::Unarchive),
        1 => Just(Command::Delete { purge_ms: 9 }),
        1 => Just(Command::Restore),
    ]
}

fn any_report() -> impl Strategy<Value = Report> {
    let turn = || (1..8u32).prop_map(TurnId);
    let call = (turn(), 0..3u32, any::<bool>()).prop_map(|(turn, call, starts)| {
        let call = format!("c{call}").parse().unwrap();
        let body = if starts {
            EventBody::ToolStarted { turn, call, name: "bash".to_owned(), input: serde_json::json!({}) }
        } else {
            EventBody::ToolFinished {
                turn,
                call,
                status: hangar_protocol::event::ToolStatus::Ok,
                output: String::new(),
                blob: None,
                image: None,
                duration_ms: 0,
            }
        };
        Report::Agent { turn, body }
    });
    prop_oneof![
        4 => turn().prop_map(|turn| Report::TurnOver { turn, outcome: TurnOutcome::Done }),
        1 => turn().prop_map(|turn| Report::TurnPaused { turn, exhausted: used_up(BudgetScope::Session) }),
        2 => call,
        3 => turn().prop_map(|turn| Report::StepBegins { turn }),
        1 => Just(Report::Titled { title: "A title".to_owned(), usage: ModelUsage::default(), cost_micro_usd: None }),
        1 => Just(Report::Woken { reason: "restart".to_owned() }),
        1 => Just(Report::Sandbox { phase: SandboxPhase::Ready, detail: String::new(), duration_ms: 0 }),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let by = prop::sample::select(vec!["ann", "bob", "cat"]);
    prop_oneof![
        3 => (by, any_command()).prop_map(|(by, command)| Input::Command(Commanded { by: person(by), command })),
        2 => any_report().prop_map(Input::Report),
    ]
}

/// How often each prompt was taken, said to a turn or taken back, as the log has it.
fn settled(story: &Story) -> BTreeMap<PromptId, u32> {
    let mut settled = BTreeMap::new();
    for body in &story.bodies {
        match body {
            EventBody::TurnStarted { prompt, .. }
            | EventBody::PromptSteered { prompt, .. }
            | EventBody::PromptCancelled { prompt, .. } => *settled.entry(*prompt).or_default() += 1,
            _ => {}
        }
    }
    settled
}

fn check(story: &Story, acknowledged: &BTreeMap<PromptId, String>) -> Result<(), TestCaseError> {
    let state = &story.state;
    let open = state.turns.iter().filter(|turn| turn.outcome.is_none()).count();
    prop_assert!(open <= 1, "one turn at a time");
    let paused = state.queue_paused_by.is_some() || state.deleted.is_some();
    prop_assert!(
        open == 1 || paused || state.waiting.is_empty(),
        "nothing waits while nothing runs, unless it is paused or deleted"
    );
    prop_assert!(open == 1 || state.open_calls.is_empty(), "no call outlives its turn");
    prop_assert!(state.requests.len() <= limits::STATE_REQUESTS_MAX);
    let settled = settled(story);
    for (prompt, author) in acknowledged {
        let known = state.prompt(*prompt).unwrap();
        prop_assert_eq!(known.author.as_str(), author, "whose words they are never changes");
        let waits = state.waiting.iter().filter(|waiting| *waiting == prompt).count();
        let (waits_now, settled_once) = match known.status {
            PromptStatus::Queued | PromptStatus::Steering => (1, 0),
            PromptStatus::Taken | PromptStatus::Steered | PromptStatus::Cancelled => (0, 1),
        };
        prop_assert_eq!(waits, waits_now, "prompt {} is {:?}", prompt, known.status);
        prop_assert_eq!(
            settled.get(prompt).copied().unwrap_or(0),
            settled_once,
            "prompt {} is {:?}",
            prompt,
            known.status
        );
    }
    prop_assert_eq!(state.prompts.len(), acknowledged.len(), "nothing is there that was not acknowledged");
    Ok(())
}

proptest! {
    #[test]
    fn any_sequence_of_inputs_keeps_the_rules(inputs in prop::collection::vec(any_input(), 0..120)) {
        let mut story = Story::new();
        let mut acknowledged = BTreeMap::new();
        for input in inputs {
            let before = story.state.clone();
            let by = match &input {
                Input::Command(Commanded { by, .. }) => Some(by.user.clone()),
                Input::Rewind { .. } | Input::Report(_) => None,
            };
            let outcome = story.feed(input);
            let state = &story.state;
            let Ok(decision) = outcome else {
                prop_assert_eq!(&before, state, "a refusal changes nothing");
                continue;
            };
            if let (Answer::Prompt(accepted), Some(by)) = (&decision.answer, by) {
                acknowledged.entry(accepted.prompt).or_insert_with(|| by.to_string());
            }
            for effect in &decision.effects {
                if let Effect::RunTurn(turn) = effect {
                    prop_assert_eq!(state.running_turn().map(|open| open.id), Some(*turn));
                }
            }
            let began = decision.events.iter().any(|(_, body)| matches!(body, EventBody::TurnStarted { .. }));
            let resumed = decision.events.iter().any(|(_, body)| matches!(body, EventBody::QueueResumed { .. }));
            prop_assert!(!began || before.queue_paused_by.is_none() || resumed, "a paused queue starts nothing");
            prop_assert!(!began || before.deleted.is_none() || story.state.deleted.is_none(), "nothing begins in a deleted session");
            check(&story, &acknowledged)?;
        }
    }

    #[test]
    fn a_request_that_is_sent_again_changes_nothing(
        inputs in prop::collection::vec(any_input(), 0..60),
        by in prop::sample::select(vec!["ann", "bob", "cat"]),
        command in any_command(),
    ) {
        let mut story = Story::new();
        for input in inputs {
            drop(story.feed(input));
        }
        let has_id = match &command {
            Command::Prompt { .. } | Command::Steer { .. } | Command::PromptAndResume { .. } | Command::EditPrompt { .. }
            | Command::MovePrompt { .. } | Command::SteerPrompt { .. } | Command::CancelPrompt { request_id: Some(_), .. } => true,
            Command::Stop { turn, .. } => turn.is_some(),
            Command::Resume => true,
            // The rest has no id of the client's.
            _ => false,
        };
        prop_assume!(has_id);
        let first = story.command(by, command.clone());
        let between = story.state.clone();
        if first.is_ok() {
            let again = story.command(by, command);
            prop_assert!(again.is_ok(), "{:?}", again);
            prop_assert_eq!(&between, &story.state);
        }
    }
}
