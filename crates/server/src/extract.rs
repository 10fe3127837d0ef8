//! What handlers take from a request. Where axum would answer in its own words, these answer with an `ErrorBody`.

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use hangar_protocol::{RefusalCode, Seq};
use serde::de::DeserializeOwned;

use crate::answer::Refused;

/// A JSON body.
pub(crate) struct Sent<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(bad_body(&rejection)),
        }
    }
}

/// A JSON body that may be left out.
pub(crate) struct MaybeSent<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeSent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let typed = request.headers().contains_key(axum::http::header::CONTENT_TYPE);
        let empty = http_body::Body::size_hint(request.body()).exact() == Some(0);
        if empty && !typed {
            return Ok(Self(T::default()));
        }
        Sent::from_request(request, state).await.map(|Sent(body)| Self(body))
    }
}

fn bad_body(rejection: &JsonRejection) -> Refused {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Refused::new(
            RefusalCode::TooLarge,
            "The body is larger than the server takes.",
            "Send less; http.body_bytes_max in hangar.toml is the limit.",
        );
    }
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Refused::new(RefusalCode::BadRequest, "The body is not JSON.", "Send `Content-Type: application/json`.")
        }
        other => Refused::new(
            RefusalCode::BadRequest,
            format!("{}.", other.body_text().trim_end_matches('.')),
            "/api/v1/openapi.json describes every body.",
        ),
    }
}

/// The parameters of the path.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(Refused::new(
                RefusalCode::BadRequest,
                format!("{}.", rejection.body_text().trim_end_matches('.')),
                "/api/v1/openapi.json describes every path.",
            )),
        }
    }
}

/// The parameters behind `?`.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Refused::new(
                RefusalCode::BadRequest,
                format!("{}.", rejection.body_text().trim_end_matches('.')),
                "/api/v1/openapi.json describes every parameter.",
            )),
        }
    }
}

/// The largest number that every client can write exactly: JavaScript's, 2^53 - 1. No log gets there.
const SEQ_MAX: u64 = (1 << 53) - 1;

/// A cursor as a request names it.
pub(crate) fn cursor(after: Seq) -> Result<Seq, Refused> {
    if after.0 <= SEQ_MAX {
        return Ok(after);
    }
    Err(Refused::new(
        RefusalCode::BadRequest,
        format!("There is no event {after}."),
        "Send the last sequence number seen.",
    ))
}
