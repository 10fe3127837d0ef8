//! A stream as Server-Sent Events.

use std::{convert::Infallible, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use hangar_session::Follower;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::places::StreamPlace;
use crate::{app::App, gate::Credential};

/// How often an idle connection carries a comment, so that proxies keep it open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How often it is asked whether the client may still listen.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The numbered part of a frame, if it has one.
#[derive(Deserialize)]
struct Numbered {
    event: Option<Number>,
}

#[derive(Deserialize)]
struct Number {
    seq: u64,
}

/// The answer; it ends when the session's stream does or the client leaves.
pub(super) fn answer(
    app: App,
    credential: Credential,
    follower: Follower,
    place: StreamPlace,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut check = interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = (app, credential, follower, place, check);
    let events = futures::stream::unfold(following, async |(app, credential, mut follower, place, mut check)| {
        loop {
            tokio::select! {
                frame = follower.next() => {
                    let event = numbered(&frame?);
                    return Some((Ok(event), (app, credential, follower, place, check)));
                }
                _ = check.tick() => {
                    if let Ok(None) = credential.holder(&app).await {
                        return None;
                    }
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY))
}

fn numbered(frame: &str) -> Event {
    let number = serde_json::from_str::<Numbered>(frame).ok().and_then(|frame| frame.event);
    let event = Event::default().data(frame);
    match number {
        Some(Number { seq }) => event.id(seq.to_string()),
        None => event,
    }
}
