//! The host's end of the process that slots are forked from (the guest's `nursery.rs`).

use std::{
    io::{self, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    time::{Duration, Instant},
};

use hangar_protocol::guest::{
    AGENT_ID, Account, NewSlot, Order, Reply, Stage, decode,
    setup::{Enter, IdMapping, Mapping},
};
use rustix::{
    io::retry_on_intr,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
        socketpair,
    },
};

use super::{
    cgroup::Entry,
    process::Process,
    rights::Rights,
    slot::{self, ANSWER_BYTES_MAX, Slot, send_order},
};
use crate::{
    error::Error,
    guard::{Guard, stands},
    ids::IdRange,
    random,
};

/// How long it may take to answer; it takes less than a millisecond on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a process takes at most from closing its last descriptor to being dead.
const LAST_BREATH: Duration = Duration::from_millis(200);
/// Between two looks whether it is.
const BURY_PAUSE: Duration = Duration::from_millis(1);

/// See the module's documentation. It ends when this is dropped, and the slots that were forked from it do not.
pub(super) struct Nursery {
    process: Process,
    socket: StdStream,
}

impl Nursery {
    /// Starts it.
    ///
    /// Called on the launcher's thread: it, and its slots, die with the thread that made it.
    pub(super) fn start(
        guest: &OwnedFd,
        rights: Rights,
        account: Account,
        stage: Stage,
        mounts: &[OwnedFd],
    ) -> Result<Self, Error> {
        let (process, socket) = slot::start_guest(guest, rights, account)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(Error::kernel("talk to the nursery"))?;
        let nursery = Self { process, socket };
        match nursery.ask(&Order::Nursery(stage), mounts)? {
            (Reply::Prepared, _) => Ok(nursery),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether it is there no more.
    pub(super) fn has_ended(&self) -> bool {
        self.process.try_reap()
    }

    /// Forks a slot in a control group.
    pub(super) fn bear(
        &self,
        account: Account,
        mapping: Mapping,
        ids: IdMapping,
        entry: &Entry,
    ) -> Result<Slot, Error> {
        let what = "make a slot's socket";
        let (host, inner) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(Error::kernel(what))?;
        let mut sent = vec![inner.as_fd()];
        let group = match entry {
            Entry::Through { inside, outside } => {
                sent.extend(inside.iter().chain(outside).map(AsFd::as_fd));
                Enter::Through { doors: inside.len() }
            }
            Entry::Into(directory) => {
                sent.push(directory.as_fd());
                Enter::Into
            }
            Entry::Anywhere => Enter::Anywhere,
        };
        let order = Order::Slot(NewSlot { mapping, ids, account, machine_id: machine_id(), group });
        let answer = self.ask(&order, &sent)?;
        drop(inner);
        match answer {
            (Reply::Born { pid }, mut descriptors) => {
                let pidfd = descriptors.pop().ok_or(Error::Protocol)?;
                Ok(Slot { process: Process::adopt(pidfd, pid)?, socket: StdStream::from(host) })
            }
            other => {
                self.bury(StdStream::from(host));
                Err(unexpected(&other))
            }
        }
    }

    /// Reaps a slot that was forked and could not be set going. It is a child of this process, and nobody has said its number.
    ///
    /// It ends by itself once the nursery has given it up, still in the nursery's process group, which slots leave when they have their ids. Another slot that
    /// ends at this moment may be reaped in its place or with it: whoever has that one finds that there is nothing left to reap.
    fn bury(&self, socket: StdStream) {
        // Until it, if it ever was, has closed its end. If it does not in time, waiting longer would keep everybody from sandboxes.
        let _ = socket.set_read_timeout(Some(PATIENCE));
        let _ = io::copy(&mut &socket, &mut io::sink());
        let began = Instant::now();
        while began.elapsed() < LAST_BREATH && !self.process.reap_of_its_group() {
            std::thread::sleep(BURY_PAUSE);
        }
    }

    /// Gives an order and waits for its answer. Blocks.
    fn ask<F: AsFd>(&self, order: &Order, sent: &[F]) -> Result<(Reply, Vec<OwnedFd>), Error> {
        send_order(&self.socket, order, sent)?;
        answer(&self.socket).map_err(Error::kernel("hear from the nursery"))
    }
}

fn unexpected((reply, _): &(Reply, Vec<OwnedFd>)) -> Error {
    match reply {
        Reply::Failed(failure) => Error::Setup(failure.message.clone()),
        other => Error::Setup(format!("the nursery answered {other:?}")),
    }
}

/// Reads one answer with the descriptors attached to it.
fn answer(mut socket: &StdStream) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let mut size = [0u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // With a limit of time the kernel does not go on by itself after a signal, such as that of a child's end (signal(7)). An answer left
    // unread would be taken for that of the next order.
    let got =
        retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut size)], &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    socket.read_exact(&mut size[got.bytes..])?;
    let mut frame = vec![0; (u32::from_le_bytes(size) as usize).min(ANSWER_BYTES_MAX)];
    socket.read_exact(&mut frame)?;
    let (header, _) = decode::<Reply>(&frame).map_err(io::Error::other)?;
    Ok((header.body, descriptors))
}

