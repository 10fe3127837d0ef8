//! Toolchains that live in a home directory, and so outside the base: found here, mounted read only by name.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

/// Where toolchains are mounted inside a sandbox.
pub const TOOLCHAINS: &str = "/opt/toolchains";

/// A toolchain of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Its name; it is mounted at `/opt/toolchains/<name>`.
    pub name: String,
    /// Where it is on the host. Nothing outside this directory becomes visible.
    pub host_path: PathBuf,
    /// Directories of it that go on `PATH`, relative to it. Empty for the directory itself.
    pub bin: Vec<String>,
    /// Paths that lead to it as well, because programs in it name their interpreter by the path it was installed at.
    pub also_at: Vec<String>,
    /// Variables it needs.
    pub env: BTreeMap<String, String>,
}

impl Toolchain {
    /// Where it is mounted inside.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{TOOLCHAINS}/{}", self.name)
    }
}

/// The toolchains in the home of the user hangar runs as.
///
/// Looks at rustup (the default toolchain), programs installed by cargo, pyenv (the global versions) and nvm (the default version). Credentials,
/// registries and caches that lie beside them are not part of what is returned.
#[must_use]
pub fn detect() -> Vec<Toolchain> {
    let Some(home) = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) else { return vec![] };
    let variable = |name: &str, default: &str| env::var_os(name).map_or_else(|| home.join(default), PathBuf::from);
    let mut found = Vec::new();
    found.extend(rustup(&variable("RUSTUP_HOME", ".rustup")));
    found.extend(cargo_programs(&variable("CARGO_HOME", ".cargo")));
    found.extend(pyenv(&variable("PYENV_ROOT", ".pyenv")));
    found.extend(nvm(&variable("NVM_DIR", ".nvm")));
    found
}

fn toolchain(name: String, host_path: PathBuf, bin: &str) -> Option<Toolchain> {
    let whole = host_path.join(bin).is_dir();
    let bin = if bin.is_empty() { vec![String::new()] } else { vec![bin.to_owned()] };
    whole.then(|| Toolchain { name, host_path, bin, also_at: vec![], env: BTreeMap::new() })
}

fn rustup(home: &Path) -> Option<Toolchain> {
    let settings: toml::Table = fs::read_to_string(home.join("settings.toml")).ok()?.parse().ok()?;
    let named =
        settings.get("default_toolchain").and_then(toml::Value::as_str).map(|name| home.join("toolchains").join(name));
    // `stable` may be written for `stable-x86_64-unknown-linux-gnu`.
    let path = named.filter(|path| path.is_dir()).or_else(|| only_entry(&home.join("toolchains")))?;
    let mut rust = toolchain("rust".into(), path, "bin")?;
    // The writable side of cargo is the sandbox's own; it starts empty.
    rust.env.insert("CARGO_HOME".into(), format!("{}/.cargo", hangar_protocol::guest::HOME));
    Some(rust)
}

/// Programs of `cargo install`. rustup's own proxies lie there as well, and come after the real ones on `PATH`.
fn cargo_programs(home: &Path) -> Option<Toolchain> {
    toolchain("cargo-programs".into(), home.join("bin"), "")
}

fn pyenv(root: &Path) -> Vec<Toolchain> {
    let global = fs::read_to_string(root.join("version")).unwrap_or_default();
    global
        .split_whitespace()
        .filter(|version| plain_name(version))
        .filter_map(|version| toolchain(format!("python-{version}"), root.join("versions").join(version), "bin"))
        .map(|mut python| {
            python.also_at.push(python.host_path.to_string_lossy().into_owned());
            python
        })
        .collect()
}

fn nvm(root: &Path) -> Option<Toolchain> {
    let wanted = fs::read_to_string(root.join("alias/default")).unwrap_or_default();
    let wanted = wanted.trim().trim_start_matches('v').to_owned();
    let mut versions: Vec<(Vec<u64>, PathBuf)> = fs::read_dir(root.join("versions/node"))
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().trim_start_matches('v').to_owned();
            let fits = name == wanted || name.starts_with(&format!("{wanted}."));
            let numbers = name.split('.').map(|part| part.parse().unwrap_or(0)).collect();
            // An alias by name (`node`, `lts/*`) means the newest.
            (fits || !wanted.starts_with(|first: char| first.is_ascii_digit())).then(|| (numbers, entry.path()))
        })
        .collect();
    versions.sort();
    toolchain("node".into(), versions.pop()?.1, "bin")
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(directory).ok()?.flatten();
    let first = entries.next()?.path();
    Some(first)
}

fn plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && !name.starts_with('.')
}
