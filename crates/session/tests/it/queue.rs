//! Who may change what waits, how, and what of it is remembered.

use hangar_protocol::api::StopAccepted;
use hangar_protocol::{
    Command, PromptId, RefusalCode, TurnId,
    command::{AfterStop, Reach},
    event::TurnOutcome,
    limits,
    state::PromptStatus,
};
use hangar_session::decide::{Answer, Decision, Effect};

use crate::decide::Story;

fn edit(prompt: u32, request: &str, text: &str) -> Command {
    Command::EditPrompt { prompt: PromptId(prompt), request_id: request.parse().unwrap(), text: text.to_owned() }
}

fn put(prompt: u32, request: &str, before: Option<u32>) -> Command {
    Command::MovePrompt { prompt: PromptId(prompt), request_id: request.parse().unwrap(), before: before.map(PromptId) }
}

fn cancel(prompt: u32, request: Option<&str>) -> Command {
    Command::CancelPrompt { prompt: PromptId(prompt), request_id: request.map(|id| id.parse().unwrap()) }
}

fn stop(turn: Option<u32>, then: AfterStop) -> Command {
    Command::Stop { turn: turn.map(TurnId), then, reach: Reach::WithChildren }
}

/// Ann's turn runs; bob's prompt 2, cat's 3 and ann's 4 wait.
fn waiting() -> Story {
    let mut story = Story::new();
    story.prompt("ann", "p1", "go").unwrap();
    story.prompt("bob", "p2", "bob's").unwrap();
    story.prompt("cat", "p3", "cat's").unwrap();
    story.prompt("ann", "p4", "ann's").unwrap();
    story.written.clear();
    story
}

fn order(story: &Story) -> Vec<u32> {
    story.state.queue().map(|prompt| prompt.id.0).collect()
}

#[test]
fn a_waiting_prompt_is_edited_by_its_author_or_the_owner_alone() {
    let mut story = waiting();
    assert_eq!(story.command("cat", edit(2, "e1", "cat's words for bob")), Err(RefusalCode::Forbidden));
    assert_eq!(story.command("bob", edit(1, "e1", "x")), Err(RefusalCode::Forbidden));
    assert_eq!(story.command("ann", edit(1, "e1", "x")), Err(RefusalCode::Conflict));
    assert_eq!(story.command("ann", edit(9, "e1", "x")), Err(RefusalCode::NotFound));
    assert_eq!(story.command("bob", edit(2, "e1", " ")), Err(RefusalCode::BadRequest));
    let long = "x".repeat(limits::PROMPT_BYTES_MAX + 1);
    assert_eq!(story.command("bob", edit(2, "e1", &long)), Err(RefusalCode::TooLarge));
    story.command("bob", edit(2, "e1", "bob's better words")).unwrap();
    story.command("ann", edit(3, "e2", "as ann has it")).unwrap();
    story.check(&["prompt_edited", "prompt_edited"]);
    let seen: Vec<_> = story
        .state
        .queue()
        .map(|prompt| (prompt.author.as_str(), prompt.text.as_str(), prompt.edited_by.as_ref().map(|by| by.as_str())))
        .collect();
    assert_eq!(
        seen,
        [("bob", "bob's better words", Some("bob")), ("cat", "as ann has it", Some("ann")), ("ann", "ann's", None)]
    );
    // The prompt itself, sent again, is still known by what was sent.
    let again = story.prompt("bob", "p2", "bob's").unwrap();
    assert!(matches!(again.answer, Answer::Prompt(accepted) if accepted.prompt == PromptId(2)));
    assert_eq!(story.prompt("bob", "p2", "bob's better words"), Err(RefusalCode::Conflict));
}

