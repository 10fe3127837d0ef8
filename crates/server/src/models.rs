//! Which models this server has: those whose keys are in the environment, those of `[[models]]`, and without any of them the
//! scripted one, which says of itself that it is no model.

use std::time::Duration;

use hangar_agent::{
    Models,
    models::{ModelConfig as AgentModel, ProviderKind, Rates, Secret as AgentSecret},
};
use hangar_protocol::{Refusal, RefusalCode};

use crate::config::{Config, ModelConfig, Secret, TitlesWord, Wire};
use hangar_agent::scripted::{self, Transcript};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The models, and what plays the scripted one.
pub(crate) struct Catalogue {
    pub(crate) models: Models,
    /// Ends with the server.
    pub(crate) player: Option<AbortOnDropHandle<()>>,
}

/// Makes every configured model ready to be asked.
///
/// # Errors
/// When an entry cannot be used; the refusal names it.
pub(crate) async fn catalogue(config: &Config) -> Result<Catalogue, Refusal> {
    let mut all = config.models.iter().map(|model| configured(config, model)).collect::<Result<Vec<_>, _>>()?;
    let mut player = None;
    if all.is_empty() || config.scripted_transcript.is_some() {
        let (scripted, playing) = scripted_model(config).await?;
        all.push(scripted);
        player = Some(playing);
        tracing::warn!("the scripted model is offered: it plays a prepared transcript and is no model");
    }
    if !config.default_model.is_empty() {
        let place = all.iter().position(|model| format!("{}/{}", model.provider, model.model) == config.default_model);
        let Some(place) = place else { return Err(no_default(config, &all)) };
        all[..=place].rotate_right(1);
    }
    let models = Models::new(all).map_err(|fault| Refusal::new(RefusalCode::BadRequest, format!("{fault}."), ""))?;
    Ok(Catalogue { models, player })
}

fn no_default(config: &Config, all: &[AgentModel]) -> Refusal {
    let known: Vec<String> = all.iter().map(|model| format!("{}/{}", model.provider, model.model)).collect();
    Refusal::new(
        RefusalCode::BadRequest,
        format!("default_model is {}, and there is no such model.", config.default_model),
        format!("There are: {}.", known.join(", ")),
    )
}

fn configured(all: &Config, config: &ModelConfig) -> Result<AgentModel, Refusal> {
    let (provider, model) = config.id.split_once('/').unwrap_or_default();
    let kind = match config.wire() {
        Wire::Anthropic => ProviderKind::Anthropic,
        Wire::OpenAi => ProviderKind::OpenAi,
        Wire::OpenAiResponses => ProviderKind::OpenAiResponses,
    };
    let key = key_of(config)?.map(|key| AgentSecret::new(key.reveal().clone()));
    let mut made = AgentModel::new(provider, model, kind, &config.base_url, key);
    made.note.clone_from(&config.note);
    made.effort = config.effort;
    made.output_tokens_max = config.output_tokens_max.max(1);
    made.context_tokens = Some(config.context_tokens).filter(|tokens| *tokens > 0);
    made.fallback = Some(config.fallback.clone()).filter(|id| !id.is_empty());
    made.timeouts.first_byte = Duration::from_secs(config.first_byte_s.max(1).into());
    made.timeouts.idle = Duration::from_secs(config.silence_s.max(1).into());
    made.timeouts.attempts_max = config.attempts_max.max(1);
    made.titles = all.titles.into();
    made.rates = rates(config)?;
    Ok(made)
}

/// The prices of an entry; `None` where none is set.
fn rates(config: &ModelConfig) -> Result<Option<Rates>, Refusal> {
    let ModelConfig { input_usd, output_usd, cache_read_usd, cache_write_usd, .. } = config;
    if [input_usd, output_usd, cache_read_usd, cache_write_usd].into_iter().all(String::is_empty) {
        return Ok(None);
    }
    let rate = |name: &str, text: &str| {
        micro_usd(text).ok_or_else(|| {
            let message = format!("models.{name} of {} is {text:?}.", config.id);
            Refusal::new(RefusalCode::BadRequest, message, "Write US dollars for a million tokens, such as 3 or 0.25.")
        })
    };
    Ok(Some(Rates {
        input: rate("input_usd", input_usd)?,
        output: rate("output_usd", output_usd)?,
        cache_read: rate("cache_read_usd", cache_read_usd)?,
        cache_write: rate("cache_write_usd", cache_write_usd)?,
    }))
}

/// Dollars in decimals as millionths; nothing is 0.
fn micro_usd(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 || whole.len() > 9 {
        return None;
    }
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    Some(number(whole)? * 1_000_000 + number(&format!("{part:0<6}"))?)
}

fn key_of(config: &ModelConfig) -> Result<Option<Secret<String>>, Refusal> {
    let Some(file) = &config.key_file else { return Ok(config.key.clone()) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        Refusal::new(
            RefusalCode::BadRequest,
            format!("models.key_file of {} ({}) cannot be read: {error}.", config.id, file.display()),
            "Name a file that this user may read.",
        )
    })?;
    Ok(text.lines().next().map(str::trim).filter(|key| !key.is_empty()).map(|key| Secret::new(key.to_owned())))
}

/// The scripted model, playing on a port of loopback that only this machine reaches.
async fn scripted_model(config: &Config) -> Result<(AgentModel, AbortOnDropHandle<()>), Refusal> {
    let transcript = match &config.scripted_transcript {
        None => Transcript::demo(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let message = format!("scripted_transcript {} cannot be read: {error}.", file.display());
                Refusal::new(RefusalCode::BadRequest, message, "Name a transcript this user may read.")
            })?;
            Transcript::parse(&text)
        }
    };
    let transcript =
        transcript.map_err(|fault| Refusal::new(RefusalCode::BadRequest, format!("{fault}."), "Mend it."))?;
    let name = transcript.name.clone();
    let titles = transcript.titles();
    let unplayable = |error: std::io::Error| {
        Refusal::new(RefusalCode::Unavailable, format!("The scripted model cannot listen on loopback: {error}."), "")
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unplayable)?;
    let address = listener.local_addr().map_err(unplayable)?;
    let playing = tokio::spawn(async move {
        if let Err(error) = scripted::serve(transcript, listener).await {
            tracing::error!(%error, "the scripted model ended");
        }
    });
    let mut made = AgentModel::scripted(&name, &format!("http://{address}"));
    if config.titles == TitlesWord::Model {
        made.titles = titles;
    }
    Ok((made, AbortOnDropHandle::new(playing)))
}

#[cfg(test)]
mod tests {
    use super::micro_usd;

    #[test]
    fn dollars_are_read_to_the_millionth() {
        for (text, expect) in [
            ("", Some(0)),
            ("3", Some(3_000_000)),
            ("0.25", Some(250_000)),
            (".075", Some(75_000)),
            ("1.000001", Some(1_000_001)),
            ("1.0000001", None),
            ("-1", None),
            ("1e3", None),
            ("1.2.3", None),
        ] {
            assert_eq!(micro_usd(text), expect, "{text}");
        }
    }
}
