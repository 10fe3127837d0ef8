//! From the root of a user namespace to the sandbox's user, who can do nothing special, and for good.
//!
//! What is given up, in this order: the host's keyring, the capabilities, the way to new privileges, the host's life being outlived, most of the
//! file system ([`files`], Landlock) and most of the kernel ([`filter`], system calls). Each would hold back an ordinary attack alone;
//! docs/security.md lists which test fails without which.

mod calls;
mod files;
mod filter;

use std::sync::LazyLock;

use hangar_protocol::guest::{AGENT_ID, Account, setup::IdMapping};
use rustix::{
    process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};
use seccompiler::BpfProgram;

use crate::{
    fault::SetupError,
    guard::{Guard, stands},
    kernel,
};

/// What a builder keeps, in its own user namespace alone: what `apt`, `dpkg`, `pip` and `npm` need to install files for other users of the sandbox.
const BUILDER: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SYS_CHROOT);

static AGENTS_FILTER: LazyLock<BpfProgram> = LazyLock::new(|| filter::program(Account::Agent));
static BUILDERS_FILTER: LazyLock<BpfProgram> = LazyLock::new(|| filter::program(Account::Builder));

fn capabilities(account: Account) -> CapabilitySet {
    match account {
        Account::Agent => CapabilitySet::empty(),
        Account::Builder => BUILDER,
    }
}

fn program(account: Account) -> &'static BpfProgram {
    match account {
        Account::Agent => &AGENTS_FILTER,
        Account::Builder => &BUILDERS_FILTER,
    }
}

/// Does ahead of a claim what can be done before it is known who will be inside.
pub(crate) fn prepare() {
    LazyLock::force(&AGENTS_FILTER);
    LazyLock::force(&BUILDERS_FILTER);
}

/// Gives up everything. Called while the process has one thread and is in the sandbox's root; every command inherits it.
pub(crate) fn apply(ids: IdMapping, account: Account) -> Result<(), SetupError> {
    if stands(Guard::Keyring) {
        kernel::own_keyring();
    }
    if stands(Guard::Capabilities) {
        become_account(ids, account)?;
    }
    if stands(Guard::NoNewPrivileges) {
        set_no_new_privs(true).map_err(SetupError::at("set no_new_privs"))?;
    }
    // A change of ids clears this, so it is asked for again; without it only the closed socket would tell of the host's end.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    if stands(Guard::NotDumpable) {
        // Commands have the same user id; this keeps them from tracing, reading or reopening what the guest holds.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SetupError::at("become undumpable"))?;
    } else {
        // A change of ids has made it so already.
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(SetupError::at("become dumpable"))?;
    }
    kernel::ignore(libc::SIGXFSZ);
    kernel::ignore(libc::SIGPIPE);
    if !stands(Guard::Seccomp) {
        return Ok(());
    }
    seccompiler::apply_filter(program(account)).map_err(|error| {
        SetupError::new(format!("cannot install the system call filter ({error}); see `hangar doctor`"))
    })
}

/// Takes the account's ids and keeps its capabilities alone.
fn become_account(ids: IdMapping, account: Account) -> Result<(), SetupError> {
    let kept = capabilities(account);
    kernel::bound_capabilities(kept.bits()).map_err(SetupError::at("drop the bounding set"))?;
    match (ids, account) {
        (IdMapping::Range, Account::Agent) => become_agent()?,
        // Id 0 is what a builder is, and the one id there is has been the account's from the beginning.
        (IdMapping::Range, Account::Builder) | (IdMapping::Single, Account::Agent | Account::Builder) => {}
    }
    match clear_ambient_capability_set() {
        // A kernel without ambient capabilities (gVisor's) has none to clear.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(SetupError::at("clear ambient capabilities")(error)),
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(SetupError::at("drop capabilities"))
}

/// Bounds this thread, and every command that is forked from it, to what the account may do with files.
pub(crate) fn bind_commands(account: Account) -> Result<(), SetupError> {
    if stands(Guard::Landlock) { files::restrict_commands(account) } else { Ok(()) }
}

fn become_agent() -> Result<(), SetupError> {
    let gid = rustix::thread::Gid::from_raw(AGENT_ID);
    let uid = rustix::thread::Uid::from_raw(AGENT_ID);
    set_thread_groups(&[]).map_err(SetupError::at("leave all groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(SetupError::at("become the agent's group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(SetupError::at("become the agent's user"))
}
