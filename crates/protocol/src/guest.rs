//! The frames which a sandbox's guest and its host speak over one Unix stream socket.
//!
//! # The wire
//!
//! ```text
//! ┌────────────┬─────────────┬───────────────────┬──────────────────┐
//! │ u32 LE     │ u32 LE      │ header            │ payload          │
//! │ total      │ header size │ JSON, UTF-8       │ raw bytes        │
//! └────────────┴─────────────┴───────────────────┴──────────────────┘
//!   total = 4 + header size + payload size, at most FRAME_BYTES_MAX
//! ```
//!
//! The header is `{"id": 7, "body": …}`. `id` names the exchange: the host chooses it, everything that belongs to one request
//! carries the same number in both directions, and many exchanges run at once. Bytes of files and of output are the
//! payload and are never encoded.
//!
//! # An exchange
//!
//! * [`Request`]s that answer at once get exactly one [`Reply`].
//! * [`Request::Exec`] gets [`Reply::Started`], any number of [`Reply::Output`], and ends with [`Reply::Exited`].
//! * [`Request::Watch`] gets [`Reply::Watching`], any number of [`Reply::Changed`], and ends when it is cancelled.
//! * [`Reply::Failed`] ends any exchange. [`Request::Cancel`] ends it from the host's side: an exec's whole process tree is killed.
//!
//! # Back-pressure
//!
//! Output is paid for in frames: an exec may have [`OUTPUT_FRAMES_AHEAD`] unread output frames; the host sends [`Request::Credit`]
//! as its reader takes them. A command that floods its output therefore waits in `write(2)`, and neither side grows. Standard
//! input is paid for the same way with [`Reply::StdinTaken`] and [`STDIN_FRAMES_AHEAD`].
//!
//! # The first frames
//!
//! The first frames are orders ([`setup::Order`]), each with file descriptors attached to its first byte (`SCM_RIGHTS`). The first order of all makes the guest a
//! nursery, from which slots are forked; it carries detached mounts in the order [`setup::Source::Fd`] counts them. Each slot has a socket of its own, on which it
//! sends [`Reply::Staged`] with the border's sockets when it is ready. A claim makes the slot a sandbox; it carries the root's mount and is answered with [`Reply::Claimed`]. From then on the guest runs as the sandbox's
//! account. Where somebody else has built the sandbox, the one frame is [`setup::Contained`] or [`setup::Machine`].
//!
//! A frame whose header cannot be understood is answered with [`Reply::Failed`] under exchange 0 and does not disturb the others.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub mod hook;
pub mod reply;
pub mod request;
pub mod setup;

pub use reply::{
    ExitStatus, Failure, FailureKind, FileChange, FileKind, Found, GrepMatch, Listed, Reply, Stat, Stream,
};
pub use request::{ExecRequest, GlobRequest, GrepRequest, Program, Request, Signal, StdinMode, WindowSize};
pub use setup::{Account, Claim, Holding, NewSlot, Order, Stage};

/// Largest frame, counted without its first four bytes.
pub const FRAME_BYTES_MAX: usize = 4 + HEADER_BYTES_MAX + PAYLOAD_BYTES_MAX;
/// Largest header of a frame.
pub const HEADER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest payload of a frame, hence the most that one `read` returns or one `write` takes.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest payload of one output frame.
pub const OUTPUT_CHUNK_BYTES_MAX: usize = 32 * 1024;
/// Output frames an exec may send ahead of its reader (at most 512 KiB in flight).
pub const OUTPUT_FRAMES_AHEAD: u32 = 16;
/// Standard input frames the host may send ahead of the command.
pub const STDIN_FRAMES_AHEAD: u32 = 8;
/// Largest payload of one standard input frame.
pub const STDIN_CHUNK_BYTES_MAX: usize = 32 * 1024;
/// Exchanges that may be open at once in one sandbox.
pub const EXCHANGES_MAX: usize = 256;
/// Paths one list or glob returns.
pub const PATHS_MAX: u32 = 10_000;
/// Matches one grep returns.
pub const MATCHES_MAX: u32 = 2_000;
/// How much of a matching line a grep returns.
pub const MATCH_LINE_BYTES_MAX: usize = 1_000;
/// Changed paths in one [`Reply::Changed`]; beyond it, `overflow` is set.
pub const CHANGES_MAX: usize = 500;
/// Directories one watch follows; beyond it, the watch says so once by `overflow`.
pub const WATCHED_DIRS_MAX: usize = 16_384;
/// How long changes are gathered before they are told.
pub const CHANGES_WINDOW_MS: u64 = 100;
/// The descriptor number at which the guest finds its socket.
pub const SOCKET_FD: i32 = 3;
/// The port at which the sandbox reaches its host by the name [`BORDER_HOST`].
pub const BORDER_PORT: u16 = 80;
/// TCP ports at which the border listens from the beginning, at every address: plain HTTP, TLS, ssh, and DNS.
pub const BORDER_PORTS: &[u16] = &[BORDER_PORT, 443, 22, DNS_PORT];
/// The port at which names are asked for, UDP and TCP.
pub const DNS_PORT: u16 = 53;
/// The name of the host at the border, inside a sandbox.
pub const BORDER_HOST: &str = "hangar.internal";
/// The address which that name has where it is asked for at the border.
pub const BORDER_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(198, 18, 0, 1);
/// Where the repository is, inside a sandbox.
pub const WORKSPACE: &str = "/workspace";
/// The home of the sandbox's user.
pub const HOME: &str = "/home/agent";
/// User and group id of the sandbox's user, inside.
pub const AGENT_ID: u32 = 1000;

