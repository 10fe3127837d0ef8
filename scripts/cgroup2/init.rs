//! Process 1 of the machine in which `scripts/cgroup2.sh` tests: loads the drivers of its archive, makes the host's root its own, and becomes the shell that
//! runs `/job`. Compiled by the script itself (`rustc`, static, no crates).

use std::{
    ffi::{CString, c_char, c_int, c_long, c_ulong, c_void},
    fs, io,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    ptr,
};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn mount(source: *const c_char, target: *const c_char, kind: *const c_char, flags: c_ulong, data: *const c_void) -> c_int;
}

const SYS_INIT_MODULE: c_long = 175;
const MS_RDONLY: c_ulong = 1;
const MS_MOVE: c_ulong = 0x2000;
/// The host's root as QEMU shares it. Nobody changes it meanwhile, so what was read is kept.
const SHARE: &str = "trans=virtio,version=9p2000.L,msize=512000,cache=loose";

fn main() {
    let error = run().expect_err("the shell has taken this process's place");
    // The kernel panics when this process ends, and the machine ends with it.
    println!("cgroup2: the machine did not start: {error}");
}

fn run() -> io::Result<()> {
    let job = fs::read_to_string("/job")?;
    let mut drivers: Vec<_> = fs::read_dir("/drivers")?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    drivers.sort();
    drivers.iter().try_for_each(|driver| load(driver))?;
    fs::create_dir("/host")?;
    mounted("host", "/host", "9p", MS_RDONLY, SHARE)?;
    std::env::set_current_dir("/host")?;
    mounted(".", "/", "", MS_MOVE, "")?;
    std::os::unix::fs::chroot(".")?;
    Err(Command::new("/bin/sh").args(["-c", &job]).exec())
}

fn load(driver: &Path) -> io::Result<()> {
    let code = fs::read(driver)?;
    // SAFETY: the buffer is as long as is said, and the parameters are an empty string.
    match unsafe { syscall(SYS_INIT_MODULE, code.as_ptr(), code.len(), c"".as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("{}: {}", driver.display(), io::Error::last_os_error()))),
    }
}

fn mounted(source: &str, target: &str, kind: &str, flags: c_ulong, data: &str) -> io::Result<()> {
    let [source, target, kind, data] = [source, target, kind, data].map(|text| CString::new(text).unwrap_or_default());
    let data: *const c_void = if data.is_empty() { ptr::null() } else { data.as_ptr().cast() };
    // SAFETY: four strings that outlive the call.
    match unsafe { mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data) } {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("mount {target:?}: {}", io::Error::last_os_error()))),
    }
}
