//! What a turn reads of the web. hangar asks, over the border of the turn's sandbox: by its rules, with its credentials, and among its connections.

use async_trait::async_trait;
use bytes::Bytes;

/// How much of an answer is read, in bytes.
pub const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// An answer of a web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebReply {
    /// Its status of HTTP.
    pub status: u16,
    /// What it says that it is (`Content-Type`); empty where it does not.
    pub kind: String,
    /// Where it says to look (`Location`).
    pub location: Option<String>,
    /// Its content, at most [`PAGE_BYTES_MAX`] bytes of it.
    pub body: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
}

/// The way to web servers.
#[async_trait]
pub trait Web: Send + Sync {
    /// Asks for an address with GET. Redirections are answers like any other.
    ///
    /// # Errors
    /// Words for the model: the sandbox may not reach it, there is nobody, it took too long.
    async fn get(&self, url: &str) -> Result<WebReply, String>;
}
