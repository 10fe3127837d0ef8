//! Slots: processes in namespaces of their own that could become any sandbox; and the guest's program, from which they are.
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
    Account, BORDER_PORTS, ExchangeId, FRAME_BYTES_MAX, Order, Reply, SOCKET_FD, decode, encode,
};
use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};

use crate::{
    border::Border,
    error::Error,
    guard,
    guest_socket::{Reader, Writer, halves},
    namespace::{
        nursery::one_id,
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
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// First descriptor number for what the child keeps, out of the way of the numbers it must fill.
const HIGH_FD: RawFd = 10;

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

/// A process that became, or is becoming, a slot.
#[derive(Debug)]
pub(crate) struct Slot {
    pub process: Process,
    pub socket: StdStream,
}

/// Starts the guest's program as a nursery for this account, in a mount namespace of its own (without root, in a user namespace as well, in which the one id is the account's).
///
/// Called on the launcher's thread: it dies with the thread that made it.
pub(crate) fn start_guest(guest: &OwnedFd, rights: Rights, account: Account) -> Result<(Process, StdStream), Error> {
    let what = "start the guest";
    let (host, inner) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(Error::kernel(what))?;
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
    let namespaces = match rights {
        Rights::Root => libc::CLONE_NEWNS,
        Rights::Rootless => libc::CLONE_NEWUSER | libc::CLONE_NEWNS,
    };
    let process = clone(namespaces, None, || plan.run()).map_err(Error::kernel(what))?;
    drop((inner, go, null));
    match rights {
        Rights::Root => {}
        Rights::Rootless => map_own_id(process.pid(), one_id(account))?,
    }
    File::from(held).write_all(b"g").map_err(Error::kernel(what))?;
    Ok((process, StdStream::from(host)))
}

/// Sends an order with descriptors on a socket whose other end is reading.
pub(crate) fn send_order<F: AsFd>(socket: &StdStream, order: &Order, mounts: &[F]) -> Result<(), Error> {
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
    let sent = match sendmsg(socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL) {
        Err(rustix::io::Errno::PIPE) => return Err(Error::GuestEnded(rustix::io::Errno::PIPE.into())),
        other => other.map_err(Error::kernel(what))?,
    };
    let mut rest = socket;
    rest.write_all(&frame[sent..]).map_err(Error::kernel(what))
}

/// A guest's socket once it is waited for.
#[derive(Debug)]
pub(crate) struct Talk {
    reader: Reader,
    writer: Writer,
    /// What was read beyond the last answer.
    frame: Vec<u8>,
}

impl Talk {
    pub(crate) fn new(socket: StdStream) -> Result<Self, Error> {
        let halves = socket.set_nonblocking(true).and_then(|()| halves(OwnedFd::from(socket)));
        let (reader, writer) = halves.map_err(Error::kernel("talk to a guest"))?;
        Ok(Self { reader, writer, frame: Vec::new() })
    }

    /// Waits until the guest, this process, is a slot, and takes the border's sockets.
    pub(crate) async fn staged(&mut self, process: i32) -> Result<Border, Error> {
        let (reply, sockets) = self.answer().await?;
        match reply {
            Reply::Staged { network_us } if sockets.len() == BORDER_PORTS.len() + 1 => {
                let network = format!("/proc/{process}/ns/net");
                let network = OwnedFd::from(File::open(&network).map_err(Error::host(network))?);
                Border::assemble(sockets, network, Duration::from_micros(network_us.into()))
                    .map_err(Error::kernel("listen at the border"))
            }
            Reply::Failed(failure) => Err(Error::Setup(failure.message)),
            other => Err(Error::Setup(format!("the guest answered {other:?} with {} sockets", sockets.len()))),
        }
    }

    /// Waits until the guest is a sandbox, and gives the socket for what follows.
    pub(crate) async fn claimed(mut self) -> Result<(Reader, Writer), Error> {
        match self.answer().await?.0 {
            // It says nothing more before it is asked.
            Reply::Claimed if self.frame.is_empty() => Ok((self.reader, self.writer)),
            Reply::Failed(failure) => Err(Error::Setup(failure.message)),
            other => Err(Error::Setup(format!("the guest answered {other:?}"))),
        }
    }

    /// A copy of the socket's descriptor, for orders given from another thread.
    pub(crate) fn orders(&self) -> Result<Orders, Error> {
        let copy = self.reader.descriptor().try_clone().map_err(Error::kernel("talk to a guest"))?;
        Ok(Orders(StdStream::from(copy)))
    }

    async fn answer(&mut self) -> Result<(Reply, Vec<OwnedFd>), Error> {
        let late = |_| Error::Setup("the guest fell silent during set-up".into());
        tokio::time::timeout(PATIENCE, self.read_answer()).await.map_err(late)?
    }

    async fn read_answer(&mut self) -> Result<(Reply, Vec<OwnedFd>), Error> {
        let mut sockets = Vec::new();
        loop {
            if let Some((size, rest)) = self.frame.split_first_chunk::<4>() {
                let size = (u32::from_le_bytes(*size) as usize).min(FRAME_BYTES_MAX);
                if size > ANSWER_BYTES_MAX {
                    return Err(Error::Setup(format!("the guest answered with {size} bytes")));
                }
                if let Some(frame) = rest.get(..size) {
                    let (header, _) = decode::<Reply>(frame).map_err(|error| Error::Setup(error.to_string()))?;
                    self.frame.drain(..size_of::<u32>() + size);
                    return Ok((header.body, sockets));
                }
            }
            let Self { reader, frame, .. } = self;
            let read = reader.take(|socket| receive(socket, frame, &mut sockets));
            if read.await.map_err(Error::GuestEnded)? == 0 {
                return Err(Error::GuestEnded(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// Gives orders from a thread that may block.
pub(crate) struct Orders(StdStream);

impl Orders {
    /// Gives the guest an order, which it carries out in its own time. The guest is waiting for it, so it fits into the socket's buffer.
    pub(crate) fn give(&self, order: &Order, mounts: &[OwnedFd]) -> Result<(), Error> {
        send_order(&self.0, order, mounts)
    }
}

/// Reads what is there. Two messages with descriptors never come as one (unix(7)).
fn receive(stream: &OwnedFd, frame: &mut Vec<u8>, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
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

/// Maps this user's own id, and no other, to one of a new user namespace.
fn map_own_id(pid: i32, inside: u32) -> Result<(), Error> {
    let at = |file: &str| format!("/proc/{pid}/{file}");
    let what = "map the sandbox's ids";
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // Without rights over the machine the kernel accepts a mapping of one's own id alone, and no groups.
    fs::write(at("setgroups"), "deny").map_err(Error::kernel(what))?;
    fs::write(at("uid_map"), format!("{inside} {uid} 1")).map_err(Error::kernel(what))?;
    fs::write(at("gid_map"), format!("{inside} {gid} 1")).map_err(Error::kernel(what))
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
                Rights::Root => true,
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
