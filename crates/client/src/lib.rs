//! The typed client of hangar's own API.
//!
//! The command line, the Slack bot and the end-to-end tests are built on this crate and on nothing else: what they can do,
//! everybody can do over HTTP. [`Client`] has one method per route of `/api/v1`; [`Stream`] follows a session and mends
//! itself when the connection is cut; [`Settings`] is where a person's addresses and tokens are kept.
//!
//! Architecture invariant: this crate keeps no copy of the server's rules. Whether something is allowed is decided by the
//! server, and its [`Refusal`](hangar_protocol::Refusal) reaches the caller unchanged.

mod client;
mod error;
mod forks;
mod hints;
mod images;
mod list;
mod members;
mod people;
mod prompts;
mod pull_request;
mod repos;
mod secret;
mod sessions;
mod settings;
mod stream;
mod wire;

pub use client::Client;
pub use error::Error;
pub use images::{Download, Pack};
pub use list::SessionFilter;
pub use pull_request::Verdict;
pub use secret::Token;
pub use settings::{Origin, Server, Settings};
pub use stream::{Patience, Stream, Update};
