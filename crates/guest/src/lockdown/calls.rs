//! Which system calls a sandbox has, in which form, and what the others are answered.
//!
//! The list is one of what is let in. A call stands here because programs that people develop with need it (compilers, package
//! managers, language runtimes, databases, browsers, debuggers of one's own processes). What is not let in is answered in the way that
//! programs cope with best: [`REFUSED`] calls exist and are not permitted (EPERM), everything else, also what later kernels add, does not
//! exist (ENOSYS), upon which C libraries and runtimes take their older way.
//!
//! Sources: the kernel's `arch/x86/entry/syscalls/syscall_64.tbl`, the default profiles of Docker and of systemd (`@system-service`), and what was
//! seen to fail when left out.

use super::filter::{Clause, Field, Ruled, Verdict};

/// What may be called with any argument.
pub(super) const ALLOWED: &[libc::c_long] = &[
    // Files and directories: the mounts, their owners and Landlock decide.
    libc::SYS_access,
    libc::SYS_chdir,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_creat,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futimesat,
    libc::SYS_getcwd,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_lchown,
    libc::SYS_lgetxattr,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lseek,
    libc::SYS_lsetxattr,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_removexattr,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_rmdir,
    libc::SYS_sendfile,
    libc::SYS_setxattr,
    libc::SYS_splice,
    libc::SYS_stat,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_sync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_tee,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_utime,
    libc::SYS_utimensat,
    libc::SYS_utimes,
    libc::SYS_write,
    libc::SYS_writev,
    SETXATTRAT,
    GETXATTRAT,
    LISTXATTRAT,
    REMOVEXATTRAT,
    // Waiting and being told.
    libc::SYS_epoll_create,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_eventfd2,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    IO_PGETEVENTS,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_select,
    libc::SYS_signalfd,
    libc::SYS_signalfd4,
    // Memory of one's own.
    libc::SYS_brk,
    libc::SYS_get_mempolicy,
    libc::SYS_madvise,
    MAP_SHADOW_STACK,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_mseal,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_munmap,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    // Processes and threads. Tracing and reading another's memory is for debuggers: the kernel lets it happen between the sandbox's own
    // processes only, and the guest is not dumpable.
    libc::SYS_arch_prctl,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fork,
    libc::SYS_futex,
    FUTEX_REQUEUE,
    FUTEX_WAIT,
    libc::SYS_futex_waitv,
    FUTEX_WAKE,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getpgid,
    libc::SYS_getpgrp,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_ioprio_get,
    libc::SYS_ioprio_set,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_membarrier,
    libc::SYS_pause,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_prlimit64,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setpgid,
    libc::SYS_setpriority,
    libc::SYS_setrlimit,
    libc::SYS_setsid,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_vfork,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Who one is. Without capabilities these change nothing; the builder needs them.
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getuid,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    // Holding oneself back further: browsers and agents that bring a sandbox of their own.
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
    // Talking to other processes of the sandbox: pipes, System V, POSIX queues.
    libc::SYS_mq_getsetattr,
    libc::SYS_mq_notify,
    libc::SYS_mq_open,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_pipe,
    libc::SYS_pipe2,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_shmget,
    // Sockets, once made (RULED says which can be).
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    // Time, and what the machine is.
    libc::SYS_alarm,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getitimer,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_setitimer,
    libc::SYS_sysinfo,
    libc::SYS_time,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_uname,
];

/// What only a builder has besides: package managers and tools that build root file systems call it. The kernel still asks for the capability.
pub(super) const ALLOWED_TO_BUILDERS: &[libc::c_long] = &[libc::SYS_chroot];

/// What exists and is not permitted: it manages the machine, other namespaces, or parts of the kernel with a long list of holes.
pub(super) const REFUSED: &[libc::c_long] = &[
    // Mounts and roots.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    OPEN_TREE_ATTR,
    // Other namespaces.
    libc::SYS_setns,
    // File handles walk around mounts (CVE-2014-9357 and its family).
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Parts of the kernel with a record.
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    libc::SYS_vmsplice,
    // The machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_modify_ldt,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // Memory of other nodes and of other processes.
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_process_madvise,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
];

