//! How far a plugin may go. Each number has its unit in its name.

use std::time::Duration;

/// Largest file of a plugin.
pub const SOURCE_BYTES_MAX: u64 = 1024 * 1024;
/// Plugins one server may have.
pub const PLUGINS_MAX: usize = 64;
/// How long a plugin's file may take to run when it is loaded.
pub const LOAD_DURATION_MAX: Duration = Duration::from_secs(5);
/// How long a question may take, unless the configuration says otherwise, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u32 = 200;
/// The longest that the configuration may say, in milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// Memory of a plugin, unless the configuration says otherwise, in MiB.
pub const MEMORY_MIB_DEFAULT: u32 = 32;
/// The most that the configuration may say, in MiB.
pub const MEMORY_MIB_MAX: u32 = 1024;
/// How deep a plugin's calls may go, in bytes of its stack.
pub(crate) const STACK_BYTES_MAX: usize = 512 * 1024;
/// The stack of its thread: what the interpreter itself needs comes on top.
pub(crate) const THREAD_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Questions that may wait for one plugin. When it is full, the next one fails.
pub(crate) const QUESTIONS_AHEAD: usize = 64;
/// Lines one question may write to the server's log.
pub(crate) const LOG_LINES_MAX: u32 = 20;
/// The longest of them; the rest of it is cut off.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 2 * 1024;
/// How much is kept of what a plugin threw.
pub(crate) const THROWN_BYTES_MAX: usize = 4 * 1024;
