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
/// Largest image a model is shown: 5 MB once it is written as base64, which the strictest service takes.
pub const IMAGE_BYTES_MAX: u64 = 3_750_000;
/// Longest side of an image a model is shown, which the strictest service takes.
pub const IMAGE_SIDE_PIXELS_MAX: usize = 8_000;
/// What an image counts for where tokens are estimated, in bytes of text: services count about 1,600 tokens for a large one.
pub const IMAGE_BYTES_COUNTED: usize = 4_800;
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
/// Share of a model's window, in percent, beyond which the conversation is made shorter before the model is asked again.
pub const CONTEXT_FULL_PERCENT: u64 = 80;
/// Share of what fits, in percent, below which the conversation must be once outputs are left out; else it is summed up.
pub const CONTEXT_ENOUGH_PERCENT: u64 = 60;
/// Replies whose outputs are kept when those of older ones are left out.
pub const REPLIES_KEPT: u32 = 4;
/// Replies since the last summary before there is another: a conversation that is full at once is not made shorter by it.
pub const REPLIES_BETWEEN_SUMMARIES: usize = 2;
/// Outputs up to this size are never left out.
pub const PRUNED_BYTES_MIN: usize = 1_024;
/// How much of an output that is left out stays.
pub const PRUNED_HEAD_BYTES: usize = 200;
/// Longest summary that is kept.
pub const SUMMARY_BYTES_MAX: usize = 64 * 1024;
/// Bytes that count as a token where no service has counted them. Fewer than there are in most texts: rather too early than too late.
pub const BYTES_PER_TOKEN: u64 = 3;
/// How long a hook of hangar's own may take. Each answers at once; this is for one that has a bug.
pub const OWN_HOOK_DEADLINE: Duration = Duration::from_secs(5);
/// How much a plugin may say when it refuses, and how much is kept of why it failed.
pub const PLUGIN_WORDS_BYTES_MAX: usize = 4 * 1024;
/// How many words for the model a plugin may add at one point.
pub const PLUGIN_CONTEXT_BYTES_MAX: usize = 16 * 1024;
/// Largest file of hooks that a repository may have.
pub const HOOK_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Hooks of a repository that are heeded, all files together.
pub const HOOKS_MAX: usize = 32;
/// Memory that the expression of one matcher may take once it is compiled.
pub const HOOK_MATCHER_BYTES_MAX: usize = 256 * 1024;
/// How long a hook of a repository may take about one thing, unless its `timeout` says otherwise.
pub const HOOK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// The longest that its `timeout` may say.
pub const HOOK_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// The shortest that its `timeout` may say.
pub const HOOK_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// How long a hook of a repository waits until there is a sandbox that it can run in, and until that has told of the hook's end.
pub const HOOK_SANDBOX_WAIT_MAX: Duration = Duration::from_secs(900);
/// How much a hook of a repository may write to each of its outputs. One that writes more has failed.
pub const HOOK_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Files of one patch about which a hook of a repository is asked. About a larger patch it has failed.
pub const HOOK_PATCH_FILES_MAX: usize = 32;
/// How often plugins may refuse to let one turn end. Then it ends.
pub const TURN_SENT_BACK_MAX: u32 = 5;
/// Size of one file of project instructions that the model is given.
pub const INSTRUCTIONS_BYTES_MAX: usize = 32 * 1024;
/// Skills of one repository that the model is told of.
pub const SKILLS_MAX: usize = 64;
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
