//! What honest images mean, told by the trees they become.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use hangar_image::oci::Digest;
use serde_json::json;

use super::made::{Bench, Entry, blob, gzip, layout, layout_packed, tar};

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

fn is_opaque(path: &Path) -> bool {
    let name = if rustix::process::geteuid().is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
    let mut value = [0; 1];
    rustix::fs::getxattr(path, name, &mut value).is_ok_and(|length| length == 1 && value == *b"y")
}

#[test]
fn layers_become_trees_as_overlayfs_wants_them() {
    let bench = Bench::new();
    let lower = tar(&[
        Entry::directory("etc/").mode(0o751),
        Entry::file("etc/passwd", "root").owner(0, 42),
        Entry::directory("etc/conf.d/").mode(0o700).owner(7, 7),
        Entry::file("etc/conf.d/a", "a"),
        Entry::directory("srv/old/"),
        Entry::symlink("bin", "usr/bin").owner(5, 6),
        Entry::file("usr/bin/sh", "#!").mode(0o755),
        Entry::hard_link("usr/bin/dash", "usr/bin/sh"),
    ]);
    let upper = tar(&[
        // Directories that the layer does not list look as below.
        Entry::file("etc/conf.d/b", "b"),
        Entry::file("etc/.wh.passwd", ""),
        // Gone, then made anew: nothing shows through.
        Entry::file("srv/.wh.old", ""),
        Entry::directory("srv/old/"),
        // The other order.
        Entry::directory("var/cache/"),
        Entry::file("var/.wh.cache", ""),
        Entry::file("new/.wh..wh..opq", ""),
        Entry::file(".wh..wh.plnk", ""),
        // The last of two counts.
        Entry::file("twice", "one"),
        Entry::file("twice", "two"),
        Entry::directory("changes/sides/"),
        Entry::file("changes/sides/x", "x"),
        Entry::file("changes", "now a file"),
    ]);
    let imported = bench.import_layers(&[lower, upper]).unwrap();
    let [top, bottom] = &imported.layers[..] else { panic!("{imported:?}") };
    let (top, bottom) = (bench.store.tree(top), bench.store.tree(bottom));
    assert_eq!(fs::read_link(bottom.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(
        fs::metadata(bottom.join("usr/bin/sh")).unwrap().ino(),
        fs::metadata(bottom.join("usr/bin/dash")).unwrap().ino()
    );
    assert_eq!(fs::metadata(bottom.join("etc")).unwrap().mode() & 0o7777, 0o751);
    if rustix::process::geteuid().is_root() {
        let first = hangar_sandbox::DISK_IDS_FIRST;
        let owner = |path: &str| {
            fs::symlink_metadata(bottom.join(path)).map(|meta| (meta.uid() - first, meta.gid() - first)).unwrap()
        };
        assert_eq!([owner("etc/passwd"), owner("bin"), owner("etc/conf.d")], [(0, 42), (5, 6), (7, 7)]);
        let unlisted = fs::metadata(top.join("etc/conf.d")).unwrap();
        assert_eq!((unlisted.mode() & 0o7777, unlisted.uid() - first), (0o700, 7));
    }
    assert!(is_whiteout(&top.join("etc/passwd")));
    assert!(top.join("etc/conf.d/b").exists() && !is_opaque(&top.join("etc")));
    assert!(is_opaque(&top.join("srv/old")) && is_opaque(&top.join("var/cache")) && is_opaque(&top.join("new")));
    assert_eq!(fs::read(top.join("twice")).unwrap(), b"two");
    assert_eq!(fs::read(top.join("changes")).unwrap(), b"now a file");
    assert!(!top.join(".wh..wh.plnk").exists());
    assert_eq!(fs::metadata(bottom.join("etc")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(imported.config.env["LANG"], "C.UTF-8");
    assert_eq!((imported.config.working_dir.as_str(), imported.config.user.as_str()), ("/srv", "1000:1000"));
}

#[test]
fn packed_or_not_in_a_directory_or_a_file_an_image_is_the_same() {
    let bench = Bench::new();
    let layer = tar(&[Entry::file("a", "content")]);
    let zstd = zstd::encode_all(&*layer, 3).unwrap();
    let plain = bench.import_layers(std::slice::from_ref(&layer)).unwrap();
    for packed in [gzip(&layer), zstd] {
        let layout = layout_packed(&bench.fresh(), &[(packed, layer.clone())]);
        assert_eq!(bench.import(&layout).unwrap().layers, plain.layers);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", &layout).unwrap();
        let archive = archive.into_inner().unwrap();
        for (name, bytes) in [
            ("a.tar", archive.clone()),
            ("a.tgz", gzip(&archive)),
            ("a.tar.zst", zstd::encode_all(&*archive, 1).unwrap()),
        ] {
            let file = bench.fresh().join(name);
            fs::write(&file, bytes).unwrap();
            assert_eq!(bench.import(&file).unwrap().layers, plain.layers, "{name}");
        }
    }
}

#[test]
fn what_docker_saved_of_old_is_read_with_its_links() {
    let bench = Bench::new();
    let (one, two) = (tar(&[Entry::file("a", "one")]), tar(&[Entry::file("b", "two")]));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({ "architecture": architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&one), Digest::of(&two), Digest::of(&one)] } });
    let manifest = json!([{ "Config": "c.json", "RepoTags": ["demo:1"], "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"] }]);
    let archive = tar(&[
        Entry::file("c.json", config.to_string()),
        Entry::directory("1/"),
        Entry::file("1/layer.tar", one),
        Entry::file("2/layer.tar", two),
        Entry::symlink("3/layer.tar", "../1/layer.tar"),
        Entry::file("manifest.json", manifest.to_string()),
    ]);
    let file = bench.fresh().join("saved.tar");
    fs::write(&file, archive).unwrap();
    let imported = bench.import(&file).unwrap();
    assert_eq!(imported.layers.len(), 3);
    assert_eq!(imported.layers[0], imported.layers[2]);

    let endless = tar(&[
        Entry::file("c.json", config.to_string()),
        Entry::symlink("1/layer.tar", "../2/layer.tar"),
        Entry::symlink("2/layer.tar", "../1/layer.tar"),
        Entry::symlink("3/layer.tar", "../../../../etc/passwd"),
        Entry::file("manifest.json", manifest.to_string()),
    ]);
    fs::write(&file, endless).unwrap();
    assert!(bench.import(&file).unwrap_err().to_string().contains("`1/layer.tar` is missing"));
}

