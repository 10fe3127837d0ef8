//! What a turn may use, and how far. Each number has its unit in its name.

use std::time::Duration;

/// Model requests one turn may make.
pub const TURN_STEPS_MAX: u32 = 200;
/// Tool calls one reply may ask for; the rest is refused.
pub const STEP_CALLS_MAX: usize = 32;
/// Calls that may run at the same time.
pub const CALLS_AT_ONCE_MAX: usize = 8;
/// How long one turn may take.
pub const TURN_DURATION_MAX: Duration = Duration::from_secs(4 * 3600);
/// Tokens a model may write in one reply, unless its configuration says otherwise.
pub const OUTPUT_TOKENS_MAX: u32 = 32_000;
/// Bytes of one reply, all blocks together. A stream that brings more is cut.
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much of a tool's output the model sees.
pub const OUTPUT_BYTES_MAX: usize = 50 * 1024;
/// How many lines of a tool's output the model sees.
pub const OUTPUT_LINES_MAX: usize = 2_000;
/// How much of a command's output is kept, in the file that the truncated output names.
pub const SPILL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much of a running command's output is shown live.
pub const LIVE_BYTES_MAX: usize = 256 * 1024;
/// Chunks of output that may wait between a command and its reader. When it is full, the command waits.
pub const OUTPUT_CHUNKS_AHEAD: usize = 32;
/// Largest file the read and edit tools take.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Longest path.
pub const PATH_BYTES_MAX: usize = 4_096;
/// How long a command may run unless the model says otherwise.
pub const COMMAND_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
/// How long a command may run at most, in the foreground.
pub const COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// How long a background command may run.
pub const JOB_DURATION_MAX: Duration = Duration::from_secs(4 * 3600);
/// Background commands one session may have at a time.
pub const JOBS_MAX: usize = 16;
/// How much of a background command's output is kept until it is read; older output is dropped.
pub const JOB_BYTES_MAX: usize = 1024 * 1024;
/// How long a hook of hangar's own may take. Each answers at once; this is for one that has a bug.
pub const OWN_HOOK_DEADLINE: Duration = Duration::from_secs(5);
/// How much a plugin may say when it refuses, and how much is kept of why it failed.
pub const PLUGIN_WORDS_BYTES_MAX: usize = 4 * 1024;
/// How many words for the model a plugin may add at one point.
pub const PLUGIN_CONTEXT_BYTES_MAX: usize = 16 * 1024;
/// Largest file of hooks that a repository may have.
pub const HOOK_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Commands of a repository's hooks that are heeded, all files together.
pub const HOOK_COMMANDS_MAX: usize = 32;
/// How long such a command may take, unless its file says otherwise.
pub const HOOK_COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that its file may say.
pub const HOOK_COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// How long all commands about one call may take together.
pub const HOOK_COMMANDS_DEADLINE: Duration = Duration::from_secs(600);
/// How much of a command's two outputs is kept.
pub const HOOK_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// The longest question that is given to a command without a file. Linux takes 128 KiB as one word of a command line.
pub const HOOK_QUESTION_INLINE_BYTES_MAX: usize = 48 * 1024;
/// How often plugins may refuse to let one turn end. Then it ends.
pub const TURN_SENT_BACK_MAX: u32 = 5;
/// Size of one file of project instructions that the model is given.
pub const INSTRUCTIONS_BYTES_MAX: usize = 32 * 1024;
/// Size of the system prompt and all tool schemas together.
pub const PREAMBLE_BYTES_MAX: usize = 12 * 1024;
/// What a turn may use. The constants of this module are the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Model requests.
    pub steps_max: u32,
    /// Tool calls in one reply.
    pub step_calls_max: usize,
    /// Time from start to end.
    pub duration_max: Duration,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self { steps_max: TURN_STEPS_MAX, step_calls_max: STEP_CALLS_MAX, duration_max: TURN_DURATION_MAX }
    }
}
