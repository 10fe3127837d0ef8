//! Logs and the states they fold to. TypeScript folds the same files (`clients/protocol/test/fold.test.ts`).

use std::{fs, path::PathBuf};

use hangar_protocol::{Event, SessionState};
use serde::{Deserialize, Serialize};

use crate::committed;

/// One file of `crates/protocol/fixtures`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fixture {
    /// What this log shows, one sentence.
    pub about: String,
    /// The log.
    pub events: Vec<Event>,
    /// What it folds to.
    pub state: Option<SessionState>,
}

/// Every fixture with its path in the repository, sorted by name.
pub(crate) fn all() -> Vec<(String, Fixture)> {
    let folder = committed::root().join("crates/protocol/fixtures");
    let entries = fs::read_dir(folder).expect("the folder exists");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).expect("a fixture can be read");
            let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
            let fixture = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (format!("crates/protocol/fixtures/{name}"), fixture)
        })
        .collect()
}

#[test]
fn every_log_folds_to_its_state() {
    let fixtures = all();
    assert!(fixtures.len() >= 8, "fixtures are missing: {} found", fixtures.len());
    for (path, fixture) in fixtures {
        let state = SessionState::fold(&fixture.events).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        let fresh = Fixture { state: Some(state), ..fixture };
        let mut text = serde_json::to_string_pretty(&fresh).expect("a fixture can be written");
        text.push('\n');
        committed::check(&path, &text);
    }
}

#[test]
fn together_the_logs_say_every_kind_of_thing() {
    // The names are read from the generated TypeScript, so a new kind of event without a fixture fails here.
    let types = fs::read_to_string(committed::root().join("clients/protocol/src/generated.ts")).expect("it exists");
    let body = types.split("export type EventBody = ").nth(1).expect("the type is there");
    let body = body.split("\nexport type ").next().expect("it has an end");
    let kinds: Vec<&str> = body.split("\"type\": \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(kinds.len() >= 20, "only {} kinds of events were found", kinds.len());
    let said: Vec<String> = all()
        .iter()
        .flat_map(|(_, fixture)| &fixture.events)
        .map(|event| serde_json::to_value(&event.body).expect("it is JSON")["type"].to_string())
        .collect();
    for kind in kinds {
        assert!(said.contains(&format!("{kind:?}")), "no fixture has a {kind} event");
    }
}

#[test]
fn a_log_from_before_queues_had_request_ids_and_titles_a_cost_is_still_read() {
    let (_, fixture) = all().into_iter().find(|(path, _)| path.ends_with("just-created.json")).expect("it exists");
    let mut log: Vec<serde_json::Value> =
        fixture.events.iter().map(|event| serde_json::to_value(event).expect("it is JSON")).collect();
    for body in [
        serde_json::json!({"type": "prompt_added", "prompt": 1, "request_id": "r1", "author": "ada", "text": "Do it."}),
        serde_json::json!({"type": "prompt_cancelled", "prompt": 1}),
        serde_json::json!({"type": "title_changed", "title": "Done"}),
    ] {
        let seq = log.len() + 1;
        log.push(serde_json::json!({"seq": seq, "time_ms": 1, "cause": {"by": "user", "user": "ada"}, "body": body}));
    }
    let log: Vec<Event> =
        log.into_iter().map(|event| serde_json::from_value(event).expect("an old event is an event")).collect();
    let state = SessionState::fold(&log).expect("an old log is a log");
    assert_eq!((state.title.as_str(), state.waiting.len(), state.requests.len()), ("Done", 0, 0));
}
