//! hangar's sessions as tools of the [Model Context Protocol](https://modelcontextprotocol.io/specification), so that other agents begin, read and steer them.
//!
//! ```text
//!   an agent ──stdio──▶ `hangar mcp` ──────────────┐
//!   an agent ──HTTP, with a token──▶ POST /mcp ────┴──▶ SessionTools ──hangar-client──▶ /api/v1
//! ```
//!
//! Architecture invariant: a tool is a client of the API with the token of whoever calls it, and can do nothing that this person could not do over HTTP. Nothing is
//! kept between two calls: every request over HTTP stands alone.

mod http;
mod story;
mod tools;

pub(crate) use http::{service, token_only};
pub(crate) use tools::SessionTools;
