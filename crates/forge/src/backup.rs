//! What of a forge belongs in a backup that is taken while it works.
//!
//! The database goes first: everything that its rows name is in git by then. What git knows beyond that is taken in at the next
//! start (`sync.rs`). Of a repository the references go before the objects, because objects are only added: whatever a copied
//! reference leads to is there when the objects are copied.
//!
//! ```text
//!   HEAD, config, …  →  refs/  →  packed-refs  →  loose objects  →  packs, looked for again while one vanishes
//! ```
//!
//! Each of these arrows is the direction in which git moves things (loose reference into `packed-refs`, loose object into a pack), so
//! what vanishes from one place is found in the next.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// The database, in a forge's directory.
pub const DATABASE: &str = "forge.sqlite";
/// The repositories, likewise: a directory an owner, and in it one a repository.
pub const REPOS: &str = "repos";

/// Packs are looked for so often at most. Each look after the first answers a repacking that finished during the one before.
const LOOKS_FOR_PACKS_MAX: u32 = 16;

/// What became of a file that was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was copied.
    Copied,
    /// It was gone when it was opened.
    Vanished,
}

/// Something in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A directory. Git wants some of them even when they are empty.
    Directory(&'a Path),
    /// A regular file.
    File(&'a Path),
}

/// The directories of all repositories in a forge's directory, sorted.
///
/// # Errors
/// When a directory cannot be read.
pub fn repositories(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for owner in entries(&data_dir.join(REPOS))? {
        if owner.is_dir() {
            all.extend(entries(&owner)?.into_iter().filter(|repository| repository.is_dir()));
        }
    }
    Ok(all)
}

/// Hands everything in a repository that belongs in a backup to `copy`, in an order that makes the copies a repository, also while pushes and
/// merges go on. Blocks.
///
/// # Errors
/// What `copy` says, and when a directory cannot be read or holds what git does not put there.
pub fn visit<E: From<io::Error>>(
    repository: &Path,
    copy: &mut impl FnMut(Found<'_>) -> Result<Fate, E>,
) -> Result<(), E> {
    let (refs, packed) = (repository.join("refs"), repository.join("packed-refs"));
    let objects = repository.join("objects");
    copy(Found::Directory(repository))?;
    for entry in entries(repository)? {
        // Hooks never run here; what else is left out comes later.
        if ![&refs, &packed, &objects, &repository.join("hooks")].contains(&&entry) {
            walk(&entry, copy)?;
        }
    }
    walk(&refs, copy)?;
    if packed.is_file() {
        copy(Found::File(&packed))?;
    }
    copy(Found::Directory(&objects))?;
    let packs = objects.join("pack");
    for entry in entries(&objects)?.iter().filter(|entry| **entry != packs) {
        walk(entry, copy)?;
    }
    visit_packs(&packs, copy)
}

fn visit_packs<E: From<io::Error>>(packs: &Path, copy: &mut impl FnMut(Found<'_>) -> Result<Fate, E>) -> Result<(), E> {
    if !packs.is_dir() {
        return Ok(());
    }
    copy(Found::Directory(packs))?;
    let mut copied = HashSet::new();
    for _look in 0..LOOKS_FOR_PACKS_MAX {
        let mut vanished = false;
        for pack in entries(packs)?.into_iter().filter(|pack| !is_passing(pack)) {
            if copied.contains(&pack) {
                continue;
            }
            match copy(Found::File(&pack))? {
                Fate::Copied => drop(copied.insert(pack)),
                Fate::Vanished => vanished = true,
            }
        }
        if !vanished {
            return Ok(());
        }
    }
    Err(io::Error::other(format!("{} is being repacked without end", packs.display())).into())
}

/// Everything below a path.
fn walk<E: From<io::Error>>(path: &Path, copy: &mut impl FnMut(Found<'_>) -> Result<Fate, E>) -> Result<(), E> {
    if is_passing(path) {
        return Ok(());
    }
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if kind.is_file() {
        copy(Found::File(path))?;
        return Ok(());
    }
    if !kind.is_dir() {
        return Err(io::Error::other(format!("{} is neither a file nor a directory", path.display())).into());
    }
    copy(Found::Directory(path))?;
    entries(path)?.iter().try_for_each(|entry| walk(entry, copy))
}

/// What git makes on its way to something else: a lock would hold up every later command, and the rest is named when it is whole.
fn is_passing(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with("incoming-") || name == "gc.pid"
}

/// A directory's entries, sorted; none where it is gone.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let found = match fs::read_dir(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = found.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn repository(files: &[&str]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for file in files {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        place
    }

    #[test]
    fn references_go_before_objects_and_what_is_passing_stays_behind() {
        let place = repository(&[
            "HEAD",
            "HEAD.lock",
            "config",
            "hooks/update",
            "objects/0a/bc",
            "objects/0a/tmp_obj_x",
            "objects/incoming-1/0b/cd",
            "objects/info/packs",
            "objects/pack/pack-1.idx",
            "objects/pack/tmp_pack_2",
            "packed-refs",
            "refs/heads/main",
            "refs/heads/main.lock",
        ]);
        let mut seen = Vec::new();
        let copied = visit::<io::Error>(place.path(), &mut |found| {
            if let Found::File(path) = found {
                seen.push(path.strip_prefix(place.path()).unwrap().display().to_string());
            }
            Ok(Fate::Copied)
        });
        copied.unwrap();
        let expected = ["HEAD", "config", "refs/heads/main", "packed-refs", "objects/0a/bc", "objects/info/packs"];
        assert_eq!(seen[..6], expected);
        assert_eq!(seen[6..], ["objects/pack/pack-1.idx"]);
    }

    #[test]
    fn a_repacking_during_the_copy_is_followed() {
        let place = repository(&["HEAD", "refs/heads/main", "objects/pack/pack-1.idx", "objects/pack/pack-1.pack"]);
        let packs = place.path().join("objects/pack");
        let mut copied = Vec::new();
        visit::<io::Error>(place.path(), &mut |found| {
            let Found::File(path) = found else { return Ok(Fate::Copied) };
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "pack-1.idx" {
                for new in ["pack-2.idx", "pack-2.pack"] {
                    fs::write(packs.join(new), "new").unwrap();
                }
                fs::remove_file(packs.join("pack-1.pack")).unwrap();
            }
            if !path.exists() {
                return Ok(Fate::Vanished);
            }
            copied.push(name);
            Ok(Fate::Copied)
        })
        .unwrap();
        assert!(copied.ends_with(&["pack-2.idx".to_owned(), "pack-2.pack".to_owned()]), "{copied:?}");
    }
}