/// What depends on its arguments. Only arguments of 32 bits are looked at, as the kernel itself does for each of these.
pub(super) const RULED: &[Ruled] = &[
    Ruled {
        call: libc::SYS_clone,
        clauses: &[Clause { all: &[NO_NAMESPACE], then: Verdict::Allow }],
        otherwise: NOT_PERMITTED,
    },
    Ruled {
        call: libc::SYS_unshare,
        clauses: &[Clause { all: &[NO_NAMESPACE_OR_CLOCK], then: Verdict::Allow }],
        otherwise: NOT_PERMITTED,
    },
    Ruled {
        call: libc::SYS_ioctl,
        clauses: &[
            Clause { all: &[Field::whole(1, TERMINAL_ORDERS)], then: NOT_PERMITTED },
            Clause { all: &[Field { argument: 1, mask: 0xff00, any: REQUEST_FAMILIES }], then: Verdict::Allow },
            Clause { all: &[Field::whole(1, FILE_REQUESTS)], then: Verdict::Allow },
        ],
        // What the kernel says to a request that a file does not know.
        otherwise: Verdict::Errno(libc::ENOTTY),
    },
    Ruled {
        call: libc::SYS_socket,
        clauses: &[
            Clause { all: &[Field::whole(0, &[libc::AF_UNIX as u32])], then: Verdict::Allow },
            Clause {
                all: &[
                    Field::whole(0, IP),
                    Field { argument: 1, mask: SOCKET_TYPE, any: SOCKET_TYPES },
                    Field::whole(2, IP_PROTOCOLS),
                ],
                then: Verdict::Allow,
            },
            Clause {
                all: &[Field::whole(0, IP), Field { argument: 1, mask: SOCKET_TYPE, any: RAW_TYPES }],
                then: NOT_PERMITTED,
            },
            Clause { all: &[Field::whole(0, IP)], then: Verdict::Errno(libc::EPROTONOSUPPORT) },
            Clause {
                all: &[Field::whole(0, &[libc::AF_NETLINK as u32]), Field::whole(2, &[libc::NETLINK_ROUTE as u32])],
                then: Verdict::Allow,
            },
            Clause { all: &[Field::whole(0, &[libc::AF_NETLINK as u32])], then: Verdict::Errno(libc::EPROTONOSUPPORT) },
        ],
        otherwise: Verdict::Errno(libc::EAFNOSUPPORT),
    },
    Ruled {
        call: libc::SYS_socketpair,
        clauses: &[Clause { all: &[Field::whole(0, &[libc::AF_UNIX as u32])], then: Verdict::Allow }],
        otherwise: Verdict::Errno(libc::EOPNOTSUPP),
    },
    Ruled {
        call: libc::SYS_setsockopt,
        clauses: &[
            // Protocols above TCP inside the kernel (kTLS and its kin): a record of holes, and every program can do without.
            Clause {
                all: &[Field::whole(1, &[libc::SOL_TCP as u32]), Field::whole(2, &[libc::TCP_ULP as u32])],
                then: Verdict::Errno(libc::ENOPROTOOPT),
            },
        ],
        otherwise: Verdict::Allow,
    },
    Ruled {
        call: libc::SYS_prctl,
        clauses: &[Clause { all: &[Field::whole(0, PROCESS_OPTIONS)], then: Verdict::Allow }],
        // What the kernel says to an option that it does not know.
        otherwise: Verdict::Errno(libc::EINVAL),
    },
    Ruled {
        call: libc::SYS_personality,
        clauses: &[Clause { all: &[Field::whole(0, PERSONALITIES)], then: Verdict::Allow }],
        otherwise: NOT_PERMITTED,
    },
    Ruled {
        call: libc::SYS_mknod,
        clauses: &[Clause { all: &[Field { argument: 1, mask: libc::S_IFMT, any: NODES }], then: Verdict::Allow }],
        otherwise: NOT_PERMITTED,
    },
    Ruled {
        call: libc::SYS_mknodat,
        clauses: &[Clause { all: &[Field { argument: 2, mask: libc::S_IFMT, any: NODES }], then: Verdict::Allow }],
        otherwise: NOT_PERMITTED,
    },
];

const NOT_PERMITTED: Verdict = Verdict::Errno(libc::EPERM);

// Not in the C library's list of numbers.
const IO_PGETEVENTS: libc::c_long = 333;
const MAP_SHADOW_STACK: libc::c_long = 453;
const FUTEX_WAKE: libc::c_long = 454;
const FUTEX_WAIT: libc::c_long = 455;
const FUTEX_REQUEUE: libc::c_long = 456;
const SETXATTRAT: libc::c_long = 463;
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;
const REMOVEXATTRAT: libc::c_long = 466;
const OPEN_TREE_ATTR: libc::c_long = 467;

