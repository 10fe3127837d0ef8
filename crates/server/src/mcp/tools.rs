//! The tools. What each takes and gives is the schema that agents are shown.

use std::time::Duration;

use axum::http::request::Parts;
use hangar_client::{Client, Patience, SessionFilter, Token, Update};
use hangar_protocol::{
    EventBody, RepoPath, SessionId, SessionState,
    api::{NewPrompt, NewSession, PromptMode},
    limits::clip_bytes,
    state::{PromptStatus, SessionStatus},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig},
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::story::{self, Listed, PAGE_EVENTS_MAX};
use crate::gate::{Asking, Credential};

/// How long `wait_for_session` waits where nobody says.
const WAIT_S: u64 = 60;
/// How long it waits at most: clients give up on calls that take longer.
const WAIT_S_MAX: u64 = 300;
/// Sessions in one list.
const LISTED_MAX: u32 = 50;
/// How much of a diff is told.
const DIFF_BYTES_MAX: usize = 100 * 1024;

/// What agents are told of all tools together.
const INSTRUCTIONS: &str = "hangar runs coding agents in sandboxes on its own machine. A session works on one repository: start_session gives it a wish, wait_for_session waits until it rests, \
    session_status and read_session tell what came of it, send_prompt goes on with it or answers its question. Sessions go on by themselves; several can run side by side.";

/// hangar's sessions, for one caller or another.
#[derive(Clone)]
pub(crate) struct SessionTools {
    who: Who,
    tool_router: ToolRouter<Self>,
}

