//! JavaScript and TypeScript.

use serde_json::Value;

use super::{Place, Project};

/// What npm writes into a new package.json; running it tells nothing.
const NO_TEST: &str = "no test specified";

/// One package manager.
struct Manager {
    locks: &'static [&'static str],
    /// Installs exactly what the lock says.
    install: &'static str,
    run: &'static str,
}

/// The lock decides, the more particular one first.
const MANAGERS: &[Manager] = &[
    Manager { locks: &["pnpm-lock.yaml"], install: "pnpm install --frozen-lockfile", run: "pnpm run" },
    Manager { locks: &["bun.lock", "bun.lockb"], install: "bun install --frozen-lockfile", run: "bun run" },
    Manager { locks: &["yarn.lock"], install: "yarn install --frozen-lockfile", run: "yarn run" },
    Manager {
        locks: &["package-lock.json", "npm-shrinkwrap.json"],
        install: "npm ci --no-audit --no-fund",
        run: "npm run",
    },
];
/// Yarn 2 and later.
const YARN_IMMUTABLE: &str = "yarn install --immutable";

pub(super) fn node(place: Place<'_>) -> Option<Project> {
    let manifest = place.text("package.json")?;
    // A broken one is npm's to complain about.
    let manifest: Value = serde_json::from_str(manifest).unwrap_or_default();
    let locked = MANAGERS.iter().find(|manager| place.first(manager.locks).is_some());
    let asks_for = manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    let modern_yarn = place.has(".yarnrc.yml") || asks_for.starts_with("yarn@") && !asks_for.starts_with("yarn@1");
    let install = match locked {
        Some(manager) if manager.run == "yarn run" && modern_yarn => YARN_IMMUTABLE,
        Some(manager) => manager.install,
        None if depends(&manifest) => "npm install --no-audit --no-fund --no-package-lock",
        // Below the root, such a package belongs to the workspace that has the lock.
        None if place.directory.is_empty() || scripts(&manifest).next().is_some() => "",
        None => return None,
    };
    let member = !place.directory.is_empty() && locked.is_none() && place.files.has("package.json");
    if member {
        return None;
    }
    let run = locked.map_or("npm run", |manager| manager.run);
    let wanted = ["build", "test"].into_iter().filter(|wanted| scripts(&manifest).any(|name| name == *wanted));
    Some(Project {
        setup: (!install.is_empty()).then(|| install.to_owned()).into_iter().collect(),
        warm: wanted.map(|script| format!("CI=1 {run} {script}")).collect(),
        whole: manifest.get("workspaces").is_some() || place.has("pnpm-workspace.yaml"),
        ..Project::default()
    })
}

fn depends(manifest: &Value) -> bool {
    let some = |key: &str| manifest.get(key).and_then(Value::as_object).is_some_and(|named| !named.is_empty());
    some("dependencies") || some("devDependencies") || some("optionalDependencies")
}

fn scripts(manifest: &Value) -> impl Iterator<Item = &str> {
    let scripts = manifest.get("scripts").and_then(Value::as_object).into_iter().flatten();
    scripts
        .filter(|(_, script)| script.as_str().is_some_and(|script| !script.contains(NO_TEST)))
        .map(|(name, _)| name.as_str())
}

pub(super) fn deno(place: Place<'_>) -> Option<Project> {
    place.first(&["deno.json", "deno.jsonc", "deno.lock"])?;
    Some(Project {
        setup: vec!["deno install".into()],
        warm: vec!["deno test --allow-all".into()],
        ..Project::default()
    })
}
