//! Names of things. Each id is a type of its own, parsed at the border and trusted afterwards.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::refusal::{Refusal, RefusalCode};

/// Position of an event in its session's log: 1, 2, 3 … without gaps. `0` stands for "before the first event".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS, ToSchema)]
#[serde(transparent)]
pub struct Seq(#[ts(type = "number")] pub u64);

impl Seq {
    /// The cursor of a reader who has seen nothing.
    pub const START: Seq = Seq(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A prompt of a session, counted from 1 in the order in which prompts were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS, ToSchema)]
#[serde(transparent)]
pub struct PromptId(pub u32);

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A turn of a session (the agent's work on one prompt), counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS, ToSchema)]
#[serde(transparent)]
pub struct TurnId(pub u32);

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Declares an id that is a short string of `[A-Za-z0-9._-]` (or more, as `$allowed` says), at most `$max` bytes long.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, max $max:literal, pattern $pattern:literal, allowed $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
        #[serde(try_from = "String", into = "String")]
        #[ts(type = "string")]
        pub struct $name(String);

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text_schema($max, $pattern)
            }
        }

        impl ToSchema for $name {}

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refusal;

            fn try_from(text: String) -> Result<Self, Refusal> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() || text.len() > $max || !text.chars().all(allowed) {
                    return Err(Refusal::new(
                        RefusalCode::BadRequest,
                        format!("{:?} is not a valid {}.", crate::limits::clip(&text, 80), $what),
                        concat!("Use 1 to ", $max, " of the characters that ", $what, "s are made of."),
                    ));
                }
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = Refusal;

            fn from_str(text: &str) -> Result<Self, Refusal> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The OpenAPI form of a short string.
fn text_schema(max_length: usize, pattern: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(max_length));
    object.pattern(Some(pattern)).into()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

text_id! {
    /// A session: random lower-case letters and digits, made by the server.
    SessionId, "session id", max 40, pattern "^[a-z0-9]{1,40}$", allowed |c| c.is_ascii_lowercase() || c.is_ascii_digit()
}

text_id! {
    /// A person's login. It is also the login at the embedded forge.
    UserId, "user name", max 39, pattern "^[A-Za-z0-9_-]{1,39}$", allowed is_word
}

text_id! {
    /// A tool call, as the model named it.
    CallId, "tool call id", max 128, pattern "^[A-Za-z0-9_.:-]{1,128}$", allowed |c| is_word(c) || matches!(c, '.' | ':')
}

text_id! {
    /// Chosen by a client so that a command sent twice is carried out once.
    RequestId, "request id", max 64, pattern "^[A-Za-z0-9_.:-]{1,64}$", allowed |c| is_word(c) || matches!(c, '.' | ':')
}

/// A repository at the forge: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(type = "string")]
pub struct RepoPath {
    owner: String,
    name: String,
}

impl PartialSchema for RepoPath {
    fn schema() -> RefOr<Schema> {
        text_schema(140, "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,38}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    }
}

impl ToSchema for RepoPath {}

impl RepoPath {
    /// The account that owns the repository.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository's name within its account.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl TryFrom<String> for RepoPath {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Self, Refusal> {
        let fits = |part: &str, max: usize| {
            !part.is_empty()
                && part.len() <= max
                && !part.starts_with(['.', '-'])
                && !part.ends_with(".git")
                && part.chars().all(|c| is_word(c) || c == '.')
        };
        match text.split_once('/') {
            Some((owner, name)) if fits(owner, 39) && fits(name, 100) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err(Refusal::new(
                RefusalCode::BadRequest,
                format!("{:?} is not a repository.", crate::limits::clip(&text, 80)),
                "Write it as owner/name, for example acme/website. `hangar repo ls` lists those that exist.",
            )),
        }
    }
}

impl FromStr for RepoPath {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::try_from(text.to_owned())
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> String {
        path.to_string()
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Somebody who takes part in a session, as their commits name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Person {
    /// The login.
    pub user: UserId,
    /// The name commits carry.
    pub name: String,
    /// The e-mail address commits carry.
    pub email: String,
}
