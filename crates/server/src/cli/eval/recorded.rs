//! The tasks' recordings as one transcript for the scripted model.

use hangar_protocol::{Refusal, RefusalCode};
use serde_json::{Value, json};

use super::task::Task;

/// The transcript's name, and so that of its model.
const NAME: &str = "recordings";
/// The model that plays it.
pub(super) const MODEL: &str = "scripted/recordings";

/// The transcript: to each task's wish, what its recording of this name says. A task without one is answered that there is no line.
pub(super) fn transcript(tasks: &[Task], recording: &str) -> Result<Value, Refusal> {
    let mut scripts = Vec::new();
    for task in tasks {
        let Some(file) = task.file(&format!("{recording}.json")) else { continue };
        let mut script: Value = serde_json::from_slice(file).map_err(|error| {
            let message = format!("The recording {recording}.json of the task {} is no JSON: {error}.", task.name);
            Refusal::new(RefusalCode::BadRequest, message, "docs/models.md has the format.")
        })?;
        script["wish"] = task.about.wish.trim().into();
        scripts.push(script);
    }
    Ok(json!({"name": NAME, "about": "Prepared solutions of the tasks of hangar eval; no AI.", "scripts": scripts}))
}
