//! What a client says on a WebSocket.

use hangar_protocol::{
    Frame, Refusal, RefusalCode, SessionId,
    frame::{Ask, FollowFrom, SessionFrame},
};
use hangar_session::Subscription;

use super::Form;
use crate::extract;

/// Carries out what was asked. Gives back what is to be sent at once: refusals.
pub(super) async fn carry_out(text: &str, subscription: &mut Subscription, form: Form) -> Vec<String> {
    match (serde_json::from_str(text), form) {
        (Ok(ask), _) => {
            let refused = ask_of(ask, subscription, form).await;
            refused.into_iter().map(|(session, refusal)| frame(session, refusal, form)).collect()
        }
        // Whatever else a client says on the stream of one session means nothing.
        (Err(_), Form::Plain) => Vec::new(),
        (Err(error), Form::Addressed) => {
            let message = format!("This is nothing that can be asked on a stream: {error}.");
            let refusal =
                Refusal::new(RefusalCode::BadRequest, message, "`Ask` in /api/v1/openapi.json describes what can.");
            vec![frame(None, refusal, form)]
        }
    }
}

async fn ask_of(ask: Ask, subscription: &mut Subscription, form: Form) -> Vec<(Option<SessionId>, Refusal)> {
    match (ask, form) {
        (Ask::Follow { .. } | Ask::Unfollow { .. }, Form::Plain) => {
            let refusal = Refusal::new(
                RefusalCode::BadRequest,
                "This stream is about one session.",
                "Use /api/v1/stream to follow several.",
            );
            vec![(None, refusal)]
        }
        (Ask::Follow { sessions }, Form::Addressed) => {
            let mut refused = Vec::new();
            for from in sessions {
                if let Err(refusal) = follow(&from, subscription).await {
                    refused.push((Some(from.session), refusal));
                }
            }
            refused
        }
        (Ask::Unfollow { sessions }, Form::Addressed) => {
            sessions.iter().for_each(|session| subscription.unfollow(session));
            Vec::new()
        }
        (Ask::Typing { session }, _) => {
            let told = subscription.typing(session.as_ref());
            told.err().map(|refusal| (session, refusal)).into_iter().collect()
        }
    }
}

async fn follow(from: &FollowFrom, subscription: &mut Subscription) -> Result<(), Refusal> {
    extract::cursor(from.after).map_err(|refused| refused.0)?;
    subscription.follow(from).await
}

fn frame(session: Option<SessionId>, refusal: Refusal, form: Form) -> String {
    let frame = Frame::Refused { refusal };
    // Frames are plain data, so making JSON of one cannot fail.
    match form {
        Form::Plain => serde_json::to_string(&frame).unwrap_or_default(),
        Form::Addressed => serde_json::to_string(&SessionFrame { session, frame }).unwrap_or_default(),
    }
}
