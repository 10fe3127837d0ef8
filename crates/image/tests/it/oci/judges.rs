//! Programs that are not ours read what hangar gives out, and hangar reads what they write.

use std::{fs, path::Path, process::Command};

use hangar_image::oci::{Annotations, Export, ExportLayer, RunConfig, Squeeze, export};

use super::made::{Bench, Entry, tar};

/// Runs a program that `scripts/install.sh test` installs.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: run scripts/install.sh test ({error})"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn demo(
    bench: &Bench,
    squeeze: Squeeze,
) -> (std::path::PathBuf, hangar_image::oci::Exported, Vec<hangar_sandbox::layers::LayerId>) {
    let lower = tar(&[
        Entry::directory("etc/"),
        Entry::file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        Entry::file("etc/gone", "x"),
        Entry::directory("opt/old/"),
        Entry::file("opt/old/inside", "x"),
        Entry::file("home/agent/mine", "x").owner(1000, 1000),
        Entry::hard_link("etc/again", "etc/passwd"),
        Entry::symlink("bin", "usr/bin"),
    ]);
    let upper = tar(&[
        Entry::file("etc/.wh.gone", ""),
        Entry::directory("opt/old/"),
        Entry::file("opt/old/.wh..wh..opq", ""),
        Entry::file("opt/old/new", "new"),
    ]);
    let imported = bench.import_layers(&[lower, upper]).unwrap();
    let image = Export {
        layers: imported
            .layers
            .iter()
            .map(|id| ExportLayer { tree: bench.store.tree(id), made_by: "a test".into() })
            .collect(),
        config: RunConfig {
            env: [("PATH".into(), "/usr/bin".into())].into(),
            working_dir: "/workspace".into(),
            user: "1000".into(),
            ..RunConfig::default()
        },
        annotations: Annotations {
            repository: "acme/app".into(),
            commit: "c0ffee".into(),
            recipe: "sha256:1".into(),
            built_at: "2026-01-01T00:00:00Z".into(),
        },
        name: "acme/app:main".into(),
        squeeze,
    };
    let file = bench.fresh().join("image.tar");
    let exported = export(&image, &file, bench.directory.path()).unwrap();
    (file, exported, imported.layers)
}

#[test]
fn skopeo_reads_converts_and_gives_back_the_same_image() {
    for squeeze in [Squeeze::Gzip, Squeeze::Zstd, Squeeze::Not] {
        let bench = Bench::new();
        let (file, exported, layers) = demo(&bench, squeeze);
        let from = format!("oci-archive:{}", text(&file));
        let inspected: serde_json::Value = serde_json::from_str(&run("skopeo", &["inspect", &from])).unwrap();
        assert_eq!(inspected["Digest"], exported.digest.to_string());
        assert_eq!(inspected["Labels"]["org.opencontainers.image.revision"], "c0ffee");
        // What skopeo copies to a directory, hangar takes in again.
        let copy = bench.fresh();
        run("skopeo", &["--insecure-policy", "copy", "-q", &from, &format!("oci:{}:main", text(&copy))]);
        assert_eq!(bench.import(&copy).unwrap().layers, layers);
        if squeeze == Squeeze::Zstd {
            // Docker's format of old knows no zstd.
            continue;
        }
        // The same as `docker save` writes it.
        let saved = bench.fresh().join("saved.tar");
        run(
            "skopeo",
            &["--insecure-policy", "copy", "-q", &from, &format!("docker-archive:{}:acme/app:main", text(&saved))],
        );
        assert_eq!(bench.import(&saved).unwrap().layers, layers);
        // And what older docker reads of hangar's own file.
        run("skopeo", &["inspect", &format!("docker-archive:{}", text(&file))]);
    }
}

#[test]
fn umoci_unpacks_it_as_it_was() {
    let bench = Bench::new();
    let (file, _, _) = demo(&bench, Squeeze::Gzip);
    let (layout, bundle) = (bench.fresh(), bench.fresh().join("bundle"));
    run("tar", &["-C", text(&layout), "-xf", text(&file)]);
    run("umoci", &["unpack", "--image", &format!("{}:acme/app:main", text(&layout)), text(&bundle)]);
    let root = bundle.join("rootfs");
    assert_eq!(fs::read_to_string(root.join("etc/passwd")).unwrap(), "root:x:0:0::/root:/bin/sh\n");
    assert!(!root.join("etc/gone").exists() && !root.join("opt/old/inside").exists());
    assert_eq!(fs::read_to_string(root.join("opt/old/new")).unwrap(), "new");
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    use std::os::unix::fs::MetadataExt;
    let mine = fs::metadata(root.join("home/agent/mine")).unwrap();
    assert_eq!((mine.uid(), mine.mtime()), (1000, 1_000_000_000));
    assert_eq!(
        fs::metadata(root.join("etc/again")).unwrap().ino(),
        fs::metadata(root.join("etc/passwd")).unwrap().ino()
    );
    let config: serde_json::Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["cwd"], "/workspace");
}
