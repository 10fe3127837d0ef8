//! What a model is told before anything else. The same for every turn of a session, so that it is cached.

use crate::Conversation;

/// The system prompt of a session.
pub(crate) fn system(conversation: &Conversation) -> String {
    let (repo, branch, base) = match conversation.facts() {
        Some(facts) => (facts.repo.to_string(), facts.branch.as_str(), facts.base_branch.as_str()),
        None => ("the repository".to_owned(), "the session's branch", "the base branch"),
    };
    include_str!("prompt/system.md").replace("{repo}", &repo).replace("{branch}", branch).replace("{base}", base)
}
