//! GitHub's own client against the forge, and GitHub's own description against every answer: `clients/forge-conformance`.

use std::path::Path;
use std::process::Stdio;

use crate::house::House;

#[tokio::test]
async fn octokit_finds_everything_as_on_github() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/forge-conformance");
    if !dir.join("node_modules").exists() {
        let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
        assert!(!ci, "run `npm ci` in clients/forge-conformance first");
        eprintln!(
            "NOT CHECKED: run `npm ci` in clients/forge-conformance to hold the forge against GitHub's description"
        );
        return;
    }
    let house = House::build().await;
    house.web().await;
    house.push_branch("bob", "first", "src/app.txt", "one\nFIRST\nthree\n").await;
    house.push_branch("bob", "second", "src/app.txt", "one\nSECOND\nthree\n").await;
    house.push_branch("bob", "third", "third.txt", "3\n").await;
    let output = tokio::process::Command::new("node")
        .arg("conformance.mjs")
        .current_dir(dir)
        .env("FORGE_URL", format!("{}/api/v3", house.base))
        .env("FORGE_OWNER_TOKEN", "tok_alice")
        .env("FORGE_WRITER_TOKEN", "tok_bob")
        .env("FORGE_REPO", "acme/web")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let counts: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert!(counts["answers"].as_u64().unwrap() >= 80, "{counts}");
    assert!(counts["kinds"].as_u64().unwrap() >= 45, "{counts}");
    assert_eq!(counts["faults"], 0);
}
