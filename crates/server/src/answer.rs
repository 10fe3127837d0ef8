//! How handlers answer: what they were asked for, or a refusal that every client can read.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hangar_forge::ForgeError;
use hangar_protocol::{Refusal, RefusalCode, api::ErrorBody};

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Refused>;

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Refusal);

impl Refused {
    /// A refusal of the given kind that says what happened and what to do now.
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(Refusal::new(code, message, hint))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<ForgeError> for Refused {
    fn from(error: ForgeError) -> Self {
        Self(hangar_session::forge_refusal(&error))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        with_status(status, self.0)
    }
}

/// A refusal under another status than its code's: 405 has no code of its own.
pub(crate) fn with_status(status: StatusCode, refusal: Refusal) -> Response {
    let wait = matches!(refusal.code, RefusalCode::TooMany | RefusalCode::Unavailable);
    let stranger = refusal.code == RefusalCode::Unauthenticated;
    let mut response = (status, Json(ErrorBody { error: refusal })).into_response();
    if wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if stranger {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hangar\""));
    }
    response
}
