//! A program of the host that a sandbox consists of: started in namespaces of its own, held by descriptor, dead when hangar is.
#![allow(unsafe_code, reason = "what the child does between clone and exec has no safe wrapper")]

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::Write,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::io::fcntl_dupfd_cloexec;

use crate::{
    error::Error,
    ids::IdRange,
    namespace::process::{Process, clone},
};

/// First descriptor number for what the child keeps, out of the way of the numbers it must fill.
const HIGH_FD: RawFd = 10;
/// The number under which the child finds the first descriptor that is passed on.
pub(crate) const PASSED_FD: RawFd = 3;
/// Where programs are looked up when `PATH` is not set, and always in addition: package managers put these where an ordinary user's `PATH` does not reach.
const PLACES: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/lib/qemu", "/usr/libexec"];

/// Finds a program of the host.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from)).collect();
    places.into_iter().map(|place| place.join(name)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

/// How much of what a program said is repeated.
const SAID_BYTES_MAX: usize = 600;

/// Adds the end of what a program said to the reason why there is no sandbox.
pub(crate) fn explained(error: Error, log: &Path) -> Error {
    let said = std::fs::read(log).unwrap_or_default();
    let end = said.len().saturating_sub(SAID_BYTES_MAX);
    match (error, String::from_utf8_lossy(&said[end..]).trim()) {
        (Error::Setup(reason), said) if !said.is_empty() => Error::Setup(format!("{reason}; the runtime said: {said}")),
        (error, _) => error,
    }
}

/// What to start.
pub(crate) struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    passed: Vec<OwnedFd>,
    log: Option<File>,
    jail: Option<Jail>,
}

/// What a program without rights over the host is kept in. Below the root is an empty directory `proc`. Its process gets a user namespace of its own and waits for its ids
/// ([`Waiting::become_range`]).
pub(crate) struct Jail {
    /// All it sees of the host's files.
    pub root: PathBuf,
    /// The capabilities it keeps, over its own ids alone (bits by number).
    pub kept: u64,
}

impl Command {
    /// A program with arguments.
    pub(crate) fn new<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        Self { program: program.to_owned(), arguments, passed: vec![], log: None, jail: None }
    }

    /// Passes a descriptor on; the first one becomes [`PASSED_FD`], the next the number after it.
    pub(crate) fn pass(mut self, descriptor: OwnedFd) -> Self {
        self.passed.push(descriptor);
        self
    }

    /// Sends what it says to this file.
    pub(crate) fn log(mut self, log: File) -> Self {
        self.log = Some(log);
        self
    }

    /// Keeps it in there.
    pub(crate) fn jail(mut self, jail: Jail) -> Self {
        self.jail = Some(jail);
        self
    }

    /// Makes its process in new namespaces (`CLONE_*`) and in the group the calling thread is in, or in `group` where groups are of version 2, where it waits. One with processes of its own needs mounts of its own as well.
    ///
    /// Called on a launcher's thread: the process dies with the thread that made it.
    pub(crate) fn prepare(self, namespaces: libc::c_int, group: Option<BorrowedFd<'_>>) -> Result<Waiting, Error> {
        let what = || format!("start {}", self.program.display());
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|error| Error::Setup(error.to_string()));
        let argv = std::iter::once(self.program.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str));
        let argv = argv.map(text).collect::<Result<Vec<CString>, Error>>()?;
        let high = |fd: &dyn Fn() -> std::io::Result<OwnedFd>| {
            fd().and_then(|fd| Ok(fcntl_dupfd_cloexec(&fd, HIGH_FD)?)).map_err(Error::kernel(what()))
        };
        let null = high(&|| Ok(File::options().read(true).write(true).open("/dev/null")?.into()))?;
        let log = match &self.log {
            Some(log) => high(&|| Ok(log.try_clone()?.into()))?,
            None => high(&|| null.try_clone())?,
        };
        let passed: Vec<OwnedFd> = self.passed.iter().map(|fd| high(&|| fd.try_clone())).collect::<Result<_, _>>()?;
        let (go, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::kernel(what()))?;
        let go = high(&|| go.try_clone())?;
        let mut pointers: Vec<*const libc::c_char> = argv.iter().map(|argument| argument.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let jail = match &self.jail {
            Some(Jail { root, kept }) => Some((text(root.as_os_str())?, *kept)),
            None => None,
        };
        let path = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let env = [path.as_ptr(), std::ptr::null()];
        let plan = Plan {
            argv: pointers.as_ptr(),
            env: env.as_ptr(),
            go: go.as_raw_fd(),
            held: held.as_raw_fd(),
            null: null.as_raw_fd(),
            log: log.as_raw_fd(),
            passed: passed.iter().map(AsRawFd::as_raw_fd).collect(),
            own_processes: namespaces & libc::CLONE_NEWPID != 0,
            jail: jail.as_ref().map(|(root, kept)| (root.as_ptr(), *kept)),
        };
        let namespaces = if jail.is_some() { namespaces | libc::CLONE_NEWUSER } else { namespaces };
        let process = clone(namespaces, group, || plan.run()).map_err(Error::kernel(what()))?;
        Ok(Waiting { process, held: File::from(held), what: what() })
    }
}

