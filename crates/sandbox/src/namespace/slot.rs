//! Slots: processes in namespaces of their own that could become any sandbox.
#![allow(unsafe_code, reason = "what the child does between clone and exec has no safe wrapper")]

use std::{
    fs::{self, File},
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream as StdStream,
    },
    time::Duration,
};

use hangar_protocol::guest::{
    AGENT_ID, Account, BORDER_PORTS, ExchangeId, FRAME_BYTES_MAX, Order, Reply, SOCKET_FD, decode, encode,
};
use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use tokio::{io::Interest, net::UnixStream};

use crate::{
    border::Border,
    error::Error,
    guard::{self, Guard, stands},
    ids::IdRange,
    namespace::{
        process::{Process, clone},
        rights::Rights,
    },
};

/// How long a slot may take to become ready, and to become a sandbox; it takes a millisecond on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Descriptors one order may carry, as the guest expects.
const DESCRIPTORS_MAX: usize = 250;
/// Sockets of the border in one answer.
const SOCKETS_MAX: usize = 16;
/// Largest answer to an order: a failure's words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How unwilling the kernel should be to kill a guest for memory (-1000 never, 1000 first).
const OOM_SCORE: &str = "-900";
/// First descriptor number for what the child keeps, out of the way of the numbers it must fill.
const HIGH_FD: RawFd = 10;

/// The namespaces of a sandbox; the cgroup namespace follows once the process is in its cgroup.
fn namespaces() -> libc::c_int {
    let own = |guard, namespace| if stands(guard) { namespace } else { 0 };
    libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | own(Guard::UtsNamespace, libc::CLONE_NEWUTS)
        | own(Guard::Network, libc::CLONE_NEWNET)
        | own(Guard::IpcNamespace, libc::CLONE_NEWIPC)
}

/// The guest's program.
pub(crate) static GUEST: &[u8] = include_bytes!(env!("HANGAR_GUEST"));

/// The guest's program in a sealed memory file: nothing of the host's paths shows, and nobody can overwrite it.
pub(crate) fn guest_program() -> Result<OwnedFd, Error> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 want to be told that it will be executed; older ones do not know the flag.
    let memory =
        memfd_create("hangar-guest", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("hangar-guest", flags));
    let memory = memory.map_err(Error::kernel("make a memory file for the guest"))?;
    let mut file = File::from(memory);
    file.write_all(GUEST).map_err(Error::kernel("fill the guest's memory file"))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(Error::kernel("seal the guest's memory file"))?;
    fcntl_dupfd_cloexec(&file, HIGH_FD).map_err(Error::kernel("keep the guest's memory file"))
}

/// The ids a slot's user namespace has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ids {
    /// A range of its own.
    Range(IdRange),
    /// The one id of this user, as the account's.
    Single(Account),
}

/// A process that became, or is becoming, a slot.
#[derive(Debug)]
pub(crate) struct Slot {
    pub process: Process,
    pub socket: StdStream,
}

impl Slot {
    /// Makes the process, in `group` where there is one to be named, else in the group of this thread.
    ///
    /// Called on the launcher's thread: the slot dies with the thread that made it.
    pub(crate) fn start(
        guest: &OwnedFd,
        ids: Ids,
        rights: Rights,
        group: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Error> {
        let what = "make a process in its own namespaces";
        let (host, inner) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(Error::kernel(what))?;
        let inner = fcntl_dupfd_cloexec(&inner, HIGH_FD).map_err(Error::kernel(what))?;
        let (go, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::kernel(what))?;
        let go = fcntl_dupfd_cloexec(&go, HIGH_FD).map_err(Error::kernel(what))?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(Error::host("/dev/null"))?;
        let null = fcntl_dupfd_cloexec(&null, HIGH_FD).map_err(Error::kernel(what))?;
        let environment = guard::environment();
        let plan = Plan {
            guest: guest.as_raw_fd(),
            socket: inner.as_raw_fd(),
            go: go.as_raw_fd(),
            held: held.as_raw_fd(),
            null: null.as_raw_fd(),
            rights,
            environment: environment.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect(),
        };
        let process = clone(namespaces(), group, || plan.run()).map_err(Error::kernel(what))?;
        drop((inner, go, null));
        map_ids(process.pid(), ids)?;
        // Commands go first when memory runs out, the guest last. Without CAP_SYS_RESOURCE this is not granted, and the
        // commands' own, higher score has to do.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", process.pid()), OOM_SCORE);
        File::from(held).write_all(b"g").map_err(Error::kernel("start the guest"))?;
        Ok(Self { process, socket: StdStream::from(host) })
    }

    /// Gives the guest an order, which it carries out in its own time.
    pub(crate) fn order(&self, order: &Order, mounts: &[OwnedFd]) -> Result<(), Error> {
        send_order(&self.socket, order, mounts)
    }
}

/// Sends an order with descriptors on a socket whose other end is reading.
fn send_order(socket: &StdStream, order: &Order, mounts: &[OwnedFd]) -> Result<(), Error> {
    let what = "give the guest an order";
    let frame = encode(ExchangeId::NONE, order, &[]).map_err(|error| Error::Setup(error.to_string()))?;
    let descriptors: Vec<BorrowedFd<'_>> = mounts.iter().map(AsFd::as_fd).collect();
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(Error::Setup(format!("{} mounts are more than {DESCRIPTORS_MAX}", descriptors.len())));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent =
        sendmsg(socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL).map_err(Error::kernel(what))?;
    let mut rest = socket;
    rest.write_all(&frame[sent..]).map_err(Error::kernel(what))
}

/// A guest's socket once it is waited for.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: UnixStream,
}

