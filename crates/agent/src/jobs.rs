//! Background commands of a session: servers, watchers, long builds.
//!
//! They outlive the call and the turn that started them, and end with the sandbox, by `kill`, or when the session lets go
//! of its [`Jobs`]. What they say is kept until the model asks for it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hangar_protocol::guest::ExitStatus;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    limits,
    tools::Tell,
    workspace::{Exec, Exited, Workspace, WorkspaceError},
};

/// How much of a command is shown when it is listed.
const COMMAND_CHARS_MAX: usize = 120;

/// The background commands of one session. Clones share them; they end when the last clone is dropped.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Mutex<Board>>);

#[derive(Default)]
struct Board {
    last: u32,
    jobs: Vec<Job>,
}

struct Job {
    number: u32,
    command: String,
    began: Instant,
    said: watch::Receiver<Said>,
    running: AbortOnDropHandle<()>,
}

/// What a job has said since somebody looked, and how it ended.
#[derive(Clone, Default)]
struct Said {
    unread: Arc<Mutex<Unread>>,
    end: Option<Result<Exited, WorkspaceError>>,
}

#[derive(Default)]
struct Unread {
    text: String,
    lost: usize,
}

impl Jobs {
    /// Starts a command and returns its number.
    ///
    /// # Errors
    /// Words for the model when there are [`limits::JOBS_MAX`] already.
    pub fn start(&self, workspace: Arc<dyn Workspace>, exec: Exec) -> Result<u32, Tell> {
        let mut board = lock(&self.0);
        board.jobs.retain(|job| job.is_running() || job.has_unread());
        if board.jobs.iter().filter(|job| job.is_running()).count() >= limits::JOBS_MAX {
            return Err(Tell(format!("{} jobs run already. Kill one first.", limits::JOBS_MAX)));
        }
        board.last += 1;
        let (sender, said) = watch::channel(Said::default());
        let command = hangar_protocol::limits::clip(&exec.command, COMMAND_CHARS_MAX);
        let running = AbortOnDropHandle::new(tokio::spawn(follow(workspace, exec, sender)));
        let number = board.last;
        board.jobs.push(Job { number, command, began: Instant::now(), said, running });
        Ok(number)
    }

    /// Every job in words, one a line.
    #[must_use]
    pub fn list(&self) -> String {
        let board = lock(&self.0);
        let line = |job: &Job| format!("{}: {} ({})", job.number, job.command, job.standing());
        let lines: Vec<String> = board.jobs.iter().map(line).collect();
        if lines.is_empty() { "There are no background jobs.".to_owned() } else { lines.join("\n") }
    }

    /// What a job has said since the last look. Waits up to `wait` until it says something or ends.
    ///
    /// # Errors
    /// Words for the model when there is no such job.
    pub async fn output(&self, number: u32, wait: Duration) -> Result<String, Tell> {
        let mut said = self.with(number, |job| job.said.clone())?;
        let spoken = said.wait_for(|said| said.end.is_some() || !lock(&said.unread).text.is_empty());
        // Running out of patience is not an error: the answer then says that nothing is new.
        let _ = tokio::time::timeout(wait, spoken).await;
        self.with(number, |job| {
            let Unread { mut text, lost } = job.take();
            if lost > 0 {
                text.insert_str(0, &format!("[{lost} earlier bytes were not kept]\n"));
            }
            if text.is_empty() {
                text.push_str("(nothing new)");
            }
            format!("{}\n[job {number}: {}]", text.trim_end_matches('\n'), job.standing())
        })
    }

    /// Ends a job with its whole process tree.
    ///
    /// # Errors
    /// Words for the model when there is no such job.
    pub async fn kill(&self, number: u32) -> Result<String, Tell> {
        let mut said = self.with(number, |job| {
            job.running.abort();
            job.said.clone()
        })?;
        // The sender goes when the command's future does, and with it the process tree.
        while said.changed().await.is_ok() {}
        let mut board = lock(&self.0);
        board.jobs.retain(|job| job.number != number);
        Ok(format!("Job {number} is ended."))
    }

