//! hangar's tools by the names and arguments that hooks are written for.

use serde_json::{Map, Value, json};

use crate::{tools::patched_paths, workspace::SandboxPath};

/// The tool that changes several files at once.
const PATCH: &str = "apply_patch";

/// The names of a tool, the one that hooks are told of first.
pub(super) fn names(tool: &str) -> Vec<&str> {
    let known: &[&str] = match tool {
        "bash" => &["Bash"],
        "job" => &["BashOutput", "KillShell"],
        "read" => &["Read"],
        "write" => &["Write"],
        "edit" => &["Edit", "MultiEdit"],
        "list" => &["LS"],
        "glob" => &["Glob"],
        "grep" => &["Grep"],
        "todo" => &["TodoWrite"],
        // Codex tells hooks of it by its own name, and asks those for Write and Edit too.
        PATCH => return vec![PATCH, "Write", "Edit", "MultiEdit"],
        _ => &[],
    };
    known.iter().copied().chain([tool]).collect()
}

/// Whether the file of a call stands under another name than hooks look for.
fn has_file(tool: &str) -> bool {
    matches!(tool, "read" | "write" | "edit")
}

/// The arguments of a call as hooks look for them: a file is `file_path` and absolute, a patch is `command`. A patch of several files has several, one
/// for each.
pub(super) fn shown_inputs(tool: &str, input: &Value) -> Vec<Value> {
    let Value::Object(arguments) = input else { return vec![input.clone()] };
    let mut shown = arguments.clone();
    if tool == PATCH {
        if let Some(patch) = shown.remove("patch") {
            shown.insert("command".to_owned(), patch);
        }
        let mut inputs: Vec<Value> = Vec::new();
        for path in patched_paths(input) {
            shown.insert("file_path".to_owned(), json!(path.as_str()));
            let asked = Value::Object(shown.clone());
            if !inputs.contains(&asked) {
                inputs.push(asked);
            }
        }
        return if inputs.is_empty() { vec![Value::Object(shown)] } else { inputs };
    }
    let path = arguments.get("path").and_then(Value::as_str).and_then(|path| SandboxPath::parse(path).ok());
    if let Some(path) = path.filter(|_| has_file(tool)) {
        shown.remove("path");
        shown.insert("file_path".to_owned(), json!(path.as_str()));
    }
    vec![Value::Object(shown)]
}

/// Arguments of a hook's as the tool takes them. A path that was left as it was shown stays as the model wrote it.
pub(super) fn own_input(tool: &str, asked: &Value, mut updated: Map<String, Value>) -> Value {
    if tool == PATCH {
        updated.remove("file_path");
        if let Some(patch) = updated.remove("command") {
            updated.insert("patch".to_owned(), patch);
        }
    } else if has_file(tool)
        && let Some(path) = updated.remove("file_path")
    {
        let untouched = shown_inputs(tool, asked).first().and_then(|shown| shown.get("file_path")) == Some(&path);
        let own = asked.get("path").filter(|_| untouched).cloned().unwrap_or(path);
        updated.insert("path".to_owned(), own);
    }
    Value::Object(updated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn paths_go_out_absolute_and_come_back_as_they_were() {
        let asked = json!({"path": "src/a.rs", "content": "x"});
        let shown = json!({"file_path": "/workspace/src/a.rs", "content": "x"});
        assert_eq!(shown_inputs("write", &asked), std::slice::from_ref(&shown));
        assert_eq!(own_input("write", &asked, object(&shown)), asked);
        let other = json!({"file_path": "/workspace/b", "content": "x"});
        assert_eq!(own_input("write", &asked, object(&other)), json!({"path": "/workspace/b", "content": "x"}));
        // Tools that search have a path, as elsewhere.
        let search = json!({"pattern": "x", "path": "src"});
        assert_eq!(shown_inputs("grep", &search), std::slice::from_ref(&search));
        assert_eq!(own_input("grep", &search, object(&search)), search);
    }

    #[test]
    fn a_patch_is_shown_file_by_file() {
        let patch = |files: &[&str]| {
            let files: String = files.iter().map(|file| format!("*** Add File: {file}\n+x\n")).collect();
            format!("*** Begin Patch\n{files}*** End Patch")
        };
        let two = patch(&["a", "b/../.env", "a"]);
        let shown = |file: &str, patch: &str| json!({"command": patch, "file_path": file});
        assert_eq!(
            shown_inputs(PATCH, &json!({"patch": two})),
            [shown("/workspace/a", &two), shown("/workspace/.env", &two)]
        );
        assert_eq!(shown_inputs(PATCH, &json!({"patch": "?"})), [json!({"command": "?"})]);
        let one = patch(&["a"]);
        let asked = json!({"patch": one});
        assert_eq!(own_input(PATCH, &asked, object(&shown("/workspace/a", &one))), asked);
    }
}
