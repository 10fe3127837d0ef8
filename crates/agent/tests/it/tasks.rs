//! Whole small tasks.

use std::sync::atomic::Ordering;

use hangar_agent::TurnEnd;
use hangar_protocol::{
    Block, Cause, EventBody, ModelUsage, Person, Question, StopReason, TodoStatus,
    event::{ToolStatus, TurnOutcome},
};
use serde_json::json;

use crate::world::{World, ada, calling};

#[tokio::test]
async fn a_task_reads_edits_runs_and_opens_a_pull_request() {
    let mut world = World::of(json!([
        {"think": "Hm.", "say": "I look first.", "usage": {"input": 900, "output": 40, "cache_read": 7, "cache_write": 5},
         "calls": [{"tool": "read", "input": {"path": "greet.sh"}}]},
        {"calls": [{"tool": "todo", "input": {"items": [{"text": "greet", "status": "in_progress"}]}},
                   {"tool": "edit", "input": {"path": "greet.sh", "old_string": "hello", "new_string": "good day"}}]},
        {"after": "Edited greet.sh at line 2", "calls": [{"tool": "bash", "input": {"command": "bash greet.sh"}}]},
        {"after": "good day Ada Lovelace <ada@example.org>",
         "calls": [{"tool": "open_pull_request", "input": {"title": "Greet politely", "body": "It was rude."}}]},
        {"capture": {"number": {"from": "#", "to": ":"}}, "say": "Done, see #${number}."},
    ]))
    .await;
    world.put("greet.sh", "#!/bin/sh\necho \"hello $GIT_AUTHOR_NAME <$GIT_COMMITTER_EMAIL>\"\n");
    world.limits.steps_max = 5;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.text("greet.sh"), "#!/bin/sh\necho \"good day $GIT_AUTHOR_NAME <$GIT_COMMITTER_EMAIL>\"\n");
    assert_eq!(world.log.pull_requests()[0].title.as_deref(), Some("Greet politely"));
    let bodies = world.log.bodies();
    let EventBody::ModelReplied { blocks, usage, cost_micro_usd, stop, step, .. } = &bodies[4] else {
        panic!("{:?}", bodies[4]);
    };
    assert_eq!((*step, *stop, *cost_micro_usd), (1, StopReason::ToolUse, Some(0)));
    let counted = ModelUsage { input_tokens: 900, output_tokens: 40, cache_read_tokens: 7, cache_write_tokens: 5 };
    assert_eq!(*usage, counted);
    let [Block::Reasoning { text, provider }, Block::Text { text: words }, Block::ToolCall { name, input, .. }] =
        blocks.as_slice()
    else {
        panic!("{blocks:?}");
    };
    assert_eq!((text.as_str(), words.as_str(), name.as_str()), ("Hm.", "I look first.", "read"));
    assert_eq!(*provider, json!({"type": "thinking", "thinking": "Hm.", "signature": "c2NyaXB0ZWQ="}));
    assert_eq!(*input, json!({"path": "greet.sh"}));
    assert_eq!(world.log.shown(1), "Hm.I look first.");
    assert_eq!(world.log.shown(5), "Done, see #7.");
    assert!(bodies.iter().any(|body| matches!(body, EventBody::TodoChanged { items }
        if items.len() == 1 && items[0].status == TodoStatus::InProgress)));
    // Thoughts went back as they came.
    assert!(world.last_request().contains("c2NyaXB0ZWQ="));
}

#[tokio::test]
async fn no_sandbox_is_asked_for_before_a_tool_needs_one() {
    let world = World::of(json!([
        calling("todo", json!({"items": []})),
        {"say": "Nothing to do."},
    ]))
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.claims.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_request_leaves_before_its_event_is_durable_and_the_reply_waits_for_it() {
    let world = World::of(json!([{"say": "Hello."}])).await;
    world.run().await;
    let kinds: Vec<&str> = world.log.bodies()[3..]
        .iter()
        .map(|body| match body {
            EventBody::ModelRequested { .. } => "requested",
            EventBody::ModelReplied { .. } => "replied",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["requested", "replied"]);
}

#[tokio::test]
async fn a_question_ends_the_turn_and_the_next_prompt_is_its_answer() {
    let world = World::of(json!([
        {"calls": [{"tool": "ask", "input": {"question": " "}}]},
        {"after": "A question has 1 to 2000 characters",
         "calls": [{"tool": "ask", "input": {"question": "Which?", "choices": ["1", "2", "3", "4", "5", "6", "7"]}}]},
        {"after": "at most 6 choices",
         "calls": [{"tool": "ask", "input": {"question": "Which colour?", "choices": ["Red", "Blue\nor so"]}},
                   {"tool": "write", "input": {"path": "a.txt", "content": "a"}}]},
        {"say": "Blue it is."},
    ]))
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    // What was called beside it was done, and the model was not asked once more.
    assert_eq!(world.text("a.txt"), "a");
    let bodies = world.log.bodies();
    assert_eq!(bodies.iter().filter(|body| matches!(body, EventBody::ModelReplied { .. })).count(), 3);
    let asked: Vec<&Question> = bodies
        .iter()
        .filter_map(|body| match body {
            EventBody::QuestionAsked { question, .. } => Some(question),
            _ => None,
        })
        .collect();
    let question =
        Question { text: "Which colour?".into(), choices: vec!["Red".into(), "Blue or so".into()], permission: None };
    assert_eq!(asked, [&question]);
    // A server that was killed before the turn's end was written asks the model nothing either.
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.log.bodies(), bodies);
    world.log.end_turn(TurnOutcome::Done);
    world.prompt(2, "ada", "Blue.");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.last_request().contains("Blue."), "{}", world.last_request());
}

