//! Prompts while a turn runs: they are said to it, changed while they wait, and let wait; and whose the work is afterwards.

use hangar_protocol::{
    Cause, EventBody, PromptId, TurnId,
    api::{OpenPullRequest, PromptMode, StopTurn},
    event::TurnOutcome,
    state::{PromptStatus, TitleSource},
};
use hangar_testkit::{Reply, Story, TestServer, Transcript, Watch, commits_of, messages_of, within};
use serde_json::Value;

/// Runs until it is stopped or killed.
const FOREVER: &str = "sleep 600";

#[tokio::test]
async fn who_steers_a_turn_is_named_in_its_commits() {
    let commit = "echo blue > paint.txt && git add -A && git commit --quiet --message 'Paint it' && git push --quiet origin HEAD";
    let transcript = Transcript::new()
        .on("rather blue", [Reply::bash(commit), Reply::bash("echo more > left.txt"), Reply::say("Blue it is.")])
        .on("paint", [Reply::bash("sleep 3"), Reply::say("Red it is.")])
        .on("frame", [Reply::bash(&commit.replace("paint", "frame").replace("Paint", "Frame")), Reply::say("Framed.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let session = jane.begin("acme/tiny", "Please paint it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    let said = within("the steer", ada.client().say(&session, "No, rather blue.", PromptMode::Steer)).await.unwrap();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let steered = watch.until("the words", |event| matches!(event.body, EventBody::PromptSteered { .. })).await;
    assert_eq!(steered.cause, Cause::User { user: "ada".parse().unwrap() });
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!(state.turns[0].steered, [said.prompt], "{}", Story::of(watch.events()));
    assert_eq!(state.turns.len(), 1);

    // What the turn left is committed by hangar itself, in the same names.
    let wish = OpenPullRequest { title: Some("A blue tiny".to_owned()), body: None };
    within("the pull request", jane.client().open_pull_request(&session, &wish)).await.unwrap();
    // A turn that nobody steers names nobody.
    jane.prompt(&session, "r2", "Now frame it.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);

    let url = within("the repositories", jane.client().repos()).await.unwrap()[0].clone_url.clone();
    let messages = messages_of(&url, jane.token(), &state.branch, server.directory()).await;
    let trailer = "\n\nCo-authored-by: Ada Byron <ada@example.org>";
    assert_eq!(
        messages,
        [
            "Frame it".to_owned(),
            format!("A blue tiny{trailer}"),
            format!("Paint it{trailer}"),
            "Import tiny".to_owned()
        ]
    );
    let commits = commits_of(&url, jane.token(), &state.branch, server.directory()).await;
    assert!(commits.iter().all(|commit| commit.starts_with("Jane Doe <jane@example.org>: ")), "{commits:?}");
    server.stop().await;
}

#[tokio::test]
async fn words_that_were_acknowledged_are_heard_once_after_a_kill() {
    let transcript = Transcript::new()
        .on("rather blue", [Reply::say("Blue it is.")])
        .on("paint", [Reply::bash(FOREVER), Reply::say("Red it is.")])
        .on("frame", [Reply::say("Framed.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please paint it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    jane.prompt(&session, "r2", "Then frame it.").await.unwrap().unwrap();
    let said = within("the steer", jane.client().say(&session, "Rather blue.", PromptMode::Steer)).await.unwrap();
    server.kill().await;
    server.restart().await;
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    let log = jane.log(&session).await;
    let heard: Vec<PromptId> = log
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::PromptSteered { prompt, turn } if turn.0 == 1 => Some(*prompt),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [said.prompt], "{}", Story::of(&log));
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    let statuses: Vec<_> = state.prompts.iter().map(|prompt| prompt.status).collect();
    assert_eq!(statuses, [PromptStatus::Taken, PromptStatus::Taken, PromptStatus::Steered]);
    assert!(Story::of(&log).to_string().contains("Blue it is."), "{}", Story::of(&log));
    server.stop().await;
}

#[tokio::test]
async fn the_queue_is_changed_and_paused_from_the_command_line() {
    let transcript = Transcript::new().on("wait", [Reply::bash(FOREVER)]).on("say", [Reply::say("Said.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let session = jane.begin("acme/tiny", "Please wait.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    for (person, id, text) in [(&ada, "r2", "say two"), (&jane, "r3", "say three"), (&jane, "r4", "say four")] {
        person.prompt(&session, id, text).await.unwrap().unwrap();
    }
    let s = session.as_str();
    let listed = |out: String| {
        let queue: Value = serde_json::from_str(&out).unwrap();
        let prompts: Vec<String> = queue["prompts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|prompt| {
                format!("{} {} {}", prompt["id"], prompt["author"].as_str().unwrap(), prompt["text"].as_str().unwrap())
            })
            .collect();
        (queue["paused_by"].clone(), prompts)
    };
    let (paused_by, prompts) = listed(server.run(&["queue", s]).await.well());
    assert_eq!(
        (paused_by, prompts),
        (Value::Null, ["2 ada say two", "3 jane say three", "4 jane say four"].map(str::to_owned).to_vec())
    );
    let _ = server.run(&["queue", "edit", s, "3", "say three better"]).await.well();
    let _ = server.run(&["queue", "move", s, "4", "--before", "2"]).await.well();
    let _ = server.run(&["stop", s, "--pause"]).await.well();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    let (paused_by, prompts) = listed(server.run(&["queue", "cancel", s, "2"]).await.well());
    assert_eq!(
        (paused_by, prompts),
        ("jane".into(), ["4 jane say four", "3 jane say three better"].map(str::to_owned).to_vec())
    );
    assert_eq!(server.run(&["queue", "cancel", s, "2"]).await.code, Some(5));
    assert_eq!(server.run(&["queue", "steer", s, "3"]).await.code, Some(5), "no turn runs");
    assert_eq!(server.run(&["queue", "edit", s, "9", "x"]).await.code, Some(4));
    assert_eq!(server.run(&["stop", s]).await.code, Some(5));
    // The queue stays as it is over a restart, until somebody lets it go on.
    server.kill().await;
    server.restart().await;
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.open_turn(), state.waiting.len()), (None, 2));
    let _ = server.run(&["resume", s]).await.well();
    assert_eq!(watch.turn_ended(3).await, TurnOutcome::Done);
    let began: Vec<u32> = watch
        .events()
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::TurnStarted { prompt, .. } => Some(prompt.0),
            _ => None,
        })
        .collect();
    assert_eq!(began, [1, 4, 3]);
    // A stop that is sent again does not reach the next turn.
    jane.prompt(&session, "r5", "wait again").await.unwrap().unwrap();
    watch
        .until("the second wait", |event| matches!(&event.body, EventBody::ToolStarted { turn, .. } if turn.0 == 4))
        .await;
    jane.prompt(&session, "r6", "wait once more").await.unwrap().unwrap();
    let stop = StopTurn { turn: Some(TurnId(4)), ..StopTurn::default() };
    within("the stop", jane.client().stop_turn(&session, &stop)).await.unwrap();
    watch
        .until("the third wait", |event| matches!(&event.body, EventBody::ToolStarted { turn, .. } if turn.0 == 5))
        .await;
    let again = within("the stop again", jane.client().stop_turn(&session, &stop)).await.unwrap();
    assert_eq!(again.turn.0, 4);
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!(state.open_turn().map(|turn| (turn.id.0, turn.stop_requested_by.clone())), Some((5, None)));
    within("the last stop", jane.client().stop(&session)).await.unwrap();
    watch.turn_ended(5).await;
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_called_what_its_model_says_until_a_person_says_otherwise() {
    let transcript = Transcript::new()
        .on("dark", [Reply::bash("sleep 1"), Reply::say("Dark.")])
        .titled("Add a dark mode.")
        .on("light", [Reply::say("Light.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please make it dark, as dark as it can possibly be made.").await;
    assert_eq!(session.title, "Please make it dark, as dark as it can possibly be made.");
    let mut watch = Watch::new(&jane, &session.id);
    let titled = watch.until("the title", |event| matches!(event.body, EventBody::TitleChanged { .. })).await;
    assert_eq!(titled.cause, Cause::System);
    let requested = watch.events().iter().position(|event| matches!(event.body, EventBody::ModelRequested { .. }));
    assert!(requested.unwrap() < watch.events().iter().position(|event| *event == titled).unwrap());
    let state = within("the state", jane.client().session(&session.id)).await.unwrap();
    assert_eq!((state.title.as_str(), state.title_from), ("Add a dark mode", TitleSource::Model));
    within("the renaming", jane.client().rename_session(&session.id, "Night")).await.unwrap();
    watch.turn_ended(1).await;
    let state = within("the state", jane.client().session(&session.id)).await.unwrap();
    assert_eq!((state.title.as_str(), state.title_from), ("Night", TitleSource::Person));
    // A wish without a scripted title keeps its first words, and the log of the server says why.
    let other = jane.begin("acme/tiny", "Rather light.").await;
    Watch::new(&jane, &other.id).turn_ended(1).await;
    let reason =
        hangar_testkit::until("the reason", async || server.log().contains("no title was written").then_some(())).await;
    assert_eq!(reason, ());
    let state = within("the state", jane.client().session(&other.id)).await.unwrap();
    assert_eq!((state.title.as_str(), state.title_from), ("Rather light.", TitleSource::Prompt));
    server.stop().await;
}
