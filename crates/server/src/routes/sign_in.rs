//! A browser signs in by a one-time link, and out.

use std::{net::SocketAddr, time::Instant};

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hangar_protocol::{RefusalCode, api::SignIn};

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::Sent,
    gate::{Asking, COOKIE, Credential},
};

/// Trades the part of a sign-in link behind `#` for a cookie. Works once.
#[utoipa::path(
    post, path = "/api/v1/sign-in", tag = "people", request_body = SignIn, security(()),
    responses((status = 204, description = "Signed in.", headers(("Set-Cookie" = String, description = "`hangar_session`: HttpOnly, SameSite=Strict."))))
)]
pub(crate) async fn sign_in(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Sent(SignIn { code }): Sent<SignIn>,
) -> Answer<Response> {
    app.sign_in_rate.attempt(from.ip(), Instant::now())?;
    if !app.known_hosts.same_origin(&headers) {
        return Err(Refused::new(
            RefusalCode::Forbidden,
            "Signing in works from hangar's own page only.",
            "Open the sign-in link in the browser.",
        ));
    }
    let signed_in = app.people.sign_in(code, app.config.people.cookie_days).await?;
    tracing::info!(user = %signed_in.account.person.user, "signed in");
    cookie(&app, signed_in.cookie.reveal(), signed_in.age_s)
}

/// Makes the cookie worthless. A personal access token has nothing to sign out of: delete it instead.
#[utoipa::path(
    post, path = "/api/v1/sign-out", tag = "people",
    responses((status = 204, description = "Signed out.", headers(("Set-Cookie" = String, description = "Removes `hangar_session`."))))
)]
pub(crate) async fn sign_out(State(app): State<App>, asking: Asking) -> Answer<Response> {
    if let Credential::Cookie(value) = &asking.credential {
        app.people.sign_out(value.reveal()).await?;
    }
    cookie(&app, "", 0)
}

/// 204 with the cookie. `Secure` where people come by https: on plain http a browser would not send it back.
fn cookie(app: &App, value: &str, age_s: u64) -> Answer<Response> {
    let secure = if app.config.http.public_url.as_ref().is_some_and(|url| url.is_secure()) { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}");
    let mut header_value = HeaderValue::from_str(&text)
        .map_err(|_| Refused::new(RefusalCode::Internal, "The server made a cookie that is none.", ""))?;
    header_value.set_sensitive(true);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, header_value)]).into_response())
}
