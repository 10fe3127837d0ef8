//! Group 5: files in and out.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use futures::future::BoxFuture;
use libc::EPERM;

use super::{
    arena::{Arena, check},
    case::Case,
};

pub(crate) const CASES: &[Case] = &[
    Case::scene("link-read", "CVE-2022-1227 family", "have the host read its own file through a link", link_read),
    Case::scene("link-race", "CVE-2018-15664, CVE-2021-30465", "swap a directory for a link while the host reads", link_race),
    Case::scene("dots", "path traversal", "have the host follow ../ out of the workspace", dots),
    Case::scene("magic-links", "/proc/PID/root", "have the host read through /proc/1/root and /proc/self/fd", magic_links),
    Case::scene("link-write", "CVE-2019-16884 family", "have the host write its own file through a link", link_write),
    Case::scene("fifo", "blocking by special files", "have the host wait for a pipe that nobody writes", fifo),
    Case::scene("endless-file", "reads without end", "have the host read /dev/zero and a sparse file of a terabyte", endless_file),
    Case::scene("many-entries", "listings without end", "have the host list more than it can take", many_entries),
    Case::scene("deep-tree", "stack by depth", "have the host search a tree a thousand directories deep", deep_tree),
    Case::scene("odd-names", "terminal escapes, invalid UTF-8", "have the host list names that are no text", odd_names),
    Case::scene("set-user-id-on-disk", "set-user-id files left for the host", "leave a set-user-id program in the session's files", set_user_id_on_disk),
    Case::scene("capabilities-on-disk", "CVE-2021-3493, CVE-2023-0386", "leave a program with capabilities in the session's files", capabilities_on_disk),
    Case::scene("owners-on-disk", "ids on disk", "leave files of a user of the host", owners_on_disk),
    Case::call("trusted-attributes", "CVE-2021-3493", "forge an overlay's notes", "188 s:/workspace/README.md s:trusted.overlay.opaque s:y 1 0", EPERM),
    Case::call("security-attributes", "capabilities(7)", "write a capability attribute", "188 s:/workspace/README.md s:security.capability x:0100000200040000000000000000000000000000 20 0", EPERM)
        .agent_only(),
    Case::scene("clone-immutable", "shared layers", "change what other sandboxes see below", clone_immutable),
    Case::script("hard-links", "CVE-2015-1328 family", "link a program of the host into the workspace", "ln /usr/bin/id /workspace/id 2>/dev/null && echo linked; ln /proc/self/exe /tmp/exe 2>/dev/null && echo linked; echo end", "end"),
    Case::script(
        "programs-immutable",
        "read-only base",
        "change, add, rename or remove a program of the host",
        "for c in 'touch /usr/x' 'touch /usr/bin/id' 'rm /usr/bin/id' 'mv /usr/bin/id /usr/bin/id2' 'chmod 777 /usr/bin/id' 'truncate -s 0 /usr/bin/id' 'mkdir /usr/local/x' 'ln -s /tmp /usr/lib/x'; do $c 2>/dev/null && echo \"did $c\"; done; echo end",
        "end",
    ),
    Case::script(
        "settings-immutable",
        "read-only base",
        "change what the system says about users, hosts and libraries",
        "for f in passwd group hosts resolv.conf nsswitch.conf ld.so.cache machine-id hostname ld.so.preload profile; do (echo x >>/etc/$f) 2>/dev/null && echo \"wrote $f\"; done; (echo x >/root/x) 2>/dev/null && echo wrote; (echo x >/x) 2>/dev/null && echo wrote; echo end",
        "end",
    )
    .agent_only(),
    Case::script(
        "shared-mappings",
        "CVE-2016-5195 (Dirty COW), CVE-2022-0847 (Dirty Pipe)",
        "write to a program of the host through memory",
        r#"perl -e 'open F, "+<", "/usr/bin/id" and print "opened\n"; open F, "<", "/usr/bin/id"; my $r = syscall(9, 0, 4096, 3, 1, fileno(F), 0); print $r == -1 ? "end\n" : "mapped\n"'"#,
        "end",
    ),
    Case::scene("writes-counted", "hidden space", "hide from the count of files by removing what is open", writes_counted),
];

/// What the host reads of a path inside, as text; errors are text as well.
async fn host_reads(arena: &Arena, path: &str) -> String {
    match arena.sandbox.read(path, 0, 1 << 20).await {
        Ok(file) => String::from_utf8_lossy(&file.bytes).into_owned(),
        Err(error) => format!("error: {error}"),
    }
}

fn without_secret(arena: &Arena, seen: &str) -> Result<(), String> {
    check(!seen.contains(&arena.canaries.secret), || format!("the host's secret came through: {seen:?}"))
}

