//! Reads requests one after another and hands each to whoever answers it. Nothing here waits for a command or a disk.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::BufReader,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use hangar_protocol::guest::{
    EXCHANGES_MAX, ExchangeId, ExecRequest, Failure, FailureKind, Reply, Request, decode, setup::ProcessLimits,
};

use crate::{
    exec::{self, By},
    files,
    hold::Apart,
    inbox::Inbox,
    pool::Pool,
    runners::Runners,
    search,
    spawn::{Bounds, Spare},
    starter::Starter,
    tree::{self, Reaper},
    watch::{self, Ender},
    wire::{Incoming, Writer, malformed, read_frame},
};

/// Stack of the thread of one watch.
const WATCH_STACK_BYTES: usize = 256 * 1024;
/// Bytes read from the socket at once.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What every command of this sandbox starts with.
pub(crate) struct Surroundings {
    pub env: BTreeMap<String, String>,
    pub limits: ProcessLimits,
    pub bounds: Bounds,
    /// The supervisor of the first command.
    pub first: Spare,
    /// That of commands which can write to a held workspace, where it can be held.
    pub apart: Option<Spare>,
    pub runners: Runners,
}

/// An exchange that lasts.
enum Open {
    Exec(Arc<Inbox>),
    Search(Arc<AtomicBool>),
    Watch(Arc<Ender>),
}

struct Guest {
    writer: Writer,
    open: Mutex<HashMap<ExchangeId, Open>>,
    env: BTreeMap<String, String>,
    limits: ProcessLimits,
    /// Held for writing while everything is killed, for reading while a command starts: a command that begins then waits
    /// instead of being taken for one of those that must end.
    starting: RwLock<()>,
    /// The disk is full: files may not grow.
    shrink_only: AtomicBool,
    pool: Pool,
    reaper: Reaper,
    starter: Starter,
    apart: Apart,
    runners: Runners,
}

/// Which mounts a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// Those of the sandbox.
    Common,
    /// Those in which a held workspace can be written.
    Apart,
}

/// Serves until the host closes the socket.
pub(crate) fn run(socket: File, surroundings: Surroundings) {
    let Ok(writer) = Writer::new(&socket) else { return };
    let Surroundings { env, limits, bounds, first, apart, runners } = surroundings;
    let reaper = Reaper::default();
    let apart = Apart::new(apart, &reaper);
    let starter = Starter::new(bounds, reaper.clone(), first);
    let guest = Arc::new(Guest {
        writer,
        open: Mutex::new(HashMap::new()),
        env,
        limits,
        starting: RwLock::new(()),
        shrink_only: AtomicBool::new(false),
        pool: Pool::new(),
        reaper,
        starter,
        apart,
        runners,
    });
    let mut socket = BufReader::with_capacity(READ_BUFFER_BYTES, socket);
    // An error of the socket is its end: there is one host, and it is gone.
    while let Ok(Some(incoming)) = read_frame(&mut socket) {
        match incoming {
            Incoming::TooLarge(bytes) => {
                guest.writer.fail(ExchangeId::NONE, malformed(&hangar_protocol::guest::FrameError::TooLarge { bytes }));
            }
            Incoming::Frame(frame) => match decode::<Request>(&frame) {
                Ok((header, payload)) => guest.take(header.id, header.body, payload),
                Err(error) => guest.writer.fail(ExchangeId::NONE, malformed(&error)),
            },
        }
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Invalid, message: message.into() }
}

