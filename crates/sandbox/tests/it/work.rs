//! What sandboxes are for: a real commit, a real test run.

use hangar_sandbox::ExecSpec;

use crate::bench::{Bench, output};

#[tokio::test(flavor = "multi_thread")]
async fn git_commits_as_the_person_who_asked() {
    let bench = Bench::new().await;
    bench.with_git();
    let sandbox = bench.sandbox("git").await;
    sandbox.write("src/lib.rs", b"pub fn two() -> u32 {\n    2\n}\n").await.unwrap();
    let spec = ExecSpec::shell("git add -A && git commit -q -m second && git log --format='%an <%ae> %s'")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org");
    let done = sandbox.exec(&spec).await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(
        text,
        "Ada <ada@example.org> second\nT <t@example.org> first\n",
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(output(&sandbox, "git status --short; git fsck 2>&1").await, "");
    // The shared clone knows nothing of it.
    let log = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "log", "--format=%s"])
        .current_dir(bench.path("layer/workspace"))
        .output();
    assert_eq!(log.unwrap().stdout, b"first\n");
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_tests_a_crate_offline() {
    let bench = Bench::new().await;
    let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    std::fs::write(bench.path("layer/workspace/Cargo.toml"), manifest).unwrap();
    let code = "pub fn one() -> u32 { 1 }\n#[test]\nfn is_one() { assert_eq!(one(), 1); }\n";
    std::fs::write(bench.path("layer/workspace/src/lib.rs"), code).unwrap();
    let sandbox = bench.sandbox("cargo").await;
    let done = sandbox.exec(&ExecSpec::shell("cargo test --offline 2>&1")).await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.ended.status.success() && text.contains("test is_one ... ok"), "{text}");
    // cargo's writable side is the sandbox's own; nothing of the host's came along.
    assert_eq!(
        output(&sandbox, "echo $CARGO_HOME; ls /root/.cargo 2>&1 | head -1").await.lines().next(),
        Some("/home/agent/.cargo")
    );
    let leaked = "find / \\( -name 'credentials*' -o -name registry \\) -path '*cargo*' 2>/dev/null; true";
    assert_eq!(output(&sandbox, leaked).await, "");
    let toolchains = output(&sandbox, "ls /opt/toolchains").await;
    for toolchain in hangar_sandbox::toolchains::detect() {
        assert!(toolchains.contains(&toolchain.name), "{}", toolchain.name);
        let target = toolchain.target();
        assert!(!crate::bench::run(&sandbox, &format!("touch {target}/new")).await.ended.status.success());
    }
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_detected_toolchains_run() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("toolchains").await;
    for toolchain in hangar_sandbox::toolchains::detect() {
        let programs: &[&str] = match toolchain.name.split('-').next().unwrap() {
            "rust" => &["rustc --version", "cargo --version"],
            "python" => &["python3 --version", "pip --version"],
            "node" => &["node --version", "npm --version"],
            _ => &[],
        };
        for program in programs {
            output(&sandbox, program).await;
        }
    }
    sandbox.destroy().await;
}
