//! Whatever tree a sandbox makes: given out and taken in again, it is the same layer.

use std::{collections::BTreeMap, fs, os::unix::fs as unix, path::Path};

use hangar_image::oci::{Annotations, Export, ExportLayer, Exported, RunConfig, Squeeze, export};
use hangar_sandbox::layers::{About, Given, Kind, LayerId};
use proptest::prelude::*;

use super::made::Bench;

/// One thing of a tree.
#[derive(Clone, Debug)]
enum Thing {
    File { content: Vec<u8>, mode: u32, mtime: (i64, i64), attribute: Option<Vec<u8>> },
    Directory { mode: u32, opaque: bool },
    Symlink(String),
    HardLink,
    Whiteout,
    Pipe,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,6}",
        1 => "[a-z]{101,140}",
        1 => "[ -.0-~é😀]{1,12}".prop_filter("names of files, not reserved", |name| name != "." && name != ".." && !name.starts_with(".wh.")),
    ]
}

fn thing() -> impl Strategy<Value = Thing> {
    let file = (
        prop::collection::vec(any::<u8>(), 0..3000),
        0o400u32..0o1000,
        (0i64..4_000_000_000, 0i64..1_000_000_000),
        prop::option::of(prop::collection::vec(any::<u8>(), 1..200)),
    );
    prop_oneof![
        5 => file.prop_map(|(content, mode, mtime, attribute)| Thing::File { content, mode, mtime, attribute }),
        3 => (0o700u32..0o1000, any::<bool>()).prop_map(|(mode, opaque)| Thing::Directory { mode, opaque }),
        1 => "[a-z/.]{1,150}".prop_map(Thing::Symlink),
        1 => Just(Thing::HardLink),
        1 => Just(Thing::Whiteout),
        1 => Just(Thing::Pipe),
    ]
}

/// Trees as paths of up to three names. A path below what is no directory is left out when the tree is made.
fn tree() -> impl Strategy<Value = BTreeMap<Vec<String>, Thing>> {
    prop::collection::btree_map(prop::collection::vec(name(), 1..4), thing(), 0..25)
}

fn make(root: &Path, tree: &BTreeMap<Vec<String>, Thing>) {
    use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat};
    let opaque = if rustix::process::geteuid().is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
    let mut first = None;
    for (names, thing) in tree {
        let path = root.join(names.join("/"));
        if fs::create_dir_all(path.parent().unwrap()).is_err() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match thing {
            Thing::File { content, mode, mtime, attribute } => {
                fs::write(&path, content).unwrap();
                if let Some(value) = attribute {
                    setxattr(&path, "user.note", value, XattrFlags::empty()).unwrap();
                }
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(*mode)).unwrap();
                let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1 };
                utimensat(CWD, &path, &Timestamps { last_access: time, last_modification: time }, AtFlags::empty())
                    .unwrap();
                first.get_or_insert(path);
            }
            Thing::Directory { mode, opaque: is_opaque } => {
                fs::create_dir(&path).unwrap();
                if *is_opaque {
                    setxattr(&path, opaque, b"y", XattrFlags::empty()).unwrap();
                }
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(*mode)).unwrap();
            }
            Thing::Symlink(target) => unix::symlink(target, &path).unwrap(),
            Thing::HardLink => {
                if let Some(first) = &first {
                    fs::hard_link(first, &path).unwrap();
                }
            }
            Thing::Whiteout => mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0).unwrap(),
            Thing::Pipe => mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap(),
        }
    }
}

fn seal(bench: &Bench, tree: &BTreeMap<Vec<String>, Thing>) -> LayerId {
    let root = bench.fresh().join("tree");
    fs::create_dir(&root).unwrap();
    make(&root, tree);
    bench.store.adopt(&root, Given::IdById).unwrap();
    bench.store.seal(&root, About::new(Kind::Image, "a test")).unwrap()
}

fn give_out(bench: &Bench, layers: &[LayerId], squeeze: Squeeze, file: &Path) -> Exported {
    let image = Export {
        layers: layers.iter().map(|id| ExportLayer { tree: bench.store.tree(id), made_by: "a test".into() }).collect(),
        config: RunConfig { working_dir: "/workspace".into(), ..RunConfig::default() },
        annotations: Annotations { repository: "acme/app".into(), commit: "abc".into(), ..Annotations::default() },
        name: "acme/app:main".into(),
        squeeze,
    };
    export(&image, file, bench.directory.path()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_given_out_comes_back_as_the_same_layers(trees in prop::collection::vec(tree(), 1..4)) {
        let (here, there) = (Bench::new(), Bench::new());
        let layers: Vec<_> = trees.iter().rev().map(|tree| seal(&here, tree)).collect();
        let out = here.fresh();
        for (squeeze, name) in [(Squeeze::Not, "plain.tar"), (Squeeze::Gzip, "gzip.tar"), (Squeeze::Zstd, "zstd.tar")] {
            let exported = give_out(&here, &layers, squeeze, &out.join(name));
            let imported = there.import(&out.join(name)).unwrap();
            prop_assert_eq!(&imported.layers, &layers);
            prop_assert_eq!(&imported.diff_ids, &exported.diff_ids);
            prop_assert_eq!(imported.digest, exported.digest);
            prop_assert_eq!(&imported.config.working_dir, "/workspace");
        }
        // Another store, another time, the same bytes.
        give_out(&there, &layers, Squeeze::Gzip, &out.join("again.tar"));
        prop_assert_eq!(fs::read(out.join("gzip.tar")).unwrap(), fs::read(out.join("again.tar")).unwrap());
    }
}

#[test]
fn what_no_image_can_say_is_refused_and_leaves_no_file() {
    let bench = Bench::new();
    let seal = |make: &dyn Fn(&Path)| {
        let root = bench.fresh().join("tree");
        fs::create_dir_all(root.join("directory")).unwrap();
        make(&root);
        bench.store.adopt(&root, Given::IdById).unwrap();
        bench.store.seal(&root, About::new(Kind::Image, "a test")).unwrap()
    };
    let reserved = seal(&|root| fs::write(root.join(".wh.mine"), "x").unwrap());
    let redirect =
        if rustix::process::geteuid().is_root() { "trusted.overlay.redirect" } else { "user.overlay.redirect" };
    let renamed = seal(&|root| {
        rustix::fs::setxattr(root.join("directory"), redirect, b"/old", rustix::fs::XattrFlags::empty()).unwrap()
    });
    for (layer, words) in [(reserved, "means something else in an image"), (renamed, "squash")] {
        let file = bench.fresh().join("out.tar");
        let image = Export {
            layers: vec![ExportLayer { tree: bench.store.tree(&layer), made_by: String::new() }],
            config: RunConfig::default(),
            annotations: Annotations::default(),
            name: String::new(),
            squeeze: Squeeze::Not,
        };
        let error = export(&image, &file, bench.directory.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!file.exists());
    }
}
