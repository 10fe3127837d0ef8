//! The web app, embedded in the binary. Where it was not built, its place is held by a page that says how to build it.

use std::fmt::Write as _;

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use hangar_protocol::{Refusal, RefusalCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::answer::with_status;

/// What `npm run build` in `clients/web` made.
#[derive(RustEmbed)]
#[folder = "../../clients/web/dist"]
#[allow_missing = true]
struct WebApp;

/// The app's one page; every deep link shows it.
const INDEX: &str = "index.html";
/// Files below it have a hash of their content in their name.
const HASHED: &str = "assets/";
/// What the app's pages may do: their own scripts, styles, pictures and connections, and nothing of anybody else.
const MAY_DO: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; \
     manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// A hashed file never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Anything else is asked for again, and answered with 304 while it is the same.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Shown where the app was not built.
const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>hangar</title>
<h1>hangar is running, but its web app was not built</h1>
<p>This binary was compiled without the web app. Build it and compile again:</p>
<pre>cd clients &amp;&amp; npm ci &amp;&amp; npm run build --workspace web
cargo build --release --package hangar</pre>
<p>The command line and the API work without it: <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>
</html>
";

/// Answers everything that is neither the API nor the forge.
pub(crate) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        let refusal = Refusal::new(RefusalCode::BadRequest, format!("This address does not answer {method}."), "");
        let mut response = with_status(StatusCode::METHOD_NOT_ALLOWED, refusal);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = WebApp::get(path) {
        return file_answer(path, &file, &headers);
    }
    // A missing file is missing; only addresses of pages are the app's to understand.
    if path.starts_with(HASHED) || path.rsplit('/').next().is_some_and(|last| last.contains('.')) {
        let refusal = Refusal::new(RefusalCode::NotFound, "There is no such file.", "");
        return with_status(StatusCode::NOT_FOUND, refusal);
    }
    match WebApp::get(INDEX) {
        Some(index) => file_answer(INDEX, &index, &headers),
        None => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            let kind = [(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, MAY_DO)];
            (kind, NOT_BUILT).into_response()
        }
    }
}

fn file_answer(path: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag = entity_tag(file);
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let fresh = known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = match fresh {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => file.data.clone().into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, if path.starts_with(HASHED) { FOR_EVER } else { ASK_AGAIN });
    headers.insert(header::CONTENT_SECURITY_POLICY, MAY_DO);
    let kind = content_type(path);
    for (name, text) in [(header::ETAG, tag), (header::CONTENT_TYPE, kind)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    response
}

fn content_type(path: &str) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    match (kind.type_(), kind.subtype().as_str()) {
        (mime_guess::mime::TEXT, _) | (_, "json" | "javascript" | "manifest+json") => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    }
}

fn entity_tag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("\"");
    for byte in file.metadata.sha256_hash().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
