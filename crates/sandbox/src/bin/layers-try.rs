//! Layers by hand, for trying and for tests that end the process in the middle.
//!
//! `layers-try DATA seal TREE` · `squash ID…` (topmost first, a complete stack) · `collect` (everything) · `verify ID`.
//! With `HANGAR_END_AFTER=<step>` the process kills itself after that step (the names are in `steps/mod.rs`).
#![allow(clippy::print_stdout, reason = "a program that answers on standard output")]

use std::{collections::HashSet, env, path::Path, process::ExitCode, time::Duration};

use hangar_sandbox::{
    layers::{About, Below, Keep, Kind, LayerError, LayerId, LayerStore},
    steps,
};

fn main() -> ExitCode {
    steps::as_told();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<String, LayerError> {
    match words {
        [data, "seal", tree] => {
            let store = LayerStore::open(Path::new(data))?;
            Ok(store.seal(Path::new(tree), About::new(Kind::Snapshot, "by hand"))?.to_string())
        }
        [data, "squash", ids @ ..] => {
            let ids = ids.iter().map(|id| id.parse()).collect::<Result<Vec<LayerId>, _>>()?;
            Ok(LayerStore::open(Path::new(data))?.squash(&ids, Below::Nothing, "by hand")?.to_string())
        }
        [data, "collect"] => {
            let keep = Keep { at_least: Duration::ZERO, at_most: Duration::ZERO, disk_bytes: 0 };
            let collected = LayerStore::open(Path::new(data))?.collect(&HashSet::new(), &keep)?;
            Ok(format!("{} layers removed, {} bytes", collected.removed.len(), collected.disk_bytes))
        }
        [data, "verify", id] => {
            LayerStore::open(Path::new(data))?.verify(&id.parse()?)?;
            Ok("unchanged".into())
        }
        _ => Ok("layers-try DATA seal TREE | squash ID… | collect | verify ID".into()),
    }
}
