//! The agent asks the people of a session, and whoever answers goes on with it.

use hangar_protocol::{EventBody, event::TurnOutcome, state::SessionStatus};
use hangar_testkit::{Reply, TestServer, Transcript, Watch, until};
use serde_json::json;

#[tokio::test]
async fn a_question_waits_for_anybody_through_a_restart_and_is_answered_by_a_prompt() {
    let question = json!({"question": "Which colour?", "choices": ["Red", "Blue"]});
    let transcript = Transcript::new()
        .on("paint", [Reply::say("It depends.").and_call("ask", question), Reply::say("Nobody should hear this.")])
        .on("blue", [Reply::say("Blue it is.")]);
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Paint it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let state = jane.client().session(&session).await.unwrap();
    assert_eq!(state.status, SessionStatus::Asking);
    let asked = state.question().unwrap();
    assert_eq!((asked.text.as_str(), asked.choices.len()), ("Which colour?", 2));
    assert_eq!(state.turns[0].steps, 1, "the model was asked on");

    // Nothing waits for the answer: not even a server.
    server.kill().await;
    server.restart().await;
    until("the list to say so", async || {
        let listed = jane.client().sessions().await.ok()?;
        listed.iter().any(|one| one.id == session && one.status == SessionStatus::Asking).then_some(())
    })
    .await;
    // For scripts it is an end of its own.
    let ran = server.run(&["attach", session.as_str(), "--wait"]).await;
    assert_eq!(ran.code, Some(13), "{ran:?}");
    assert!(ran.out.contains("Which colour?") && ran.out.contains("Blue"), "{ran:?}");

    jane.prompt(&session, "r2", "Blue, please.").await.unwrap().unwrap();
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    let said = watch.events().iter().any(|event| {
        matches!(&event.body, EventBody::ModelReplied { turn, blocks, .. }
            if turn.0 == 2 && format!("{blocks:?}").contains("Blue it is."))
    });
    assert!(said);
    let state = jane.client().session(&session).await.unwrap();
    assert_eq!((state.status, state.question()), (SessionStatus::Idle, None));
    server.stop().await;
}
