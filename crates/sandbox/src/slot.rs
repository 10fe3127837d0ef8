//! Slots: processes in namespaces of their own that could become any sandbox.
#![allow(unsafe_code, reason = "what the child does between clone and exec has no safe wrapper")]

use std::{
    fs::{self, File},
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use hangar_protocol::guest::{AGENT_ID, ExchangeId, FRAME_BYTES_MAX, Reply, SOCKET_FD, Setup, decode, encode};
use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};

use crate::{
    error::Error,
    process::{Process, clone},
    rights::Rights,
};

/// How long a slot may take to become a sandbox; it takes milliseconds on an idle machine.
const CLAIM_PATIENCE: Duration = Duration::from_secs(20);
/// Descriptors one claim may carry, as the guest expects.
const DESCRIPTORS_MAX: usize = 250;
/// How unwilling the kernel should be to kill a guest for memory (-1000 never, 1000 first).
const OOM_SCORE: &str = "-900";
/// First descriptor number for what the child keeps, out of the way of the numbers it must fill.
const HIGH_FD: RawFd = 10;

/// The namespaces of a sandbox; the cgroup namespace follows once the process is in its cgroup.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// The ids of one sandbox on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub first: u32,
}

impl IdRange {
    /// Ids in a range.
    pub(crate) const IDS: u32 = 65_536;
    /// How ids lie on disk, whichever range wrote them. So a session's files fit every later sandbox. Ranges are far above what
    /// distributions give out to users and containers (/etc/subuid starts at 100000, systemd's containers end at 1879048191).
    pub(crate) const DISK: Self = Self { first: 2_000_000_000 };

    /// The range of the sandbox with this number, from 0.
    pub(crate) fn of(number: usize) -> Self {
        let number = u32::try_from(number).unwrap_or(0);
        Self { first: Self::DISK.first + (number + 1) * Self::IDS }
    }

    /// The id of the agent on the host.
    pub(crate) fn agent(self) -> u32 {
        self.first + AGENT_ID
    }
}

/// The guest's program in a sealed memory file: nothing of the host's paths shows, and nobody can overwrite it.
pub(crate) fn guest_program() -> Result<OwnedFd, Error> {
    static GUEST: &[u8] = include_bytes!(env!("HANGAR_GUEST"));
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

/// An unclaimed slot.
pub(crate) struct Slot {
    process: Process,
    socket: UnixStream,
}

/// What a claimed slot consists of.
pub(crate) struct Claimed {
    pub process: Process,
    pub socket: UnixStream,
    pub border: std::net::TcpListener,
}

impl Slot {
    /// Makes a slot. `enrol` puts the process into its cgroup before it runs a single instruction of the guest.
    ///
    /// Called on the launcher's thread: the slot dies with the thread that made it.
    pub(crate) fn new(
        guest: &OwnedFd,
        ids: Option<IdRange>,
        rights: Rights,
        enrol: impl FnOnce(i32) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let what = "make a process in its own namespaces";
        let (host, inner) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(Error::kernel(what))?;
        let inner = fcntl_dupfd_cloexec(&inner, HIGH_FD).map_err(Error::kernel(what))?;
        let (go, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::kernel(what))?;
        let go = fcntl_dupfd_cloexec(&go, HIGH_FD).map_err(Error::kernel(what))?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(Error::host("/dev/null"))?;
        let null = fcntl_dupfd_cloexec(&null, HIGH_FD).map_err(Error::kernel(what))?;
        let plan = Plan {
            guest: guest.as_raw_fd(),
            socket: inner.as_raw_fd(),
            go: go.as_raw_fd(),
            held: held.as_raw_fd(),
            null: null.as_raw_fd(),
            rights,
        };
        let process = clone(NAMESPACES, || plan.run()).map_err(Error::kernel(what))?;
        drop((inner, go, null));
        map_ids(process.pid(), ids)?;
        enrol(process.pid())?;
        // Commands go first when memory runs out, the guest last. Without CAP_SYS_RESOURCE this is not granted, and the
        // commands' own, higher score has to do.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", process.pid()), OOM_SCORE);
        File::from(held).write_all(b"g").map_err(Error::kernel("start the guest"))?;
        let socket = UnixStream::from(host);
        Ok(Self { process, socket })
    }

    /// Turns the slot into a sandbox.
    pub(crate) fn claim(self, setup: &Setup, mounts: &[OwnedFd]) -> Result<Claimed, Error> {
        let what = "hand the set-up to the guest";
        self.socket.set_read_timeout(Some(CLAIM_PATIENCE)).map_err(Error::kernel(what))?;
        self.socket.set_write_timeout(Some(CLAIM_PATIENCE)).map_err(Error::kernel(what))?;
        let frame = encode(ExchangeId::NONE, setup, &[]).map_err(|error| Error::Setup(error.to_string()))?;
        let descriptors: Vec<BorrowedFd<'_>> = mounts.iter().map(AsFd::as_fd).collect();
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(Error::Setup(format!("{} mounts are more than {DESCRIPTORS_MAX}", descriptors.len())));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let sent = sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(Error::kernel(what))?;
        (&self.socket).write_all(&frame[sent..]).map_err(Error::kernel(what))?;
        let border = read_claimed(&self.socket)?;
        self.socket.set_read_timeout(None).map_err(Error::kernel(what))?;
        self.socket.set_write_timeout(None).map_err(Error::kernel(what))?;
        Ok(Claimed { process: self.process, socket: self.socket, border })
    }
}

/// Reads the guest's first answer, and the border's socket with it.
fn read_claimed(mut socket: &UnixStream) -> Result<std::net::TcpListener, Error> {
    let silent = |error: io::Error| Error::Setup(format!("the guest ended or fell silent during set-up ({error})"));
    let mut size = [0u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut size)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|error| silent(error.into()))?;
    let mut border = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut rights) = message {
            border = rights.next();
        }
    }
    socket.read_exact(&mut size[got.bytes..]).map_err(silent)?;
    let mut frame = vec![0; (u32::from_le_bytes(size) as usize).min(FRAME_BYTES_MAX)];
    socket.read_exact(&mut frame).map_err(silent)?;
    let (header, _) = decode::<Reply>(&frame).map_err(|error| Error::Setup(error.to_string()))?;
    match (header.body, border) {
        (Reply::Claimed, Some(border)) => Ok(std::net::TcpListener::from(border)),
        (Reply::Failed(failure), _) => Err(Error::Setup(failure.message)),
        (other, _) => Err(Error::Setup(format!("the guest answered {other:?}"))),
    }
}

/// Gives a new user namespace its ids.
fn map_ids(pid: i32, ids: Option<IdRange>) -> Result<(), Error> {
    let at = |file: &str| format!("/proc/{pid}/{file}");
    let what = "map the sandbox's ids";
    let (uids, gids) = match ids {
        Some(range) => {
            let map = format!("0 {} {}", range.first, IdRange::IDS);
            (map.clone(), map)
        }
        None => {
            // Without rights over the machine the kernel accepts a mapping of one's own id alone, and no groups.
            fs::write(at("setgroups"), "deny").map_err(Error::kernel(what))?;
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            (format!("{AGENT_ID} {uid} 1"), format!("{AGENT_ID} {gid} 1"))
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
            let env = [std::ptr::null::<libc::c_char>()];
            libc::syscall(
                libc::SYS_execveat,
                self.guest,
                c"".as_ptr(),
                argv.as_ptr(),
                env.as_ptr(),
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
