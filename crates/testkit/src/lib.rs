//! For tests only: the program `hangar` as people run it, and what is needed to watch it closely.
//!
//! [`TestServer`] starts the real program as a process of its own, can kill it as a power failure would, and starts it again over the
//! same data. [`Transcript`] writes what the scripted model says. [`tiny_repository`] is something to work on. [`Person`]
//! asks over HTTP, [`Story`] tells a session's log as text that can be compared whole, and [`Traces`] lists what a server
//! has on the machine.
//!
//! Architecture invariant: nothing here knows hangar's insides. A test sees what a user, a client or an administrator sees: the
//! command line, HTTP, the stream, and files and processes of the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails here, with its words"
)]

mod asked;
mod person;
mod program;
mod repository;
mod server;
mod story;
mod traces;
mod transcript;
mod watch;

pub use asked::AskedModel;
pub use person::{Person, refusal};
pub use program::{Ran, program};
pub use repository::{commits_of, messages_of, tiny_repository};
pub use server::{Ground, Setting, TestServer};
pub use story::Story;
pub use traces::Traces;
pub use transcript::{Reply, Transcript};
pub use watch::{PATIENCE, Watch, until, within};
