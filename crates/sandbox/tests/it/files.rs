//! Reading and writing, and what a command sees of it.

use hangar_sandbox::{Error, FailureKind};

use crate::bench::{Bench, output};

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_files_see_the_same_workspace() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox("files").await;
    assert_eq!(&sandbox.read("README.md", 0, 100).await.unwrap().bytes[..], b"hello\n");
    assert!(sandbox.write("deep/er/file.txt", b"new").await.unwrap());
    assert_eq!(
        output(&sandbox, "cat deep/er/file.txt; stat -c '%U %a' README.md deep/er/file.txt").await,
        "newagent 644\nagent 644\n"
    );
    output(&sandbox, "echo more >> README.md").await;
    assert_eq!(&sandbox.read("README.md", 0, 100).await.unwrap().bytes[..], b"hello\nmore\n");
    let missing = sandbox.read("nowhere", 0, 1).await.unwrap_err();
    assert!(matches!(missing, Error::Guest(ref failure) if failure.kind == FailureKind::NotFound), "{missing}");
    assert_eq!(std::fs::read_to_string(bench.path("clone/README.md")).unwrap(), "hello\n");
    sandbox.destroy().await;
}
