//! Things on the host that no sandbox may see, reach or change.
#![allow(unsafe_code, reason = "keyrings have no safe wrapper")]

use std::{
    fs,
    io::ErrorKind,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::MetadataExt,
            net::{SocketAddr, UnixListener},
        },
    },
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

/// Settings through which the kernel takes orders, and what they were.
const SETTINGS: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/swappiness",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    "/sys/kernel/uevent_helper",
];

/// The canaries. Each has the same secret, which must appear nowhere inside.
pub(crate) struct Canaries {
    pub secret: String,
    /// Name of the abstract socket, and of the key.
    pub name: String,
    directory: TempDir,
    process: Child,
    path_socket: UnixListener,
    abstract_socket: UnixListener,
    file_before: (u64, i64, i64, u32),
    settings_before: Vec<Option<String>>,
    clock_before: i128,
    key: i64,
}

const KEY_SPEC_SESSION_KEYRING: libc::c_long = -3;

impl Canaries {
    pub(crate) fn place() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hangar-canary-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let secret = format!("{name}-sings-at-dawn");
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("flag");
        fs::write(&file, &secret).unwrap();
        let process = Command::new("sleep").arg("600").env("CANARY", &secret).spawn().unwrap();
        let path_socket = UnixListener::bind(directory.path().join("socket")).unwrap();
        let abstract_socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        path_socket.set_nonblocking(true).unwrap();
        abstract_socket.set_nonblocking(true).unwrap();
        let description = std::ffi::CString::new(name.as_str()).unwrap();
        // SAFETY: three strings and a length that belong together; the key is this process's.
        let key = unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                description.as_ptr(),
                secret.as_ptr(),
                secret.len(),
                KEY_SPEC_SESSION_KEYRING,
            )
        };
        Self {
            file_before: witness(&file),
            secret,
            name,
            directory,
            process,
            path_socket,
            abstract_socket,
            settings_before: settings(),
            clock_before: clock(),
            key,
        }
    }

    /// The path of the secret file, as the host knows it.
    pub(crate) fn file(&self) -> String {
        self.directory.path().join("flag").to_string_lossy().into_owned()
    }

    pub(crate) fn socket(&self) -> String {
        self.directory.path().join("socket").to_string_lossy().into_owned()
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// That everything is as it was, and no mount from below `place` shows.
    pub(crate) fn untouched(&mut self, place: &std::path::Path) -> Result<(), String> {
        let file = self.directory.path().join("flag");
        if fs::read_to_string(&file).ok().as_ref() != Some(&self.secret) || witness(&file) != self.file_before {
            return Err("the secret file was changed".into());
        }
        if self.process.try_wait().map_err(|error| error.to_string())?.is_some() {
            return Err("the process of the host has ended".into());
        }
        for (name, socket) in [("path", &self.path_socket), ("abstract", &self.abstract_socket)] {
            match socket.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return Err(format!("somebody came to the {name} socket: {other:?}")),
            }
        }
        if let Some((setting, (before, now))) =
            SETTINGS.iter().zip(self.settings_before.iter().zip(settings())).find(|(_, (before, now))| **before != *now)
        {
            return Err(format!("{setting} was {before:?} and is {now:?}"));
        }
        if (clock() - self.clock_before).abs() > 5_000 {
            return Err("the clock was moved".into());
        }
        let mut read = vec![0u8; 256];
        const KEYCTL_READ: libc::c_long = 11;
        // SAFETY: the buffer is as large as is said.
        let size = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_READ, self.key, read.as_mut_ptr(), read.len()) };
        let kept = usize::try_from(size).ok().and_then(|size| read.get(..size)) == Some(self.secret.as_bytes());
        // A kernel without keyrings never took it.
        if self.key > 0 && !kept {
            return Err("the key was changed".into());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let place = place.to_string_lossy();
        if let Some(line) = mounts.lines().find(|line| line.contains(place.trim_end_matches('/'))) {
            return Err(format!("a mount shows on the host: {line}"));
        }
        Ok(())
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        const KEYCTL_UNLINK: libc::c_long = 9;
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_UNLINK, self.key, KEY_SPEC_SESSION_KEYRING) };
    }
}

fn witness(file: &std::path::Path) -> (u64, i64, i64, u32) {
    fs::metadata(file).map_or((0, 0, 0, 0), |meta| (meta.ino(), meta.mtime_nsec(), meta.ctime_nsec(), meta.mode()))
}

fn settings() -> Vec<Option<String>> {
    SETTINGS.iter().map(|path| fs::read_to_string(path).ok()).collect()
}

/// Milliseconds between the wall's clock and the one that cannot be set.
fn clock() -> i128 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    i128::try_from(wall).unwrap() - i128::from(up.tv_sec) * 1000 - i128::from(up.tv_nsec) / 1_000_000
}
