//! Starts a command under a supervisor of its own.
//!
//! ```text
//!   guest (process 1, many threads)
//!     └─ supervisor   forked, never execs; every descendant that loses its parent becomes its child (PR_SET_CHILD_SUBREAPER)
//!          └─ command   own session, own process group
//!               └─ …    whatever it starts, daemons included, stays below the supervisor
//! ```
//!
//! The supervisor is what makes "the whole tree" a thing that can be found and ended: a daemon that forks twice and opens a
//! session of its own still hangs below it. It reports over a pipe and goes when its last descendant is gone.
//!
//! Everything between fork and exec uses memory prepared before and async-signal-safe calls only: other threads of the
//! guest may hold any lock at the moment of the fork.
#![allow(unsafe_code, reason = "fork and exec with full control over descriptors, session and terminal")]

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    ptr,
};

use hangar_protocol::guest::setup::ProcessLimits;
use rustix::process::Pid;

use crate::{
    guard::{Guard, stands},
    kernel,
};

/// The largest number a descriptor can have. gVisor's kernel takes a larger one for a negative number and closes nothing.
const LAST_FD: libc::c_uint = libc::c_int::MAX as libc::c_uint;

/// A command, ready to start: every string is already as the kernel wants it.
pub(crate) struct Launch {
    /// Paths to try, in order.
    pub programs: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Standard input is a terminal and becomes the controlling one.
    pub terminal: bool,
    pub limits: ProcessLimits,
}

/// A command that was started.
pub(crate) struct Launched {
    pub supervisor: Pid,
    /// Carries [`Notice`]s and ends with the supervisor.
    pub notices: File,
}

/// What the supervisor reports, in this order; a failure takes the place of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The command has this process id.
    Started(u32),
    /// The working directory cannot be entered: error number.
    NoDirectory(i32),
    /// No program could be executed: error number.
    NoProgram(i32),
    /// The command has ended: wait status.
    Ended(i32),
}

const STARTED: i32 = 1;
const NO_DIRECTORY: i32 = 2;
const NO_PROGRAM: i32 = 3;
const ENDED: i32 = 4;

/// Commands are killed before the guest when memory runs out.
const OOM_SCORE: &[u8] = b"500";

impl Notice {
    /// The next notice; `None` when the supervisor is gone.
    pub(crate) fn read(pipe: &mut File) -> io::Result<Option<Self>> {
        let mut bytes = [0u8; 8];
        match pipe.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        let value = i32::from_ne_bytes([e, f, g, h]);
        match i32::from_ne_bytes([a, b, c, d]) {
            STARTED => Ok(Some(Self::Started(value.unsigned_abs()))),
            NO_DIRECTORY => Ok(Some(Self::NoDirectory(value))),
            NO_PROGRAM => Ok(Some(Self::NoProgram(value))),
            ENDED => Ok(Some(Self::Ended(value))),
            other => Err(io::Error::other(format!("unknown notice {other}"))),
        }
    }
}

/// Starts the command.
///
/// # Errors
/// When the kernel has no process or pipe left to give.
pub(crate) fn launch(launch: &Launch) -> io::Result<Launched> {
    let (notices, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let argv = pointers(&launch.argv);
    let env = pointers(&launch.env);
    let programs: Vec<*const libc::c_char> = launch.programs.iter().map(|program| program.as_ptr()).collect();
    let prepared = Prepared {
        programs: &programs,
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        cwd: launch.cwd.as_ptr(),
        stdio: [launch.stdin.as_raw_fd(), launch.stdout.as_raw_fd(), launch.stderr.as_raw_fd()],
        terminal: launch.terminal,
        limits: launch.limits,
        report: report.as_fd().as_raw_fd(),
    };
    // SAFETY: the child runs `supervise` alone, which keeps to async-signal-safe calls and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: this is the forked child; the pointers in `prepared` live in its copy of the memory.
        unsafe { supervise(&prepared) }
    }
    let supervisor = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error)?;
    Ok(Launched { supervisor, notices: File::from(notices) })
}

/// A null-terminated array for the kernel, borrowing from `strings`.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

