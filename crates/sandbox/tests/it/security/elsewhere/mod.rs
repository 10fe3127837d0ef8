//! Where another backend answers differently, and why that is as safe.
//!
//! Each line names one case, what comes of it there, and why nothing of the host is reached. A line must be true as it stands: the suite expects this answer
//! and no other, so a backend that begins to answer as `namespace` does makes its line fail, and it goes.

mod docker;
mod gvisor;
mod vm;

use hangar_sandbox::{Account, BackendKind};

use super::case::Who;

/// What comes of a case on another backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The call fails with this error.
    Errno(i32),
    /// The call succeeds, and what it changes is the sandbox's own.
    Allowed,
    /// The script prints this.
    Says(&'static str),
    /// The scene finds something, and says so in words that begin like this.
    Sees(&'static str),
}

/// One difference.
pub(crate) struct Elsewhere {
    pub case: &'static str,
    /// Who sees it.
    pub who: Seen,
    pub answer: Answer,
    /// Why it is as safe.
    pub why: &'static str,
}

/// Whether both accounts get this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Everybody,
    UserAlone,
    RootAlone,
}

/// The differences of a backend.
pub(crate) fn of(kind: BackendKind) -> &'static [Elsewhere] {
    match kind {
        BackendKind::Gvisor => gvisor::DIFFERENCES,
        BackendKind::Docker => docker::DIFFERENCES,
        BackendKind::Vm => vm::DIFFERENCES,
        BackendKind::Namespace => &[],
    }
}

/// What is expected of a case, if it is not what `namespace` does.
pub(crate) fn answer(kind: BackendKind, account: Account, case: &str) -> Option<Answer> {
    let meant = |seen: Seen| match (seen, account) {
        (Seen::Everybody, Account::Agent | Account::Builder)
        | (Seen::UserAlone, Account::Agent)
        | (Seen::RootAlone, Account::Builder) => true,
        (Seen::UserAlone, Account::Builder) | (Seen::RootAlone, Account::Agent) => false,
    };
    of(kind).iter().find(|difference| difference.case == case && meant(difference.who)).map(|found| found.answer)
}

/// Who tries a case on a backend, for the table.
pub(crate) fn accounts(kind: BackendKind, who: Who) -> &'static [Account] {
    match (kind, who) {
        (BackendKind::Docker, Who::Both | Who::Agent) | (_, Who::Agent) => &[Account::Agent],
        (BackendKind::Namespace | BackendKind::Gvisor | BackendKind::Vm, Who::Both) => {
            &[Account::Agent, Account::Builder]
        }
    }
}

#[test]
fn every_difference_is_of_one_case_and_says_why() {
    use std::collections::BTreeSet;

    use super::case::{Group, How};
    for kind in BackendKind::ALL {
        let mut seen = BTreeSet::new();
        for Elsewhere { case, who, answer, why } in of(kind) {
            let found = Group::ALL.iter().flat_map(|group| group.cases()).find(|each| each.id == *case);
            let found = found.unwrap_or_else(|| panic!("{kind:?}: there is no case {case}"));
            let fits = match (answer, found.how) {
                (Answer::Errno(_) | Answer::Allowed, How::Call(..)) | (Answer::Says(_), How::Script(..)) => true,
                (Answer::Sees(_), How::Scene(_)) => true,
                (Answer::Errno(_) | Answer::Allowed, How::Script(..) | How::Scene(_)) => false,
                (Answer::Says(_), How::Call(..) | How::Scene(_)) => false,
                (Answer::Sees(_), How::Call(..) | How::Script(..)) => false,
            };
            assert!(fits, "{kind:?}: {case} cannot be answered by {answer:?}");
            assert!(why.split(' ').count() > 5, "{kind:?}: {case} does not say why");
            assert!(seen.insert((*case, format!("{who:?}"))), "{kind:?}: {case} stands there twice");
            assert!(*who == Seen::Everybody || !seen.contains(&(*case, "Everybody".into())), "{kind:?}: {case}");
        }
    }
}
