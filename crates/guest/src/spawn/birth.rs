//! From an order to a running command.
#![allow(unsafe_code, reason = "fork and exec with full control over descriptors, session and terminal")]

use std::{mem::MaybeUninit, ptr};

use super::{
    order::{NO_DIRECTORY, NO_PROGRAM, Order},
    supervisor::{LAST_FD, STDIO, read_whole},
};
use crate::{
    guard::{Guard, stands},
    kernel,
};

/// Stack of a command between its birth and its exec.
const BIRTH_STACK_BYTES: usize = 64 * 1024;

/// The strings of an order in a mapping of their own, with the lists of pointers that the kernel wants before them.
pub(super) struct Strings {
    mapping: *mut libc::c_void,
    bytes: usize,
    programs: *const *const libc::c_char,
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
}

impl Strings {
    pub(super) unsafe fn receive(order: &Order) -> Option<Self> {
        let table = order.pointers() * size_of::<*const libc::c_char>();
        let bytes = table + order.text_bytes;
        // SAFETY: a fresh mapping, in which the table and the text lie one after the other.
        unsafe {
            let mapping = libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if mapping == libc::MAP_FAILED {
                return None;
            }
            let text = std::slice::from_raw_parts_mut(mapping.cast::<u8>().add(table), order.text_bytes);
            if !read_whole(text) {
                return None;
            }
            let mut at = mapping.cast::<*const libc::c_char>();
            let mut strings = text.split_inclusive(|byte| *byte == 0).map(|string| string.as_ptr().cast());
            let mut list = |count: usize| {
                let list = at;
                // The mapping was full of zeros, so that a null stands behind each list.
                for string in strings.by_ref().take(count) {
                    *at = string;
                    at = at.add(1);
                }
                at = list.add(count + 1);
                list.cast_const()
            };
            let (programs, argv, env) = (list(order.programs), list(order.argv), list(order.env));
            let cwd = strings.next()?;
            Some(Self { mapping, bytes, programs, argv, env, cwd })
        }
    }

    pub(super) unsafe fn forget(self) {
        // SAFETY: nothing points into it any more: the command has memory of its own.
        unsafe { libc::munmap(self.mapping, self.bytes) };
    }
}

/// What a command is given on its way to its exec, and why it did not get there. It shares the supervisor's memory until then.
struct Birth<'a> {
    order: &'a Order,
    strings: &'a Strings,
    refused: Option<(i32, i32)>,
}

/// Makes the command and waits until it has its own program, or has failed to get it. Returns its process id, and what failed with its error number.
pub(super) unsafe fn bear(order: &Order, strings: &Strings) -> (libc::pid_t, Option<(i32, i32)>) {
    let mut birth = Birth { order, strings, refused: None };
    let mut stack = [MaybeUninit::<u8>::uninit(); BIRTH_STACK_BYTES];
    // SAFETY: the child runs on this stack while this process stands still (CLONE_VFORK); `birth` lives longer than that.
    unsafe {
        // The stack grows downwards from an address that the ABI wants to be a multiple of 16.
        let top = stack.as_mut_ptr_range().end;
        let top = top.sub(top.addr() % 16);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let command = libc::clone(become_command, top.cast(), flags, (&raw mut birth).cast());
        if command < 0 {
            return (command, Some((NO_PROGRAM, *libc::__errno_location())));
        }
        (command, birth.refused)
    }
}

/// Between the command's birth and its exec.
extern "C" fn become_command(birth: *mut libc::c_void) -> libc::c_int {
    // SAFETY: async-signal-safe calls; the pointer is `bear`'s, who waits.
    unsafe {
        let birth = &mut *birth.cast::<Birth<'_>>();
        let (order, strings) = (birth.order, birth.strings);
        libc::setsid();
        // The socket's number becomes standard input's; each goes down by one.
        for (to, from) in (0..).zip(STDIO) {
            libc::dup2(from, to);
        }
        if order.terminal == 1 {
            kernel::take_terminal(0);
        }
        if stands(Guard::CloseDescriptors) {
            libc::close_range(3, LAST_FD, 0);
        } else {
            // A copy without the flag, as a forgotten one would be.
            libc::dup(0);
        }
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        kernel::limit_resource(libc::RLIMIT_NOFILE, order.limits.open_files);
        kernel::limit_resource(libc::RLIMIT_FSIZE, order.limits.file_bytes);
        if libc::chdir(strings.cwd) != 0 {
            birth.refused = Some((NO_DIRECTORY, *libc::__errno_location()));
            libc::_exit(126);
        }
        let mut reason = libc::ENOENT;
        let mut program = strings.programs;
        while !(*program).is_null() {
            libc::execve(*program, strings.argv, strings.env);
            let error = *libc::__errno_location();
            // Like a shell: go on looking, but remember a file that was there and could not be run.
            if error != libc::ENOENT && error != libc::ENOTDIR {
                reason = error;
            }
            program = program.add(1);
        }
        birth.refused = Some((NO_PROGRAM, reason));
        libc::_exit(127)
    }
}