struct Prepared<'a> {
    programs: &'a [*const libc::c_char],
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
    stdio: [RawFd; 3],
    terminal: bool,
    limits: ProcessLimits,
    report: RawFd,
}

/// The supervisor's whole life.
///
/// # Safety
/// Only in a freshly forked child.
unsafe fn supervise(prepared: &Prepared<'_>) -> ! {
    // SAFETY: async-signal-safe calls on numbers and on memory of this process.
    unsafe {
        kernel::set_name(c"hangar-exec");
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        // SIGKILL when the thread that forked it ends would be wrong: exec threads come and go. The guest's end takes all along anyway.
        // Closed by a successful exec; else the command writes what failed.
        let mut outcome = [-1; 2];
        if libc::pipe2(outcome.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            report(prepared.report, NO_PROGRAM, *libc::__errno_location());
            libc::_exit(1);
        }
        let [outcome, tell] = outcome;
        let command = libc::fork();
        if command == 0 {
            run(prepared, tell);
        }
        if command < 0 {
            report(prepared.report, NO_PROGRAM, *libc::__errno_location());
            libc::_exit(1);
        }
        libc::close(tell);
        let mut failure = [0u8; 8];
        if libc::read(outcome, failure.as_mut_ptr().cast(), failure.len()) == 8 {
            libc::write(prepared.report, failure.as_ptr().cast(), failure.len());
            libc::_exit(1);
        }
        report(prepared.report, STARTED, command);
        // Only the report stays open: the supervisor must not keep pipes of this or of other commands alive.
        libc::dup2(prepared.report, 0);
        libc::close_range(1, LAST_FD, 0);
        loop {
            let mut status = 0;
            let ended = libc::waitpid(-1, &raw mut status, 0);
            if ended == command {
                report(0, ENDED, status);
            } else if ended < 0 && *libc::__errno_location() != libc::EINTR {
                libc::_exit(0);
            }
        }
    }
}

/// Between fork and exec.
///
/// # Safety
/// Only in a freshly forked child.
unsafe fn run(prepared: &Prepared<'_>, tell: RawFd) -> ! {
    // SAFETY: async-signal-safe calls; all pointers were prepared before the fork and point into copied memory.
    unsafe {
        let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        libc::write(score, OOM_SCORE.as_ptr().cast(), OOM_SCORE.len());
        libc::setsid();
        for (to, from) in (0..).zip(prepared.stdio) {
            libc::dup2(from, to);
        }
        if prepared.terminal {
            kernel::take_terminal(0);
        }
        if stands(Guard::CloseDescriptors) {
            libc::close_range(3, LAST_FD, libc::CLOSE_RANGE_CLOEXEC as libc::c_int);
        } else {
            // A copy without the flag, as a forgotten one would be.
            libc::dup(tell);
        }
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        kernel::limit_resource(libc::RLIMIT_NOFILE, prepared.limits.open_files);
        kernel::limit_resource(libc::RLIMIT_FSIZE, prepared.limits.file_bytes);
        if stands(Guard::NoCoreDumps) {
            kernel::limit_resource(libc::RLIMIT_CORE, 0);
        }
        if libc::chdir(prepared.cwd) != 0 {
            report(tell, NO_DIRECTORY, *libc::__errno_location());
            libc::_exit(126);
        }
        let mut reason = libc::ENOENT;
        for program in prepared.programs {
            libc::execve(*program, prepared.argv, prepared.env);
            let error = *libc::__errno_location();
            // Like a shell: go on looking, but remember a file that was there and could not be run.
            if error != libc::ENOENT && error != libc::ENOTDIR {
                reason = error;
            }
        }
        report(tell, NO_PROGRAM, reason);
        libc::_exit(127)
    }
}

/// Writes one notice; eight bytes into a pipe are written whole or not at all.
fn report(pipe: RawFd, kind: i32, value: i32) {
    let mut bytes = [0u8; 8];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..].copy_from_slice(&value.to_ne_bytes());
    // SAFETY: the buffer outlives the call.
    unsafe { libc::write(pipe, bytes.as_ptr().cast(), bytes.len()) };
}
