//! What the host asks of a running command, on its way to the command's thread.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hangar_protocol::guest::{OUTPUT_FRAMES_AHEAD, STDIN_FRAMES_AHEAD, Signal, WindowSize};
use rustix::event::{EventfdFlags, eventfd};

/// Signals that may wait to be delivered.
const SIGNALS_MAX: usize = 16;

/// What the host has asked of a running command since its thread last looked.
#[derive(Default)]
pub(crate) struct Wishes {
    pub credits: u32,
    pub stdin: VecDeque<Vec<u8>>,
    pub stdin_end: bool,
    pub signals: Vec<Signal>,
    pub resize: Option<WindowSize>,
    pub cancelled: bool,
}

/// Where the wishes for one command arrive.
pub(crate) struct Inbox {
    wishes: Mutex<Wishes>,
    pub wake: OwnedFd,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        let wishes = Wishes { credits: OUTPUT_FRAMES_AHEAD, ..Wishes::default() };
        Ok(Self { wishes: Mutex::new(wishes), wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock());
        // Fails only when the counter is full, and then the thread is awake anyway.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn credit(&self, frames: u32) {
        self.wish(|wishes| wishes.credits = wishes.credits.saturating_add(frames).min(OUTPUT_FRAMES_AHEAD));
    }

    /// Returns whether there was room.
    pub(crate) fn stdin(&self, bytes: Vec<u8>) -> bool {
        let room = self.lock().stdin.len() < STDIN_FRAMES_AHEAD as usize;
        if room {
            self.wish(|wishes| wishes.stdin.push_back(bytes));
        }
        room
    }

    pub(crate) fn stdin_end(&self) {
        self.wish(|wishes| wishes.stdin_end = true);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.wish(|wishes| {
            if wishes.signals.len() < SIGNALS_MAX {
                wishes.signals.push(signal);
            }
        });
    }

    pub(crate) fn resize(&self, size: WindowSize) {
        self.wish(|wishes| wishes.resize = Some(size));
    }

    pub(crate) fn cancel(&self) {
        self.wish(|wishes| wishes.cancelled = true);
    }
}