/// A process that waits for being let go, to become its program.
pub(crate) struct Waiting {
    process: Process,
    held: File,
    what: String,
}

impl Waiting {
    /// Its number on the host.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Makes this range the ids of its user namespace.
    pub(crate) fn become_range(&self, range: IdRange) -> Result<(), Error> {
        let pid = self.pid();
        for kind in ["uid_map", "gid_map"] {
            let map = PathBuf::from(format!("/proc/{pid}/{kind}"));
            let line = format!("0 {} {}", range.first, IdRange::IDS);
            std::fs::write(&map, line).map_err(Error::host(&map))?;
        }
        Ok(())
    }

    /// Lets it go.
    pub(crate) fn go(mut self) -> Result<Process, Error> {
        self.held.write_all(b"g").map_err(Error::kernel(self.what))?;
        Ok(self.process)
    }
}

/// What the child needs. The pointers belong to memory of the parent that outlives the clone, of which the child has a copy.
struct Plan {
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    go: RawFd,
    held: RawFd,
    null: RawFd,
    log: RawFd,
    passed: Vec<RawFd>,
    /// It is process 1 of a process namespace, and needs a `/proc` of that.
    own_processes: bool,
    /// The root of its jail and the capabilities it keeps.
    jail: Option<(*const libc::c_char, u64)>,
}

/// Capabilities are numbered from 0; this is above all of them.
const CAPABILITIES_MAX: libc::c_int = 64;

impl Plan {
    /// From clone to exec: async-signal-safe calls only.
    fn run(&self) -> std::convert::Infallible {
        // SAFETY: calls on numbers and on memory of this process, which no other thread shares; argv and env are null-terminated lists of C strings.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            // Our copy of the writing end: with it open, the end of the host would not end the wait below.
            libc::close(self.held);
            let mut byte = 0u8;
            if libc::read(self.go, (&raw mut byte).cast(), 1) != 1 {
                libc::_exit(3);
            }
            if self.jail.is_some_and(|(root, _)| libc::chdir(root) != 0 || libc::chroot(c".".as_ptr()) != 0) {
                libc::_exit(6);
            }
            let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            if self.own_processes
                && libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), flags, std::ptr::null()) != 0
            {
                libc::_exit(4);
            }
            if self.jail.is_some_and(|(_, kept)| !give_up(kept)) {
                libc::_exit(7);
            }
            libc::setsid();
            libc::dup2(self.null, 0);
            libc::dup2(self.log, 1);
            libc::dup2(self.log, 2);
            let mut number = PASSED_FD;
            for passed in &self.passed {
                libc::dup2(*passed, number);
                number += 1;
            }
            libc::close_range(number.unsigned_abs(), libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            libc::execve(*self.argv, self.argv, self.env);
            libc::_exit(5)
        }
    }
}

/// From a process that has been given ids of its own to one that can use nothing else. Async-signal-safe.
fn give_up(kept: u64) -> bool {
    // SAFETY: calls on numbers, in a process of one thread.
    unsafe {
        if libc::setgroups(0, std::ptr::null()) != 0 || libc::setresgid(0, 0, 0) != 0 || libc::setresuid(0, 0, 0) != 0 {
            return false;
        }
        for capability in (0..CAPABILITIES_MAX).filter(|capability| kept & (1 << capability) == 0) {
            // Fails for numbers that this kernel does not have.
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        // A change of ids clears the first of these.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    }
}
