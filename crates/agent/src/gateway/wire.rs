//! The wires of the gateway.

use axum::http::{HeaderName, header};
use serde_json::{Value, json};

use crate::models::{Model, OPENAI_BASE_URL, ProviderKind};

/// What is passed on of a request. Everything else stays here: what names the program, and above all what it shows as a key.
pub(super) const PASSED_ON: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
];
/// What is passed back of an answer. Limits and names of the account that the key belongs to are nobody's business inside.
pub(super) const PASSED_BACK: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];

/// How a program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Anthropic Messages.
    Messages,
    /// OpenAI Responses.
    Responses,
    /// OpenAI chat completions.
    Chat,
}

impl Wire {
    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "Anthropic Messages",
            Self::Responses => "OpenAI Responses",
            Self::Chat => "OpenAI chat completions",
        }
    }

    /// The wire of a service.
    pub(super) fn of(kind: ProviderKind) -> Self {
        match kind {
            ProviderKind::Anthropic => Self::Messages,
            ProviderKind::OpenAi => Self::Chat,
            ProviderKind::OpenAiResponses => Self::Responses,
        }
    }

    /// Whether a model can be asked over it. OpenAI's own address speaks both of OpenAI's wires.
    #[must_use]
    pub fn reaches(self, model: &Model) -> bool {
        let of_openai = model.upstream.base_url == OPENAI_BASE_URL;
        match self {
            Self::Messages => Self::of(model.upstream.kind) == self,
            Self::Responses | Self::Chat => Self::of(model.upstream.kind) == self || of_openai,
        }
    }

    /// Where a service answers it, behind its base URL.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Responses => "/responses",
            Self::Chat => "/chat/completions",
        }
    }

    /// An error, as services that speak this wire tell it.
    pub(super) fn error(self, kind: &str, code: &str, words: &str) -> Value {
        match self {
            Self::Messages => json!({"type": "error", "error": {"type": kind, "message": words}}),
            Self::Responses | Self::Chat => {
                json!({"error": {"message": words, "type": kind, "param": null, "code": code}})
            }
        }
    }
}
