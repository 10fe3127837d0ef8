//! The external agents that can work in a session.

use axum::{Json, extract::State};
use hangar_protocol::api::AgentInfo;

use crate::app::App;

/// The external agents of this server; hangar's own is always there and has no entry.
#[utoipa::path(get, path = "/api/v1/agents", tag = "sessions", responses((status = 200, body = Vec<AgentInfo>)))]
pub(crate) async fn list_agents(State(app): State<App>) -> Json<Vec<AgentInfo>> {
    Json(app.harnesses.list())
}
