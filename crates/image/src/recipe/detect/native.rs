//! Projects whose build tool knows how to fetch, build and test by itself.

use super::{Place, Project};

pub(super) fn cargo(place: Place<'_>) -> Option<Project> {
    let manifest = place.text("Cargo.toml")?;
    let locked = if place.has("Cargo.lock") { " --locked" } else { "" };
    let workspace = manifest.lines().any(|line| line.trim_start().starts_with("[workspace]"));
    Some(Project {
        setup: vec![format!("cargo fetch{locked}")],
        warm: vec![format!("cargo build{locked} --workspace --all-targets"), format!("cargo test{locked} --workspace")],
        whole: workspace,
        ..Project::default()
    })
}

pub(super) fn go(place: Place<'_>) -> Option<Project> {
    let workspace = place.has("go.work");
    if !workspace && !place.has("go.mod") {
        return None;
    }
    let all = if workspace { "work" } else { "./..." };
    Some(Project {
        setup: vec!["go mod download".into()],
        warm: vec![format!("go build {all}"), format!("go test {all}")],
        whole: workspace,
        ..Project::default()
    })
}

pub(super) fn maven(place: Place<'_>) -> Option<Project> {
    if !place.has("pom.xml") {
        return None;
    }
    let mvn = if place.has("mvnw") { "sh ./mvnw" } else { "mvn" };
    Some(Project {
        setup: vec![format!("{mvn} --batch-mode --quiet dependency:go-offline")],
        warm: vec![format!("{mvn} --batch-mode --quiet test")],
        whole: true,
        ..Project::default()
    })
}

pub(super) fn gradle(place: Place<'_>) -> Option<Project> {
    place.first(&["settings.gradle", "settings.gradle.kts", "build.gradle", "build.gradle.kts"])?;
    let gradle = if place.has("gradlew") { "sh ./gradlew" } else { "gradle" };
    // A daemon would outlive the step and be killed before the layer is frozen.
    Some(Project {
        setup: vec![format!("{gradle} --no-daemon --quiet dependencies")],
        warm: vec![format!("{gradle} --no-daemon build")],
        whole: true,
        ..Project::default()
    })
}

pub(super) fn dotnet(place: Place<'_>) -> Option<Project> {
    let solution = place.names().any(|name| name.ends_with(".sln") || name.ends_with(".slnx"));
    let project = place.names().any(|name| name.ends_with(".csproj") || name.ends_with(".fsproj"));
    (solution || project).then(|| Project {
        setup: vec!["dotnet restore".into()],
        warm: vec!["dotnet build --no-restore".into(), "dotnet test --no-build".into()],
        whole: solution,
        env: vec![("DOTNET_CLI_TELEMETRY_OPTOUT", "1")],
    })
}

pub(super) fn swift(place: Place<'_>) -> Option<Project> {
    place.has("Package.swift").then(|| Project {
        setup: vec!["swift package resolve".into()],
        warm: vec!["swift build --build-tests".into(), "swift test".into()],
        ..Project::default()
    })
}

pub(super) fn dart(place: Place<'_>) -> Option<Project> {
    place.has("pubspec.yaml").then(|| Project {
        setup: vec!["dart pub get".into()],
        warm: vec!["dart test".into()],
        ..Project::default()
    })
}
