//! Layers: what their id is made of, what is refused, what is cleaned, what is noticed.

use std::{
    collections::HashSet,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use hangar_sandbox::layers::{About, Below, Given, Keep, Kind, LayerError, LayerId, LayerStore, sealed_as};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, mknodat};
use tempfile::TempDir;

/// The agent's id as it lies on disk.
pub(crate) const AGENT: u32 = 2_000_001_000;

/// A store in a directory of its own, and trees beside it.
pub(crate) struct Shelf {
    pub directory: TempDir,
    pub store: LayerStore,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = LayerStore::open(directory.path()).unwrap();
        Self { directory, store }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A tree with a bit of everything.
    pub(crate) fn tree(&self, name: &str) -> PathBuf {
        let tree = self.at(name);
        everything(&tree);
        tree
    }

    pub(crate) fn seal(&self, tree: &Path) -> Result<LayerId, LayerError> {
        self.store.seal(tree, About::new(Kind::Snapshot, "test"))
    }

    /// What another process says of a layer. This one looks only once.
    fn verified_anew(&self, id: &LayerId) -> Result<(), String> {
        self.elsewhere(&["verify", id.as_str()])
    }

    fn elsewhere(&self, words: &[&str]) -> Result<(), String> {
        let program = Command::new(env!("CARGO_BIN_EXE_layers-try")).arg(self.directory.path()).args(words).output();
        let program = program.unwrap();
        if program.status.success() { Ok(()) } else { Err(String::from_utf8(program.stdout).unwrap()) }
    }

    /// The directory, with the store closed.
    pub(crate) fn closed(self) -> TempDir {
        drop(self.store);
        self.directory
    }
}

