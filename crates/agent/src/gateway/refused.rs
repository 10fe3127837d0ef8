//! Why a request is not passed on, in the shape that the program's own library reads.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{NotAdmitted, REQUEST_BYTES_MAX, wire::Wire};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The token is wrong, or there is none.
    Token,
    /// Nothing is answered there.
    NoSuchPath {
        /// Method and path.
        asked: String,
    },
    /// The body is not one that can be read.
    Body(String),
    /// The body is too large.
    TooLarge,
    /// There is no such model.
    NoModel {
        /// What was asked for.
        asked: String,
        /// What can be asked for over this wire.
        known: Vec<String>,
    },
    /// The model's service speaks another wire.
    OtherWire {
        /// The model.
        model: String,
        /// Its wire.
        speaks: Wire,
    },
    /// The service would reach further than the sandbox may.
    Reaches(String),
    /// Not now.
    NotAdmitted(NotAdmitted),
    /// Too many requests are under way.
    Busy,
    /// The service gave no answer.
    NoAnswer(String),
    /// The service refuses hangar's own key.
    KeyUnfit(String),
    /// The turn ended meanwhile.
    CutOff,
}

/// How an error is named: its status, and its names at Anthropic and at OpenAI.
type Named = (StatusCode, &'static str, &'static str);

impl Refused {
    /// Statuses are chosen so that the official libraries do not ask again where that is of no use.
    fn named(&self) -> Named {
        match self {
            Self::Token => (StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key"),
            Self::NoSuchPath { .. } => (StatusCode::NOT_FOUND, "not_found_error", "not_found"),
            Self::Body(_) | Self::OtherWire { .. } => {
                (StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "request_too_large"),
            Self::NoModel { .. } => (StatusCode::NOT_FOUND, "not_found_error", "model_not_found"),
            Self::Reaches(_) => (StatusCode::FORBIDDEN, "permission_error", "not_allowed"),
            Self::NotAdmitted(NotAdmitted::NoTurn) | Self::CutOff => {
                (StatusCode::FORBIDDEN, "permission_error", "no_turn")
            }
            Self::NotAdmitted(NotAdmitted::Exhausted(_) | NotAdmitted::TooMany { .. }) => {
                (StatusCode::PAYMENT_REQUIRED, "billing_error", "insufficient_quota")
            }
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
            Self::NoAnswer(_) => (StatusCode::BAD_GATEWAY, "api_error", "server_error"),
            Self::KeyUnfit(_) => (StatusCode::FORBIDDEN, "permission_error", "server_key_refused"),
        }
    }

    /// What happened, and what to do.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Token => "This is the model gateway of one sandbox of hangar, and it wants that sandbox's token: \
                            HANGAR_MODELS_TOKEN in the environment of its commands."
                .to_owned(),
            Self::NoSuchPath { asked } => format!(
                "hangar's model gateway has nothing at {asked}. It answers POST /anthropic/v1/messages, POST /openai/v1/responses, \
                 POST /openai/v1/chat/completions and GET …/v1/models."
            ),
            Self::Body(words) => words.clone(),
            Self::TooLarge => format!("A request has at most {} MiB.", REQUEST_BYTES_MAX / (1024 * 1024)),
            Self::NoModel { asked, known } if known.is_empty() => {
                format!(
                    "There is no model {asked}, and none that this wire reaches. An owner of the server configures them."
                )
            }
            Self::NoModel { asked, known } => {
                format!("There is no model {asked}. Over this wire there are: {}.", known.join(", "))
            }
            Self::OtherWire { model, speaks } => {
                format!("The model {model} is reached over {} only; nothing is translated.", speaks.name())
            }
            Self::Reaches(words) => words.clone(),
            Self::NotAdmitted(NotAdmitted::NoTurn) => {
                "No turn of this session runs, or it is being stopped: models are asked in a turn only.".to_owned()
            }
            Self::NotAdmitted(NotAdmitted::Exhausted(exhausted)) => exhausted.reason.clone(),
            Self::NotAdmitted(NotAdmitted::TooMany { limit }) => {
                format!("This turn asked models {limit} times through the gateway, which is as often as a turn may.")
            }
            Self::Busy => "Too many requests of this sandbox are under way. Ask again in a moment.".to_owned(),
            Self::NoAnswer(words) => words.clone(),
            Self::KeyUnfit(words) => format!(
                "The model's service refused the server's own key ({words}). An owner of the server has to set a valid one."
            ),
            Self::CutOff => "The turn ended before the model answered.".to_owned(),
        }
    }

    /// The answer.
    pub(super) fn answer(&self, wire: Wire) -> Response {
        let (status, anthropic, openai) = self.named();
        let body = wire.error(anthropic, openai, &self.words()).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if *self == Self::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<NotAdmitted> for Refused {
    fn from(why: NotAdmitted) -> Self {
        Self::NotAdmitted(why)
    }
}
