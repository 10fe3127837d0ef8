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
    /// By the operator, in millionths of a US dollar for a million tokens.
    Set(Rates),
    /// Nowhere: it runs on somebody's own machine, behind a gateway, or is scripted.
    Unknown,
}

/// What a million tokens cost, in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from the provider's cache.
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    pub cache_write: u64,
}

impl Rates {
    /// What so many tokens cost, in millionths of a US dollar, rounded up.
    fn cost_micro_usd(self, usage: ModelUsage) -> u64 {
        let parts = [
            (self.input, usage.input_tokens),
            (self.output, usage.output_tokens),
            (self.cache_read, usage.cache_read_tokens),
            (self.cache_write, usage.cache_write_tokens),
        ];
        let sum: u128 = parts.into_iter().map(|(rate, tokens)| u128::from(rate) * u128::from(tokens)).sum();
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

impl Price {
    /// The price of a configured model. Only the services' own addresses count: what a gateway charges is not known.
    #[must_use]
    pub fn of(config: &ModelConfig) -> Self {
        if let Some(rates) = config.rates {
            return Self::Set(rates);
        }
        let service = match config.base_url.as_str() {
            ANTHROPIC_BASE_URL => "anthropic",
            OPENAI_BASE_URL => "openai",
            _ => return Self::Unknown,
        };
        // The list is decoded at its first use, which takes tens of milliseconds: now, not in a turn.
        let _ = Calculator::bundled();
        Self::Listed { service, model: config.model.clone() }
    }

    /// Whether it is known what a reply costs.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.cost_micro_usd(ModelUsage::default()).is_some()
    }

    /// What so many tokens cost today, in millionths of a US dollar; `None` where the price is not known.
    #[must_use]
    pub fn cost_micro_usd(&self, usage: ModelUsage) -> Option<u64> {
        let (service, model) = match self {
            Self::Listed { service, model } => (service, model),
            Self::Set(rates) => return Some(rates.cost_micro_usd(usage)),
            Self::Unknown => return None,
        };
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
        assert!(price.is_known() && !nobody.is_known() && !Price::Unknown.is_known());
        let set =
            Price::Set(Rates { input: 3_000_000, output: 15_000_000, cache_read: 300_000, cache_write: 3_750_000 });
        assert_eq!(set.cost_micro_usd(usage(1000, 100, 1000, 1000)), Some(3000 + 1500 + 300 + 3750));
        assert_eq!(set.cost_micro_usd(usage(0, 0, 1, 0)), Some(1), "a part of a millionth is one");
        assert_eq!(Price::Unknown.cost_micro_usd(usage(1, 1, 0, 0)), None);
    }
}
