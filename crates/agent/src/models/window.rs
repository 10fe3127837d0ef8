//! How much a model can read, by the dated list of the crate `genai-prices`.

use genai_prices::{Calculator, PriceRequest, Usage};

use super::{ANTHROPIC_BASE_URL, ModelConfig, OPENAI_BASE_URL};
use crate::limits;

/// How many tokens a conversation may have before it is made shorter; `None` where nobody knows how much the model reads.
pub(super) fn room_tokens(config: &ModelConfig) -> Option<u64> {
    let window = config.context_tokens.map(u64::from).or_else(|| listed(config))?;
    let share = window * limits::CONTEXT_FULL_PERCENT / 100;
    // Some services count what may be written as part of the window. Where that would leave less than half of it, the configured limit
    // says nothing about the model.
    let beside = window.saturating_sub(config.output_tokens_max.into());
    Some(if beside >= window / 2 { share.min(beside) } else { share })
}

/// The window of a model at its service's own address: behind another, it may have been given less.
fn listed(config: &ModelConfig) -> Option<u64> {
    let service = match config.base_url.as_str() {
        ANTHROPIC_BASE_URL => "anthropic",
        OPENAI_BASE_URL => "openai",
        _ => return None,
    };
    let usage = Usage::new();
    let found = genai_prices::calculate(&PriceRequest::new(&config.model, &usage).with_provider_id(service)).ok()?;
    let provider = Calculator::bundled().providers().find(|known| known.id() == found.provider_id)?;
    provider.models().find(|known| known.id() == found.model_id)?.context_window()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{ProviderKind, Secret};

    #[test]
    fn a_window_is_set_or_listed_or_not_known() {
        let key = || Secret::new("k".to_owned());
        let sonnet = ModelConfig::anthropic("claude-sonnet-4-5-20250929", key());
        assert_eq!(room_tokens(&sonnet), Some(160_000), "80 % of 200,000");
        assert_eq!(room_tokens(&ModelConfig::openai("gpt-5.1", key())), Some(320_000), "80 % of 400,000");
        let mut local = ModelConfig::new("local", "m", ProviderKind::OpenAi, "http://127.0.0.1:1/v1", None);
        assert_eq!(room_tokens(&local), None);
        local.context_tokens = Some(8_192);
        assert_eq!(room_tokens(&local), Some(6_553));
        local.output_tokens_max = 4_000;
        assert_eq!(room_tokens(&local), Some(4_192), "what it may write has to fit too");
    }
}
