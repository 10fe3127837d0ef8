//! What the host shows of hangar's own source: in every sandbox, whatever its root, read only.

use hangar_protocol::source::OWN_SOURCE;
use hangar_sandbox::{Account, Base, Root, adopt};

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

    // Neither does its root, which may not mount; and how it is mounted says nothing of where the host has it.
    let mut spec = bench.spec("as-root");
    spec.account = Account::Builder;
    let root = bench.engine.create(spec).await.unwrap();
    let tried = format!(
        "mount -o remount,bind,rw {OWN_SOURCE} || echo not remounted; umount {OWN_SOURCE} || echo not unmounted; \
         touch {OWN_SOURCE}/new || echo not made"
    );
    let seen = output(&root, &format!("id -u; {{ {tried}; }} 2> /dev/null")).await;
    assert_eq!(seen, "0\nnot remounted\nnot unmounted\nnot made\n");
    let mount = output(&root, &format!("grep ' {OWN_SOURCE} ' /proc/self/mountinfo")).await;
    let fields: Vec<&str> = mount.split(' ').collect();
    let options: Vec<&str> = fields[5].split(',').collect();
    assert_eq!(fields[3], "/", "{mount}");
    for option in ["ro", "nosuid", "nodev"] {
        assert!(options.contains(&option), "{option} is not in {mount}");
    }
    assert!(!mount.contains(&*shown.path().to_string_lossy()), "{mount}");
    root.destroy().await;

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
