//! JavaScript plugins: what an administrator installs to watch over sessions.
//!
//! Each plugin has an interpreter (QuickJS) and a thread of its own, with a limit on memory, stack and time. It has no file, no
//! network and no clock: what it knows is what it is asked about. Its hooks are named as OpenCode's are, and are called in the
//! same way: `hooks["tool.execute.before"](input, output)`; who throws an `Error` refuses, who changes `output` changes it.
//!
//! Architecture invariant: nothing of hangar is reachable from JavaScript but `console`, which writes to the server's log.
//! Questions and answers cross as JSON text.

mod engine;
mod javascript;
pub mod limits;
mod load;
mod worker;

pub use load::{LoadError, PluginSettings, Plugins};
