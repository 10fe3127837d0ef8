//! The list of sessions: pages and filters.

use axum::{Json, extract::State};
use hangar_protocol::{
    RefusalCode, RepoPath, SessionId, UserId, api::SessionSummary, limits::SESSION_PAGE_MAX, people::role_in,
    state::SessionStatus,
};
use hangar_session::{Before, SessionQuery, Shelf};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    answer::{Answer, Refused},
    app::App,
    extract::Asked,
    gate::Asking,
};

/// Sessions a page holds unless the request says otherwise.
const PAGE_SESSIONS: u32 = 100;
/// What stands for the title of a session that the asking person does not see.
const VEIL: &str = "A private session";

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListWish {
    /// Only those in which each of these words begins a word of the title, a prompt, a participant's name or the path of a changed
    /// file: at most 8 words, and the newest 50 sessions. The other filters are not looked at, but deleted sessions are left out.
    #[param(min_length = 1, max_length = 500)]
    q: Option<String>,
    /// How many at most: 1 to 500, without it 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The page after this place: `updated_ms` of the last session seen, a dot, its id.
    #[param(max_length = 80, pattern = "^[0-9]+[.][a-z0-9]{1,40}$")]
    before: Option<String>,
    /// Only those that the asking person began or has a role of their own in.
    #[serde(default)]
    #[param(required = false)]
    mine: bool,
    /// Those that were put away, instead of the others.
    #[serde(default)]
    #[param(required = false)]
    archived: bool,
    /// Those that were deleted and can be taken back, instead of the others.
    #[serde(default)]
    #[param(required = false)]
    deleted: bool,
    /// Also private sessions of others, without title and pull request. Owners of the server only.
    #[serde(default)]
    #[param(required = false)]
    everybody: bool,
    /// Only those on this repository.
    repo: Option<RepoPath>,
    /// Only those that are doing this.
    #[param(inline)]
    status: Option<SessionStatus>,
    /// Only those whose id begins so; archived and deleted ones too.
    prefix: Option<SessionId>,
}

/// The sessions that the asking person may see, newest first, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", params(ListWish), responses((status = 200, body = Vec<SessionSummary>))
)]
pub(crate) async fn list_sessions(
    State(app): State<App>,
    asking: Asking,
    Asked(wish): Asked<ListWish>,
) -> Answer<Json<Vec<SessionSummary>>> {
    let user = &asking.account.person.user;
    if let Some(wanted) = &wish.q {
        return Ok(Json(app.sessions.search(wanted, user).await?));
    }
    let everybody = wish.everybody;
    if everybody {
        asking.account.must_be_owner("list private sessions of others")?;
    }
    let mut page = app.sessions.list(query(wish, user)?).await?;
    if everybody {
        page.iter_mut().for_each(|summary| veil(summary, user));
    }
    Ok(Json(page))
}

fn query(wish: ListWish, user: &UserId) -> Answer<SessionQuery> {
    let limit = wish.limit.unwrap_or(PAGE_SESSIONS);
    if !(1..=SESSION_PAGE_MAX).contains(&limit) {
        return Err(Refused::new(
            RefusalCode::BadRequest,
            format!("limit is {limit}."),
            format!("Ask for 1 to {SESSION_PAGE_MAX} sessions."),
        ));
    }
    let shelf = match (wish.prefix.is_some(), wish.archived, wish.deleted) {
        (_, true, true) => {
            return Err(Refused::new(
                RefusalCode::BadRequest,
                "A session is listed as archived or as deleted.",
                "Ask for one of the two.",
            ));
        }
        (_, true, false) => Shelf::Archived,
        (_, false, true) => Shelf::Deleted,
        (true, false, false) => Shelf::Any,
        (false, false, false) => Shelf::Current,
    };
    Ok(SessionQuery {
        limit,
        before: wish.before.as_deref().map(before).transpose()?,
        seen_by: (!wish.everybody).then(|| user.clone()),
        of: wish.mine.then(|| user.clone()),
        shelf,
        repo: wish.repo,
        status: wish.status,
        prefix: wish.prefix,
    })
}

fn before(text: &str) -> Answer<Before> {
    let parts = text.split_once('.');
    let place = parts.and_then(|(ms, id)| Some(Before { updated_ms: ms.parse().ok()?, id: id.parse().ok()? }));
    place.ok_or_else(|| {
        Refused::new(
            RefusalCode::BadRequest,
            "before is not a place in the list.",
            "Write updated_ms of the last session seen, a dot, its id.",
        )
    })
}

/// Leaves of somebody else's private session what an owner of the server needs to take it over.
fn veil(summary: &mut SessionSummary, user: &UserId) {
    if role_in(summary.visibility, &summary.members, user).is_none() {
        VEIL.clone_into(&mut summary.title);
        summary.pull_request = None;
        summary.members.clear();
    }
}
