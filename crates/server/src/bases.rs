//! How bases are made, as the configuration wants it.

use std::{fs, net::IpAddr, sync::Arc, time::Duration};

use hangar_image::{
    base::{BaseMaker, BaseSettings},
    oci::{Credential, Limits, Registries},
};
use hangar_protocol::{Refusal, RefusalCode};
use hangar_sandbox::layers::LayerStore;

use crate::config::{Config, RegistryConfig, Scheme};

const DAY_S: u64 = 24 * 3600;
const GIB: u64 = 1024 * 1024 * 1024;
/// The name by which images call Docker Hub, and the one it answers by.
const DOCKER_HUB: [&str; 2] = ["docker.io", "index.docker.io"];

/// Opens what makes bases.
///
/// # Errors
/// When the data directory cannot be used, or a key says what cannot be.
pub(crate) fn open(config: &Config, layers: &Arc<LayerStore>) -> Result<BaseMaker, Refusal> {
    let made = BaseMaker::open(&config.data, Arc::clone(layers), settings(config)?);
    made.map_err(|error| {
        Refusal::new(RefusalCode::Unavailable, format!("{error}."), "Look whether the disk is full or not writable.")
    })
}

/// What an image from elsewhere may bring.
pub(crate) fn limits(config: &Config) -> Limits {
    let bytes = u64::from(config.bases.image_gib) * GIB;
    let usual = Limits::default();
    Limits { bytes, file_bytes: usual.file_bytes.min(bytes), files: u64::from(config.bases.image_files), ..usual }
}

fn settings(config: &Config) -> Result<BaseSettings, Refusal> {
    let mut registries = Registries::default();
    if let Some(file) = &config.bases.authorities {
        fs::metadata(file)
            .map_err(|error| wrong(format!("bases.authorities ({}) cannot be read: {error}.", file.display())))?;
        registries.authorities.push(file.clone());
    }
    for registry in &config.registries {
        add(&mut registries, registry)?;
    }
    Ok(BaseSettings {
        debian_mirror: mirror(&config.bases.debian_mirror)?,
        debian_age_max: Duration::from_secs(u64::from(config.bases.debian_days) * DAY_S),
        registries,
        limits: limits(config),
    })
}

/// The address becomes a line of apt's sources: no word may be in it that means more.
fn mirror(address: &str) -> Result<String, Refusal> {
    let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
    let plain =
        |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "./:_-~[]".contains(c));
    match (address, rest) {
        ("", _) => Ok(String::new()),
        (_, Some(rest)) if plain(rest) => Ok(address.to_owned()),
        (_, Some(_) | None) => Err(wrong(format!(
            "bases.debian_mirror is {address:?}; write it as http://mirror.example/debian, without a password."
        ))),
    }
}

fn add(registries: &mut Registries, config: &RegistryConfig) -> Result<(), Refusal> {
    let RegistryConfig { host, scheme, user, password, password_file } = config;
    let named = |fault: &str| wrong(format!("registries ({host}): {fault}"));
    let fits = |c: char| c.is_ascii_alphanumeric() || ".:-[]".contains(c);
    if host.is_empty() || !host.chars().all(fits) {
        return Err(named("host must be the registry's name alone, e.g. ghcr.io or 127.0.0.1:5000."));
    }
    if *scheme == Scheme::Http {
        registries.plain_http.push(host.clone());
    }
    let password = match (password, password_file) {
        (Some(_), Some(_)) => return Err(named("set either password or password_file.")),
        (Some(password), None) => password.reveal().clone(),
        (None, Some(file)) => {
            let text = fs::read_to_string(file);
            let text =
                text.map_err(|error| named(&format!("password_file ({}) cannot be read: {error}.", file.display())))?;
            text.lines().next().unwrap_or_default().trim().to_owned()
        }
        (None, None) if user.is_empty() => return Ok(()),
        (None, None) => return Err(named("user needs a password or a password_file.")),
    };
    if user.is_empty() {
        return Err(named("a password needs a user."));
    }
    if *scheme == Scheme::Http && !is_this_machine(host) {
        return Err(named("a password is not sent without TLS; use https, or leave user and password out."));
    }
    let names = if DOCKER_HUB.contains(&host.as_str()) { DOCKER_HUB.to_vec() } else { vec![host.as_str()] };
    for name in names {
        registries.credentials.insert(name.to_owned(), Credential { user: user.clone(), password: password.clone() });
    }
    Ok(())
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn wrong(message: String) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, message, "docs/configuration.md lists every key and its form.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn config(change: impl FnOnce(&mut Config)) -> Result<BaseSettings, String> {
        let mut config = Config::in_directory("/nowhere".into());
        change(&mut config);
        settings(&config).map_err(|refusal| refusal.message)
    }

    fn registry(host: &str, scheme: Scheme, user: &str, password: Option<&str>) -> RegistryConfig {
        let password = password.map(|password| Secret::new(password.to_owned()));
        RegistryConfig { host: host.into(), scheme, user: user.into(), password, password_file: None }
    }

    #[test]
    fn what_is_set_is_what_bases_are_made_with() {
        let usual = config(|_| {}).unwrap();
        let default = BaseSettings::default();
        assert_eq!((usual.limits, usual.debian_age_max), (default.limits, default.debian_age_max));
        let set = config(|config| {
            config.bases.debian_mirror = "http://mirror.example:8080/debian".into();
            config.bases.debian_days = 1;
            config.bases.image_gib = 2;
            config.registries = vec![
                registry("127.0.0.1:5000", Scheme::Http, "me", Some("secret")),
                registry("docker.io", Scheme::Https, "me", Some("token")),
                registry("plain.example", Scheme::Http, "", None),
            ];
        })
        .unwrap();
        assert_eq!(set.debian_mirror, "http://mirror.example:8080/debian");
        assert_eq!((set.debian_age_max, set.limits.bytes), (Duration::from_secs(DAY_S), 2 * GIB));
        assert_eq!(set.limits.file_bytes, 2 * GIB, "one file is not larger than all");
        assert_eq!(set.registries.plain_http, ["127.0.0.1:5000", "plain.example"]);
        let known: Vec<&str> = set.registries.credentials.keys().map(String::as_str).collect();
        assert_eq!(known, ["127.0.0.1:5000", "docker.io", "index.docker.io"]);
        assert!(!format!("{set:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: &dyn Fn(&mut Config), words: &str| {
            let said = config(change).expect_err(words);
            assert!(said.contains(words), "{said}");
        };
        for mirror in [
            "mirror.example",
            "ftp://mirror.example/debian",
            "http://",
            "http://me:pw@mirror/debian",
            "http://m/d [trusted=yes]",
        ] {
            refused(&|config| config.bases.debian_mirror = mirror.into(), "bases.debian_mirror");
        }
        refused(&|config| config.bases.authorities = Some("/nowhere.pem".into()), "bases.authorities");
        for (given, words) in [
            (registry("", Scheme::Https, "", None), "name alone"),
            (registry("https://ghcr.io", Scheme::Https, "", None), "name alone"),
            (registry("ghcr.io", Scheme::Https, "me", None), "needs a password"),
            (registry("ghcr.io", Scheme::Https, "", Some("x")), "needs a user"),
            (registry("registry.example:5000", Scheme::Http, "me", Some("x")), "without TLS"),
        ] {
            refused(&move |config| config.registries = vec![given.clone()], words);
        }
    }
}
