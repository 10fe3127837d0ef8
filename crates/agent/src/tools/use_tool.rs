//! `use_tool`: a call of a tool of an MCP server. Plugins and people see it under that tool's name, with its arguments.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec};
use crate::mcp::{Servers, canonical, result};

pub(super) struct UseTool {
    spec: ToolSpec,
    servers: Arc<Servers>,
}

impl UseTool {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        let spec = ToolSpec {
            name: "use_tool",
            description: "Call a tool of an MCP server that find_tool gave.",
            schema: json!({"type": "object", "required": ["tool", "arguments"], "properties": {
                "tool": {"type": "string", "description": "mcp__<server>__<tool>"},
                "arguments": {"type": "object"},
            }}),
        };
        Self { spec, servers }
    }
}

#[async_trait]
impl Tool for UseTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::ChangesAnything
    }

    fn meant(&self, input: &Value) -> Option<(String, Value)> {
        let name = canonical(input.get("tool")?.as_str()?)?;
        Some((name, Value::Object(given(input.get("arguments"))?)))
    }

    /// `input` has the arguments of the tool that is meant, as plugins left them.
    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Some(name) = canonical(context.tool) else {
            let words = "Name the tool as find_tool does: {\"tool\": \"mcp__<server>__<tool>\", \"arguments\": {…}}.";
            return Err(Tell(words.to_owned()).into());
        };
        let Value::Object(arguments) = input else {
            return Err(Tell("The arguments are no object.".to_owned()).into());
        };
        let called = self.servers.call(&name, arguments, context.env).await;
        let result = called.map_err(|words| ToolError::Tell(Tell(words)))?;
        Ok(result::shown(result, context).await)
    }
}

/// The arguments; models leave them out where there are none, and write them as text now and then.
fn given(arguments: Option<&Value>) -> Option<Map<String, Value>> {
    match arguments {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(arguments)) => Some(arguments.clone()),
        Some(Value::String(text)) if text.trim().is_empty() => Some(Map::new()),
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_as_models_write_them() {
        let check = |arguments: Option<Value>, expect: Option<Value>| {
            assert_eq!(given(arguments.as_ref()).map(Value::Object), expect, "{arguments:?}");
        };
        check(None, Some(json!({})));
        check(Some(json!(null)), Some(json!({})));
        check(Some(json!({"a": 1})), Some(json!({"a": 1})));
        check(Some(json!("{\"a\": 1}")), Some(json!({"a": 1})));
        check(Some(json!("")), Some(json!({})));
        check(Some(json!("a")), None);
        check(Some(json!([1])), None);
    }
}
