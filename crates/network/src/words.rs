//! What a program in the sandbox is told when hangar does not let a request through. An agent reads it, so it says what to do.

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};

use crate::{
    addresses::AddressKind,
    denials::DenialReason,
    host::Target,
    inner::{AnyBody, any_body},
    outside::DialError,
};

/// The header by which an answer of hangar's own is told from one of a server.
pub(crate) const ANSWERED_BY: &str = "x-hangar-answer";

/// A request that is answered by hangar instead of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    status: StatusCode,
    text: String,
}

impl Words {
    /// The answer to something refused.
    pub(crate) fn refused(target: &Target, port: u16, reason: DenialReason) -> Self {
        Self { status: status(reason), text: format!("{target}:{port}: {}", sentence(reason)) }
    }

    /// The answer when there is no connection to the server.
    pub(crate) fn no_connection(target: &Target, port: u16, error: &DialError) -> Self {
        let why = match error {
            DialError::Forbidden(kind) => return Self::refused(target, port, DenialReason::Address(*kind)),
            DialError::Unresolved(why) => format!("its address cannot be found ({why}). Check the name."),
            DialError::Unreachable(error) => format!("it cannot be reached ({error}). Try again later."),
            DialError::Tls(error) => format!("TLS with it failed ({error})."),
        };
        Self { status: StatusCode::BAD_GATEWAY, text: format!("{target}:{port}: {why}") }
    }

    /// The answer when the server did not answer as it should.
    pub(crate) fn no_answer(target: &Target, port: u16, why: &str) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, text: format!("{target}:{port}: {why}") }
    }

    /// As a response.
    pub(crate) fn response(&self) -> Response<AnyBody> {
        let body = any_body(Full::new(Bytes::from(format!("hangar: {}\n", self.text))));
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(ANSWERED_BY, HeaderValue::from_static("refused"));
        response
    }
}

fn status(reason: DenialReason) -> StatusCode {
    match reason {
        DenialReason::OtherHost => StatusCode::MISDIRECTED_REQUEST,
        DenialReason::Method => StatusCode::METHOD_NOT_ALLOWED,
        DenialReason::Ambiguous => StatusCode::BAD_REQUEST,
        DenialReason::TooManyConnections | DenialReason::TooManyQuestions | DenialReason::TooManyNames => {
            StatusCode::TOO_MANY_REQUESTS
        }
        DenialReason::NotAllowed
        | DenialReason::Revoked
        | DenialReason::Address(_)
        | DenialReason::NotTls
        | DenialReason::NoServerName
        | DenialReason::OtherServerName
        | DenialReason::EncryptedHello
        | DenialReason::PlaceholderElsewhere
        | DenialReason::PlaceholderPlace
        | DenialReason::PlaceholderWithoutTls => StatusCode::FORBIDDEN,
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(sentence(*self))
    }
}

fn sentence(reason: DenialReason) -> &'static str {
    match reason {
        DenialReason::NotAllowed => {
            "this sandbox may not reach it. A person can allow it for the session; ask for it, or go on without."
        }
        DenialReason::Revoked => "this sandbox may not reach it any more.",
        DenialReason::Address(AddressKind::Own | AddressKind::Loopback) => {
            "the name leads to the machine that hangar runs on, which sandboxes do not reach."
        }
        DenialReason::Address(_) => {
            "the name leads to an address of an inner network, which sandboxes do not reach. hangar's operator can trust it by name."
        }
        DenialReason::NotTls => "only TLS is spoken at this port.",
        DenialReason::NoServerName => "the TLS client gave no name (SNI). Use a client that does.",
        DenialReason::OtherServerName => "the TLS client gave another name than the one it looked up.",
        DenialReason::EncryptedHello => "the TLS client hides the name it wants (ECH). Switch that off.",
        DenialReason::OtherHost => "the request's Host is another name than the one that was looked up.",
        DenialReason::Method => "CONNECT and TRACE are not passed on. No proxy is needed here; connect directly.",
        DenialReason::Ambiguous => "the request's length or host is given more than once.",
        DenialReason::PlaceholderElsewhere => {
            "the request has a placeholder (hangar-secret-…) whose credential is not for this host. It was not sent."
        }
        DenialReason::PlaceholderPlace => {
            "the request has a placeholder (hangar-secret-…) in a place where it is not replaced. Put it into the Authorization header."
        }
        DenialReason::PlaceholderWithoutTls => {
            "the request has a placeholder (hangar-secret-…), and credentials are sent over https only."
        }
        DenialReason::TooManyConnections => "this sandbox has too many connections open.",
        DenialReason::TooManyQuestions => "this sandbox asks for names too fast.",
        DenialReason::TooManyNames => "this sandbox has asked for too many names.",
    }
}
