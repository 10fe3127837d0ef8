//! Commands: output, input, status, signals, trees.

use hangar_sandbox::{Error, ExecSpec, ExitStatus, FailureKind, Signal, Stream, WindowSize};

use crate::bench::{Bench, guest, output, run, soon, tree, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_output_status_environment_and_directory() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("status").await;
    let done = run(&sandbox, "echo out; echo err >&2; exit 7").await;
    assert_eq!(
        (done.ended.status, &done.stdout[..], &done.stderr[..]),
        (ExitStatus::Code(7), &b"out\n"[..], &b"err\n"[..])
    );
    let spec = ExecSpec::argv(["sh", "-c", "echo $WHO $HOME $(pwd)"]).env("WHO", "me").cwd("src");
    assert_eq!(sandbox.exec(&spec).await.unwrap().stdout, b"me /home/agent /workspace/src\n");
    assert_eq!(run(&sandbox, "kill -TERM $$").await.ended.status, ExitStatus::Signal(15));

    let missing = sandbox.exec(&ExecSpec::argv(["no-such-program"])).await.unwrap_err();
    assert!(matches!(missing, Error::Guest(ref failure) if failure.kind == FailureKind::NotFound), "{missing}");
    let nowhere = sandbox.exec(&ExecSpec::argv(["true"]).cwd("/no/where")).await.unwrap_err();
    assert!(matches!(nowhere, Error::Guest(ref failure) if failure.message.contains("/no/where")), "{nowhere}");
    let not_executable = sandbox.exec(&ExecSpec::argv(["./README.md"])).await.unwrap_err();
    assert!(
        matches!(not_executable, Error::Guest(ref failure) if failure.kind == FailureKind::Denied),
        "{not_executable}"
    );
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_reaches_a_command_and_its_end_does_too() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("input").await;
    let exec = sandbox.exec_stream(&ExecSpec::argv(["sha256sum"]).stdin_piped()).await.unwrap();
    let (input, content) = (exec.input(), vec![b'x'; 3_000_000]);
    let feed = async {
        input.write(&content).await.unwrap();
        input.end().await.unwrap();
    };
    let ((), done) = soon("the digest", async { tokio::join!(feed, exec.collect(1000)) }).await;
    let expected = output(&sandbox, "head -c 3000000 /dev/zero | tr '\\0' x | sha256sum").await;
    assert_eq!(String::from_utf8(done.unwrap().stdout).unwrap(), expected);
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_waits_for_its_reader_and_disturbs_nobody() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("flood").await;
    const BLOCK: usize = 32 * 1024;
    const BLOCKS: usize = 400;
    let script = format!(
        "$|=1; for $n (1..{BLOCKS}) {{ syswrite(STDOUT, 'x' x {BLOCK}) == {BLOCK} or die; open F,'>/tmp/n.new'; print F $n; close F; rename '/tmp/n.new','/tmp/n' }}"
    );
    let mut exec = sandbox.exec_stream(&ExecSpec::argv(["perl", "-e", &script])).await.unwrap();
    // Nobody reads. The command stops when the window and the pipe are full; meanwhile others are served.
    let written = || async {
        sandbox.ping().await.unwrap();
        let text = sandbox.read("/tmp/n", 0, 10).await.map(|content| content.bytes).unwrap_or_default();
        String::from_utf8_lossy(&text).parse::<usize>().unwrap_or(0)
    };
    let stopped_at = soon("the flood's stop", async {
        let (mut last, mut same) = (0, 0);
        while same < 50 {
            let now = written().await;
            same = if now > 0 && now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    })
    .await;
    assert!(stopped_at * BLOCK <= 1024 * 1024, "{stopped_at} blocks were written although nobody read");
    let mut total = 0;
    while let Some(chunk) = soon("output", exec.next()).await.unwrap() {
        assert_eq!(chunk.stream, Stream::Stdout);
        total += chunk.bytes.len();
    }
    assert_eq!(total, BLOCKS * BLOCK);
    sandbox.destroy().await;
}

/// Starts daemons in every way that tries to escape, and says when all run.
const DAEMONS: &str = "setsid sleep 1111 & (setsid setsid sleep 2222 &) ; nohup sleep 3333 >/dev/null 2>&1 & \
    perl -e 'fork and exit; use POSIX; POSIX::setsid(); fork and exit; exec qw(sleep 4444)'; echo ready; sleep 5555";

fn sleeping(name: &str) -> usize {
    let Some(guest) = guest(name) else { return 0 };
    tree(guest.pid).iter().filter(|seen| seen.name == "sleep" && seen.state != 'Z').count()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_command_kills_its_whole_tree() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("drop").await;
    let mut bystander = sandbox.exec_stream(&ExecSpec::shell("echo up; sleep 9999")).await.unwrap();
    assert_eq!(&bystander.next().await.unwrap().unwrap().bytes[..], b"up\n");
    let mut exec = sandbox.exec_stream(&ExecSpec::shell(DAEMONS)).await.unwrap();
    assert_eq!(&soon("daemons", exec.next()).await.unwrap().unwrap().bytes[..], b"ready\n");
    until("all daemons", || sleeping("drop") == 6).await;
    drop(exec);
    until("only the bystander", || sleeping("drop") == 1).await;
    bystander.signal(Signal::Terminate).await.unwrap();
    assert_eq!(soon("its end", bystander.wait()).await.unwrap().status, ExitStatus::Signal(15));
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_its_supervisor_does_not_set_a_command_free() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("supervisor").await;
    let script = "setsid sleep 1111 & sleep 2222 & kill -9 $PPID; sleep 3333";
    let done = soon("the end", run(&sandbox, script)).await;
    assert_eq!(done.ended.status, ExitStatus::Signal(9));
    until("no leftovers", || sleeping("supervisor") == 0).await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_ends_a_tree_that_ignores_sigterm() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("timeout").await;
    let spec = ExecSpec::shell("trap '' TERM; setsid sleep 1111 & sleep 2222; sleep 3333").timeout_ms(200);
    let done = soon("the time-out", sandbox.exec(&spec)).await.unwrap();
    assert!(done.ended.timed_out);
    assert_eq!(done.ended.status, ExitStatus::Signal(9));
    assert_eq!(sleeping("timeout"), 0);
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_kept_or_killed_as_asked() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("leftovers").await;
    // It holds the output open, and yet the command is over.
    let kept = soon("the end", run(&sandbox, "sleep 1111 & echo done")).await;
    assert_eq!(kept.stdout, b"done\n");
    assert_eq!(sleeping("leftovers"), 1);
    let killed = sandbox.exec(&ExecSpec::shell("sleep 2222 & echo done").kill_leftovers()).await.unwrap();
    assert_eq!(killed.stdout, b"done\n");
    assert_eq!(sleeping("leftovers"), 1);
    assert!(sandbox.kill_all().await.unwrap() >= 1);
    assert_eq!(sleeping("leftovers"), 0);
    sandbox.ping().await.unwrap();
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_all_of_what_a_command_wrote_before_it_ended() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("slow-reader").await;
    // Each line is a frame of its own, many more than may be on the way, and all fit into the pipe: the command does not wait for its reader.
    let script = "for i in $(seq 100); do echo $i; sleep 0.002; done; touch /tmp/written";
    let mut exec = sandbox.exec_stream(&ExecSpec::shell(script)).await.unwrap();
    soon("the command's last step", async { while sandbox.stat("/tmp/written").await.is_err() {} }).await;
    let mut text = Vec::new();
    while let Some(chunk) = soon("output", exec.next()).await.unwrap() {
        text.extend_from_slice(&chunk.bytes);
    }
    assert_eq!(String::from_utf8(text).unwrap().lines().count(), 100);
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_one() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("pty").await;
    let script = "trap 'stty size' WINCH; tty; stty size; while read line; do echo \"<$line>\"; done; echo bye";
    let mut exec = sandbox.pty(ExecSpec::shell(script), WindowSize { rows: 30, columns: 100 }).await.unwrap();
    let mut seen = String::new();
    let mut see = async |exec: &mut hangar_sandbox::Exec, wanted: &str| {
        while !seen.contains(wanted) {
            let chunk = soon(wanted, exec.next()).await.unwrap().unwrap_or_else(|| panic!("no {wanted} in {seen:?}"));
            seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
        }
    };
    see(&mut exec, "/dev/pts/").await;
    see(&mut exec, "30 100").await;
    let input = exec.input();
    input.write(b"words\n").await.unwrap();
    see(&mut exec, "<words>").await;
    exec.resize(WindowSize { rows: 40, columns: 120 }).await.unwrap();
    input.write(b"again\n").await.unwrap();
    see(&mut exec, "40 120").await;
    input.end().await.unwrap();
    see(&mut exec, "bye").await;
    assert_eq!(soon("the end", exec.wait()).await.unwrap().status, ExitStatus::Code(0));
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_reaches_what_runs_in_the_terminal() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("ctrl-c").await;
    let size = WindowSize { rows: 24, columns: 80 };
    let mut exec = sandbox.pty(ExecSpec::shell("echo up; exec sleep 1111"), size).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(2).any(|two| two == b"up") {
        seen.extend_from_slice(&soon("up", exec.next()).await.unwrap().unwrap().bytes);
    }
    exec.input().write(&[3]).await.unwrap();
    assert_eq!(soon("the end", exec.wait()).await.unwrap().status, ExitStatus::Signal(2));
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_requests_are_bounded() {
    let bench = Bench::new().await;
    let sandbox = bench.limited("busy", |limits| limits.processes = 4096).await;
    let mut watches = Vec::new();
    let refused = loop {
        match sandbox.watch_directory("/tmp").await {
            Ok(watch) => watches.push(watch),
            Err(error) => break error,
        }
        assert!(watches.len() <= hangar_protocol::guest::EXCHANGES_MAX);
    };
    assert!(matches!(refused, Error::Busy | Error::Guest(_)), "{refused}");
    drop(watches);
    soon("room", async {
        while sandbox.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    sandbox.destroy().await;
}
