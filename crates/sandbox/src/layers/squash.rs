//! Many layers made one that shows the same.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, OsStr},
    fs,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, Stat, mkdirat};

use super::{
    about::{About, Kind},
    beneath,
    content::{OPAQUE, Thing, names},
    copy::{Marks, copy_attributes, copy_thing, finish_directory, link, whiteout},
    error::LayerError,
    id::LayerId,
    owners::Owners,
    stack::{Found, Merged, Stack},
    store::{LayerStore, TREE},
    walk::{DEPTH_MAX, within},
};
use crate::steps::Step;

/// A stack with more layers than this should be squashed: mounting takes about 6 µs a layer, and names that do not exist are looked for in each.
pub const LAYERS_UNTIL_SQUASH: usize = 64;

/// What is below the layers that are squashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// Nothing: the last of them is a complete root. Marks of deleted files are not needed any more.
    Nothing,
    /// Other layers: marks that hide something of theirs are kept.
    Layers,
}

impl LayerStore {
    /// Makes one layer of `layers` (topmost first, neighbours in one stack) that shows what they show together. They stay as they are.
    /// `label` is for people. Blocks; takes as long as copying what is visible of them, or less where the file system can share blocks.
    ///
    /// # Errors
    /// When a layer is missing or changed, the disk is full or a limit is exceeded.
    pub fn squash(&self, layers: &[LayerId], below: Below, label: &str) -> Result<LayerId, LayerError> {
        let _in_use: Vec<_> = layers.iter().map(|id| self.hold(id)).collect();
        let mut roots = Vec::with_capacity(layers.len());
        for id in layers {
            self.verify(id)?;
            let tree = self.tree(id);
            roots.push(beneath::root(&tree).map_err(LayerError::at("open", &tree))?);
        }
        let scratch = self.scratch()?;
        let tree = scratch.join(TREE);
        let made = (|| {
            let open_below = match below {
                Below::Nothing => false,
                Below::Layers => true,
            };
            Squash::new(Stack::new(roots, open_below, self.owners()), &tree, self.owners())?.run()?;
            Step::SquashCopied.done();
            self.seal_squashed(&tree, About::new(Kind::Squashed, label), layers.to_vec())
        })();
        if let Err(error) = fs::remove_dir_all(&scratch) {
            tracing::warn!(%error, path = %scratch.display(), "a scratch directory stays until the next start");
        }
        made
    }
}

/// The work on one tree.
struct Squash {
    stack: Stack,
    owners: Owners,
    out: OwnedFd,
    /// Names of files with several names, by layer and inode.
    links: HashMap<(usize, u64), PathBuf>,
    directories: Vec<(PathBuf, Stat)>,
}

impl Squash {
    fn new(stack: Stack, out: &Path, owners: Owners) -> Result<Self, LayerError> {
        fs::create_dir(out).map_err(LayerError::at("make", out))?;
        let out = beneath::root(out).map_err(LayerError::at("open", out))?;
        Ok(Self { stack, owners, out, links: HashMap::new(), directories: Vec::new() })
    }

    fn run(mut self) -> Result<(), LayerError> {
        let root = self.stack.root();
        let Some(top) = root.parts.first() else { return Ok(()) };
        let stat = beneath::stat(&*top.directory, c".").map_err(LayerError::io("look at a layer"))?;
        let out = beneath::directory(&self.out, c".").map_err(LayerError::io("open the new layer"))?;
        copy_attributes(&*top.directory, c".", &out, c".", Marks::Left(self.owners), Path::new(""))?;
        self.directories.push((PathBuf::new(), stat));
        self.directory(&root, &out, Path::new(""), 1)?;
        // Last, the deepest first: filling a directory changes its time.
        self.directories.iter().rev().try_for_each(|(path, stat)| finish_directory(&self.out, path, stat))
    }

    /// Fills `out` with what `merged` shows.
    fn directory(&mut self, merged: &Merged, out: &OwnedFd, path: &Path, depth: u64) -> Result<(), LayerError> {
        within("directories inside each other", depth, DEPTH_MAX)?;
        for name in self.stack.names(merged)? {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            match self.stack.look_up(merged, &name)? {
                // What is not there below needs no mark.
                Found::Hidden if merged.below.is_none() => {}
                Found::Hidden => whiteout(out, &name, &path)?,
                Found::Thing { part, name: old, stat } => {
                    let shared = names(&stat) > 1 && Thing::of(&stat) != Thing::Whiteout;
                    let key = (part.layer, stat.st_ino);
                    if shared && let Some(first) = self.links.get(&key) {
                        link(&self.out, first, out, &name)?;
                        continue;
                    }
                    copy_thing(&*part.directory, &old, &stat, out, &name, Marks::Left(self.owners), &path)?;
                    if shared {
                        self.links.insert(key, path);
                    }
                }
                Found::Directory { merged: inner, stat } => {
                    mkdirat(out, &name, Mode::from_raw_mode(0o700)).map_err(LayerError::at("make", &path))?;
                    self.directory_itself(merged, &inner, out, &name, &path)?;
                    self.directories.push((path.clone(), stat));
                    let made = beneath::directory(out, name.as_c_str()).map_err(LayerError::at("open", &path))?;
                    self.directory(&inner, &made, &path, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Attributes of a directory, and the marks that say where it goes on below.
    fn directory_itself(
        &self,
        parent: &Merged,
        inner: &Merged,
        out: &OwnedFd,
        name: &CStr,
        path: &Path,
    ) -> Result<(), LayerError> {
        if let Some(top) = inner.parts.first() {
            copy_attributes(&*top.directory, c".", out, name, Marks::Left(self.owners), path)?;
        }
        let unmarked = parent.below.as_ref().map(|below| below.join(OsStr::from_bytes(name.to_bytes())));
        let (note, value) = match (&inner.below, unmarked) {
            (below, unmarked) if *below == unmarked => return Ok(()),
            (None, _) => ("opaque", OPAQUE.to_vec()),
            (Some(below), _) => {
                let beside = parent.below.as_deref().filter(|parent| below.parent() == Some(*parent));
                let value = match (beside, below.file_name()) {
                    (Some(_), Some(name)) => name.as_bytes().to_vec(),
                    _ => below.as_os_str().as_bytes().to_vec(),
                };
                ("redirect", value)
            }
        };
        let attribute = CString::new(format!("{}{note}", self.owners.overlay_prefix()));
        let attribute = attribute.map_err(|error| LayerError::io("mark a directory")(std::io::Error::other(error)))?;
        beneath::set_attribute(out, name, &attribute, &value).map_err(LayerError::at("mark", path))
    }
}
