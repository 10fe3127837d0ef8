//! Credentials that are added to requests on their way out.

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hyper::{
    Uri,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};

use crate::{
    host::HostName,
    policy::{HTTPS_PORT, Phases, Policy},
    secret::{PLACEHOLDER_PREFIX, Placeholder, Secret},
};

/// A credential for one host. It leaves this machine in requests to that host over TLS and nowhere else.
#[derive(Debug, Clone)]
pub struct Injection {
    /// What people call it, for denials and logs.
    pub name: String,
    /// The host it is for. No pattern: a credential is for one name.
    pub host: HostName,
    /// The port it is for.
    pub port: u16,
    /// The credential.
    pub secret: Secret,
    /// When it is added.
    pub phases: Phases,
    /// How.
    pub how: How,
}

/// How a credential gets into a request.
#[derive(Debug, Clone)]
pub enum How {
    /// The sandbox puts the placeholder where the credential belongs, and it is replaced there.
    Replace {
        /// What the sandbox sees.
        placeholder: Placeholder,
        /// Where it may stand.
        places: Places,
    },
    /// Every request gets the header, and what the sandbox sent in its place is dropped. Nothing has to be set up inside.
    Set(SetHeader),
}

/// Where a placeholder may stand in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// In the values of these headers. `Authorization: Basic` is looked at decoded.
    pub headers: Vec<HeaderName>,
    /// In the query, after `?`. Servers log it, so only where a service knows no better way.
    pub query: bool,
}

/// The header that every request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetHeader {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// `Authorization: Basic` of `user:SECRET`, as git hosts want it (`x-access-token` at GitHub, `oauth2` at GitLab).
    Basic {
        /// The user's name.
        user: String,
    },
    /// Another header with the bare credential.
    Plain(HeaderName),
}

/// The headers in which services expect credentials.
const USUAL_HEADERS: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-goog-api-key",
    "x-auth-token",
    "private-token",
    "job-token",
    "x-figma-token",
    "x-vault-token",
    "xi-api-key",
    "dd-api-key",
    "dd-application-key",
    "circle-token",
    "x-shopify-access-token",
    "ocp-apim-subscription-key",
    "x-subscription-token",
];

/// Why a request with a placeholder is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// It belongs to another host, to no host any more, or is none of this session's.
    Elsewhere,
    /// It is for this host, but not in this place.
    Place,
}

impl Injection {
    /// A credential for `host` at port 443, added while an agent works.
    #[must_use]
    pub fn new(name: impl Into<String>, host: HostName, secret: Secret, how: How) -> Self {
        Self { name: name.into(), host, port: HTTPS_PORT, secret, phases: Phases::Agent, how }
    }
}

impl How {
    /// The placeholder may stand in the headers that services use for credentials.
    #[must_use]
    pub fn replace(placeholder: Placeholder) -> Self {
        Self::Replace { placeholder, places: Places::headers() }
    }

    /// `Authorization: Bearer` on every request.
    #[must_use]
    pub fn bearer() -> Self {
        Self::Set(SetHeader::Bearer)
    }

    /// `Authorization: Basic` on every request.
    #[must_use]
    pub fn basic(user: impl Into<String>) -> Self {
        Self::Set(SetHeader::Basic { user: user.into() })
    }
}

impl Places {
    /// The headers that services use for credentials, and not the query.
    #[must_use]
    pub fn headers() -> Self {
        Self { headers: USUAL_HEADERS.iter().copied().map(HeaderName::from_static).collect(), query: false }
    }
}

/// Whether a placeholder stands anywhere in the head of a request that gets no credentials.
pub(crate) fn has_placeholder(uri: &Uri, headers: &HeaderMap) -> bool {
    let nothing = Replacement { policy: None };
    nothing.uri(uri).is_err() || headers.iter().any(|(name, value)| nothing.header(name, value).is_err())
}

/// Puts the credentials for `host` into a request's head. Returns whether there was one to put.
pub(crate) fn inject(
    policy: &Policy,
    host: &HostName,
    port: u16,
    uri: &mut Uri,
    headers: &mut HeaderMap,
) -> Result<bool, Misplaced> {
    let replacement = Replacement { policy: Some((policy, host, port)) };
    let mut injected = false;
    if let Some(replaced) = replacement.uri(uri)? {
        *uri = replaced;
        injected = true;
    }
    for (name, value) in headers.iter_mut() {
        if let Some(replaced) = replacement.header(name, value)? {
            *value = replaced;
            injected = true;
        }
    }
    for injection in policy.injections_for(host, port) {
        if let How::Set(set) = &injection.how {
            let (name, value) = set.header(&injection.secret)?;
            headers.insert(name, value);
            injected = true;
        }
    }
    Ok(injected)
}

