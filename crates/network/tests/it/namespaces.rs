//! Network namespaces of a test. They are held by descriptors alone, so they vanish with the test, however it ends.

#![allow(unsafe_code, reason = "the kernel is asked for namespaces")]

use std::{
    fs::File,
    future::Future,
    os::fd::AsFd,
    process::{Command, Output},
    sync::Arc,
    thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// A network namespace.
#[derive(Clone)]
pub(crate) struct Namespace(Arc<File>);

const INSIDE: &str = "HANGAR_TEST_IN_OWN_NAMESPACE";

/// Runs a test in new namespaces: in this process as root, in a child that is root of its own user namespace otherwise.
pub(crate) fn in_own_network<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let root = rustix::process::geteuid().is_root();
    if !root && std::env::var_os(INSIDE).is_none() {
        return again_as_own_root();
    }
    enter_new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    runtime.block_on(test());
}

fn again_as_own_root() {
    let name = thread::current().name().unwrap().to_owned();
    let status = Command::new("unshare")
        .args(["-Urn", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("these tests need root, or unshare(1) and user namespaces that are not switched off");
    assert!(status.success(), "{name} in a user namespace of its own");
}

fn enter_new() {
    // SAFETY: a new network namespace for this thread; descriptors and memory stay shared as they are.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a network namespace");
}

impl Namespace {
    /// The one this thread is in.
    pub(crate) fn current() -> Self {
        Self(Arc::new(File::open("/proc/thread-self/ns/net").unwrap()))
    }

    /// A new one, with loopback up.
    pub(crate) fn new() -> Self {
        let made = thread::spawn(|| {
            enter_new();
            ip("link set lo up");
            Self::current()
        });
        made.join().unwrap()
    }

    /// Runs something on a thread of its own in this namespace, and waits.
    pub(crate) fn on<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn(work).join().unwrap()
    }

    /// The same without blocking the test's runtime.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let own = self.clone();
        tokio::task::spawn_blocking(move || own.on(work)).await.unwrap()
    }

    /// Begins something on a thread of its own in this namespace.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        let own = self.clone();
        thread::spawn(move || {
            own.enter();
            work()
        })
    }

    fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// The path by which `ip` finds it.
    pub(crate) fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Runs `ip` in this thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip(8), of the package iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a program said.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
