//! The session a person means when they type the beginning of its id.

use hangar_client::{Client, SessionFilter};
use hangar_protocol::{Refusal, RefusalCode, SessionId, api::SessionSummary, limits::clip};

use super::ended::Failure;

/// How many sessions an ambiguous beginning lists.
const LISTED_MAX: usize = 8;

/// Finds the session whose id begins with `typed`.
pub(super) async fn which_session(client: &Client, typed: &str) -> Result<SessionId, Failure> {
    let wanted: SessionId = typed.parse()?;
    let filter = SessionFilter { prefix: Some(wanted.clone()), ..SessionFilter::default() };
    Ok(choose(&client.list_sessions(&filter).await?, &wanted)?)
}

fn choose(sessions: &[SessionSummary], wanted: &SessionId) -> Result<SessionId, Refusal> {
    if let Some(exact) = sessions.iter().find(|session| session.id == *wanted) {
        return Ok(exact.id.clone());
    }
    let mut fitting = sessions.iter().filter(|session| session.id.as_str().starts_with(wanted.as_str()));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only.id.clone()),
        (None, _) => Err(Refusal::new(
            RefusalCode::NotFound,
            format!("There is no session {wanted}."),
            "`hangar sessions` lists those that exist.",
        )),
        (Some(one), Some(two)) => {
            let listed: Vec<String> = [one, two].into_iter().chain(fitting).take(LISTED_MAX).map(told).collect();
            Err(Refusal::new(
                RefusalCode::BadRequest,
                format!("More than one session begins with {wanted}: {}.", listed.join(", ")),
                "Type more of its id.",
            ))
        }
    }
}

fn told(session: &SessionSummary) -> String {
    format!("{} ({})", session.id, clip(&session.title, 40))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hangar_protocol::{Visibility, state::SessionStatus};

    use super::*;

    fn session(id: &str) -> SessionSummary {
        SessionSummary {
            id: id.parse().unwrap(),
            repo: "acme/website".parse().unwrap(),
            title: format!("title of {id}"),
            owner: "ada".parse().unwrap(),
            status: SessionStatus::Idle,
            created_ms: 0,
            updated_ms: 0,
            pull_request: None,
            parent: None,
            damaged: None,
            found: None,
            visibility: Visibility::Team,
            members: BTreeMap::new(),
            archived_ms: None,
            deleted: None,
        }
    }

    #[test]
    fn a_unique_beginning_is_enough() {
        let sessions = ["k3x9aa", "k3y2bb", "zz", "zzz"].map(session);
        let chosen = |typed: &str| choose(&sessions, &typed.parse().unwrap()).map(String::from);
        assert_eq!(chosen("k3x"), Ok("k3x9aa".to_owned()));
        assert_eq!(chosen("zz"), Ok("zz".to_owned()), "a whole id is never ambiguous");
        assert_eq!(chosen("q").unwrap_err().code, RefusalCode::NotFound);
        let refusal = chosen("k3").unwrap_err();
        assert_eq!(
            refusal.message,
            "More than one session begins with k3: k3x9aa (title of k3x9aa), k3y2bb (title of k3y2bb)."
        );
    }
}
