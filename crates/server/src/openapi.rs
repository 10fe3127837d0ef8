//! The API described in OpenAPI 3.1. Paths, bodies and answers come from the handlers; what every route has in common
//! (who may ask, and how it refuses) is added here, so that no handler can forget it.

use axum::{
    Extension,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hangar_protocol::{EventKind, Frame, api::ErrorBody, frame::Ask};
use utoipa::{
    ToSchema,
    openapi::{
        Components, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
        SecurityRequirement,
        path::{Operation, PathItem},
        schema::Schema,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// The schema every refusal has.
const REFUSAL: &str = "ErrorBody";

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object))
)]
pub(crate) async fn description(Extension(Written(described)): Extension<Written>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], described).into_response()
}

/// The document as it is sent. As a tree it would take ten times the memory.
#[derive(Clone, Debug)]
pub(crate) struct Written(Bytes);

impl Written {
    /// The document of these routes, finished.
    pub(crate) fn of(described: OpenApi) -> Self {
        // It has text as its keys, and nothing that cannot be written.
        Self(serde_json::to_vec(&finish(described)).unwrap_or_default().into())
    }
}

/// The document without its routes.
pub(crate) fn blank() -> OpenApi {
    let info = InfoBuilder::new()
        .title("hangar")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("hangar's own API: everything its clients can do. docs/api.md introduces it."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let mut components = Components::new();
    let token =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A personal access token: `hgr_…`."));
    components.add_security_scheme("token", SecurityScheme::Http(token.build()));
    let cookie = ApiKeyValue::with_description(
        crate::gate::COOKIE,
        "A signed-in browser. Changes need the header `X-Hangar: 1` too.",
    );
    components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds what all routes have in common.
pub(crate) fn finish(mut described: OpenApi) -> OpenApi {
    let components = described.components.get_or_insert_default();
    describe::<ErrorBody>(components);
    describe::<Frame>(components);
    describe::<Ask>(components);
    describe::<EventKind>(components);
    for (path, item) in &mut described.paths.paths {
        for operation in operations(item) {
            add_common(path, operation);
        }
    }
    described
}

fn describe<T: ToSchema>(components: &mut Components) {
    let mut schemas: Vec<(String, RefOr<Schema>)> = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    all.into_iter().flatten()
}

/// Who may ask, and how it is refused.
fn add_common(path: &str, operation: &mut Operation) {
    let open = operation.security.is_some();
    if !open {
        let none: [&str; 0] = [];
        operation.security =
            Some(vec![SecurityRequirement::new("token", none), SecurityRequirement::new("cookie", none)]);
    }
    let parameters = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
    let body = operation.request_body.is_some();
    let signs_in = path.ends_with("/sign-in");
    let refusals = [
        (true, "400", "The request is not of the right form."),
        (!open || signs_in, "401", "Nobody is signed in, or the token, cookie or code is not valid."),
        (
            true,
            "403",
            "Signed in but not allowed, not from hangar's own page, or under a name that is not the server's.",
        ),
        (!open, "404", "There is no such thing."),
        (!open && (body || parameters), "409", "It does not fit what is true now."),
        (body, "413", "The body is larger than the limit."),
        (!open || signs_in, "429", "Too much at once, or a quota is full."),
        (true, "500", "hangar failed; the server's log has the cause."),
        (true, "503", "The machine cannot do it now, or it took too long."),
    ];
    for (_, status, description) in refusals.into_iter().filter(|(may_happen, ..)| *may_happen) {
        let schema = Ref::from_schema_name(REFUSAL);
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new().description(description).content("application/json", content).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}
