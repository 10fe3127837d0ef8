//! A call that a hook asks about, in hangar's words: plugins know a command of any agent for one, and what they change finds its way back.

use hangar_protocol::guest::hook::Question;
use serde_json::{Map, Value, json};

/// Names that agents have for the path of a file.
const PATHS: [&str; 5] = ["file_path", "filePath", "notebook_path", "absolute_path", "path"];
/// Names that they have for a patch.
const PATCHES: [&str; 4] = ["patch", "patchText", "command", "input"];

/// A call as plugins see it.
pub(super) struct Seen {
    pub(super) tool: String,
    pub(super) input: Value,
    pub(super) mutates: bool,
    /// The file that it names.
    pub(super) path: Option<String>,
    /// What is called otherwise here than by the agent, or is not the agent's: name here, name there.
    renamed: Vec<(&'static str, Option<&'static str>)>,
}

/// What an agent's tool is, by its name.
fn kind(tool: &str) -> &'static str {
    match tool.to_ascii_lowercase().as_str() {
        "bash" | "shell" | "exec_command" | "run_shell_command" => "bash",
        "apply_patch" => "apply_patch",
        "edit" | "multiedit" | "write" | "notebookedit" | "replace" | "write_file" => "edit",
        "read" | "read_file" | "list" | "ls" | "list_directory" | "view_image" => "read",
        "glob" | "grep" | "search_file_content" | "toolsearch" => "search",
        "webfetch" | "websearch" | "web_fetch" => "fetch",
        "task" | "agent" | "skill" | "todowrite" | "todoread" | "update_plan" => "think",
        _ => "other",
    }
}

impl Seen {
    /// A call in hangar's words.
    pub(super) fn of(question: &Question) -> Self {
        let input = &question.tool_input;
        let kind = kind(&question.tool_name);
        let find = |names: &[&'static str]| {
            names.iter().copied().find_map(|name| input[name].as_str().map(|text| (name, text.to_owned())))
        };
        match (kind, find(&["command"]), find(&PATCHES)) {
            ("bash", Some((name, command)), _) => Self::one(kind, "command", name, command),
            ("apply_patch", _, Some((name, patch))) => Self::one(kind, "patch", name, patch),
            _ => {
                let mut shown = input.as_object().cloned().unwrap_or_default();
                shown.insert("title".to_owned(), question.tool_name.clone().into());
                let path = find(&PATHS);
                let renamed = vec![("title", None), ("path", path.as_ref().map(|(name, _)| *name))];
                let mutates = !matches!(kind, "read" | "search" | "fetch" | "think");
                let path = path.map(|(_, path)| path);
                if let Some(path) = &path {
                    shown.insert("path".to_owned(), path.clone().into());
                }
                Self { tool: kind.to_owned(), input: shown.into(), mutates, path, renamed }
            }
        }
    }

    /// A call of which plugins see one argument.
    fn one(kind: &str, here: &'static str, there: &'static str, text: String) -> Self {
        let renamed = vec![(here, Some(there))];
        Self { tool: kind.to_owned(), input: json!({ here: text }), mutates: true, path: None, renamed }
    }

    /// The agent's own arguments, with what plugins made of those that they saw.
    pub(super) fn changed(&self, question: &Question, seen: &Value) -> Value {
        let mut own = question.tool_input.as_object().cloned().unwrap_or_default();
        let none = Map::new();
        let (before, after) = (self.input.as_object().unwrap_or(&none), seen.as_object().unwrap_or(&none));
        for name in before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)) {
            let renamed = self.renamed.iter().find(|(here, _)| here == name).map(|(_, there)| *there);
            let Some(there) = renamed.unwrap_or(Some(name.as_str())) else { continue };
            match after.get(name) {
                Some(value) => own.insert(there.to_owned(), value.clone()),
                None => own.remove(there),
            };
        }
        own.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(tool: &str, input: Value) -> Question {
        Question { tool_name: tool.to_owned(), tool_input: input, tool_use_id: None }
    }

    #[test]
    fn calls_of_any_agent_are_seen_in_hangars_words() {
        for (tool, input, seen, shown, mutates) in [
            ("Bash", json!({"command": "ls", "timeout": 9}), "bash", json!({"command": "ls"}), true),
            ("bash", json!({"command": "ls"}), "bash", json!({"command": "ls"}), true),
            (
                "Read",
                json!({"file_path": "/a"}),
                "read",
                json!({"file_path": "/a", "path": "/a", "title": "Read"}),
                false,
            ),
            ("write", json!({"filePath": "b"}), "edit", json!({"filePath": "b", "path": "b", "title": "write"}), true),
            ("apply_patch", json!({"command": "*** Begin"}), "apply_patch", json!({"patch": "*** Begin"}), true),
            ("mcp__x__y", json!({"z": 1}), "other", json!({"z": 1, "title": "mcp__x__y"}), true),
            ("Bash", json!(null), "bash", json!({"title": "Bash"}), true),
        ] {
            let Seen { tool, input, mutates: changes, .. } = Seen::of(&question(tool, input));
            assert_eq!((tool.as_str(), input, changes), (seen, shown, mutates));
        }
    }

    #[test]
    fn what_plugins_change_is_the_agents_own_argument() {
        for (tool, input, made, own) in [
            (
                "Bash",
                json!({"command": "ls", "timeout": 9}),
                json!({"command": "pwd"}),
                json!({"command": "pwd", "timeout": 9}),
            ),
            (
                "Read",
                json!({"file_path": "/a", "limit": 1}),
                json!({"file_path": "/a", "path": "/b", "title": "x"}),
                json!({"file_path": "/b"}),
            ),
            ("apply_patch", json!({"patchText": "a"}), json!({"patch": "b"}), json!({"patchText": "b"})),
        ] {
            let question = question(tool, input);
            assert_eq!(Seen::of(&question).changed(&question, &made), own);
        }
    }
}
