//! A running command, as its caller holds it.

use bytes::Bytes;
use hangar_protocol::guest::{ExitStatus, Reply, Request, STDIN_CHUNK_BYTES_MAX, Signal, Stream, WindowSize};

use crate::{
    error::Error,
    keeper::Readout,
    link::{Exchange, Input},
};

/// Credit is given back in portions of so many frames.
const CREDIT_PORTION: u32 = 4;

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written.
    pub stream: Stream,
    /// At most 32 KiB.
    pub bytes: Bytes,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// From start to end, in milliseconds.
    pub duration_ms: u64,
    /// It was ended because its time was up.
    pub timed_out: bool,
    /// It ended while the sandbox hit a limit, which is probably why.
    pub limit: Option<LimitHit>,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitHit {
    /// A process was killed because memory ran out.
    Memory,
    /// A process could not be made because there were too many.
    Processes,
    /// Files took more disk than allowed; commands were killed.
    Disk,
    /// The host itself has hardly any disk left.
    HostDisk,
}

/// A command's whole output, as far as it was kept.
#[derive(Clone, Debug)]
pub struct Collected {
    /// How it ended.
    pub ended: Ended,
    /// The first bytes of standard output.
    pub stdout: Vec<u8>,
    /// The first bytes of standard error.
    pub stderr: Vec<u8>,
    /// Output that was read but not kept.
    pub dropped_bytes: u64,
}

/// A running command. Dropping it kills its whole process tree, daemons included.
///
/// Output that is not taken stops the command at about 512 KiB, as a full pipe would.
pub struct Exec {
    exchange: Exchange,
    readout: Readout,
    pid: u32,
    /// Frames taken since credit was last given.
    owed: u32,
    ended: Option<Ended>,
}

impl Exec {
    /// Waits for the command to start.
    pub(crate) async fn begin(mut exchange: Exchange, readout: Readout) -> Result<Self, Error> {
        match exchange.next().await? {
            (Reply::Started { pid }, _) => Ok(Self { exchange, readout, pid, owed: 0, ended: None }),
            _ => Err(Error::Protocol),
        }
    }

    /// Its process id inside.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The next piece of output; `None` when the command has ended and everything has been taken.
    ///
    /// Cancel-safe: a dropped call loses no output.
    ///
    /// # Errors
    /// When the sandbox ends first, or the program cannot be executed.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        loop {
            if self.ended.is_some() {
                return Ok(None);
            }
            if self.owed >= CREDIT_PORTION {
                self.exchange.send(&Request::Credit { frames: self.owed }, &[]).await?;
                self.owed = 0;
            }
            let (reply, payload) = self.exchange.next().await?;
            if let Some(chunk) = self.take(reply, payload)? {
                return Ok(Some(chunk));
            }
        }
    }

    fn take(&mut self, reply: Reply, bytes: Bytes) -> Result<Option<Chunk>, Error> {
        match reply {
            Reply::Output { stream } => {
                self.owed += 1;
                Ok(Some(Chunk { stream, bytes }))
            }
            Reply::Exited { status, duration_ms, timed_out } => {
                self.exchange.finish();
                let limit = if status.success() { None } else { self.readout.limit_hit() };
                self.ended = Some(Ended { status, duration_ms, timed_out, limit });
                Ok(None)
            }
            _ => Err(Error::Protocol),
        }
    }

    /// Waits for the end and throws further output away.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn wait(&mut self) -> Result<Ended, Error> {
        while self.next().await?.is_some() {}
        self.ended.ok_or(Error::Gone)
    }

    /// How it ended, once [`next`](Self::next) has returned `None`.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Takes the rest of the output, keeping the first `keep_bytes` of each stream.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn collect(mut self, keep_bytes: usize) -> Result<Collected, Error> {
        let (mut stdout, mut stderr, mut dropped_bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(chunk) = self.next().await? {
            let kept = match chunk.stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            let room = keep_bytes.saturating_sub(kept.len()).min(chunk.bytes.len());
            kept.extend_from_slice(&chunk.bytes[..room]);
            dropped_bytes += (chunk.bytes.len() - room) as u64;
        }
        let ended = self.ended.ok_or(Error::Gone)?;
        Ok(Collected { ended, stdout, stderr, dropped_bytes })
    }

    /// Sends a signal to the whole process tree.
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.exchange.send(&Request::Signal(signal), &[]).await
    }

    /// Tells the terminal its new size.
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub async fn resize(&self, size: WindowSize) -> Result<(), Error> {
        self.exchange.send(&Request::Resize(size), &[]).await
    }

    /// Its standard input. Dropping it does not end the input: see [`ExecInput::end`].
    #[must_use]
    pub fn input(&self) -> ExecInput {
        ExecInput { input: self.exchange.input() }
    }
}

/// The way to a command's standard input.
///
/// Write and take output at the same time: a command that cannot write its output stops reading, as with any pipe.
pub struct ExecInput {
    input: Input,
}

impl ExecInput {
    /// Hands all bytes over, waiting while the command has 256 KiB it has not read.
    ///
    /// # Errors
    /// When the command or the sandbox has ended.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        for piece in bytes.chunks(STDIN_CHUNK_BYTES_MAX) {
            self.input.send(piece).await?;
        }
        Ok(())
    }

    /// Ends the input; a terminal gets Ctrl-D.
    ///
    /// # Errors
    /// When the sandbox has ended.
    pub async fn end(self) -> Result<(), Error> {
        self.input.end().await
    }
}
