//! What the command line says where no server is needed. `TRYCMD=overwrite` writes the transcripts anew.

use std::{fs, path::Path};

use crate::cli::said::program;

#[test]
fn transcripts() {
    let home = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("hangar", Path::new(env!("CARGO_BIN_EXE_hangar")))
        .env("HOME", home.path().to_str().unwrap())
        .env("XDG_CONFIG_HOME", "")
        .env("HANGAR_CONFIG", "")
        .case("tests/it/cli/transcripts/*.trycmd");
    cases.run();
}

#[test]
fn every_shell_gets_completions_that_it_can_read() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef hangar"),
        ("fish", "complete -c hangar"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let output = program().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains(sign) && script.contains("attach"), "{shell}");
        if shell == "bash" {
            let checked = std::process::Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
            assert!(checked.success());
        }
    }
}

#[test]
fn every_command_has_its_line_in_the_docs_and_examples_in_its_help() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md")).unwrap();
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let commands: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let commands: Vec<&str> = commands.into_iter().filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(commands.len() >= 14, "{commands:?}");
    for command in commands {
        assert!(docs.contains(&format!("`hangar {command}")), "docs/cli.md says nothing of {command}");
        let help = String::from_utf8(program().args([command, "--help"]).output().unwrap().stdout).unwrap();
        assert!(help.contains("Example"), "{command} --help has no example");
    }
}

#[test]
fn doctor_finds_the_same_for_people_and_programs() {
    let data = tempfile::tempdir().unwrap();
    let doctor = |arguments: &[&str]| {
        let data = data.path().join("data");
        program()
            .args(["doctor", "--data", data.to_str().unwrap()])
            .args(arguments)
            .env("HANGAR_HTTP_PORT", "0")
            .output()
            .unwrap()
    };
    let report = doctor(&["--json"]);
    let told: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    for name in ["git", "configuration", "data", "port", "models", "kernel", "namespaces", "overlay"] {
        assert!(findings.iter().any(|finding| finding["name"] == name), "{name} in {told:#}");
    }
    assert_eq!(report.status.success(), told["ok"] == true);
    let missing = findings.iter().any(|finding| finding["verdict"] == "missing");
    assert_eq!(told["ok"], !missing);
    let mended = |finding: &&serde_json::Value| finding["verdict"] != "ok" && finding["mend"] == "";
    assert_eq!(findings.iter().find(mended), None, "everything that is not well says how to mend it");
    let text = String::from_utf8(doctor(&[]).stdout).unwrap();
    for finding in findings {
        assert!(text.contains(finding["name"].as_str().unwrap()), "{text}");
    }
    assert!(!data.path().join("data").exists(), "looking leaves nothing behind");
}

#[test]
fn doctor_says_what_is_wrong_with_a_configuration_a_port_and_a_directory() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("hangar.toml");
    fs::write(&file, "colour = \"red\"\n").unwrap();
    let verdict = |name: &str, arguments: &[&str], port: u16| {
        let mut doctor = program();
        doctor.args(["doctor", "--json"]).args(arguments).env("HANGAR_HTTP_PORT", port.to_string());
        let output = doctor.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let finding = told["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == name).unwrap();
        format!("{}: {} → {}", finding["verdict"], finding["meaning"], finding["mend"])
    };
    let config = verdict("configuration", &["--config", file.to_str().unwrap()], 0);
    assert!(config.starts_with("\"missing\"") && config.contains("colour"), "{config}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // It accepts and never answers: a program that is no hangar.
    let port = verdict(
        "port",
        &["--data", place.path().join("data").to_str().unwrap()],
        listener.local_addr().unwrap().port(),
    );
    assert!(port.starts_with("\"missing\"") && port.contains("--port"), "{port}");
    let data = verdict("data", &["--data", "/proc/hangar"], 0);
    assert!(data.starts_with("\"missing\"") && data.contains("--data"), "{data}");
}
