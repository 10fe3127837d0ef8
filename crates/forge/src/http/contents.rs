//! Files and directories.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contents::{Content, EntryKind};
use crate::error::ForgeError;
use crate::http::Faces;
use crate::http::answer::Refusal;
use crate::http::asked::Entered;
use crate::http::commits::{Media, media, text};
use crate::http::shapes::merge;

/// GitHub breaks base64 after so many characters.
const BASE64_LINE_CHARS: usize = 60;

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    r#ref: Option<String>,
}

/// `GET …/contents/`
pub(super) async fn top(
    State(faces): State<Faces>,
    entered: Entered,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    read(&faces, &entered, "", wish, &headers).await
}

/// `GET …/contents/{path}?ref=…`
pub(super) async fn get(
    State(faces): State<Faces>,
    Path((_, _, path)): Path<(String, String, String)>,
    entered: Entered,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    read(&faces, &entered, &path, wish, &headers).await
}

async fn read(
    faces: &Faces,
    entered: &Entered,
    path: &str,
    wish: Wish,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let repo = &entered.repo.path;
    let at = wish.r#ref.unwrap_or_else(|| entered.repo.default_branch.to_string());
    let commit = faces.forge.resolve(repo, &at).await.map_err(|error| match error {
        ForgeError::NoCommit { .. } => Refusal::not_found(),
        other => other.into(),
    })?;
    let links = entered.links(faces);
    match faces.forge.contents(repo, &commit, path).await? {
        Content::Dir(entries) => {
            let list: Value = entries.iter().map(|entry| links.entry(repo, &at, entry)).collect();
            Ok(Json(list).into_response())
        }
        Content::File(_, bytes) if media(headers) == Media::Raw => {
            Ok(text("application/vnd.github.raw; charset=utf-8", bytes))
        }
        Content::File(entry, bytes) => {
            let mut body = links.entry(repo, &at, &entry);
            match entry.kind {
                EntryKind::File => merge(&mut body, json!({"encoding": "base64", "content": broken_base64(&bytes)})),
                EntryKind::Symlink => merge(&mut body, json!({"target": String::from_utf8_lossy(&bytes)})),
                EntryKind::Submodule => merge(&mut body, json!({"submodule_git_url": null})),
                EntryKind::Dir => {}
            }
            Ok(Json(body).into_response())
        }
    }
}

fn broken_base64(bytes: &[u8]) -> String {
    let whole = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut broken = String::with_capacity(whole.len() + whole.len() / BASE64_LINE_CHARS + 1);
    for line in whole.as_bytes().chunks(BASE64_LINE_CHARS) {
        broken.extend(line.iter().copied().map(char::from));
        broken.push('\n');
    }
    broken
}
