//! How much at once, and for how long.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hangar_protocol::RefusalCode;
use tokio::sync::Semaphore;

use crate::{answer::Refused, app::App, config::HttpConfig};

/// Places for requests that are being answered.
#[derive(Clone, Debug)]
pub(crate) struct Busy {
    places: Arc<Semaphore>,
    time_max: Duration,
}

impl Busy {
    /// As the configuration has it.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.requests_at_once_max as usize)),
            time_max: Duration::from_secs(config.request_timeout_s.into()),
        }
    }
}

/// Refuses a request when as many as allowed are being answered: waiting in a line that only grows helps nobody.
pub(crate) async fn one_of_many(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.busy.places.clone().try_acquire_owned() {
        Ok(_place) => next.run(request).await,
        Err(_) => Refused::new(
            RefusalCode::TooMany,
            "The server is answering as many requests as it may.",
            "Try again in a moment.",
        )
        .into_response(),
    }
}

/// Refuses a request that takes too long.
pub(crate) async fn in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(app.busy.time_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refused::new(
            RefusalCode::Unavailable,
            format!("The answer took longer than {} s.", app.busy.time_max.as_secs()),
            "Look whether it was carried out all the same, then try again.",
        )
        .into_response(),
    }
}
