//! Programs in a sandbox ask models through the gateway: by the session's leave, at the session's cost, and nobody else can.

use hangar_protocol::{Event, EventBody, GatewayOutcome, event::TurnOutcome, state::SessionStatus};
use hangar_testkit::{Reply, Setting, Story, TestServer, Transcript, Watch, within};
use serde_json::json;

/// A command that asks the scripted model for what it says to `wish`, with this token.
fn ask(wish: &str, token: &str) -> String {
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": wish}]}]);
    let body = json!({"model": "scripted/test", "max_tokens": 100, "stream": true, "messages": messages});
    format!(
        "curl -sS -N -H \"x-api-key: {token}\" -H 'content-type: application/json' -d '{body}' \"$HANGAR_MODELS_URL/anthropic/v1/messages\""
    )
}

const OWN: &str = "$HANGAR_MODELS_TOKEN";

/// A model that says something to a program, and lets its agent run these commands, one after the other.
fn asking(commands: &[String]) -> Transcript {
    let runs = commands.iter().map(|command| Reply::bash(command)).chain([Reply::say("Done.")]);
    let inner = "An inner word. ".repeat(40);
    Transcript::new().on("inner wish", [Reply::say(&inner).costing(100, 20)]).on("outer wish", runs)
}

fn offered(transcript: Transcript) -> Setting {
    Setting::new(transcript).configured("[sessions]\nmodel_gateway = \"commands\"")
}

/// What the calls of a session gave, in order.
fn outputs(watch: &Watch) -> Vec<String> {
    let output = |event: &Event| match &event.body {
        EventBody::ToolFinished { output, .. } => Some(output.clone()),
        _ => None,
    };
    watch.events().iter().filter_map(output).collect()
}

#[tokio::test]
async fn a_program_asks_a_model_and_the_session_pays() {
    let commands = [
        ask("inner wish", OWN),
        ask("inner wish", "hangar-models-guessed"),
        format!("{} | grep -c text_delta", ask("inner wish", OWN)),
        "curl -sS -X POST \"$HANGAR_MODELS_URL/anthropic/v1/files\"; git ls-remote origin | head -1".to_owned(),
        "echo \"the token has ${#HANGAR_MODELS_TOKEN} characters\"".to_owned(),
    ];
    let mut server = TestServer::start_with(offered(asking(&commands))).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "An outer wish.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let outputs = outputs(&watch);
    assert!(outputs[0].contains("message_start") && outputs[0].contains("message_stop"), "{}", outputs[0]);
    assert!(
        outputs[1].contains("authentication_error") && outputs[1].contains("HANGAR_MODELS_TOKEN"),
        "{}",
        outputs[1]
    );
    assert_ne!(outputs[2].trim(), "0");
    assert!(outputs[3].contains("not_found_error") && outputs[3].contains("HEAD"), "{}", outputs[3]);
    assert!(outputs[4].contains("has 78 characters"), "{}", outputs[4]);

    let story = Story::of(watch.events()).to_string();
    let told: Vec<&str> = story.lines().filter(|line| line.contains("gateway_")).map(str::trim).collect();
    let words: Vec<&str> = told.iter().map(|line| &line[line.find("gateway_").unwrap()..]).collect();
    assert_eq!(
        words,
        [
            "gateway_requested 1.1 scripted/test",
            "gateway_replied 1.1 answered, 120 tokens",
            "gateway_requested 1.2 scripted/test",
            "gateway_replied 1.2 answered, 120 tokens",
        ]
    );
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.spent.tokens, state.usage.total(), state.turns[0].gateway_requests), (240, 240, 2));
    let today = within("the day", jane.client().day_budgets()).await.unwrap();
    assert_eq!(today.spent.tokens, 240);
    // The list and its statistics say what the log says.
    let data = server.data().display().to_string();
    let _ = server.run(&["rebuild", "--check", "--data", &data]).await.well();
    // Outside of the sandbox there is no gateway: what is no route is the web app's, and can be read alone.
    let outside = reqwest::Client::new().post(format!("{}/-/anthropic/v1/messages", jane.client().url()));
    assert_eq!(within("an answer", outside.bearer_auth(jane.token()).send()).await.unwrap().status(), 405);
    server.stop().await;
}

#[tokio::test]
async fn a_budget_that_is_used_up_by_a_program_refuses_the_next_and_the_turn_waits() {
    let command = format!("{}; {}", ask("inner wish", OWN), ask("inner wish", OWN));
    let setting = offered(asking(&[command])).configured("[budgets]\nsession_tokens = 100");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "An outer wish.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.until("the pause", |event| matches!(event.body, EventBody::TurnPaused { .. })).await;
    let outputs = outputs(&watch);
    assert!(outputs[0].contains("message_stop") && outputs[0].contains("billing_error"), "{}", outputs[0]);
    assert!(outputs[0].contains("120 tokens of 100 tokens"), "{}", outputs[0]);
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.status, state.spent.tokens, state.turns[0].gateway_requests), (SessionStatus::Paused, 120, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_what_a_program_is_being_told() {
    // All of it takes half a minute.
    let transcript = asking(&[ask("inner wish", OWN)]).pace(1, 50);
    let mut server = TestServer::start_with(offered(transcript)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "An outer wish.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.until("the request", |event| matches!(event.body, EventBody::GatewayRequested { .. })).await;
    within("the stop", jane.client().stop(&session)).await.expect("a turn runs");
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    let replied = watch.until("its end", |event| matches!(event.body, EventBody::GatewayReplied { .. })).await;
    match replied.body {
        EventBody::GatewayReplied { outcome, .. } => assert_eq!(outcome, GatewayOutcome::CutOff),
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

#[tokio::test]
async fn where_it_is_not_offered_there_is_none() {
    let command =
        "echo \"at ${HANGAR_MODELS_URL-nowhere}\"; curl -sS -X POST http://hangar.internal/-/anthropic/v1/messages";
    let mut server = TestServer::start(asking(&[command.to_owned()])).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "An outer wish.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let outputs = outputs(&watch);
    assert!(outputs[0].contains("at nowhere") && outputs[0].contains("Only git is served here"), "{}", outputs[0]);
    server.stop().await;
}
