//! From the list of system calls to the program that the kernel runs before each of them.
//!
//! ```text
//!   architecture ≠ x86-64 ─▶ kill
//!   number of the x32 interface ─▶ ENOSYS
//!   number ─▶ binary search over runs of numbers with the same answer ─▶ answer, or a look at the arguments
//! ```
//!
//! The search makes both ends cheap: at installation the kernel walks the program once for each of its numbers, to remember those that are
//! always allowed and never need the program again (the others take a dozen steps, where a list one after the other would take hundreds).

use hangar_protocol::guest::Account;
use seccompiler::{BpfProgram, sock_filter};

use super::calls::{ALLOWED, ALLOWED_TO_BUILDERS, REFUSED, RULED};

/// What a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Errno(i32),
    /// The whole process ends with SIGSYS.
    Kill,
}

/// A call whose arguments decide: the first clause that holds does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruled {
    pub call: libc::c_long,
    pub clauses: &'static [Clause],
    pub otherwise: Verdict,
}

/// Holds when all fields do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause {
    pub all: &'static [Field],
    pub then: Verdict,
}

/// Holds when the masked lower 32 bits of an argument are one of these values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub argument: u32,
    pub mask: u32,
    pub any: &'static [u32],
}

impl Field {
    pub(super) const fn whole(argument: u32, any: &'static [u32]) -> Self {
        Self { argument, mask: u32::MAX, any }
    }
}

/// Where numbers of the x32 interface begin: the same calls again, under other numbers.
const X32: u32 = 0x4000_0000;
/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// Offsets in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ALWAYS: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// What one number is answered.
#[derive(Clone, Copy)]
enum Answer {
    Plain(Verdict),
    Ruled(&'static Ruled),
}

/// A run of numbers with the same answer, up to the next run.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    answer: Answer,
}

/// The program for an account.
pub(super) fn program(account: Account) -> BpfProgram {
    let search = search(&runs(account));
    let mut program = vec![
        step(LOAD, ARCHITECTURE_AT),
        sock_filter { code: EQUAL, jt: 1, jf: 0, k: ARCHITECTURE },
        answer(Verdict::Kill),
        step(LOAD, NUMBER_AT),
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: X32 },
        answer(Verdict::Errno(libc::ENOSYS)),
    ];
    program.extend(search);
    program
}

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn answer(verdict: Verdict) -> sock_filter {
    step(
        RETURN,
        match verdict {
            Verdict::Allow => libc::SECCOMP_RET_ALLOW,
            Verdict::Errno(error) => libc::SECCOMP_RET_ERRNO | error.unsigned_abs(),
            Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        },
    )
}

/// Every number from 0, in runs.
fn runs(account: Account) -> Vec<Run> {
    let mut known: Vec<(u32, Answer)> = Vec::new();
    let mut add = |calls: &[libc::c_long], verdict| {
        known.extend(calls.iter().map(|call| (number(*call), Answer::Plain(verdict))));
    };
    // The first mention of a number counts.
    match account {
        Account::Builder => add(ALLOWED_TO_BUILDERS, Verdict::Allow),
        Account::Agent => {}
    }
    add(ALLOWED, Verdict::Allow);
    add(REFUSED, Verdict::Errno(libc::EPERM));
    known.extend(RULED.iter().map(|ruled| (number(ruled.call), Answer::Ruled(ruled))));
    known.sort_by_key(|(number, _)| *number);
    known.dedup_by_key(|(number, _)| *number);

    let unknown = Answer::Plain(Verdict::Errno(libc::ENOSYS));
    let mut runs: Vec<Run> = Vec::new();
    let mut push = |first, answer| {
        let same = match (runs.last().map(|run| run.answer), answer) {
            (Some(Answer::Plain(last)), Answer::Plain(new)) => last == new,
            (Some(Answer::Plain(_) | Answer::Ruled(_)) | None, Answer::Plain(_) | Answer::Ruled(_)) => false,
        };
        if !same {
            runs.push(Run { first, answer });
        }
    };
    let mut next = 0;
    for (number, answer) in known {
        if number > next {
            push(next, unknown);
        }
        push(number, answer);
        next = number + 1;
    }
    push(next, unknown);
    runs
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Halves the runs until one is left. The number is in the accumulator.
fn search(runs: &[Run]) -> BpfProgram {
    let (left, right) = runs.split_at(runs.len() / 2);
    let Some(middle) = right.first() else { return vec![answer(Verdict::Errno(libc::ENOSYS))] };
    if left.is_empty() {
        return match middle.answer {
            Answer::Plain(verdict) => vec![answer(verdict)],
            Answer::Ruled(ruled) => arguments(ruled),
        };
    }
    let first = middle.first;
    let (left, right) = (search(left), search(right));
    // A conditional jump reaches 255 steps; beyond that it goes by a long one.
    let mut steps = match u8::try_from(left.len()) {
        Ok(jt) => vec![sock_filter { code: AT_LEAST, jt, jf: 0, k: first }],
        Err(_) => vec![
            sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: first },
            step(ALWAYS, u32::try_from(left.len()).unwrap_or(u32::MAX)),
        ],
    };
    steps.extend(left);
    steps.extend(right);
    steps
}

