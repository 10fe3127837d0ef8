//! A server that is a program: its standard input and output as a stream for rmcp, watched for what a server must not do.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{COMPLAINTS_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX};
use crate::acp::{Piece, Program};

/// Bytes that may wait on each side between rmcp and a program. When they are full, the side that writes waits.
const BYTES_AHEAD: usize = 64 * 1024;
/// How much of the end of its standard error is shown, in whole lines.
const COMPLAINT_CHARS_MAX: usize = 400;

/// A program that is spoken with. Dropping it ends its whole process tree.
pub(super) struct Carried {
    heard: Arc<Mutex<Heard>>,
    running: DropGuard,
    over: JoinHandle<()>,
}

/// What is known of a program besides its messages.
#[derive(Default)]
struct Heard {
    complaints: Vec<u8>,
    /// How it ended.
    ended: Option<String>,
    /// Bytes since a line ended.
    line: usize,
    messages: u32,
}

impl Carried {
    /// Carries between a program and the stream.
    pub(super) fn carry(program: Program) -> (Self, DuplexStream) {
        let (ours, theirs) = duplex(BYTES_AHEAD);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let running = CancellationToken::new();
        let over = tokio::spawn(serve(program, ours, Arc::clone(&heard), running.clone()));
        (Self { heard, running: running.drop_guard(), over }, theirs)
    }

    /// How it ended, with the end of its standard error; `None` while it runs.
    pub(super) fn fault(&self) -> Option<String> {
        let heard = lock(&self.heard);
        let ended = heard.ended.clone()?;
        let complaint = last_of(&String::from_utf8_lossy(&heard.complaints));
        Some(if complaint.is_empty() { ended } else { format!("{ended}; the end of its standard error: {complaint}") })
    }

    /// Ends the whole process tree; the wish for it has been carried out when this returns. Its standard input has ended with the stream, and it may
    /// take so long to end by itself.
    pub(super) async fn end(self, farewell_max: Duration) {
        let Self { running, mut over, .. } = self;
        if timeout(farewell_max, &mut over).await.is_ok() {
            return;
        }
        drop(running);
        // A task that panicked has dropped what it held, which ends the tree as well.
        drop(over.await);
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("fault", &self.fault()).finish_non_exhaustive()
    }
}

impl Heard {
    /// Takes notice of what a program wrote.
    ///
    /// # Errors
    /// Why it is not listened to any more.
    fn said(&mut self, bytes: &[u8]) -> Result<(), String> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line += piece.len();
            if self.line > MESSAGE_BYTES_MAX {
                return Err(format!(
                    "it sent a message of more than {} MiB and was ended",
                    MESSAGE_BYTES_MAX / 1024 / 1024
                ));
            }
            if piece.ends_with(b"\n") {
                self.line = 0;
                self.messages += 1;
            }
        }
        if self.messages > MESSAGES_MAX {
            return Err(format!("it sent more than {MESSAGES_MAX} messages in one turn and was ended"));
        }
        Ok(())
    }

    fn complained(&mut self, bytes: &[u8]) {
        self.complaints.extend_from_slice(bytes);
        let over = self.complaints.len().saturating_sub(COMPLAINTS_BYTES_MAX);
        drop(self.complaints.drain(..over));
    }
}

/// The last lines of a text that are shown: the last one, and as many before it as there is room for.
fn last_of(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines().rev().map(str::trim).filter(|line| !line.is_empty()) {
        if shown.is_empty() {
            shown = hangar_protocol::limits::clip(line, COMPLAINT_CHARS_MAX);
        } else if shown.len() + line.len() < COMPLAINT_CHARS_MAX {
            shown = format!("{line}\n{shown}");
        } else {
            break;
        }
    }
    shown
}

/// Carries until the program ends, must end, or is to end.
async fn serve(mut program: Program, stream: DuplexStream, heard: Arc<Mutex<Heard>>, running: CancellationToken) {
    let (mut from, mut to) = split(stream);
    let (input, output) = (program.take_input(), &mut program.output);
    let writing = async move {
        let mut bytes = vec![0; BYTES_AHEAD];
        while let Ok(read) = from.read(&mut bytes).await {
            if read == 0 || input.send(Bytes::copy_from_slice(&bytes[..read])).await.is_err() {
                break;
            }
        }
        drop(input);
        // How it ended, its output says.
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            match output.recv().await {
                Some(Piece::Out(bytes)) => {
                    if let Err(words) = lock(&heard).said(&bytes) {
                        return words;
                    }
                    // Nobody listens any more: what comes is taken all the same, until the program is to end.
                    drop(to.write_all(&bytes).await);
                }
                Some(Piece::Err(bytes)) => lock(&heard).complained(&bytes),
                Some(Piece::Ended(words)) => return words,
                None => return "it ended".to_owned(),
            }
        }
    };
    let ended = tokio::select! {
        () = running.cancelled() => "it was ended with the turn".to_owned(),
        words = reading => words,
        () = writing => "it ended".to_owned(),
    };
    // Before the stream ends: whoever notices that looks here for the cause.
    lock(&heard).ended = Some(ended);
    program.end().await;
}

/// A lock that is never held across an await. A panic elsewhere does not make what is heard wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
