//! How far something is that takes longer than a moment: a line on a terminal that moves, or now and then a line elsewhere.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    terminal::{Look, Terminal},
    words,
};

/// The line moves so often.
const TICK: Duration = Duration::from_millis(120);
/// Where lines do not move, there is a new one so often.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// One thing that goes on.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// Nothing is shown to programs.
    pub(super) fn new(terminal: &Terminal) -> Self {
        let watched = !terminal.is_json() && std::io::stderr().is_terminal();
        let bar = watched.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template cannot be wrong; should it ever be, the default style shows the message, too.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, said: Instant::now() }
    }

    /// What is done now.
    pub(super) fn step(&mut self, terminal: &mut Terminal, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => terminal.remark(Look::Faint, what),
        }
        self.said = Instant::now();
    }

    /// How many bytes of how many.
    pub(super) fn bytes(&mut self, terminal: &mut Terminal, what: &str, done: u64, all: u64) {
        self.far(terminal, format!("{what}: {} of {}", words::bytes(done), words::bytes(all)));
    }

    /// How far it is, in words that change all the time.
    pub(super) fn far(&mut self, terminal: &mut Terminal, text: String) {
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.said.elapsed() >= SAID_AGAIN_AFTER => self.step(terminal, &text),
            None => {}
        }
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Bytes that were sent so far, counted where they are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(Arc<AtomicU64>);

impl Sent {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