/// A sandbox is a machine of its own.
fn machine_id() -> String {
    if stands(Guard::MachineId) {
        random::hex()
    } else {
        std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned()
    }
}

/// The ids of a slot with a range of its own.
pub(super) fn range(range: IdRange) -> Mapping {
    let map = format!("0 {} {}", range.first, IdRange::IDS);
    Mapping { users: map.clone(), groups: map }
}

/// The one id of a rootless slot, which is the account's on both sides: the nursery's own user namespace has mapped it already.
pub(super) fn single(account: Account) -> Mapping {
    let id = one_id(account);
    let map = format!("{id} {id} 1");
    Mapping { users: map.clone(), groups: map }
}

/// What the one id of a rootless sandbox is inside.
pub(super) const fn one_id(account: Account) -> u32 {
    match account {
        Account::Agent => AGENT_ID,
        Account::Builder => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use std::{io::Write as _, os::unix::thread::JoinHandleExt as _};

    use hangar_protocol::guest::{ExchangeId, encode};

    use super::*;
    use crate::{namespace::Prepared, spec::EngineConfig};

    /// Children of this process in the process group of `leader` that are dead and not reaped.
    fn dead_of(leader: i32) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
        let dead = format!(" Z {} {leader} ", std::process::id());
        stats.filter(|stat| stat.contains(&dead)).collect()
    }

    #[tokio::test]
    async fn an_answer_is_heard_whatever_signals_come_meanwhile() {
        let kind = tokio::signal::unix::SignalKind::user_defined1();
        // Handled, as the ends of hangar's children are.
        let _handled = tokio::signal::unix::signal(kind).unwrap();
        let (host, mut nursery) = StdStream::pair().unwrap();
        host.set_read_timeout(Some(PATIENCE)).unwrap();
        let waiting = std::thread::spawn(move || answer(&host).map(|(reply, _)| reply));
        for _ in 0..20 {
            // SAFETY: the thread has not been joined, and its handler is tokio's.
            #[allow(unsafe_code, reason = "a signal to one thread has no safe wrapper")]
            let sent = unsafe { libc::pthread_kill(waiting.as_pthread_t(), kind.as_raw_value()) };
            assert_eq!(sent, 0);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        nursery.write_all(&encode(ExchangeId::NONE, &Reply::Prepared, &[]).unwrap()).unwrap();
        assert!(matches!(waiting.join().unwrap(), Ok(Reply::Prepared)));
    }

    #[test]
    fn a_slot_whose_ids_cannot_be_mapped_is_reaped_and_the_next_one_is_born() {
        let directory = tempfile::TempDir::new().unwrap();
        let rights = Rights::detect();
        let prepared = Prepared::new(&EngineConfig::new(directory.path()), rights).unwrap();
        let account = Account::Agent;
        let (stage, mounts) = prepared.base.stage(account).unwrap();
        let nursery = Nursery::start(&prepared.guest, rights, account, stage, &mounts).unwrap();
        let ids = prepared.base.ids();
        // The same id twice is refused by the kernel.
        let wrong = Mapping { users: "0 2000000000 1\n0 2000000000 1".into(), groups: String::new() };
        for _ in 0..5 {
            let Err(error) = nursery.bear(account, wrong.clone(), ids, &Entry::Anywhere) else { panic!("it was born") };
            assert!(error.to_string().contains("map the sandbox's ids"), "{error}");
            assert_eq!(dead_of(nursery.process.pid()), Vec::<String>::new());
        }
        let right = match rights {
            Rights::Root => range(IdRange::of(0)),
            Rights::Rootless => single(account),
        };
        nursery.bear(account, right, ids, &Entry::Anywhere).unwrap();
    }
}
