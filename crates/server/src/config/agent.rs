//! Models that have no variable of their own.

use hangar_agent::{
    limits::OUTPUT_TOKENS_MAX,
    models::{ANTHROPIC_BASE_URL, Effort, OPENAI_BASE_URL, Titles},
};
use serde::{Deserialize, Serialize};

use super::{Secret, Shape, keys::section};

section! {
    /// `[[models]]`: a model behind any endpoint that speaks one of the three wires.
    ModelConfig in "models" {
        /// `provider/model`, as sessions name it. What stands behind the first `/` is the name the endpoint is asked for.
        id: String = String::new(), Shape::Text;
        /// How the endpoint is spoken to: Anthropic's Messages, chat completions as Ollama, llama.cpp, vLLM and most gateways have it, or OpenAI's Responses. Where none is named: `openai_responses` at OpenAI's own address, `openai` elsewhere.
        wire: Option<Wire> = None, Shape::Choice(&["anthropic", "openai", "openai_responses"]);
        /// Where the endpoint is, e.g. `http://127.0.0.1:11434/v1` for Ollama.
        base_url: String = String::new(), Shape::Text;
        /// The key to send, where the endpoint wants one. Better in a file of its own: see `key_file`.
        key: Option<Secret<String>> = None, Shape::Secret;
        /// A file whose first line is the key.
        key_file: Option<std::path::PathBuf> = None, Shape::Text;
        /// How long its first word may take. Large prompts are read before it comes, which slow machines need long for.
        first_byte_s: u32 = 180, Shape::Number("seconds");
        /// How long it may be silent in the middle of a reply.
        silence_s: u32 = 90, Shape::Number("seconds");
        /// How often a request that failed in passing is sent before the turn ends.
        attempts_max: u32 = 8, Shape::Number("attempts");
        /// How hard it thinks before it speaks, in its service's word. Where none is named, as its service does by itself. Models of Anthropic's up to 4.5 get a budget in tokens instead.
        effort: Option<Effort> = None, Shape::Choice(Effort::WORDS);
        /// Tokens that it may write in one reply, its thoughts included. Services other than Anthropic and OpenAI are told only where it is not the default.
        output_tokens_max: u32 = OUTPUT_TOKENS_MAX, Shape::Number("tokens");
        /// Tokens that it can read at once. A conversation that comes near is made shorter. 0: as the dated list says for models at Anthropic's and OpenAI's own addresses; others are made shorter only once their service refuses them as too long.
        context_tokens: u32 = 0, Shape::Number("tokens");
        /// The `provider/model` that a turn goes on with when this one does not answer; empty for none.
        fallback: String = String::new(), Shape::Text;
        /// What people should know about it; shown where models are chosen.
        note: String = String::new(), Shape::Text;
        /// What a million tokens that it reads cost in US dollars, e.g. `3` or `0.25`. Where one of the four prices is set, they count instead of the price list; those that are not set are 0.
        input_usd: String = String::new(), Shape::Text;
        /// What a million tokens that it writes cost in US dollars.
        output_usd: String = String::new(), Shape::Text;
        /// What a million tokens read from the provider's cache cost in US dollars.
        cache_read_usd: String = String::new(), Shape::Text;
        /// What a million tokens written to the provider's cache cost in US dollars.
        cache_write_usd: String = String::new(), Shape::Text;
    }
}

/// Who gives a session its title until a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitlesWord {
    /// Its model, asked once beside the first turn.
    Model,
    /// The first words of the first prompt.
    FirstWords,
}

impl From<TitlesWord> for Titles {
    fn from(word: TitlesWord) -> Self {
        match word {
            TitlesWord::Model => Self::Written,
            TitlesWord::FirstWords => Self::FirstWords,
        }
    }
}

/// How a model's endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wire {
    /// Anthropic's Messages API.
    #[serde(rename = "anthropic")]
    Anthropic,
    /// OpenAI's chat completions API.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI's Responses API.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
}

impl ModelConfig {
    /// The wire, also where none is named.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let usual = || {
            if self.base_url.trim_end_matches('/') == OPENAI_BASE_URL { Wire::OpenAiResponses } else { Wire::OpenAi }
        };
        self.wire.unwrap_or_else(usual)
    }
}

/// A provider whose key people have in their environment.
struct Provider {
    name: &'static str,
    /// Where it does not follow from the address.
    wire: Option<Wire>,
    key: &'static str,
    base_url: &'static str,
    base_url_default: &'static str,
    model: &'static str,
    models_default: &'static [&'static str],
}

/// The variables that bring models along: their names are the providers' own.
const PROVIDERS: [Provider; 2] = [
    Provider {
        name: "anthropic",
        wire: Some(Wire::Anthropic),
        key: "ANTHROPIC_API_KEY",
        base_url: "ANTHROPIC_BASE_URL",
        base_url_default: ANTHROPIC_BASE_URL,
        model: "ANTHROPIC_MODEL",
        models_default: &["claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5"],
    },
    Provider {
        name: "openai",
        wire: None,
        key: "OPENAI_API_KEY",
        base_url: "OPENAI_BASE_URL",
        base_url_default: OPENAI_BASE_URL,
        model: "OPENAI_MODEL",
        models_default: &["gpt-5.1", "gpt-5-mini"],
    },
];

/// The models that the environment's variables bring along.
pub(super) fn of_environment<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Vec<ModelConfig> {
    let mut models = Vec::new();
    for provider in &PROVIDERS {
        let Some(key) = variable(provider.key) else { continue };
        let named = variable(provider.model);
        let names =
            named.iter().copied().chain(provider.models_default.iter().copied().filter(|name| Some(*name) != named));
        models.extend(names.map(|model| ModelConfig {
            id: format!("{}/{model}", provider.name),
            wire: provider.wire,
            base_url: variable(provider.base_url).unwrap_or(provider.base_url_default).to_owned(),
            key: Some(Secret::new(key.to_owned())),
            key_file: None,
            note: format!("With the key of {}.", provider.key),
            ..ModelConfig::default()
        }));
    }
    models
}
