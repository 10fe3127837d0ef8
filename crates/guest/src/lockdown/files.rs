//! Landlock: where in the file system anything can be written, whatever owners and modes say.
//!
//! The rules name the places of a sandbox, not its files, so that making them costs some dozen system calls. They stand beside what mounts and modes already say:
//! a hole in an overlay, a mount that is writable by mistake or a right gained by a set-user-id program does not reach past them. Inside a
//! Landlock domain no mount can be changed at all, and from kernel 6.12 on no abstract socket and no process outside can be addressed.
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

/// Restricts this process and everything it will start.
pub(super) fn restrict(account: Account) -> Result<(), SetupError> {
    rules(account)
        .and_then(RulesetCreated::restrict_self)
        .map(|_| ())
        .map_err(SetupError::at("restrict the file system (Landlock)"))
}

fn rules(account: Account) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::from_read(KNOWN);
    let in_files = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    match account {
        Account::Agent => {
            let rules = beneath(rules, &["/"], read)?;
            let rules = beneath(rules, WRITABLE_FILES, read | in_files)?;
            beneath(rules, WRITABLE, (read | AccessFs::from_write(KNOWN)) & !devices())
        }
        // Package managers write everywhere in the tree that is being built; devices they cannot make either.
        Account::Builder => {
            let rules = beneath(rules, &["/"], (read | AccessFs::from_write(KNOWN)) & !devices())?;
            beneath(rules, WRITABLE_FILES, read | in_files)
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
