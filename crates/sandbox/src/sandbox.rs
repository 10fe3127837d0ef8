//! A sandbox, as its callers hold it.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hangar_protocol::guest::{
    Found, GlobRequest, GrepMatch, GrepRequest, Listed, PATHS_MAX, PAYLOAD_BYTES_MAX, Reply, Request, Stat, WORKSPACE,
    WindowSize, request::ExecRequest,
};
use tokio::sync::{Notify, RwLock, watch};

use crate::{
    backend::{Backend, Body, Hold},
    border::Border,
    error::Error,
    exec::{Collected, Exec},
    frozen::Frozen,
    keeper::{Activity, Health, Life, Readout},
    link::Link,
    spec::ExecSpec,
    watch::Watch,
};

/// How much of each stream [`Sandbox::exec`] keeps.
pub const COLLECTED_BYTES_MAX: usize = 1024 * 1024;
/// How long a guest may take to end what it keeps ready (it gives that 10 s itself), and to make it again. One that is paused is not asked.
const STAND_DOWN_PATIENCE: Duration = Duration::from_secs(25);

/// A sandbox. A cheap handle: clones are the same sandbox, which ends when the last one is dropped.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    health: watch::Receiver<Health>,
    body: Weak<dyn Body>,
    activity: Arc<Activity>,
    kill: Arc<Notify>,
    border: Mutex<Option<Border>>,
    /// Held for reading while a command is started or a file written, for writing during a snapshot.
    gate: Arc<RwLock<()>>,
    /// Somebody has paused it: its guest answers nobody.
    paused: AtomicBool,
    /// The sandbox's life hangs on its backend's.
    backend: Arc<dyn Backend>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The keeper clears up.
        self.kill.notify_one();
    }
}

/// Part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// What was read.
    pub bytes: Bytes,
    /// Size of the whole file.
    pub size: u64,
    /// There is more behind what was read.
    pub truncated: bool,
}

impl Sandbox {
    pub(crate) fn new(
        link: Link,
        health: watch::Receiver<Health>,
        body: Weak<dyn Body>,
        activity: Arc<Activity>,
        kill: Arc<Notify>,
        border: Option<Border>,
        engine: Arc<dyn Backend>,
    ) -> Self {
        let border = Mutex::new(border);
        Self {
            inner: Arc::new(Inner {
                link,
                health,
                body,
                activity,
                kill,
                border,
                gate: Arc::default(),
                paused: AtomicBool::new(false),
                backend: engine,
            }),
        }
    }

    /// Takes the border: every connection from inside arrives there, and nothing else can be reached. `None` when it has been taken, or the
    /// backend has none.
    ///
    /// The sandbox's network namespace lives until this is dropped.
    #[must_use]
    pub fn border(&self) -> Option<Border> {
        self.inner.border.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stops every process of the sandbox where it is. Requests to it wait until it is resumed.
    ///
    /// # Errors
    /// When the backend cannot do it on this machine, or the sandbox has ended.
    pub async fn pause(&self) -> Result<(), Error> {
        self.body()?.pause().await?;
        self.inner.paused.store(true, Ordering::Release);
        Ok(())
    }

    /// Lets a paused sandbox go on. One that runs is left alone.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<(), Error> {
        self.body()?.resume().await?;
        self.inner.paused.store(false, Ordering::Release);
        Ok(())
    }

    /// Makes the workspace read only for every process of the sandbox, those included that have begun before; commands of
    /// [`sync_stream`](Self::sync_stream) alone can write to it. A second time it changes nothing.
    ///
    /// # Errors
    /// When the backend cannot do it on this machine, or the sandbox was not made for it ([`SandboxSpec::holding`](crate::SandboxSpec)) or has ended.
    pub async fn hold(&self) -> Result<Hold, Error> {
        let capabilities = self.inner.backend.capabilities();
        if !capabilities.hold {
            return Err(Error::cannot_hold(
                capabilities.kind.name(),
                "this needs `namespace` as root, on a kernel with Landlock",
            ));
        }
        self.body()?.hold().await
    }

    /// Makes the workspace writable for everybody, at once, and lets the process go that could write before.
    ///
    /// # Errors
    /// When the sandbox has ended, or was never made for it.
    pub async fn release(&self) -> Result<(), Error> {
        self.body()?.release().await?;
        self.sync_over().await
    }

    /// Lets the process go that could write to a held workspace: it will not be held (again).
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub async fn sync_over(&self) -> Result<(), Error> {
        match self.inner.link.ask(&Request::SyncOver, &[]).await? {
            (Reply::Pong, _) => Ok(()),
            _ => Err(Error::Protocol),
        }
    }

