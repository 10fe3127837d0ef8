//! Writes a backup: files one after the other, then the manifest and the seal.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use hangar_forge::backup::Fate;
use hangar_protocol::{Refusal, RefusalCode};
use tempfile::{NamedTempFile, TempDir};

use super::{
    Course, FILE_MODE, FILES_MAX, cannot_read, cannot_write,
    manifest::{self, FileLine, Manifest, Measured},
    seal::Sealing,
};

/// zstd's own default: git objects and most of a log are packed or small, so more effort gains little.
const LEVEL: i32 = 3;
/// What the folder beside the backup is called in which it is made; a killed backup leaves it.
const SCRATCH_PREFIX: &str = ".hangar-backup-";
/// Permission bits that are kept.
const MODE_BITS: u32 = 0o777;

type Packed = zstd::Encoder<'static, Sealing<BufWriter<NamedTempFile>>>;

/// A backup that is being written.
pub(super) struct Writer<'a> {
    tar: tar::Builder<Packed>,
    files: Vec<FileLine>,
    /// Where it will lie.
    place: PathBuf,
    /// Removed when this is dropped: a backup that is not finished leaves nothing.
    scratch: TempDir,
    course: &'a Course,
}

impl<'a> Writer<'a> {
    /// Begins a backup that will lie at `place`, where nothing may be.
    pub(super) fn begin(place: &Path, course: &'a Course) -> Result<Self, Refusal> {
        if fs::symlink_metadata(place).is_ok() {
            return Err(exists(place));
        }
        let cannot = |error: io::Error| cannot_write(place, &error);
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let scratch = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir_in(folder).map_err(cannot)?;
        let mode = fs::Permissions::from_mode(FILE_MODE);
        let part = tempfile::Builder::new().permissions(mode).tempfile_in(&scratch).map_err(cannot)?;
        let mut packed = zstd::Encoder::new(Sealing::new(BufWriter::new(part)), LEVEL).map_err(cannot)?;
        packed.include_checksum(true).map_err(cannot)?;
        Ok(Self { tar: tar::Builder::new(packed), files: Vec::new(), place: place.to_owned(), scratch, course })
    }

    /// A path for a copy that is made only to be added. Nothing lies there.
    pub(super) fn copy_place(&self) -> PathBuf {
        self.scratch.path().join("copy")
    }

    /// Where the backup will lie.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Adds a file under `name`.
    ///
    /// # Errors
    /// When it cannot be read whole, or the backup not be written. That it is gone is no error.
    pub(super) fn add(&mut self, name: &Path, path: &Path) -> Result<Fate, Refusal> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fate::Vanished),
            Err(error) => return Err(cannot_read(path, &error)),
        };
        if self.files.len() >= FILES_MAX {
            return Err(too_many());
        }
        let found = file.metadata().map_err(|error| cannot_read(path, &error))?;
        let mut header = header(tar::EntryType::Regular, found.mode());
        header.set_size(found.len());
        header.set_mtime(u64::try_from(found.mtime()).unwrap_or_default());
        // Not a byte more than the head says, should it grow meanwhile.
        let mut measured = Measured::new(file.take(found.len()), self.course);
        self.tar.append_data(&mut header, name, &mut measured).map_err(|error| self.cannot(&error))?;
        let line = measured.line(name);
        if line.bytes != found.len() {
            return Err(cannot_read(path, &"it became shorter meanwhile"));
        }
        self.files.push(line);
        Ok(Fate::Copied)
    }

    /// Adds the copy at [`Writer::copy_place`] under `name`, and removes it.
    pub(super) fn add_copy(&mut self, name: &Path) -> Result<(), Refusal> {
        let copy = self.copy_place();
        self.add(name, &copy)?;
        fs::remove_file(&copy).map_err(|error| self.cannot(&error))
    }

    /// Adds a directory under `name`, which may stay empty.
    pub(super) fn add_directory(&mut self, name: &Path) -> Result<(), Refusal> {
        let mut header = header(tar::EntryType::Directory, 0o700);
        header.set_size(0);
        self.tar.append_data(&mut header, name, io::empty()).map_err(|error| self.cannot(&error))
    }

    /// Writes the end and gives the backup its name. When this answers it is on disk, name and all. Returns its length in bytes.
    pub(super) fn finish(mut self, about: impl FnOnce(Vec<FileLine>) -> Manifest) -> Result<u64, Refusal> {
        let manifest = about(std::mem::take(&mut self.files));
        let place = self.place.clone();
        let cannot = |error: io::Error| cannot_write(&place, &error);
        let text = serde_json::to_vec(&manifest).map_err(|error| cannot(error.into()))?;
        let mut header = header(tar::EntryType::Regular, FILE_MODE);
        header.set_size(text.len() as u64);
        self.tar.append_data(&mut header, manifest::NAME, text.as_slice()).map_err(cannot)?;
        let packed = self.tar.into_inner().map_err(cannot)?.finish().map_err(cannot)?;
        let (buffered, bytes) = packed.finish().map_err(cannot)?;
        let part = buffered.into_inner().map_err(|error| cannot(error.into_error()))?;
        part.as_file().sync_all().map_err(cannot)?;
        if self.course.is_stopped() {
            return Err(cannot(io::Error::other("it was interrupted")));
        }
        part.persist_noclobber(&place).map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&place),
            _ => cannot(failed.error),
        })?;
        let folder = self.scratch.path().parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)?;
        Ok(bytes)
    }

    fn cannot(&self, error: &io::Error) -> Refusal {
        cannot_write(&self.place, error)
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & MODE_BITS);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn exists(place: &Path) -> Refusal {
    Refusal::new(
        RefusalCode::BadRequest,
        format!("{} exists already.", place.display()),
        "Name another file, or remove it first.",
    )
}

fn too_many() -> Refusal {
    Refusal::new(
        RefusalCode::TooLarge,
        format!("There are more than {FILES_MAX} files to back up."),
        "Pack the repositories that have many loose objects: `git gc` in the directories below forge/repos.",
    )
}
