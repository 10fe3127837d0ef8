//! The models a session can use.

use axum::{Json, extract::State};
use hangar_protocol::api::ModelInfo;

use crate::app::App;

/// The models; one of them is the default. A scripted model says that it is one.
#[utoipa::path(get, path = "/api/v1/models", tag = "sessions", responses((status = 200, body = Vec<ModelInfo>)))]
pub(crate) async fn list_models(State(app): State<App>) -> Json<Vec<ModelInfo>> {
    Json(app.models.list())
}
