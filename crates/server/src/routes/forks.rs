//! A session becomes two, goes back, or is tried several times at once.

use axum::{Json, extract::State, http::StatusCode};
use futures::future::join_all;
use hangar_protocol::{
    Command, Refusal, RefusalCode, SessionId, SessionState,
    api::{Attempt, DiffStat, NewAttempts, NewFork, NewPrompt, Rewind, RewindRequest, SessionSummary},
    command::{AfterStop, Reach},
    event::ForkPurpose,
    limits::{ATTEMPTS_MAX, ATTEMPTS_MIN},
    state::{ForkState, SessionStatus},
};
use hangar_session::{ForkWish, random_request_id};

use super::sessions::{branch_of, known_model, new_id};
use crate::{
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// Begins a session of one's own with everything that this one had after a turn. Nothing of this one changes.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/forks", tag = "sessions", params(("id" = SessionId, Path)), request_body = NewFork,
    responses((status = 201, body = SessionSummary))
)]
pub(crate) async fn fork_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(NewFork { at_turn, prompt, model, title }): Sent<NewFork>,
) -> Answer<(StatusCode, Json<SessionSummary>)> {
    // Whoever may read all of it may have a copy.
    app.seen(&asking, &id).await?;
    let model = model.map(|model| known_model(&app, &model)).transpose()?;
    let session = new_id()?;
    let wish = ForkWish { branch: branch_of(&session), session, at_turn, prompt, model, title };
    let state = app.sessions.fork(&id, wish, asking.account.person.clone()).await?;
    Ok((StatusCode::CREATED, Json(SessionSummary::of(&state))))
}

/// Takes a session's files and conversation back to where they were after a turn. The session's owner may, or whoever wrote all prompts since.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/rewind", tag = "sessions", params(("id" = SessionId, Path)), request_body = RewindRequest,
    responses((status = 200, body = SessionState))
)]
pub(crate) async fn rewind_session(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(RewindRequest { to_turn, request_id }): Sent<RewindRequest>,
) -> Answer<Json<SessionState>> {
    app.seen(&asking, &id).await?;
    let request_id = request_id.unwrap_or_else(random_request_id);
    app.sessions.rewind(&id, asking.account.person.clone(), Rewind { to_turn, request_id }).await?;
    Ok(Json(app.sessions.state(&id).await?))
}

/// Gives the same wish to several forks at once.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/attempts", tag = "sessions", params(("id" = SessionId, Path)), request_body = NewAttempts,
    responses((status = 201, body = Vec<Attempt>))
)]
pub(crate) async fn begin_attempts(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
    Sent(NewAttempts { prompt, count, models }): Sent<NewAttempts>,
) -> Answer<(StatusCode, Json<Vec<Attempt>>)> {
    app.seen(&asking, &id).await?;
    let wishes = wishes(&app, &prompt, count, &models)?;
    app.sessions.attempt(&id, wishes, &asking.account.person).await?;
    Ok((StatusCode::CREATED, Json(attempts(&app, &asking, &id).await?)))
}

/// The attempts at this session's wishes side by side, the newest round first.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}/attempts", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 200, body = Vec<Attempt>))
)]
pub(crate) async fn list_attempts(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<Json<Vec<Attempt>>> {
    app.seen(&asking, &id).await?;
    Ok(Json(attempts(&app, &asking, &id).await?))
}

/// Chooses an attempt: it goes on in the session that it is, and those of its round that still work are stopped.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/attempts/{attempt}/keep", tag = "sessions",
    params(("id" = SessionId, Path), ("attempt" = SessionId, Path, description = "The session that the attempt is.")),
    responses((status = 200, body = Vec<Attempt>))
)]
pub(crate) async fn keep_attempt(
    State(app): State<App>,
    asking: Asking,
    Named((id, attempt)): Named<(SessionId, SessionId)>,
) -> Answer<Json<Vec<Attempt>>> {
    app.sessions.command(&id, asking.wants(Command::KeepAttempt { session: attempt.clone() })).await?;
    let state = app.sessions.state(&id).await?;
    let round = rounds(&state).find(|(_, fork)| fork.session == attempt).map(|(round, _)| round);
    let stop = Command::Stop { turn: None, then: AfterStop::Drain, reach: Reach::WithChildren };
    for (_, other) in rounds(&state).filter(|(of, fork)| Some(*of) == round && fork.session != attempt) {
        match app.sessions.command(&other.session, asking.wants(stop.clone())).await {
            Ok(_) => {}
            // It rests already, or is gone: there is nothing to stop.
            Err(refusal) if matches!(refusal.code, RefusalCode::Conflict | RefusalCode::NotFound) => {}
            Err(refusal) => tracing::warn!(session = %other.session, %refusal, "an attempt was not stopped"),
        }
    }
    Ok(Json(attempts(&app, &asking, &id).await?))
}

