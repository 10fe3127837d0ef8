//! What images stand on: Debian's mirror, registries, and how much an image from elsewhere may bring.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Secret, Shape, keys::section};

section! {
    /// `[bases]`: how bases of images are made, and how much an image from elsewhere may bring. See bases.md.
    BasesConfig in "bases" {
        /// Where Debian packages are fetched for a base, e.g. `http://mirror.example/debian`; empty for the mirror that this machine's apt uses, else Debian's own. Updates are fetched beside it at `debian-security`, where the address ends in `/debian`.
        debian_mirror: String = String::new(), Shape::Text;
        /// A Debian base is made anew after so long, for its updates.
        debian_days: u32 = 7, Shape::Number("days");
        /// A PEM file of certificate authorities that registries may have their certificates from, besides the usual ones.
        authorities: Option<PathBuf> = None, Shape::Text;
        /// All layers together of an image from a registry, an archive or a file may take so much unpacked.
        image_gib: u32 = 64, Shape::Number("GiB");
        /// And have so many files, directories and links.
        image_files: u32 = 2_000_000, Shape::Number("files");
    }
}

section! {
    /// `[[registries]]`: a registry that wants a name and a password, or has no TLS.
    RegistryConfig in "registries" {
        /// The registry as images name it, e.g. `ghcr.io` or `127.0.0.1:5000`; `docker.io` for Docker Hub.
        host: String = String::new(), Shape::Text;
        /// `http` reaches it without TLS; a password is then only sent to this machine itself.
        scheme: Scheme = Scheme::Https, Shape::Choice(&["https", "http"]);
        /// Who hangar is there; empty for nobody.
        user: String = String::new(), Shape::Text;
        /// The password or token. Better in a file of its own: see `password_file`.
        password: Option<Secret<String>> = None, Shape::Secret;
        /// A file whose first line is the password or token.
        password_file: Option<PathBuf> = None, Shape::Text;
    }
}

/// How a registry is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// With TLS.
    Https,
    /// In the clear.
    Http,
}
