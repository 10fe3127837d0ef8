//! Landlock: where in the file system anything can be written, whatever owners and modes say.
//!
//! The rules name the places of a sandbox, not its files, so that making them costs some dozen system calls. They stand beside what mounts and modes already say:
//! a hole in an overlay, a mount that is writable by mistake or a right gained by a set-user-id program does not reach past them. Inside a
//! Landlock domain no mount can be changed at all, and from kernel 6.12 on no abstract socket and no process outside can be addressed.
//!
//! The rules for files bind commands, by the thread they are forked from (`starter.rs`). The guest itself, hangar's own program, does with files what the host asks; it is held by
//! mounts, owners and modes. It cannot be given even a weak set of its own: below any set that does not name the root, files cannot be moved between directories.
//!
//! A kernel without Landlock, or with an older one, gets what it knows; `hangar doctor` says what that is.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use hangar_protocol::guest::Account;

use crate::fault::SetupError;

/// The newest interface whose rights were looked at. What a later kernel adds is not handled until somebody has.
const KNOWN: ABI = ABI::V7;

/// Where an agent writes. `/var` is for services that an image brings (a database's directory); owners decide there.
const WRITABLE: &[&str] = &["/workspace", "/home/agent", "/tmp", "/run", "/dev/shm", "/var"];
/// Written to, but nothing is made there: devices, terminals, and what a process says about itself.
const WRITABLE_FILES: &[&str] = &["/dev", "/proc"];

/// Restricts this thread and everything it will start to what the account may do in the root that is mounted now.
pub(super) fn restrict_commands(account: Account) -> Result<(), SetupError> {
    restrict(rules(account))
}

fn restrict(rules: Result<RulesetCreated, RulesetError>) -> Result<(), SetupError> {
    rules
        .and_then(RulesetCreated::restrict_self)
        .map(|_| ())
        .map_err(SetupError::at("restrict the file system (Landlock)"))
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()
}

fn in_files() -> BitFlags<AccessFs> {
    AccessFs::from_read(KNOWN) | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev
}

fn rules(account: Account) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::from_read(KNOWN);
    let rules = ruleset()?;
    match account {
        Account::Agent => {
            let rules = beneath(rules, &["/"], read)?;
            let rules = beneath(rules, WRITABLE_FILES, in_files())?;
            beneath(rules, WRITABLE, (read | AccessFs::from_write(KNOWN)) & !devices())
        }
        // Package managers write everywhere in the tree that is being built; devices they cannot make either.
        Account::Builder => {
            let rules = beneath(rules, &["/"], (read | AccessFs::from_write(KNOWN)) & !devices())?;
            beneath(rules, WRITABLE_FILES, in_files())
        }
    }
}

/// Rights to make device files, which nobody has; and to send orders to them, which is for `/dev` alone.
fn devices() -> BitFlags<AccessFs> {
    AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev
}

/// Places that a sandbox does not have need no rule.
fn beneath(
    mut rules: RulesetCreated,
    paths: &[&str],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    for path in paths {
        if let Ok(place) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(place, access))?;
        }
    }
    Ok(rules)
}