impl Talk {
    pub(crate) fn new(socket: StdStream) -> Result<Self, Error> {
        let stream = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
        Ok(Self { stream: stream.map_err(Error::kernel("talk to a guest"))? })
    }

    /// Waits until the guest is a slot, and takes the border's sockets.
    pub(crate) async fn staged(&self, network: OwnedFd) -> Result<Border, Error> {
        let (reply, sockets) = self.answer().await?;
        match reply {
            Reply::Staged { network_us } if sockets.len() == BORDER_PORTS.len() + 1 => {
                Border::assemble(sockets, network, Duration::from_micros(network_us.into()))
                    .map_err(Error::kernel("listen at the border"))
            }
            Reply::Failed(failure) => Err(Error::Setup(failure.message)),
            other => Err(Error::Setup(format!("the guest answered {other:?} with {} sockets", sockets.len()))),
        }
    }

    /// Waits until the guest is a sandbox, and gives the socket for what follows.
    pub(crate) async fn claimed(self) -> Result<UnixStream, Error> {
        match self.answer().await?.0 {
            Reply::Claimed => Ok(self.stream),
            Reply::Failed(failure) => Err(Error::Setup(failure.message)),
            other => Err(Error::Setup(format!("the guest answered {other:?}"))),
        }
    }

    /// A copy of the socket's descriptor, for orders given from another thread.
    pub(crate) fn orders(&self) -> Result<Orders, Error> {
        let copy = self.stream.as_fd().try_clone_to_owned().map_err(Error::kernel("talk to a guest"))?;
        Ok(Orders(StdStream::from(copy)))
    }

    async fn answer(&self) -> Result<(Reply, Vec<OwnedFd>), Error> {
        let late = |_| Error::Setup("the guest fell silent during set-up".into());
        tokio::time::timeout(PATIENCE, self.read_answer()).await.map_err(late)?
    }

