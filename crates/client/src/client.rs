//! One request to hangar: address, credential, time limit, answer.

use std::{sync::Arc, time::Duration};

use hangar_protocol::{Refusal, RefusalCode, api::ErrorBody};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::Error, secret::Token};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an ordinary answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take for which hangar clones, commits or pushes.
const SLOW_ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// How much of a strange answer is quoted in an error.
const QUOTE_CHARS_MAX: usize = 120;

/// A connection to one hangar in one person's name. Cheap to clone; clones share the connection pool.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    /// The server's address without a trailing slash, as shown to people.
    url: String,
    credential: Credential,
}

enum Credential {
    Token(Token),
    /// A browser's session cookie, which a one-time sign-in link was traded for.
    Cookie(String),
    None,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(hidden)",
            Self::Cookie(_) => "Cookie(hidden)",
            Self::None => "None",
        })
    }
}

/// How long the answer to a request may take.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    Ordinary,
    /// hangar runs git for it.
    Slow,
}

impl Client {
    /// A client that asks with a personal access token.
    ///
    /// # Errors
    /// A refusal when `url` is not an `http://` or `https://` address. Nothing is sent yet.
    pub fn new(url: &str, token: Token) -> Result<Self, Error> {
        Self::with_credential(url, Credential::Token(token))
    }

    /// A client that says nothing about who asks: enough for `healthz` and for [`Client::sign_in`].
    ///
    /// # Errors
    /// Like [`Client::new`].
    pub fn stranger(url: &str) -> Result<Self, Error> {
        Self::with_credential(url, Credential::None)
    }

    /// The same server and the same connections, with another person's token.
    #[must_use]
    pub fn in_the_name_of(&self, token: Token) -> Self {
        let Inner { http, url, credential: _ } = &*self.inner;
        let (http, url) = (http.clone(), url.clone());
        Self { inner: Arc::new(Inner { http, url, credential: Credential::Token(token) }) }
    }

    pub(crate) fn with_cookie(&self, cookie: String) -> Result<Self, Error> {
        Self::with_credential(&self.inner.url, Credential::Cookie(cookie))
    }

    fn with_credential(url: &str, credential: Credential) -> Result<Self, Error> {
        let url = parse_url(url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("hangar/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The stream begins as an HTTP/1.1 upgrade.
            .http1_only()
            // A redirect would carry the token somewhere the person did not name.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let url = url.as_str().trim_end_matches('/').to_owned();
        let http = builder.build().map_err(|error| Error::transport(&url, &error))?;
        Ok(Self { inner: Arc::new(Inner { http, url, credential }) })
    }

    /// The server's address without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Whether the server is on this machine (its address is a loopback one), so that a local path means the same to both.
    #[must_use]
    pub fn is_local(&self) -> bool {
        parse_url(&self.inner.url).is_ok_and(|url| is_loopback(&url))
    }

    /// The full address of a page that the server named relative to its own address.
    #[must_use]
    pub fn page(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.inner.url) } else { url.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let changes = method != Method::GET;
        let request = self.inner.http.request(method, format!("{}{path}", self.inner.url));
        match &self.inner.credential {
            Credential::Token(token) => request.bearer_auth(token.reveal()),
            // A browser cannot be tricked into sending the second header: that is the server's proof against forged requests.
            Credential::Cookie(cookie) if changes => request.header(header::COOKIE, cookie).header("X-Hangar", "1"),
            Credential::Cookie(cookie) => request.header(header::COOKIE, cookie),
            Credential::None => request,
        }
    }

    /// Sends a request and turns every answer of 400 or more into an error.
    pub(crate) async fn send(&self, request: RequestBuilder, pace: Pace) -> Result<Response, Error> {
        let timeout = match pace {
            Pace::Ordinary => ANSWER_TIMEOUT,
            Pace::Slow => SLOW_ANSWER_TIMEOUT,
        };
        self.send_unlimited(request.timeout(timeout)).await
    }

    /// Like [`Client::send`], for answers that never end.
    pub(crate) async fn send_unlimited(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| Error::transport(&self.inner.url, &error))?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(self.refusal(response).await);
        }
        Ok(response)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.json(self.send(self.request(Method::GET, path), Pace::Ordinary).await?).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        pace: Pace,
    ) -> Result<T, Error> {
        self.json(self.send(self.request(Method::POST, path).json(body), pace).await?).await
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let body = response.bytes().await.map_err(|error| Error::transport(&self.inner.url, &error))?;
        serde_json::from_slice(&body).map_err(|error| self.strange(format!("{error} in {:?}", quote(&body))))
    }

    pub(crate) fn strange(&self, cause: String) -> Error {
        Error::NotHangar { url: self.inner.url.clone(), cause }
    }

    async fn refusal(&self, response: Response) -> Error {
        let status = response.status();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Error::transport(&self.inner.url, &error),
        };
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => Error::Refused(error),
            Err(_) if is_gateway(status) => Error::Unreachable {
                url: self.inner.url.clone(),
                cause: format!("a proxy in between answers {status}"),
            },
            Err(_) => self.strange(format!("status {status}, {:?}", quote(&body))),
        }
    }
}

fn is_gateway(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn quote(body: &[u8]) -> String {
    hangar_protocol::limits::clip(&String::from_utf8_lossy(body), QUOTE_CHARS_MAX)
}

pub(crate) fn parse_url(text: &str) -> Result<Url, Refusal> {
    let bad = |why: &str| {
        Refusal::new(
            RefusalCode::BadRequest,
            format!("{:?} is not the address of a hangar: {why}.", hangar_protocol::limits::clip(text, 200)),
            "Write it like http://127.0.0.1:7433 or https://hangar.example.com.",
        )
    };
    let url = Url::parse(text.trim()).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("it must begin with http:// or https://"));
    }
    if url.cannot_be_a_base() || url.host().is_none() {
        return Err(bad("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("a token does not belong into an address"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it must end with the host, the port or a path"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_at_the_border() {
        for (text, good) in [
            ("http://127.0.0.1:7433", true),
            ("https://hangar.example.com/team/", true),
            ("http://[::1]:7433", true),
            ("127.0.0.1:7433", false),
            ("ftp://example.com", false),
            ("http://hgr_secret@example.com", false),
            ("http://example.com/?token=x", false),
            ("", false),
        ] {
            assert_eq!(parse_url(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn pages_are_resolved_against_the_servers_address() {
        let client = Client::new("http://127.0.0.1:7433/", Token::new("hgr_x\n")).unwrap();
        assert_eq!(client.page("/s/abc"), "http://127.0.0.1:7433/s/abc");
        assert_eq!(client.page("https://github.com/a/b/pull/1"), "https://github.com/a/b/pull/1");
        assert!(client.is_local());
        assert!(!format!("{client:?}").contains("hgr_x"));
    }
}
