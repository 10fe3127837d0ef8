//! What recipes say of what files: one table, and one way to write a recipe down.

use std::fmt::Write;

use hangar_image::recipe::{Account, Files, Recipe, Step};

/// A recipe in lines.
pub(crate) fn lines(recipe: &Recipe) -> String {
    let mut out = String::new();
    let mut say = |line: String| writeln!(out, "{line}").unwrap();
    say(format!("from {}", recipe.source));
    if recipe.base != hangar_image::recipe::BaseChoice::Host {
        say(format!("base {:?}", recipe.base));
    }
    let step = |step: &Step| {
        let place = if step.directory.is_empty() { String::new() } else { format!(" in {}", step.directory) };
        let root = if step.account == Account::Root { " as root" } else { "" };
        let env: String = step.env.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{}{place}{root}{env}", step.script.replace('\n', "; "))
    };
    recipe.setup.iter().for_each(|one| say(format!("setup {}", step(one))));
    recipe.warm.iter().for_each(|one| say(format!("warm {}", step(one))));
    recipe.verify.iter().for_each(|one| say(format!("verify {}", step(one))));
    recipe.start.iter().for_each(|one| say(format!("start {}", step(one))));
    for service in &recipe.services {
        say(format!("service {} {:?} {:?}: {}", service.name, service.health, service.restart, step(&service.run)));
    }
    recipe.env.iter().for_each(|(name, value)| say(format!("env {name}={value}")));
    if !recipe.ports.is_empty() {
        say(format!("ports {:?}", recipe.ports));
    }
    recipe.network.setup.iter().for_each(|host| say(format!("setup may reach {host}")));
    recipe.network.agent.iter().for_each(|host| say(format!("agent may reach {host}")));
    for beside in &recipe.beside {
        say(format!("beside {} {:?} at /repos/{}", beside.repo, beside.branch, beside.name));
    }
    recipe.notes.iter().for_each(|note| say(format!("note {note}")));
    out
}

/// Reads the recipe of these files and compares the whole of it.
pub(crate) fn check(files: &[(&str, &str)], expected: &str) {
    let recipe = Recipe::read(&Files::of(files.iter().copied())).unwrap_or_else(|error| panic!("{files:?}: {error}"));
    let expected: String = expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(lines(&recipe), expected, "{files:?}");
}

pub(crate) fn refusal(files: &[(&str, &str)]) -> String {
    Recipe::read(&Files::of(files.iter().copied())).expect_err("it is refused").to_string()
}