impl Guest {
    fn open(&self) -> MutexGuard<'_, HashMap<ExchangeId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, id: ExchangeId, request: Request, payload: &[u8]) {
        let taken = match request {
            Request::Ping => self.answer(id, Ok((Reply::Pong, vec![]))),
            Request::Exec(request) => self.exec(id, View::Common, request),
            Request::Sync(request) => self.exec(id, View::Apart, request),
            Request::SyncOver => {
                self.apart.dismiss();
                self.answer(id, Ok((Reply::Pong, vec![])))
            }
            Request::Stdin => self.with_exec(id, |inbox| inbox.stdin(payload.to_vec())),
            Request::StdinEnd => self.with_exec(id, |inbox| {
                inbox.stdin_end();
                true
            }),
            Request::Signal(signal) => self.with_exec(id, |inbox| {
                inbox.signal(signal);
                true
            }),
            Request::Resize(size) => self.with_exec(id, |inbox| {
                inbox.resize(size);
                true
            }),
            Request::Credit { frames } => self.with_exec(id, |inbox| {
                inbox.credit(frames);
                true
            }),
            Request::Cancel => {
                self.cancel(id);
                Ok(())
            }
            Request::Read { path, offset, limit } => self.on_files(id, move |_| files::read(&path, offset, limit)),
            Request::Write { path, mode } => {
                let (payload, guest) = (payload.to_vec(), Arc::clone(self));
                self.on_files(id, move |_| {
                    guest.may_grow(&path)?;
                    files::write(&path, mode, &payload).map(bare)
                })
            }
            Request::Stat { path } => self.on_files(id, move |_| files::stat(&path).map(bare)),
            Request::List { path, limit } => self.on_files(id, move |_| files::list(&path, limit).map(bare)),
            Request::Glob(request) => self.on_files(id, move |cancelled| search::glob(&request, cancelled).map(bare)),
            Request::Grep(request) => self.on_files(id, move |cancelled| search::grep(&request, cancelled).map(bare)),
            Request::Watch { path } => self.watch(id, path),
            Request::KillAll => {
                let guest = Arc::clone(self);
                self.on_files(id, move |_| {
                    let _starting = guest.starting.write().unwrap_or_else(PoisonError::into_inner);
                    // Those that wait are not counted among what is killed.
                    let _alone = guest.starter.stand_down();
                    Ok(bare(Reply::Killed { processes: tree::kill_all() }))
                })
            }
            Request::StandBy(ready) => {
                let guest = Arc::clone(self);
                self.on_files(id, move |_| guest.stand(ready).map(bare))
            }
            Request::ShrinkOnly(on) => {
                self.shrink_only.store(on, Ordering::Relaxed);
                self.answer(id, Ok((Reply::Pong, vec![])))
            }
        };
        if let Err(failure) = taken {
            self.writer.fail(id, failure);
        }
    }

    /// When the host is gone, the reader ends the process; so a failed send is nobody's matter.
    fn answer(&self, id: ExchangeId, answer: Result<(Reply, Vec<u8>), Failure>) -> Result<(), Failure> {
        let (reply, payload) = answer?;
        let _ = self.writer.send(id, &reply, &payload);
        Ok(())
    }

    fn may_grow(&self, path: &str) -> Result<(), Failure> {
        if self.shrink_only.load(Ordering::Relaxed) {
            let message = format!("{path}: the sandbox's disk is full; delete files first");
            return Err(Failure { kind: FailureKind::DiskFull, message });
        }
        Ok(())
    }

    fn stand(&self, ready: bool) -> Result<Reply, Failure> {
        if !ready {
            self.until_cancelled_are_over();
            return Ok(Reply::StoodDown { alone: self.starter.stand_down() });
        }
        let stood = self.starter.stand_by().map(|()| Reply::Pong);
        stood.map_err(|error| files::failure("getting ready for commands", &error))
    }

    /// Waits for commands that were cancelled: nobody hears of their end, and it is certain.
    fn until_cancelled_are_over(&self) {
        let deadline = Instant::now() + tree::KILL_PATIENCE;
        let is_ending = |open: &Open| match open {
            Open::Exec(inbox) => inbox.lock().cancelled,
            Open::Search(_) | Open::Watch(_) => false,
        };
        while self.open().values().any(is_ending) && Instant::now() < deadline {
            std::thread::sleep(tree::KILL_PAUSE);
        }
    }

    /// Opens an exchange that lasts.
    fn begin(&self, id: ExchangeId, kind: Open) -> Result<(), Failure> {
        let mut open = self.open();
        if id == ExchangeId::NONE || open.contains_key(&id) {
            return Err(invalid(format!("exchange {} is taken", id.0)));
        }
        if open.len() >= EXCHANGES_MAX {
            let message = format!("{EXCHANGES_MAX} requests are open already; wait for some to end");
            return Err(Failure { kind: FailureKind::Busy, message });
        }
        open.insert(id, kind);
        Ok(())
    }

    fn end(&self, id: ExchangeId) {
        self.open().remove(&id);
    }

    fn cancel(&self, id: ExchangeId) {
        match self.open().get(&id) {
            Some(Open::Exec(inbox)) => inbox.cancel(),
            Some(Open::Search(cancelled)) => cancelled.store(true, Ordering::Relaxed),
            Some(Open::Watch(ender)) => ender.end(),
            // It has ended meanwhile.
            None => {}
        }
    }

    /// Passes something on to a running command. One that has just ended needs nothing any more.
    fn with_exec(&self, id: ExchangeId, pass: impl FnOnce(&Inbox) -> bool) -> Result<(), Failure> {
        let inbox = match self.open().get(&id) {
            Some(Open::Exec(inbox)) => Arc::clone(inbox),
            Some(Open::Search(_) | Open::Watch(_)) => return Err(invalid("this exchange is no command")),
            None => return Ok(()),
        };
        if pass(&inbox) { Ok(()) } else { Err(invalid("more standard input than was asked for")) }
    }

    fn on_files(
        self: &Arc<Self>,
        id: ExchangeId,
        work: impl FnOnce(&AtomicBool) -> Result<(Reply, Vec<u8>), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.begin(id, Open::Search(Arc::clone(&cancelled)))?;
        let guest = Arc::clone(self);
        let handed = self.pool.run(move || {
            let answer = work(&cancelled);
            guest.end(id);
            if let Err(failure) = guest.answer(id, answer) {
                guest.writer.fail(id, failure);
            }
        });
        if handed.is_err() {
            self.end(id);
        }
        handed
    }

    /// Starts the command at once, and leaves the rest of its life to a thread.
    fn exec(self: &Arc<Self>, id: ExchangeId, view: View, request: ExecRequest) -> Result<(), Failure> {
        let no_thread = |error: std::io::Error| files::failure("starting the command", &error);
        let inbox = Arc::new(Inbox::new().map_err(no_thread)?);
        self.begin(id, Open::Exec(Arc::clone(&inbox)))?;
        // While everything is being killed, the thread waits for the end of that; nothing else may be held up here.
        let begun = match self.starting.try_read() {
            Ok(_starting) => match exec::begin(&request, &self.context(id, view, &inbox)) {
                Ok(begun) => Some(begun),
                Err(failure) => {
                    self.end(id);
                    return Err(failure);
                }
            },
            Err(_) => None,
        };
        let guest = Arc::clone(self);
        let started = self.runners.run(move || {
            let ran = guest.see_through(begun, &request, &guest.context(id, view, &inbox));
            guest.end(id);
            if let Err(failure) = ran {
                guest.writer.fail(id, failure);
            }
        });
        if started.is_err() {
            self.end(id);
        }
        started.map_err(no_thread)
    }

    fn see_through(
        &self,
        begun: Option<exec::Begun>,
        request: &ExecRequest,
        context: &exec::Context<'_>,
    ) -> Result<(), Failure> {
        let begun = match begun {
            Some(begun) => begun,
            None => {
                let _starting = self.starting.read().unwrap_or_else(PoisonError::into_inner);
                exec::begin(request, context)?
            }
        };
        exec::see_through(begun, request, context)
    }

    fn context<'a>(&'a self, id: ExchangeId, view: View, inbox: &'a Arc<Inbox>) -> exec::Context<'a> {
        exec::Context {
            id,
            writer: &self.writer,
            inbox,
            reaper: &self.reaper,
            by: match view {
                View::Common => By::Starter(&self.starter),
                View::Apart => By::Apart(&self.apart),
            },
            env: &self.env,
            limits: self.limits,
            shrink_only: &self.shrink_only,
            starting: &self.starting,
        }
    }

    fn watch(self: &Arc<Self>, id: ExchangeId, path: String) -> Result<(), Failure> {
        let no_thread = |error: std::io::Error| files::failure("starting the watch", &error);
        let ender = Arc::new(Ender::new().map_err(no_thread)?);
        self.begin(id, Open::Watch(Arc::clone(&ender)))?;
        let guest = Arc::clone(self);
        let thread = std::thread::Builder::new().name("watch".into()).stack_size(WATCH_STACK_BYTES);
        let started = thread.spawn(move || {
            let ran = watch::run(&path, id, &guest.writer, &ender);
            guest.end(id);
            if let Err(failure) = ran {
                guest.writer.fail(id, failure);
            }
        });
        if started.is_err() {
            self.end(id);
        }
        started.map(drop).map_err(no_thread)
    }
}

