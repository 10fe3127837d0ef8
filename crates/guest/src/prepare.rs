//! From a request to something that can be launched: strings as the kernel wants them, pipes or a terminal.

use std::{ffi::CString, fs::File, io, os::fd::OwnedFd, path::Path};

use hangar_protocol::guest::{ExecRequest, Failure, FailureKind, Program, StdinMode, WindowSize};
use rustix::{
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{exec::Context, files::resolve, spawn::Launch};

/// The host's ends of a command's streams.
pub(crate) struct Ends {
    pub stdin: Option<File>,
    pub stdout: Option<File>,
    pub stderr: Option<File>,
    pub terminal: Option<OwnedFd>,
}

/// Why there is nothing to launch.
pub(crate) enum Unready {
    Invalid(Failure),
    System(io::Error),
}

impl From<rustix::io::Errno> for Unready {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

impl From<std::ffi::NulError> for Unready {
    fn from(_: std::ffi::NulError) -> Self {
        let message = "an argument, a variable or a path contains a zero byte".into();
        Self::Invalid(Failure { kind: FailureKind::Invalid, message })
    }
}

pub(crate) fn prepare(request: &ExecRequest, context: &Context<'_>) -> Result<(Ends, Launch), Unready> {
    let mut env = context.env.clone();
    env.extend(request.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    let argv = match &request.program {
        Program::Argv(argv) => argv.clone(),
        Program::Shell(script) => {
            let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
            vec![shell.into(), "-c".into(), script.clone()]
        }
    };
    let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
        return Err(Unready::Invalid(Failure {
            kind: FailureKind::Invalid,
            message: "there is no program to run".into(),
        }));
    };
    let programs = if name.contains('/') {
        vec![CString::new(name.as_str())?]
    } else {
        let path = env.get("PATH").map_or("/usr/bin:/bin", String::as_str);
        path.split(':').map(|directory| CString::new(format!("{directory}/{name}"))).collect::<Result<_, _>>()?
    };
    let (ends, [stdin, stdout, stderr]) = match request.pty {
        Some(size) => terminal(size)?,
        None => pipes(request.stdin)?,
    };
    let launch = Launch {
        programs,
        argv: argv.iter().map(|argument| CString::new(argument.as_str())).collect::<Result<_, _>>()?,
        env: env.iter().map(|(name, value)| CString::new(format!("{name}={value}"))).collect::<Result<_, _>>()?,
        cwd: CString::new(resolve(&request.cwd).into_os_string().into_encoded_bytes())?,
        stdin,
        stdout,
        stderr,
        terminal: request.pty.is_some(),
        limits: context.limits(),
    };
    Ok((ends, launch))
}

fn terminal(size: WindowSize) -> Result<(Ends, [OwnedFd; 3]), Unready> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    tcsetwinsize(&master, winsize(size))?;
    let child = match ioctl_tiocgptpeer(&master, flags) {
        // gVisor's kernel does not know this call; there the terminal is opened by its name.
        Err(rustix::io::Errno::NOTTY) => {
            rustix::fs::open(ptsname(&master, vec![])?, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?
        }
        other => other?,
    };
    let copy = || rustix::io::fcntl_dupfd_cloexec(&master, 3);
    let ends = Ends { stdin: Some(copy()?.into()), stdout: Some(copy()?.into()), stderr: None, terminal: Some(master) };
    let child_copy = || rustix::io::fcntl_dupfd_cloexec(&child, 3);
    Ok((ends, [child_copy()?, child_copy()?, child]))
}

pub(crate) fn winsize(size: WindowSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn pipes(mode: StdinMode) -> Result<(Ends, [OwnedFd; 3]), Unready> {
    let (stdout, stdout_child) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_child) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stdin, stdin_child) = match mode {
        StdinMode::Null => (None, rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?),
        StdinMode::Piped => {
            let (child, host) = pipe_with(PipeFlags::CLOEXEC)?;
            (Some(host.into()), child)
        }
    };
    let ends = Ends { stdin, stdout: Some(stdout.into()), stderr: Some(stderr.into()), terminal: None };
    Ok((ends, [stdin_child, stdout_child, stderr_child]))
}
