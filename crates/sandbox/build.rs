//! Builds the guest and the hook program as static binaries, which this crate carries inside.
//!
//! A nested cargo with a target directory of its own: the guest needs other flags than the rest (static C library, small,
//! no unwinding) whatever way the outer build runs (debug, release, clippy, doc, nextest).

use std::{env, path::PathBuf, process::Command};

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let crates = here.parent().ok_or("this crate lies beside the guest's")?;
    for path in [
        "guest/src",
        "guest/Cargo.toml",
        "protocol/src/guest.rs",
        "protocol/src/guest",
        "protocol/Cargo.toml",
        "sandbox/build.rs",
    ] {
        println!("cargo::rerun-if-changed={}", crates.join(path).display());
    }
    let target_dir = out.join("guest");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args(["build", "--release", "--package", "hangar-guest", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .current_dir(crates.join("guest"));
    if env::var_os("CARGO_FEATURE_MUTATIONS").is_some() {
        cargo.args(["--features", "mutations"]);
    }
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let of_outer_build = name.starts_with("CARGO_")
            && !matches!(name.as_str(), "CARGO_HOME" | "CARGO_NET_OFFLINE" | "CARGO_HTTP_CAINFO");
        let of_wrapper = name.starts_with("RUSTC") || name.starts_with("RUSTDOC") || name == "CLIPPY_ARGS";
        if of_outer_build || of_wrapper {
            cargo.env_remove(&name);
        }
    }
    // Registry settings given by environment stay as they are.
    for (name, value) in env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_REGISTR") || name.starts_with("CARGO_SOURCE_") || name.starts_with("CARGO_HTTP_")
    }) {
        cargo.env(name, value);
    }
    cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "thin")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let status = cargo.status().map_err(|error| format!("cannot run cargo for the guest: {error}"))?;
    if !status.success() {
        return Err(format!("the guest did not build ({status}); its messages stand above"));
    }
    let programs = target_dir.join(TARGET).join("release");
    println!("cargo::rustc-env=HANGAR_GUEST={}", programs.join("hangar-guest").display());
    println!("cargo::rustc-env=HANGAR_HOOK={}", programs.join("hangar-hook").display());
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
