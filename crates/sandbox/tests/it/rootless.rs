//! What works for an ordinary user.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use tempfile::TempDir;

/// An id that owns nothing on this machine.
const NOBODY: u32 = 65_534;

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_ordinary_user_gets_the_same_sandbox_over_the_same_files() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    open_to_all(directory.path());
    // The built program may lie where only root can go. Copied by a process of its own: a descriptor of ours could be caught
    // by another test's fork, and a program that somebody may write to cannot be executed.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_sandbox-try")).arg(at("sandbox-try")).status().unwrap();
    assert!(copied.success());
    open_to_all(&at("sandbox-try"));
    for name in ["own", "own/layer", "own/layer/workspace"] {
        fs::create_dir(at(name)).unwrap();
        std::os::unix::fs::chown(at(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::write(at("own/layer/workspace/README.md"), "hello\n").unwrap();
    std::os::unix::fs::chown(at("own/layer/workspace/README.md"), Some(NOBODY), Some(NOBODY)).unwrap();
    let run = |script: &str| {
        let done = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args([at("sandbox-try"), at("own"), at("own/layer"), at("own/session")])
            .args(["bash", "-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(run("id -un; cat README.md; echo more >> README.md; echo mine > ~/notes"), "agent\nhello\n");
    assert_eq!(run("cat README.md ~/notes; stat -c %U README.md"), "hello\nmore\nmine\nagent\n");
    assert_eq!(fs::read_to_string(at("own/layer/workspace/README.md")).unwrap(), "hello\n");
    let zero = "0".repeat(16);
    let status = run("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'");
    assert_eq!(status, format!("CapEff:{zero}\nCapBnd:{zero}\nNoNewPrivs:1\nSeccomp:2\n"));
    for denied in [
        "unshare -r true",
        "mount -t tmpfs none /tmp",
        "echo x > /usr/new",
        "echo x > /etc/passwd",
        "cat /etc/shadow",
        &format!("ls {}", directory.path().display()),
        "exec 3<>/dev/tcp/8.8.8.8/8053",
    ] {
        assert_eq!(run(&format!("({denied}) 2>/dev/null || echo denied")), "denied\n", "{denied}");
    }
}
