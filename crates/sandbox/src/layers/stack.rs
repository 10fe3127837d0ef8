//! What an overlay shows of a stack of layers, found without mounting it.
//!
//! This follows `ovl_lookup()` of the kernel (fs/overlayfs/namei.c): a name is looked for from the topmost layer down. A whiteout ends the search, so does anything that is no
//! directory; directories of the same name are merged until one is marked opaque. A directory that was renamed carries a redirect: from the next layer down it has
//! another name, either beside it (a plain name) or anywhere (a path from the root).

use std::{
    ffi::{CStr, CString, OsStr},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::fs::Stat;

use super::{
    beneath,
    content::{self, Fate, Thing},
    error::LayerError,
    owners::Owners,
};

/// A directory of one layer that takes part in a merged one.
#[derive(Clone)]
pub(super) struct Part {
    /// Which layer, 0 is the topmost.
    pub layer: usize,
    pub directory: Rc<OwnedFd>,
}

/// A directory as an overlay shows it.
pub(super) struct Merged {
    /// Topmost first.
    pub parts: Vec<Part>,
    /// Under which path it goes on in the layers below the stack. `None`: it does not.
    pub below: Option<PathBuf>,
}

/// What a name stands for.
pub(super) enum Found {
    /// It was deleted.
    Hidden,
    /// Anything but a directory.
    Thing { part: Part, name: CString, stat: Stat },
    /// A directory; the topmost part's owner, mode, times and attributes count.
    Directory { merged: Merged, stat: Stat },
}

/// The layers.
pub(super) struct Stack {
    roots: Vec<Part>,
    /// Whether there are layers below that do not belong to the stack.
    open_below: bool,
    owners: Owners,
}

/// What is looked for, on the way down.
struct Search {
    /// A name beside others, or a path from the root.
    wanted: Wanted,
    /// Nothing further down counts.
    ended: bool,
}

enum Wanted {
    Name(CString),
    Path(Vec<CString>),
}

/// What one layer has.
enum InLayer {
    Nothing,
    Whiteout,
    Thing { name: CString, stat: Stat, parent: Rc<OwnedFd> },
    Directory { directory: Rc<OwnedFd>, stat: Stat },
}

impl Stack {
    pub(super) fn new(roots: Vec<OwnedFd>, open_below: bool, owners: Owners) -> Self {
        let part = |(layer, directory)| Part { layer, directory: Rc::new(directory) };
        Self { roots: roots.into_iter().enumerate().map(part).collect(), open_below, owners }
    }

    pub(super) fn root(&self) -> Merged {
        Merged { parts: self.roots.clone(), below: self.open_below.then(|| PathBuf::from("/")) }
    }

    /// Names in a merged directory, deleted ones included, sorted.
    pub(super) fn names(&self, directory: &Merged) -> Result<Vec<CString>, LayerError> {
        let mut names = Vec::new();
        for part in &directory.parts {
            names.extend(beneath::names(&*part.directory).map_err(LayerError::io("list a directory of a layer"))?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// What `name` stands for in a merged directory.
    pub(super) fn look_up(&self, parent: &Merged, name: &CStr) -> Result<Found, LayerError> {
        let mut search = Search { wanted: Wanted::Name(name.to_owned()), ended: false };
        let mut parts: Vec<Part> = Vec::new();
        let mut top: Option<Stat> = None;
        let mut waiting: Vec<&Part> = parent.parts.iter().rev().collect();
        while !search.ended
            && let Some(part) = waiting.pop()
        {
            let by_name = matches!(search.wanted, Wanted::Name(_));
            match self.in_layer(part, &mut search)? {
                InLayer::Nothing => {}
                InLayer::Whiteout => search.ended = true,
                InLayer::Thing { name, stat, parent } if parts.is_empty() => {
                    let part = Part { layer: part.layer, directory: parent };
                    return Ok(Found::Thing { part, name, stat });
                }
                InLayer::Thing { .. } => search.ended = true,
                InLayer::Directory { directory, stat } => {
                    parts.push(Part { layer: part.layer, directory });
                    top.get_or_insert(stat);
                }
            }
            if by_name && matches!(search.wanted, Wanted::Path(_)) {
                // From here on it is looked for from the root, in every layer further down.
                waiting = self.roots.iter().rev().filter(|root| root.layer > part.layer).collect();
            }
        }
        let Some(stat) = top else { return Ok(Found::Hidden) };
        let below = if search.ended { None } else { self.below(parent, &search.wanted) };
        Ok(Found::Directory { merged: Merged { parts, below }, stat })
    }

    fn below(&self, parent: &Merged, wanted: &Wanted) -> Option<PathBuf> {
        match wanted {
            Wanted::Name(name) => parent.below.as_ref().map(|below| below.join(text(name))),
            Wanted::Path(names) => {
                self.open_below.then(|| names.iter().fold(PathBuf::from("/"), |path, name| path.join(text(name))))
            }
        }
    }

    fn in_layer(&self, part: &Part, search: &mut Search) -> Result<InLayer, LayerError> {
        let names = match &search.wanted {
            Wanted::Name(name) => vec![name.clone()],
            Wanted::Path(names) => names.clone(),
        };
        let is_path = matches!(search.wanted, Wanted::Path(_));
        let mut directory = Rc::clone(&part.directory);
        // What the names walked so far are called in the layers further down.
        let mut before: Vec<CString> = Vec::new();
        let mut absolute = is_path;
        let mut result = InLayer::Nothing;
        let mut walked = 0;
        for (index, name) in names.iter().enumerate() {
            let last = index + 1 == names.len();
            let stat = match beneath::stat(&*directory, name) {
                Ok(stat) => stat,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(LayerError::at("look at", Path::new(text(name)))(error)),
            };
            match Thing::of(&stat) {
                Thing::Directory => {}
                Thing::Whiteout => {
                    search.ended = true;
                    result = InLayer::Whiteout;
                    break;
                }
                Thing::File | Thing::Symlink | Thing::Pipe | Thing::Socket | Thing::Device => {
                    search.ended = true;
                    if last {
                        result = InLayer::Thing { name: name.clone(), stat, parent: Rc::clone(&directory) };
                    }
                    break;
                }
            }
            let marks = self.marks(&directory, name)?;
            let opened = beneath::directory(&*directory, name.as_c_str());
            directory = Rc::new(opened.map_err(LayerError::at("open", Path::new(text(name))))?);
            walked = index + 1;
            match marks {
                Marks::None => before.push(name.clone()),
                Marks::Opaque => {
                    before.push(name.clone());
                    search.ended = true;
                }
                Marks::Beside(other) => before.push(other),
                Marks::Elsewhere(path) => {
                    // It goes on there, whatever an earlier directory of the path said.
                    search.ended = false;
                    absolute = true;
                    before = path;
                }
            }
            if last {
                result = InLayer::Directory { directory: Rc::clone(&directory), stat };
            }
        }
        before.extend(names.into_iter().skip(walked));
        search.wanted = match (absolute, before.pop()) {
            (false, Some(name)) => Wanted::Name(name),
            (_, name) => Wanted::Path(before.into_iter().chain(name).collect()),
        };
        Ok(result)
    }

    fn marks(&self, parent: &OwnedFd, name: &CStr) -> Result<Marks, LayerError> {
        let failed = || LayerError::at("read the attributes of", Path::new(text(name)));
        let mut marks = Marks::None;
        for attribute in beneath::attribute_names(parent, name).map_err(failed())? {
            match content::fate(&attribute, self.owners) {
                Fate::Opaque => return Ok(Marks::Opaque),
                Fate::Redirect => {
                    let value = beneath::attribute(parent, name, &attribute).map_err(failed())?.unwrap_or_default();
                    marks = Marks::redirect(&value);
                }
                Fate::Keep | Fate::KeepIds | Fate::Clean | Fate::Ignore | Fate::Refuse(_) => {}
            }
        }
        Ok(marks)
    }
}

/// What the overlay noted at a directory.
enum Marks {
    None,
    Opaque,
    Beside(CString),
    Elsewhere(Vec<CString>),
}

impl Marks {
    fn redirect(value: &[u8]) -> Self {
        let name = |bytes: &[u8]| CString::new(bytes).ok().filter(|name| !name.is_empty());
        match value.strip_prefix(b"/") {
            Some(path) => Self::Elsewhere(path.split(|byte| *byte == b'/').filter_map(name).collect()),
            None => name(value).map_or(Self::None, Self::Beside),
        }
    }
}

fn text(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}
