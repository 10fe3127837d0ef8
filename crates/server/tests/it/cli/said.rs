//! Runs the program and keeps what it said.

use std::process::{Command, Output, Stdio};

use crate::hangar::Hangar;

/// The program, knowing no server and no person.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hangar"));
    for variable in ["HANGAR_URL", "HANGAR_TOKEN", "HANGAR_CONFIG", "XDG_CONFIG_HOME", "NO_COLOR", "CLICOLOR_FORCE"] {
        program.env_remove(variable);
    }
    program.env("HOME", "/nonexistent").env("PWD", "/").current_dir("/").stdin(Stdio::null());
    program
}

/// The program, as the owner of a running server.
pub(crate) fn owner(hangar: &Hangar) -> Command {
    let mut program = program();
    program.env("HANGAR_URL", &hangar.owner.url).env("HANGAR_TOKEN", &hangar.owner.token);
    program
}

/// What the program said, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code(),
        }
    }
}

/// Runs the program to its end, while the server in this process goes on.
pub(crate) async fn said(mut program: Command) -> Said {
    tokio::task::spawn_blocking(move || program.output().unwrap().into()).await.unwrap()
}

/// Runs it as the owner; it must succeed. Gives standard output.
pub(crate) async fn done(hangar: &Hangar, arguments: &[&str]) -> String {
    let mut program = owner(hangar);
    program.args(arguments);
    let said = said(program).await;
    assert_eq!(said.status, Some(0), "{arguments:?}: {said:#?}");
    said.out
}

/// Runs it as the owner; it must end with this status. Gives standard error.
pub(crate) async fn refused(hangar: &Hangar, arguments: &[&str], status: i32) -> String {
    let mut program = owner(hangar);
    program.args(arguments);
    let said = said(program).await;
    assert_eq!(said.status, Some(status), "{arguments:?}: {said:#?}");
    said.err
}
