//! The models a server can use.

use std::{fmt, sync::Arc};

use hangar_protocol::api::ModelInfo;

use crate::{
    limits,
    provider::{Provider, Timeouts, anthropic::Anthropic, openai::OpenAi, responses::Responses, wire},
};

mod effort;
mod price;
mod window;

pub use effort::Effort;
pub use price::{Price, Rates};

/// Where Anthropic's API is.
pub const ANTHROPIC_BASE_URL: &str = "https://api.anthropic.com";
/// Where OpenAI's API is.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Which wire a model service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI chat completions, as OpenAI, Ollama, llama.cpp, vLLM and many gateways speak them.
    OpenAi,
    /// OpenAI Responses.
    OpenAiResponses,
}

/// How much a model thinks before it speaks, where its provider lets hangar choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thinking {
    /// As the provider does by itself.
    #[default]
    Unset,
    /// The model decides (Anthropic's `adaptive`).
    Adaptive,
    /// Up to so many tokens.
    Budget(u32),
}

/// One model, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// The first half of its id: `anthropic`, `openai`, `ollama`, …
    pub provider: String,
    /// The second half of its id, as the service knows it.
    pub model: String,
    /// The wire.
    pub kind: ProviderKind,
    /// Without the path of the wire: `https://api.anthropic.com`, `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// The key; `None` where the service wants none.
    pub key: Option<Secret<String>>,
    /// What people should know about it.
    pub note: String,
    /// Tokens it may write in one reply.
    pub output_tokens_max: u32,
    /// How much it thinks, where its service counts that.
    pub thinking: Thinking,
    /// How hard it thinks; as its service does by itself where nothing is said.
    pub effort: Option<Effort>,
    /// Tokens that it can read at once, where that is not what the list says.
    pub context_tokens: Option<u32>,
    /// The id of the model that a turn goes on with when this one does not answer.
    pub fallback: Option<String>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Whether it is asked for sessions' titles.
    pub titles: Titles,
    /// What it costs, where that is not what the price list says.
    pub rates: Option<Rates>,
}

/// Whether a model is asked for the titles of its sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Titles {
    /// It is.
    #[default]
    Written,
    /// It is not: a session is called by the first words of its first prompt.
    FirstWords,
}

impl ModelConfig {
    /// A model of Anthropic's.
    #[must_use]
    pub fn anthropic(model: &str, key: Secret<String>) -> Self {
        Self::new("anthropic", model, ProviderKind::Anthropic, ANTHROPIC_BASE_URL, Some(key))
    }

    /// A model of OpenAI's.
    #[must_use]
    pub fn openai(model: &str, key: Secret<String>) -> Self {
        Self::new("openai", model, ProviderKind::OpenAiResponses, OPENAI_BASE_URL, Some(key))
    }

    /// The scripted model `name` at the address where [`crate::scripted::serve`] listens.
    #[must_use]
    pub fn scripted(name: &str, base_url: &str) -> Self {
        let mut config = Self::new("scripted", name, ProviderKind::Anthropic, base_url, None);
        // A transcript has a line for what it was written for and for nothing else.
        config.titles = Titles::FirstWords;
        config.rates = Some(Rates::default());
        config.note = "Not a model: plays a transcript of prepared replies. The tool calls really run.".to_owned();
        config
    }

    /// `provider/model`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    /// Any model, with default limits and no note.
    #[must_use]
    pub fn new(provider: &str, model: &str, kind: ProviderKind, base_url: &str, key: Option<Secret<String>>) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            kind,
            base_url: base_url.trim_end_matches('/').to_owned(),
            key,
            note: String::new(),
            output_tokens_max: limits::OUTPUT_TOKENS_MAX,
            thinking: Thinking::Unset,
            effort: None,
            context_tokens: None,
            fallback: None,
            timeouts: Timeouts::default(),
            titles: Titles::default(),
            rates: None,
        }
    }
}

/// A model that can be asked.
#[derive(Clone)]
pub struct Model {
    /// `provider/model`.
    pub id: String,
    /// What people should know about it.
    pub note: String,
    /// The service.
    pub provider: Arc<dyn Provider>,
    /// Where the service is, for requests that others have written.
    pub(crate) upstream: Upstream,
    /// What it costs.
    pub price: Price,
    /// How long it may take, and how often it is tried.
    pub timeouts: Timeouts,
    /// Whether it is asked for sessions' titles.
    pub titles: Titles,
    /// How many tokens a conversation may have before it is made shorter; `None` where nobody knows how much it reads.
    pub room_tokens: Option<u64>,
    /// Who is asked when this one does not answer.
    pub fallback: Option<Arc<Model>>,
}

/// A model's service, as the gateway reaches it.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) kind: ProviderKind,
    /// The name by which the service knows the model.
    pub(crate) model: String,
    pub(crate) base_url: String,
    pub(crate) key: Option<Secret<String>>,
    /// Shared with the turns that ask the model: one pool of connections.
    pub(crate) client: reqwest::Client,
}