#[test]
fn the_variant_for_this_machine_is_chosen_from_an_index() {
    let bench = Bench::new();
    let layer = tar(&[Entry::file("a", "content")]);
    let at = layout(&bench.fresh(), std::slice::from_ref(&layer));
    let index: serde_json::Value = serde_json::from_slice(&fs::read(at.join("index.json")).unwrap()).unwrap();
    let mut own = index["manifests"][0].clone();
    own["platform"] =
        json!({ "os": "linux", "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" } });
    let other = json!({ "mediaType": own["mediaType"], "digest": format!("sha256:{}", "1".repeat(64)), "size": 3,
        "platform": { "os": "linux", "architecture": "s390x" } });
    let inner = blob(
        &at,
        "application/vnd.oci.image.index.v1+json",
        json!({ "schemaVersion": 2, "manifests": [other, own] }).to_string().as_bytes(),
    );
    fs::write(at.join("index.json"), json!({ "schemaVersion": 2, "manifests": [inner] }).to_string()).unwrap();
    assert_eq!(bench.import(&at).unwrap().layers.len(), 1);
    let strange = blob(
        &at,
        "application/vnd.oci.image.index.v1+json",
        json!({ "schemaVersion": 2, "manifests": [other] }).to_string().as_bytes(),
    );
    fs::write(at.join("index.json"), json!({ "schemaVersion": 2, "manifests": [strange] }).to_string()).unwrap();
    assert!(bench.import(&at).unwrap_err().to_string().contains("without a variant for this machine"));
}
