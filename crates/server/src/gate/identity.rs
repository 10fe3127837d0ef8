//! Who asks: a personal access token, or the cookie of a signed-in browser.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hangar_protocol::{Command, Refusal, RefusalCode, command::Commanded};

use crate::{answer::Refused, app::App, config::Secret, people::Account};

/// The cookie of a signed-in browser.
pub(crate) const COOKIE: &str = "hangar_session";
/// A browser's page must set this header to change anything; other sites' pages cannot set it.
const CSRF_HEADER: &str = "x-hangar";

/// What somebody showed at the door.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// A personal access token.
    Token(Secret<String>),
    /// A browser's cookie.
    Cookie(Secret<String>),
}

impl Credential {
    /// A token weighs more than a cookie: who sends both means the token.
    fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            return scheme.eq_ignore_ascii_case("bearer").then(|| Self::Token(Secret::new(token.trim().to_owned())));
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut ours = pairs.filter(|(name, _)| *name == COOKIE);
        ours.next().map(|(_, value)| Self::Cookie(Secret::new(value.to_owned())))
    }

    /// Whose it is, now: a long stream asks again and again.
    pub(crate) async fn holder(&self, app: &App) -> Result<Option<Account>, Refusal> {
        match self {
            Self::Token(token) => app.people.of_token(token.reveal()).await,
            Self::Cookie(cookie) => app.people.of_cookie(cookie.reveal()).await,
        }
    }
}

/// Who asks, for handlers behind [`known_person`].
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    /// Who.
    pub(crate) account: Arc<Account>,
    /// How they showed it.
    pub(crate) credential: Credential,
}

impl Asking {
    /// A command in this person's name.
    pub(crate) fn wants(&self, command: Command) -> Commanded {
        Commanded { by: self.account.person.clone(), command }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| stranger().into())
    }
}

/// Refuses strangers, and changes that a browser was tricked into.
pub(crate) async fn known_person(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match enter(&app, request.method(), request.headers()).await {
        Ok(asking) => {
            let user = asking.account.person.user.clone();
            request.extensions_mut().insert(asking);
            let mut response = next.run(request).await;
            // Read by the log of requests.
            response.extensions_mut().insert(user);
            response
        }
        Err(refusal) => Refused(refusal).into_response(),
    }
}

async fn enter(app: &App, method: &Method, headers: &HeaderMap) -> Result<Asking, Refusal> {
    let credential = Credential::of(headers).ok_or_else(stranger)?;
    let account = credential.holder(app).await?.ok_or_else(stranger)?;
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && let Credential::Cookie(_) = credential {
        let vouched = headers.get(CSRF_HEADER).is_some_and(|value| value == "1");
        if !vouched || !app.known_hosts.same_origin(headers) {
            return Err(Refusal::new(
                RefusalCode::Forbidden,
                "This change did not come from hangar's own page.",
                "Send the header `X-Hangar: 1` from a page of this server, or use a personal access token.",
            ));
        }
    }
    Ok(Asking { account: Arc::new(account), credential })
}

fn stranger() -> Refusal {
    Refusal::new(
        RefusalCode::Unauthenticated,
        "Nobody is signed in, or the token is not valid.",
        "Open a sign-in link, or send `Authorization: Bearer hgr_…`.",
    )
}
