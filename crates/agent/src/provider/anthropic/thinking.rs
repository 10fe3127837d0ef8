//! How much a model of Anthropic's thinks: newer ones take a word, older ones a budget in tokens.

use serde_json::{Value, json};

use crate::models::{Effort, ModelConfig, Thinking};

/// Beginnings of the names of models that take a budget in tokens and no word (28 November 2026).
const BUDGETED: [&str; 9] = [
    "claude-3-7-",
    "claude-haiku-4-5",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2025",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "claude-sonnet-4-5",
];
/// The least budget that the service takes, in tokens.
const BUDGET_MIN: u32 = 1_024;
/// What a reply keeps for its words beside its thoughts, in tokens.
const WORDS_MIN: u32 = 4_096;

/// Adds to a request how much the model is to think.
pub(super) fn add(body: &mut Value, config: &ModelConfig) {
    let budgeted = BUDGETED.iter().any(|name| config.model.starts_with(name));
    match (config.thinking, config.effort) {
        (Thinking::Unset, None | Some(Effort::None)) => {}
        (Thinking::Unset, Some(effort)) if budgeted => {
            let room = config.output_tokens_max.saturating_sub(WORDS_MIN);
            if let Some(tokens) = budget(effort).map(|tokens| tokens.min(room)).filter(|tokens| *tokens >= BUDGET_MIN) {
                body["thinking"] = json!({"type": "enabled", "budget_tokens": tokens});
            }
        }
        (Thinking::Unset | Thinking::Adaptive, Some(_)) => body["thinking"] = json!({"type": "adaptive"}),
        (Thinking::Adaptive, None) => body["thinking"] = json!({"type": "adaptive"}),
        (Thinking::Budget(tokens), _) => body["thinking"] = json!({"type": "enabled", "budget_tokens": tokens}),
    }
    if let Some(effort) = config.effort.filter(|effort| !budgeted && *effort != Effort::None) {
        body["output_config"] = json!({"effort": effort.word()});
    }
}

/// The words in tokens, for models that know no words.
fn budget(effort: Effort) -> Option<u32> {
    match effort {
        Effort::None => None,
        Effort::Minimal => Some(BUDGET_MIN),
        Effort::Low => Some(4_096),
        Effort::Medium => Some(10_240),
        Effort::High => Some(20_480),
        Effort::XHigh | Effort::Max => Some(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{ProviderKind, Secret};

    #[test]
    fn newer_models_get_the_word_and_older_ones_tokens() {
        let check = |model: &str, effort: Option<Effort>, thinking: Thinking, expect: Value| {
            let key = Some(Secret::new(String::new()));
            let mut config = ModelConfig::new("anthropic", model, ProviderKind::Anthropic, "http://x", key);
            (config.effort, config.thinking) = (effort, thinking);
            let mut body = json!({});
            add(&mut body, &config);
            assert_eq!(body, expect, "{model} {effort:?} {thinking:?}");
        };
        let adaptive = json!({"type": "adaptive"});
        let tokens = |tokens: u32| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
        let (old, new, unset) = ("claude-sonnet-4-5-20250929", "claude-opus-4-8", Thinking::Unset);
        check(new, None, unset, json!({}));
        check(new, Some(Effort::None), unset, json!({}));
        check(new, Some(Effort::High), unset, json!({"thinking": adaptive, "output_config": {"effort": "high"}}));
        check(new, None, Thinking::Adaptive, json!({"thinking": adaptive}));
        check(old, Some(Effort::Low), unset, tokens(4_096));
        check(old, Some(Effort::Max), unset, tokens(32_000 - 4_096));
        check(old, Some(Effort::Low), Thinking::Budget(2_000), tokens(2_000));
        check(old, None, unset, json!({}));
    }
}