#[test]
fn a_prompt_moves_before_another_one_or_to_the_end_and_keeps_its_words() {
    let mut story = waiting();
    assert_eq!(story.command("bob", put(3, "m1", Some(2))), Err(RefusalCode::Forbidden));
    assert_eq!(story.command("cat", put(3, "m1", Some(3))), Err(RefusalCode::BadRequest));
    assert_eq!(story.command("cat", put(3, "m1", Some(1))), Err(RefusalCode::Conflict));
    assert_eq!(story.command("cat", put(3, "m1", Some(9))), Err(RefusalCode::NotFound));
    assert_eq!(story.command("ann", put(1, "m1", None)), Err(RefusalCode::Conflict));
    let words = |story: &Story| story.state.prompts.iter().map(|prompt| prompt.text.clone()).collect::<Vec<_>>();
    let before = words(&story);
    story.command("cat", put(3, "m1", Some(2))).unwrap();
    assert_eq!(order(&story), [3, 2, 4]);
    story.command("ann", put(3, "m2", None)).unwrap();
    assert_eq!(order(&story), [2, 4, 3]);
    story.command("ann", put(4, "m3", Some(2))).unwrap();
    assert_eq!(order(&story), [4, 2, 3]);
    story.check(&["prompt_moved", "prompt_moved", "prompt_moved"]);
    assert_eq!(words(&story), before);
    // The turn that begins next is the first in the queue's order.
    story.end(1, TurnOutcome::Done);
    assert_eq!(story.state.turns.last().unwrap().prompt, PromptId(4));
}

#[test]
fn a_change_that_is_sent_again_is_known_and_with_other_content_it_is_a_conflict() {
    let mut story = waiting();
    for (by, command, others) in [
        ("bob", edit(2, "e1", "new"), vec![edit(2, "e1", "newer"), edit(3, "e1", "new"), put(2, "e1", None)]),
        ("bob", put(2, "m1", None), vec![put(2, "m1", Some(3)), cancel(2, Some("m1"))]),
        ("cat", cancel(3, Some("c1")), vec![cancel(2, Some("c1"))]),
    ] {
        story.command(by, command.clone()).unwrap();
        let state = story.state.clone();
        assert_eq!(story.command(by, command.clone()), Ok(Decision::default()), "{command:?}");
        assert_eq!(story.command("ann", command.clone()), Err(RefusalCode::Conflict), "somebody else's {command:?}");
        for other in others {
            assert_eq!(story.command(by, other.clone()), Err(RefusalCode::Conflict), "{other:?}");
        }
        assert_eq!(story.state, state);
    }
    // A prompt's id is no id for a change, and the other way round.
    assert_eq!(story.command("bob", edit(2, "p2", "bob's")), Err(RefusalCode::Conflict));
    assert_eq!(story.prompt("bob", "e1", "new"), Err(RefusalCode::Conflict));
    // Without an id a second time is a second time.
    story.command("bob", cancel(2, None)).unwrap();
    assert_eq!(story.command("bob", cancel(2, None)), Err(RefusalCode::Conflict));
}

#[test]
fn a_change_stays_known_when_its_prompt_has_begun_and_the_memory_has_an_end() {
    let mut story = waiting();
    story.command("bob", edit(2, "e1", "new")).unwrap();
    story.end(1, TurnOutcome::Done);
    assert_eq!(story.command("bob", edit(2, "e1", "new")), Ok(Decision::default()));
    for number in 0..limits::STATE_REQUESTS_MAX {
        story.command("cat", put(3, &format!("m{number}"), None)).unwrap();
    }
    assert_eq!(story.state.requests.len(), limits::STATE_REQUESTS_MAX);
    // Forgotten: what is asked again is judged anew.
    assert_eq!(story.command("bob", edit(2, "e1", "new")), Err(RefusalCode::Conflict));
    assert_eq!(story.command("cat", put(3, "m1", None)), Ok(Decision::default()));
}