#[derive(Clone)]
enum Who {
    /// Always the same person: whoever started the program.
    Fixed(Client),
    /// Whoever has sent the request. The client says nothing about who asks.
    Sender(Client),
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListSessions {
    /// Only those on this repository: `owner/name`.
    repository: Option<String>,
    /// Only those that the caller began or has a role in.
    #[serde(default)]
    mine: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct StartSession {
    /// The repository, as `list_repositories` names it: `owner/name`.
    repository: String,
    /// The wish, with everything that the agent has to know: it does not see this conversation.
    prompt: String,
    /// The branch to start from; the repository's default where left out.
    base_branch: Option<String>,
    /// `provider/model`; the server's default where left out.
    model: Option<String>,
    /// The external agent that works on it, as the server's configuration names it; hangar's own where left out.
    agent: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneSession {
    /// The session's id.
    session: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ReadSession {
    /// The session's id.
    session: String,
    /// Events after this one; from the beginning where left out.
    #[serde(default)]
    after: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SendPrompt {
    /// The session's id.
    session: String,
    /// The words.
    text: String,
    /// Say it to the running turn at its next step, instead of letting it wait for a turn of its own.
    #[serde(default)]
    steer: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct WaitForSession {
    /// The session's id.
    session: String,
    /// How many seconds at most: 1 to 300, 60 where left out.
    timeout_s: Option<u64>,
}

impl SessionTools {
    /// For the person whose client it is.
    pub(crate) fn of(client: Client) -> Self {
        Self { who: Who::Fixed(client), tool_router: Self::tool_router() }
    }

    /// For whoever sends a request over HTTP.
    pub(super) fn of_whoever_asks(client: Client) -> Self {
        Self { who: Who::Sender(client), tool_router: Self::tool_router() }
    }

    fn client(&self, context: &RequestContext<RoleServer>) -> Result<Client, ErrorData> {
        match &self.who {
            Who::Fixed(client) => Ok(client.clone()),
            Who::Sender(client) => {
                let asking = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Asking>());
                match asking.map(|asking| &asking.credential) {
                    Some(Credential::Token(token)) => Ok(client.in_the_name_of(Token::new(token.reveal()))),
                    Some(Credential::Cookie(_)) | None => {
                        Err(ErrorData::invalid_request("Nobody knows who asks: send a token.", None))
                    }
                }
            }
        }
    }
}

#[tool_router]
impl SessionTools {
    #[tool(description = "The repositories that sessions can work on.", annotations(read_only_hint = true))]
    async fn list_repositories(&self, context: RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
        let client = self.client(&context)?;
        told(async {
            let repos = client.repos().await?;
            Ok(json!({"repositories": repos.iter().map(|known| known.repo.to_string()).collect::<Vec<_>>()}))
        })
        .await
    }

    #[tool(
        description = "The newest sessions that the caller may see, at most 50.",
        annotations(read_only_hint = true)
    )]
    async fn list_sessions(
        &self,
        Parameters(asked): Parameters<ListSessions>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let client = self.client(&context)?;
        let repo = asked.repository.map(|repo| repository(&repo)).transpose()?;
        told(async {
            let filter = SessionFilter { limit: Some(LISTED_MAX), mine: asked.mine, repo, ..SessionFilter::default() };
            let sessions = client.list_sessions(&filter).await?;
            let listed: Vec<Listed> = sessions.into_iter().map(|summary| Listed::of(&client, summary)).collect();
            Ok(json!({"sessions": listed}))
        })
        .await
    }

    #[tool(
        description = "Start a session: an agent works on the wish in a sandbox of its own, and opens a pull request in the caller's name unless the wish says otherwise. Answers at once; it goes on by itself."
    )]
    async fn start_session(
        &self,
        Parameters(asked): Parameters<StartSession>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let client = self.client(&context)?;
        let wish = NewSession {
            repo: repository(&asked.repository)?,
            base_branch: asked.base_branch,
            model: asked.model,
            agent: asked.agent,
            prompt: Some(NewPrompt { request_id: None, text: asked.prompt }),
            visibility: None,
        };
        told(async {
            let begun = client.create_session(&wish).await?;
            story::standing(&client, &begun.id).await
        })
        .await
    }

    #[tool(
        description = "Where a session stands: what it is doing, what it asks, its last words, its pull request.",
        annotations(read_only_hint = true)
    )]
    async fn session_status(
        &self,
        Parameters(asked): Parameters<OneSession>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let (client, session) = (self.client(&context)?, session(&asked.session)?);
        told(story::standing(&client, &session)).await
    }

    #[tool(
        description = "What happened in a session, 200 events a page: words, calls, files, pull requests. `next` is the `after` of the next page, where there is one.",
        annotations(read_only_hint = true)
    )]
    async fn read_session(
        &self,
        Parameters(asked): Parameters<ReadSession>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let (client, session) = (self.client(&context)?, session(&asked.session)?);
        told(async {
            let page = client.events(&session, hangar_protocol::Seq(asked.after), PAGE_EVENTS_MAX).await?;
            let last = page.events.last().map_or(asked.after, |event| event.seq.0);
            let next = (last < page.head.0).then_some(last);
            Ok(json!({"story": story::told(client.url(), &page.events), "next": next}))
        })
        .await
    }

    #[tool(description = "What a session changed, as a patch. Long ones are cut.", annotations(read_only_hint = true))]
    async fn session_diff(
        &self,
        Parameters(asked): Parameters<OneSession>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let (client, session) = (self.client(&context)?, session(&asked.session)?);
        told(async {
            let diff = client.diff(&session).await?;
            let patch: String = diff.files.iter().filter_map(|file| file.patch.as_deref()).collect();
            let shown = clip_bytes(&patch, DIFF_BYTES_MAX);
            let files: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
            Ok(json!({"files": files, "patch": shown, "cut": shown.len() < patch.len() || diff.omitted > 0}))
        })
        .await
    }

    #[tool(
        description = "Say something to a session: a follow-up, an answer to its question, or, with `steer`, words for the turn that runs."
    )]
    async fn send_prompt(
        &self,
        Parameters(asked): Parameters<SendPrompt>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let (client, session) = (self.client(&context)?, session(&asked.session)?);
        let mode = if asked.steer { PromptMode::Steer } else { PromptMode::Queue };
        told(async {
            client.say(&session, &asked.text, mode).await?;
            story::standing(&client, &session).await
        })
        .await
    }

    #[tool(
        description = "Wait until nothing runs in a session and nothing waits for its turn, or the time is over. Then where it stands; `rests` says which of the two it was.",
        annotations(read_only_hint = true)
    )]
    async fn wait_for_session(
        &self,
        Parameters(asked): Parameters<WaitForSession>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let (client, session) = (self.client(&context)?, session(&asked.session)?);
        let patience = Duration::from_secs(asked.timeout_s.unwrap_or(WAIT_S).clamp(1, WAIT_S_MAX));
        let waiting = async {
            let rests = until_it_rests(&client, &session, patience).await?;
            Ok(Waited { rests, standing: story::standing(&client, &session).await? })
        };
        tokio::select! {
            // Whoever waited has gone.
            () = context.ct.cancelled() => Err(ErrorData::internal_error("The call was cancelled.", None)),
            told = told(waiting) => told,
        }
    }

    #[tool(description = "Stop the turn that runs in a session. Its files stay; a next prompt goes on from them.")]
    async fn stop_session(
        &self,
        Parameters(asked): Parameters<OneSession>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let (client, session) = (self.client(&context)?, session(&asked.session)?);
        told(async {
            client.stop(&session).await?;
            story::standing(&client, &session).await
        })
        .await
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for SessionTools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("hangar", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }
}

