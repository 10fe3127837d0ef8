//! From the root of a user namespace to the sandbox's user, who can do nothing special, and for good.

use hangar_protocol::guest::{AGENT_ID, setup::IdMapping};
use rustix::{
    process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule as Rule, TargetArch, sock_filter,
};

use crate::{kernel, setup::SetupError};

/// Gives up everything. Called while the process has one thread; every command inherits it.
pub(crate) fn apply(ids: IdMapping) -> Result<(), SetupError> {
    kernel::own_keyring();
    kernel::drop_bounding_set().map_err(SetupError::at("drop the bounding set"))?;
    match ids {
        IdMapping::Range => become_agent()?,
        // The one id there is has been the agent's from the beginning, and groups cannot be set.
        IdMapping::Single => {}
    }
    match clear_ambient_capability_set() {
        // A kernel without ambient capabilities (gVisor's) has none to clear.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(SetupError::at("clear ambient capabilities")(error)),
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(SetupError::at("drop capabilities"))?;
    set_no_new_privs(true).map_err(SetupError::at("set no_new_privs"))?;
    // A change of ids clears this, so it is asked for again; without it only the closed socket would tell of the host's end.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SetupError::at("tie the life to the host's"))?;
    // Commands have the same user id; this keeps them from tracing, reading or reopening what the guest holds.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SetupError::at("become undumpable"))?;
    kernel::ignore(libc::SIGXFSZ);
    kernel::ignore(libc::SIGPIPE);
    let filter = filter().map_err(|error| SetupError::new(format!("cannot build the system call filter: {error}")))?;
    seccompiler::apply_filter(&filter).map_err(|error| {
        SetupError::new(format!("cannot install the system call filter ({error}); see `hangar doctor`"))
    })
}

fn become_agent() -> Result<(), SetupError> {
    let gid = rustix::thread::Gid::from_raw(AGENT_ID);
    let uid = rustix::thread::Uid::from_raw(AGENT_ID);
    set_thread_groups(&[]).map_err(SetupError::at("leave all groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(SetupError::at("become the agent's group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(SetupError::at("become the agent's user"))
}

/// System calls nobody in a sandbox needs: they manage the machine, other namespaces, or parts of the kernel with a
/// long list of holes. Denied with EPERM, so that programs which probe for them carry on.
const DENIED: &[libc::c_long] = &[
    // mounts and roots
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // other namespaces
    libc::SYS_unshare,
    libc::SYS_setns,
    // file handles walk around mounts (CVE-2014-9357 and its family)
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // parts of the kernel with a record
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_vmsplice,
    libc::SYS_fanotify_init,
    // the machine
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_personality,
    libc::SYS_nfsservctl,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    libc::SYS_lookup_dcookie,
    // memory of other processes and of other nodes
    libc::SYS_process_madvise,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
];

/// Flags of clone(2) that make a namespace.
const NAMESPACE_FLAGS: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Terminal requests that put words into another's mouth (CVE-2017-5226).
const DENIED_TERMINAL_REQUESTS: &[u64] = &[libc::TIOCSTI, libc::TIOCLINUX];

/// Sockets of other families reach past the network namespace (vsock) or into rarely walked code.
const SOCKET_FAMILIES: &[libc::c_int] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut denied: Vec<(i64, Vec<Rule>)> = DENIED.iter().map(|call| (*call, vec![])).collect();
    let mut clone = Vec::new();
    for flag in NAMESPACE_FLAGS {
        let flag = u64::from(flag.unsigned_abs());
        clone.push(Rule::new(vec![Condition::new(0, Len::Qword, Op::MaskedEq(flag), flag)?])?);
    }
    denied.push((libc::SYS_clone, clone));
    let mut ioctl = Vec::new();
    for request in DENIED_TERMINAL_REQUESTS {
        // The kernel looks at 32 bits of the request, and so must the rule.
        ioctl.push(Rule::new(vec![Condition::new(1, Len::Dword, Op::Eq, *request)?])?);
    }
    denied.push((libc::SYS_ioctl, ioctl));
    let mut family = Vec::new();
    for allowed in SOCKET_FAMILIES {
        family.push(Condition::new(0, Len::Dword, Op::Ne, u64::from(allowed.unsigned_abs()))?);
    }
    denied.push((libc::SYS_socket, vec![Rule::new(family)?]));

    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::x86_64;
    let denied: BpfProgram =
        SeccompFilter::new(denied.into_iter().collect(), SeccompAction::Allow, refuse, arch)?.try_into()?;
    let mut program = unknown_to_us();
    program.extend(denied);
    Ok(program)
}

/// Runs before the rest: clone3 hides its flags in memory where no filter can see them, and the x32 numbers name the same calls again. Both
/// "do not exist" (ENOSYS), upon which the C library falls back to clone(2).
fn unknown_to_us() -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const X32: u32 = 0x4000_0000;
    vec![
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: EQUAL, jt: 1, jf: 0, k: libc::SYS_clone3 as u32 },
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: X32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs() },
    ]
}
