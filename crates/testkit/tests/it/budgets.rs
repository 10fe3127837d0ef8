//! Budgets that are used up: the turn waits with its work intact, through restarts, and goes on when it may.

use hangar_protocol::{
    Event, EventBody, RefusalCode, TurnId,
    budget::{BudgetScope, Measure},
    event::TurnOutcome,
    state::SessionStatus,
};
use hangar_testkit::{Ran, Reply, Setting, Story, TestServer, Transcript, Watch, within};

fn writers() -> Transcript {
    Transcript::new().on(
        "write",
        [Reply::bash("echo one >> a.txt"), Reply::bash("echo two >> a.txt; cat a.txt"), Reply::say("Done.")],
    )
}

fn is_paused(event: &Event) -> bool {
    matches!(event.body, EventBody::TurnPaused { .. })
}

#[tokio::test]
async fn a_session_waits_for_its_budget_and_goes_on_where_it_was() {
    let setting = Setting::new(writers()).configured("[budgets]\nsession_tool_calls = 1");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    // A script is told by the exit status.
    let ran = Ran::of(&mut server.command(&["run", "--repo", "acme/tiny", "Please write it."])).await;
    assert_eq!(ran.code, Some(12), "{ran:?}");
    assert!(ran.out.contains("1 tool call of 1 tool call") && ran.out.contains("hangar budget"), "{ran:?}");
    let session = within("the list", jane.client().sessions()).await.unwrap()[0].id.clone();
    let state = within("the state", jane.client().session(&session)).await.unwrap();
    assert_eq!((state.status, state.spent.tool_calls), (SessionStatus::Paused, 1));
    let exhausted = state.turns[0].paused.clone().unwrap();
    assert_eq!((exhausted.scope, exhausted.measure), (BudgetScope::Session, Measure::ToolCalls));

    // It waits through a crash, and nobody but an owner raises it.
    server.kill().await;
    server.restart().await;
    let refused = within("ada's wish", ada.client().set_budget(&session, &Default::default())).await;
    match refused {
        Err(hangar_client::Error::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Forbidden),
        other => panic!("{other:?}"),
    }
    within("going on without more", ada.client().continue_turn(&session)).await.unwrap();
    let mut watch = Watch::new(&jane, &session);
    watch.until("the continuation", |event| matches!(event.body, EventBody::TurnContinued { .. })).await;
    let seq = watch.events().last().unwrap().seq;
    watch.until("the second pause", |event| is_paused(event) && event.seq > seq).await;

    let _ = server.run(&["budget", session.as_str(), "--tool-calls", "none"]).await.well();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let story = Story::of(watch.events()).to_string();
    assert!(story.contains(r#"ok: "one\ntwo"#), "each call ran once:\n{story}");
    assert!(!story.contains("interrupted"), "{story}");
    let shown: serde_json::Value =
        serde_json::from_str(&server.run(&["budget", session.as_str()]).await.well()).unwrap();
    assert_eq!((&shown["spent"]["tool_calls"], &shown["budget"]["tool_calls"]), (&2.into(), &serde_json::Value::Null));
    server.stop().await;
}

#[tokio::test]
async fn a_persons_day_is_counted_over_sessions_and_restarts() {
    let setting = Setting::new(writers()).configured("[budgets]\nuser_day_tool_calls = 3\nteam_day_tool_calls = 4");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let first = jane.begin("acme/tiny", "Please write it.").await.id;
    assert_eq!(Watch::new(&jane, &first).turn_ended(1).await, TurnOutcome::Done);
    server.kill().await;
    server.restart().await;
    let second = jane.begin("acme/tiny", "Please write it.").await.id;
    let mut watch = Watch::new(&jane, &second);
    let scope_of = |event: &Event| match &event.body {
        EventBody::TurnPaused { exhausted, .. } => exhausted.scope,
        other => panic!("{other:?}"),
    };
    assert_eq!(scope_of(&watch.until("the end of jane's day", is_paused).await), BudgetScope::UserDay);
    // Another person has a day of their own, but the team's is nearly over.
    let third = ada.begin("acme/tiny", "Please write it.").await.id;
    let mut watching = Watch::new(&ada, &third);
    assert_eq!(scope_of(&watching.until("the end of the team's day", is_paused).await), BudgetScope::TeamDay);
    let today = within("the day", jane.client().day_budgets()).await.unwrap();
    let by: Vec<_> = today.by.iter().map(|(user, spent)| (user.as_str(), spent.tool_calls)).collect();
    assert_eq!((by, today.spent.tool_calls), (vec![("ada", 1), ("jane", 3)], 4));
    let hers = within("her day", ada.client().day_budgets()).await.unwrap();
    assert_eq!(hers.by.len(), 1, "others' are not hers to see");
    // What waits can be stopped, and the work is kept.
    within("the stop", jane.client().stop(&second)).await.unwrap();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "jane".parse().unwrap() });
    let turn = EventBody::TurnEnded { turn: TurnId(1), outcome: TurnOutcome::Stopped { by: "jane".parse().unwrap() } };
    assert!(watch.events().iter().any(|event| event.body == turn));
    server.stop().await;
}