fn wishes(app: &App, prompt: &NewPrompt, count: u32, models: &[String]) -> Answer<Vec<ForkWish>> {
    if !(ATTEMPTS_MIN..=ATTEMPTS_MAX).contains(&count) {
        let words = format!("{count} attempts are not possible.");
        return Err(
            Refusal::new(RefusalCode::BadRequest, words, format!("Ask for {ATTEMPTS_MIN} to {ATTEMPTS_MAX}.")).into()
        );
    }
    let models = models.iter().map(|model| known_model(app, model)).collect::<Result<Vec<_>, _>>()?;
    let wish = |number: u32| -> Answer<ForkWish> {
        let session = new_id()?;
        let model = models.get(number as usize % models.len().max(1)).cloned();
        Ok(ForkWish {
            branch: branch_of(&session),
            session,
            at_turn: None,
            prompt: Some(prompt.clone()),
            model,
            title: None,
        })
    };
    (0..count).map(wish).collect()
}

/// The forks that are attempts, with their round.
fn rounds(state: &SessionState) -> impl Iterator<Item = (u32, &ForkState)> {
    state.forks.iter().filter_map(|fork| match fork.purpose {
        ForkPurpose::Attempt { round } => Some((round, fork)),
        ForkPurpose::Fork => None,
    })
}

async fn attempts(app: &App, asking: &Asking, id: &SessionId) -> Answer<Vec<Attempt>> {
    let state = app.sessions.state(id).await?;
    let all = join_all(rounds(&state).map(|(round, fork)| attempt(app, asking, round, fork))).await;
    let mut attempts: Vec<Attempt> = all.into_iter().flatten().collect();
    // Stable: within a round as they were begun.
    attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.round));
    Ok(attempts)
}

/// `None` for one that is not there any more, or that this person may not see.
async fn attempt(app: &App, asking: &Asking, round: u32, fork: &ForkState) -> Option<Attempt> {
    app.seen(asking, &fork.session).await.ok()?;
    let state = app.sessions.state(&fork.session).await.ok()?;
    let diff = match state.status {
        SessionStatus::Running => None,
        SessionStatus::Idle | SessionStatus::Paused | SessionStatus::Failed | SessionStatus::Merged => {
            diff_stat(app, &fork.session).await
        }
    };
    let usage = state.usage;
    Some(Attempt {
        session: SessionSummary::of(&state),
        round,
        kept: fork.kept,
        model: state.model.clone(),
        diff,
        cost_micro_usd: state.cost_micro_usd,
        tokens: usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        duration_ms: app.sessions.worked_ms(&state).await.ok()?,
    })
}

async fn diff_stat(app: &App, id: &SessionId) -> Option<DiffStat> {
    let diff = app.sessions.diff(id).await.ok()?;
    let shown = u32::try_from(diff.files.len()).unwrap_or(u32::MAX);
    Some(DiffStat {
        files: shown.saturating_add(diff.omitted),
        additions: diff.files.iter().map(|file| file.additions).sum(),
        deletions: diff.files.iter().map(|file| file.deletions).sum(),
    })
}
