//! Calls: what runs beside what, refusals, hooks, truncation, background jobs.

use std::sync::atomic::Ordering;

use hangar_agent::TurnEnd;
use hangar_protocol::{EventBody, event::ToolStatus};
use serde_json::json;

use crate::world::{World, calling};

#[tokio::test]
async fn reads_run_side_by_side_and_answer_in_the_order_of_the_calls() {
    let calls: Vec<_> = (0..12).map(|n| json!({"tool": "read", "input": {"path": format!("{n}.txt")}})).collect();
    let mut world = World::of(json!([{"calls": calls}, {"say": "Read."}])).await;
    world.let_reads_meet(4);
    for n in 0..12 {
        world.put(&format!("{n}.txt"), &format!("I am {n}"));
    }
    assert_eq!(world.run().await, TurnEnd::Done);
    let most = world.directory.reading_most.load(Ordering::SeqCst);
    assert!((4..=8).contains(&most), "{most} at once");
    let request = world.last_request();
    let places: Vec<usize> = (0..12).map(|n| request.find(&format!("I am {n}\\n")).unwrap()).collect();
    assert!(places.is_sorted(), "{request}");
}

#[tokio::test]
async fn writes_to_one_file_keep_their_order_and_later_reads_see_them() {
    let world = World::of(json!([
        {"calls": [
            {"tool": "write", "input": {"path": "deep/f", "content": "1"}},
            {"tool": "edit", "input": {"path": "./deep/f", "old_string": "1", "new_string": "2"}},
            {"tool": "bash", "input": {"command": "printf 3 >> deep/f"}},
            {"tool": "edit", "input": {"path": "/workspace/deep/f", "old_string": "23", "new_string": "4"}},
            {"tool": "read", "input": {"path": "deep/f"}},
        ]},
        {"say": "Written."},
    ]))
    .await;
    world.run().await;
    let results = world.results();
    assert!(results.iter().all(|(status, _)| *status == ToolStatus::Ok), "{results:?}");
    assert!(results[0].1.starts_with("Created deep/f (1 lines)."));
    assert_eq!(results[4].1, "1\t4\n");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_and_the_turn_goes_on() {
    let world = World::of(json!([
        {"calls": [
            {"tool": "edit", "input": {"path": "f", "old_string": "a", "new_string": "b"}},
            {"tool": "edit", "input": {"path": "f", "old_string": "zzz", "new_string": "b"}},
            {"tool": "edit", "input": {"path": "none", "old_string": "zzz", "new_string": "b"}},
            {"tool": "fly", "input": {}},
            {"tool": "read", "input": "{\"path\": \"f\""},
            {"tool": "read", "input": {"file": "f"}},
            {"tool": "read", "input": {"path": "."}},
            {"tool": "write", "input": {"path": ".git/config", "content": "x"}},
            {"tool": "grep", "input": {"pattern": "("}},
            {"tool": "bash", "input": {"command": "echo out; echo err >&2; exit 3"}},
            {"tool": "bash", "input": {"command": "sleep 60", "timeout_s": 1}},
            {"tool": "job", "input": {"action": "kill", "job": 4}},
            {"tool": "read", "input": {"path": "binary"}},
        ]},
        {"say": "So be it."},
    ]))
    .await;
    world.put("f", "a a");
    world.put("binary", "a\0b");
    assert_eq!(world.run().await, TurnEnd::Done);
    let mut finished: Vec<(ToolStatus, String)> = world.results();
    finished.sort_by(|one, other| one.1.cmp(&other.1));
    assert!(finished.iter().all(|(status, _)| *status == ToolStatus::Error), "{finished:?}");
    let said =
        |words: &str| assert!(finished.iter().any(|(_, output)| output.contains(words)), "{words}: {finished:?}");
    said("occurs 2 times");
    said("old_string does not occur");
    said("No such file");
    said("There is no tool \"fly\". The tools are: read, write,");
    said("not a JSON object (EOF while parsing");
    said("missing field `path`");
    said("Is a directory");
    said(".git is protected");
    said("[exit code 3 after");
    said("out\n");
    said("ended after its time limit of 1 s");
    said("There is no job 4");
    said("binary is not a text file");
    assert!(!world.path(".git").exists());
    assert_eq!(world.text("f"), "a a");
}

#[tokio::test]
async fn too_many_calls_in_one_reply_are_refused_one_by_one() {
    let calls: Vec<_> = (0..4).map(|_| json!({"tool": "list", "input": {}})).collect();
    let mut world = World::of(json!([{"calls": calls}, {"say": "Listed."}])).await;
    world.limits.step_calls_max = 3;
    assert_eq!(world.run().await, TurnEnd::Done);
    let refused = world.results().into_iter().filter(|(_, output)| output.contains("At most 3 calls")).count();
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn long_output_keeps_its_ends_and_the_rest_goes_to_a_file() {
    let world = World::of(json!([
        calling("bash", json!({"command": "seq 1 20000"})),
        calling("bash", json!({"command": "printf 'x%.0s' $(seq 1 6000)"})),
        {"say": "Long."},
    ]))
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    let bodies = world.log.bodies();
    let finished: Vec<_> = bodies
        .iter()
        .filter_map(|body| match body {
            EventBody::ToolFinished { output, blob, .. } => Some((output, blob.as_ref().unwrap())),
            _ => None,
        })
        .collect();
    let (output, blob) = finished[0];
    assert!(output.len() <= 4096 && output.starts_with("1\n2\n") && output.ends_with("20000\n"), "{output}");
    let whole = String::from_utf8(world.log.blobs()[&blob.sha256].to_vec()).unwrap();
    assert!(whole.len() <= 50 * 1024 && whole.lines().count() <= 2_000);
    assert!(whole.contains("108894 bytes in 20000 lines; the whole output is in /tmp/hangar-output/"), "{whole}");
    let spilled = std::fs::read_dir(world.path("../tmp/hangar-output")).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(spilled.path()).unwrap().lines().count(), 20_000);
    // The model sees all that the blob holds, now and after a restart.
    assert!(world.last_request().contains(&"x".repeat(6000)));
    let mut again = world.log.conversation();
    for missing in again.missing() {
        again.supply(&missing, &world.log.blobs()[&missing.sha256]);
    }
    assert!(format!("{:?}", again.messages()).contains(&"x".repeat(6000)));
}

#[tokio::test]
async fn output_is_shown_while_a_command_runs() {
    let world = World::of(json!([calling("bash", json!({"command": "echo one; until [ -e go ]; do sleep 0.05; done; echo two"})), {"say": "Ran."}])).await;
    let (end, ()) = tokio::join!(world.run(), async {
        world.log.until(|log| log.live_output() == "one\n").await;
        world.put("go", "");
    });
    assert_eq!(end, TurnEnd::Done);
    assert_eq!(world.log.live_output(), "one\ntwo\n");
}

#[tokio::test]
async fn background_commands_outlive_their_call_and_their_turn() {
    let world = World::of(json!([
        calling("bash", json!({"command": "echo up; echo $$ > pid; exec sleep 1000", "background": true})),
        calling("job", json!({"action": "output", "job": 1, "wait_s": 20})),
        {"after": "up\n[job 1: running", "otherwise": "It did not start.", "calls": [{"tool": "job", "input": {"action": "list"}}]},
        calling("job", json!({"action": "kill", "job": 1})),
        // A killed process whose parent has not looked yet is a zombie.
        calling("bash", json!({"command": "cut -d' ' -f3 /proc/$(cat pid)/stat 2>/dev/null | grep -v Z || echo no more"})),
        {"after": "no more", "otherwise": "It lives.", "say": "It is gone."},
    ]))
    .await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.log.shown(6), "It is gone.", "{:?}", world.results());
    assert!(world.results()[2].1.starts_with("1: echo up; echo $$ > pid; exec sleep 1000 (running for"));
    assert_eq!(world.jobs.list(), "There are no background jobs.");
}
