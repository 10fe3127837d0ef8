//! What goes between the guest and a supervisor. Both ends are the same program.
#![allow(unsafe_code, reason = "a struct of numbers travels as it lies in memory")]

use std::ptr;

use hangar_protocol::guest::setup::ProcessLimits;

/// The command has this process id.
pub(super) const STARTED: i32 = 1;
/// The working directory cannot be entered: error number.
pub(super) const NO_DIRECTORY: i32 = 2;
/// No program could be executed: error number.
pub(super) const NO_PROGRAM: i32 = 3;
/// The command has ended, and something is left of it: wait status.
pub(super) const ENDED: i32 = 4;
/// The command has ended and nothing is left: wait status.
pub(super) const ENDED_ALONE: i32 = 5;
/// Another supervisor was forked, whose socket comes along: process id.
pub(super) const ANOTHER: i32 = 6;

/// An order; the strings follow it. It travels as it lies in memory: numbers of one size, with nothing between them.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub text_bytes: usize,
    pub programs: usize,
    pub argv: usize,
    pub env: usize,
    /// 1 where standard input is a terminal.
    pub terminal: usize,
    /// A [`Next`].
    pub next: usize,
    pub limits: ProcessLimits,
}

/// Whether another supervisor is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Fork,
    IsThere,
}

impl Order {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: reads the struct's own bytes, all of which are parts of numbers.
        unsafe { std::slice::from_raw_parts(ptr::from_ref(self).cast(), size_of::<Self>()) }
    }

    /// How many pointers the kernel wants: each list ends with a null.
    pub(super) const fn pointers(&self) -> usize {
        self.programs + 1 + self.argv + 1 + self.env + 1
    }
}

/// One of the messages above, as it travels.
pub(super) fn notice(kind: i32, value: i32) -> [u8; 8] {
    let mut bytes = [0u8; 8];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..].copy_from_slice(&value.to_ne_bytes());
    bytes
}
