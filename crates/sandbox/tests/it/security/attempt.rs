//! `attempt`: what a hostile program would try, without a library in between. Carried into a sandbox by the tests.
//!
//! `attempt FILE` runs each line of FILE, `ID NUMBER ARGUMENT…`, as one system call in a process of its own, and prints `ID ok VALUE`,
//! `ID errno NUMBER` or `ID signal NUMBER`. Arguments: numbers; `s:TEXT` a string; `x:HEX` bytes; `b:SIZE` that many zeros; `f:PATH` a descriptor of
//! that file, `w:PATH` one for writing; `k:FAMILY:TYPE:PROTOCOL` a socket; `p:PID` a descriptor of that process.
//!
//! `attempt i386` asks for its process id through the 32-bit interface; `attempt fuzz SEED CALLS` makes random calls;
//! `attempt hold NAME COUNT` takes that many of something and says how many it got; `attempt connect` connects.
//!
//! Compiled by the tests themselves (`rustc`, static, no crates), so that it runs on any base.

use std::{
    env,
    ffi::{CString, c_char, c_int, c_long, c_void},
    fs,
    io::{Read, Write},
    os::fd::{FromRawFd, IntoRawFd},
    process::ExitCode,
    ptr,
};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
    fn pipe(ends: *mut c_int) -> c_int;
    fn alarm(seconds: u32) -> u32;
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn mmap(at: *mut c_void, size: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close_range(first: u32, last: u32, flags: c_int) -> c_int;
}

/// Seconds after which one attempt is ended.
const PATIENCE: u32 = 5;
const SYS_PIDFD_OPEN: c_long = 434;
/// `WNOHANG`.
const NO_HANG: c_int = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["i386"] => println!("{}", apart(|| i64::from(i386_getpid() == std::process::id() as i32) - 1)),
        ["fuzz", seed, calls] => fuzz(seed.parse().unwrap_or(1), calls.parse().unwrap_or(1)),
        ["hold", what, most] => println!("{}", hold(what, most.parse().unwrap_or(1))),
        ["connect", address, port] => println!("{}", connect(address, port)),
        [file] => {
            for line in fs::read_to_string(file).unwrap_or_default().lines() {
                let mut words = line.split('\t');
                let id = words.next().unwrap_or("");
                let words: Vec<&str> = words.collect();
                println!("{id} {}", apart(|| call(&words)));
            }
        }
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// Runs one attempt in a process of its own. The closure's result is a system call's: negative means that errno tells.
fn apart(attempt: impl FnOnce() -> i64) -> String {
    // SAFETY: fork in a program with one thread; the child ends by _exit.
    unsafe {
        let mut ends = [0; 2];
        if pipe(ends.as_mut_ptr()) != 0 {
            return "no pipe".into();
        }
        let pid = fork();
        if pid == 0 {
            alarm(PATIENCE);
            *__errno_location() = 0;
            let value = attempt();
            let error = *__errno_location();
            let text = if value < 0 { format!("errno {error}") } else { "ok".to_owned() };
            let mut pipe = fs::File::from_raw_fd(ends[1]);
            let _ = pipe.write_all(text.as_bytes());
            _exit(0);
        }
        drop(fs::File::from_raw_fd(ends[1]));
        let mut status = 0;
        let mut text = String::new();
        // A process that the attempt has made may still hold the other end: only one answer is read.
        waitpid(pid, &raw mut status, 0);
        if status & 0x7f != 0 {
            return format!("signal {}", status & 0x7f);
        }
        let mut bytes = [0; 64];
        if let Ok(read) = fs::File::from_raw_fd(ends[0]).read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        text
    }
}