/// Looks at the arguments, clause after clause.
fn arguments(ruled: &Ruled) -> BpfProgram {
    let mut steps: BpfProgram = ruled.clauses.iter().flat_map(clause_steps).collect();
    steps.push(answer(ruled.otherwise));
    steps
}

fn clause_steps(clause: &Clause) -> BpfProgram {
    // From the back: each field jumps over what follows it in the clause when it does not hold.
    let mut behind = vec![answer(clause.then)];
    for field in clause.all.iter().rev() {
        let mut steps = vec![step(LOAD, ARGUMENTS_AT + 8 * field.argument)];
        if field.mask != u32::MAX {
            steps.push(step(AND, field.mask));
        }
        for (at, value) in field.any.iter().enumerate() {
            let more = field.any.len() - at - 1;
            // Both are far below 256: the tables are short, and a test walks every program.
            let jt = u8::try_from(more).unwrap_or(u8::MAX);
            let jf = if more == 0 { u8::try_from(behind.len()).unwrap_or(u8::MAX) } else { 0 };
            steps.push(sock_filter { code: EQUAL, jt, jf, k: *value });
        }
        steps.extend(behind);
        behind = steps;
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would; returns its answer and how many steps it took.
    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
        let mut data = [0u8; 64];
        data[..4].copy_from_slice(&number.to_ne_bytes());
        data[4..8].copy_from_slice(&architecture.to_ne_bytes());
        for (at, argument) in arguments.iter().enumerate() {
            data[16 + 8 * at..24 + 8 * at].copy_from_slice(&argument.to_ne_bytes());
        }
        let (mut at, mut accumulator) = (0, 0u32);
        for steps in 1.. {
            let step = &program[at];
            at += 1;
            match step.code {
                LOAD => {
                    let from = step.k as usize;
                    accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                }
                AND => accumulator &= step.k,
                EQUAL => at += usize::from(if accumulator == step.k { step.jt } else { step.jf }),
                AT_LEAST => at += usize::from(if accumulator >= step.k { step.jt } else { step.jf }),
                ALWAYS => at += step.k as usize,
                RETURN => return (step.k, steps),
                other => panic!("a step {other:#x}"),
            }
        }
        unreachable!()
    }

    fn answered(account: Account, number: libc::c_long, arguments: [u64; 6]) -> u32 {
        run(&program(account), ARCHITECTURE, u32::try_from(number).unwrap(), arguments).0
    }

    fn said(verdict: Verdict) -> u32 {
        answer(verdict).k
    }

    const EPERM: Verdict = Verdict::Errno(libc::EPERM);

    #[test]
    fn every_number_is_answered_as_the_lists_say() {
        for account in [Account::Agent, Account::Builder] {
            let program = program(account);
            for number in 0..2048 {
                let call = i64::from(number);
                let expected =
                    if account == Account::Builder && ALLOWED_TO_BUILDERS.contains(&call) || ALLOWED.contains(&call) {
                        said(Verdict::Allow)
                    } else if REFUSED.contains(&call) {
                        said(EPERM)
                    } else if RULED.iter().any(|ruled| ruled.call == call) {
                        continue;
                    } else {
                        said(Verdict::Errno(libc::ENOSYS))
                    };
                let (answer, steps) = run(&program, ARCHITECTURE, number, [u64::MAX; 6]);
                assert_eq!(answer, expected, "{number}");
                assert!(steps <= 20, "{number} takes {steps} steps");
            }
        }
    }

    #[test]
    fn no_number_stands_in_two_lists() {
        let mut all: Vec<i64> =
            ALLOWED.iter().chain(REFUSED).copied().chain(RULED.iter().map(|ruled| ruled.call)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(ALLOWED_TO_BUILDERS.iter().all(|call| !ALLOWED.contains(call)));
    }

    #[test]
    fn other_architectures_are_killed_and_x32_does_not_exist() {
        let program = program(Account::Agent);
        const I386: u32 = 0x4000_0003;
        assert_eq!(run(&program, I386, 20, [0; 6]).0, libc::SECCOMP_RET_KILL_PROCESS);
        for number in [X32, X32 + 1, X32 + 39, X32 + 512, u32::MAX] {
            assert_eq!(
                run(&program, ARCHITECTURE, number, [0; 6]).0,
                said(Verdict::Errno(libc::ENOSYS)),
                "{number:#x}"
            );
        }
    }

    #[test]
    fn a_program_is_small_enough_for_the_kernel() {
        for account in [Account::Agent, Account::Builder] {
            assert!(program(account).len() < 1024, "{}", program(account).len());
        }
    }

    #[test]
    fn arguments_decide() {
        const HIGH: u64 = 0x1_0000_0000;
        let allow = Verdict::Allow;
        let not_a_request = Verdict::Errno(libc::ENOTTY);
        let no_protocol = Verdict::Errno(libc::EPROTONOSUPPORT);
        let no_family = Verdict::Errno(libc::EAFNOSUPPORT);
        for (call, arguments, expected) in [
            (libc::SYS_clone, vec![0x11], allow),
            (libc::SYS_clone, vec![0x003d_0f00], allow),
            (libc::SYS_clone, vec![0x91], allow),
            (libc::SYS_clone, vec![0x1000_0011], EPERM),
            (libc::SYS_clone, vec![0x0002_0000], EPERM),
            (libc::SYS_clone, vec![HIGH | 0x4000_0011], EPERM),
            (libc::SYS_unshare, vec![0x400], allow),
            (libc::SYS_unshare, vec![0x80], EPERM),
            (libc::SYS_unshare, vec![0x0200_0000], EPERM),
            (libc::SYS_ioctl, vec![0, 0x5401], allow),
            (libc::SYS_ioctl, vec![0, 0x8004_5430], allow),
            (libc::SYS_ioctl, vec![0, 0x8912], allow),
            (libc::SYS_ioctl, vec![0, 0x4004_9409], allow),
            (libc::SYS_ioctl, vec![0, 0x5412], EPERM),
            (libc::SYS_ioctl, vec![0, HIGH | 0x5412], EPERM),
            (libc::SYS_ioctl, vec![0, 0x541c], EPERM),
            (libc::SYS_ioctl, vec![0, 0x5423], EPERM),
            (libc::SYS_ioctl, vec![0, 0xae01], not_a_request),
            (libc::SYS_ioctl, vec![0, 0x5000_940f], not_a_request),
            (libc::SYS_socket, vec![1, 1, 0], allow),
            (libc::SYS_socket, vec![2, 0x80801, 0], allow),
            (libc::SYS_socket, vec![10, 2, 17], allow),
            (libc::SYS_socket, vec![2, 3, 1], EPERM),
            (libc::SYS_socket, vec![10, 10, 0], EPERM),
            (libc::SYS_socket, vec![2, 1, 262], no_protocol),
            (libc::SYS_socket, vec![2, 5, 132], no_protocol),
            (libc::SYS_socket, vec![16, 3, 0], allow),
            (libc::SYS_socket, vec![16, 3, 12], no_protocol),
            (libc::SYS_socket, vec![40, 1, 0], no_family),
            (libc::SYS_socket, vec![38, 5, 0], no_family),
            (libc::SYS_socketpair, vec![1, 1, 0], allow),
            (libc::SYS_socketpair, vec![30, 1, 0], Verdict::Errno(libc::EOPNOTSUPP)),
            (libc::SYS_setsockopt, vec![3, 6, 1], allow),
            (libc::SYS_setsockopt, vec![3, 6, 31], Verdict::Errno(libc::ENOPROTOOPT)),
            (libc::SYS_setsockopt, vec![3, 1, 31], allow),
            (libc::SYS_prctl, vec![15], allow),
            (libc::SYS_prctl, vec![35], Verdict::Errno(libc::EINVAL)),
            (libc::SYS_personality, vec![0xffff_ffff], allow),
            (libc::SYS_personality, vec![0x40000], allow),
            (libc::SYS_personality, vec![8], EPERM),
            (libc::SYS_mknod, vec![0, 0o010_644], allow),
            (libc::SYS_mknod, vec![0, 0o020_644], EPERM),
            (libc::SYS_mknodat, vec![0, 0, 0o060_644], EPERM),
            (libc::SYS_mknodat, vec![0, 0, 0o140_644], allow),
        ] {
            let mut all = [0; 6];
            all[..arguments.len()].copy_from_slice(&arguments);
            for account in [Account::Agent, Account::Builder] {
                assert_eq!(answered(account, call, all), said(expected), "{call} {arguments:x?}");
            }
        }
        assert_eq!(answered(Account::Agent, libc::SYS_chroot, [0; 6]), said(EPERM));
        assert_eq!(answered(Account::Builder, libc::SYS_chroot, [0; 6]), said(allow));
    }
}
