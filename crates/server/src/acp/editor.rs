//! What an editor asks: <https://agentclientprotocol.com/protocol/v1/schema>.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use hangar_client::{Client, SessionFilter};
use hangar_protocol::{RepoPath, SessionId, UserId, api::NewSession, guest::WORKSPACE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    content,
    peer::{Fault, Incoming, Peer},
    session::{From, Open},
};
use crate::cli::repo_of;

/// The version of the protocol that is spoken here.
const VERSION: u64 = 1;
/// Sessions that one editor may have open at the same time.
const OPEN_MAX: usize = 50;
/// Sessions on a page of the list.
const LISTED_MAX: u32 = 100;

/// What new sessions are to be, where an editor does not say so itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// The repository, or its name alone; `None`: the one that the editor's directory is a clone of.
    pub(crate) repo: Option<String>,
    /// `provider/model`.
    pub(crate) model: Option<String>,
    /// An external agent.
    pub(crate) agent: Option<String>,
    /// The editor and its directories are on this machine, and are those of whoever started this program.
    pub(crate) on_this_machine: bool,
}

/// Serves one editor until it sends no more: `incoming` are its messages, `outgoing` the way to it. What it began and said nothing in is put away.
///
/// # Errors
/// When hangar does not know who `client` is.
pub(crate) async fn serve(
    client: Client,
    wishes: Wishes,
    mut incoming: mpsc::Receiver<String>,
    outgoing: mpsc::Sender<String>,
) -> Result<(), hangar_client::Error> {
    let me = client.me().await?.person.user;
    let mut editor = Editor { client, wishes, me, peer: Peer::new(outgoing), sessions: HashMap::new() };
    while let Some(message) = incoming.recv().await {
        editor.hear(&message).await;
    }
    editor.leave().await;
    Ok(())
}

struct Editor {
    client: Client,
    wishes: Wishes,
    me: UserId,
    peer: Peer,
    sessions: HashMap<SessionId, Session>,
}

/// A session that the editor has open.
struct Session {
    open: Open,
    /// Where the editor has its clone.
    cwd: Option<PathBuf>,
    /// The editor began it and has said nothing in it yet.
    unused: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    #[serde(default)]
    protocol_version: u64,
}

