//! What answers at the border of a sandbox's network.
//!
//! A sandbox's network namespace has a loopback interface and nothing else; every address is local there, and the sockets
//! that accept are hangar's. So a connection to any address ends here, and `local_addr()` of it is where the sandbox wanted
//! to go. Names are answered by hangar too, with addresses that mean something in this one sandbox only, so that every
//! connection has a name:
//!
//! ```text
//!   sandbox ──DNS: example.org?──▶ names      198.18.0.7 is example.org, for this sandbox
//!           ──connect 198.18.0.7:443──▶ border ──name, port──▶ policy ──no──▶ words for the client, a denial for the session
//!                                                               │ yes
//!                        resolve on the host, refuse inner addresses, connect to exactly the checked address
//!                                                               │
//!                        pass through (the name in the hello must fit) │ or end TLS, check Host, add the credential, mask echoes
//! ```
//!
//! Architecture invariant: nothing of what the sandbox sends decides where a connection leads, except the address it connects
//! to. No question of a sandbox is forwarded to a name server; the host asks, and only after the policy has allowed the name.
//!
//! Architecture invariant: this crate makes no network namespace and opens no listener. It takes sockets.

mod addresses;
mod authority;
mod behalf;
mod denials;
mod dns;
mod dns_sockets;
mod forward;
mod groups;
mod hello;
mod host;
mod injection;
mod inner;
mod limits;
mod mask;
mod masked;
mod names;
mod network;
mod outside;
mod policy;
mod requests;
mod secret;
mod serve_http;
mod splice;
mod tls;
mod traffic;
mod upgrade;
mod words;

pub use addresses::AddressKind;
pub use authority::{Authority, AuthorityError, TRUST_VARIABLES};
pub use behalf::{BadOrigin, Behalf, Origin};
pub use denials::{Denial, DenialReason};
pub use groups::Group;
pub use host::{BadHost, HostName, HostPattern, Target};
pub use injection::{How, Injection, Places, SetHeader};
pub use inner::Inner;
pub use names::{NAME_SERVER_V4, NAME_SERVER_V6};
pub use network::{Error, Network, Sockets};
pub use outside::{Outside, OutsideConfig, OutsideError, Resolvers};
pub use policy::{BadRule, Hosts, Phase, Phases, Policy, Rule, Treatment, Trusted, Verdict};
pub use secret::{BadSecret, Placeholder, Secret};

/// Borders that parse bytes of a sandbox, for the property tests in `tests/`. Not an interface.
#[doc(hidden)]
pub mod borders {
    pub use crate::{
        addresses::kind_of,
        dns::{Asked, answer},
        hello::{Hello, Reading, read},
        mask::{Masker, Masks},
        names::Names,
    };
}