/// Makes the call that the words describe.
fn call(words: &[&str]) -> i64 {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut numbers = [0 as c_long; 7];
    for (at, word) in words.iter().take(7).enumerate() {
        numbers[at] = match word.split_once(':') {
            Some(("s", text)) => address(&mut kept, CString::new(text).unwrap_or_default().into_bytes_with_nul()),
            Some(("b", size)) => address(&mut kept, vec![0; size.parse().unwrap_or(8)]),
            Some(("x", hex)) => address(&mut kept, bytes(hex)),
            Some(("f", path)) => fs::File::open(path).map_or(-1, |file| c_long::from(file.into_raw_fd())),
            Some(("w", path)) => {
                fs::OpenOptions::new().write(true).open(path).map_or(-1, |file| c_long::from(file.into_raw_fd()))
            }
            Some(("k", rest)) => {
                let part: Vec<c_int> = rest.split(':').map(|part| part.parse().unwrap_or(0)).collect();
                // SAFETY: numbers only.
                c_long::from(unsafe { socket(part[0], part[1], part[2]) })
            }
            // SAFETY: numbers only.
            Some(("p", pid)) => unsafe { syscall(SYS_PIDFD_OPEN, pid.parse::<c_long>().unwrap_or(1), 0 as c_long) },
            _ => number(word),
        };
    }
    let [n, a, b, c, d, e, f] = numbers;
    // SAFETY: none. Whatever this does to this process is what is being tried.
    unsafe { syscall(n, a, b, c, d, e, f) }
}

fn address(kept: &mut Vec<Vec<u8>>, bytes: Vec<u8>) -> c_long {
    kept.push(bytes);
    kept.last_mut().map_or(0, |bytes| bytes.as_mut_ptr() as c_long)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap_or(0)).collect()
}

fn number(word: &str) -> c_long {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap_or(0) as c_long,
        None => word.parse().unwrap_or(0),
    }
}

/// getpid(2) as a 32-bit program calls it.
fn i386_getpid() -> i32 {
    let mut value: i32 = 20;
    // SAFETY: this call takes no argument and touches no memory.
    unsafe { std::arch::asm!("int 0x80", inout("eax") value, out("r8") _, out("r9") _, out("r10") _, out("r11") _) };
    value
}

/// Connects over TCP and says how that went; `@NAME` is an abstract Unix socket.
fn connect(address: &str, port: &str) -> String {
    if let Some(name) = address.strip_prefix('@') {
        use std::os::{linux::net::SocketAddrExt, unix::net};
        let found = net::SocketAddr::from_abstract_name(name).and_then(|to| net::UnixStream::connect_addr(&to));
        return found.map_or_else(|error| format!("errno {}", error.raw_os_error().unwrap_or(0)), |_| "ok".into());
    }
    let Ok(to) = format!("{address}:{port}").parse() else { return "no address".into() };
    match std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(3)) {
        Ok(_) => "ok".into(),
        Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(0)),
    }
}

/// Takes up to `most` of something and tells how many there were.
fn hold(what: &str, most: usize) -> String {
    let mut got = 0usize;
    // SAFETY: each call makes something that lives as long as this process; memory is touched only where it was just mapped.
    unsafe {
        match what {
            "files" => {
                while got < most && open(c"/dev/null".as_ptr(), 0) >= 0 {
                    got += 1
                }
            }
            "processes" => {
                while got < most {
                    let pid = fork();
                    if pid == 0 {
                        // Ends when this program does, by the pipe of its parent.
                        alarm(60);
                        loop {
                            syscall(34);
                        }
                    }
                    if pid < 0 {
                        break;
                    }
                    got += 1;
                }
                let error = *__errno_location();
                syscall(62, 0 as c_long, 0 as c_long);
                signal(15, 1);
                // All of this process group but this process, which ignores it.
                syscall(62, 0 as c_long, 15 as c_long);
                return format!("{got} errno {error}");
            }
            "zombies" => {
                while got < most {
                    let pid = fork();
                    if pid == 0 {
                        _exit(0)
                    }
                    if pid < 0 {
                        break;
                    }
                    got += 1;
                }
            }
            "memory" => {
                const STEP: usize = 16 << 20;
                while got < most {
                    let at = mmap(ptr::null_mut(), STEP, 3, 0x22, -1, 0);
                    if at as isize == -1 {
                        break;
                    }
                    for page in (0..STEP).step_by(4096) {
                        *(at.cast::<u8>().add(page)) = 1
                    }
                    got += 16;
                    print!("{got} ");
                    let _ = std::io::stdout().flush();
                }
            }
            "locked" => {
                const STEP: usize = 1 << 20;
                while got < most {
                    let at = mmap(ptr::null_mut(), STEP, 3, 0x22, -1, 0);
                    if at as isize == -1 || syscall(149, at, STEP) != 0 {
                        break;
                    }
                    got += 1;
                }
            }
            "shared" => {
                // shmget of 1 MiB each, which count as memory when touched; here their number is what is asked for.
                while got < most && syscall(29, 0 as c_long, 1_048_576 as c_long, 0o600 as c_long) >= 0 {
                    got += 1
                }
                return format!("{got}");
            }
            "terminals" => {
                while got < most && open(c"/dev/ptmx".as_ptr(), 2) >= 0 {
                    got += 1
                }
            }
            "watches" => {
                while got < most && syscall(294, 0 as c_long) >= 0 {
                    got += 1
                }
            }
            "timers" => {
                let mut id = 0i32;
                while got < most && syscall(222, 1 as c_long, ptr::null::<u8>(), &raw mut id) == 0 {
                    got += 1
                }
            }
            "spin" => {
                let begun = std::time::Instant::now();
                let mut sum = 0u64;
                while begun.elapsed().as_millis() < 1500 {
                    sum = sum.wrapping_add(1)
                }
                return format!("{}", sum > 0);
            }
            _ => return "what?".into(),
        }
    }
    format!("{got}")
}

