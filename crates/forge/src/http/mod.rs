//! The two public faces of the forge, for everybody with a token: git's smart HTTP protocol at `/{owner}/{repo}.git`, and a
//! subset of GitHub's REST API under `/api/v3`, where GitHub Enterprise Server has it.

mod git;
mod who;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::door::Doorkeeper;
use crate::local::LocalForge;

/// What the faces need.
#[derive(Clone)]
pub struct Faces {
    /// The forge.
    pub forge: LocalForge,
    /// Who knows the users.
    pub door: Arc<dyn Doorkeeper>,
    /// The server's address as clients see it, e.g. `https://hangar.example.com`, without a slash at its end. Links in answers begin
    /// with it.
    pub base_url: String,
}

impl std::fmt::Debug for Faces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faces").field("forge", &self.forge).field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// Both faces, to be merged into the server's own router at its root.
pub fn router(faces: Faces) -> Router {
    git_router(faces)
}

fn git_router(faces: Faces) -> Router {
    Router::new()
        .route("/{owner}/{repo}/info/refs", get(git::advertise))
        .route("/{owner}/{repo}/git-upload-pack", post(git::upload_pack))
        .route("/{owner}/{repo}/git-receive-pack", post(git::receive_pack))
        // Packs are limited by git itself (receive.maxInputSize); everything streams.
        .layer(DefaultBodyLimit::disable())
        .with_state(faces)
}
