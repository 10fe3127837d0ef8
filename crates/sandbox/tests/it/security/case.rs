//! What a case of the security suite is.

use futures::future::BoxFuture;

use super::arena::Arena;

/// The seven groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Escape,
    Kernel,
    Resources,
    Leaks,
    Files,
    Network,
    Life,
}

impl Group {
    pub(crate) const ALL: [Self; 7] =
        [Self::Escape, Self::Kernel, Self::Resources, Self::Leaks, Self::Files, Self::Network, Self::Life];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Escape => "Escape",
            Self::Kernel => "Kernel surface",
            Self::Resources => "Resources",
            Self::Leaks => "Leaks",
            Self::Files => "Files in and out",
            Self::Network => "Network",
            Self::Life => "Lifecycle",
        }
    }

    pub(crate) fn cases(self) -> &'static [Case] {
        match self {
            Self::Escape => super::escape::CASES,
            Self::Kernel => super::kernel::CASES,
            Self::Resources => super::resources::CASES,
            Self::Leaks => super::leaks::CASES,
            Self::Files => super::files::CASES,
            Self::Network => super::network::CASES,
            Self::Life => super::life::CASES,
        }
    }
}

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The sandbox's user and the sandbox's root.
    Both,
    /// The user alone: the sandbox's root may do it to its own sandbox.
    Agent,
}

/// One thing that is tried.
pub(crate) struct Case {
    pub id: &'static str,
    /// A CVE, a known way, or the document that asks for it.
    pub source: &'static str,
    /// What is tried, for the table in the docs.
    pub tries: &'static str,
    pub who: Who,
    pub how: How,
}

/// How it is tried, and what must come of it.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// One system call (a line for `attempt`), which must fail with this error. Its arguments are such that a kernel without the guard answers otherwise.
    Call(&'static str, i32),
    /// A shell script that must print this.
    Script(&'static str, &'static str),
    /// A scene of its own, between sandbox and host.
    Scene(Scene),
}

/// Says what went wrong, if anything.
pub(crate) type Scene = for<'a> fn(&'a Arena) -> BoxFuture<'a, Result<(), String>>;

impl Case {
    pub(crate) const fn call(
        id: &'static str,
        source: &'static str,
        tries: &'static str,
        line: &'static str,
        error: i32,
    ) -> Self {
        Self { id, source, tries, who: Who::Both, how: How::Call(line, error) }
    }

    pub(crate) const fn script(
        id: &'static str,
        source: &'static str,
        tries: &'static str,
        script: &'static str,
        says: &'static str,
    ) -> Self {
        Self { id, source, tries, who: Who::Both, how: How::Script(script, says) }
    }

    pub(crate) const fn scene(id: &'static str, source: &'static str, tries: &'static str, scene: Scene) -> Self {
        Self { id, source, tries, who: Who::Both, how: How::Scene(scene) }
    }

    /// The sandbox's root may do this.
    pub(crate) const fn agent_only(mut self) -> Self {
        self.who = Who::Agent;
        self
    }

    /// What must happen, for the table in the docs.
    pub(crate) fn outcome(&self) -> String {
        match self.how {
            How::Call(_, error) => error_name(error).to_owned(),
            How::Script(..) | How::Scene(_) => "no effect".to_owned(),
        }
    }
}

pub(crate) fn error_name(error: i32) -> &'static str {
    match error {
        libc::EPERM => "EPERM",
        libc::EACCES => "EACCES",
        libc::ENOSYS => "ENOSYS",
        libc::EINVAL => "EINVAL",
        libc::ENOTTY => "ENOTTY",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        _ => "refused",
    }
}