pub(crate) fn everything(tree: &Path) {
    fs::create_dir_all(tree.join("workspace/src")).unwrap();
    fs::write(tree.join("workspace/src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(tree.join("workspace/run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("workspace/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(tree.join("workspace/run.sh"), tree.join("workspace/again.sh")).unwrap();
    symlink("src/main.rs", tree.join("workspace/main")).unwrap();
    mknodat(CWD, tree.join("workspace/gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    mknodat(CWD, tree.join("workspace/pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let sparse = fs::File::create(tree.join("workspace/sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    attribute(&tree.join("workspace/src/main.rs"), "user.note", b"kept");
    attribute(&tree.join("workspace/src"), "trusted.overlay.opaque", b"y");
    own(tree);
}

pub(crate) fn attribute(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// Gives everything to the agent, with the same time.
pub(crate) fn own(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path());
        }
    }
    lchown(path, Some(AGENT), Some(AGENT)).unwrap();
    let time = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn an_id_says_what_is_in_a_layer_and_nothing_else() {
    let shelf = Shelf::new();
    let first = shelf.seal(&shelf.tree("first")).unwrap();
    assert!(!shelf.at("first").exists());
    assert_eq!(sealed_as(&shelf.at("first")).unwrap(), Some(first.clone()));
    // Interrupted callers ask again.
    assert_eq!(shelf.seal(&shelf.at("first")).unwrap(), first);
    // The same somewhere else and at another time is the same layer, and the second tree stays its maker's.
    let second = shelf.tree("second");
    assert_eq!(shelf.seal(&second).unwrap(), first);
    assert!(second.exists());
    assert_eq!(sealed_as(&second).unwrap(), None);

    let manifest = shelf.store.manifest(&first).unwrap();
    assert_eq!((manifest.files, manifest.bytes, manifest.cleaned), (9, 13 + 10 + 3_000_000, 0));
    assert!(manifest.disk_bytes < 200_000, "a hole takes no disk: {manifest:?}");
    assert_eq!(shelf.store.list().unwrap(), vec![manifest]);
}

#[test]
fn every_change_is_another_layer() {
    let shelf = Shelf::new();
    let mut ids = HashSet::from([shelf.seal(&shelf.tree("same")).unwrap()]);
    let time = || SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    type Edit = Box<dyn Fn(&Path)>;
    let w = |name: &'static str| move |tree: &Path| tree.join("workspace").join(name);
    let edits: Vec<(&str, Edit)> = vec![
        ("content", Box::new(move |tree| fs::write(w("src/main.rs")(tree), "fn main( ) {\n").unwrap())),
        (
            "mode",
            Box::new(move |tree| fs::set_permissions(w("run.sh")(tree), fs::Permissions::from_mode(0o700)).unwrap()),
        ),
        ("owner", Box::new(move |tree| lchown(w("run.sh")(tree), Some(AGENT + 1), Some(AGENT)).unwrap())),
        ("group", Box::new(move |tree| lchown(w("main")(tree), Some(AGENT), Some(AGENT - 1000)).unwrap())),
        ("attribute", Box::new(move |tree| attribute(&w("src/main.rs")(tree), "user.note", b"lost"))),
        ("another attribute", Box::new(move |tree| attribute(&w("run.sh")(tree), "user.x", b""))),
        ("opaque", Box::new(move |tree| attribute(&tree.join("workspace"), "trusted.overlay.opaque", b"y"))),
        ("redirect", Box::new(move |tree| attribute(&tree.join("workspace"), "trusted.overlay.redirect", b"old"))),
        ("name", Box::new(move |tree| fs::rename(w("sparse")(tree), w("sparsf")(tree)).unwrap())),
        ("whiteout", Box::new(move |tree| fs::rename(w("gone")(tree), w("gonf")(tree)).unwrap())),
        ("no whiteout", Box::new(move |tree| fs::remove_file(w("gone")(tree)).unwrap())),
        (
            "link",
            Box::new(move |tree| {
                fs::remove_file(w("again.sh")(tree)).unwrap();
                fs::copy(w("run.sh")(tree), w("again.sh")(tree)).unwrap();
                own(&w("again.sh")(tree));
            }),
        ),
        (
            "target",
            Box::new(move |tree| {
                fs::remove_file(w("main")(tree)).unwrap();
                symlink("src/main.rt", w("main")(tree)).unwrap();
                own(&w("main")(tree));
            }),
        ),
        ("time", Box::new(move |tree| fs::File::open(w("sparse")(tree)).unwrap().set_modified(time()).unwrap())),
        (
            "size of a hole",
            Box::new(move |tree| {
                fs::File::options().write(true).open(w("sparse")(tree)).unwrap().set_len(3_000_001).unwrap();
            }),
        ),
        ("root's mode", Box::new(|tree| fs::set_permissions(tree, fs::Permissions::from_mode(0o700)).unwrap())),
    ];
    for (what, edit) in edits {
        let tree = shelf.tree(&what.replace(' ', "-"));
        edit(&tree);
        // Times of directories that the edit touched would tell as well.
        if what != "time" {
            retime(&tree);
        }
        assert!(ids.insert(shelf.seal(&tree).unwrap()), "{what} does not show");
    }
}

fn retime(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            retime(&entry.unwrap().path());
        }
    }
    let time = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn what_could_harm_or_name_the_host_is_refused_or_cleaned() {
    let shelf = Shelf::new();
    fs::write(shelf.at("outside"), "mine").unwrap();
    own(&shelf.at("outside"));
    let outside = shelf.at("outside");
    type Edit<'a> = Box<dyn Fn(&Path) + 'a>;
    let refused: Vec<(&str, Edit<'_>)> = vec![
        (
            "device file",
            Box::new(|tree| {
                mknodat(
                    CWD,
                    tree.join("null"),
                    FileType::CharacterDevice,
                    Mode::from_raw_mode(0o666),
                    rustix::fs::makedev(1, 3),
                )
                .unwrap();
            }),
        ),
        ("belongs to a user or group of the host", Box::new(|tree| fs::write(tree.join("host"), "").unwrap())),
        ("another name outside", Box::new(|tree| fs::hard_link(&outside, tree.join("shared")).unwrap())),
        (
            "in another layer",
            Box::new(|tree| attribute(&tree.join("workspace/run.sh"), "trusted.overlay.metacopy", b"")),
        ),
        ("note of an overlay", Box::new(|tree| attribute(&tree.join("workspace"), "trusted.overlay.opaque", b"x"))),
        (
            "access control list",
            Box::new(|tree| {
                // Version 2; owner, user 5 of the host, group, mask, others.
                let entry = |tag: u16, id: u32| [tag.to_le_bytes().as_slice(), &[7, 0], &id.to_le_bytes()].concat();
                let none = u32::MAX;
                let list =
                    [vec![2, 0, 0, 0], entry(1, none), entry(2, 5), entry(4, none), entry(16, none), entry(32, none)];
                attribute(&tree.join("workspace/run.sh"), "system.posix_acl_access", &list.concat());
            }),
        ),
        (
            "directories inside each other",
            Box::new(|tree| {
                let mut deep = tree.to_owned();
                for _ in 0..260 {
                    deep.push("d");
                }
                fs::create_dir_all(&deep).unwrap();
                own(tree);
            }),
        ),
    ];
    for (what, edit) in refused {
        let tree = shelf.tree(&what.replace(' ', "-"));
        edit(&tree);
        let error = shelf.seal(&tree).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
        assert!(tree.exists(), "a refused tree stays: {what}");
    }
    let stray = |name: &fs::DirEntry| name.file_name().to_str().is_some_and(|name| name.ends_with(".sealing"));
    assert!(!fs::read_dir(shelf.at("layers")).unwrap().any(|entry| stray(&entry.unwrap())));

    let tree = shelf.tree("cleaned");
    let file = tree.join("workspace/run.sh");
    // Version 2, effective, cap_net_raw.
    attribute(&file, "security.capability", &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    attribute(&file, "trusted.overlay.origin", b"names the host's disk");
    attribute(&file, "trusted.mine", b"x");
    attribute(&file, "user.overlay.redirect", b"/etc");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6755)).unwrap();
    let socket = UnixListener::bind(tree.join("workspace/socket")).unwrap();
    drop(socket);
    let id = shelf.seal(&tree).unwrap();
    let file = shelf.store.tree(&id).join("workspace/run.sh");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o755);
    assert!(!shelf.store.tree(&id).join("workspace/socket").exists());
    for name in ["security.capability", "trusted.overlay.origin", "trusted.mine", "user.overlay.redirect"] {
        assert!(lgetxattr(&file, name, &mut [0u8; 64]).is_err(), "{name} is still there");
    }
    assert_eq!(shelf.store.manifest(&id).unwrap().cleaned, 4);
}

#[test]
fn a_copy_is_the_same_layer() {
    let shelf = Shelf::new();
    let tree = shelf.tree("tree");
    shelf.store.copy(&tree, &shelf.at("copy")).unwrap();
    assert_eq!(shelf.seal(&shelf.at("copy")).unwrap(), shelf.seal(&tree).unwrap());
    assert!(tree.exists());
}

#[test]
fn links_lead_nowhere() {
    let shelf = Shelf::new();
    let canary = shelf.at("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "of the host").unwrap();
    fs::set_permissions(canary.join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
    let before = fs::metadata(canary.join("file")).unwrap();
    let tree = shelf.tree("tree");
    symlink(&canary, tree.join("directory")).unwrap();
    symlink(canary.join("file"), tree.join("file")).unwrap();
    symlink("/proc/self/root", tree.join("magic")).unwrap();
    shelf.store.adopt(&tree, Given::ToAgent).unwrap();
    let id = shelf.seal(&tree).unwrap();
    assert_eq!(shelf.store.manifest(&id).unwrap().files, 12);
    shelf.store.squash(std::slice::from_ref(&id), Below::Nothing, "one").unwrap();
    let after = fs::metadata(canary.join("file")).unwrap();
    assert_eq!((before.ctime(), before.ctime_nsec(), before.mode()), (after.ctime(), after.ctime_nsec(), after.mode()));
}

#[test]
fn a_changed_layer_is_refused() {
    let shelf = Shelf::new();
    type Edit = Box<dyn Fn(&Path)>;
    let edits: Vec<(&str, Edit)> = vec![
        (
            "content",
            Box::new(|tree| {
                let file = tree.join("workspace/src/main.rs");
                let time = fs::metadata(&file).unwrap().modified().unwrap();
                fs::write(&file, "fn main() {;\n").unwrap();
                // Whoever changes it hides the traces he can.
                fs::File::open(&file).unwrap().set_modified(time).unwrap();
            }),
        ),
        ("more", Box::new(|tree| fs::write(tree.join("workspace/more"), "").unwrap())),
        ("less", Box::new(|tree| fs::remove_file(tree.join("workspace/pipe")).unwrap())),
        (
            "device",
            Box::new(|tree| {
                mknodat(
                    CWD,
                    tree.join("null"),
                    FileType::CharacterDevice,
                    Mode::from_raw_mode(0o666),
                    rustix::fs::makedev(1, 3),
                )
                .unwrap();
            }),
        ),
        ("gone", Box::new(|tree| fs::rename(tree, tree.with_file_name("eert")).unwrap())),
        (
            "a link",
            Box::new(|tree| {
                fs::rename(tree, tree.with_file_name("eert")).unwrap();
                symlink("eert", tree).unwrap();
            }),
        ),
        (
            "another's manifest",
            Box::new(|tree| {
                let manifest = tree.with_file_name("manifest.json");
                let text = fs::read_to_string(&manifest).unwrap();
                let id = tree.parent().unwrap().file_name().unwrap().to_str().unwrap();
                fs::write(&manifest, text.replace(id, &"0".repeat(64))).unwrap();
            }),
        ),
        ("a cut manifest", Box::new(|tree| fs::write(tree.with_file_name("manifest.json"), "{").unwrap())),
    ];
    for (what, edit) in edits {
        let tree = shelf.tree("tree");
        fs::write(tree.join(what), what).unwrap();
        own(&tree);
        let id = shelf.seal(&tree).unwrap();
        shelf.verified_anew(&id).unwrap();
        edit(&shelf.store.tree(&id));
        let error = shelf.verified_anew(&id).unwrap_err();
        assert!(error.contains("was changed or is incomplete and is not used"), "{what}: {error}");
        assert!(shelf.elsewhere(&["squash", id.as_str()]).is_err(), "{what}");
    }
    let missing: LayerId = "0".repeat(64).parse().unwrap();
    assert!(matches!(shelf.store.verify(&missing), Err(LayerError::Missing(_))));
    assert!("../../etc".parse::<LayerId>().is_err());
}

#[test]
fn a_restored_backup_is_checked_in_full_and_used() {
    let shelf = Shelf::new();
    let id = shelf.seal(&shelf.tree("tree")).unwrap();
    let copy = TempDir::new().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(shelf.at("layers")).arg(copy.path()).status().unwrap();
    assert!(copied.success());
    LayerStore::open(copy.path()).unwrap().verify(&id).unwrap();
    // A sealed layer that was lost is made again from the same content; a changed one is replaced.
    fs::write(shelf.store.tree(&id).join("workspace/src/main.rs"), "changed").unwrap();
    let again = shelf.tree("again");
    let directory = shelf.closed();
    let store = LayerStore::open(directory.path()).unwrap();
    assert_eq!(store.seal(&again, About::new(Kind::Snapshot, "")).unwrap(), id);
    Shelf { directory, store }.verified_anew(&id).unwrap();
}

#[test]
fn what_the_host_made_is_adopted_and_nothing_outside_changes() {
    let shelf = Shelf::new();
    let tree = shelf.at("root");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::create_dir_all(tree.join("dev")).unwrap();
    fs::write(tree.join("etc/shadow"), "x").unwrap();
    lchown(tree.join("etc/shadow"), Some(0), Some(42)).unwrap();
    mknodat(
        CWD,
        tree.join("dev/null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 3),
    )
    .unwrap();
    fs::write(shelf.at("object"), "shared with a repository").unwrap();
    attribute(&shelf.at("object"), "user.note", b"n");
    for name in ["a", "b"] {
        fs::hard_link(shelf.at("object"), tree.join(name)).unwrap();
    }
    let before = fs::metadata(shelf.at("object")).unwrap();
    for _ in 0..2 {
        shelf.store.adopt(&tree, Given::IdById).unwrap();
    }
    let shadow = fs::metadata(tree.join("etc/shadow")).unwrap();
    assert_eq!((shadow.uid(), shadow.gid()), (2_000_000_000, 2_000_000_042));
    let (a, b) = (fs::metadata(tree.join("a")).unwrap(), fs::metadata(tree.join("b")).unwrap());
    assert_eq!((a.ino(), a.nlink(), a.uid(), a.mtime_nsec()), (b.ino(), 2, 2_000_000_000, before.mtime_nsec()));
    let outside = fs::metadata(shelf.at("object")).unwrap();
    assert_eq!((outside.uid(), outside.nlink()), (0, 1));
    assert!(!tree.join("dev/null").exists());
    let id = shelf.seal(&tree).unwrap();
    assert_eq!(fs::read(shelf.store.tree(&id).join("a")).unwrap(), b"shared with a repository");

    fs::create_dir(shelf.at("high")).unwrap();
    lchown(shelf.at("high"), Some(70_000), Some(0)).unwrap();
    assert!(shelf.store.adopt(&shelf.at("high"), Given::IdById).is_err());
    shelf.store.adopt(&shelf.at("high"), Given::ToAgent).unwrap();
    assert_eq!(fs::metadata(shelf.at("high")).unwrap().uid(), AGENT);
}

#[test]
fn only_what_nobody_needs_is_collected() {
    let shelf = Shelf::new();
    let mut ids = Vec::new();
    for name in ["referred", "held", "old", "older"] {
        let tree = shelf.tree(name);
        fs::write(tree.join(name), vec![7; 100_000]).unwrap();
        own(&tree);
        ids.push(shelf.seal(&tree).unwrap());
    }
    let age = |id: &LayerId, hours: u64| {
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        for name in ["manifest.json", "used"] {
            if let Ok(file) = fs::File::open(shelf.store.tree(id).with_file_name(name)) {
                file.set_modified(time).unwrap();
            }
        }
    };
    let referred = HashSet::from([ids[0].clone()]);
    let held = shelf.store.hold(&ids[1]);
    let collect = |keep: &Keep| shelf.store.collect(&referred, keep).unwrap().removed;
    // All are young.
    assert_eq!(collect(&Keep { disk_bytes: 0, ..Keep::default() }), vec![]);
    ids.iter().for_each(|id| age(id, 5));
    age(&ids[3], 6);
    // Room for all but one: the one unused for longest goes.
    let full = shelf.store.disk_use().unwrap();
    assert_eq!(full.layers, 4);
    assert_eq!(collect(&Keep { disk_bytes: full.disk_bytes - 1, ..Keep::default() }), vec![ids[3].clone()]);
    assert_eq!(collect(&Keep { disk_bytes: full.disk_bytes, ..Keep::default() }), vec![]);
    ids.iter().take(3).for_each(|id| age(id, 24 * 8));
    assert_eq!(collect(&Keep::default()), vec![ids[2].clone()]);
    drop(held);
    assert_eq!(collect(&Keep::default()), vec![ids[1].clone()]);
    assert_eq!(shelf.store.list().unwrap().len(), 1);
    assert_eq!(fs::read_dir(shelf.at("layers/scratch")).unwrap().count(), 0);
}