fn bare(reply: Reply) -> (Reply, Vec<u8>) {
    (reply, vec![])
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::{fd::OwnedFd, unix::net::UnixStream},
    };

    use hangar_protocol::guest::{FRAME_BYTES_MAX, Header, encode};

    use super::*;

    /// A guest on a thread, without the sandbox around it, and the host's end of its socket.
    fn guest() -> UnixStream {
        let (host, guest) = UnixStream::pair().unwrap();
        let limits = ProcessLimits { open_files: 1024, file_bytes: u64::MAX };
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let bounds = Bounds::OfThisProcess;
        let first = Spare::make(bounds).unwrap();
        let runners = Runners::start().unwrap();
        std::thread::spawn(move || {
            run(OwnedFd::from(guest).into(), Surroundings { env, limits, bounds, first, apart: None, runners })
        });
        host.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        host
    }

    fn next(host: &mut UnixStream) -> (Header<Reply>, Vec<u8>) {
        match read_frame(host).unwrap() {
            Some(Incoming::Frame(frame)) => {
                let (header, payload) = decode::<Reply>(&frame).unwrap();
                (header, payload.to_vec())
            }
            Some(Incoming::TooLarge(_)) | None => panic!("no frame"),
        }
    }

    fn refused(host: &mut UnixStream) -> (u32, FailureKind) {
        match next(host).0 {
            Header { id, body: Reply::Failed(failure) } => (id.0, failure.kind),
            other => panic!("{other:?}"),
        }
    }

    fn frame(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
    }

    #[test]
    fn frames_that_are_none_harm_no_other_exchange() {
        let mut host = guest();
        let cat = ExecRequest {
            program: hangar_protocol::guest::Program::Argv(vec!["cat".into()]),
            cwd: "/".into(),
            env: BTreeMap::new(),
            stdin: hangar_protocol::guest::StdinMode::Piped,
            pty: None,
            timeout_ms: None,
            leftovers: hangar_protocol::guest::request::Leftovers::Kill,
        };
        host.write_all(&encode(ExchangeId(5), &Request::Exec(cat), &[]).unwrap()).unwrap();
        assert!(matches!(next(&mut host).0.body, Reply::Started { .. }));

        let broken: [&[u8]; 6] =
            [b"", b"ab", b"\xff\xff\xff\xff", b"\x02\0\0\0{}", b"\x09\0\0\0{}", b"\x11\0\0\0{\"id\":1,\"body\":7}"];
        for broken in broken {
            host.write_all(&frame(broken)).unwrap();
            assert_eq!(refused(&mut host).0, 0, "{broken:?}");
        }
        // Too large: thrown away as it comes, without being kept.
        let size = FRAME_BYTES_MAX + 1;
        host.write_all(&u32::try_from(size).unwrap().to_le_bytes()).unwrap();
        host.write_all(&vec![0; size]).unwrap();
        assert_eq!(refused(&mut host), (0, FailureKind::TooLarge));
        // A number that is taken, the number of nobody, a command where there is none.
        let list = Request::List { path: "/".into(), limit: 1 };
        host.write_all(&encode(ExchangeId(5), &list, &[]).unwrap()).unwrap();
        assert_eq!(refused(&mut host), (5, FailureKind::Invalid));
        host.write_all(&encode(ExchangeId::NONE, &list, &[]).unwrap()).unwrap();
        assert_eq!(refused(&mut host), (0, FailureKind::Invalid));
        host.write_all(&encode(ExchangeId(9), &Request::Stdin, b"for nobody").unwrap()).unwrap();

        host.write_all(&encode(ExchangeId(5), &Request::Stdin, b"still here").unwrap()).unwrap();
        host.write_all(&encode(ExchangeId(5), &Request::StdinEnd, &[]).unwrap()).unwrap();
        let mut output = Vec::new();
        loop {
            let (header, payload) = next(&mut host);
            assert_eq!(header.id, ExchangeId(5));
            match header.body {
                Reply::Output { .. } => output.extend(payload),
                Reply::StdinTaken { .. } => {}
                Reply::Exited { status, .. } => break assert!(status.success()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(output, b"still here");
    }
}