    fn with<T>(&self, number: u32, look: impl FnOnce(&Job) -> T) -> Result<T, Tell> {
        let board = lock(&self.0);
        let job = board.jobs.iter().find(|job| job.number == number);
        job.map(look).ok_or_else(|| Tell(format!("There is no job {number}; it may have ended with its sandbox.")))
    }
}

impl Job {
    fn is_running(&self) -> bool {
        self.said.borrow().end.is_none() && !self.running.is_finished()
    }

    fn has_unread(&self) -> bool {
        !lock(&self.said.borrow().unread).text.is_empty()
    }

    fn take(&self) -> Unread {
        std::mem::take(&mut *lock(&self.said.borrow().unread))
    }

    fn standing(&self) -> String {
        match &self.said.borrow().end {
            None => format!("running for {} s", self.began.elapsed().as_secs()),
            Some(Err(error)) => format!("broken off: {error}"),
            Some(Ok(Exited { timed_out: true, .. })) => "ended by its time limit".to_owned(),
            Some(Ok(Exited { status: ExitStatus::Code(code), .. })) => format!("ended with exit code {code}"),
            Some(Ok(Exited { status: ExitStatus::Signal(signal), .. })) => format!("ended by signal {signal}"),
        }
    }
}

/// Runs a job to its end. Dropping this future ends the command.
async fn follow(workspace: Arc<dyn Workspace>, exec: Exec, said: watch::Sender<Said>) {
    // When the channel is full the command waits until its output is taken in.
    let (sender, mut chunks) = mpsc::channel::<Bytes>(limits::OUTPUT_CHUNKS_AHEAD);
    let listen = async {
        let mut decoder = Decoder::default();
        while let Some(chunk) = chunks.recv().await {
            let text = decoder.take(&chunk);
            said.send_modify(|said| said.add(&text));
        }
        said.send_modify(|said| said.add(&decoder.finish()));
    };
    let (end, ()) = tokio::join!(workspace.exec(exec, sender), listen);
    said.send_modify(|said| said.end = Some(end));
}

impl Said {
    /// Keeps the newest of what was not read yet.
    fn add(&mut self, more: &str) {
        let Unread { text, lost } = &mut *lock(&self.unread);
        text.push_str(more);
        if text.len() > limits::JOB_BYTES_MAX {
            let mut cut = text.len() - limits::JOB_BYTES_MAX / 2;
            while !text.is_char_boundary(cut) {
                cut += 1;
            }
            text.drain(..cut);
            *lost += cut;
        }
    }
}

/// A lock that is never held across an await. A panic elsewhere does not make these texts wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes text of bytes that may be cut within a character.
#[derive(Default)]
pub(crate) struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// The text of the next bytes; a character cut at their end waits for its rest.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.pending) {
            Ok(_) => self.pending.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            // Bytes that are no text at all: only what may still become a character waits.
            Err(_) => self.pending.len() - unfinished(&self.pending),
        };
        let rest = self.pending.split_off(whole);
        let done = std::mem::replace(&mut self.pending, rest);
        String::from_utf8_lossy(&done).into_owned()
    }

    /// The text of what still waits.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes at the end begin a character that is not complete.
fn unfinished(bytes: &[u8]) -> usize {
    let longest = bytes.len().min(3);
    let begins = |length: &usize| {
        let tail = &bytes[bytes.len() - length..];
        std::str::from_utf8(tail).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=longest).rev().find(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_cut_between_chunks_come_out_whole() {
        let text = "aä€😀z";
        for cut in 0..text.len() {
            let mut decoder = Decoder::default();
            let bytes = text.as_bytes();
            let joined = decoder.take(&bytes[..cut]) + &decoder.take(&bytes[cut..]) + &decoder.finish();
            assert_eq!(joined, text, "cut at {cut}");
        }
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(b"\xff\xe2\x82"), "\u{fffd}");
        assert_eq!(decoder.take(b"\xac!"), "€!");
        assert_eq!(decoder.take(b"\xe2"), "");
        assert_eq!(decoder.finish(), "\u{fffd}");
    }
}
