//! Who asks.

use axum::Json;
use hangar_protocol::api::Me;

use crate::gate::Asking;

/// The person whose token or cookie this is.
#[utoipa::path(get, path = "/api/v1/me", tag = "people", responses((status = 200, body = Me)))]
pub(crate) async fn who_am_i(asking: Asking) -> Json<Me> {
    Json(asking.account.me())
}