    async fn read_answer(&self) -> Result<(Reply, Vec<OwnedFd>), Error> {
        let silent = |error: io::Error| Error::Setup(format!("the guest ended during set-up ({error})"));
        let mut frame = Vec::new();
        let mut sockets = Vec::new();
        loop {
            if let Some((size, rest)) = frame.split_first_chunk::<4>() {
                let size = (u32::from_le_bytes(*size) as usize).min(FRAME_BYTES_MAX);
                if size > ANSWER_BYTES_MAX {
                    return Err(Error::Setup(format!("the guest answered with {size} bytes")));
                }
                if rest.len() >= size {
                    let (header, _) = decode::<Reply>(rest).map_err(|error| Error::Setup(error.to_string()))?;
                    return Ok((header.body, sockets));
                }
            }
            let read = self.stream.async_io(Interest::READABLE, || receive(&self.stream, &mut frame, &mut sockets));
            if read.await.map_err(silent)? == 0 {
                return Err(silent(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// Gives orders from a thread that may block.
pub(crate) struct Orders(StdStream);

impl Orders {
    /// See [`Slot::order`]. The guest is waiting for it, so it fits into the socket's buffer.
    pub(crate) fn give(&self, order: &Order, mounts: &[OwnedFd]) -> Result<(), Error> {
        send_order(&self.0, order, mounts)
    }
}

/// Reads what is there, not past the answer: the guest sends nothing more until it is asked.
fn receive(stream: &UnixStream, frame: &mut Vec<u8>, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut bytes = [0u8; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights);
        }
    }
    frame.extend_from_slice(&bytes[..got.bytes]);
    Ok(got.bytes)
}

/// Gives a new user namespace its ids.
fn map_ids(pid: i32, ids: Ids) -> Result<(), Error> {
    let at = |file: &str| format!("/proc/{pid}/{file}");
    let what = "map the sandbox's ids";
    let (uids, gids) = match ids {
        Ids::Range(range) => {
            let map = format!("0 {} {}", range.first, IdRange::IDS);
            (map.clone(), map)
        }
        Ids::Single(account) => {
            let inside = match account {
                Account::Agent => AGENT_ID,
                Account::Builder => 0,
            };
            // Without rights over the machine the kernel accepts a mapping of one's own id alone, and no groups.
            fs::write(at("setgroups"), "deny").map_err(Error::kernel(what))?;
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            (format!("{inside} {uid} 1"), format!("{inside} {gid} 1"))
        }
    };
    fs::write(at("uid_map"), uids).map_err(Error::kernel(what))?;
    fs::write(at("gid_map"), gids).map_err(Error::kernel(what))
}

/// What the child needs to become the guest.
struct Plan {
    guest: RawFd,
    socket: RawFd,
    go: RawFd,
    held: RawFd,
    null: RawFd,
    rights: Rights,
    /// Strings for the kernel, and a null at the end.
    environment: Vec<*const libc::c_char>,
}

impl Plan {
    /// From clone to exec: async-signal-safe calls only.
    fn run(&self) -> std::convert::Infallible {
        // SAFETY: calls on numbers and on memory of this process, which no other thread shares.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            // Our copy of the writing end: with it open, the end of the host would not end the wait below.
            libc::close(self.held);
            let mut byte = 0u8;
            if libc::read(self.go, (&raw mut byte).cast(), 1) != 1 {
                libc::_exit(3);
            }
            let ready = match self.rights {
                Rights::Root => become_inner_root(),
                Rights::Rootless => keep_capabilities_over_exec(),
            };
            if !ready {
                libc::_exit(4);
            }
            libc::setsid();
            for fd in 0..3 {
                libc::dup2(self.null, fd);
            }
            libc::dup2(self.socket, SOCKET_FD);
            libc::close_range(
                libc::c_uint::from(SOCKET_FD.unsigned_abs() as u16) + 1,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
            );
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            let argv = [c"hangar-guest".as_ptr(), std::ptr::null()];
            libc::syscall(
                libc::SYS_execveat,
                self.guest,
                c"".as_ptr(),
                argv.as_ptr(),
                self.environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
            libc::_exit(5)
        }
    }
}

/// Takes id 0 of the new user namespace.
unsafe fn become_inner_root() -> bool {
    // Raw calls: the C library's wrappers would want to tell other threads, which this copy of the process does not have.
    // SAFETY: numbers only; the group list is empty.
    unsafe {
        libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) == 0
            && libc::syscall(libc::SYS_setresgid, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_setresuid, 0, 0, 0) == 0
    }
}

/// With a single id there is no id 0 to become; ambient capabilities survive the exec instead.
unsafe fn keep_capabilities_over_exec() -> bool {
    #[repr(C)]
    struct Head {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    // Effective, permitted, inheritable; low and high halves.
    let mut sets = [[0u32; 3]; 2];
    let head = Head { version: VERSION_3, pid: 0 };
    // SAFETY: head and sets are what version 3 of these calls reads and writes.
    unsafe {
        if libc::syscall(libc::SYS_capget, &raw const head, &raw mut sets) != 0 {
            return false;
        }
        for set in &mut sets {
            set[2] = set[1];
        }
        if libc::syscall(libc::SYS_capset, &raw const head, &raw const sets) != 0 {
            return false;
        }
        for capability in 0..64 {
            // Fails for numbers the kernel does not know.
            libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0);
        }
    }
    true
}
