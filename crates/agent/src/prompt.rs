//! What a model is told before anything else. The same for every turn of a session, so that it is cached.

use crate::Conversation;

/// The system prompt of a session that has these MCP servers.
pub(crate) fn system(conversation: &Conversation, servers: &[&str]) -> String {
    let (repo, branch, base) = match conversation.facts() {
        Some(facts) => (facts.repo.to_string(), facts.branch.as_str(), facts.base_branch.as_str()),
        None => ("the repository".to_owned(), "the session's branch", "the base branch"),
    };
    let prompt = include_str!("prompt/system.md");
    let mut prompt = prompt.replace("{repo}", &repo).replace("{branch}", branch).replace("{base}", base);
    if !servers.is_empty() {
        prompt.push_str(&format!(
            "\nMCP servers\n- {}. Their tools are not among yours: find_tool finds them by words, use_tool calls them.\n",
            servers.join(", ")
        ));
    }
    prompt
}
