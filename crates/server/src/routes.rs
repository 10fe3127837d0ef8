//! Every address the server answers, in one list. The method and path stand above each handler; the OpenAPI document is
//! made from the same list, so that neither can know a route which the other does not.

mod agents;
mod budgets;
mod diff;
mod events;
mod exchange;
mod forks;
mod health;
mod images;
mod invitations;
mod me;
mod members;
mod models;
mod network;
mod pool;
mod prompts;
mod pull_request;
mod pull_request_page;
mod queue;
mod repos;
mod sandbox;
mod session_life;
mod session_list;
mod sessions;
mod sign_in;
mod tokens;
mod typing;
mod users;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::any,
};
use hangar_protocol::{Refusal, RefusalCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{Refused, with_status},
    app::App,
    gate, mcp, openapi, stream, web,
};

/// Everybody may ask these.
fn open() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::blank())
        .routes(routes!(health::healthz)) //                     GET    /healthz
        .routes(routes!(sign_in::sign_in)) //                    POST   /api/v1/sign-in
        .routes(routes!(openapi::description)) //                GET    /api/v1/openapi.json
}

/// Signed-in people may ask these; each is answered within `http.request_timeout_s`.
fn quick() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(me::who_am_i)) //                        GET    /api/v1/me
        .routes(routes!(sign_in::sign_out)) //                   POST   /api/v1/sign-out
        .routes(routes!(users::list_users, users::add_user)) //  GET, POST /api/v1/users
        .routes(routes!(users::new_sign_in_link)) //             POST   /api/v1/users/{user}/sign-in-link
        .routes(routes!(tokens::list_tokens, tokens::create_token)) // GET, POST /api/v1/tokens
        .routes(routes!(tokens::delete_token)) //                DELETE /api/v1/tokens/{id}
        .routes(routes!(models::list_models)) //                 GET    /api/v1/models
        .routes(routes!(agents::list_agents)) //                 GET    /api/v1/agents
        .routes(routes!(session_list::list_sessions, sessions::begin_session)) // GET, POST /api/v1/sessions
        .routes(routes!(sessions::session_state, sessions::rename_session, session_life::delete_session)) // GET, PATCH, DELETE /api/v1/sessions/{id}
        .routes(routes!(session_life::undelete_session)) //      POST   /api/v1/sessions/{id}/undelete
        .routes(routes!(session_life::archive_session)) //       POST   /api/v1/sessions/{id}/archive
        .routes(routes!(session_life::unarchive_session)) //     POST   /api/v1/sessions/{id}/unarchive
        .routes(routes!(members::set_role, members::remove_member)) // PUT, DELETE /api/v1/sessions/{id}/members/{user}
        .routes(routes!(members::set_visibility)) //             PUT    /api/v1/sessions/{id}/visibility
        .routes(routes!(members::take_ownership)) //             POST   /api/v1/sessions/{id}/take
        .routes(routes!(invitations::list_invitations, invitations::invite)) // GET, POST /api/v1/sessions/{id}/invitations
        .routes(routes!(invitations::revoke_invitation)) //      DELETE /api/v1/sessions/{id}/invitations/{invitation}
        .routes(routes!(invitations::look_at_invitation)) //     POST   /api/v1/sessions/{id}/invitations/look
        .routes(routes!(invitations::join)) //                   POST   /api/v1/sessions/{id}/join
        .routes(routes!(events::session_events)) //              GET    /api/v1/sessions/{id}/events
        .routes(routes!(events::session_blob)) //                GET    /api/v1/sessions/{id}/blobs/{sha256}
        .routes(routes!(prompts::add_prompt)) //                 POST   /api/v1/sessions/{id}/prompts
        .routes(routes!(queue::edit_prompt, queue::cancel_prompt)) // PATCH, DELETE /api/v1/sessions/{id}/prompts/{prompt}
        .routes(routes!(queue::move_prompt)) //                  POST   /api/v1/sessions/{id}/prompts/{prompt}/move
        .routes(routes!(queue::steer_prompt)) //                 POST   /api/v1/sessions/{id}/prompts/{prompt}/steer
        .routes(routes!(prompts::stop_turn)) //                  POST   /api/v1/sessions/{id}/stop
        .routes(routes!(typing::note_typing)) //                 POST   /api/v1/sessions/{id}/typing
        .routes(routes!(queue::resume_queue)) //                 POST   /api/v1/sessions/{id}/resume
        .routes(routes!(forks::fork_session)) //                 POST   /api/v1/sessions/{id}/forks
        .routes(routes!(forks::rewind_session)) //               POST   /api/v1/sessions/{id}/rewind
        .routes(routes!(budgets::session_budget, budgets::set_session_budget)) // GET, PUT /api/v1/sessions/{id}/budget
        .routes(routes!(budgets::continue_turn)) //              POST   /api/v1/sessions/{id}/continue
        .routes(routes!(budgets::day_budgets)) //                GET    /api/v1/budgets
        .routes(routes!(sandbox::retry_sandbox)) //              POST   /api/v1/sessions/{id}/sandbox/retry
        .routes(routes!(network::allow_network)) //              POST   /api/v1/sessions/{id}/network/allow
        .routes(routes!(diff::session_diff)) //                  GET    /api/v1/sessions/{id}/diff
        .routes(routes!(images::list_images)) //                 GET    /api/v1/images
        .routes(routes!(images::list_builds, images::build_image)) // GET, POST /api/v1/images/builds
        .routes(routes!(images::build_log)) //                   GET    /api/v1/images/builds/{build}/log
        .routes(routes!(pool::show_pool)) //                     GET    /api/v1/pool
        .routes(routes!(pool::warm)) //                          POST   /api/v1/warm
        .routes(routes!(pull_request::review_pull_request)) //   POST   /api/v1/sessions/{id}/pull-request/reviews
}

