//! Personal access tokens.

use axum::{Json, extract::State, http::StatusCode};
use hangar_protocol::api::{CreatedToken, NewToken, TokenInfo};

use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// One's own tokens, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "people", responses((status = 200, body = Vec<TokenInfo>)))]
pub(crate) async fn list_tokens(State(app): State<App>, asking: Asking) -> Answer<Json<Vec<TokenInfo>>> {
    Ok(Json(app.people.tokens(asking.account.id).await?))
}

/// A new token. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "people", request_body = NewToken,
    responses((status = 201, body = CreatedToken))
)]
pub(crate) async fn create_token(
    State(app): State<App>,
    asking: Asking,
    Sent(new): Sent<NewToken>,
) -> Answer<(StatusCode, Json<CreatedToken>)> {
    let minted = app.people.new_token(asking.account.id, new.label).await?;
    let created = CreatedToken { info: minted.info, secret: minted.secret.reveal().clone() };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Takes one of one's own tokens out of use, at once.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "people", params(("id" = u32, Path, description = "The token's number.")),
    responses((status = 204, description = "It works no longer."))
)]
pub(crate) async fn delete_token(State(app): State<App>, asking: Asking, Named(id): Named<u32>) -> Answer<StatusCode> {
    app.people.drop_token(asking.account.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
