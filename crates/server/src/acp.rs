//! hangar's sessions for editors: hangar is an agent of the [Agent Client Protocol](https://agentclientprotocol.com/protocol/v1/overview), version 1.
//!
//! ```text
//!   an editor ──stdio──▶ `hangar acp` ────────────────────┐
//!   an editor ──WebSocket, with a token──▶ GET /acp ──────┴──▶ Editor ──hangar-client──▶ /api/v1
//!                                                                └── one task follows each session that it has open
//! ```
//!
//! Architecture invariant: an editor is a client of the API with the token of whoever uses it, and can do nothing that this person could not do over HTTP.
//!
//! The protocol's messages are written here as JSON: its crates switch `preserve_order` of `serde_json` on for the whole program, on whose sorted keys
//! other parts rely. `acpx`, which is built on the protocol's own library, judges what is sent.

mod content;
mod editor;
mod peer;
mod session;
mod story;
mod web_socket;

pub(crate) use editor::{Wishes, serve};
pub(crate) use web_socket::route;

/// Longest message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages that may wait for an editor that does not read. Then nothing more is read of its sessions until it does.
pub(crate) const WAITING_MESSAGES_MAX: usize = 256;
