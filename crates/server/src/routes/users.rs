//! Who may come in.

use axum::{Json, extract::State};
use hangar_protocol::{
    RefusalCode, UserId,
    api::{Me, NewUser, Role, SignInLink},
};

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// Everybody who may come in, by login.
#[utoipa::path(get, path = "/api/v1/users", tag = "people", responses((status = 200, body = Vec<Me>)))]
pub(crate) async fn list_users(State(app): State<App>) -> Answer<Json<Vec<Me>>> {
    Ok(Json(app.people.users().await?.iter().map(|account| account.me()).collect()))
}

/// Lets somebody in. The answer is their first sign-in link. Owners only.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "people", request_body = NewUser,
    responses((status = 201, body = SignInLink))
)]
pub(crate) async fn add_user(
    State(app): State<App>,
    asking: Asking,
    Sent(new): Sent<NewUser>,
) -> Answer<(axum::http::StatusCode, Json<SignInLink>)> {
    asking.account.must_be_owner("let somebody in")?;
    let account = app.people.add_user(new).await?;
    tracing::info!(by = %asking.account.person.user, user = %account.person.user, "a user was added");
    let link = app.sign_in_link(&account.person.user).await?;
    Ok((axum::http::StatusCode::CREATED, Json(link)))
}

/// A new one-time sign-in link: for oneself, for members by owners. An owner's link is made by that owner alone.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/sign-in-link", tag = "people", params(("user" = UserId, Path, description = "The login.")),
    responses((status = 201, body = SignInLink))
)]
pub(crate) async fn new_sign_in_link(
    State(app): State<App>,
    asking: Asking,
    Named(user): Named<UserId>,
) -> Answer<(axum::http::StatusCode, Json<SignInLink>)> {
    let own = asking.account.person.user.as_str().eq_ignore_ascii_case(user.as_str());
    if !own {
        asking.account.must_be_owner("make a sign-in link for somebody else")?;
        if app.people.user(&user).await?.role == Role::Owner {
            return Err(Refused::new(
                RefusalCode::Forbidden,
                format!("{user} is an owner too."),
                "Owners make their own links; on the server's machine `hangar up --link` prints one.",
            ));
        }
    }
    let link = app.sign_in_link(&user).await?;
    Ok((axum::http::StatusCode::CREATED, Json(link)))
}
