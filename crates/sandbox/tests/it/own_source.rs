//! What the host shows of hangar's own source: in every sandbox, whatever its root, read only.

use hangar_protocol::source::OWN_SOURCE;
use hangar_sandbox::{Base, Root, adopt};

use crate::bench::{Bench, output, run};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_in_sandboxes_over_either_base_and_nobody_writes_there() {
    let shown = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(shown.path().join("src")).unwrap();
    std::fs::write(shown.path().join("src/lib.rs"), "pub fn hangar() {}\n").unwrap();
    let place = shown.path().to_owned();
    // The directory of a test is its user's alone; what hangar shows is for everybody.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&place, open).unwrap();
    let bench = Bench::on(move |config| config.own_source = Some(place)).await.unwrap();
    let file = format!("{OWN_SOURCE}/src/lib.rs");

    let host = bench.sandbox("over-host").await;
    assert_eq!(output(&host, &format!("cat {file}")).await, "pub fn hangar() {}\n");
    let tried =
        run(&host, &format!("touch {OWN_SOURCE}/new; echo x >> {file}; rm {file}; mv {OWN_SOURCE} /tmp/x")).await;
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(!tried.ended.status.success());
    assert!(said.matches("Read-only file system").count() >= 2, "{said}");
    assert_eq!(output(&host, &format!("cat {file}")).await, "pub fn hangar() {}\n");
    host.destroy().await;

    // A root of its own has no program here; the guest reads and writes for it.
    adopt(&bench.path("layer/workspace")).unwrap();
    let mut spec = bench.spec("over-tree");
    spec.root = Root::tree(vec![bench.path("layer")]);
    assert_eq!(spec.root.base, Base::Tree);
    let tree = bench.engine.create(spec).await.unwrap();
    assert_eq!(tree.read(&file, 0, 100).await.unwrap().bytes.as_ref(), b"pub fn hangar() {}\n");
    assert!(tree.write(&file, b"changed").await.is_err());
    assert!(tree.write(&format!("{OWN_SOURCE}/new"), b"new").await.is_err());
    tree.destroy().await;
    assert_eq!(std::fs::read_to_string(shown.path().join("src/lib.rs")).unwrap(), "pub fn hangar() {}\n");
}
