//! The plugins of `plugins/`, as they are shipped.

use std::path::{Path, PathBuf};

use hangar_agent::{ToolCall, Verdict, hooks::Occasion};
use serde_json::json;

use crate::plugin::{Plugin, settings};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

fn example(name: &str, options: &[&str]) -> Plugin {
    let mut settings = settings(name, &directory().join(format!("{name}.js")));
    settings.options = options.iter().map(|&text| text.to_owned()).collect();
    Plugin::load(settings).unwrap()
}

#[test]
fn every_example_is_named_and_tried_here() {
    let mut files: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".js"))
        .collect();
    files.sort();
    assert_eq!(files, ["ask-before.js", "protect-paths.js", "team-context.js", "tests-before-pull-request.js"]);
    let readme = std::fs::read_to_string(directory().join("README.md")).unwrap();
    for file in files {
        assert!(readme.contains(&format!("({file})")), "README.md does not name {file}");
    }
}

#[tokio::test]
async fn ask_before_lets_a_person_decide_about_what_its_options_name() {
    let plugin = example("ask-before", &["\\bgit push\\b.*(--force|-f\\b)", "^\\S*deploy"]);
    let check = async |tool: &str, args: serde_json::Value, asks: bool| {
        let call = ToolCall { call: "c".parse().unwrap(), name: tool.to_owned(), input: args.clone(), mutates: true };
        let verdict = plugin.ask(Occasion::PermissionAsk(&call)).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Ask(_)), asks, "{tool} {args}: {verdict:?}");
    };
    check("bash", json!({"command": "git push --force origin HEAD"}), true).await;
    check("bash", json!({"command": "cd a && ./deploy.sh"}), true).await;
    check("bash", json!({"command": "git push origin HEAD"}), false).await;
    check("write", json!({"path": "deploy", "content": "git push -f"}), false).await;
}

#[tokio::test]
async fn protect_paths_keeps_them_from_being_written() {
    let plugin = example("protect-paths", &["db/migrations", ".env"]);
    let check = async |tool: &str, args: serde_json::Value, refused: Option<&str>| {
        let verdict = plugin.before(tool, args.clone()).await.unwrap();
        let expected = refused.map_or(Verdict::Allow, |path| {
            Verdict::Deny(format!(
                "{path} is protected here: leave it as it is, and tell the person if it has to change."
            ))
        });
        assert_eq!(verdict, expected, "{tool} {args}");
    };
    check("write", json!({"path": "db/migrations/1.sql", "content": ""}), Some("db/migrations")).await;
    check("write", json!({"path": "/workspace/src/../db/./migrations", "content": ""}), Some("db/migrations")).await;
    check("edit", json!({"path": "./.env", "old_string": "a", "new_string": "b"}), Some(".env")).await;
    let patch = |lines: &str| json!({"patch": format!("*** Begin Patch\n{lines}\n*** End Patch")});
    check("apply_patch", patch("*** Add File: a\n+x\n*** Update File: db/migrations/1.sql\n-a"), Some("db/migrations"))
        .await;
    check("apply_patch", patch("*** Update File: a\n*** Move to: ./.env\n x"), Some(".env")).await;
    check("apply_patch", patch("*** Update File: a\n+*** Add File: .env"), None).await;
    check("write", json!({"path": "db/migrations2/1.sql", "content": ""}), None).await;
    check("write", json!({"path": ".env.example", "content": ""}), None).await;
    check("read", json!({"path": "db/migrations/1.sql"}), None).await;
    for command in [
        "rm -r db/migrations",
        "cd src && mv x.sql ../src/../db/migrations/",
        "echo A=1 > .env",
        "echo A=1>>.env",
        "sed -i s/a/b/ db/migrations/1.sql",
        "git checkout HEAD~1 -- ./db/migrations",
        "printf x | tee \"/workspace/.env\"",
    ] {
        let path = if command.contains(".env") { ".env" } else { "db/migrations" };
        check("bash", json!({"command": command}), Some(path)).await;
    }
    check("bash", json!({"command": "rm 1.sql", "cwd": "db/migrations"}), Some("db/migrations")).await;
    for command in ["cat db/migrations/1.sql", "ls db/migrations | wc -l", "rm -r target", "git log -- db/migrations"] {
        check("bash", json!({"command": command}), None).await;
    }
}

#[tokio::test]
async fn a_pull_request_waits_for_tests_that_passed_after_the_last_change() {
    let plugin = example("tests-before-pull-request", &[]);
    let opens = async |session: &str| {
        let call = crate::plugin::call("open_pull_request", json!({"title": "T", "body": ""}));
        match plugin.ask_in(session, Occasion::ToolExecuteBefore(&call)).await.unwrap() {
            Verdict::Allow => true,
            Verdict::Deny(words) => {
                assert!(words.starts_with("Run the repository's tests first"), "{words}");
                false
            }
            other => panic!("{other:?}"),
        }
    };
    let ran = async |command: &str, ok: bool| {
        assert_eq!(plugin.after("bash", json!({"command": command}), ok, "").await, Ok(Verdict::Allow));
    };
    assert!(!opens("s1").await);
    ran("cargo test -p shop", false).await;
    assert!(!opens("s1").await);
    ran("cargo test -p shop", true).await;
    ran("git commit -am Done && git push", true).await;
    assert!(opens("s1").await);
    assert!(!opens("s2").await, "another session's tests count");
    let edit = json!({"path": "a", "old_string": "a", "new_string": "b"});
    assert_eq!(plugin.after("edit", edit, true, "").await, Ok(Verdict::Allow));
    assert!(!opens("s1").await);
    ran("npm test", true).await;
    assert!(opens("s1").await);
    ran("make generate", true).await;
    assert!(!opens("s1").await);

    let other = example("tests-before-pull-request", &["^just verify$"]);
    let call = crate::plugin::call("open_pull_request", json!({}));
    assert_eq!(other.after("bash", json!({"command": "cargo test"}), true, "").await, Ok(Verdict::Allow));
    assert!(matches!(other.ask(Occasion::ToolExecuteBefore(&call)).await, Ok(Verdict::Deny(_))));
    assert_eq!(other.after("bash", json!({"command": "just verify"}), true, "").await, Ok(Verdict::Allow));
    assert_eq!(other.ask(Occasion::ToolExecuteBefore(&call)).await, Ok(Verdict::Allow));
}

#[tokio::test]
async fn team_context_is_told_where_it_holds() {
    let plugin = example("team-context", &["Jane is on call.", "acme/billing: Frozen.", "acme/shop: Ask Bob first."]);
    let told = Verdict::Context("Jane is on call.\n\nAsk Bob first.".to_owned());
    assert_eq!(plugin.ask(Occasion::ContextInject).await, Ok(told));
    assert_eq!(example("team-context", &[]).ask(Occasion::ContextInject).await, Ok(Verdict::Allow));
}
