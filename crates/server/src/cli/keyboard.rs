//! Typing while a session scrolls by.
//!
//! The terminal is told to give every key at once and to show none; the line that is being typed is shown by the timeline.
//! Ctrl-C stays a signal. The terminal's own ways come back when the keyboard is dropped.

use std::{
    io::{self, IsTerminal as _, Read as _},
    thread,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// Pieces of input that wait to be looked at. When it is full the reading thread waits, and then the terminal does.
const WAITING_PIECES_MAX: usize = 16;
/// The longest line that can be typed.
const LINE_CHARS_MAX: usize = 16 * 1024;

const BACKSPACE: [char; 2] = ['\u{8}', '\u{7f}'];
const CTRL_D: char = '\u{4}';
const CTRL_U: char = '\u{15}';
const CTRL_W: char = '\u{17}';
const ESCAPE: char = '\u{1b}';

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// The line has changed.
    More,
    /// Enter: the whole line.
    Line(String),
    /// Alt and Enter: the whole line, for the turn that runs.
    Steer(String),
    /// Ctrl-D on an empty line.
    Leave,
}

/// The keyboard, as long as a session is followed.
pub(super) struct Keyboard {
    pieces: mpsc::Receiver<Vec<u8>>,
    line: LineEditor,
    ways: Termios,
}

impl Keyboard {
    /// Takes the keyboard, if there is one.
    pub(super) fn take() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let ways = tcgetattr(io::stdin()).ok()?;
        let mut silent = ways.clone();
        silent.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
        let (sender, pieces) = mpsc::channel(WAITING_PIECES_MAX);
        // A thread, because a terminal cannot be read without waiting; it ends with the process.
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(length) = io::stdin().read(&mut buffer) {
                if length == 0 || sender.blocking_send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self { pieces, line: LineEditor::default(), ways })
    }

    /// What is done next. Never comes when the terminal has gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Vec<Typed> {
        match self.pieces.recv().await {
            Some(piece) => self.line.take(&piece),
            None => std::future::pending().await,
        }
    }

    /// The line as it stands.
    pub(super) fn line(&self) -> &str {
        &self.line.text
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing restored.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.ways);
    }
}

/// Reads one line without showing it: for tokens.
pub(super) fn read_hidden_line() -> io::Result<String> {
    let ways = tcgetattr(io::stdin())?;
    let mut silent = ways.clone();
    silent.local_modes -= LocalModes::ECHO;
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    tcsetattr(io::stdin(), OptionalActions::Now, &ways)?;
    read.map(|_| line)
}

/// A line that is being typed. Pure: bytes in, what they mean out.
#[derive(Debug, Default)]
struct LineEditor {
    text: String,
    /// Bytes of a character whose rest has not come yet.
    partial: Vec<u8>,
    /// Whether the keys that follow belong to an escape sequence (arrows and the like, which do nothing).
    escape: Escape,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After the escape character itself.
    Begun,
    /// Within `ESC [ …` or `ESC O …`, until a letter or `~`.
    Sequence,
}

impl LineEditor {
    fn take(&mut self, piece: &[u8]) -> Vec<Typed> {
        self.partial.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.to_owned(),
            // The last character is not complete yet.
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(&self.partial[..error.valid_up_to()]).into_owned()
            }
            Err(_) => {
                let text = String::from_utf8_lossy(&self.partial).into_owned();
                self.partial.clear();
                text
            }
        };
        self.partial.drain(..whole.len().min(self.partial.len()));
        let mut done = Vec::new();
        for key in whole.chars() {
            done.extend(self.key(key));
        }
        done
    }

    fn key(&mut self, key: char) -> Option<Typed> {
        match (self.escape, key) {
            (Escape::None, ESCAPE) => {
                self.escape = Escape::Begun;
                return None;
            }
            (Escape::Begun, '[' | 'O') => {
                self.escape = Escape::Sequence;
                return None;
            }
            // Terminals send Alt as an escape before the key.
            (Escape::Begun, '\n' | '\r') => {
                self.escape = Escape::None;
                return Some(Typed::Steer(std::mem::take(&mut self.text)));
            }
            (Escape::Begun, _) => {
                self.escape = Escape::None;
                return None;
            }
            (Escape::Sequence, '@'..='~') => {
                self.escape = Escape::None;
                return None;
            }
            (Escape::Sequence, _) => return None,
            (Escape::None, _) => {}
        }
        match key {
            '\n' | '\r' => Some(Typed::Line(std::mem::take(&mut self.text))),
            CTRL_D if self.text.is_empty() => Some(Typed::Leave),
            CTRL_U => {
                self.text.clear();
                Some(Typed::More)
            }
            CTRL_W => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.text.truncate(kept);
                Some(Typed::More)
            }
            key if BACKSPACE.contains(&key) => {
                self.text.pop();
                Some(Typed::More)
            }
            key if key.is_control() => None,
            key if self.text.len() < LINE_CHARS_MAX => {
                self.text.push(key);
                Some(Typed::More)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Typed> {
        let mut editor = LineEditor::default();
        let done = pieces.iter().flat_map(|piece| editor.take(piece)).filter(|typed| *typed != Typed::More);
        done.collect()
    }

    #[test]
    fn keys_become_lines() {
        let line = |text: &str| Typed::Line(text.to_owned());
        assert_eq!(lines(&[b"hello\n", b"two\nthree\n"]), [line("hello"), line("two"), line("three")]);
        assert_eq!(lines(&[b"helo\x7flo\n"]), [line("hello")]);
        assert_eq!(lines(&[b"one two  \x17\n", b"gone\x15here\n"]), [line("one "), line("here")]);
        assert_eq!(lines(&[b"\x1b[A\x1b[1;5Cok\x1bb\x1b[3~\n"]), [line("ok")]);
        assert_eq!(lines(&[b"now\x1b\rlater\r"]), [Typed::Steer("now".to_owned()), line("later")]);
        assert_eq!(lines(&[b"w\xc3", b"\xb6rd\n"]), [line("wörd")], "a character may come in two pieces");
        assert_eq!(lines(&[b"\xff\xfex\n"]), [line("\u{fffd}\u{fffd}x")]);
        assert_eq!(lines(&[b"x\x04\n", b"\x04"]), [line("x"), Typed::Leave]);
    }
}
