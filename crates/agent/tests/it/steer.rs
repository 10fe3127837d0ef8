//! Words for a running turn come between the results of its calls and the next request, once, and the same after a restart.

use std::sync::Arc;

use hangar_agent::{Conversation, TurnEnd, title};
use hangar_protocol::{EventBody, Person, event::ToolStatus};
use serde_json::{Value, json};

use crate::{
    log::Log,
    world::{World, ada, calling},
};

fn bob() -> Person {
    Person { user: "bob".parse().unwrap(), name: "Bob Noyce".into(), email: "bob@example.org".into() }
}

/// A turn whose first call waits for the file `go`; whoever steers it gets another answer.
fn steerable() -> Value {
    json!({"name": "test", "scripts": [
        {"wish": "rather blue", "replies": [
            calling("bash", json!({"command": "git init -q . && git commit -q --allow-empty -m Blue && git log -1 --format='%an <%ae>%n%B'"})),
            {"say": "Blue it is."},
        ]},
        {"replies": [calling("bash", json!({"command": "until [ -e go ]; do sleep 0.01; done"})), {"say": "Red it is."}]},
    ]})
}

/// What the model is shown after these events is what it was shown.
fn check_last_request(world: &World, log: &Log) {
    let events = log.events();
    let asked = events.iter().rposition(|event| matches!(event.body, EventBody::ModelRequested { .. })).unwrap();
    let shown = format!("{:?}", Conversation::fold(&events[..asked]).messages());
    assert!(world.last_request().contains(&shown), "{}\n{shown}", world.last_request());
}

#[tokio::test]
async fn words_come_after_the_results_of_open_calls_and_their_author_is_a_co_author() {
    let world = World::playing(&steerable(), "Make it red.").await;
    world.put("README", "x");
    let (ended, ()) = tokio::join!(world.run(), async {
        world.log.until(|log| log.bodies().iter().any(|body| matches!(body, EventBody::ToolStarted { .. }))).await;
        world.log.steer(2, bob(), "No, rather blue.");
        world.put("go", "");
    });
    assert_eq!(ended, TurnEnd::Done);
    let names: Vec<String> = world
        .log
        .bodies()
        .iter()
        .map(|body| serde_json::to_value(body).unwrap()["type"].as_str().unwrap().to_owned())
        .filter(|name| !["session_created", "files_changed"].contains(&name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            "prompt_added",
            "turn_started",
            "model_requested",
            "model_replied",
            "tool_started",
            "participant_joined",
            "prompt_added",
            "tool_finished",
            "prompt_steered",
            "model_requested",
            "model_replied",
            "tool_started",
            "tool_finished",
            "model_requested",
            "model_replied",
        ]
    );
    let (status, output) = world.results().pop().unwrap();
    assert_eq!(status, ToolStatus::Ok, "{output}");
    assert!(
        output.starts_with("Ada Lovelace <ada@example.org>\nBlue\n\nCo-authored-by: Bob Noyce <bob@example.org>\n"),
        "{output}"
    );
    let request = world.last_request();
    assert!(request.contains("[Bob Noyce (bob) says while you work:]\\n\\nNo, rather blue."), "{request}");
    check_last_request(&world, &world.log);
}

#[tokio::test]
async fn a_model_that_has_the_last_word_hears_what_was_said_meanwhile() {
    let transcript = json!({"name": "test", "pace": {"chunk_chars": 1, "pause_ms": 20}, "scripts": [
        {"wish": "rather blue", "replies": [{"say": "Blue it is."}]},
        {"replies": [{"say": "Red it is, and that is all there is to say."}]},
    ]});
    let world = World::playing(&transcript, "Make it red.").await;
    let (ended, ()) = tokio::join!(world.run(), async {
        world.log.until(|log| !log.shown(1).is_empty()).await;
        world.log.steer(2, ada(), "No, rather blue.");
    });
    assert_eq!(ended, TurnEnd::Done);
    assert_eq!(world.log.shown(2), "Blue it is.");
    check_last_request(&world, &world.log);
    // Who steers their own turn is no co-author of it.
    assert_eq!(world.log.conversation().open_turn().unwrap().steerers, []);
}

#[tokio::test]
async fn what_was_said_before_a_crash_is_heard_after_it_and_not_said_again() {
    let world = World::playing(&steerable(), "Make it red.").await;
    world.put("go", "");
    world.log.steer(2, bob(), "No, rather blue.");
    // Room for the joining, the prompt, and the words themselves: the request that has them never leaves a trace.
    world.log.cut_after(world.log.events().len() + 1);
    assert_eq!(world.run().await, TurnEnd::Over);
    assert!(matches!(world.log.bodies().last(), Some(EventBody::PromptSteered { .. })));
    let resumed = Arc::new(Log::of(world.log.events(), world.log.blobs()));
    assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done);
    assert_eq!(resumed.bodies().iter().filter(|body| matches!(body, EventBody::PromptSteered { .. })).count(), 1);
    assert_eq!(resumed.shown(2), "Blue it is.");
    assert_eq!(world.last_request().matches("rather blue").count(), 1);
}

#[tokio::test]
async fn a_repositorys_own_hooks_run_and_decide_all_the_same() {
    let commit = "git init -q . && mkdir -p .git/hooks own && \
        printf '#!/bin/sh\\necho own-pre >> hooks.log\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit && \
        git commit -q --allow-empty -m One && git commit -q --amend --no-edit --allow-empty && \
        printf '#!/bin/sh\\ngrep -q Forbidden \"$1\" && exit 1\\necho own-msg >> hooks.log\\n' > own/commit-msg && chmod +x own/commit-msg && \
        git config core.hooksPath own && git commit -q --allow-empty -m Two && \
        (git commit -q --allow-empty -m Forbidden || echo refused) && cat hooks.log && git log --format=%B";
    let transcript = json!({"name": "test", "scripts": [{"replies": [calling("bash", json!({"command": commit})), {"say": "Done."}]}]});
    let world = World::playing(&transcript, "Commit.").await;
    world.put("README", "x");
    world.log.steer(2, bob(), "And quickly.");
    assert_eq!(world.run().await, TurnEnd::Done);
    let (status, output) = world.results().pop().unwrap();
    assert_eq!(status, ToolStatus::Ok, "{output}");
    let trailer = "Co-authored-by: Bob Noyce <bob@example.org>\n\n";
    assert_eq!(
        output.trim_end(),
        format!("refused\nown-pre\nown-pre\nown-msg\nTwo\n\n{trailer}One\n\n{trailer}").trim_end()
    );
}

#[tokio::test]
async fn a_title_is_what_the_model_says_to_the_first_prompt() {
    let transcript = json!({"name": "test", "scripts": [
        {"wish": "dark", "title": "\"Add a dark mode.\"", "replies": [{"say": "Done."}]},
        {"replies": [{"say": "Done."}]},
    ]});
    let world = World::playing(&transcript, "Do it.").await;
    let title = title::write(world.model(), "Please make it dark.").await.unwrap();
    assert_eq!(title.text, "Add a dark mode");
    assert_eq!(title::write(world.model(), "Something else.").await, Err("the model wrote no title".to_owned()));
}
