//! Begin, look at, rename.

use axum::{Json, extract::State, http::StatusCode};
use hangar_forge::BranchName;
use hangar_protocol::{
    Command, Refusal, RefusalCode, SessionId, SessionState,
    api::{NewPrompt, NewSession, RepoTarget, SessionPatch, SessionSummary},
    limits,
};
use hangar_session::{BRANCH_PREFIX, first_words};
use rand::seq::IndexedRandom as _;

use super::repos::forge_path;
use crate::{
    agents::{check_model, known_agent},
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
    saved_prompts,
};

/// Letters of a session's id. Without those that are easily misread.
const ID_LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";
/// Length of a session's id: about 59 random bits.
const ID_CHARS: usize = 12;

/// Begins a session, most often with its first prompt. When it is answered, the prompt is on disk.
#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "sessions", request_body = NewSession,
    responses((status = 201, body = SessionSummary))
)]
pub(crate) async fn begin_session(
    State(app): State<App>,
    asking: Asking,
    Sent(new): Sent<NewSession>,
) -> Answer<(StatusCode, Json<SessionSummary>)> {
    let target = resolve(&app, &new).await?;
    let prompt = match new.prompt {
        Some(NewPrompt { request_id, text }) => {
            let text = saved_prompts::in_full(&app.forge, &target.repo, &target.base_commit, text).await?;
            Some(NewPrompt { request_id, text })
        }
        None => None,
    };
    let state = app.sessions.create(target, asking.account.person.clone(), prompt).await?;
    Ok((StatusCode::CREATED, Json(SessionSummary::of(&state))))
}

/// What is true of a session now: the fold of its log.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 200, body = SessionState))
)]
pub(crate) async fn session_state(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<SessionState>> {
    app.seen(&asking, &id).await?;
    Ok(Json(app.sessions.state(&id).await?))
}

/// Gives a session another title.
#[utoipa::path(
    patch, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = SessionId, Path)), request_body = SessionPatch,
    responses((status = 200, body = SessionSummary))
)]
pub(crate) async fn rename_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(SessionPatch { title }): Sent<SessionPatch>,
) -> Answer<Json<SessionSummary>> {
    app.sessions.command(&id, asking.wants(Command::Rename { title })).await?;
    Ok(Json(SessionSummary::of(&app.sessions.state(&id).await?)))
}

/// Looks up what the wish names: the repository, where its branch stands, the model.
async fn resolve(app: &App, new: &NewSession) -> Answer<RepoTarget> {
    let path = forge_path(&new.repo)?;
    let repo = app.forge.repo(&path).await?;
    let base: BranchName = match &new.base_branch {
        Some(branch) => branch.parse().map_err(|error| {
            Refusal::new(RefusalCode::BadRequest, format!("{error}."), "Name a branch of the repository.")
        })?,
        None => repo.default_branch.clone(),
    };
    let commit = app.forge.branch_tip(&repo.path, &base).await?;
    let harness = new.agent.as_ref().map(|id| known_agent(&app.harnesses, id)).transpose()?;
    let usual =
        harness.as_ref().and_then(|harness| harness.model.as_deref()).unwrap_or_else(|| app.models.default_id());
    let model = match &new.model {
        Some(id) => known_model(app, id)?,
        None => usual.to_owned(),
    };
    if let Some(harness) = &harness {
        check_model(&app.models, harness, &model)?;
    }
    let session = new_id()?;
    let title = new.prompt.as_ref().and_then(|prompt| first_words(&prompt.text));
    Ok(RepoTarget {
        branch: branch_of(&session),
        session,
        repo: repo.path.to_string().parse()?,
        base_branch: base.to_string(),
        base_commit: commit.to_string(),
        model,
        agent: harness.map(|harness| harness.id),
        title: title.unwrap_or_else(|| format!("Work on {}", repo.path)),
        visibility: new.visibility.unwrap_or(app.config.sessions.visibility),
    })
}

/// The id of a model that this server has.
pub(super) fn known_model(app: &App, id: &str) -> Result<String, Refusal> {
    app.models.find(id).map(|model| model.id.clone()).ok_or_else(|| no_model(app, id))
}

/// The branch that a session works on.
pub(super) fn branch_of(session: &SessionId) -> String {
    format!("{BRANCH_PREFIX}{session}")
}

fn no_model(app: &App, id: &str) -> Refusal {
    let message = format!("There is no model {:?}.", limits::clip(id, 80));
    let known: Vec<String> = app.models.list().into_iter().map(|model| model.id).collect();
    Refusal::new(RefusalCode::NotFound, message, format!("There are: {}.", known.join(", ")))
}

pub(super) fn new_id() -> Result<SessionId, Refusal> {
    let mut random = rand::rng();
    let letters = (0..ID_CHARS).filter_map(|_| ID_LETTERS.choose(&mut random).copied());
    letters.map(char::from).collect::<String>().parse()
}