/// The number of an exchange. 0 belongs to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExchangeId(pub u32);

impl ExchangeId {
    /// The exchange that stands for "none": a frame that could not be understood.
    pub const NONE: Self = Self(0);
}

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header<B> {
    /// Which exchange.
    pub id: ExchangeId,
    /// What is said.
    pub body: B,
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame is larger than [`FRAME_BYTES_MAX`], or its header than [`HEADER_BYTES_MAX`].
    #[error("the frame is too large ({bytes} bytes)")]
    TooLarge {
        /// How large it says it is.
        bytes: usize,
    },
    /// The frame ends before its header does.
    #[error("the frame is cut short")]
    Short,
    /// The header is not what it should be.
    #[error("the frame's header cannot be read: {0}")]
    Header(#[from] serde_json::Error),
}

/// The bytes of a frame, its length included.
///
/// # Errors
/// [`FrameError::TooLarge`] when header or payload exceed their limits.
pub fn encode<B: Serialize>(id: ExchangeId, body: &B, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    #[derive(Serialize)]
    struct Borrowed<'a, B> {
        id: ExchangeId,
        body: &'a B,
    }
    let header = serde_json::to_vec(&Borrowed { id, body })?;
    if header.len() > HEADER_BYTES_MAX || payload.len() > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLarge { bytes: header.len() + payload.len() });
    }
    let header_size = u32::try_from(header.len()).map_err(|_| FrameError::TooLarge { bytes: header.len() })?;
    let total = 4 + header.len() + payload.len();
    let total_size = u32::try_from(total).map_err(|_| FrameError::TooLarge { bytes: total })?;
    let mut bytes = Vec::with_capacity(4 + total);
    bytes.extend_from_slice(&total_size.to_le_bytes());
    bytes.extend_from_slice(&header_size.to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// The header and the payload of a frame whose first four bytes have been taken off.
///
/// # Errors
/// [`FrameError::Short`] and [`FrameError::Header`] when the bytes are not a frame of this direction.
pub fn decode<B: DeserializeOwned>(frame: &[u8]) -> Result<(Header<B>, &[u8]), FrameError> {
    let (size, rest) = frame.split_first_chunk::<4>().ok_or(FrameError::Short)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > HEADER_BYTES_MAX {
        return Err(FrameError::TooLarge { bytes: size });
    }
    let (header, payload) = rest.split_at_checked(size).ok_or(FrameError::Short)?;
    Ok((serde_json::from_slice(header)?, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let request = Request::Read { path: "src/ä.rs".into(), offset: 3, limit: 9 };
        let bytes = encode(ExchangeId(7), &request, b"\0raw\xff").unwrap();
        let total = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(total, bytes.len() - 4);
        let (header, payload) = decode::<Request>(&bytes[4..]).unwrap();
        assert_eq!(header, Header { id: ExchangeId(7), body: request });
        assert_eq!(payload, b"\0raw\xff");
    }

    #[test]
    fn bytes_that_are_no_frame_are_told_apart() {
        assert!(matches!(decode::<Request>(b"ab"), Err(FrameError::Short)));
        assert!(matches!(decode::<Request>(b"\x09\0\0\0{}"), Err(FrameError::Short)));
        assert!(matches!(decode::<Request>(b"\x02\0\0\0{}"), Err(FrameError::Header(_))));
        assert!(matches!(decode::<Request>(b"\xff\xff\xff\xff{}"), Err(FrameError::TooLarge { .. })));
        let long = vec![0; PAYLOAD_BYTES_MAX + 1];
        assert!(matches!(encode(ExchangeId(1), &Request::Ping, &long), Err(FrameError::TooLarge { .. })));
    }
}
