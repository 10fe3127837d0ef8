//! A Docker daemon of the test's own, started by hand and ended by its number.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long dockerd may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Daemon {
    running: Option<(Child, TempDir)>,
    socket: PathBuf,
}

impl Daemon {
    /// No daemon: for backends that need none.
    pub(crate) fn none() -> Self {
        Self { running: None, socket: "/nonexistent".into() }
    }

    /// Starts dockerd with everything of its own, if it is installed.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        let socket = at("socket");
        let installed = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|place| place.join("dockerd").is_file());
        if !installed {
            return Self::none();
        }
        // With mounts of its own: other tests look at the host's.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "dockerd"]);
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(option).arg(at(name));
        }
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        let log = std::fs::File::create(at("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !socket.exists() {
            let ended = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(at("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "dockerd does not listen:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { running: Some((child, directory)), socket }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some((mut child, _directory)) = self.running.take() else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It takes its containerd along when it is asked to end, and its mounts go with its namespace.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = child.wait();
    }
}
