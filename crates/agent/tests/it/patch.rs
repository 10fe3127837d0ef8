//! `apply_patch`, as a model calls it.

use hangar_agent::TurnEnd;
use hangar_protocol::event::ToolStatus;
use serde_json::json;

use crate::world::{World, calling};

fn patch(body: &str) -> serde_json::Value {
    calling("apply_patch", json!({"patch": format!("*** Begin Patch\n{body}\n*** End Patch")}))
}

#[tokio::test]
async fn files_are_added_changed_moved_and_deleted_in_one_call() {
    let world = World::of(json!([
        patch("*** Add File: deep/new.txt\n+new\n*** Update File: a.rs\n@@ fn f() {\n-    1\n+    2\n*** Update File: b.rs\n*** Move to: c/b.rs\n@@\n-old\n+now\n*** Delete File: it's gone.txt"),
        {"say": "Patched."},
    ]))
    .await;
    world.put("a.rs", "fn e() {\n    1\n}\nfn f() {\n    1\n}\n");
    world.put("b.rs", "old\n");
    world.put("it's gone.txt", "x");
    assert_eq!(world.run().await, TurnEnd::Done);
    let told = "Done:\nA deep/new.txt\nM a.rs\nM c/b.rs (was b.rs)\nD it's gone.txt";
    assert_eq!(world.results(), [(ToolStatus::Ok, told.to_owned())]);
    assert_eq!((world.text("deep/new.txt").as_str(), world.text("c/b.rs").as_str()), ("new\n", "now\n"));
    assert_eq!(world.text("a.rs"), "fn e() {\n    1\n}\nfn f() {\n    2\n}\n");
    assert!(!world.path("b.rs").exists() && !world.path("it's gone.txt").exists());
}

#[tokio::test]
async fn a_patch_that_does_not_fit_changes_nothing() {
    let world = World::of(json!([
        {"calls": [
            patch("*** Add File: new.txt\n+new\n*** Update File: a.rs\n@@\n-nowhere\n+x")["calls"][0],
            patch("*** Add File: a.rs\n+x")["calls"][0],
            patch("*** Delete File: none.txt")["calls"][0],
            patch("*** Update File: a.rs\n@@\n-a\n+b\n*** Update File: a.rs\n@@\n-a\n+c")["calls"][0],
            patch("*** Add File: .git/hooks/pre-commit\n+x")["calls"][0],
            {"tool": "apply_patch", "input": {"patch": "--- a\n+++ b"}},
        ]},
        {"say": "So be it."},
    ]))
    .await;
    world.put("a.rs", "a\n");
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    assert!(results.iter().all(|(status, _)| *status == ToolStatus::Error), "{results:?}");
    let said = |words: &str| assert!(results.iter().any(|(_, output)| output.contains(words)), "{words}: {results:?}");
    said("a.rs: hunk 1 does not fit");
    said("a.rs is there already");
    said("none.txt");
    said("a.rs is named twice");
    said(".git is protected");
    said("The patch cannot be read");
    assert!(!world.path("new.txt").exists() && !world.path(".git").exists());
    assert_eq!(world.text("a.rs"), "a\n");
}