/// What is wrong with a list of models.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelsFault {
    /// A server without a model cannot run a session.
    #[error("no model is configured: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or add [[models]] to hangar.toml")]
    None,
    /// Two entries have the same id.
    #[error("the model {0} is configured twice: give one of them another provider name")]
    Twice(String),
    /// There is nobody to fall back to.
    #[error("the model {id} falls back to {fallback}, which is not configured: name one that is")]
    NoFallback {
        /// Which.
        id: String,
        /// Who it names.
        fallback: String,
    },
    /// Following the fallbacks from here leads back.
    #[error("the model {0} falls back to itself, perhaps through others: leave out one of these fallbacks")]
    FallbackCircle(String),
    /// The service cannot be spoken to.
    #[error("the model {id} cannot be used: {reason}")]
    Unusable {
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
}

/// The catalogue: never empty, the first is the default.
#[derive(Clone)]
pub struct Models {
    models: Vec<Arc<Model>>,
}

impl Models {
    /// Builds the catalogue. The first entry is the default.
    ///
    /// # Errors
    /// [`ModelsFault`] says which entry is wrong and what to do.
    pub fn new(configs: Vec<ModelConfig>) -> Result<Self, ModelsFault> {
        let ids: Vec<String> = configs.iter().map(ModelConfig::id).collect();
        if let Some((_, id)) = ids.iter().enumerate().find(|(place, id)| ids[..*place].contains(id)) {
            return Err(ModelsFault::Twice(id.clone()));
        }
        let mut models: Vec<Arc<Model>> = Vec::new();
        for config in &configs {
            models.push(Arc::new(with_fallbacks(config, &configs, &[])?));
        }
        if models.is_empty() { Err(ModelsFault::None) } else { Ok(Self { models }) }
    }

    /// The id of the model that new sessions use unless they say otherwise.
    #[must_use]
    pub fn default_id(&self) -> &str {
        self.models.first().map_or("", |model| model.id.as_str())
    }

    /// The model with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Model>> {
        self.models.iter().find(|model| model.id == id).cloned()
    }

    /// All of them, the default first.
    pub(crate) fn all(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// The list for people.
    #[must_use]
    pub fn list(&self) -> Vec<ModelInfo> {
        let info = |(place, model): (usize, &Arc<Model>)| ModelInfo {
            id: model.id.clone(),
            note: model.note.clone(),
            default: place == 0,
        };
        self.models.iter().enumerate().map(info).collect()
    }
}

/// A model with those it falls back to. `above` are those that fall back to it.
fn with_fallbacks(config: &ModelConfig, all: &[ModelConfig], above: &[&str]) -> Result<Model, ModelsFault> {
    let id = config.id();
    if above.contains(&id.as_str()) {
        return Err(ModelsFault::FallbackCircle(id));
    }
    let mut model = Model::new(config.clone())?;
    if let Some(fallback) = &config.fallback {
        let below = all.iter().find(|known| known.id() == *fallback);
        let below = below.ok_or_else(|| ModelsFault::NoFallback { id: id.clone(), fallback: fallback.clone() })?;
        let above: Vec<&str> = above.iter().copied().chain([id.as_str()]).collect();
        model.fallback = Some(Arc::new(with_fallbacks(below, all, &above)?));
    }
    Ok(model)
}

impl Model {
    /// This model or one that it falls back to, by its id.
    #[must_use]
    pub fn or_fallback(self: &Arc<Self>, id: &str) -> Option<Arc<Self>> {
        if self.id == id { Some(Arc::clone(self)) } else { self.fallback.as_ref()?.or_fallback(id) }
    }

    /// Makes a model ready to be asked, without one to fall back to.
    ///
    /// # Errors
    /// [`ModelsFault::Unusable`] when the address or key cannot be used.
    pub fn new(config: ModelConfig) -> Result<Self, ModelsFault> {
        let id = config.id();
        let unusable = |reason: String| ModelsFault::Unusable { id: id.clone(), reason };
        let (note, price, timeouts, titles) = (config.note.clone(), Price::of(&config), config.timeouts, config.titles);
        let room_tokens = window::room_tokens(&config);
        let client = wire::client(&config).map_err(unusable)?;
        let upstream = Upstream {
            kind: config.kind,
            model: config.model.clone(),
            base_url: config.base_url.clone(),
            key: config.key.clone(),
            client: client.clone(),
        };
        let provider: Arc<dyn Provider> = match config.kind {
            ProviderKind::Anthropic => Arc::new(Anthropic::new(config, client)),
            ProviderKind::OpenAi => Arc::new(OpenAi::new(config, client)),
            ProviderKind::OpenAiResponses => Arc::new(Responses::new(config, client)),
        };
        Ok(Self { id, note, provider, upstream, price, timeouts, titles, room_tokens, fallback: None })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("id", &self.id).finish_non_exhaustive()
    }
}
