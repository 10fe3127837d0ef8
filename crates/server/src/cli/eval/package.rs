//! A published package, fetched by its registry's ordinary client and held against its hash.
//!
//! The clients obey what is set up for them on this machine: mirrors, proxies, certificates. Nothing of a package is run.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::task::{Package, Registry};

/// Longest that one fetch may take.
const FETCH_MAX: Duration = Duration::from_secs(180);

/// Puts the files of a package into an empty folder. Says why not where that cannot be done.
pub(super) async fn unpack(package: &Package, without: &[String], into: &Path) -> Result<(), String> {
    let scratch = tempfile::Builder::new().prefix("hangar-eval-").tempdir().map_err(words)?;
    let archive = kept(package, scratch.path()).await?;
    let whole = scratch.path().join("unpacked");
    fs::create_dir(&whole).map_err(words)?;
    match package.registry {
        Registry::CratesIo | Registry::Npm => {
            let file = fs::File::open(&archive).map_err(words)?;
            tar::Archive::new(GzDecoder::new(file)).unpack(&whole).map_err(words)?;
            let inner = fs::read_dir(&whole).map_err(words)?.next().ok_or("its archive is empty")?.map_err(words)?;
            move_all(&inner.path(), into).map_err(words)?;
        }
        Registry::Pypi => {
            let mut unzip = Command::new("python3");
            run(unzip.args(["-m", "zipfile", "-e"]).arg(&archive).arg(&whole)).await?;
            move_all(&whole, into).map_err(words)?;
        }
    }
    for entry in without {
        remove(into, entry).map_err(words)?;
    }
    Ok(())
}

/// The published file: kept from an earlier time, else fetched now and kept.
async fn kept(package: &Package, scratch: &Path) -> Result<PathBuf, String> {
    let shelf = shelf();
    if let Some(place) = shelf.as_ref().map(|shelf| shelf.join(&package.sha256))
        && hash_of(&place).is_ok_and(|hash| hash == package.sha256)
    {
        return Ok(place);
    }
    let Package { name, version, .. } = package;
    let fetched =
        fetch(package, scratch).await.map_err(|why| format!("{name} {version} could not be fetched: {why}"))?;
    let hash = hash_of(&fetched).map_err(words)?;
    if hash != package.sha256 {
        return Err(format!("{name} {version} has the SHA-256 {hash}, not {}, as published now", package.sha256));
    }
    let Some(shelf) = shelf else { return Ok(fetched) };
    // Another run may keep the same file at the same moment: the name comes last.
    let keep = || -> io::Result<PathBuf> {
        fs::create_dir_all(&shelf)?;
        let mut file = tempfile::NamedTempFile::new_in(&shelf)?;
        io::copy(&mut fs::File::open(&fetched)?, &mut file)?;
        file.persist(shelf.join(&hash)).map_err(|error| error.error)?;
        Ok(shelf.join(&hash))
    };
    keep().map_err(words)
}

/// Where fetched packages are kept, where this person has a place for that.
fn shelf() -> Option<PathBuf> {
    let directory = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = directory("XDG_CACHE_HOME").or_else(|| directory("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("hangar/eval"))
}

async fn fetch(package: &Package, scratch: &Path) -> Result<PathBuf, String> {
    let Package { name, version, .. } = package;
    let fetched = scratch.join("fetched");
    fs::create_dir(&fetched).map_err(words)?;
    match package.registry {
        Registry::CratesIo => {
            let manifest = format!(
                "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n\
                 [dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n[workspace]\n"
            );
            fs::write(fetched.join("Cargo.toml"), manifest).map_err(words)?;
            fs::write(fetched.join("lib.rs"), "").map_err(words)?;
            run(Command::new("cargo").args(["fetch", "--quiet"]).current_dir(&fetched)).await?;
            cached_crate(&format!("{name}-{version}.crate"))
        }
        Registry::Pypi => {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-input",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--dest",
            ]);
            run(pip.arg(&fetched).arg(format!("{name}=={version}"))).await?;
            only_file(&fetched)
        }
        Registry::Npm => {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]);
            run(npm.arg(&fetched).arg(format!("{name}@{version}")).current_dir(&fetched)).await?;
            only_file(&fetched)
        }
    }
}

/// Where cargo keeps what it fetched: a folder for each registry and mirror.
fn cached_crate(file: &str) -> Result<PathBuf, String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let cache = home.ok_or("neither CARGO_HOME nor HOME is set")?.join("registry/cache");
    let folders = fs::read_dir(&cache).map_err(words)?;
    let found = folders.flatten().map(|folder| folder.path().join(file)).find(|place| place.is_file());
    found.ok_or_else(|| format!("cargo fetched it and {} is not in its cache", file))
}

fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let first = fs::read_dir(folder).map_err(words)?.flatten().next();
    first.map(|entry| entry.path()).ok_or_else(|| "nothing came".to_owned())
}

/// Runs a program to its end; its last words where that is not good.
pub(super) async fn run(command: &mut Command) -> Result<String, String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(FETCH_MAX, command.output()).await;
    let ran = ran.map_err(|_| format!("{program} takes longer than {} s", FETCH_MAX.as_secs()))?;
    let ran = ran.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let last: Vec<&str> = said.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    Err(format!("{program} failed: {}", last.into_iter().rev().collect::<Vec<_>>().join(" ")))
}

fn hash_of(file: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(file)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn move_all(from: &Path, into: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = into.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            // It would lead to a file of this machine.
            return Err(io::Error::other("a link is in it, which no task may bring in"));
        }
        if kind.is_dir() {
            fs::create_dir_all(&to)?;
            move_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Removes what an entry of `without` names.
fn remove(from: &Path, entry: &str) -> io::Result<()> {
    let place = from.join(entry);
    if place.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) }
}

fn words(error: io::Error) -> String {
    error.to_string()
}