    /// Freezes the changes as a layer's tree. [`Guarantee`](crate::Guarantee) says what is certain about it and what the sandbox goes on over.
    ///
    /// # Errors
    /// When the backend cannot do it, the disk is full, or the sandbox has ended.
    pub async fn snapshot(&self) -> Result<Frozen, Error> {
        let body = self.body()?;
        let (activity, link) = (Arc::clone(&self.inner.activity), self.inner.link.clone());
        let paused = self.inner.paused.load(Ordering::Acquire);
        // What changes files waits: it would change the old or miss the new.
        let gate = Arc::clone(&self.inner.gate).write_owned().await;
        // Once begun it is carried through, also when nobody waits for it any more.
        let taken = tokio::spawn(async move {
            // One that is paused does not answer, and is copied as it stands.
            let stands_down = !paused && !activity.is_busy();
            let alone = stands_down && stand_down(&link).await;
            let frozen = body.snapshot(!alone).await;
            // Nobody waits for it, but the next snapshot, which would find it half done.
            tokio::spawn(async move {
                if stands_down {
                    let _ = tokio::time::timeout(STAND_DOWN_PATIENCE, link.ask(&Request::StandBy(true), &[])).await;
                }
                drop(gate);
            });
            frozen
        });
        taken.await.map_err(|error| Error::Setup(error.to_string()))?
    }

    fn body(&self) -> Result<Arc<dyn Body>, Error> {
        self.inner.body.upgrade().ok_or(Error::Gone)
    }

    /// How it is; changes when a limit is hit or it ends. Counters only grow, so a slow reader misses nothing that matters.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// Runs a command and keeps the first [`COLLECTED_BYTES_MAX`] of each stream.
    ///
    /// # Errors
    /// When it cannot be started or the sandbox ends.
    pub async fn exec(&self, spec: &ExecSpec) -> Result<Collected, Error> {
        self.exec_stream(spec).await?.collect(COLLECTED_BYTES_MAX).await
    }

    /// Starts a command; its output is taken from the result as it comes.
    ///
    /// # Errors
    /// When it cannot be started, or too many requests are open.
    pub async fn exec_stream(&self, spec: &ExecSpec) -> Result<Exec, Error> {
        self.start(spec, Request::Exec).await
    }

    /// Starts a command that can write to a held workspace; one at a time. No other command of the sandbox can look into it or send it signals.
    ///
    /// # Errors
    /// As for [`exec_stream`](Self::exec_stream), and when the sandbox was not made for it.
    pub async fn sync_stream(&self, spec: &ExecSpec) -> Result<Exec, Error> {
        self.start(spec, Request::Sync).await
    }

    async fn start(&self, spec: &ExecSpec, ask: impl FnOnce(ExecRequest) -> Request) -> Result<Exec, Error> {
        let _begins = self.inner.gate.read().await;
        let (body, active) = (self.body()?, self.inner.activity.begin());
        let request = ExecRequest {
            program: spec.program.clone(),
            cwd: spec.cwd.clone(),
            env: spec.env.clone(),
            stdin: spec.stdin,
            pty: spec.pty,
            timeout_ms: spec.timeout_ms,
            leftovers: spec.leftovers,
        };
        let exchange = self.inner.link.begin(&ask(request), &[]).await?;
        // The counters are read while the guest is at work: no command hits a limit before it runs.
        let readout = Readout::start(&body, &self.inner.health, active);
        Exec::begin(exchange, readout).await
    }

    /// Starts a command in a terminal of this size.
    ///
    /// # Errors
    /// As for [`exec_stream`](Self::exec_stream).
    pub async fn pty(&self, spec: ExecSpec, size: WindowSize) -> Result<Exec, Error> {
        self.exec_stream(&spec.terminal(size)).await
    }

    /// Reads a file from `offset`, at most `limit` bytes and never more than 8 MiB.
    ///
    /// # Errors
    /// When there is no such file, or it may not be read.
    pub async fn read(&self, path: &str, offset: u64, limit: u64) -> Result<FileContent, Error> {
        match self.inner.link.ask(&Request::Read { path: path.into(), offset, limit }, &[]).await? {
            (Reply::File { size, truncated }, bytes) => Ok(FileContent { bytes, size, truncated }),
            _ => Err(Error::Protocol),
        }
    }

    /// Replaces a file's content at once, making its parents; readers see the old or the new. An existing file keeps its mode. Returns whether it is new.
    ///
    /// # Errors
    /// When it may not be written, the disk is full, or `content` exceeds 8 MiB.
    pub async fn write(&self, path: &str, content: &[u8]) -> Result<bool, Error> {
        self.put(path, content, None).await
    }