#[derive(Deserialize)]
struct Place {
    cwd: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfSession {
    session_id: String,
    cwd: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prompt {
    session_id: String,
    prompt: Value,
}

impl Editor {
    async fn hear(&mut self, message: &str) {
        let incoming: Incoming = match serde_json::from_str(message) {
            Ok(incoming) => incoming,
            Err(error) => return self.peer.answer(Value::Null, Err(Fault::no_json(&error))).await,
        };
        // An answer: hangar has asked nothing.
        let Some(method) = incoming.method else { return };
        match incoming.id {
            Some(id) => {
                let asked = self.asked(&method, incoming.params, &id).await;
                if let Some(answer) = asked.transpose() {
                    self.peer.answer(id, answer).await;
                }
            }
            None if method == "session/cancel" => self.cancel(incoming.params).await,
            None => {}
        }
    }

    /// The result of a request; `None` where it is answered later.
    async fn asked(&mut self, method: &str, params: Value, id: &Value) -> Result<Option<Value>, Fault> {
        match method {
            "initialize" => initialized(understood(params)?).map(Some),
            // Whoever reaches this is signed in: the token came with the connection.
            "authenticate" => Ok(Some(json!({}))),
            "session/new" => self.begin(understood(params)?).await.map(Some),
            "session/load" => self.open(understood(params)?, Some(id)).await,
            "session/resume" => self.open(understood(params)?, None).await,
            "session/list" => self.list(understood(params)?).await.map(Some),
            "session/close" => {
                let OfSession { session_id, .. } = understood(params)?;
                self.sessions.remove(&session(&session_id)?);
                Ok(Some(json!({})))
            }
            "session/prompt" => self.prompt(understood(params)?, id).map(|()| None),
            _ => Err(Fault::no_method(method)),
        }
    }

    async fn begin(&mut self, Place { cwd }: Place) -> Result<Value, Fault> {
        self.check_room()?;
        let repo = self.repository(cwd.as_deref()).await?;
        let Wishes { model, agent, .. } = self.wishes.clone();
        let wish = NewSession { repo, base_branch: None, model, agent, prompt: None, visibility: None };
        let repo = wish.repo.clone();
        let begun = self.client.create_session(&wish).await?.id;
        self.follow(&begun, cwd, true, From::After(hangar_protocol::Seq::START));
        self.offer_prompts(&begun, &repo);
        Ok(json!({"sessionId": begun}))
    }

    /// Opens a session that is there; with `loading` everything that was said in it is told before that request is answered.
    async fn open(&mut self, wish: OfSession, loading: Option<&Value>) -> Result<Option<Value>, Fault> {
        let id = session(&wish.session_id)?;
        if !self.sessions.contains_key(&id) {
            self.check_room()?;
        }
        let state = self.client.session(&id).await?;
        self.offer_prompts(&id, &state.repo);
        match loading {
            Some(request) => {
                self.follow(&id, wish.cwd, false, From::TheBeginning(request.clone()));
                Ok(None)
            }
            None => {
                self.follow(&id, wish.cwd, false, From::After(state.seq));
                Ok(Some(json!({})))
            }
        }
    }

    async fn list(&self, Place { cwd }: Place) -> Result<Value, Fault> {
        let repo = match (&cwd, &self.wishes.repo) {
            (None, None) => None,
            (Some(_), _) | (None, Some(_)) => self.repository(cwd.as_deref()).await.ok(),
        };
        let filter = SessionFilter { limit: Some(LISTED_MAX), repo, ..SessionFilter::default() };
        let found = self.client.list_sessions(&filter).await?;
        let place = cwd.as_deref().map_or_else(|| WORKSPACE.to_owned(), |cwd| cwd.display().to_string());
        let sessions = found.iter().map(|known| {
            let updated =
                i64::try_from(known.updated_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            json!({
                "sessionId": known.id, "cwd": place, "title": known.title,
                "updatedAt": updated.map(|time| time.to_string()),
            })
        });
        Ok(json!({"sessions": sessions.collect::<Vec<_>>()}))
    }

    fn prompt(&mut self, wish: Prompt, request: &Value) -> Result<(), Fault> {
        let id = session(&wish.session_id)?;
        let known = self
            .sessions
            .get_mut(&id)
            .ok_or_else(|| Fault::bad_params(format!("Session {id} is not open here. Load it, or begin a new one.")))?;
        let text = content::words(&wish.prompt, known.cwd.as_deref())?;
        known.unused = false;
        known.open.prompt(request.clone(), text).map_err(|_| {
            Fault::failed(format!("Session {id} takes no more prompts over this connection. Load it again."))
        })
    }

    async fn cancel(&self, params: Value) {
        let Ok(OfSession { session_id, .. }) = understood(params) else { return };
        let Ok(id) = session(&session_id) else { return };
        // Nothing runs, or it is being stopped already: the turn's end says what came of it.
        drop(self.client.stop(&id).await);
    }

    /// Puts away what nobody said anything in: editors begin a session whenever somebody opens a panel.
    async fn leave(self) {
        for (id, session) in self.sessions {
            drop(session.open);
            if session.unused
                && let Err(error) = self.client.archive(&id).await
            {
                tracing::info!(session = %id, %error, "a session that was begun for nothing is still there");
            }
        }
    }

    fn follow(&mut self, id: &SessionId, cwd: Option<PathBuf>, unused: bool, from: From) {
        let open = Open::follow(&self.client, id, &self.me, &self.peer, from);
        self.sessions.insert(id.clone(), Session { open, cwd, unused });
    }

    /// Tells the editor of the prompts that the repository has ready, beside everything else.
    fn offer_prompts(&self, session: &SessionId, repo: &RepoPath) {
        let (client, peer) = (self.client.clone(), self.peer.clone());
        let (session, repo) = (session.clone(), repo.clone());
        tokio::spawn(async move {
            match client.saved_prompts(&repo).await {
                Ok(prompts) if prompts.is_empty() => {}
                Ok(prompts) => {
                    let commands = prompts.into_iter().map(|saved| {
                        let input = saved.hint.map(|hint| json!({"hint": hint}));
                        json!({"name": saved.name, "description": saved.description, "input": input})
                    });
                    let commands: Vec<Value> = commands.collect();
                    let update = json!({"sessionUpdate": "available_commands_update", "availableCommands": commands});
                    peer.update(session.as_str(), update).await;
                }
                Err(error) => tracing::info!(%repo, %error, "the prompts of a repository cannot be listed"),
            }
        });
    }

    fn check_room(&self) -> Result<(), Fault> {
        if self.sessions.len() < OPEN_MAX {
            return Ok(());
        }
        Err(Fault::failed(format!("{OPEN_MAX} sessions are open over this connection. Close one.")))
    }

    /// The repository of a new session.
    async fn repository(&self, cwd: Option<&Path>) -> Result<RepoPath, Fault> {
        let directory = cwd.filter(|_| self.wishes.on_this_machine);
        Ok(repo_of(&self.client, self.wishes.repo.as_deref(), directory).await?)
    }
}

fn initialized(Initialize { protocol_version }: Initialize) -> Result<Value, Fault> {
    tracing::debug!(protocol_version, "an editor");
    Ok(json!({
        // Whoever speaks another one leaves: <https://agentclientprotocol.com/protocol/v1/initialization>.
        "protocolVersion": VERSION,
        "agentInfo": {"name": "hangar", "title": "hangar", "version": env!("CARGO_PKG_VERSION")},
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": {"image": false, "audio": false, "embeddedContext": true},
            "sessionCapabilities": {"list": {}, "resume": {}, "close": {}},
        },
        "authMethods": [],
    }))
}

fn understood<T: DeserializeOwned>(params: Value) -> Result<T, Fault> {
    serde_json::from_value(params)
        .map_err(|error| Fault::bad_params(format!("These parameters cannot be read: {error}.")))
}

fn session(id: &str) -> Result<SessionId, Fault> {
    id.parse().map_err(|_| Fault::bad_params(format!("{id:?} is no session of hangar's.")))
}