fn link_read(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let file = arena.canaries.file();
        let directory = Path::new(&file).parent().map(|path| path.display().to_string()).unwrap_or_default();
        arena
            .script(&format!(
                "ln -sfn {file} /workspace/one; ln -sfn {directory} /workspace/two; ln -sfn / /workspace/three"
            ))
            .await;
        for path in ["one".to_owned(), "two/flag".to_owned(), format!("three{file}")] {
            without_secret(arena, &host_reads(arena, &path).await)?;
        }
        Ok(())
    })
}

fn link_write(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let file = arena.canaries.file();
        arena.script(&format!("ln -sfn {file} /workspace/out; ln -sfn /usr/bin /workspace/bin")).await;
        // Whether it makes a file inside or fails, the host's must stay (the canaries are looked at in the end).
        let _ = arena.sandbox.write("out", b"changed").await;
        let program = arena.sandbox.write("bin/id", b"changed").await.is_ok();
        let flag = fs::read_to_string(&file).unwrap_or_default();
        check(flag == arena.canaries.secret && !program, || format!("now {flag:?}; a program: {program}"))
    })
}

fn link_race(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let file = arena.canaries.file();
        let directory = Path::new(&file).parent().map(|path| path.display().to_string()).unwrap_or_default();
        let script = format!(
            "cd /workspace; mkdir -p real; echo harmless >real/flag; ln -sfn {directory} trick; \
             perl -e 'my $e = time + 3; while (time < $e) {{ rename \"real\", \"spot\"; rename \"spot\", \"real\"; symlink \"{directory}\", \"spot\"; unlink \"spot\" }}'"
        );
        let (swapped, read) = tokio::join!(arena.script(&script), async {
            let begun = std::time::Instant::now();
            while begun.elapsed() < std::time::Duration::from_millis(2500) {
                without_secret(arena, &host_reads(arena, "spot/flag").await)?;
            }
            Ok(())
        });
        drop(swapped);
        read
    })
}

fn dots(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let file = arena.canaries.file();
        for path in [
            format!("../../../../..{file}"),
            format!("/workspace/../..{file}"),
            file.clone(),
            format!("src/../../..{file}"),
        ] {
            without_secret(arena, &host_reads(arena, &path).await)?;
        }
        Ok(())
    })
}

fn magic_links(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let file = arena.canaries.file();
        for process in ["1", "self", "thread-self"] {
            without_secret(arena, &host_reads(arena, &format!("/proc/{process}/root{file}")).await)?;
            for fd in 0..16 {
                without_secret(arena, &host_reads(arena, &format!("/proc/{process}/fd/{fd}/..{file}")).await)?;
            }
        }
        Ok(())
    })
}

fn fifo(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena.script("mkfifo /workspace/pipe; perl -e 'use Socket; socket S, PF_UNIX, SOCK_STREAM, 0; bind S, sockaddr_un(\"/workspace/socket\")'").await;
        let patience = std::time::Duration::from_secs(10);
        for path in ["pipe", "socket", "/dev/pts/ptmx", "/dev/tty"] {
            let read = tokio::time::timeout(patience, host_reads(arena, path)).await;
            check(read.is_ok(), || format!("the host waits for {path}"))?;
        }
        check(arena.sandbox.ping().await.is_ok(), || "the guest does not answer".into())
    })
}

fn endless_file(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena.script("truncate -s 3G /workspace/sparse").await;
        let most = 8 << 20;
        for path in ["/dev/zero", "/dev/urandom", "sparse"] {
            if let Ok(file) = arena.sandbox.read(path, 0, u64::MAX).await {
                check(file.bytes.len() <= most, || format!("{} bytes of {path}", file.bytes.len()))?;
            }
        }
        arena.script("rm -f /workspace/sparse").await;
        check(arena.sandbox.ping().await.is_ok(), || "the guest does not answer".into())
    })
}

fn many_entries(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena.script("mkdir /tmp/many; cd /tmp/many; seq 12000 | xargs touch").await;
        let (entries, truncated) = arena.sandbox.list("/tmp/many").await.map_err(|error| error.to_string())?;
        arena.script("rm -rf /tmp/many").await;
        check(entries.len() <= 10_000 && truncated, || format!("{} entries", entries.len()))
    })
}

fn deep_tree(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena
            .script(r#"perl -e 'chdir "/tmp"; for (1..1500) { mkdir "deep"; chdir "deep" } open F, ">", "end"'"#)
            .await;
        let request = hangar_sandbox::GlobRequest { pattern: "**/end".into(), path: "/tmp/deep".into(), limit: 10 };
        // Found or refused, in time, and the guest lives on.
        let _ = arena.sandbox.glob(&request).await;
        check(arena.sandbox.ping().await.is_ok(), || "the guest does not answer".into())
    })
}