/// Signed-in people may ask these; git works for them and has time limits of its own.
fn slow() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(repos::list_repos, repos::add_repo)) //  GET, POST /api/v1/repos
        .routes(routes!(repos::saved_prompts)) //                GET    /api/v1/repos/{owner}/{name}/prompts
        .routes(routes!(pull_request::open_pull_request, pull_request::show_pull_request)) // POST, GET /api/v1/sessions/{id}/pull-request
        .routes(routes!(images::cancel_build)) //                DELETE /api/v1/images/builds/{build}
        .routes(routes!(exchange::import_image)) //              POST   /api/v1/images
        .routes(routes!(exchange::export_image)) //              GET    /api/v1/images/{image}/export
        .routes(routes!(forks::list_attempts, forks::begin_attempts)) // GET, POST /api/v1/sessions/{id}/attempts
        .routes(routes!(forks::judge_attempts)) //               POST   /api/v1/sessions/{id}/attempts/judge
        .routes(routes!(forks::keep_attempt)) //                 POST   /api/v1/sessions/{id}/attempts/{attempt}/keep
        .routes(routes!(pull_request::merge_pull_request)) //    POST   /api/v1/sessions/{id}/pull-request/merge
}

/// Signed-in people may ask these; each ends when they leave.
fn streams() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(stream::follow_session)) //              GET    /api/v1/sessions/{id}/stream
        .routes(routes!(stream::follow_sessions)) //             GET    /api/v1/stream
}

/// All of it: the API, its `tools` for other agents, the forge's two faces, the web app.
pub(crate) fn router(app: &App, forge: Router, tools: Router) -> Router {
    let body_max = app.config.http.body_bytes_max as usize;
    let in_time = from_fn_with_state(app.clone(), gate::in_time);
    let one_of_many = from_fn_with_state(app.clone(), gate::one_of_many);
    let known_person = from_fn_with_state(app.clone(), gate::known_person);
    let answered_soon = quick().route_layer(in_time.clone()).merge(slow());
    let tools = tools.route_layer(from_fn(mcp::token_only)).route_layer(known_person.clone());
    let guarded = answered_soon.route_layer(one_of_many).merge(streams()).route_layer(known_person);
    let (api, described) = open().route_layer(in_time).merge(guarded).split_for_parts();
    api.layer(axum::Extension(openapi::Written::of(described)))
        .layer(DefaultBodyLimit::max(body_max))
        .with_state(app.clone())
        .route("/api", any(no_such_route))
        .route("/api/", any(no_such_route))
        .route("/api/{*rest}", any(no_such_route))
        .merge(tools)
        // git's addresses are /git/{owner}/{name}.git; the forge's own links leave the /git out, as GitHub's do.
        .nest("/git", forge.clone())
        .merge(forge)
        .fallback(web::page)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(app.clone(), gate::known_host))
        .layer(from_fn(gate::guard_answer))
        .layer(from_fn(gate::log_request))
}

/// The API's own description, for the test that asks every route as a stranger and for `docs/api.md`.
#[must_use]
pub fn api_description() -> utoipa::openapi::OpenApi {
    let all = open().merge(quick()).merge(slow()).merge(streams());
    openapi::finish(all.into_openapi())
}

async fn no_such_route(uri: Uri) -> Response {
    let shown = hangar_protocol::limits::clip(uri.path(), 200);
    Refused::new(
        RefusalCode::NotFound,
        format!("There is no {shown} here."),
        "/api/v1/openapi.json lists what there is.",
    )
    .into_response()
}

async fn no_such_method(method: Method) -> Response {
    let refusal = Refusal::new(
        RefusalCode::BadRequest,
        format!("This address does not answer {method}."),
        "The Allow header names what it answers.",
    );
    with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}
