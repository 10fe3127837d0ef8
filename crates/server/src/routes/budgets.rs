//! What sessions and people may use up, and what they have.

use axum::{Json, extract::State, http::StatusCode};
use hangar_protocol::{
    Budget, Command, SessionId,
    api::{DayBudgets, Role, SessionBudget},
};

use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// What a session used up and may use up.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/budget", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 200, body = SessionBudget))
)]
pub(crate) async fn session_budget(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<SessionBudget>> {
    app.seen(&asking, &id).await?;
    let state = app.sessions.state(&id).await?;
    Ok(Json(SessionBudget {
        budget: state.budget.unwrap_or(app.sessions.budgets().session),
        spent: state.spent_with_children(),
        paused: state.open_turn().and_then(|turn| turn.paused.clone()),
    }))
}

/// Gives a session another budget. A turn that waited for it goes on. Owners of the server may.
#[utoipa::path(
    put, path = "/api/v1/sessions/{id}/budget", tag = "sessions", params(("id" = SessionId, Path)), request_body = Budget,
    responses((status = 204, description = "It holds from now on."))
)]
pub(crate) async fn set_session_budget(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(budget): Sent<Budget>,
) -> Answer<StatusCode> {
    asking.account.must_be_owner("change a session's budget")?;
    app.sessions.command(&id, asking.wants(Command::SetBudget(budget))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a turn go on that waits for its budget. It waits again if that is still used up.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/continue", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 204, description = "It goes on."))
)]
pub(crate) async fn continue_turn(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<StatusCode> {
    app.sessions.command(&id, asking.wants(Command::ContinueTurn)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was used up today, UTC: by all people together, and by each. Members see themselves alone.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "sessions", responses((status = 200, body = DayBudgets)))]
pub(crate) async fn day_budgets(State(app): State<App>, asking: Asking) -> Answer<Json<DayBudgets>> {
    let mut today = app.sessions.day_budgets();
    match asking.account.role {
        Role::Owner => {}
        Role::Member => today.by.retain(|user, _| *user == asking.account.person.user),
    }
    Ok(Json(today))
}
