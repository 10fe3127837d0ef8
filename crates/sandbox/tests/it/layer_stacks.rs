//! A squashed stack looks to the kernel's overlay as the stack did, whatever was done in it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use hangar_sandbox::layers::{Below, Given, LayerId};
use proptest::prelude::*;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::layers::{Shelf, attribute};

/// Something done in a workspace.
#[derive(Clone, Debug)]
enum Deed {
    Write(PathBuf, u8),
    Append(PathBuf, u8),
    Directory(PathBuf),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Symlink(PathBuf, u8),
    Mode(PathBuf, u32),
    Attribute(PathBuf, u8),
    /// What was done so far becomes a layer.
    Freeze,
}

impl Deed {
    /// Does it; much of it is impossible in its place, which is fine.
    fn done(&self, root: &Path) {
        let at = |path: &Path| root.join(path);
        let _ = match self {
            Self::Write(path, content) => fs::write(at(path), [*content; 5]),
            Self::Append(path, content) => fs::File::options()
                .append(true)
                .open(at(path))
                .and_then(|mut file| std::io::Write::write_all(&mut file, &[*content])),
            Self::Directory(path) => fs::create_dir_all(at(path)),
            Self::Remove(path) if at(path).is_dir() && !at(path).is_symlink() => fs::remove_dir_all(at(path)),
            Self::Remove(path) => fs::remove_file(at(path)),
            Self::Rename(from, to) => fs::rename(at(from), at(to)),
            Self::Link(from, to) => fs::hard_link(at(from), at(to)),
            Self::Symlink(path, target) => symlink(target.to_string(), at(path)),
            Self::Mode(path, mode) if !at(path).is_symlink() => {
                fs::set_permissions(at(path), fs::Permissions::from_mode(0o700 | mode))
            }
            Self::Attribute(path, value) if at(path).exists() && !at(path).is_symlink() => {
                attribute(&at(path), "user.note", &[*value]);
                Ok(())
            }
            Self::Mode(..) | Self::Attribute(..) | Self::Freeze => Ok(()),
        };
    }
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec("[abc]", 1..4).prop_map(|names| names.iter().collect())
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (path(), any::<u8>()).prop_map(|(path, content)| Deed::Write(path, content)),
        1 => (path(), any::<u8>()).prop_map(|(path, content)| Deed::Append(path, content)),
        4 => path().prop_map(Deed::Directory),
        3 => path().prop_map(Deed::Remove),
        6 => (path(), path()).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => (path(), path()).prop_map(|(from, to)| Deed::Link(from, to)),
        1 => (path(), any::<u8>()).prop_map(|(path, target)| Deed::Symlink(path, target)),
        1 => (path(), 0..0o100u32).prop_map(|(path, mode)| Deed::Mode(path, mode)),
        1 => (path(), any::<u8>()).prop_map(|(path, value)| Deed::Attribute(path, value)),
        4 => Just(Deed::Freeze),
    ]
}

/// An overlay of layers, topmost first, in this thread's own mount namespace.
struct Overlay(PathBuf);

