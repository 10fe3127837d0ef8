//! A held workspace: every way to write to it is refused by the mount, for whoever tries and whenever they began, and works once it is released.

use hangar_sandbox::{Collected, Error, Exec, ExecSpec, FailureKind, Hold, Holding, Sandbox, WindowSize};

use crate::bench::{Bench, output, run, soon};

/// What the kernel says, and every program after it.
const READ_ONLY: &str = "Read-only file system";
/// Lists everything of the workspace with its times and content.
const LOOK: &str =
    "find /workspace -printf '%p %y %m %U %s %l %T@\n' | sort; find /workspace -type f -exec sha256sum {} + | sort";
/// Everything as it was committed.
const AGAIN: &str =
    "rm -f .git/index.lock; git checkout -q -f main && git reset -q --hard && git clean -q -f -d -x && mkdir -p empty";

/// Ways to write: a name, and a script that succeeds if the write took place.
const WAYS: &[(&str, &str)] = &[
    ("redirect", "echo x > README.md"),
    ("append", "echo x >> README.md"),
    ("create", "echo x > new"),
    ("create-below", "echo x > src/new.rs"),
    ("tee", "echo x | tee README.md"),
    ("touch", "touch README.md"),
    ("remove", "rm -f README.md"),
    ("remove-tree", "rm -rf src"),
    ("rename", "mv README.md READ.md"),
    ("rename-over", "mv src/lib.rs README.md"),
    ("rename-directory", "mv src lib"),
    ("rename-in", "echo x > ~/x && mv ~/x README.md"),
    ("rename-out", "mv README.md ~/out"),
    (
        "exchange",
        "python3 -c 'import ctypes,os;l=ctypes.CDLL(None,use_errno=True)\nif l.renameat2(-100,b\"README.md\",-100,b\"src/lib.rs\",2): raise OSError(ctypes.get_errno(),os.strerror(ctypes.get_errno()))'",
    ),
    ("hard-link", "ln README.md hard"),
    ("symbolic-link", "ln -s README.md soft"),
    ("make-directory", "mkdir made"),
    ("remove-directory", "rmdir empty"),
    ("make-pipe", "mkfifo pipe"),
    ("make-socket", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"),
    ("mode", "chmod 600 README.md"),
    ("owner", "chown agent README.md"),
    ("times", "touch -d 2001-01-01 README.md"),
    ("truncate", "truncate -s 0 README.md"),
    ("truncate-open", "python3 -c 'import os; os.open(\"README.md\", os.O_WRONLY | os.O_TRUNC)'"),
    (
        "unnamed-file",
        "python3 -c 'import ctypes,os; f=os.open(\".\", os.O_TMPFILE | os.O_RDWR); l=ctypes.CDLL(None,use_errno=True)
if l.linkat(-100,b\"/proc/self/fd/%d\" % f,-100,b\"unnamed\",0x400): raise OSError(ctypes.get_errno())'",
    ),
    (
        "mapping",
        "python3 -c 'import mmap; f=open(\"README.md\",\"r+b\"); m=mmap.mmap(f.fileno(),0); m[0:1]=b\"X\"; m.flush()'",
    ),
    ("allocate", "fallocate -l 4096 README.md"),
    ("punch-hole", "fallocate -p -o 0 -l 2 README.md"),
    ("attribute", "python3 -c 'import os; os.setxattr(\"README.md\", \"user.note\", b\"x\")'"),
    ("copy-over", "cp src/lib.rs README.md"),
    (
        "copy-range",
        "python3 -c 'import os; s=os.open(\"src/lib.rs\",os.O_RDONLY); d=os.open(\"README.md\",os.O_WRONLY); os.copy_file_range(s,d,4)'",
    ),
    (
        "send-file",
        "python3 -c 'import os; s=os.open(\"src/lib.rs\",os.O_RDONLY); d=os.open(\"README.md\",os.O_WRONLY); os.sendfile(d,s,0,4)'",
    ),
    ("install", "install -m 644 src/lib.rs README.md"),
    ("unpack", "tar -cf /tmp/t.tar src && tar -xf /tmp/t.tar --overwrite"),
    ("dd", "dd if=/dev/zero of=README.md bs=1 count=1 conv=notrunc status=none"),
    ("sed", "sed -i s/hello/bye/ README.md"),
    ("perl", "perl -e 'open(F, \">>\", \"README.md\") or die $!; print F 1'"),
    (
        "patch",
        "printf '%s\\n' '--- README.md' '+++ README.md' '@@ -1 +1 @@' '-hello' '+bye' > /tmp/p && git apply /tmp/p",
    ),
    ("git-add", "git update-index --refresh; git add --renormalize . && git update-index --chmod=+x README.md"),
    ("git-commit", "git -c user.name=T -c user.email=t@example.org commit -q --allow-empty -m x"),
    ("git-checkout", "git checkout -q -b other"),
    ("git-config", "git config hangar.test x"),
    ("git-objects", "echo x | git hash-object -w --stdin"),
    ("git-worktree", "git worktree add -q /tmp/tree HEAD && git worktree remove /tmp/tree"),
    ("python", "python3 -c 'import pathlib; pathlib.Path(\"README.md\").write_text(\"x\")'"),
    ("other-path", "echo x > /home/agent/../../workspace/README.md"),
    ("own-root", "echo x > /proc/self/root/workspace/README.md"),
    ("own-directory", "echo x > /proc/self/cwd/README.md"),
    ("reopened", "exec 3<README.md; echo x > /proc/self/fd/3"),
    ("reopened-directory", "exec 3<.; echo x > /proc/self/fd/3/README.md"),
    ("by-link", "ln -sfn /workspace ~/link && echo x > ~/link/README.md"),
    (
        "by-directory",
        "python3 -c 'import os; d=os.open(\"src\",os.O_RDONLY); os.open(\"new\",os.O_CREAT|os.O_WRONLY,dir_fd=d)'",
    ),
    ("unlink-by-directory", "python3 -c 'import os; d=os.open(\"src\",os.O_RDONLY); os.unlink(\"lib.rs\",dir_fd=d)'"),
];

/// Tries until it succeeds once it is told to (`/tmp/go-<name>`), and says so at its first refusal and at its success.
const TRY: &str = "try() { read line < /tmp/go-$1; said=; until (echo x > $2) 2>/dev/null; do test $said || echo refused; said=1; sleep 0.01; done; echo done; }";
/// What began before the workspace was held, and what it holds on to.
const BEFORE: &[(&str, &str)] = &[
    ("directory", "cd src; echo up; try directory mine"),
    ("open-directory", "exec 3<src; cd /; echo up; try open-directory /proc/self/fd/3/mine"),
    ("open-file", "exec 3<README.md; cd /; echo up; try open-file /proc/self/fd/3"),
    (
        "daemon",
        "mkfifo /tmp/said; export -f try; (setsid bash -c 'try daemon daemon' > /tmp/said &); echo up; cat /tmp/said",
    ),
    // A server of the Model Context Protocol on its standard input, as an agent starts them: one tool, which writes.
    (
        "mcp",
        "cat > /tmp/server.py <<'END'
import json,sys
for line in sys.stdin:
  ask=json.loads(line)
  if ask[\"method\"]==\"initialize\": told={\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"w\",\"version\":\"1\"}}
  else:
    try:
      open(ask[\"params\"][\"arguments\"][\"path\"],\"w\").write(\"x\"); told={\"content\":[],\"isError\":False}
    except OSError as e: told={\"content\":[{\"type\":\"text\",\"text\":str(e)}],\"isError\":True}
  print(json.dumps({\"jsonrpc\":\"2.0\",\"id\":ask[\"id\"],\"result\":told}),flush=True)
END
coproc S { exec python3 /tmp/server.py; }
ask() { echo \"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,\\\"method\\\":\\\"$1\\\",\\\"params\\\":{\\\"name\\\":\\\"write\\\",\\\"arguments\\\":{\\\"path\\\":\\\"mcp\\\"}}}\" >&${S[1]}; read answer <&${S[0]}; }
ask initialize; echo up; read line < /tmp/go-mcp; said=
until ask tools/call; [[ $answer == *'\"isError\": false'* ]]; do if [[ -z $said && $answer == *'Read-only file system'* ]]; then echo refused; said=1; fi; sleep 0.01; done; echo done",
    ),
    (
        "event",
        "exec python3 -u -c 'import os,ctypes
l=ctypes.CDLL(None); i=l.inotify_init(); l.inotify_add_watch(i,b\".\",0x100|0x2|0x80)
print(\"up\"); refused=False
while True:
  os.read(i,4096)
  try: open(\"at-once\",\"w\"); break
  except OSError as e:
    if e.errno==30 and not refused: print(\"refused\"); refused=True
print(\"done\")'",
    ),
];

/// Ways to become somebody who can write, tried while such a process is there: `$1` is its number.
const AROUND: &[(&str, &str)] = &[
    ("its-directory", "echo x > /proc/$1/cwd/README.md"),
    ("its-root", "echo x > /proc/$1/root/workspace/README.md"),
    ("its-descriptor", "ls /proc/$1/fd/ && echo x > /proc/$1/fd/3/README.md"),
    ("its-thread", "echo x > /proc/$1/task/$1/cwd/README.md"),
    ("its-mounts", "nsenter -t $1 -m true"),
    ("its-memory", "exec 3<>/proc/$1/mem"),
    ("trace", "python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).ptrace(16,int(sys.argv[1]),0,0)!=0)' $1"),
    (
        "take-descriptor",
        "python3 -c 'import ctypes,os,sys; l=ctypes.CDLL(None); sys.exit(l.syscall(438,os.pidfd_open(int(sys.argv[1])),3,0)<0)' $1",
    ),
    ("signal", "kill -9 $1"),
    ("guests-root", "echo x > /proc/1/root/workspace/README.md"),
    ("guests-directory", "echo x > /proc/1/cwd/workspace/README.md"),
    ("remount", "mount -o remount,bind,rw /workspace"),
    ("unmount", "umount -l /workspace"),
    ("own-mounts", "unshare -r -m sh -c 'umount -l /workspace && echo x > /workspace/README.md'"),
    (
        "attribute-of-mount",
        "python3 -c 'import ctypes,struct,sys; b=struct.pack(\"QQQQ\",0,1,0,0); sys.exit(ctypes.CDLL(None).syscall(442,-100,b\"/workspace\",0,b,32)!=0)'",
    ),
    (
        "copy-of-mount",
        "python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(428,-100,b\"/workspace\",1)<0)'",
    ),
];

async fn bench() -> Bench {
    let bench = Bench::new().await;
    std::fs::create_dir(bench.path("layer/workspace/empty")).unwrap();
    bench.with_git();
    bench
}

async fn sandbox(bench: &Bench, name: &str) -> Sandbox {
    let mut spec = bench.spec(name);
    spec.holding = Holding::Possible;
    bench.engine.create(spec).await.unwrap()
}

async fn held(sandbox: &Sandbox) {
    assert_eq!(sandbox.hold().await.unwrap(), Hold::Held);
}

/// Runs a command that can write to a held workspace.
async fn sync(sandbox: &Sandbox, script: &str) -> Collected {
    let exec = sandbox.sync_stream(&ExecSpec::shell(script).kill_leftovers()).await.unwrap();
    soon("the sync", exec.collect(4096)).await.unwrap()
}

fn said(done: &Collected) -> String {
    String::from_utf8_lossy(&[done.stdout.as_slice(), done.stderr.as_slice()].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_is_refused_while_it_is_held_and_works_afterwards() {
    assert!(WAYS.len() >= 30, "{} ways", WAYS.len());
    let bench = bench().await;
    let sandbox = sandbox(&bench, "ways").await;
    output(&sandbox, AGAIN).await;
    held(&sandbox).await;
    let before = output(&sandbox, LOOK).await;
    let mut wrong = Vec::new();
    for (name, script) in WAYS {
        let done = run(&sandbox, script).await;
        let said = said(&done);
        if done.ended.status.success() || !said.contains(READ_ONLY) {
            wrong.push(format!("{name}: {:?}: {said}", done.ended.status));
        }
    }
    assert!(wrong.is_empty(), "while it is held:\n{}", wrong.join("\n"));
    assert_eq!(output(&sandbox, LOOK).await, before);
    let refused = sandbox.write("README.md", b"x").await.unwrap_err();
    assert!(matches!(&refused, Error::Guest(failure) if failure.kind == FailureKind::Denied), "{refused}");
    let terminal = ExecSpec::shell("echo x > README.md");
    let terminal = sandbox.pty(terminal, WindowSize { columns: 80, rows: 24 }).await.unwrap();
    assert!(said(&terminal.collect(4096).await.unwrap()).contains(READ_ONLY));
    // Everything else can be read and written as ever.
    output(&sandbox, "grep -q hello README.md && git status && git log && echo x > ~/notes && echo x > /tmp/notes")
        .await;
    assert_eq!(sandbox.read("README.md", 0, 100).await.unwrap().bytes.as_ref(), b"hello\n");

    sandbox.release().await.unwrap();
    for (name, script) in WAYS {
        let done = run(&sandbox, script).await;
        if !done.ended.status.success() {
            wrong.push(format!("{name}: {:?}: {}", done.ended.status, said(&done)));
        }
        output(&sandbox, AGAIN).await;
    }
    assert!(wrong.is_empty(), "once it is released:\n{}", wrong.join("\n"));
    sandbox.write("README.md", b"x").await.unwrap();
    sandbox.destroy().await;
}

/// A command and what it has said that nobody waited for yet.
struct Talker {
    name: &'static str,
    exec: Exec,
    said: String,
}

impl Talker {
    async fn says(&mut self, word: &str) {
        while !self.said.contains(word) {
            let chunk = soon(&format!("{word} of {}", self.name), self.exec.next()).await.unwrap();
            let chunk = chunk.unwrap_or_else(|| panic!("{} ended without {word}: {}", self.name, self.said));
            self.said.push_str(&String::from_utf8_lossy(&chunk.bytes));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_began_before_is_held_as_well_and_can_write_afterwards() {
    let bench = bench().await;
    let sandbox = sandbox(&bench, "began").await;
    let mut began = Vec::new();
    for (name, script) in BEFORE {
        let exec =
            sandbox.exec_stream(&ExecSpec::shell(format!("mkfifo /tmp/go-{name}; {TRY}; {script}"))).await.unwrap();
        let mut talker = Talker { name, exec, said: String::new() };
        talker.says("up\n").await;
        began.push(talker);
    }
    held(&sandbox).await;
    let before = output(&sandbox, LOOK).await;
    for (name, _) in BEFORE.iter().filter(|(name, _)| *name != "event") {
        output(&sandbox, &format!("echo > /tmp/go-{name}")).await;
    }
    for talker in began.iter_mut().filter(|talker| talker.name != "event") {
        talker.says("refused\n").await;
    }
    assert_eq!(output(&sandbox, LOOK).await, before);
    // While the sync changes the very files that they wait for.
    let done =
        sync(&sandbox, "for n in $(seq 100); do echo $n > README.md; mv README.md READ.md; mv READ.md README.md; done")
            .await;
    assert!(done.ended.status.success(), "{}", said(&done));
    for talker in &mut began {
        talker.says("refused\n").await;
        assert!(!talker.said.contains("done"), "{} wrote while it was held", talker.name);
    }
    let files = output(&sandbox, "cat README.md; git status --short").await;
    assert_eq!(files, "100\n M README.md\n");

    sandbox.release().await.unwrap();
    output(&sandbox, "touch event").await;
    for talker in &mut began {
        talker.says("done\n").await;
    }
    output(&sandbox, "ls src/mine daemon mcp at-once && grep x README.md").await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sync_alone_can_write_and_nobody_becomes_it() {
    let bench = bench().await;
    let sandbox = sandbox(&bench, "alone").await;
    held(&sandbox).await;
    let done =
        sync(&sandbox, "echo synced > README.md && git -c user.name=T -c user.email=t@example.org commit -q -a -m x")
            .await;
    assert!(done.ended.status.success(), "{}", said(&done));
    // What it wrote is there for all at once.
    assert_eq!(output(&sandbox, "cat README.md; git log --format=%s").await, "synced\nx\nfirst\n");
    let before = output(&sandbox, LOOK).await;

    output(&sandbox, "mkfifo /tmp/end").await;
    let spec = ExecSpec::shell("exec 3<. && echo $$ && read line < /tmp/end").kill_leftovers();
    let mut exec = sandbox.sync_stream(&spec).await.unwrap();
    let pid = String::from_utf8(soon("its number", exec.next()).await.unwrap().unwrap().bytes.to_vec()).unwrap();
    let busy = sandbox.sync_stream(&ExecSpec::shell("true")).await;
    assert!(matches!(&busy, Err(Error::Guest(failure)) if failure.kind == FailureKind::Busy));
    let mut wrong = Vec::new();
    for (name, script) in AROUND {
        let script = format!("set -- {}; {script}", pid.trim());
        let done = run(&sandbox, &script).await;
        if done.ended.status.success() {
            wrong.push(format!("{name}: {}", said(&done)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(output(&sandbox, LOOK).await, before);
    output(&sandbox, "echo > /tmp/end").await;
    assert!(soon("the end", exec.wait()).await.unwrap().status.success());

    // One after the other is fine, until it is over.
    assert!(sync(&sandbox, "rm README.md").await.ended.status.success());
    sandbox.release().await.unwrap();
    output(&sandbox, "echo mine > README.md").await;
    assert!(matches!(sandbox.sync_stream(&ExecSpec::shell("true")).await, Err(Error::Guest(_))));
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_held_while_somebody_writes() {
    let bench = bench().await;
    let sandbox = sandbox(&bench, "in-use").await;
    let mut exec = sandbox
        .exec_stream(&ExecSpec::shell("exec 3>>log; mkfifo /tmp/end; echo up; read line < /tmp/end"))
        .await
        .unwrap();
    soon("the start", exec.next()).await.unwrap();
    assert_eq!(sandbox.hold().await.unwrap(), Hold::InUse);
    output(&sandbox, "echo x > README.md; echo > /tmp/end").await;
    soon("the end", exec.wait()).await.unwrap();
    held(&sandbox).await;
    // A second time is as good.
    held(&sandbox).await;
    assert!(!run(&sandbox, "echo x > README.md").await.ended.status.success());
    sandbox.release().await.unwrap();
    output(&sandbox, "echo x > README.md").await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_not_made_for_it_is_not_held() {
    let bench = bench().await;
    let sandbox = bench.sandbox("plain").await;
    assert!(matches!(sandbox.hold().await, Err(Error::Unsupported { .. })));
    output(&sandbox, "echo x > README.md").await;
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_after_it_was_held_keeps_everything_and_nothing_is_written_behind_it() {
    let bench = bench().await;
    let sandbox = sandbox(&bench, "kept").await;
    held(&sandbox).await;
    assert!(sync(&sandbox, "echo synced > README.md").await.ended.status.success());
    sandbox.release().await.unwrap();
    output(&sandbox, "echo mine > mine").await;
    let frozen = sandbox.snapshot().await.unwrap();
    assert_eq!(frozen.guarantee, hangar_sandbox::Guarantee::Quiescent);
    assert_eq!(std::fs::read(frozen.tree.join("workspace/README.md")).unwrap(), b"synced\n");
    output(&sandbox, "echo later > mine && echo later > README.md").await;
    assert_eq!(std::fs::read(frozen.tree.join("workspace/mine")).unwrap(), b"mine\n");
    assert_eq!(std::fs::read(frozen.tree.join("workspace/README.md")).unwrap(), b"synced\n");
    assert_eq!(output(&sandbox, "grep -c workspace /proc/self/mounts || true").await, "0\n");
    sandbox.destroy().await;
}
