//! The model gateway: where programs inside a sandbox ask models, in the wires that their own libraries speak.
//!
//! ```text
//!   program ──request──▶ gateway ── token, path, headers, body ──no──▶ refusal in the wire's own shape
//!                          │ yes                    ▲
//!                          ▼                        │ no: no turn runs, a budget is used up
//!                       session: may it be asked now? (an event, durable)
//!                          │ yes
//!                          ▼
//!                       the model's service, with hangar's own key ──▶ answer, piece by piece ──▶ program
//!                          └── what it used up (an event, durable before the answer's end is passed on)
//! ```
//!
//! Nothing is translated: a model is reached over the wire that its service speaks. What a program may say is a list: paths, headers, and
//! what a service could be made to do besides writing words (`reach.rs`). Whoever may connect here is the caller's matter: the session serves
//! each sandbox a gateway of its own, on that sandbox's border alone.
//!
//! Architecture invariant: a key is added here, outside, and no answer carries one back.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    routing::{get, post},
};
use hangar_protocol::{Exhausted, GatewayOutcome, ModelUsage, TurnId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::models::{Model, Models};

mod exchange;
mod members;
mod reach;
mod refused;
mod request;
mod token;
mod usage;
mod wire;

pub use token::GatewayToken;
pub use wire::Wire as ModelWire;

/// Requests of one sandbox that are under way at the same time. Another one waits.
pub const REQUESTS_MAX: usize = 4;
/// How long a request waits for others of its sandbox to end.
pub const PLACE_WAIT_MAX: Duration = Duration::from_secs(120);
/// Size of a request. Anthropic takes 32 MiB; conversations with many images come near half of it.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a request's body may take to arrive.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a reply that is not streamed may take until it begins: it does so when it is whole.
pub const WHOLE_REPLY_TIME_MAX: Duration = Duration::from_secs(600);

/// The session behind a gateway.
#[async_trait]
pub trait GatewayHost: Send + Sync {
    /// Whether this model may be asked now. What is admitted is in the log when this returns.
    ///
    /// # Errors
    /// Why not.
    async fn admit(&self, model: &Model) -> Result<Admission, NotAdmitted>;

    /// What came of a request. It is in the log, and counted, when this returns.
    async fn replied(&self, admission: &Admission, relayed: Relayed);
}

/// A request that may be sent.
#[derive(Clone, Debug)]
pub struct Admission {
    /// In which turn.
    pub turn: TurnId,
    /// Its number in the turn.
    pub request: u32,
    /// Cancelled when the turn ends or is stopped: the request ends with it.
    pub ended: CancellationToken,
}

/// Why a model may not be asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// No turn of the session runs, or the one that does is being stopped.
    NoTurn,
    /// A budget is used up.
    Exhausted(Exhausted),
    /// The turn has sent as many requests as a turn may.
    TooMany {
        /// So many.
        limit: u32,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// How it ended.
    pub outcome: GatewayOutcome,
    /// What the service says it used up, as far as it said so.
    pub usage: ModelUsage,
    /// What that cost in millionths of a US dollar; `None` where the price is not known.
    pub cost_micro_usd: Option<u64>,
    /// Until the answer's first byte.
    pub first_byte: Duration,
    /// Until its last.
    pub whole: Duration,
}

/// The gateway of one sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    models: Models,
    token: GatewayToken,
    host: Arc<dyn GatewayHost>,
    places: Arc<Semaphore>,
}

impl Gateway {
    /// A gateway to these models for whoever has this token.
    pub fn new(models: Models, token: GatewayToken, host: Arc<dyn GatewayHost>) -> Self {
        Self(Arc::new(Inner { models, token, host, places: Arc::new(Semaphore::new(REQUESTS_MAX)) }))
    }

    /// The gateway as a router. A base URL for Anthropic's libraries ends in `/anthropic`, one for OpenAI's in `/openai/v1`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/anthropic/v1/messages", post(request::messages))
            .route("/anthropic/v1/models", get(request::anthropic_models))
            .route("/openai/v1/responses", post(request::responses))
            .route("/openai/v1/chat/completions", post(request::chat))
            .route("/openai/v1/models", get(request::openai_models))
            .method_not_allowed_fallback(request::nothing_else)
            .fallback(request::nothing_else)
            .with_state(self.clone())
    }
}