/// Flags of clone(2) and unshare(2) that make a namespace.
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;
/// In clone(2) this bit is part of the signal's number; in unshare(2) it makes a time namespace.
const CLONE_NEWTIME: u32 = 0x80;
const NO_NAMESPACE: Field = Field { argument: 0, mask: NAMESPACE_FLAGS, any: &[0] };
const NO_NAMESPACE_OR_CLOCK: Field = Field { argument: 0, mask: NAMESPACE_FLAGS | CLONE_NEWTIME, any: &[0] };

/// Terminal requests that put words into another's mouth (CVE-2017-5226, CVE-2023-28100), take the console, or load a line discipline
/// (CVE-2017-2636, CVE-2023-6546).
const TERMINAL_ORDERS: &[u32] = &[0x5412, 0x541c, 0x541d, 0x5423];

/// Families of requests by their second byte: terminals and descriptors ('T'), sockets, notifications of seccomp ('!').
const REQUEST_FAMILIES: &[u32] = &[0x5400, 0x8900, 0x2100];

/// Requests to files that programs use: block size, attributes (`chattr`, `lsattr`), version, extents, reflinks, label, entropy.
const FILE_REQUESTS: &[u32] = &[
    0x0000_0002, // FIGETBSZ
    0x8008_6601, // FS_IOC_GETFLAGS
    0x4008_6602, // FS_IOC_SETFLAGS
    0x8008_7601, // FS_IOC_GETVERSION
    0xc020_660b, // FS_IOC_FIEMAP
    0x801c_581f, // FS_IOC_FSGETXATTR
    0x4004_9409, // FICLONE
    0x4020_940d, // FICLONERANGE
    0xc018_9436, // FIDEDUPERANGE
    0x8100_9431, // FS_IOC_GETFSLABEL
    0x8004_5200, // RNDGETENTCNT
];

const IP: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];
/// The part of a socket's type that is not flags.
const SOCKET_TYPE: u32 = 0xf;
const SOCKET_TYPES: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32];
const RAW_TYPES: &[u32] = &[libc::SOCK_RAW as u32, 10];
/// The usual one, TCP, UDP, and the datagrams of `ping`. Not SCTP, DCCP, MPTCP, L2TP, SMC.
const IP_PROTOCOLS: &[u32] =
    &[0, libc::IPPROTO_TCP as u32, libc::IPPROTO_UDP as u32, libc::IPPROTO_ICMP as u32, libc::IPPROTO_ICMPV6 as u32];

/// Options of prctl(2): a process about itself. Left out are those that change another's view of the machine or move its memory's borders
/// (`PR_SET_MM`), merge pages between processes (`PR_SET_MEMORY_MERGE`, which lets one read another's by timing), and those of other processors.
const PROCESS_OPTIONS: &[u32] = &[
    1,
    2, // PDEATHSIG
    3,
    4, // DUMPABLE
    7,
    8, // KEEPCAPS
    13,
    14, // TIMING
    15,
    16, // NAME
    21,
    22, // SECCOMP
    23,
    24, // CAPBSET
    25,
    26, // TSC
    27,
    28, // SECUREBITS
    29,
    30, // TIMERSLACK
    34, // MCE_KILL_GET
    36,
    37, // CHILD_SUBREAPER
    38,
    39, // NO_NEW_PRIVS
    40, // GET_TID_ADDRESS
    41,
    42, // THP_DISABLE
    47, // CAP_AMBIENT
    52,
    53, // SPECULATION_CTRL
    65,
    66,          // MDWE
    68,          // GET_MEMORY_MERGE
    0x5961_6d61, // SET_PTRACER
    0x5356_4d41, // SET_VMA: names for anonymous memory
    0x4155_5856, // GET_AUXV
];

/// Asking; the usual one; and addresses that do not change from run to run, for debuggers and sanitizers.
const PERSONALITIES: &[u32] = &[0xffff_ffff, 0, 0x0004_0000];

/// What mknod(2) may make: files, pipes, sockets. A device 0:0 would be an overlay's whiteout.
const NODES: &[u32] = &[0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];
