//! The plugins that an administrator installed. They are loaded before the server listens, so that one which cannot be used is noticed at once
//! and nothing runs without its guard.

use hangar_plugins::{PluginSettings, Plugins};
use hangar_protocol::{Refusal, RefusalCode};

use crate::config::{Config, PluginConfig};

/// Loads every plugin of the configuration.
///
/// # Errors
/// The first that cannot be used, and why.
pub(crate) async fn load(config: &Config) -> Result<Plugins, Refusal> {
    let settings: Vec<PluginSettings> = config.plugins.iter().map(PluginConfig::settings).collect();
    // It waits for each plugin's own thread.
    let loaded = tokio::task::spawn_blocking(move || Plugins::load(&settings)).await;
    let refusal = |error: String, hint: &str| Refusal::new(RefusalCode::BadRequest, format!("{error}."), hint);
    match loaded {
        Ok(Ok(plugins)) => Ok(plugins),
        Ok(Err(error)) => Err(refusal(
            error.to_string(),
            "Mend it, or take it out of hangar.toml; docs/plugins.md says what a plugin is.",
        )),
        Err(error) => Err(refusal(format!("The plugins could not be loaded: {error}"), "Start hangar again.")),
    }
}
