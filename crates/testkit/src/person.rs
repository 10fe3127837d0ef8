//! Somebody who asks hangar over HTTP with a personal access token.

use std::{fmt, time::Duration};

use hangar_client::{Client, Token};
use hangar_protocol::{
    Event, Refusal, RequestId, Seq, SessionId,
    api::{ErrorBody, NewPrompt, NewSession, PromptAccepted, SessionSummary},
    limits::EVENT_PAGE_MAX,
};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::watch::within;

/// How long an answer may take. Opening and merging pull requests runs git.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Somebody who asks hangar over HTTP.
#[derive(Clone)]
pub struct Person {
    client: Client,
    token: String,
    http: reqwest::Client,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({})", self.client.url())
    }
}

/// A plain HTTP client without proxies.
pub(crate) fn http() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT);
    builder.redirect(reqwest::redirect::Policy::none()).build().expect("a client can be made")
}

impl Person {
    /// Whoever holds this token.
    #[must_use]
    pub fn with_token(url: &str, token: &str) -> Self {
        let client = Client::new(url, Token::new(token)).expect("the server's address is one");
        Self { client, token: token.to_owned(), http: http() }
    }

    /// Comes in by a one-time sign-in link, as a browser does, and makes a token for what follows.
    pub async fn by_link(link: &str) -> Self {
        let (url, code) = link.split_once("/sign-in#").unwrap_or_else(|| panic!("{link} is no sign-in link"));
        let stranger = Client::stranger(url).expect("the server's address is one");
        let browser = within("signing in", stranger.sign_in(code)).await.expect("the link works");
        let token = within("a token", browser.create_token("tests")).await.expect("a token can be made");
        Self::with_token(url, &token.secret)
    }

    /// The typed client in this person's name.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The secret.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request in this person's name.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.client.url())).bearer_auth(&self.token)
    }

    /// A request by nobody.
    pub fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.client.url()))
    }

    /// Begins a session on `acme/tiny`, or on what `repo` names.
    pub async fn begin(&self, repo: &str, wish: &str) -> SessionSummary {
        let prompt = Some(NewPrompt { request_id: None, text: wish.to_owned() });
        let new = NewSession {
            repo: repo.parse().expect("a repository"),
            base_branch: None,
            model: None,
            agent: None,
            prompt,
            visibility: None,
        };
        within("the session", self.client.create_session(&new)).await.expect("the session begins")
    }

    /// Sends a prompt once, with this request id. The outer error is the connection's: whether the prompt was accepted is not known.
    ///
    /// # Errors
    /// The connection broke before the answer was read.
    pub async fn prompt(
        &self,
        session: &SessionId,
        request_id: &str,
        text: &str,
    ) -> Result<Result<PromptAccepted, Refusal>, reqwest::Error> {
        let request_id: Option<RequestId> = Some(request_id.parse().expect("a request id"));
        let prompt = NewPrompt { request_id, text: text.to_owned() };
        let request = self.request(Method::POST, &format!("/api/v1/sessions/{session}/prompts")).json(&prompt);
        let response = request.send().await?;
        let accepted = response.status() == 202;
        let body = response.bytes().await?;
        Ok(if accepted { Ok(parsed(&body)) } else { Err(parsed::<ErrorBody>(&body).error) })
    }

    /// The whole log of a session.
    pub async fn log(&self, session: &SessionId) -> Vec<Event> {
        let mut log: Vec<Event> = Vec::new();
        loop {
            let after = log.last().map_or(Seq::START, |event| event.seq);
            let page = within("a page of events", self.client.events(session, after, EVENT_PAGE_MAX)).await;
            let page = page.expect("the log can be read");
            log.extend(page.events);
            if log.last().map_or(Seq::START, |event| event.seq) >= page.head {
                return log;
            }
        }
    }
}

/// The refusal that an answer is, under its status.
///
/// # Panics
/// When it is none.
pub async fn refusal(response: Response) -> Refusal {
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("an answer has a body");
    let refusal = parsed::<ErrorBody>(&body).error;
    assert_eq!(status, refusal.code.http_status(), "{refusal}");
    refusal
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(body)))
}
