//! Reading, writing, listing and searching, and what a command sees of it.

use hangar_sandbox::{Error, FailureKind, FileKind, GlobRequest, GrepRequest, Sandbox};

use crate::bench::{Bench, output};

fn kind(error: &Error) -> Option<FailureKind> {
    match error {
        Error::Guest(failure) => Some(failure.kind),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_files_see_the_same_workspace() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("files").await;
    assert_eq!(&sandbox.read("README.md", 0, 100).await.unwrap().bytes[..], b"hello\n");
    assert!(sandbox.write("deep/er/file.txt", b"new").await.unwrap());
    let seen = output(&sandbox, "cat deep/er/file.txt; stat -c ' %U %a' README.md deep/er/file.txt").await;
    assert_eq!(seen, "new agent 644\n agent 644\n");
    output(&sandbox, "echo more >> README.md").await;
    assert_eq!(&sandbox.read("README.md", 0, 100).await.unwrap().bytes[..], b"hello\nmore\n");
    assert!(!sandbox.write("README.md", b"short").await.unwrap());
    assert_eq!(std::fs::read_to_string(bench.path("layer/workspace/README.md")).unwrap(), "hello\n");
    sandbox.write_mode("run.sh", b"#!/bin/sh\necho ran\n", 0o755).await.unwrap();
    assert_eq!(output(&sandbox, "./run.sh").await, "ran\n");
    sandbox.write("run.sh", b"#!/bin/sh\necho again\n").await.unwrap();
    assert_eq!(output(&sandbox, "./run.sh").await, "again\n");
    // A directory of the clone can be renamed, which an overlay does not do by itself.
    assert_eq!(
        output(&sandbox, "perl -e 'rename qw(src source) or die $!'; cat source/lib.rs | head -1").await,
        "pub fn one() -> u32 {\n"
    );
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_bounded_and_refusals_name_the_path() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("bounds").await;
    sandbox.write("digits", b"0123456789").await.unwrap();
    let part = sandbox.read("digits", 3, 4).await.unwrap();
    assert_eq!((&part.bytes[..], part.size, part.truncated), (&b"3456"[..], 10, true));
    let rest = sandbox.read("digits", 8, 100).await.unwrap();
    assert_eq!((&rest.bytes[..], rest.truncated), (&b"89"[..], false));
    output(&sandbox, "truncate -s 20M big; mkfifo pipe; ln -s digits link").await;
    let big = sandbox.read("big", 0, u64::MAX).await.unwrap();
    assert_eq!((big.bytes.len(), big.size, big.truncated), (8 << 20, 20 << 20, true));

    assert_eq!(kind(&sandbox.read("nowhere", 0, 1).await.unwrap_err()), Some(FailureKind::NotFound));
    assert_eq!(kind(&sandbox.read("src", 0, 1).await.unwrap_err()), Some(FailureKind::WrongKind));
    assert_eq!(kind(&sandbox.read("pipe", 0, 1).await.unwrap_err()), Some(FailureKind::WrongKind));
    assert_eq!(kind(&sandbox.write("src", b"x").await.unwrap_err()), Some(FailureKind::WrongKind));
    assert_eq!(kind(&sandbox.write("/usr/new", b"x").await.unwrap_err()), Some(FailureKind::Denied));
    assert!(sandbox.write("/usr/new", b"x").await.unwrap_err().to_string().contains("/usr/new"));
    let too_large = sandbox.write("big", &vec![0; (8 << 20) + 1]).await.unwrap_err();
    assert!(matches!(too_large, Error::TooLarge { .. }), "{too_large}");

    let link = sandbox.stat("link").await.unwrap();
    assert_eq!((link.kind, link.target.as_deref()), (FileKind::Symlink, Some("digits")));
    // Writing through a link keeps it.
    sandbox.write("link", b"new").await.unwrap();
    assert_eq!(sandbox.stat("link").await.unwrap().kind, FileKind::Symlink);
    assert_eq!(&sandbox.read("digits", 0, 10).await.unwrap().bytes[..], b"new");
    let (entries, truncated) = sandbox.list(".").await.unwrap();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, [".gitignore", "README.md", "big", "digits", "link", "pipe", "src"]);
    assert!(!truncated);
    sandbox.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_never_leads_to_the_host() {
    let bench = Bench::new().await;
    std::fs::write(bench.path("secret"), "host secret").unwrap();
    let secret = bench.path("secret").to_string_lossy().into_owned();
    // Both in the clone, as a hostile repository would have it, and made by a command.
    std::os::unix::fs::symlink(&secret, bench.path("layer/workspace/stolen")).unwrap();
    std::os::unix::fs::symlink("/", bench.path("layer/workspace/root")).unwrap();
    let sandbox = bench.sandbox("links").await;
    output(
        &sandbox,
        &format!("ln -s {secret} made; ln -s /proc/1/root/{secret} by-proc; ln -s ../../../../../..{secret} up"),
    )
    .await;
    for path in ["stolen", "made", "by-proc", "up", &format!("root{secret}"), &format!("../../../..{secret}"), &secret]
    {
        let error = sandbox.read(path, 0, 100).await.unwrap_err();
        assert!(matches!(kind(&error), Some(FailureKind::NotFound | FailureKind::Denied)), "{path}: {error}");
    }
    sandbox.write("stolen", b"overwritten").await.ok();
    assert_eq!(std::fs::read_to_string(bench.path("secret")).unwrap(), "host secret");
    sandbox.destroy().await;
}

async fn globbed(sandbox: &Sandbox, pattern: &str) -> Vec<String> {
    let request = GlobRequest { pattern: pattern.into(), path: ".".into(), limit: 100 };
    let mut paths = sandbox.glob(&request).await.unwrap().paths;
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn searching_respects_gitignore() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("search").await;
    output(
        &sandbox,
        "mkdir -p target/x .git src/deep node_modules/m .config; for f in target/x .git src/deep node_modules/m .config; do \
         echo 'pub fn Needle() {}' > $f/n.rs; done; printf 'a\\nNEEDLE\\nb\\n' > src/other.txt; printf 'needle\\0binary' > blob",
    )
    .await;
    assert_eq!(globbed(&sandbox, "**/*.rs").await, [".config/n.rs", "src/deep/n.rs", "src/lib.rs"]);
    assert_eq!(globbed(&sandbox, "*.rs").await, [".config/n.rs", "src/deep/n.rs", "src/lib.rs"]);
    assert_eq!(globbed(&sandbox, "src/*.rs").await, ["src/lib.rs"]);
    let newest = sandbox.glob(&GlobRequest { pattern: "*".into(), path: "src".into(), limit: 1 }).await.unwrap();
    assert_eq!((newest.paths.len(), newest.truncated), (1, true));

    let mut request = GrepRequest {
        pattern: "needle".into(),
        path: ".".into(),
        glob: None,
        ignore_case: true,
        context: 0,
        limit: 100,
    };
    let found = |matches: Vec<hangar_sandbox::GrepMatch>| {
        matches
            .into_iter()
            .map(|found| {
                format!("{}:{}:{}{}", found.path, found.line, if found.context { "-" } else { "" }, found.text)
            })
            .collect::<Vec<_>>()
    };
    let (matches, truncated) = sandbox.grep(&request).await.unwrap();
    let expected =
        [".config/n.rs:1:pub fn Needle() {}", "src/deep/n.rs:1:pub fn Needle() {}", "src/other.txt:2:NEEDLE"];
    assert_eq!((found(matches), truncated), (expected.map(String::from).to_vec(), false));
    (request.glob, request.context) = (Some("*.txt".into()), 1);
    let (matches, _) = sandbox.grep(&request).await.unwrap();
    assert_eq!(found(matches), ["src/other.txt:1:-a", "src/other.txt:2:NEEDLE", "src/other.txt:3:-b"]);
    (request.path, request.glob, request.context, request.limit) = ("src".into(), None, 0, 1);
    assert!(sandbox.grep(&request).await.unwrap().1);
    request.pattern = "(".into();
    assert_eq!(kind(&sandbox.grep(&request).await.unwrap_err()), Some(FailureKind::Invalid));
    let bad = GlobRequest { pattern: "[".into(), path: ".".into(), limit: 1 };
    assert_eq!(kind(&sandbox.glob(&bad).await.unwrap_err()), Some(FailureKind::Invalid));
    sandbox.destroy().await;
}