#[test]
fn a_stop_lets_the_next_prompt_begin_or_the_queue_wait() {
    let mut drains = waiting();
    drains.command("bob", stop(None, AfterStop::Drain)).unwrap();
    drains.end(1, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    drains.check(&["stop_requested", "turn_ended", "turn_started"]);

    let mut pauses = waiting();
    let stopped = pauses.command("bob", stop(None, AfterStop::Pause)).unwrap();
    assert_eq!(stopped.effects, [Effect::StopTurn(TurnId(1))]);
    let ended = pauses.end(1, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    assert_eq!(ended.effects, [Effect::Snapshot(TurnId(1))]);
    pauses.check(&["stop_requested", "queue_paused", "turn_ended"]);
    assert_eq!(pauses.state.queue_paused_by.as_ref().unwrap().as_str(), "bob");
    // A prompt that is added now waits too.
    assert_eq!(pauses.prompt("cat", "p5", "me too").unwrap().effects, []);
    pauses.check(&["prompt_added"]);
    let resumed = pauses.command("cat", Command::Resume).unwrap();
    assert_eq!(resumed.effects, [Effect::RunTurn(TurnId(2))]);
    pauses.check(&["queue_resumed", "turn_started"]);
    assert_eq!(pauses.state.turns.last().unwrap().prompt, PromptId(2));
    assert_eq!(pauses.command("cat", Command::Resume), Ok(Decision::default()));
}

#[test]
fn a_prompt_that_says_so_lets_the_queue_go_on_and_is_the_first() {
    let resume =
        |request: &str| Command::PromptAndResume { request_id: request.parse().unwrap(), text: "fix".to_owned() };
    let mut story = waiting();
    story.command("ann", stop(None, AfterStop::Pause)).unwrap();
    story.end(1, TurnOutcome::Stopped { by: "ann".parse().unwrap() });
    story.written.clear();
    let accepted = story.command("ann", resume("p5")).unwrap();
    story.check(&["prompt_added", "queue_resumed", "turn_started"]);
    assert_eq!(accepted.effects, [Effect::RunTurn(TurnId(2))]);
    assert_eq!(story.state.turns.last().unwrap().prompt, PromptId(5));
    assert_eq!(order(&story), [2, 3, 4]);
    // Sent again it resumes nothing that was paused since.
    story.command("bob", stop(Some(2), AfterStop::Pause)).unwrap();
    story.written.clear();
    story.command("ann", resume("p5")).unwrap();
    story.check(&[]);
    // While the turn is still being stopped, it is the first as well.
    story.command("ann", resume("p6")).unwrap();
    story.check(&["prompt_added", "steer_requested", "queue_resumed"]);
    story.end(2, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    assert_eq!(story.state.turns.last().unwrap().prompt, PromptId(6));
    // Where nothing is paused it is a prompt as any other.
    story.written.clear();
    story.command("ann", resume("p7")).unwrap();
    story.check(&["prompt_added"]);
    assert_eq!(order(&story), [2, 3, 4, 7]);
}

#[test]
fn a_stop_of_a_named_turn_is_answered_again_and_reaches_no_other() {
    let mut story = waiting();
    let accepted = Answer::Stop(StopAccepted { turn: TurnId(1) });
    assert_eq!(story.command("bob", stop(Some(7), AfterStop::Drain)), Err(RefusalCode::Conflict));
    assert_eq!(story.command("bob", stop(Some(1), AfterStop::Drain)).unwrap().answer, accepted);
    story.end(1, TurnOutcome::Stopped { by: "bob".parse().unwrap() });
    story.written.clear();
    // Turn 2 runs now. Whoever sends the stop of turn 1 again does not mean it.
    let again = story.command("bob", stop(Some(1), AfterStop::Drain)).unwrap();
    assert_eq!((again.answer, again.effects), (accepted, vec![]));
    story.check(&[]);
    // Of whichever runs: the second time is a conflict, unless it asks for more.
    story.command("bob", stop(None, AfterStop::Drain)).unwrap();
    assert_eq!(story.command("cat", stop(None, AfterStop::Drain)), Err(RefusalCode::Conflict));
    story.command("cat", stop(None, AfterStop::Pause)).unwrap();
    assert_eq!(story.command("cat", stop(None, AfterStop::Pause)), Err(RefusalCode::Conflict));
    story.check(&["stop_requested", "queue_paused"]);
}

#[test]
fn a_paused_queue_stays_paused_over_a_restart() {
    let mut story = waiting();
    story.command("ann", stop(None, AfterStop::Pause)).unwrap();
    let woken = story.report(hangar_session::decide::Report::Woken { reason: "restart".to_owned() });
    assert_eq!(woken.effects, [Effect::Snapshot(TurnId(1))]);
    assert_eq!(story.state.open_turn(), None);
    assert!(story.state.prompts[1..].iter().all(|prompt| prompt.status == PromptStatus::Queued));
}
