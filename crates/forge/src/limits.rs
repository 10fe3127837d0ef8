//! Every limit of the forge, with its unit. The defaults are meant for one machine with a few dozen people.

use std::time::Duration;

/// What one forge may use. Construct with `Limits::default()` and change what you need.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest pack one push may bring, in bytes (`receive.maxInputSize`). Default 2 GiB.
    pub push_bytes_max: u64,
    /// Most commands (branches) in one push. Default 100.
    pub push_commands_max: usize,
    /// Clones, fetches and pushes that may run at once; further ones wait `queue_wait_max`. Default 16.
    pub transfers_max: usize,
    /// Short git commands (log, diff, merge…) that may run at once. Default 16.
    pub commands_max: usize,
    /// How long a request waits for its turn before it is told to come back later. Default 30 s.
    pub queue_wait_max: Duration,
    /// How long one short git command may run. Default 60 s.
    pub command_time_max: Duration,
    /// How long one clone, fetch, push or import may run. Default 30 min.
    pub transfer_time_max: Duration,
    /// How long a client may neither send nor take a byte before its transfer is ended. Default 60 s.
    pub stall_time_max: Duration,
    /// Transfers that one sandbox may have at once through its broker; further ones wait as above. Default 4.
    pub sandbox_transfers_max: usize,
    /// Connections that one sandbox may have open to its broker; further ones wait in the kernel's queue. Default 32.
    pub sandbox_connections_max: usize,
    /// Most output read from one short git command, in bytes. Default 32 MiB.
    pub output_bytes_max: usize,
    /// Most files in one diff; the rest is left out and said so. Default 300, as GitHub.
    pub diff_files_max: usize,
    /// Most bytes of one file's patch; a longer one is left out and said so. Default 1 MiB.
    pub diff_file_bytes_max: usize,
    /// Most bytes of patches in one diff. Default 8 MiB.
    pub diff_bytes_max: usize,
    /// Largest file that the contents API returns, in bytes. Default 10 MiB.
    pub blob_bytes_max: usize,
    /// Largest REST request body, in bytes. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Longest title of a pull request, in characters (GitHub: 256).
    pub title_chars_max: usize,
    /// Longest body of a pull request, review or comment, in characters (GitHub: 65,536).
    pub text_chars_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            push_bytes_max: 2 << 30,
            push_commands_max: 100,
            transfers_max: 16,
            commands_max: 16,
            queue_wait_max: Duration::from_secs(30),
            command_time_max: Duration::from_secs(60),
            transfer_time_max: Duration::from_secs(30 * 60),
            stall_time_max: Duration::from_secs(60),
            sandbox_transfers_max: 4,
            sandbox_connections_max: 32,
            output_bytes_max: 32 << 20,
            diff_files_max: 300,
            diff_file_bytes_max: 1 << 20,
            diff_bytes_max: 8 << 20,
            blob_bytes_max: 10 << 20,
            body_bytes_max: 1 << 20,
            title_chars_max: 256,
            text_chars_max: 65_536,
        }
    }
}
