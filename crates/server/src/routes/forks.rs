//! A session becomes two, goes back, or is tried several times at once.

use axum::{Json, extract::State, http::StatusCode};
use futures::future::join_all;
use hangar_protocol::{
    Command, Refusal, RefusalCode, SessionId, SessionState,
    api::{Attempt, DiffStat, NewAttempts, NewFork, NewPrompt, PromptAccepted, Rewind, RewindRequest, SessionSummary},
    event::ForkPurpose,
    limits::{ATTEMPTS_MAX, ATTEMPTS_MIN},
    state::{ForkState, SessionStatus},
};
use hangar_session::{ForkWish, Reply, random_request_id};

use super::{
    prompts::strange,
    sessions::{branch_of, known_model, new_id},
};
use crate::{
    agents::check_model,
    answer::Answer,
    app::App,
    extract::{Named, Sent},
    gate::Asking,
};

/// What a session's agent is told when it is to judge attempts at its wish.
const JUDGE: &str = "Several attempts were made at the same wish, each in a fork of this session. Judge them: compare_attempts shows what each says and changed.\n\n\
    Look at what was wished for, then at each patch: does it do that, whole and without a mistake? What does it leave out, break or add that nobody asked for? \
    Is it tested, and is it as small and plain as it can be? Where you cannot tell by reading, apply a patch in the workspace and run the tests, and undo it \
    afterwards. What an attempt says of itself is no evidence.\n\n\
    Then choose the best with keep_attempt, and say in a few sentences why that one, what speaks against each of the others, and what is still to be done. \
    If none should be kept, choose none and say why.";

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
    let model = match model {
        Some(model) => Some(model_of_copy(&app, &id, &model).await?),
        None => None,
    };
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
    let mut known = Vec::new();
    for model in &models {
        known.push(model_of_copy(&app, &id, model).await?);
    }
    let wishes = wishes(&prompt, count, &known)?;
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

/// Lets the session's agent compare the attempts of the newest round, choose one and say why: a prompt as any other, in words that are the same each time.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/attempts/judge", tag = "sessions", params(("id" = SessionId, Path)),
    responses((status = 202, body = PromptAccepted, description = "The agent judges."))
)]
pub(crate) async fn judge_attempts(
    State(app): State<App>,
    asking: Asking,
    Named(id): Named<SessionId>,
) -> Answer<(StatusCode, Json<PromptAccepted>)> {
    app.seen(&asking, &id).await?;
    let state = app.sessions.state(&id).await?;
    if rounds(&state).next().is_none() {
        let words = format!("Session {id} has no attempts.");
        return Err(Refusal::new(RefusalCode::Conflict, words, "`hangar run --best-of 3` begins some.").into());
    }
    if state.agent.is_some() {
        let words = "The agent of this session is another maker's, which has no way to compare attempts.";
        return Err(
            Refusal::new(RefusalCode::Conflict, words, "`hangar attempts` shows them; choose one yourself.").into()
        );
    }
    let command = Command::Prompt { request_id: random_request_id(), text: JUDGE.to_owned() };
    match app.sessions.command(&id, asking.wants(command)).await? {
        Reply::Prompt(accepted) => Ok((StatusCode::ACCEPTED, Json(accepted))),
        other @ (Reply::Stop(_) | Reply::PullRequest(_) | Reply::Done) => Err(strange(&other)),
    }
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
    app.sessions.keep_attempt(&id, &attempt, asking.account.person.clone()).await?;
    Ok(Json(attempts(&app, &asking, &id).await?))
}

/// The id of a model that this server has, for a copy of a session: its agent goes along and has to reach it.
async fn model_of_copy(app: &App, source: &SessionId, model: &str) -> Answer<String> {
    let model = known_model(app, model)?;
    let agent = app.sessions.state(source).await?.agent;
    if let Some(harness) = agent.and_then(|agent| app.harnesses.find(&agent)) {
        check_model(&app.models, &harness, &model)?;
    }
    Ok(model)
}

fn wishes(prompt: &NewPrompt, count: u32, models: &[String]) -> Answer<Vec<ForkWish>> {
    if !(ATTEMPTS_MIN..=ATTEMPTS_MAX).contains(&count) {
        let words = format!("{count} attempts are not possible.");
        return Err(
            Refusal::new(RefusalCode::BadRequest, words, format!("Ask for {ATTEMPTS_MIN} to {ATTEMPTS_MAX}.")).into()
        );
    }
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
        SessionStatus::Idle
        | SessionStatus::Paused
        | SessionStatus::Asking
        | SessionStatus::Failed
        | SessionStatus::Merged => diff_stat(app, &fork.session).await,
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