    /// The same, with these permission bits.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub async fn write_mode(&self, path: &str, content: &[u8], mode: u32) -> Result<bool, Error> {
        self.put(path, content, Some(mode)).await
    }

    async fn put(&self, path: &str, content: &[u8], mode: Option<u32>) -> Result<bool, Error> {
        if content.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge { bytes: content.len(), limit: PAYLOAD_BYTES_MAX });
        }
        let _writes = self.inner.gate.read().await;
        match self.inner.link.ask(&Request::Write { path: path.into(), mode }, content).await? {
            (Reply::Written { created }, _) => Ok(created),
            _ => Err(Error::Protocol),
        }
    }

    /// Facts about a path; a link is not followed.
    ///
    /// # Errors
    /// When there is nothing.
    pub async fn stat(&self, path: &str) -> Result<Stat, Error> {
        match self.inner.link.ask(&Request::Stat { path: path.into() }, &[]).await? {
            (Reply::Stat(stat), _) => Ok(stat),
            _ => Err(Error::Protocol),
        }
    }

    /// Entries of a directory by name, and whether there are more than the protocol's limit.
    ///
    /// # Errors
    /// When there is no such directory.
    pub async fn list(&self, path: &str) -> Result<(Vec<Listed>, bool), Error> {
        match self.inner.link.ask(&Request::List { path: path.into(), limit: PATHS_MAX }, &[]).await? {
            (Reply::Listing { entries, truncated }, _) => Ok((entries, truncated)),
            _ => Err(Error::Protocol),
        }
    }

    /// Files whose path matches, the last changed first. What `.gitignore` leaves out is left out.
    ///
    /// # Errors
    /// When the pattern is bad or there is no such directory.
    pub async fn glob(&self, request: &GlobRequest) -> Result<Found, Error> {
        match self.inner.link.ask(&Request::Glob(request.clone()), &[]).await? {
            (Reply::Paths(found), _) => Ok(found),
            _ => Err(Error::Protocol),
        }
    }

    /// Lines that match, and whether there are more. What `.gitignore` leaves out is left out.
    ///
    /// # Errors
    /// When the expression is bad or there is no such path.
    pub async fn grep(&self, request: &GrepRequest) -> Result<(Vec<GrepMatch>, bool), Error> {
        match self.inner.link.ask(&Request::Grep(request.clone()), &[]).await? {
            (Reply::Matches { matches, truncated }, _) => Ok((matches, truncated)),
            _ => Err(Error::Protocol),
        }
    }

    /// Watches the workspace.
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub async fn watch(&self) -> Result<Watch, Error> {
        self.watch_directory(WORKSPACE).await
    }

    /// Watches a directory.
    ///
    /// # Errors
    /// When there is no such directory.
    pub async fn watch_directory(&self, path: &str) -> Result<Watch, Error> {
        let exchange = self.inner.link.begin(&Request::Watch { path: path.into() }, &[]).await?;
        Watch::begin(exchange).await
    }

    /// Kills every process inside, daemons included; the sandbox itself stays. Returns how many there were.
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub async fn kill_all(&self) -> Result<u32, Error> {
        match self.inner.link.ask(&Request::KillAll, &[]).await? {
            (Reply::Killed { processes }, _) => Ok(processes),
            _ => Err(Error::Protocol),
        }
    }

    /// Whether the guest answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        match self.inner.link.ask(&Request::Ping, &[]).await? {
            (Reply::Pong, _) => Ok(()),
            _ => Err(Error::Protocol),
        }
    }

    /// Ends the sandbox and waits until nothing of it is left: no process, mount or control group. Its files stay.
    /// The network namespace goes with the border's listener. Destroying twice is fine.
    pub async fn destroy(&self) {
        drop(self.border());
        self.inner.kill.notify_one();
        let mut health = self.inner.health.clone();
        // An error means that the keeper is gone, and it goes last.
        let _ = health.wait_for(|health| health.life == Life::Ended).await;
    }
}

/// Has the guest end what it keeps ready for the next command, which would count as a process. Returns whether its process 1 is the only one now.
async fn stand_down(link: &Link) -> bool {
    match tokio::time::timeout(STAND_DOWN_PATIENCE, link.ask(&Request::StandBy(false), &[])).await {
        Ok(Ok((Reply::StoodDown { alone }, _))) => alone,
        // It does not answer, or has ended: what is there is copied as it stands, or that says so.
        Ok(Ok(_) | Err(_)) | Err(_) => false,
    }
}
