//! The network of sandboxes, as the configuration wants it.

use std::{fs, net::IpAddr, path::Path};

use hangar_network::{HostName, Outside, OutsideConfig, Resolvers, Secret, Trusted};
use hangar_protocol::{Refusal, RefusalCode};
use hangar_session::{Credential, Offer, Outbound};

use crate::config::{Config, OfferWord, SecretConfig, TrustedConfig};

/// What sessions are given.
///
/// # Errors
/// A refusal that names the key which cannot be used.
pub(crate) fn outbound(config: &Config) -> Result<Outbound, Refusal> {
    let resolvers = match config.network.resolvers.as_slice() {
        [] => Resolvers::System,
        servers => Resolvers::Servers(servers.to_vec()),
    };
    let authorities_pem = match &config.network.authorities {
        Some(file) => fs::read(file).map_err(|error| unreadable("network.authorities", file, &error))?,
        None => Vec::new(),
    };
    let outside = Outside::new(&OutsideConfig { resolvers, authorities_pem });
    Ok(Outbound {
        outside: outside.map_err(|error| wrong(error.to_string()))?,
        rules: config.network.allow.clone(),
        trusted: config.trusted.iter().map(trusted).collect::<Result<_, _>>()?,
        credentials: config.secrets.iter().map(credential).collect::<Result<_, _>>()?,
    })
}

fn trusted(config: &TrustedConfig) -> Result<Trusted, Refusal> {
    let addresses: Vec<String> = config.addresses.iter().map(|written| network(written)).collect();
    let read = serde_json::from_value(serde_json::json!({ "host": config.host, "addresses": addresses }));
    read.map_err(|error| wrong(format!("trusted ({}): {error}.", config.host)))
}

/// One address is a network of one.
fn network(written: &str) -> String {
    match written.parse() {
        Ok(IpAddr::V4(address)) => format!("{address}/32"),
        Ok(IpAddr::V6(address)) => format!("{address}/128"),
        Err(_) => written.to_owned(),
    }
}

fn credential(config: &SecretConfig) -> Result<Credential, Refusal> {
    let SecretConfig { name, host, port, value, value_file, offer, user } = config;
    let named = |fault: String| wrong(format!("secrets ({name}): {fault}"));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(fits) {
        return Err(named(
            "the name must be one that a variable can have: letters, digits and underscores.".to_owned(),
        ));
    }
    let text = match (value, value_file) {
        (Some(value), None) => value.reveal().clone(),
        (None, Some(file)) => {
            let text = fs::read_to_string(file).map_err(|error| unreadable("secrets.value_file", file, &error))?;
            text.lines().next().unwrap_or_default().trim().to_owned()
        }
        (Some(_), Some(_)) | (None, None) => return Err(named("set either value or value_file.".to_owned())),
    };
    Ok(Credential {
        name: name.clone(),
        host: HostName::parse(host).map_err(|error| named(format!("{error}.")))?,
        port: *port,
        secret: Secret::new(text).map_err(|error| named(format!("{error}.")))?,
        offer: match offer {
            OfferWord::Placeholder => Offer::Placeholder,
            OfferWord::Bearer => Offer::Bearer,
            OfferWord::Basic => Offer::Basic { user: user.clone() },
        },
    })
}

fn wrong(message: String) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, message, "docs/configuration.md lists every key and its form.")
}

fn unreadable(key: &str, file: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(
        RefusalCode::BadRequest,
        format!("{key} ({}) cannot be read: {error}.", file.display()),
        "Name a file that this user may read.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_name_is_trusted_at_addresses_and_networks() {
        let read = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|written| (*written).to_owned()).collect();
            trusted(&TrustedConfig { host: "npm.corp.example".to_owned(), addresses })
        };
        let networks = read(&["10.1.2.3", "fd00::7", "10.1.0.0/16"]).unwrap().addresses;
        let written: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["10.1.2.3/32", "fd00::7/128", "10.1.0.0/16"]);
        assert!(read(&["somewhere"]).unwrap_err().message.contains("npm.corp.example"));
    }
}
