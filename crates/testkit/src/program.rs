//! The program under test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use hangar_protocol::{Refusal, api::ErrorBody};
use tokio::process::Command;

use crate::watch::within;

/// The program `hangar`: `HANGAR_BIN` where it is set, else the one that lies in the target directory of this test.
///
/// # Panics
/// When there is none, saying how to build it.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("HANGAR_BIN").filter(|path| !path.is_empty()) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "HANGAR_BIN names {}, which is not a file", named.display());
        return named;
    }
    let test = std::env::current_exe().expect("a test knows where it lies");
    // <target>/<profile>/deps/it-<hash>
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/<profile>/deps");
    let program = profile.join("hangar");
    assert!(
        program.is_file(),
        "{} is not there: build it with `cargo build --package hangar`, or name it in HANGAR_BIN",
        program.display()
    );
    program
}

/// How a command of the command line ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said beside that.
    pub err: String,
}

impl Ran {
    /// Runs a command to its end, with nothing on its standard input.
    pub async fn of(command: &mut Command) -> Self {
        Self::to_end(command.stdin(Stdio::null())).await
    }

    /// Runs a command to its end, with this file on its standard input.
    pub async fn reading(command: &mut Command, file: File) -> Self {
        Self::to_end(command.stdin(file)).await
    }

    async fn to_end(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = within(&format!("the end of {command:?}"), command.output()).await;
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it printed, once it ended well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The refusal that a command with `--json` ended with.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let found = self.err.lines().rev().find_map(|line| serde_json::from_str::<ErrorBody>(line).ok());
        let refusal = found.unwrap_or_else(|| panic!("no refusal in {self:?}")).error;
        assert_eq!(self.code, Some(i32::from(refusal.code.exit_status())), "the status fits the refusal: {self:?}");
        refusal
    }
}