#[tokio::test]
async fn several_people_are_told_apart() {
    let world = World::of(json!([{"say": "Yes?"}])).await;
    world.run().await;
    world.log.end_turn(TurnOutcome::Done);
    let bob = Person { user: "bob".parse().unwrap(), name: "Bob".into(), email: "bob@example.org".into() };
    world.log.append(Cause::System, EventBody::ParticipantJoined { person: bob.clone() });
    world.prompt(2, "bob", "And now?");
    assert_eq!(world.log.conversation().open_turn().unwrap().author, bob);
    assert_eq!(world.run().await, TurnEnd::Done);
    let request = world.last_request();
    assert!(request.contains(r#"Text("Do it.")"#) && request.contains(r#"Text("Bob (bob):\nAnd now?")"#), "{request}");
    assert_eq!(ada().name, "Ada Lovelace");
}

#[tokio::test]
async fn instructions_ride_on_the_first_result_that_can_carry_them() {
    let world = World::of(json!([
        calling("todo", json!({"items": []})),
        calling("read", json!({"path": "a.txt"})),
        calling("read", json!({"path": "deep/er/b.txt"})),
        calling("read", json!({"path": "deep/er/b.txt"})),
        {"say": "Read."},
    ]))
    .await;
    world.put("AGENTS.md", "Use tabs.");
    world.put("CLAUDE.md", "Never read this.");
    world.put("deep/CLAUDE.md", "Go deeper.");
    world.put("a.txt", "a");
    world.put("deep/er/b.txt", "b");
    assert_eq!(world.run().await, TurnEnd::Done);
    let results: Vec<String> = world.results().into_iter().map(|(_, output)| output).collect();
    let root = "1\ta\n\n\n<project-instructions file=\"AGENTS.md\">\nUse tabs.\n</project-instructions>\n[project instructions given: AGENTS.md]";
    let deep = "1\tb\n\n\n<project-instructions file=\"deep/CLAUDE.md\">\nGo deeper.\n</project-instructions>\n[project instructions given: deep/CLAUDE.md]";
    assert_eq!(results[1..], [root, deep, "1\tb\n"]);
    // A later turn, perhaps of a restarted server, does not give them again.
    world.log.end_turn(TurnOutcome::Done);
    world.prompt(2, "ada", "Again.");
    world.run().await;
    let results = world.results();
    assert_eq!(
        results[5..],
        [(ToolStatus::Ok, "1\ta\n".into()), (ToolStatus::Ok, "1\tb\n".into()), (ToolStatus::Ok, "1\tb\n".into())]
    );
}

#[tokio::test]
async fn skills_are_listed_with_the_first_result_and_read_when_they_are_needed() {
    let world = World::of(json!([
        calling("read", json!({"path": "a.txt"})),
        calling("read", json!({"path": ".agents/skills/release/SKILL.md"})),
        {"say": "Read."},
    ]))
    .await;
    world.put("a.txt", "a");
    let skill =
        |name: &str, description: &str| format!("---\nname: {name}\ndescription: {description}\n---\nThe body.");
    world.put(".agents/skills/release/SKILL.md", &skill("release", "How a release is made."));
    world.put(".agents/skills/broken/SKILL.md", "no head");
    world.put(".agents/skills/README.md", &skill("no-skill", "A file, not a folder."));
    world.put(".claude/skills/other/SKILL.md", &skill("other", "Something else."));
    world.put(".claude/skills/release/SKILL.md", &skill("release", "The same, which comes second."));
    assert_eq!(world.run().await, TurnEnd::Done);
    let results: Vec<String> = world.results().into_iter().map(|(_, output)| output).collect();
    let listed = "1\ta\n\n\n<project-instructions file=\"skills\">\n\
        Skills of this repository. Before work that one of them is for, read its file and follow it:\n\
        - release: How a release is made. (.agents/skills/release/SKILL.md)\n\
        - other: Something else. (.claude/skills/other/SKILL.md)\n\
        </project-instructions>\n[project instructions given: skills]";
    assert_eq!(results[0], listed);
    assert!(results[1].contains("The body.") && !results[1].contains("project-instructions"), "{}", results[1]);
}

#[tokio::test]
async fn a_turn_has_limits_and_says_so() {
    let mut world =
        World::of(json!([calling("todo", json!({"items": []})), calling("todo", json!({"items": []})), {"say": "x"}]))
            .await;
    world.limits.steps_max = 2;
    let TurnEnd::Failed { reason } = world.run().await else { panic!() };
    assert!(reason.contains("used its 2 model requests"), "{reason}");

    let cut_off = World::of(json!([{"say": "It is", "stop": "max_tokens"}])).await;
    let TurnEnd::Failed { reason } = cut_off.run().await else { panic!() };
    assert!(reason.contains("limit of what it may write"), "{reason}");
    let refused = World::of(json!([{"say": "No.", "stop": "refusal"}])).await;
    let TurnEnd::Failed { reason } = refused.run().await else { panic!() };
    assert!(reason.contains("refused"), "{reason}");
}
