//! What a build says, kept for whoever asks.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// How much of a build's output is kept. Behind it the output is counted and thrown away; the last lines are kept apart for the failure.
pub const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines that a failure shows.
pub const LAST_LINES: usize = 40;
/// The longest line that a failure shows.
const LAST_LINE_BYTES_MAX: usize = 400;

/// The output of one build. Readers hold a position and ask for what came after it, so a slow one costs nothing.
#[derive(Debug)]
pub struct BuildLog {
    kept: Mutex<Kept>,
    length: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    text: Vec<u8>,
    dropped: u64,
    last: std::collections::VecDeque<String>,
    line: Vec<u8>,
}

impl Default for BuildLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), length: watch::Sender::new(0) }
    }
}

impl BuildLog {
    /// Adds hangar's own line.
    pub fn say(&self, line: &str) {
        self.add(format!("hangar: {line}\n").as_bytes());
    }

    /// Adds output as it comes.
    pub fn add(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LOG_BYTES_MAX.saturating_sub(kept.text.len()).min(bytes.len());
        kept.text.extend_from_slice(&bytes[..room]);
        if room < bytes.len() {
            if kept.dropped == 0 {
                kept.text.extend_from_slice(b"\nhangar: the rest of the output is not kept\n");
            }
            kept.dropped += (bytes.len() - room) as u64;
        }
        for byte in bytes {
            kept.push(*byte);
        }
        let length = kept.text.len() as u64;
        drop(kept);
        self.length.send_replace(length);
    }

    /// Text from `position` on, at most `bytes_max`, and the position behind it. Never cuts a character.
    #[must_use]
    pub fn read(&self, position: u64, bytes_max: usize) -> (String, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(kept.text.len());
        let mut until = from.saturating_add(bytes_max).min(kept.text.len());
        // Of a character that is cut, the part that is there already waits for the rest, unless there is nothing else.
        while until > from && until < kept.text.len() && kept.text[until] & 0xc0 == 0x80 {
            until -= 1;
        }
        let text = String::from_utf8_lossy(&kept.text[from..until]).into_owned();
        (text, until as u64)
    }

    /// Changes whenever something was added: its length in bytes.
    #[must_use]
    pub fn length(&self) -> watch::Receiver<u64> {
        self.length.subscribe()
    }

    /// Forgets the last lines; what a step says is told apart from what came before it.
    pub(crate) fn begin_step(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last.clear();
        kept.line.clear();
    }

    /// The last lines since the step began.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let open = (!kept.line.is_empty()).then(|| String::from_utf8_lossy(&kept.line).into_owned());
        let mut lines: Vec<String> = kept.last.iter().cloned().chain(open).collect();
        lines.split_off(lines.len().saturating_sub(LAST_LINES))
    }
}

impl Kept {
    fn push(&mut self, byte: u8) {
        if byte != b'\n' {
            if self.line.len() < LAST_LINE_BYTES_MAX {
                self.line.push(byte);
            }
            return;
        }
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim_end().to_owned();
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
