//! Commands.

use hangar_sandbox::{ExecSpec, ExitStatus, Stream, WindowSize};

use super::place::Place;
use crate::bench::{output, run, soon};

pub(super) async fn output_codes_and_signals_come_back(place: &Place) {
    let sandbox = &place.shared;
    let done = run(sandbox, "echo out; echo err >&2; exit 7").await;
    assert_eq!((&done.stdout[..], &done.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(done.ended.status, ExitStatus::Code(7));
    assert_eq!(run(sandbox, "kill -9 $$").await.ended.status, ExitStatus::Signal(9));
    let spec = ExecSpec::argv(["sh", "-c", "pwd; echo $ONE"]).cwd("/tmp").env("ONE", "two words");
    assert_eq!(sandbox.exec(&spec).await.unwrap().stdout, b"/tmp\ntwo words\n");
    let missing = sandbox.exec(&ExecSpec::argv(["no-such-program"])).await.unwrap_err();
    assert!(missing.to_string().contains("no-such-program"), "{missing}");
}

pub(super) async fn input_goes_in_and_ends(place: &Place) {
    let exec = place.shared.exec_stream(&ExecSpec::argv(["cat"]).stdin_piped()).await.unwrap();
    let input = exec.input();
    input.write(b"through").await.unwrap();
    input.end().await.unwrap();
    let done = soon("the end of cat", exec.collect(100)).await.unwrap();
    assert_eq!(done.stdout, b"through");
}

pub(super) async fn much_output_arrives_whole(place: &Place) {
    let spec = ExecSpec::shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2");
    let mut exec = place.shared.exec_stream(&spec).await.unwrap();
    let (mut out, mut err) = (0, Vec::new());
    while let Some(chunk) = soon("output", exec.next()).await.unwrap() {
        match chunk.stream {
            Stream::Stdout => {
                assert!(chunk.bytes.iter().all(|byte| *byte == b'x'));
                out += chunk.bytes.len();
            }
            Stream::Stderr => err.extend_from_slice(&chunk.bytes),
        }
    }
    assert!(exec.wait().await.unwrap().status.success());
    assert_eq!((out, &err[..]), (3_000_000, &b"end\n"[..]));
}

pub(super) async fn time_runs_out_for_the_whole_tree(place: &Place) {
    let spec = ExecSpec::shell("setsid sleep 4321 & sleep 4321").timeout_ms(300);
    let done = soon("the time-out", place.shared.exec(&spec)).await.unwrap();
    assert!(done.ended.timed_out);
    assert_eq!(output(&place.shared, "pgrep -f 'sleep 432[1]' || echo none").await, "none\n");
}

pub(super) async fn a_dropped_command_takes_its_daemons_along(place: &Place) {
    let spec = ExecSpec::shell("setsid sleep 5432 & echo up; sleep 5432");
    let mut exec = place.shared.exec_stream(&spec).await.unwrap();
    soon("the start", exec.next()).await.unwrap().unwrap();
    drop(exec);
    let gone = "for i in $(seq 300); do pgrep -f 'sleep 543[2]' > /dev/null || break; sleep 0.1; done; pgrep -f 'sleep 543[2]' || echo none";
    assert_eq!(soon("the end of the tree", output(&place.shared, gone)).await, "none\n");
}

pub(super) async fn kill_all_spares_the_guest(place: &Place) {
    run(&place.shared, "setsid sleep 6543 >/dev/null 2>&1 & sleep 0.1").await;
    assert!(soon("killing", place.shared.kill_all()).await.unwrap() >= 1);
    place.shared.ping().await.unwrap();
    assert_eq!(output(&place.shared, "pgrep -f 'sleep 654[3]' || echo none").await, "none\n");
}

pub(super) async fn a_terminal_has_a_size_and_an_end(place: &Place) {
    let size = WindowSize { rows: 20, columns: 70 };
    let spec = ExecSpec::shell("stty size; test -t 0 && echo terminal; read line; echo got $line; exit 3");
    let exec = place.shared.pty(spec, size).await.unwrap();
    exec.input().write(b"words\n").await.unwrap();
    let done = soon("the terminal", exec.collect(10_000)).await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    for part in ["20 70\r\n", "terminal\r\n", "got words\r\n"] {
        assert!(text.contains(part), "{text:?}");
    }
    assert_eq!(done.ended.status, ExitStatus::Code(3));
}

pub(super) async fn commands_are_the_agent_and_nothing_more(place: &Place) {
    let sandbox = &place.shared;
    assert_eq!(
        output(sandbox, "id -un; hostname; echo $HOME $HANGAR_SANDBOX").await,
        "agent\nshared\n/home/agent shared\n"
    );
    let caps = output(sandbox, "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | awk '{print $2}' | sort -u").await;
    assert_eq!(caps, "0000000000000000\n");
    let refused = [
        "touch /etc/new",
        "touch /usr/new",
        "rm /etc/passwd",
        "mount -t tmpfs none /mnt",
        "unshare --user true",
        "mknod /tmp/disk b 254 0",
        "chown 0 /workspace/README.md",
        "echo h > /proc/sysrq-trigger",
    ];
    for script in refused {
        assert!(!run(sandbox, script).await.ended.status.success(), "{script}");
    }
    sandbox.ping().await.unwrap();
}

pub(super) async fn git_commits(place: &Place) {
    let script = "mkdir repo && cd repo && git init -q -b main && echo one > file && git add . && git -c user.name=Ada -c user.email=ada@example.org commit -q -m first && ln -s file link && git add . && git status --short && git log --format='%an %s' && git fsck 2>&1";
    assert_eq!(output(&place.shared, script).await, "A  link\nAda first\n");
}
