//! What replies cost, by the dated price list of the crate `genai-prices`.

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};
use hangar_protocol::ModelUsage;

use super::{ANTHROPIC_BASE_URL, ModelConfig, OPENAI_BASE_URL};

/// Where a model's price is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// In the list, under this service and this model.
    Listed {
        /// The service, as the list names it.
        service: &'static str,
        /// The model, as the service names it.
        model: String,
    },
    /// Nowhere: it runs on somebody's own machine, behind a gateway, or is scripted.
    Unknown,
}

impl Price {
    /// The price of a configured model. Only the services' own addresses count: what a gateway charges is not known.
    #[must_use]
    pub fn of(config: &ModelConfig) -> Self {
        let service = match config.base_url.as_str() {
            ANTHROPIC_BASE_URL => "anthropic",
            OPENAI_BASE_URL => "openai",
            _ => return Self::Unknown,
        };
        // The list is decoded at its first use, which takes tens of milliseconds: now, not in a turn.
        let _ = Calculator::bundled();
        Self::Listed { service, model: config.model.clone() }
    }

    /// What so many tokens cost today, in millionths of a US dollar; `None` where the price is not known.
    #[must_use]
    pub fn cost_micro_usd(&self, usage: ModelUsage) -> Option<u64> {
        let Self::Listed { service, model } = self else { return None };
        // The list counts cached tokens as part of the input; providers and hangar count them apart.
        let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
        let usage = Usage::from([
            (UsageKey::INPUT_TOKENS, input as f64),
            (UsageKey::CACHE_READ_TOKENS, usage.cache_read_tokens as f64),
            (UsageKey::CACHE_WRITE_TOKENS, usage.cache_write_tokens as f64),
            (UsageKey::OUTPUT_TOKENS, usage.output_tokens as f64),
        ]);
        let price = genai_prices::calculate(&PriceRequest::new(model, &usage).with_provider_id(service)).ok()?;
        let micro = (price.total_price * 1e6).round();
        (micro.is_finite() && micro >= 0.0).then_some(micro as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_models_have_a_price_and_others_none() {
        let price = Price::Listed { service: "anthropic", model: "claude-sonnet-4-5".into() };
        let usage = |input, output, read, write| ModelUsage {
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: read,
            cache_write_tokens: write,
        };
        // Anthropic's list: 3 $ in, 15 $ out, 0.30 $ cache read, 3.75 $ cache write for a million tokens.
        assert_eq!(price.cost_micro_usd(usage(1000, 100, 0, 0)), Some(3000 + 1500));
        assert_eq!(price.cost_micro_usd(usage(0, 0, 1000, 0)), Some(300));
        assert_eq!(price.cost_micro_usd(usage(0, 0, 0, 1000)), Some(3750));
        let nobody = Price::Listed { service: "anthropic", model: "no-such-model".into() };
        assert_eq!(nobody.cost_micro_usd(usage(1, 1, 0, 0)), None);
        assert_eq!(Price::Unknown.cost_micro_usd(usage(1, 1, 0, 0)), None);
    }
}