/// Random calls, each in a process of its own so that one's end does not end the rest. Numbers and arguments follow from the seed alone.
fn fuzz(seed: u64, calls: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut answered, mut died) = (0u64, 0u64);
    // Several calls in one process find states that one alone does not reach.
    const A_PROCESS: u64 = 16;
    for _ in 0..calls.div_ceil(A_PROCESS) {
        let mut plan = Vec::new();
        for _ in 0..A_PROCESS {
            let number = match random() % 16 {
                0 => random() & 0xffff_ffff,
                1 => 0x4000_0000 + random() % 600,
                _ => random() % 480,
            };
            let arguments: Vec<u64> = (0..6).map(|_| random()).collect();
            plan.push((number, arguments));
        }
        // SAFETY: see `call`; the child's memory is its own.
        unsafe {
            let pid = fork();
            if pid == 0 {
                alarm(1);
                close_range(3, u32::MAX, 0);
                let mut memory = [0u8; 4096];
                let text = c"/tmp/fuzz".as_ptr();
                for (number, arguments) in &plan {
                    // Sleeping, waiting and ending would only cost time; killing everything would kill the fuzzer as well.
                    if matches!(
                        number,
                        34 | 35
                            | 60
                            | 61
                            | 62
                            | 130
                            | 200
                            | 230
                            | 231
                            | 247
                            | 7
                            | 23
                            | 270
                            | 271
                            | 232
                            | 281
                            | 441
                            | 129
                            | 297
                            | 234
                    ) {
                        continue;
                    }
                    let pick = |value: u64| -> c_long {
                        match value % 8 {
                            0 => 0,
                            1 => memory.as_ptr() as c_long,
                            2 => text as c_long,
                            3 => (value >> 8 & 0xff) as c_long,
                            4 => -1,
                            5 => (value >> 8 & 0xffff_ffff) as c_long,
                            6 => value as c_long,
                            _ => (value >> 8 & 3) as c_long,
                        }
                    };
                    let a: Vec<c_long> = arguments.iter().map(|value| pick(*value)).collect();
                    syscall(*number as c_long, a[0], a[1], a[2], a[3], a[4], a[5]);
                    memory[0] = memory[0].wrapping_add(1);
                }
                _exit(0);
            }
            if pid < 0 {
                continue;
            }
            let mut status = 0;
            // It may have blocked the alarm, or wait for something that never comes.
            let begun = std::time::Instant::now();
            while waitpid(pid, &raw mut status, NO_HANG) == 0 {
                if begun.elapsed().as_millis() > 300 {
                    syscall(62, c_long::from(pid), 9 as c_long);
                }
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            if status & 0x7f == 0 { answered += 1 } else { died += 1 }
        }
    }
    println!("{} processes, {answered} answered, {died} died", answered + died);
}
