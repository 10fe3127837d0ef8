//! Unpacks a backup into an empty directory and compares what came out with what the backup says of itself.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, BufReader, Read, Seek as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use hangar_protocol::{Refusal, RefusalCode};

use super::{
    Course, FILES_MAX, cannot_write, damaged,
    manifest::{self, FORMAT, FileLine, Manifest, Measured},
    seal,
};

/// Of files: the owner's bits of the mode they had.
const FILE_MODE_BITS: u32 = 0o700;
/// Of every file.
const FILE_MODE_LEAST: u32 = 0o400;
/// Of every directory.
const DIRECTORY_MODE: u32 = 0o700;

/// A backup whose seal holds: it is, byte for byte, what was written.
pub(super) struct Sealed<'a> {
    path: &'a Path,
    file: File,
    packed_bytes: u64,
}

/// Opens a backup and checks its seal, for which it is read once.
pub(super) fn open<'a>(path: &'a Path, course: &Course) -> Result<Sealed<'a>, Refusal> {
    let unreadable = |error: io::Error| {
        Refusal::new(
            RefusalCode::BadRequest,
            format!("{} cannot be read: {error}.", path.display()),
            "Name a file that `hangar backup` wrote.",
        )
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    let bytes = found.len();
    if !seal::holds(&mut file, bytes, course).map_err(unreadable)? {
        return Err(damaged(path, "its seal is missing or does not fit its content"));
    }
    file.rewind().map_err(unreadable)?;
    Ok(Sealed { path, file, packed_bytes: bytes - seal::BYTES })
}

impl Sealed<'_> {
    /// Unpacks it into the empty directory `into` and compares every file with the manifest.
    pub(super) fn unpack(self, into: &Path, course: &Course) -> Result<Manifest, Refusal> {
        let Self { path, file, packed_bytes } = self;
        let broken = |error: io::Error| damaged(path, error);
        let packed = BufReader::new(file.take(packed_bytes));
        let mut archive = tar::Archive::new(zstd::Decoder::with_buffer(packed).map_err(broken)?);
        let mut lines = Vec::new();
        let mut manifest = None;
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = entry.path().map_err(broken)?.into_owned();
            if manifest.is_some() {
                return Err(damaged(path, "something stands behind its manifest"));
            }
            if name == Path::new(manifest::NAME) {
                manifest = Some(read_manifest(path, entry)?);
                continue;
            }
            let place = place_of(path, into, &name)?;
            match entry.header().entry_type() {
                tar::EntryType::Directory => make_directory(&place)?,
                tar::EntryType::Regular if lines.len() < FILES_MAX => {
                    let mode = entry.header().mode().map_err(broken)?;
                    let mut measured = Measured::new(&mut entry, course);
                    write(&place, mode, &mut measured)?;
                    lines.push(measured.line(&name));
                }
                other => return Err(damaged(path, format!("{} is unexpected ({other:?})", name.display()))),
            }
        }
        let manifest = manifest.ok_or_else(|| damaged(path, "it has no manifest"))?;
        compare(path, &manifest, &lines)?;
        Ok(manifest)
    }
}

fn read_manifest(path: &Path, entry: impl Read) -> Result<Manifest, Refusal> {
    let mut text = Vec::new();
    entry.take(manifest::BYTES_MAX).read_to_end(&mut text).map_err(|error| damaged(path, error))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(path, error))?;
    if manifest.format > FORMAT {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!(
                "{} was written by hangar {}, in a form that this one does not know.",
                path.display(),
                manifest.hangar
            ),
            "Restore it with that hangar or a newer one.",
        ));
    }
    Ok(manifest)
}

/// Where an entry comes to lie. The seal says that nothing was damaged, not who wrote it.
fn place_of(path: &Path, into: &Path, name: &Path) -> Result<PathBuf, Refusal> {
    if !manifest::stays_inside(name) {
        return Err(damaged(path, format!("{} leads out of the data directory", name.display())));
    }
    Ok(into.join(name))
}

fn make_directory(place: &Path) -> Result<(), Refusal> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIRECTORY_MODE).create(place).map_err(|error| cannot_write(place, &error))
}

fn write(place: &Path, mode: u32, from: &mut impl Read) -> Result<(), Refusal> {
    if let Some(folder) = place.parent() {
        make_directory(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode & FILE_MODE_BITS | FILE_MODE_LEAST);
    let copied = options.open(place).and_then(|mut file| io::copy(from, &mut file));
    copied.map(drop).map_err(|error| cannot_write(place, &error))
}

fn compare(path: &Path, manifest: &Manifest, lines: &[FileLine]) -> Result<(), Refusal> {
    let differing = manifest.files.iter().zip(lines).find(|(said, found)| said != found);
    if let Some((said, _)) = differing {
        return Err(damaged(path, format!("{} is not what its manifest says", said.path)));
    }
    match manifest.files.len() == lines.len() {
        true => Ok(()),
        false => Err(damaged(path, format!("it has {} files and names {}", lines.len(), manifest.files.len()))),
    }
}