fn odd_names(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let script = r#"perl -e 'mkdir "/tmp/odd"; for ("a\nb", "\e]0;x\a", "\xff\xfe", "--help", "a" x 255, " ") { open F, ">", "/tmp/odd/$_" or print "no\n" } print "made\n"'"#;
        let made = arena.script(script).await;
        let (entries, _) = arena.sandbox.list("/tmp/odd").await.map_err(|error| error.to_string())?;
        check(made == "made" && !entries.is_empty(), || format!("{made:?}, {} entries", entries.len()))
    })
}

/// Every file that the sandboxes of this arena have left on the host's disk.
fn left_on_disk(arena: &Arena) -> Vec<(std::path::PathBuf, fs::Metadata)> {
    let mut found = Vec::new();
    let mut open = vec![arena.path("")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if let Ok(meta) = entry.metadata() {
                if meta.is_dir() {
                    open.push(entry.path());
                }
                found.push((entry.path(), meta));
            }
        }
    }
    found
}

fn named(arena: &Arena, name: &str) -> Option<(std::path::PathBuf, fs::Metadata)> {
    left_on_disk(arena).into_iter().find(|(path, _)| path.file_name().is_some_and(|file| file == name))
}

const FIRST_ID: u32 = 2_000_000_000;

fn set_user_id_on_disk(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena.script("cp /usr/bin/id /workspace/set-id; chown 0:0 /workspace/set-id 2>/dev/null; chmod 6755 /workspace/set-id").await;
        let (_, meta) = named(arena, "set-id").ok_or("it is not on disk")?;
        check(meta.uid() >= FIRST_ID && meta.gid() >= FIRST_ID, || {
            format!("it belongs to {}:{}", meta.uid(), meta.gid())
        })
    })
}

fn capabilities_on_disk(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena
            .script(
                "cp /usr/bin/id /workspace/capable; /usr/sbin/setcap cap_sys_admin+ep /workspace/capable 2>/dev/null",
            )
            .await;
        let (path, _) = named(arena, "capable").ok_or("it is not on disk")?;
        let mut value = [0u8; 64];
        match rustix::fs::getxattr(&path, "security.capability", &mut value) {
            Err(_) => Ok(()),
            // Version 3 names the root of the user namespace in which it counts.
            Ok(size) => {
                let root =
                    value.get(20..24).map(|bytes| bytes.iter().rev().fold(0u32, |id, byte| id << 8 | u32::from(*byte)));
                check(size == 24 && root.is_some_and(|root| root >= FIRST_ID), || format!("{:?}", &value[..size]))
            }
        }
    })
}

fn owners_on_disk(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        arena.script("mkdir -p /workspace/mine/below; echo x >/workspace/mine/file; ln -s x /workspace/mine/link; mkfifo /workspace/mine/fifo").await;
        let (directory, _) = named(arena, "mine").ok_or("it is not on disk")?;
        for name in ["", "below", "file", "link", "fifo"] {
            let meta = fs::symlink_metadata(directory.join(name)).map_err(|error| format!("{name}: {error}"))?;
            check(meta.uid() >= FIRST_ID && meta.gid() >= FIRST_ID, || format!("{name} belongs to {}", meta.uid()))?;
        }
        Ok(())
    })
}

fn clone_immutable(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let other = arena.another("sharing", |_| {}).await;
        arena.script("cd /workspace; echo changed >src/lib.rs; rm README.md; mv src moved; chmod 777 .gitignore; echo new >new").await;
        let seen = super::arena::said(
            &other,
            "cd /workspace; ls -A; cat README.md src/lib.rs | head -2; stat -c %a .gitignore",
        )
        .await;
        other.destroy().await;
        arena.script("cd /workspace; mv moved src; echo hello >README.md").await;
        check(seen == ".gitignore\nREADME.md\nsrc\nhello\npub fn one() -> u32 {\n644", || {
            format!("another saw {seen:?}")
        })
    })
}

fn writes_counted(arena: &Arena) -> BoxFuture<'_, Result<(), String>> {
    Box::pin(async move {
        let sandbox = arena.another("hidden", |limits| limits.disk_bytes = 16 << 20).await;
        // 200 MiB in files that have no name any more, held open, a little at a time.
        let script = r#"perl -e 'my @held; for my $i (1..200) { open my $f, ">", "/workspace/h" or exit 1; unlink "/workspace/h"; syswrite $f, "x" x (1 << 20) or exit 2; push @held, $f; select undef, undef, undef, 0.02 } print "all\n"'"#;
        let said = super::arena::said(&sandbox, script).await;
        // docs/sandbox.md says how much may slip through: what is open counts for the file system's free space only.
        let alive = sandbox.ping().await.is_ok();
        sandbox.destroy().await;
        check(alive && (said.is_empty() || said == "all"), || format!("{said:?}"))
    })
}
