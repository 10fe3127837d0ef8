//! One command: a thread that moves its bytes, obeys its wishes and tells its end.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use hangar_protocol::guest::{
    ExchangeId, ExecRequest, ExitStatus, Failure, OUTPUT_CHUNK_BYTES_MAX, Program, Reply, Signal, Stream,
    request::Leftovers, setup::ProcessLimits,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    termios::tcsetwinsize,
};

use crate::{
    files::failure,
    hold::Apart,
    inbox::Inbox,
    prepare::{Ends, Unready, prepare, winsize},
    spawn::{Below, Launch, Launched, News, Notice, Spare},
    starter::Starter,
    tree::{self, Occupied, Reaper},
    wire::Writer,
};

/// How long a command may take to end after SIGTERM before it gets SIGKILL.
const TERM_PATIENCE: Duration = Duration::from_secs(2);
/// After the command's end, how long its leftovers may be silent before the output counts as complete.
const OUTPUT_SILENCE: Duration = Duration::from_millis(50);
/// Ended commands whose leftovers still hold an output pipe. Beyond it the pipe is closed under them.
const LINGERING_MAX: u32 = 64;

static LINGERING: AtomicU32 = AtomicU32::new(0);

/// Everything one exec needs from its surroundings.
pub(crate) struct Context<'a> {
    pub id: ExchangeId,
    pub writer: &'a Writer,
    pub inbox: &'a Arc<Inbox>,
    pub reaper: &'a Reaper,
    pub by: By<'a>,
    pub env: &'a BTreeMap<String, String>,
    pub limits: ProcessLimits,
    pub shrink_only: &'a AtomicBool,
    pub starting: &'a RwLock<()>,
}

/// Who starts a command.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// Whoever starts all of them.
    Starter(&'a Starter),
    /// Whoever can write to a held workspace.
    Apart(&'a Apart),
}

impl By<'_> {
    fn launch(self, command: &Launch) -> Result<(Launched, Occupied), Failure> {
        match self {
            Self::Starter(starter) => starter.launch(command).map_err(|error| failure("starting the command", &error)),
            Self::Apart(apart) => apart.launch(command),
        }
    }

    fn give_back(self, spare: Spare, occupied: Occupied) {
        match self {
            Self::Starter(starter) => {
                // Before somebody else has it.
                drop(occupied);
                starter.give_back(spare);
            }
            Self::Apart(apart) => apart.give_back(spare, occupied),
        }
    }

    fn take_in(self, another: Spare) {
        match self {
            Self::Starter(starter) => starter.take_in(another),
            // It is never asked for another; one that comes all the same ends as its socket closes.
            Self::Apart(_) => drop(another),
        }
    }
}

impl Context<'_> {
    pub(crate) fn limits(&self) -> ProcessLimits {
        let mut limits = self.limits;
        if self.shrink_only.load(Ordering::Relaxed) {
            limits.file_bytes = 0;
        }
        limits
    }
}

/// A command that has been started, and that nobody looks after yet.
pub(crate) struct Begun {
    launched: Launched,
    occupied: Occupied,
    ends: Ends,
    started: Instant,
}

/// Starts a command. The caller holds `starting`, so that it is not taken for one of those that must end.
pub(crate) fn begin(request: &ExecRequest, context: &Context<'_>) -> Result<Begun, Failure> {
    let started = Instant::now();
    let system = |error: io::Error| failure("starting the command", &error);
    let (ends, command) = prepare(request, context).map_err(|error| match error {
        Unready::Invalid(failure) => failure,
        Unready::System(error) => system(error),
    })?;
    let (launched, occupied) = context.by.launch(&command)?;
    for end in [&ends.stdin, &ends.stdout, &ends.stderr].into_iter().flatten() {
        rustix::io::ioctl_fionbio(end, true).map_err(|error| system(error.into()))?;
    }
    Ok(Begun { launched, occupied, ends, started })
}

