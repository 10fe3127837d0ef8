//! What sandboxes may reach, and the credentials that are added on the way.

use std::{net::SocketAddr, path::PathBuf};

use hangar_network::{Group, Rule};
use serde::{Deserialize, Serialize};

use super::{Secret, Shape, keys::section};

/// HTTP in TLS.
const HTTPS: u16 = 443;

section! {
    /// `[network]`: what every session may reach. Everything else is refused until a person allows it for a session.
    NetworkConfig in "network" {
        /// Hosts, e.g. `docs.example.org`, `*.example.org:8443`, or a list of hangar's own: `registries` (package registries), `toolchains` (compilers and their downloads). `setup` or `agent` before one limits it to builds or to agents, `inspect` has hangar look into its TLS.
        allow: Vec<Rule> = vec![Rule::group(Group::Registries)], Shape::List;
        /// Name servers to ask instead of the machine's own.
        resolvers: Vec<SocketAddr> = Vec::new(), Shape::List;
        /// A PEM file of certificate authorities that hangar trusts towards hosts, besides the machine's own.
        authorities: Option<PathBuf> = None, Shape::Text;
    }
}

section! {
    /// `[[trusted]]`: a name that may lead to an address of an inner network, which is refused otherwise.
    TrustedConfig in "trusted" {
        /// The name, e.g. `npm.corp.example`. It must be allowed as well.
        host: String = String::new(), Shape::Text;
        /// Where it may be: addresses or networks such as `10.1.0.0/16`.
        addresses: Vec<String> = Vec::new(), Shape::List;
    }
}

section! {
    /// `[[secrets]]`: a credential that agents can use and never see. It is added to requests to its host outside the sandbox.
    SecretConfig in "secrets" {
        /// Its name. Where `offer` is `placeholder`, a variable of this name holds the placeholder inside.
        name: String = String::new(), Shape::Text;
        /// The one host it goes to, over TLS. It must be allowed as well.
        host: String = String::new(), Shape::Text;
        /// The port.
        port: u16 = HTTPS, Shape::Number("TCP port");
        /// The credential. Better in a file of its own: see `value_file`.
        value: Option<Secret<String>> = None, Shape::Secret;
        /// A file whose first line is the credential.
        value_file: Option<PathBuf> = None, Shape::Text;
        /// `placeholder` is replaced where a program puts it; `bearer` and `basic` go with every request to the host.
        offer: OfferWord = OfferWord::Placeholder, Shape::Choice(&["placeholder", "bearer", "basic"]);
        /// Whose password it is, for `basic`.
        user: String = String::new(), Shape::Text;
    }
}

/// How a credential gets into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferWord {
    /// A placeholder is replaced.
    Placeholder,
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`.
    Basic,
}
