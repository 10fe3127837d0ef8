//! The machine's clock as this program sees it: ahead by so many seconds as the file says that `HANGAR_CLOCK_AHEAD_IN` names, behind where
//! they are negative. The file is read again and again, so that the clock jumps while the program runs.
//!
//! The C library asks the kernel for the time; a program's own function of that name is called in its place, by Rust's standard library too.

use std::{
    env,
    ffi::{OsString, c_int},
    fs,
    sync::atomic::{AtomicI64, Ordering},
    thread,
    time::Duration,
};

use rustix::time::{ClockId, Timespec, clock_gettime as ask_kernel};

const AHEAD_IN: &str = "HANGAR_CLOCK_AHEAD_IN";
/// How often the file is read.
const LOOK_EVERY: Duration = Duration::from_millis(10);

static AHEAD_S: AtomicI64 = AtomicI64::new(0);

/// Obeys the environment from now on.
pub(crate) fn as_told() {
    let Some(path) = env::var_os(AHEAD_IN) else { return };
    look(&path);
    thread::spawn(move || {
        loop {
            thread::sleep(LOOK_EVERY);
            look(&path);
        }
    });
}

fn look(path: &OsString) {
    // A file that is just being written says nothing.
    let ahead_s = fs::read_to_string(path).ok().and_then(|words| words.trim().parse().ok());
    if let Some(ahead_s) = ahead_s {
        AHEAD_S.store(ahead_s, Ordering::Relaxed);
    }
}

/// As in the C library.
#[allow(unsafe_code, reason = "it takes the place of the C library's function, which takes a pointer")]
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: c_int, now: *mut Timespec) -> c_int {
    let Ok(id) = ClockId::try_from(clock) else { return -1 };
    let mut time = ask_kernel(id);
    if matches!(id, ClockId::Realtime | ClockId::RealtimeCoarse) {
        time.tv_sec += AHEAD_S.load(Ordering::Relaxed);
    }
    // SAFETY: who calls the C library's function gives it a place for a time, and `Timespec` is laid out as that of the C library.
    unsafe { now.write(time) };
    0
}
