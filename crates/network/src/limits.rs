//! Every limit of a sandbox's network, with its unit and its reason.

use std::time::Duration;

/// Connections of one sandbox that are open at once, those to `hangar.internal` included. A further one is closed at once and
/// reported, so that a program sees an error instead of a stall.
pub(crate) const CONNECTIONS_MAX: usize = 512;
/// Bytes that wait in each direction of a connection that is passed through.
pub(crate) const SPLICE_BUFFER_BYTES: usize = 64 * 1024;
/// After how much silence the kernel asks whether both ends of a connection that is passed through still live.
pub(crate) const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(900);

/// A TLS client's first message. Those of browsers with post-quantum keys have about 2 KiB.
pub(crate) const HELLO_BYTES_MAX: usize = 16 * 1024;
/// How long a client may take for its first message, and for a TLS handshake.
pub(crate) const HELLO_TIME_MAX: Duration = Duration::from_secs(15);

/// Request or response heads, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request or response.
pub(crate) const HEADERS_MAX: usize = 128;
/// How long a client may take for a request's head, and a connection without requests stays open.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(75);
/// How long a server outside may take to answer a request with a head. Models think long.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(900);
/// Requests at once in one HTTP/2 connection.
pub(crate) const STREAMS_MAX: u32 = 100;
/// Bytes of one HTTP/2 stream or connection that may be under way without being read.
pub(crate) const WINDOW_BYTES: u32 = 1024 * 1024;

/// How long the host looks for a name's addresses.
pub(crate) const RESOLVE_TIME_MAX: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
pub(crate) const ADDRESSES_TRIED_MAX: usize = 4;
/// How long one address may take to accept a connection.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(8);

/// Names one sandbox has addresses for at once. The one that was unused longest gives way.
pub(crate) const NAMES_MAX: usize = 8_192;
/// Addresses one sandbox can be given in its life: an address never changes its name, so they are not given twice.
pub(crate) const ADDRESSES_MAX: u32 = 0x1_ff00;
/// Questions to the name server in a second that are answered in the long run, and the burst that is answered at once.
pub(crate) const QUESTIONS_PER_SECOND: u32 = 200;
/// See [`QUESTIONS_PER_SECOND`].
pub(crate) const QUESTIONS_BURST: u32 = 2_000;
/// How long a resolver in the sandbox may keep an answer.
pub(crate) const ANSWER_TTL_SECONDS: u32 = 60;
/// A question over UDP. Larger ones are dropped.
pub(crate) const QUESTION_BYTES_MAX: usize = 1_232;
/// Questions over one TCP connection, and how long it may be silent.
pub(crate) const QUESTIONS_PER_CONNECTION_MAX: usize = 256;
/// See [`QUESTIONS_PER_CONNECTION_MAX`].
pub(crate) const QUESTION_TIME_MAX: Duration = Duration::from_secs(10);

/// Denials with the same host, port and reason are told once in this time, with their number.
pub(crate) const DENIALS_EVERY: Duration = Duration::from_secs(10);
/// How often those that wait are looked after.
pub(crate) const DENIALS_LOOKED_AFTER: Duration = Duration::from_secs(1);
/// Different denials that are counted at once. Those beyond are counted together, without a host.
pub(crate) const DENIALS_KEPT_MAX: usize = 256;

/// Leaf certificates kept for one sandbox.
pub(crate) const LEAVES_MAX: usize = 256;
/// Bytes of a credential.
pub(crate) const SECRET_BYTES_MAX: usize = 8 * 1024;
/// A shorter credential would be found in text by chance when echoes are masked.
pub(crate) const SECRET_BYTES_MIN: usize = 8;