impl Overlay {
    fn new(at: &Path, lowers: &[PathBuf], changes: Option<(&Path, &Path)>) -> Self {
        fs::create_dir_all(at).unwrap();
        let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
        let mut options = format!("redirect_dir=on,lowerdir={}", lowers.join(":"));
        if let Some((upper, work)) = changes {
            fs::create_dir_all(upper).unwrap();
            fs::create_dir_all(work).unwrap();
            options += &format!(",upperdir={},workdir={}", upper.display(), work.display());
        }
        let options = std::ffi::CString::new(options).unwrap();
        mount("overlay", at, "overlay", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Everything that can be seen of a tree.
fn seen(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    look(root, root, &mut all);
    all
}

fn look(root: &Path, path: &Path, all: &mut BTreeMap<PathBuf, String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let content = if meta.is_symlink() {
        format!("{:?}", fs::read_link(path).unwrap())
    } else if meta.is_file() {
        format!("{:?}", fs::read(path).unwrap())
    } else {
        String::new()
    };
    let mut note = [0u8; 8];
    let note = rustix::fs::lgetxattr(path, "user.note", &mut note).map(|length| note[..length].to_vec()).ok();
    // The time of a tree's own directory is not part of a layer.
    let time = if path == root { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
    let facts = format!("{:o} {} {} {time:?} {note:?} {content}", meta.mode(), meta.uid(), meta.gid());
    all.insert(path.strip_prefix(root).unwrap().to_owned(), facts);
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look(root, &entry.unwrap().path(), all);
        }
    }
}

/// Runs something in a mount namespace of its own.
#[allow(unsafe_code, reason = "unshare is unsafe in general because of CLONE_FILES")]
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: NEWNS gives this thread its own mounts; descriptors stay shared.
                unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
                mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Does the deeds; returns the layers that came of them, topmost first.
fn layers_of(shelf: &Shelf, deeds: &[Deed]) -> Vec<LayerId> {
    let base = shelf.at("base");
    fs::create_dir_all(base.join("a/b/c")).unwrap();
    fs::create_dir_all(base.join("b/a")).unwrap();
    fs::write(base.join("a/b/a"), "base").unwrap();
    fs::write(base.join("c"), "base").unwrap();
    shelf.store.adopt(&base, Given::ToAgent).unwrap();
    let mut layers = vec![shelf.seal(&base).unwrap()];
    for (number, deeds) in deeds.split(|deed| matches!(deed, Deed::Freeze)).enumerate() {
        let (upper, work) = (shelf.at(&format!("upper{number}")), shelf.at(&format!("work{number}")));
        let lowers: Vec<PathBuf> = layers.iter().map(|id| shelf.store.tree(id)).collect();
        let overlay = Overlay::new(&shelf.at("mount"), &lowers, Some((&upper, &work)));
        deeds.iter().for_each(|deed| deed.done(&overlay.0));
        drop(overlay);
        shelf.store.adopt(&upper, Given::ToAgent).unwrap();
        let layer = shelf.seal(&upper).unwrap();
        // An overlay refuses the same layer twice.
        if !layers.contains(&layer) {
            layers.insert(0, layer);
        }
    }
    layers
}

fn shown(shelf: &Shelf, layers: &[LayerId]) -> BTreeMap<PathBuf, String> {
    let mut lowers: Vec<PathBuf> = layers.iter().map(|id| shelf.store.tree(id)).collect();
    // One layer alone makes no overlay.
    fs::create_dir_all(shelf.at("empty")).unwrap();
    lowers.push(shelf.at("empty"));
    seen(&Overlay::new(&shelf.at("mount"), &lowers, None).0)
}

fn check(deeds: &[Deed], split: usize) {
    apart(|| {
        let shelf = Shelf::new();
        let layers = layers_of(&shelf, deeds);
        let expected = shown(&shelf, &layers);
        let whole = shelf.store.squash(&layers, Below::Nothing, "all").unwrap();
        assert_eq!(shown(&shelf, &[whole]), expected, "all of {} layers", layers.len());
        let upper = split % layers.len();
        let (upper, lower) = layers.split_at(upper);
        if !upper.is_empty() {
            let top = shelf.store.squash(upper, Below::Layers, "some").unwrap();
            let stack: Vec<LayerId> = std::iter::once(top).chain(lower.iter().cloned()).collect();
            assert_eq!(shown(&shelf, &stack), expected, "the upper {} of {} layers", upper.len(), layers.len());
        }
        // From the middle.
        if layers.len() > 3 {
            let (first, rest) = (&layers[0], &layers[1..]);
            let (middle, last) = rest.split_at(1 + split % (rest.len() - 1));
            let middle = shelf.store.squash(middle, Below::Layers, "some").unwrap();
            let stack: Vec<LayerId> = [first.clone(), middle].into_iter().chain(last.iter().cloned()).collect();
            if stack[0] != stack[1] && !last.contains(&stack[1]) {
                assert_eq!(shown(&shelf, &stack), expected, "a middle of {} layers", layers.len());
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_squashed_stack_shows_the_same(deeds in prop::collection::vec(deed(), 1..60), split in 0..64usize) {
        check(&deeds, split);
    }
}

/// What the kernel does with renamed directories, named so that it is certainly tried.
#[test]
fn renamed_replaced_and_deleted_directories_are_squashed() {
    use Deed::{Directory, Freeze, Link, Remove, Rename, Write};
    let p = PathBuf::from;
    let stories: Vec<Vec<Deed>> = vec![
        // A directory of the base moves, twice, and gets a new neighbour under its old name.
        vec![Rename(p("a"), p("d")), Freeze, Rename(p("d/b"), p("b/x")), Freeze, Directory(p("a")), Write(p("a/n"), 1)],
        // Moved, then its old place is filled, then deleted.
        vec![Rename(p("a/b"), p("moved")), Freeze, Directory(p("a/b")), Write(p("a/b/new"), 2), Freeze, Remove(p("a"))],
        // Deleted and made again: opaque.
        vec![Remove(p("a")), Directory(p("a")), Write(p("a/only"), 3), Freeze, Write(p("a/more"), 4)],
        // A renamed directory inside one made anew.
        vec![Remove(p("b")), Directory(p("b")), Rename(p("a/b"), p("b/kept")), Freeze, Write(p("b/kept/c/f"), 5)],
        // A name that was a file becomes a directory and back.
        vec![Remove(p("c")), Directory(p("c")), Write(p("c/f"), 6), Freeze, Remove(p("c")), Write(p("c"), 7)],
        // A chain of names for the same directory over several layers, and a file with two names.
        vec![
            Rename(p("a"), p("a1")),
            Freeze,
            Rename(p("a1"), p("a2")),
            Write(p("a2/f"), 8),
            Link(p("a2/f"), p("g")),
            Freeze,
            Rename(p("a2"), p("b/a3")),
            Freeze,
            Rename(p("b"), p("z")),
            Freeze,
            Remove(p("z/a3/b/a")),
        ],
    ];
    for story in stories {
        for split in 0..6 {
            check(&story, split);
        }
    }
}
