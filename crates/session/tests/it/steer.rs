//! Words for the running turn: when they are said, what becomes of them when it ends before, and whose they are.

use hangar_protocol::{
    Command, EventBody, ModelUsage, PromptId, RefusalCode, TurnId, UserId,
    command::{AfterStop, Reach},
    event::{ToolStatus, TurnOutcome},
    state::{PromptStatus, TitleSource},
};
use hangar_session::decide::{Effect, Report};

use crate::decide::{Story, person};

fn steer(request: &str, text: &str) -> Command {
    Command::Steer { request_id: request.parse().unwrap(), text: text.to_owned() }
}

fn send(prompt: u32, request: &str) -> Command {
    Command::SteerPrompt { prompt: PromptId(prompt), request_id: request.parse().unwrap() }
}

fn step(story: &mut Story, turn: u32) -> Vec<u32> {
    let said = story.report(Report::StepBegins { turn: TurnId(turn) });
    said.events
        .iter()
        .map(|(_, body)| match body {
            EventBody::PromptSteered { prompt, .. } => prompt.0,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn done(story: &mut Story, turn: u32, call: &str) {
    let body = EventBody::ToolFinished {
        turn: TurnId(turn),
        call: call.parse().unwrap(),
        status: ToolStatus::Ok,
        output: String::new(),
        blob: None,
        image: None,
        duration_ms: 1,
    };
    story.report(Report::Agent { turn: TurnId(turn), body });
}

#[test]
fn words_are_said_at_the_next_step_once_and_never_into_an_open_call() {
    let mut story = Story::new();
    story.prompt("ann", "p1", "go").unwrap();
    story.call(1, "c1");
    story.prompt("cat", "p2", "later").unwrap();
    story.written.clear();
    story.command("bob", steer("s1", "rather blue")).unwrap();
    story.check(&["participant_joined", "prompt_added", "steer_requested"]);
    assert_eq!(step(&mut story, 1), [] as [u32; 0], "a call is open");
    done(&mut story, 1, "c1");
    assert_eq!(step(&mut story, 7), [] as [u32; 0], "not that turn's");
    assert_eq!(step(&mut story, 1), [3]);
    assert_eq!(step(&mut story, 1), [] as [u32; 0], "once");
    assert_eq!(story.state.prompt(PromptId(3)).unwrap().status, PromptStatus::Steered);
    assert_eq!(story.state.turns[0].steered, [PromptId(3)]);
    assert_eq!(story.state.author_of(TurnId(1)), Some(&person("ann")));
    assert_eq!(story.state.co_authors_of(TurnId(1)), [&person("bob")]);
    // Sent again, it is known; it can be changed no more.
    story.written.clear();
    story.command("bob", steer("s1", "rather blue")).unwrap();
    story.check(&[]);
    assert_eq!(story.command("bob", steer("s1", "rather red")), Err(RefusalCode::Conflict));
    let cancel = Command::CancelPrompt { prompt: PromptId(3), request_id: None };
    assert_eq!(story.command("bob", cancel), Err(RefusalCode::Conflict));
    // What waited for a turn of its own still does.
    story.end(1, TurnOutcome::Done);
    assert_eq!(story.state.turns.last().unwrap().prompt, PromptId(2));
}

#[test]
fn words_that_a_turn_did_not_hear_begin_the_next_one() {
    let mut story = Story::new();
    story.prompt("ann", "p1", "go").unwrap();
    story.prompt("cat", "p2", "later").unwrap();
    story.command("bob", steer("s1", "first")).unwrap();
    story.command("ann", steer("s2", "second")).unwrap();
    story.written.clear();
    let ended = story.end(1, TurnOutcome::Done);
    story.check(&["turn_ended", "turn_started"]);
    assert_eq!(ended.effects, [Effect::Snapshot(TurnId(1)), Effect::RunTurn(TurnId(2))]);
    assert_eq!(story.state.turns.last().unwrap().prompt, PromptId(3));
    assert_eq!(step(&mut story, 2), [4], "the second is said to the turn of the first");
    assert_eq!(story.state.author_of(TurnId(2)), Some(&person("bob")));
    assert_eq!(story.state.co_authors_of(TurnId(2)), [&person("ann")]);
}

#[test]
fn words_for_a_turn_that_does_not_run_are_a_prompt() {
    let mut story = Story::new();
    let accepted = story.command("bob", steer("s1", "go")).unwrap();
    story.check(&["participant_joined", "prompt_added", "turn_started"]);
    assert_eq!(accepted.effects, [Effect::RunTurn(TurnId(1))]);
    // Nor is anything said to a turn that is being stopped, and a paused queue begins nothing.
    story.command("ann", steer("s2", "more")).unwrap();
    story.command("bob", Command::Stop { turn: None, then: AfterStop::Pause, reach: Reach::WithChildren }).unwrap();
    assert_eq!(step(&mut story, 1), [] as [u32; 0]);
    let by: UserId = "bob".parse().unwrap();
    assert_eq!(story.end(1, TurnOutcome::Stopped { by }).effects, [Effect::Snapshot(TurnId(1))]);
    assert_eq!(story.command("ann", Command::Resume).unwrap().effects, [Effect::RunTurn(TurnId(2))]);
    assert_eq!(story.state.turns.last().unwrap().prompt, PromptId(2));
}

#[test]
fn a_waiting_prompt_is_sent_into_the_turn_by_its_author_or_the_owner() {
    let mut story = Story::new();
    story.prompt("ann", "p1", "go").unwrap();
    story.prompt("cat", "p2", "cat's").unwrap();
    story.prompt("bob", "p3", "bob's").unwrap();
    story.written.clear();
    assert_eq!(story.command("cat", send(3, "n1")), Err(RefusalCode::Forbidden));
    assert_eq!(story.command("ann", send(1, "n1")), Err(RefusalCode::Conflict));
    story.command("bob", send(3, "n1")).unwrap();
    story.command("bob", send(3, "n1")).unwrap();
    story.check(&["steer_requested"]);
    assert_eq!(story.command("bob", send(3, "n2")), Err(RefusalCode::Conflict), "it is about to be said");
    let before =
        Command::MovePrompt { prompt: PromptId(2), request_id: "m".parse().unwrap(), before: Some(PromptId(3)) };
    assert_eq!(story.command("cat", before), Err(RefusalCode::Conflict), "nothing comes before it");
    // Until it is said it can still be edited.
    let edit = Command::EditPrompt { prompt: PromptId(3), request_id: "e".parse().unwrap(), text: "better".to_owned() };
    story.command("bob", edit).unwrap();
    assert_eq!(story.state.steers().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>(), ["better"]);
    assert_eq!(step(&mut story, 1), [3]);
    // The one who sent it is not its author.
    story.command("ann", send(2, "n3")).unwrap();
    assert_eq!(step(&mut story, 1), [2]);
    assert_eq!(story.state.co_authors_of(TurnId(1)), [&person("bob"), &person("cat")]);
}

#[test]
fn what_was_to_be_said_is_said_after_a_restart() {
    let mut story = Story::new();
    story.prompt("ann", "p1", "go").unwrap();
    story.call(1, "c1");
    story.command("bob", steer("s1", "rather blue")).unwrap();
    let woken = story.report(Report::Woken { reason: "restart".to_owned() });
    assert_eq!(woken.effects, [Effect::RunTurn(TurnId(1))]);
    assert_eq!(step(&mut story, 1), [2]);
    story.report(Report::Woken { reason: "restart".to_owned() });
    assert_eq!(step(&mut story, 1), [] as [u32; 0]);
}

#[test]
fn a_model_gives_a_title_once_and_never_over_a_persons() {
    let titled =
        |title: &str| Report::Titled { title: title.to_owned(), usage: ModelUsage::default(), cost_micro_usd: Some(3) };
    let asked = |step| Report::Agent {
        turn: TurnId(1),
        body: EventBody::ModelRequested { turn: TurnId(1), step, model: "a/b".to_owned() },
    };
    let mut story = Story::new();
    story.prompt("ann", "p1", "go").unwrap();
    assert_eq!(story.report(asked(1)).effects, [Effect::WriteTitle]);
    assert_eq!(story.report(asked(2)).effects, []);
    story.report(titled("By the model"));
    story.report(titled("By the model again"));
    assert_eq!((story.state.title.as_str(), story.state.title_from), ("By the model", TitleSource::Model));
    assert_eq!(story.state.cost_micro_usd, 3);
    let mut named = Story::new();
    named.prompt("ann", "p1", "go").unwrap();
    named.report(asked(1));
    named.command("bob", Command::Rename { title: "By bob".to_owned() }).unwrap();
    named.report(titled("By the model"));
    assert_eq!((named.state.title.as_str(), named.state.title_from), ("By bob", TitleSource::Person));
    assert_eq!(named.report(asked(1)).effects, []);
}
