//! What a service could be made to do besides writing words. Services run tools of their own: they search the web, fetch addresses, call
//! other people's servers, and keep things under names. A sandbox that asked for these would reach through the service what its network
//! policy keeps it from, so a request that does is refused.
//!
//! Tools are a list of what is allowed, because services invent new ones. Members and parts of messages are a list of what is not.

use serde_json::Value;

use super::wire::Wire;

/// Tools of Anthropic's that the program runs itself, by the beginnings of their types; and the search among the request's own tools.
const MESSAGES_TOOLS: [&str; 6] = ["custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"];
/// Tools of OpenAI's that the program runs itself.
const OPENAI_TOOLS: [&str; 5] = ["function", "custom", "local_shell", "apply_patch", "computer_use_preview"];

/// Members of a request with which a service reaches further, by wire.
const FAR_MEMBERS: [(Wire, &[&str]); 3] = [
    (Wire::Messages, &["mcp_servers", "container"]),
    (Wire::Responses, &["previous_response_id", "conversation", "background", "prompt"]),
    (Wire::Chat, &["web_search_options"]),
];

/// Refuses what reaches further than the sandbox may.
///
/// # Errors
/// Words for whoever sent the request.
pub(super) fn check(wire: Wire, body: &Value) -> Result<(), String> {
    let far = FAR_MEMBERS.iter().filter(|(of, _)| *of == wire).flat_map(|(_, names)| *names);
    if let Some(name) = far.copied().find(|name| !matches!(&body[*name], Value::Null | Value::Bool(false))) {
        return Err(format!(
            "hangar's model gateway passes no request with {name:?}: the service would reach further than the sandbox may."
        ));
    }
    if let Some(kind) = items(&body["tools"]).find_map(|tool| far_tool(wire, tool)) {
        return Err(format!(
            "hangar's model gateway passes no tool of the type {kind:?}, which the service would run itself. Switch it off in the agent; \
             what the sandbox may reach, its own commands do."
        ));
    }
    let messages = match wire {
        Wire::Messages | Wire::Chat => &body["messages"],
        Wire::Responses => &body["input"],
    };
    if items(messages).any(names_what_is_elsewhere) {
        return Err("hangar's model gateway passes no image or file by its address or id, and nothing that the service keeps: it would \
                    reach further than the sandbox may. Send the content."
            .to_owned());
    }
    Ok(())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The type of a tool that the service would run; of a group of tools, that of the first one in it.
fn far_tool(wire: Wire, tool: &Value) -> Option<String> {
    let kind = tool["type"].as_str();
    let near = match (wire, kind) {
        // A tool without a type is the program's own, in Anthropic's first form.
        (Wire::Messages, None) => true,
        (Wire::Messages, Some(kind)) => MESSAGES_TOOLS.iter().any(|near| kind.starts_with(near)),
        (Wire::Responses, Some("namespace")) => return items(&tool["tools"]).find_map(|tool| far_tool(wire, tool)),
        (Wire::Responses | Wire::Chat, kind) => kind.is_some_and(|kind| OPENAI_TOOLS.contains(&kind)),
    };
    (!near).then(|| kind.unwrap_or("none").to_owned())
}

/// Whether a message or a part of one names something that the service would fetch, or that it keeps for whoever has its key, which all sessions
/// share. Looks into lists of parts only: what tools were called with is nobody's address.
fn names_what_is_elsewhere(part: &Value) -> bool {
    let source = &part["source"]["type"];
    let image = part["image_url"].as_str().or_else(|| part["image_url"]["url"].as_str());
    let kept = part["file_id"].is_string() || part["file"]["file_id"].is_string() || part["type"] == "item_reference";
    let inner = ["content", "output"].iter().any(|name| items(&part[*name]).any(names_what_is_elsewhere));
    source == "url"
        || source == "file"
        || image.is_some_and(|url| !url.starts_with("data:"))
        || part["file_url"].is_string()
        || kept
        || inner
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_not_made_to_reach_further() {
        let refused = |wire: Wire, body: Value, word: &str| {
            let words = check(wire, &body).expect_err(&body.to_string());
            assert!(words.contains(word), "{body}: {words}");
        };
        let search = json!({"tools": [{"name": "mine", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}]});
        refused(Wire::Messages, search, "web_search_20250305");
        refused(Wire::Messages, json!({"mcp_servers": [{"type": "url", "url": "https://example.org"}]}), "mcp_servers");
        let image = json!({"type": "image", "source": {"type": "url", "url": "https://example.org/?secret"}});
        refused(Wire::Messages, json!({"messages": [{"role": "user", "content": [image]}]}), "address");
        let nested = json!({"type": "tool_result", "tool_use_id": "a", "content": [image]});
        refused(Wire::Messages, json!({"messages": [{"role": "user", "content": [nested]}]}), "address");
        for tool in ["web_search", "mcp", "file_search", "code_interpreter", "image_generation", "shell"] {
            refused(Wire::Responses, json!({"tools": [{"type": tool}]}), tool);
            refused(Wire::Chat, json!({"tools": [{"type": tool}]}), tool);
        }
        let group =
            json!({"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]});
        refused(Wire::Responses, json!({"tools": [group]}), "mcp");
        refused(Wire::Responses, json!({"previous_response_id": "resp_1"}), "previous_response_id");
        refused(Wire::Responses, json!({"background": true}), "background");
        let picture = json!({"type": "input_image", "image_url": "https://example.org/a.png"});
        refused(Wire::Responses, json!({"input": [{"role": "user", "content": [picture]}]}), "address");
        refused(Wire::Responses, json!({"input": [{"type": "function_call_output", "output": [picture]}]}), "address");
        let file = json!({"type": "input_file", "file_url": "https://example.org/a.pdf"});
        refused(Wire::Responses, json!({"input": [{"role": "user", "content": [file]}]}), "address");
        refused(Wire::Responses, json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "keeps");
        let kept = json!({"type": "input_image", "file_id": "file-1"});
        refused(Wire::Responses, json!({"input": [{"role": "user", "content": [kept]}]}), "keeps");
        let kept = json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}});
        refused(Wire::Messages, json!({"messages": [{"role": "user", "content": [kept]}]}), "keeps");
        let kept = json!({"type": "file", "file": {"file_id": "file-1"}});
        refused(Wire::Chat, json!({"messages": [{"role": "user", "content": [kept]}]}), "keeps");
        let seen = json!({"type": "image_url", "image_url": {"url": "http://example.org/a.png"}});
        refused(Wire::Chat, json!({"messages": [{"role": "user", "content": [seen]}]}), "address");
        refused(Wire::Chat, json!({"web_search_options": {}}), "web_search_options");
    }

    #[test]
    fn what_agents_send_passes() {
        let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}});
        let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {"image_url": "https://example.org", "file_url": "x"}});
        let tools = json!([{"name": "f", "input_schema": {"properties": {"image_url": {"type": "string"}}}}, {"type": "bash_20250124"}]);
        let messages = json!([{"role": "user", "content": [image]}, {"role": "assistant", "content": [call]}]);
        assert_eq!(check(Wire::Messages, &json!({"tools": tools, "messages": messages, "container": null})), Ok(()));
        let tools = json!([{"type": "function", "name": "shell"}, {"type": "custom", "name": "apply_patch"}, {"type": "local_shell"}]);
        let picture = json!({"type": "input_image", "image_url": "data:image/png;base64,aaaa"});
        let input =
            json!([{"type": "message", "role": "user", "content": [picture]}, {"type": "reasoning", "content": null}]);
        let body =
            json!({"tools": tools, "input": input, "background": false, "previous_response_id": null, "store": false});
        assert_eq!(check(Wire::Responses, &body), Ok(()));
        assert_eq!(check(Wire::Responses, &json!({"input": "hello"})), Ok(()));
        assert_eq!(check(Wire::Chat, &json!({"messages": [{"role": "user", "content": "hi"}]})), Ok(()));
    }
}
