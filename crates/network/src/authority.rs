//! The certificate authority of one sandbox. Its key is in this process's memory only and ends with the sandbox; its
//! certificate is trusted inside that sandbox and nowhere else.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{host::HostName, limits::LEAVES_MAX};

/// Environment variables by which programs find the certificates they trust. Set each to a file with [`Authority::bundle`] in it.
/// `NODE_EXTRA_CA_CERTS` adds to what Node trusts, the others replace it.
pub const TRUST_VARIABLES: [&str; 9] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
];

/// How long the authority and its leaves are valid. A sandbox lives shorter.
const VALID: Duration = Duration::from_secs(90 * 24 * 3600);
/// The host's clock and the sandbox's are the same; a snapshot's files may be older.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// See the module's documentation. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

/// A name and the one protocol that is spoken under it.
type Served = (HostName, Option<&'static [u8]>);

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// What a connection for a name and protocol is served with. Emptied when full: making one costs about a tenth of a
    /// millisecond.
    served: Mutex<HashMap<Served, Arc<ServerConfig>>>,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key or the certificate.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS refuses it.
    #[error("TLS cannot be served with a new certificate: {0}")]
    Tls(#[from] rustls::Error),
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

impl Authority {
    /// A new authority with a key of its own.
    pub fn new() -> Result<Self, AuthorityError> {
        let mut params = validity(CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, "hangar, this sandbox only");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        Ok(Self(Arc::new(Inner { issuer, certificate, served: Mutex::new(HashMap::new()) })))
    }

    /// Its certificate, for the sandbox's trust store.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.certificate.pem()
    }

    /// The machine's own trusted certificates (PEM) with this one added: the content of the file that the
    /// [`TRUST_VARIABLES`] name.
    #[must_use]
    pub fn bundle(&self, trusted_pem: &str) -> String {
        let gap = if trusted_pem.is_empty() || trusted_pem.ends_with('\n') { "" } else { "\n" };
        format!("{trusted_pem}{gap}{}", self.pem())
    }

    /// How TLS is served under a name, speaking the one protocol.
    pub(crate) fn serve(
        &self,
        name: &HostName,
        protocol: Option<&'static [u8]>,
    ) -> Result<Arc<ServerConfig>, AuthorityError> {
        let key = (name.clone(), protocol);
        if let Some(known) = self.0.served.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.leaf(name, protocol)?);
        let mut served = self.0.served.lock().unwrap_or_else(PoisonError::into_inner);
        if served.len() >= LEAVES_MAX {
            served.clear();
        }
        served.insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn leaf(&self, name: &HostName, protocol: Option<&'static [u8]>) -> Result<ServerConfig, AuthorityError> {
        let mut params = validity(CertificateParams::new(vec![name.to_string()])?);
        params.distinguished_name.push(DnType::OrganizationName, "hangar");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = params.signed_by(&key, &self.0.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), self.0.certificate.der().clone()], key)?;
        config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        Ok(config)
    }
}

fn validity(mut params: CertificateParams) -> CertificateParams {
    params.distinguished_name = DistinguishedName::new();
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALID).into();
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_the_machines_certificates_and_one_more() {
        let authority = Authority::new().unwrap();
        let bundle = authority.bundle("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----");
        assert_eq!(bundle.matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
        assert!(!bundle.contains("PRIVATE"));
        assert_ne!(authority.pem(), Authority::new().unwrap().pem());
    }

    #[test]
    fn a_name_is_served_with_the_same_certificate_again() {
        let authority = Authority::new().unwrap();
        let name = HostName::parse("example.org").unwrap();
        let first = authority.serve(&name, Some(b"h2")).unwrap();
        assert!(Arc::ptr_eq(&first, &authority.serve(&name, Some(b"h2")).unwrap()));
        assert!(!Arc::ptr_eq(&first, &authority.serve(&name, None).unwrap()));
        assert_eq!(first.alpn_protocols, [b"h2"]);
    }
}
