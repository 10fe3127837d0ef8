//! A proxy for TCP that spoils connections: it cuts, delays, halves, stalls, refuses, and answers what is none.
//!
//! What happens to the n-th connection follows from the seed and n alone; what the machine makes of it in time is its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Bytes taken at a time: small, so that a cut can be anywhere.
const PIECE_BYTES_MAX: usize = 1_024;
/// Parts the schedules of neighbouring connections.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
/// What is answered where nobody speaks HTTP: the beginning of a TLS alert, and more that is no text.
const GARBAGE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x46\x00\xff\xfe no HTTP";

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Pass,
    /// It is closed before a byte.
    Refuse,
    /// It is answered with what is no HTTP.
    Garbage,
    /// It is reset once so many bytes came from the server.
    CutDown {
        /// How many.
        after_bytes: u64,
    },
    /// It is reset once so many bytes came from the client; they reach the server.
    CutUp {
        /// How many.
        after_bytes: u64,
    },
    /// After so many bytes from the server nothing more comes, for this long; then it is reset.
    Stall {
        /// How many.
        after_bytes: u64,
        /// How long.
        pause_ms: u64,
    },
    /// The server's side is closed in order after so many bytes, the client's stays open.
    Half {
        /// How many.
        after_bytes: u64,
    },
    /// Every piece waits so long.
    Slow {
        /// How long.
        pause_ms: u64,
    },
}

/// How connections are spoiled.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// From which everything follows.
    pub seed: u64,
    /// How many of a hundred connections pass untouched.
    pub passing: u32,
    /// A cut comes after at most so many bytes.
    pub bytes_max: u64,
    /// A stall and a delay are at most so long.
    pub pause_ms_max: u64,
}

impl Chaos {
    /// What happens to the n-th connection.
    #[must_use]
    pub fn fate(&self, connection: u64) -> Fate {
        let mut random = StdRng::seed_from_u64(self.seed ^ connection.wrapping_mul(STRIDE));
        if random.random_range(0..100) < self.passing {
            return Fate::Pass;
        }
        let after_bytes = random.random_range(0..self.bytes_max.max(1));
        let pause_ms = random.random_range(1..=self.pause_ms_max.max(1));
        match random.random_range(0..7) {
            0 => Fate::Refuse,
            1 => Fate::Garbage,
            2 => Fate::CutUp { after_bytes: after_bytes.min(600) },
            3 => Fate::Stall { after_bytes, pause_ms },
            4 => Fate::Half { after_bytes },
            5 => Fate::Slow { pause_ms: pause_ms.min(20) },
            _ => Fate::CutDown { after_bytes },
        }
    }
}

/// A running proxy. It takes no more connections when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    cuts: AtomicU64,
    calm: AtomicBool,
}

impl Proxy {
    /// Listens on a port of its own and passes connections on to `target`.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn before(target: SocketAddr, chaos: Chaos) -> Self {
        Self::with(target, move |connection| chaos.fate(connection)).await
    }

    /// Likewise, with these fates.
    ///
    /// # Panics
    /// Likewise.
    pub async fn with(target: SocketAddr, fate: impl Fn(u64) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let shared = Arc::new(Shared { cuts: AtomicU64::new(0), calm: AtomicBool::new(false) });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                let fate = if of_task.calm.load(Ordering::Acquire) { Fate::Pass } else { fate(number) };
                number += 1;
                tokio::spawn(serve(client, target, fate, Arc::clone(&of_task)));
            }
        });
        Self { address, shared, task }
    }

    /// `http://…`, where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were spoiled so far.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// From now on new connections pass.
    pub fn calm_down(&self) {
        self.shared.calm.store(true, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, target: SocketAddr, fate: Fate, shared: Arc<Shared>) {
    if meet(&mut client, target, fate).await {
        shared.cuts.fetch_add(1, Ordering::Relaxed);
        // A reset: what is still on its way is gone too.
        let _ = client.set_zero_linger();
    }
}

/// Passes bytes on until the fate comes true (`true`) or both sides have ended.
async fn meet(client: &mut TcpStream, target: SocketAddr, fate: Fate) -> bool {
    if fate == Fate::Refuse {
        return true;
    }
    if fate == Fate::Garbage {
        // Whoever hangs up before has met its fate as well.
        let _ = client.read(&mut [0; 1]).await;
        let _ = client.write_all(GARBAGE).await;
        let _ = client.shutdown().await;
        return true;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return false };
    let (up, down) = limits(fate);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let ups = pass(from_client, to_server, up, fate);
    let downs = pass(from_server, to_client, down, fate);
    tokio::pin!(ups, downs);
    let (mut up_open, mut down_open) = (true, true);
    while up_open || down_open {
        let ran_out = tokio::select! {
            ran_out = &mut ups, if up_open => { up_open = false; ran_out }
            ran_out = &mut downs, if down_open => { down_open = false; ran_out }
        };
        match (ran_out, fate) {
            (false, _) => {}
            (true, Fate::Half { .. }) => {}
            (true, Fate::Stall { pause_ms, .. }) => {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                return true;
            }
            (true, _) => return true,
        }
    }
    matches!(fate, Fate::Half { .. } | Fate::Slow { .. })
}

/// How many bytes pass from the client and from the server.
fn limits(fate: Fate) -> (u64, u64) {
    match fate {
        Fate::CutUp { after_bytes } => (after_bytes, u64::MAX),
        Fate::CutDown { after_bytes } | Fate::Stall { after_bytes, .. } | Fate::Half { after_bytes } => {
            (u64::MAX, after_bytes)
        }
        Fate::Pass | Fate::Slow { .. } | Fate::Refuse | Fate::Garbage => (u64::MAX, u64::MAX),
    }
}

/// Passes at most `limit` bytes on and then ends that direction; `true` when there would have been more.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, limit: u64, fate: Fate) -> bool {
    let mut left = limit;
    let mut piece = [0; PIECE_BYTES_MAX];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if let Fate::Slow { pause_ms } = fate {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        let passed = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        if to.write_all(&piece[..passed]).await.is_err() {
            break;
        }
        left -= passed as u64;
        if passed < read {
            let _ = to.shutdown().await;
            return true;
        }
    }
    let _ = to.shutdown().await;
    false
}
