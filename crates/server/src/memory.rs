//! Memory that is free goes back to the system.
//!
//! The C library keeps what was freed as long as pages in use lie around it: a thousand sessions that were awake for a moment would leave
//! more than 100 MiB behind. `malloc_trim(3)` gives it back. That takes 0.3 ms where there is little to give, and 20 ms for 100 MiB.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often what is free is given back.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(10);
/// Places from which threads take memory, at most. glibc makes up to eight for each core; what lies free in one is no use to the others.
#[cfg(target_env = "gnu")]
const ARENAS_MAX: libc::c_int = 2;

/// Has threads share memory. To be called before there are any.
pub(crate) fn share() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "the C library has no safe interface")]
    // SAFETY: it changes a number that is read when a thread first takes memory (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX);
    }
}

/// Gives memory back again and again, until `stop`.
pub(crate) async fn look_after(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(GIVE_BACK_EVERY)).await.is_some() {
        let _panicked = tokio::task::spawn_blocking(give_back).await;
    }
}

/// Gives back what is free at this moment. Other C libraries do so by themselves, or have no way to.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "the C library has no safe interface")]
    // SAFETY: it is handed nothing, and may be called by any thread at any time (malloc_trim(3): MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back the pages of something that stands in the program's file and is not needed for now: the kernel reads them again when it is.
pub(crate) fn give_back_pages(constant: &'static [u8]) {
    let page = rustix::param::page_size();
    let begin = constant.as_ptr().align_offset(page);
    let Some(whole) = constant.len().checked_sub(begin).map(|rest| rest - rest % page).filter(|bytes| *bytes > 0)
    else {
        return;
    };
    #[allow(unsafe_code, reason = "pages of the program are taken out of its memory")]
    // SAFETY: the pages lie wholly within a constant, which is mapped from the program's file and never written: what is read of them afterwards is
    // the same (madvise(2), MADV_DONTNEED).
    let given = unsafe {
        rustix::mm::madvise(constant[begin..].as_ptr().cast_mut().cast(), whole, rustix::mm::Advice::LinuxDontNeed)
    };
    if let Err(error) = given {
        tracing::debug!(%error, "pages of the program could not be given back");
    }
}

#[cfg(all(test, target_env = "gnu"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::{give_back, give_back_pages};

    const BLOCK_BYTES: usize = 1000;
    const BLOCKS: usize = 100_000;
    /// One block in so many stays in use: far less than one on every page.
    const KEPT_EVERY: usize = 100;

    fn anonymous_kib() -> usize {
        kib("RssAnon:")
    }

    fn kib(name: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn what_lies_free_between_memory_in_use_is_given_back() {
        let mut blocks: Vec<Option<Vec<u8>>> = (0..BLOCKS).map(|_| Some(vec![1; BLOCK_BYTES])).collect();
        for (number, block) in blocks.iter_mut().enumerate() {
            if number % KEPT_EVERY != 0 {
                *block = None;
            }
        }
        let before = anonymous_kib();
        give_back();
        let after = anonymous_kib();
        assert!(after + BLOCKS * BLOCK_BYTES / 1024 / 2 < before, "{before} KiB before, {after} KiB after");
        assert_eq!(blocks.iter().flatten().count(), BLOCKS / KEPT_EVERY);
    }

    #[test]
    fn a_constant_is_the_same_after_its_pages_were_given_back() {
        // This test's own program is what it looks at: some of it that nobody else reads at the moment.
        static LARGE: [u8; 4 << 20] = [7; 4 << 20];
        let read = || std::hint::black_box(&LARGE).iter().step_by(512).map(|byte| usize::from(*byte)).sum::<usize>();
        let sum = read();
        let before = kib("RssFile:");
        give_back_pages(&LARGE);
        let after = kib("RssFile:");
        assert!(after + 3 * 1024 < before, "{before} KiB before, {after} KiB after");
        assert_eq!(read(), sum);
    }
}
