//! The door at which hook programs ask: HTTP on the sandbox's border, open while a turn's program runs and for its token alone.
//!
//! A question is handed to the turn and its answer waited for, however long that takes; the program gives up before an agent would. Whoever has
//! the token is the agent or something that it started, so that a question proves nothing but that somebody asks.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use hangar_protocol::guest::hook::{Answer, HELD_S_MAX, QUESTION_BYTES_MAX, Question};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Duration, timeout},
};

use crate::gateway::{GatewayToken, REQUEST_TIME_MAX};

/// Questions that wait for the turn to look at them. When they are so many, the next program waits.
const QUESTIONS_AHEAD: usize = 16;
/// How long a question is held.
const HELD_MAX: Duration = Duration::from_secs(HELD_S_MAX);

/// The door of one session. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HookDoor(Arc<watch::Sender<Option<Way>>>);

/// The way to the turn that runs.
#[derive(Clone, Debug)]
struct Way {
    token: GatewayToken,
    questions: mpsc::Sender<Asked>,
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// A door that is open until this is dropped.
pub(super) struct OpenDoor {
    pub(super) token: GatewayToken,
    pub(super) questions: mpsc::Receiver<Asked>,
    door: HookDoor,
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        self.door.0.send_if_modified(|way| way.take_if(|way| way.token == self.token).is_some());
    }
}

impl HookDoor {
    /// Where is asked: one path, which answers a [`Question`] with an [`Answer`].
    pub fn router(&self) -> Router {
        Router::new().route("/", post(asked)).with_state(self.clone())
    }

    /// Opens it for a turn; whoever came through before is not heard any more.
    pub(super) fn open(&self) -> OpenDoor {
        let token = GatewayToken::named("hangar-hooks");
        let (sender, questions) = mpsc::channel(QUESTIONS_AHEAD);
        self.0.send_replace(Some(Way { token: token.clone(), questions: sender }));
        OpenDoor { token, questions, door: self.clone() }
    }
}

async fn asked(State(door): State<HookDoor>, request: Request) -> Response {
    match answered(&door, request).await {
        Ok(answer) => match serde_json::to_string(&answer) {
            Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
        Err((status, words)) => (status, words).into_response(),
    }
}

async fn answered(door: &HookDoor, request: Request) -> Result<Answer, (StatusCode, String)> {
    let refused = |status, words: &str| Err((status, words.to_owned()));
    let (head, body) = request.into_parts();
    let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let way = door.0.borrow().clone();
    let Some(way) = way.filter(|way| way.token.is(shown)) else {
        return refused(
            StatusCode::UNAUTHORIZED,
            "This token opens nothing now. An agent's hook asks while its turn runs.",
        );
    };
    let question = read(body).await?;
    let (answer, given) = oneshot::channel();
    let asking = async {
        way.questions.send(Asked { question, answer }).await.ok()?;
        given.await.ok()
    };
    match timeout(HELD_MAX, asking).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => refused(StatusCode::GONE, "The turn has ended."),
        Err(_) => refused(
            StatusCode::GATEWAY_TIMEOUT,
            "Nobody could decide on this call in time, or the workspace could not be written yet. Files can be read; try again later.",
        ),
    }
}

async fn read(body: Body) -> Result<Question, (StatusCode, String)> {
    let bytes = match timeout(REQUEST_TIME_MAX, to_bytes(body, QUESTION_BYTES_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err((StatusCode::PAYLOAD_TOO_LARGE, "The question is too large.".to_owned())),
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "The question did not arrive in time.".to_owned())),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("The question cannot be read: {error}.")))
}