#[test]
fn lock_files_tell_how_to_fetch_build_and_test() {
    check(
        &[],
        "from lock files
         note No lock file was recognised; the image holds the clone alone.",
    );
    check(
        &[("Cargo.toml", "[workspace]\n"), ("Cargo.lock", ""), ("one/Cargo.toml", "[package]")],
        "from lock files
         setup cargo fetch --locked
         warm cargo build --locked --workspace --all-targets
         warm cargo test --locked --workspace",
    );
    check(
        &[("package.json", r#"{"scripts": {"build": "tsc", "test": "vitest"}}"#), ("package-lock.json", "{}")],
        "from lock files
         setup npm ci --no-audit --no-fund
         warm CI=1 npm run build
         warm CI=1 npm run test",
    );
    check(
        &[
            (
                "package.json",
                r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}, "workspaces": ["a"]}"#,
            ),
            ("pnpm-lock.yaml", ""),
            ("a/package.json", "{}"),
        ],
        "from lock files
         setup pnpm install --frozen-lockfile",
    );
    check(
        &[("package.json", r#"{"packageManager": "yarn@4.1.0"}"#), ("yarn.lock", "")],
        "from lock files
         setup yarn install --immutable",
    );
    check(
        &[("package.json", r#"{"dependencies": {"left-pad": "1"}}"#), ("bun.lock", "")],
        "from lock files
         setup bun install --frozen-lockfile",
    );
    check(
        &[("pyproject.toml", "[dependency-groups]\ndev = [\"pytest\"]\n"), ("uv.lock", "")],
        "from lock files
         setup uv sync --frozen --all-groups
         warm uv run --frozen python -m pytest --quiet",
    );
    check(
        &[("requirements.txt", "flask\n"), ("tests/test_app.py", "")],
        r"from lock files
          setup python3 -m venv .venv && printf '*\n' > .venv/.gitignore; .venv/bin/pip install --disable-pip-version-check --requirement requirements.txt
          warm .venv/bin/python -m unittest discover --start-directory tests",
    );
    check(
        &[("poetry.lock", ""), ("conftest.py", "")],
        "from lock files
         setup poetry install --no-interaction --no-ansi
         warm poetry run python -m pytest --quiet",
    );
    check(
        &[("go.mod", "module x\n")],
        "from lock files
         setup go mod download
         warm go build ./...
         warm go test ./...",
    );
    check(
        &[("Gemfile", "gem \"rspec\"\n"), ("Gemfile.lock", "")],
        "from lock files
         setup bundle install
         warm bundle exec rspec
         env BUNDLE_PATH=/home/agent/.bundle/gems",
    );
    check(
        &[("composer.json", "{}"), ("phpunit.xml.dist", "")],
        "from lock files
         setup composer install --no-interaction --no-progress
         warm vendor/bin/phpunit",
    );
    check(
        &[("pom.xml", ""), ("mvnw", "")],
        "from lock files
         setup sh ./mvnw --batch-mode --quiet dependency:go-offline
         warm sh ./mvnw --batch-mode --quiet test",
    );
    check(
        &[("build.gradle.kts", "")],
        "from lock files
         setup gradle --no-daemon --quiet dependencies
         warm gradle --no-daemon build",
    );
    check(
        &[("mix.exs", "")],
        "from lock files
         setup mix local.hex --force && mix local.rebar --force; mix deps.get
         warm mix compile
         warm mix test",
    );
}

#[test]
fn projects_one_level_down_are_found() {
    check(
        &[
            ("README.md", ""),
            ("api/go.mod", ""),
            ("web/package.json", r#"{"scripts": {"build": "vite build"}}"#),
            ("web/package-lock.json", ""),
            ("web/deep/er/Cargo.toml", "[package]"),
        ],
        "from lock files
         setup go mod download in api
         setup npm ci --no-audit --no-fund in web
         warm go build ./... in api
         warm go test ./... in api
         warm CI=1 npm run build in web",
    );
}

#[test]
fn tools_are_installed_first() {
    let recipe = Recipe::read(&Files::of([("go.mod", "module x"), ("mise.toml", "[tools]\ngo = '1.22'\n")])).unwrap();
    assert_eq!(recipe.setup[0].name, "tools of mise.toml");
    assert_eq!(recipe.setup[1].script, "go mod download");
    assert_eq!(recipe.env["PATH"], "/home/agent/.local/share/mise/shims:${PATH}");
}

#[test]
fn digests_follow_what_is_built_and_nothing_else() {
    let read = |text: &str| Recipe::read(&Files::of([(".hangar/environment.toml", text)])).unwrap();
    let first = read("setup = ['make']");
    let same = Recipe { notes: vec!["said".into()], ..first.clone() };
    assert_eq!(first.digest(), same.digest());
    // Spelled out, so that a change of what is hashed is noticed: every image everywhere would be built anew.
    assert_eq!(first.digest(), read("# a comment\nsetup = [{ run = 'make' }]").digest());
    for other in ["setup = ['make all']", "setup = ['make']\nports = [80]", "base = 'debian'\nsetup = ['make']"] {
        assert_ne!(first.digest(), read(other).digest(), "{other}");
    }
}

#[test]
fn a_checkout_is_read_without_following_links() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("secret"), "setup = ['stolen']").unwrap();
    std::fs::create_dir_all(path("repo/.hangar")).unwrap();
    std::os::unix::fs::symlink(path("secret"), path("repo/.hangar/environment.toml")).unwrap();
    let files = Files::of_directory(&path("repo")).unwrap();
    let refused = Recipe::read(&files).expect_err("a link");
    assert!(refused.to_string().starts_with(".hangar/environment.toml: cannot be read"), "{refused}");

    std::fs::remove_dir_all(path("repo/.hangar")).unwrap();
    std::fs::create_dir_all(path("outside/x")).unwrap();
    std::fs::write(path("outside/go.mod"), "module x").unwrap();
    std::os::unix::fs::symlink(path("outside"), path("repo/linked")).unwrap();
    std::fs::create_dir_all(path("repo/.devcontainer/rust")).unwrap();
    std::fs::write(path("repo/.devcontainer/rust/devcontainer.json"), "{\"image\": \"rust\"}").unwrap();
    std::fs::create_dir_all(path("repo/web/node_modules/x")).unwrap();
    std::fs::write(path("repo/web/package.json"), "{\"scripts\": {\"test\": \"true\"}}").unwrap();
    let recipe = Recipe::read(&Files::of_directory(&path("repo")).unwrap()).unwrap();
    assert_eq!(recipe.source, ".devcontainer/rust/devcontainer.json");
    assert_eq!(recipe.warm.len(), 1, "{recipe:?}");
    assert_eq!(recipe.warm[0].directory, "web");
}
