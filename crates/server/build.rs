//! Packs the source that is being built, so that the program carries it: every file that git knows, or in a tree without git every file that
//! belongs to it. It runs again when one of them, or the commit, has changed.

#[path = "build/pack.rs"]
mod pack;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// How much of a hash names a version of the source.
const ID_BYTES: usize = 8;
/// What the source is called where git cannot say it.
const NO_COMMIT: &str = "unknown (built where git could not be asked)";

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here.ancestors().nth(2).ok_or("this crate lies two directories below the workspace")?.to_owned();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (files, commit, commits) = match pack::tracked(&root) {
        Some(files) => (files, pack::commit(&root), commits(&root)),
        None => (pack::walked(&root)?, None, None),
    };
    let commit = commit.unwrap_or_else(|| NO_COMMIT.to_owned());
    for place in files.iter().map(|file| root.join(file)).chain(commits) {
        println!("cargo::rerun-if-changed={}", place.display());
    }
    let (archive, index) = (pack::packed(&root, &files)?, pack::index(&root, &files, &commit)?);
    fs::write(out.join("source.tar.zst"), &archive)?;
    fs::write(out.join("source-index.md"), &index)?;
    let hash = Sha256::new().chain_update(&archive).chain_update(&index).finalize();
    let id: String = hash.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=HANGAR_SOURCE_ID={id}");
    println!("cargo::rustc-env=HANGAR_SOURCE_COMMIT={commit}");
    Ok(())
}

/// A file that changes with the commit: git's record of them, which, unlike its index, nothing else rewrites; the index where there is none.
fn commits(root: &Path) -> Option<PathBuf> {
    let place = |name: &str| pack::git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path.trim()));
    ["logs/HEAD", "index"].into_iter().filter_map(place).find(|path| path.exists())
}