/// Sees a command through to its end. Returns when the exchange is over; `Err` is how it ended without an exit status.
pub(crate) fn see_through(begun: Begun, request: &ExecRequest, context: &Context<'_>) -> Result<(), Failure> {
    let Begun { launched, occupied, ends, started } = begun;
    let running = Running {
        request,
        context,
        launched,
        occupied,
        ends,
        started,
        deadline: request.timeout_ms.map(|ms| started + Duration::from_millis(ms)),
        told_start: false,
        term_sent: false,
        timed_out: false,
        ended: None,
        below: Below::Leftovers,
    };
    running.see_through()
}

struct Running<'a> {
    request: &'a ExecRequest,
    context: &'a Context<'a>,
    launched: Launched,
    occupied: Occupied,
    ends: Ends,
    started: Instant,
    deadline: Option<Instant>,
    told_start: bool,
    term_sent: bool,
    timed_out: bool,
    ended: Option<ExitStatus>,
    below: Below,
}

/// What a look at the descriptors found.
#[derive(Default)]
struct Ready {
    wish: bool,
    notice: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    /// Output was looked at for as long as patience lasts, and there was none. A look that was cut short, or that left the output out
    /// because there was no credit for it, means nothing.
    silence: bool,
}

impl Running<'_> {
    fn see_through(mut self) -> Result<(), Failure> {
        loop {
            let ready = self.wait().map_err(|error| failure("waiting for the command", &error))?;
            if ready.wish && self.obey() {
                self.kill_tree();
                return Ok(());
            }
            self.watch_the_clock();
            if ready.notice {
                self.notice()?;
            }
            if ready.stdin {
                self.feed();
            }
            if ready.stdout {
                self.forward(Stream::Stdout);
            }
            if ready.stderr {
                self.forward(Stream::Stderr);
            }
            let over = self.ends.stdout.is_none() && self.ends.stderr.is_none();
            let left_alone = ready.silence && self.keeps_leftovers();
            if let Some(status) = self.ended.filter(|_| over || left_alone) {
                return self.finish(status);
            }
        }
    }

    fn keeps_leftovers(&self) -> bool {
        let taken_along = self.timed_out || self.request.pty.is_some();
        match self.request.leftovers {
            Leftovers::Keep => !taken_along,
            Leftovers::Kill => false,
        }
    }

    /// Sleeps until something happens; output is looked at only while there is credit for it.
    fn wait<'a>(&'a self) -> io::Result<Ready> {
        let (credits, stdin_waiting) = {
            let wishes = self.context.inbox.lock();
            (wishes.credits, !wishes.stdin.is_empty() || wishes.stdin_end)
        };
        let mut polled = vec![PollFd::new(&self.context.inbox.wake, PollFlags::IN)];
        let mut place = |file: Option<&'a File>, flags, wanted: bool| {
            file.filter(|_| wanted).map(|file| {
                polled.push(PollFd::new(file, flags));
                polled.len() - 1
            })
        };
        let notice = place(Some(&self.launched.notices), PollFlags::IN, self.ended.is_none());
        // A fast command writes before its supervisor reports; the host hears of the start first nevertheless.
        let output = credits > 0 && self.told_start;
        let stdout = place(self.ends.stdout.as_ref(), PollFlags::IN, output);
        let stderr = place(self.ends.stderr.as_ref(), PollFlags::IN, output);
        let stdin = place(self.ends.stdin.as_ref(), PollFlags::OUT, stdin_waiting);
        let patience = if self.ended.is_some() && self.keeps_leftovers() {
            Some(OUTPUT_SILENCE)
        } else {
            self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
        };
        let patience = patience.and_then(|patience| rustix::event::Timespec::try_from(patience).ok());
        let happened = match poll(&mut polled, patience.as_ref()) {
            Ok(happened) => Some(happened),
            Err(rustix::io::Errno::INTR) => None,
            Err(error) => return Err(error.into()),
        };
        let silence = happened == Some(0) && output && self.ended.is_some();
        let fired = |place: Option<usize>| place.is_some_and(|place| !polled[place].revents().is_empty());
        let wish = fired(Some(0));
        Ok(Ready {
            wish,
            notice: fired(notice),
            stdin: fired(stdin),
            stdout: fired(stdout),
            stderr: fired(stderr),
            silence,
        })
    }

    /// Does what was asked. Returns whether the exchange was cancelled.
    fn obey(&mut self) -> bool {
        let mut drained = [0u8; 8];
        // Nothing to drain is fine: the poll may have ended for another reason.
        let _ = rustix::io::read(&self.context.inbox.wake, &mut drained);
        let (signals, resize, cancelled) = {
            let mut wishes = self.context.inbox.lock();
            (std::mem::take(&mut wishes.signals), wishes.resize.take(), wishes.cancelled)
        };
        if let (Some(size), Some(terminal)) = (resize, &self.ends.terminal) {
            // A terminal that is gone needs no size.
            let _ = tcsetwinsize(terminal, winsize(size));
        }
        for signal in signals {
            match signal {
                Signal::Kill => self.kill_tree(),
                Signal::Interrupt => tree::signal(self.launched.supervisor, rustix::process::Signal::INT),
                Signal::Terminate => tree::signal(self.launched.supervisor, rustix::process::Signal::TERM),
                Signal::Hangup => tree::signal(self.launched.supervisor, rustix::process::Signal::HUP),
                Signal::Stop => tree::signal(self.launched.supervisor, rustix::process::Signal::STOP),
                Signal::Continue => tree::signal(self.launched.supervisor, rustix::process::Signal::CONT),
            }
        }
        cancelled
    }

    fn kill_tree(&self) {
        tree::kill(self.launched.supervisor);
    }

    fn watch_the_clock(&mut self) {
        if self.ended.is_some() || self.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return;
        }
        self.timed_out = true;
        if self.term_sent {
            self.deadline = None;
            self.kill_tree();
        } else {
            self.term_sent = true;
            self.deadline = Some(Instant::now() + TERM_PATIENCE);
            tree::signal(self.launched.supervisor, rustix::process::Signal::TERM);
        }
    }

    /// Tells the host that the command runs, once.
    fn started(&mut self, pid: u32) {
        if !std::mem::replace(&mut self.told_start, true) {
            // When the host is gone, the reader of the socket ends the process.
            let _ = self.context.writer.send(self.context.id, &Reply::Started { pid }, &[]);
        }
    }

    /// Takes one notice of the supervisor.
    fn notice(&mut self) -> Result<(), Failure> {
        let not_found = |error: i32, what: &str| failure(what, &io::Error::from_raw_os_error(error));
        let notice = match self.launched.news().map_err(|error| failure("the supervisor", &error))? {
            Some(News::Another(spare)) => {
                self.context.by.take_in(spare);
                return Ok(());
            }
            Some(News::Of(notice)) => Some(notice),
            None => None,
        };
        match notice {
            Some(Notice::Started(pid)) => {
                self.started(pid);
                Ok(())
            }
            Some(Notice::NoDirectory(error)) => Err(not_found(error, &self.request.cwd)),
            Some(Notice::NoProgram(error)) => {
                let program = match &self.request.program {
                    Program::Argv(argv) => argv.first().map_or("", String::as_str),
                    Program::Shell(_) => "the shell",
                };
                Err(not_found(error, program))
            }
            Some(Notice::Ended(status, below)) => {
                self.ended = Some(exit_status(status));
                self.below = below;
                self.deadline = None;
                if below == Below::Leftovers && !self.keeps_leftovers() {
                    self.kill_tree();
                }
                Ok(())
            }
            // Somebody in the sandbox killed the supervisor. The command counts as killed, and so it shall be.
            None => {
                self.started(self.launched.supervisor.as_raw_nonzero().get().unsigned_abs());
                let _starting = self.context.starting.write().unwrap_or_else(PoisonError::into_inner);
                self.context.reaper.kill_orphans(self.launched.supervisor);
                self.ended = Some(ExitStatus::Signal(libc::SIGKILL));
                self.deadline = None;
                Ok(())
            }
        }
    }

    /// Moves one chunk of output to the host.
    fn forward(&mut self, stream: Stream) {
        let end = match stream {
            Stream::Stdout => &mut self.ends.stdout,
            Stream::Stderr => &mut self.ends.stderr,
        };
        let Some(file) = end else { return };
        {
            let wishes = self.context.inbox.lock();
            if wishes.credits == 0 {
                return;
            }
        }
        let mut chunk = [0u8; OUTPUT_CHUNK_BYTES_MAX];
        match file.read(&mut chunk) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // A terminal whose last user has gone answers EIO.
            Ok(0) | Err(_) => *end = None,
            Ok(size) => {
                self.context.inbox.lock().credits -= 1;
                // As above: the reader of the socket ends the process.
                let _ = self.context.writer.send(self.context.id, &Reply::Output { stream }, &chunk[..size]);
            }
        }
    }

    /// Moves standard input to the command.
    fn feed(&mut self) {
        let (next, end) = {
            let mut wishes = self.context.inbox.lock();
            (wishes.stdin.pop_front(), wishes.stdin_end)
        };
        let Some(file) = &mut self.ends.stdin else { return };
        match next {
            Some(mut bytes) => match file.write(&bytes) {
                Ok(size) if size < bytes.len() => {
                    bytes.drain(..size);
                    self.context.inbox.lock().stdin.push_front(bytes);
                }
                Ok(_) => self.stdin_taken(),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    self.context.inbox.lock().stdin.push_front(bytes);
                }
                // The command has closed its input: the rest is for nobody, but must not hold the host up.
                Err(_) => {
                    let left = self.context.inbox.lock().stdin.drain(..).count();
                    for _ in 0..=left {
                        self.stdin_taken();
                    }
                    self.ends.stdin = None;
                }
            },
            None if end => {
                if self.ends.terminal.is_some() {
                    // Ctrl-D is how a terminal says the end.
                    let _ = file.write(&[4]);
                }
                self.ends.stdin = None;
            }
            None => {}
        }
    }

    fn stdin_taken(&self) {
        let _ = self.context.writer.send(self.context.id, &Reply::StdinTaken { frames: 1 }, &[]);
    }

    /// Tells the end, then keeps reading for leftovers that still write, so that they neither block nor die of a closed pipe.
    fn finish(mut self, status: ExitStatus) -> Result<(), Failure> {
        let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reply = Reply::Exited { status, duration_ms, timed_out: self.timed_out };
        let keeps_leftovers = self.keeps_leftovers();
        // Before the end is told: the next command may be asked for at once, or a snapshot, for which it counts who is left.
        match self.below {
            Below::Nobody => self.context.by.give_back(self.launched.into_spare(), self.occupied),
            Below::Leftovers => match (self.context.by, self.request.leftovers) {
                // There is no other, and what its command had left is dead: it takes the next order once it has reaped them.
                (By::Apart(apart), Leftovers::Kill) => apart.give_back(self.launched.into_spare(), self.occupied),
                // It goes with the last of them, as its socket closes here.
                (By::Apart(_), Leftovers::Keep) | (By::Starter(_), Leftovers::Kill | Leftovers::Keep) => {
                    drop(self.launched);
                    if keeps_leftovers {
                        self.occupied.until_it_ends();
                    } else {
                        drop(self.occupied);
                    }
                }
            },
        }
        let _ = self.context.writer.send(self.context.id, &reply, &[]);
        let open: Vec<File> = [self.ends.stdout.take(), self.ends.stderr.take()].into_iter().flatten().collect();
        if open.is_empty() || LINGERING.fetch_add(1, Ordering::Relaxed) >= LINGERING_MAX {
            return Ok(());
        }
        let drain = std::thread::Builder::new().name("leftovers".into()).stack_size(64 * 1024).spawn(move || {
            drain(open);
            LINGERING.fetch_sub(1, Ordering::Relaxed);
        });
        if drain.is_err() {
            LINGERING.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Reads and forgets until every pipe has ended.
fn drain(mut open: Vec<File>) {
    let mut chunk = [0u8; 4096];
    while !open.is_empty() {
        let mut polled: Vec<PollFd<'_>> = open.iter().map(|file| PollFd::new(file, PollFlags::IN)).collect();
        if poll(&mut polled, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
            return;
        }
        open.retain_mut(|file| match file.read(&mut chunk) {
            Ok(size) => size > 0,
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        });
    }
}

fn exit_status(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(libc::WTERMSIG(status))
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(status))
    }
}