#[derive(Serialize)]
struct Waited {
    rests: bool,
    #[serde(flatten)]
    standing: story::Standing,
}

/// Carries out what a tool does. What hangar refuses is told to the model, which may do better.
async fn told<T: Serialize>(
    work: impl Future<Output = Result<T, hangar_client::Error>>,
) -> Result<CallToolResult, ErrorData> {
    let value = match work.await {
        Ok(value) => value,
        Err(error) => return Ok(CallToolResult::error(vec![ContentBlock::text(error.to_string())])),
    };
    let value = serde_json::to_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(CallToolResult::structured(value))
}

/// Whether nothing runs and nothing waits, at the latest after this time.
async fn until_it_rests(
    client: &Client,
    session: &SessionId,
    patience: Duration,
) -> Result<bool, hangar_client::Error> {
    let deadline = Instant::now() + patience;
    let state = client.session(session).await?;
    if rests(&state) {
        return Ok(true);
    }
    let mut stream = client.follow(session, state.seq, Patience::default());
    loop {
        match timeout_at(deadline, stream.next()).await {
            Err(_elapsed) => return Ok(false),
            Ok(None) => return Ok(rests(&client.session(session).await?)),
            Ok(Some(Err(error))) => return Err(error),
            Ok(Some(Ok(Update::Event(event)))) => {
                let may_rest = matches!(
                    event.body,
                    EventBody::TurnEnded { .. } | EventBody::TurnPaused { .. } | EventBody::PromptCancelled { .. }
                );
                if may_rest && rests(&client.session(session).await?) {
                    return Ok(true);
                }
            }
            Ok(Some(Ok(_))) => {}
        }
    }
}

/// Nothing goes on by itself.
fn rests(state: &SessionState) -> bool {
    let waits =
        state.prompts.iter().any(|prompt| matches!(prompt.status, PromptStatus::Queued | PromptStatus::Steering));
    let goes_on = waits && state.queue_paused_by.is_none();
    match state.status {
        SessionStatus::Running => false,
        SessionStatus::Paused => true,
        SessionStatus::Idle | SessionStatus::Asking | SessionStatus::Failed | SessionStatus::Merged => !goes_on,
    }
}

fn session(id: &str) -> Result<SessionId, ErrorData> {
    id.parse().map_err(|_| ErrorData::invalid_params(format!("{id:?} is no session's id."), None))
}

fn repository(name: &str) -> Result<RepoPath, ErrorData> {
    name.parse().map_err(|_| ErrorData::invalid_params(format!("{name:?} is no repository: say owner/name."), None))
}
