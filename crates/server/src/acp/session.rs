//! A session that an editor has open: one task tells what happens in it, and answers each prompt when its turn is over.

use std::collections::HashMap;

use hangar_client::{Client, Patience, Stream, Update};
use hangar_protocol::{EventBody, PromptId, Seq, SessionId, TurnId, UserId, api::PromptMode, event::TurnOutcome};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    peer::{Fault, Peer},
    story::Story,
};

/// Prompts that may wait to be sent. Editors send one at a time.
const PROMPTS_MAX: usize = 16;

/// From where on an editor is told.
pub(super) enum From {
    /// Everything that happened, and then the answer to this request.
    TheBeginning(Value),
    /// Whatever comes after this event.
    After(Seq),
}

/// A prompt, and the request that waits for its turn's end.
struct Prompt {
    request: Value,
    text: String,
}

/// The way to the task of a session. It ends when this is dropped.
pub(super) struct Open {
    prompts: mpsc::Sender<Prompt>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Open {
    /// Begins to tell an editor what happens in a session.
    pub(super) fn follow(client: &Client, session: &SessionId, me: &UserId, peer: &Peer, from: From) -> Self {
        let (prompts, asked) = mpsc::channel(PROMPTS_MAX);
        let (after, loading) = match from {
            From::TheBeginning(request) => (Seq::START, Some(request)),
            From::After(seq) => (seq, None),
        };
        let following = Following {
            stream: client.follow(session, after, Patience::default()),
            client: client.clone(),
            session: session.clone(),
            peer: peer.clone(),
            story: Story::new(me.clone(), client.url()),
            loading,
            waiting: Vec::new(),
            turns: HashMap::new(),
        };
        Self { prompts, task: tokio::spawn(following.run(asked)) }
    }

    /// Sends a prompt; the request is answered when the turn that heard it is over. Gives the request back where there is no way to.
    pub(super) fn prompt(&self, request: Value, text: String) -> Result<(), Value> {
        self.prompts.try_send(Prompt { request, text }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(prompt) | mpsc::error::TrySendError::Closed(prompt) => prompt.request,
        })
    }
}

struct Following {
    client: Client,
    session: SessionId,
    peer: Peer,
    stream: Stream,
    story: Story,
    /// The request that waits until everything of old was told.
    loading: Option<Value>,
    /// Prompts of the editor's whose turn is not over, with their requests.
    waiting: Vec<(PromptId, Value)>,
    /// What each turn has heard of them.
    turns: HashMap<TurnId, Vec<PromptId>>,
}

impl Following {
    async fn run(mut self, mut prompts: mpsc::Receiver<Prompt>) {
        loop {
            tokio::select! {
                prompt = prompts.recv() => match prompt {
                    Some(prompt) => self.send(prompt).await,
                    None => return,
                },
                update = self.stream.next() => match update {
                    Some(Ok(update)) => self.tell(&update).await,
                    Some(Err(error)) => return self.lost(&error.to_string()).await,
                    None => return self.lost("hangar does not answer any more").await,
                },
            }
        }
    }

    async fn send(&mut self, Prompt { request, text }: Prompt) {
        match self.client.say(&self.session, &text, PromptMode::Queue).await {
            Ok(accepted) => {
                self.story.sent(accepted.prompt);
                self.waiting.push((accepted.prompt, request));
            }
            Err(error) => self.peer.answer(request, Err(error.into())).await,
        }
    }

    async fn tell(&mut self, update: &Update) {
        for told in self.story.tell(update) {
            self.peer.update(self.session.as_str(), told).await;
        }
        match update {
            Update::Event(event) => self.settle(&event.body).await,
            Update::CaughtUp { .. } => {
                if let Some(request) = self.loading.take() {
                    self.peer.answer(request, Ok(json!({}))).await;
                }
            }
            _ => {}
        }
    }

    /// Answers those prompts whose turn this event ends.
    async fn settle(&mut self, body: &EventBody) {
        match body {
            EventBody::TurnStarted { turn, prompt } | EventBody::PromptSteered { turn, prompt } => {
                self.turns.entry(*turn).or_default().push(*prompt);
            }
            EventBody::PromptCancelled { prompt, .. } => self.answer(&[*prompt], "cancelled").await,
            // It waits for somebody who raises the budget, which may take days.
            EventBody::TurnPaused { turn, .. } => {
                let heard = self.turns.get(turn).cloned().unwrap_or_default();
                self.answer(&heard, "max_tokens").await;
            }
            EventBody::TurnEnded { turn, outcome } => {
                let heard = self.turns.remove(turn).unwrap_or_default();
                let reason = match outcome {
                    // Why it failed has been told in words.
                    TurnOutcome::Done | TurnOutcome::Failed { .. } => "end_turn",
                    TurnOutcome::Stopped { .. } => "cancelled",
                };
                self.answer(&heard, reason).await;
            }
            _ => {}
        }
    }

    async fn answer(&mut self, prompts: &[PromptId], reason: &str) {
        while let Some(at) = self.waiting.iter().position(|(prompt, _)| prompts.contains(prompt)) {
            let (_, request) = self.waiting.remove(at);
            self.peer.answer(request, Ok(json!({"stopReason": reason}))).await;
        }
    }

    /// The session cannot be followed any more: nobody waits for nothing.
    async fn lost(self, why: &str) {
        let waiting = self.waiting.into_iter().map(|(_, request)| request);
        for request in self.loading.into_iter().chain(waiting) {
            let words = format!("Session {} cannot be followed any more: {why}", self.session);
            self.peer.answer(request, Err(Fault::failed(words))).await;
        }
    }
}