impl SetHeader {
    fn header(&self, secret: &Secret) -> Result<(HeaderName, HeaderValue), Misplaced> {
        let (name, text) = match self {
            Self::Bearer => (AUTHORIZATION, format!("Bearer {}", secret.reveal())),
            Self::Basic { user } => {
                (AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret.reveal()))))
            }
            Self::Plain(name) => (name.clone(), secret.reveal().to_owned()),
        };
        Ok((name, sensitive(text.into_bytes())?))
    }
}

/// Finds placeholders and says what belongs in their place.
struct Replacement<'a> {
    /// Whose credentials, for which host and port; `None` where no placeholder may stand.
    policy: Option<(&'a Policy, &'a HostName, u16)>,
}

impl Replacement<'_> {
    fn uri(&self, uri: &Uri) -> Result<Option<Uri>, Misplaced> {
        let text = uri.to_string();
        if !text.contains(PLACEHOLDER_PREFIX) {
            return Ok(None);
        }
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        if path.contains(PLACEHOLDER_PREFIX) || !query.contains(PLACEHOLDER_PREFIX) {
            return Err(Misplaced::Place);
        }
        let replaced = self.text(query.as_bytes(), &|places| places.query, &percent_encoded)?;
        let Some(replaced) = replaced else { return Ok(None) };
        let query = String::from_utf8(replaced).map_err(|_| Misplaced::Place)?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}?{query}")).map_err(|_| Misplaced::Place)?);
        Uri::from_parts(parts).map(Some).map_err(|_| Misplaced::Place)
    }

    fn header(&self, name: &HeaderName, value: &HeaderValue) -> Result<Option<HeaderValue>, Misplaced> {
        let allowed = |places: &Places| places.headers.contains(name);
        if let Some(decoded) = decode_basic(value.as_bytes()) {
            let Some(replaced) = self.text(&decoded, &allowed, &plain)? else { return Ok(None) };
            return sensitive(format!("Basic {}", STANDARD.encode(replaced)).into_bytes()).map(Some);
        }
        self.text(value.as_bytes(), &allowed, &plain)?.map(sensitive).transpose()
    }

    /// The text with every placeholder replaced; `None` if there is none in it.
    fn text(
        &self,
        text: &[u8],
        allowed: &dyn Fn(&Places) -> bool,
        encoded: &dyn Fn(&str) -> String,
    ) -> Result<Option<Vec<u8>>, Misplaced> {
        let mut replaced = Vec::new();
        let mut rest = text;
        let mut found = false;
        while let Some(at) = find(rest, PLACEHOLDER_PREFIX.as_bytes()) {
            found = true;
            let end = (at + Placeholder::length()).min(rest.len());
            let secret = self.secret_for(&rest[at..end], allowed)?;
            replaced.extend_from_slice(&rest[..at]);
            replaced.extend_from_slice(encoded(secret.reveal()).as_bytes());
            rest = &rest[end..];
        }
        replaced.extend_from_slice(rest);
        Ok(found.then_some(replaced))
    }

    fn secret_for(&self, text: &[u8], allowed: &dyn Fn(&Places) -> bool) -> Result<&Secret, Misplaced> {
        let (policy, host, port) = self.policy.ok_or(Misplaced::Elsewhere)?;
        let own = policy.injections_for(host, port).find_map(|injection| match &injection.how {
            How::Replace { placeholder, places } if placeholder.as_str().as_bytes() == text => {
                Some((&injection.secret, places))
            }
            How::Replace { .. } | How::Set(_) => None,
        });
        let (secret, places) = own.ok_or(Misplaced::Elsewhere)?;
        if allowed(places) { Ok(secret) } else { Err(Misplaced::Place) }
    }
}

/// Clients differ in whether they pad.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is in `Basic …`, wherever it stands.
fn decode_basic(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    scheme.eq_ignore_ascii_case(b"Basic ").then(|| LENIENT.decode(encoded.trim_ascii()).ok()).flatten()
}

fn plain(secret: &str) -> String {
    secret.to_owned()
}

/// Everything but letters, digits and `-._~` as `%XX`.
pub(crate) fn percent_encoded(secret: &str) -> String {
    percent(secret, |byte| format!("%{byte:02X}"))
}

/// The same with `%xx`, as some write it.
pub(crate) fn percent_encoded_lower(secret: &str) -> String {
    percent(secret, |byte| format!("%{byte:02x}"))
}

