//! GitHub's error bodies: status, words, `errors` and `documentation_url`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::{ForgeError, Invalid, NotMergeable};

const DOCS: &str = "https://docs.github.com/rest";
const DOCS_CREATE_PULL: &str = "https://docs.github.com/rest/pulls/pulls#create-a-pull-request";
const DOCS_MERGE: &str = "https://docs.github.com/rest/pulls/pulls#merge-a-pull-request";
const DOCS_REVIEW: &str = "https://docs.github.com/rest/pulls/reviews#create-a-review-for-a-pull-request";
const DOCS_REFS: &str = "https://docs.github.com/rest/git/refs";
const DOCS_REPOS: &str = "https://docs.github.com/rest/repos/repos";
const DOCS_COMMITS: &str = "https://docs.github.com/rest/commits/commits#get-a-commit";
const DOCS_AUTH: &str = "https://docs.github.com/rest/authentication/authenticating-to-the-rest-api";

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Vec<Value>,
    docs: &'static str,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>, docs: &'static str) -> Self {
        Self { status, message: message.into(), errors: Vec::new(), docs }
    }

    fn with_error(mut self, error: Value) -> Self {
        self.errors.push(error);
        self
    }

    /// No `Authorization` header.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Requires authentication", DOCS_AUTH)
    }

    /// Nobody's token.
    pub(crate) fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Bad credentials", DOCS)
    }

    /// Not there, or not for this person.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found", DOCS)
    }

    /// No such branch.
    pub(crate) fn no_branch() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Branch not found",
            "https://docs.github.com/rest/branches/branches#get-a-branch",
        )
    }

    /// A repository without a commit.
    pub(crate) fn empty_repository() -> Self {
        Self::new(StatusCode::CONFLICT, "Git Repository is empty.", DOCS_COMMITS)
    }

    /// May see it but not do this.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message, DOCS)
    }

    /// A body that is no JSON.
    pub(crate) fn not_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Problems parsing JSON", DOCS)
    }

    /// A body of the wrong shape.
    pub(crate) fn wrong_shape(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("Invalid request.\n\n{why}"), DOCS)
    }

    /// A body over the limit.
    pub(crate) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large.", DOCS)
    }

    /// Our own failure.
    pub(crate) fn broken() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The forge failed. Its log says why.", DOCS)
    }

    /// One field of a request is wrong.
    pub(crate) fn field(resource: &'static str, field: &'static str, code: &'static str, why: &str) -> Self {
        let error = json!({"resource": resource, "field": field, "code": code, "message": why});
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed", docs_of(resource)).with_error(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({"message": self.message, "documentation_url": self.docs, "status": self.status.as_u16().to_string()});
        if !self.errors.is_empty() {
            body["errors"] = Value::Array(self.errors);
        }
        (self.status, Json(body)).into_response()
    }
}

impl From<ForgeError> for Refusal {
    fn from(error: ForgeError) -> Self {
        let words = error.to_string();
        match error {
            ForgeError::NoRepository(_) | ForgeError::NotFound(_) => Self::not_found(),
            ForgeError::Name(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, words, DOCS),
            ForgeError::RepositoryExists(_) => {
                let error = json!({"resource": "Repository", "code": "custom", "field": "name", "message": "name already exists on this account"});
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Repository creation failed.", DOCS_REPOS).with_error(error)
            }
            ForgeError::NoCommit { reference, .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("No commit found for SHA: {reference}"),
                DOCS_COMMITS,
            ),
            ForgeError::Invalid(invalid) => invalid.into(),
            ForgeError::NotMergeable(why) => match why {
                NotMergeable::Conflict | NotMergeable::Closed => {
                    Self::new(StatusCode::METHOD_NOT_ALLOWED, "Pull Request is not mergeable", DOCS_MERGE)
                }
                NotMergeable::Draft | NotMergeable::Rebase => {
                    Self::new(StatusCode::METHOD_NOT_ALLOWED, words, DOCS_MERGE)
                }
            },
            ForgeError::Moved(_) => Self::new(StatusCode::CONFLICT, words, DOCS_MERGE),
            ForgeError::Import { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, words, DOCS_REPOS),
            ForgeError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, words, DOCS),
            ForgeError::OverLimit { .. } => Self::new(StatusCode::FORBIDDEN, words, DOCS),
            ForgeError::Broken(why) => {
                tracing::error!(why, "forge request failed");
                Self::broken()
            }
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        let words = invalid.to_string();
        let failed = |docs| Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed", docs);
        let pull = |words: String| {
            failed(DOCS_CREATE_PULL).with_error(json!({"resource": "PullRequest", "code": "custom", "message": words}))
        };
        match invalid {
            // The one place where GitHub's `errors` are plain texts.
            Invalid::SelfApproval | Invalid::SelfChangeRequest => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity", DOCS_REVIEW)
                    .with_error(words.into())
            }
            Invalid::PullExists { .. } | Invalid::NoCommits { .. } => pull(words),
            Invalid::Field { resource, field, why } => Self::field(resource, field, "invalid", &why),
            Invalid::Missing { resource, field } => Self::field(resource, field, "missing_field", &words),
            Invalid::RefExists
            | Invalid::NoRef
            | Invalid::NoObject
            | Invalid::NotFastForward
            | Invalid::DefaultBranch => Self::new(StatusCode::UNPROCESSABLE_ENTITY, words, DOCS_REFS),
        }
    }
}

fn docs_of(resource: &str) -> &'static str {
    match resource {
        "PullRequest" => DOCS_CREATE_PULL,
        "PullRequestReview" => DOCS_REVIEW,
        "Repository" => DOCS_REPOS,
        _ => DOCS,
    }
}
