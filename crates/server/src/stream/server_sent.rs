//! A stream as Server-Sent Events.

use std::{convert::Infallible, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use hangar_session::Delivery;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Form, Open};

/// How often an idle connection carries a comment, so that proxies keep it open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How often it is asked whether the client may still listen.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The answer; it ends when the stream does or the client leaves. A client that takes nothing is cut off by the kernel
/// (see `accept.rs`), and comes back with its cursor.
pub(super) fn answer(open: Open) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut check = interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = futures::stream::unfold((open, check), async |(mut open, mut check)| {
        loop {
            tokio::select! {
                delivery = open.subscription.next() => {
                    let event = numbered(&delivery?, open.form);
                    return Some((Ok(event), (open, check)));
                }
                _ = check.tick() => {
                    if let Ok(None) = open.credential.holder(&open.app).await {
                        return None;
                    }
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY))
}

fn numbered(delivery: &Delivery, form: Form) -> Event {
    let event = Event::default().data(form.text(delivery));
    match (form, delivery.seq()) {
        (Form::Plain, Some(seq)) => event.id(seq.to_string()),
        // A number of one session says nothing about the others: who follows many says where to go on in the address.
        (Form::Plain, None) | (Form::Addressed, _) => event,
    }
}
