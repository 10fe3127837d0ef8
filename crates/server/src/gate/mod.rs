//! Who gets past the door: the address that was asked for, the person who asks, and how much at once.

mod busy;
mod headers;
mod host;
mod identity;

pub(crate) use busy::{Busy, in_time, one_of_many};
pub(crate) use headers::{guard_answer, log_request};
pub(crate) use host::{KnownHosts, known_host};
pub(crate) use identity::{Asking, COOKIE, Credential, known_person};
