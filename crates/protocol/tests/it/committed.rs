//! Committed files that a test could have written itself.

use std::{env, fs, path::PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Asserts that the committed file says what `fresh` says; with `HANGAR_BLESS=1` writes it instead.
pub(crate) fn check(path: &str, fresh: &str) {
    let file = root().join(path);
    if env::var_os("HANGAR_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("the folder can be made");
        // Renamed into place: another test may be reading the old one.
        let beside = file.with_extension("fresh");
        fs::write(&beside, fresh).expect("the file can be written");
        fs::rename(&beside, &file).expect("and renamed");
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == fresh,
        "{path} is stale. Run `HANGAR_BLESS=1 cargo test -p hangar-protocol`, read the diff and commit it."
    );
}
