//! How a program is brought to where it can be given a prompt: it says what it is, and takes up its conversation or begins one.

use hangar_protocol::{EventBody, event::HarnessMemory, limits::clip};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    HookFormat, Launch,
    asked::Questions,
    peer::{Ended, Peer},
    told::Beginning,
    turn::{Speaker, Turn, gone},
    words::{Incoming, Initialized, NewSession, RpcError, VERSION},
};
use crate::turn::{Halt, millis};

/// Where the program works.
const CWD: &str = hangar_protocol::guest::WORKSPACE;
/// Longest name of a program, and longest name that one gives its conversation.
const NAME_CHARS_MAX: usize = 200;

impl Turn {
    /// Starts the program and brings it to where it can be given the prompt.
    pub(super) async fn start(&mut self) -> Result<Speaker, Halt> {
        let began = Instant::now();
        let door = self.input.harness.hooks.map(|_| self.input.door.open());
        let launch = Launch {
            harness: self.input.harness.clone(),
            model: self.input.model.clone(),
            env: self.env.clone(),
            hooks: door.as_ref().map(|door| door.token.clone()),
        };
        let agent = self.agent();
        let started = self.within(self.input.programs.start(launch)).await?;
        let program = started.map_err(|words| Halt::Failed(format!("{agent} cannot be started: {words}")))?;
        let mut peer = Peer::new(program);
        let waited = self.within(timeout(self.input.times.start_max, self.greet(&mut peer))).await;
        let greeted = match waited {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(_elapsed)) => Err(Halt::Failed(format!(
                "{agent} was not ready within {} s. Look whether its program works in the sandbox, then prompt again.",
                self.input.times.start_max.as_secs()
            ))),
            Err(halt) => Err(halt),
        };
        let (program, conversation, memory) = match greeted {
            Ok(greeted) => greeted,
            Err(halt) => {
                peer.end().await;
                return Err(halt);
            }
        };
        let ready = EventBody::HarnessStarted {
            turn: self.id,
            agent: self.input.harness.id.clone(),
            program,
            conversation: conversation.clone(),
            memory,
            duration_ms: millis(began.elapsed()),
        };
        self.record(ready).await?;
        self.memory = memory;
        Ok(Speaker { peer, conversation, questions: Questions::new(door) })
    }

    /// What it calls itself, its name for the conversation, and what it knows of it.
    async fn greet(&self, peer: &mut Peer) -> Result<(String, String, HarnessMemory), Halt> {
        let wish = json!({
            "protocolVersion": VERSION,
            "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
            "clientInfo": {"name": "hangar", "title": "hangar", "version": env!("CARGO_PKG_VERSION")},
        });
        let initialized: Initialized = self.understood(self.exchange(peer, "initialize", wish).await?)?;
        if initialized.protocol_version != VERSION {
            return Err(Halt::Failed(format!(
                "{} speaks version {} of the Agent Client Protocol, and hangar speaks version {VERSION}. Install a version of it that does.",
                self.agent(),
                initialized.protocol_version
            )));
        }
        let name = initialized.agent_info.unwrap_or_default();
        let program = clip(format!("{} {}", name.name, name.version).trim(), NAME_CHARS_MAX);
        let known = self.input.conversation.harness().filter(|_| initialized.agent_capabilities.load_session);
        if let Some(known) = known {
            let wish = json!({"sessionId": known, "cwd": CWD, "mcpServers": []});
            match self.exchange(peer, "session/load", self.with_hooks(wish)).await? {
                Ok(_) => {
                    self.set_mode(peer, known).await?;
                    return Ok((program, known.to_owned(), HarnessMemory::Loaded));
                }
                Err(fault) => {
                    tracing::info!(
                        agent = self.input.harness.id,
                        fault = fault.words(),
                        "an agent has no conversation of that name"
                    );
                }
            }
        }
        let wish = self.with_hooks(json!({"cwd": CWD, "mcpServers": []}));
        let made = self.exchange(peer, "session/new", wish).await?;
        let made: NewSession = self.understood(made)?;
        if made.session_id.chars().count() > NAME_CHARS_MAX {
            return Err(Halt::Failed(format!("{} names its conversation with too many words.", self.agent())));
        }
        self.set_mode(peer, &made.session_id).await?;
        let before = match self.beginning {
            Beginning::Fresh => self.input.conversation.has_past(),
            Beginning::Again => true,
        };
        let memory = if before { HarnessMemory::Told } else { HarnessMemory::New };
        Ok((program, made.session_id, memory))
    }

    /// A wish for a conversation, with what the program has to be told of its hooks.
    fn with_hooks(&self, mut wish: Value) -> Value {
        if let Some(meta) = self.input.harness.hooks.and_then(HookFormat::meta) {
            wish["_meta"] = meta;
        }
        wish
    }

    /// Puts a conversation into the mode that its hooks are for.
    async fn set_mode(&self, peer: &mut Peer, conversation: &str) -> Result<(), Halt> {
        let Some(mode) = self.input.harness.hooks.and_then(HookFormat::mode) else { return Ok(()) };
        let wish = json!({"sessionId": conversation, "modeId": mode});
        if let Err(fault) = self.exchange(peer, "session/set_mode", wish).await? {
            // Its hooks are asked in every mode.
            tracing::warn!(agent = self.input.harness.id, fault = fault.words(), mode, "an agent has no such mode");
        }
        Ok(())
    }

    /// A question before there is a prompt. What the program tells meanwhile is its conversation of old.
    async fn exchange(&self, peer: &mut Peer, method: &str, params: Value) -> Result<Result<Value, RpcError>, Halt> {
        let agent = self.agent();
        let gone = |ended: Ended| gone(&agent, &ended);
        let asked = peer.ask(method, params).await.map_err(gone)?;
        loop {
            match peer.next().await.map_err(gone)? {
                Incoming { method: Some(method), id: Some(id), .. } => peer.refuse(&id, &method).await.map_err(gone)?,
                Incoming { id: Some(id), error: Some(fault), .. } if id == asked => return Ok(Err(fault)),
                Incoming { id: Some(id), result, .. } if id == asked => return Ok(Ok(result.unwrap_or_default())),
                Incoming { .. } => {}
            }
        }
    }

    pub(super) fn understood<T: DeserializeOwned>(&self, answer: Result<Value, RpcError>) -> Result<T, Halt> {
        let agent = self.agent();
        let answer = answer.map_err(|fault| Halt::Failed(format!("{agent} cannot begin: {}", fault.words())))?;
        serde_json::from_value(answer)
            .map_err(|fault| Halt::Failed(format!("{agent} gave an answer that hangar cannot read: {fault}.")))
    }
}