fn percent(secret: &str, escaped: impl Fn(u8) -> String) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => escaped(byte),
    };
    secret.bytes().map(byte).collect()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// A header's value that is never put into HTTP/2's table of headers.
fn sensitive(bytes: Vec<u8>) -> Result<HeaderValue, Misplaced> {
    let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| Misplaced::Place)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Phase;

    const SECRET: &str = "s3cret/+value=";

    struct Fixture {
        policy: Policy,
        placeholder: Placeholder,
        other: Placeholder,
    }

    fn fixture() -> Fixture {
        let (placeholder, other) = (Placeholder::random(), Placeholder::random());
        let secret = || Secret::new(SECRET.to_owned()).unwrap();
        let host = |name: &str| HostName::parse(name).unwrap();
        let injections = vec![
            Injection::new("one", host("api.test"), secret(), How::replace(placeholder.clone())),
            Injection::new("two", host("other.test"), secret(), How::replace(other.clone())),
            Injection::new("three", host("git.test"), secret(), How::basic("x-access-token")),
        ];
        Fixture { policy: Policy { injections, ..Policy::closed(Phase::Agent) }, placeholder, other }
    }

    impl Fixture {
        /// The request's URI and one header, after injection for `host`.
        fn run(&self, host: &str, uri: &str, name: &'static str, value: &str) -> Result<(String, String), Misplaced> {
            let host = HostName::parse(host).unwrap();
            let mut uri: Uri = uri.parse().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            inject(&self.policy, &host, 443, &mut uri, &mut headers)?;
            Ok((uri.to_string(), String::from_utf8(headers[name].as_bytes().to_vec()).unwrap()))
        }
    }

    #[test]
    fn a_placeholder_becomes_the_credential_only_where_it_belongs() {
        let fixture = fixture();
        let own = fixture.placeholder.as_str();
        let header = |host, name, value: &str| fixture.run(host, "/a?b=c", name, value).map(|(_, value)| value);
        assert_eq!(header("api.test", "authorization", &format!("Bearer {own}")), Ok(format!("Bearer {SECRET}")));
        assert_eq!(header("api.test", "x-api-key", own), Ok(SECRET.to_owned()));
        let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(header("api.test", "authorization", &basic(format!("me:{own}"))), Ok(basic(format!("me:{SECRET}"))));
        assert_eq!(header("api.test", "cookie", own), Err(Misplaced::Place));
        assert_eq!(header("api.test", "user-agent", &basic(format!("me:{own}"))), Err(Misplaced::Place));
        assert_eq!(header("api.test", "x-api-key", fixture.other.as_str()), Err(Misplaced::Elsewhere));
        assert_eq!(header("other.test", "x-api-key", own), Err(Misplaced::Elsewhere));
        assert_eq!(header("unknown.test", "authorization", &basic(format!("me:{own}"))), Err(Misplaced::Elsewhere));
        assert_eq!(header("api.test", "x-api-key", "hangar-secret-short"), Err(Misplaced::Elsewhere));
        assert_eq!(header("api.test", "x-api-key", "my own key"), Ok("my own key".to_owned()));
    }

    #[test]
    fn a_header_that_is_set_replaces_what_the_sandbox_sent() {
        let fixture = fixture();
        let (_, value) = fixture.run("git.test", "/a", "authorization", "Basic bWU6bWluZQ==").unwrap();
        assert_eq!(value, format!("Basic {}", STANDARD.encode(format!("x-access-token:{SECRET}"))));
    }

    #[test]
    fn the_query_is_replaced_only_where_allowed() {
        let mut fixture = fixture();
        let uri = format!("/a?key={}&x=1", fixture.placeholder.as_str());
        assert_eq!(fixture.run("api.test", &uri, "accept", "*/*"), Err(Misplaced::Place));
        if let How::Replace { places, .. } = &mut fixture.policy.injections[0].how {
            places.query = true;
        }
        let (uri, _) = fixture.run("api.test", &uri, "accept", "*/*").unwrap();
        assert_eq!(uri, "/a?key=s3cret%2F%2Bvalue%3D&x=1");
        let path = format!("/{}/a", fixture.placeholder.as_str());
        assert_eq!(fixture.run("api.test", &path, "accept", "*/*"), Err(Misplaced::Place));
    }

    #[test]
    fn the_phase_decides_as_well() {
        let mut fixture = fixture();
        fixture.policy.phase = Phase::Setup;
        let own = fixture.placeholder.as_str().to_owned();
        assert_eq!(fixture.run("api.test", "/", "x-api-key", &own), Err(Misplaced::Elsewhere));
    }
}
