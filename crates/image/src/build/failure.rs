//! Why there is no new image.

use serde::{Deserialize, Serialize};

/// Why a build failed, for whoever can mend it. The last good image stays in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFailure {
    /// What was being done: a step's name, or hangar's own word.
    pub step: String,
    /// What happened and what to do now.
    pub what: String,
    /// How the step's script ended, where it was a script.
    pub exit: Option<Exit>,
    /// The line of the script and the command in it that failed, where they are known.
    pub at: Option<FailedLine>,
    /// What it said last.
    pub last_lines: Vec<String>,
    /// Whether building again could help without anything being changed.
    pub passing: Passing,
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Its time was up.
    TimedOut,
}

/// A command of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLine {
    /// Counted from 1.
    pub line: u32,
    /// As the shell read it.
    pub command: String,
}

/// Whether building again could help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passing {
    /// The same commit will probably fail again: tried again at growing intervals.
    Lasting,
    /// The machine was in the way (no space, too many sandboxes, cancelled).
    Passing,
}

impl BuildFailure {
    /// The repository's own fault, found before a step ran.
    pub(crate) fn lasting(step: impl Into<String>, what: impl ToString) -> Self {
        Self::new(step, what, Passing::Lasting)
    }

    /// Something on this machine.
    pub(crate) fn passing(step: impl Into<String>, what: impl ToString) -> Self {
        Self::new(step, what, Passing::Passing)
    }

    /// A file or directory of this machine that cannot be used.
    pub(crate) fn of_disk(step: impl Into<String>, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::passing(step, "the disk is full; free some space, the build is tried again")
            }
            _ => Self::passing(step, error),
        }
    }

    fn new(step: impl Into<String>, what: impl ToString, passing: Passing) -> Self {
        let what = what.to_string();
        Self { step: step.into(), what, exit: None, at: None, last_lines: Vec::new(), passing }
    }
}

impl BuildFailure {
    /// What happened, without what was said last: a line, as a rule.
    #[must_use]
    pub fn summary(&self) -> String {
        let at = self.at.as_ref().map(|FailedLine { line, command }| format!(" (line {line}: {command})"));
        format!("{}: {}{}", self.step, self.what, at.unwrap_or_default())
    }
}

impl std::fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.summary())?;
        self.last_lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
