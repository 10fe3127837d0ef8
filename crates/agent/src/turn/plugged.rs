//! What plugins are asked about a turn that is no call: its beginning, what people say to it, and its end.

use hangar_protocol::UserId;

use super::{Halt, Turn};
use crate::{
    conversation::OpenTurn,
    hooks::{Decided, Occasion},
    limits,
};

impl Turn {
    /// Asks about the turn's beginning, as long as its model was not asked. A turn that goes on after a restart asks those again that did not
    /// add anything before.
    pub(super) async fn begin(&mut self) -> Result<(), Halt> {
        let Some(OpenTurn { id, author, said, steps: 0, .. }) = self.input.conversation.open_turn() else {
            return Ok(());
        };
        let (first, by, said) = (id.0 == 1, author.user.clone(), said.clone());
        self.said(&by, &said).await?;
        if first {
            self.pass(Occasion::SessionStart).await?;
        }
        self.pass(Occasion::ContextInject).await
    }

    /// Asks about somebody's words, which are in the log already: what is refused is that the model is asked with them.
    pub(super) async fn said(&mut self, by: &UserId, text: &str) -> Result<(), Halt> {
        self.pass(Occasion::PromptSubmit { by, text }).await
    }

    /// Whether the turn may end. Where it may not, the model is told why and has to be asked again.
    pub(super) async fn may_end(&mut self) -> Result<bool, Halt> {
        let sent_back = self.input.conversation.open_turn().map_or(0, |turn| turn.sent_back);
        if sent_back >= limits::TURN_SENT_BACK_MAX {
            return Ok(true);
        }
        let said = self.input.conversation.last_words();
        match self.asked(Occasion::TurnEnd { said: &said, sent_back }).await? {
            Ok(()) => Ok(true),
            // A guard that failed did not say what is missing: the model could do nothing about it.
            Err(words) => match self.input.conversation.ended() {
                None => Ok(false),
                Some(_) => Err(Halt::Failed(words)),
            },
        }
    }

    async fn pass(&mut self, occasion: Occasion<'_>) -> Result<(), Halt> {
        self.asked(occasion).await?.map_err(Halt::Failed)
    }

    /// Asks, makes what was decided durable, and takes it into the conversation.
    async fn asked(&mut self, occasion: Occasion<'_>) -> Result<Result<(), String>, Halt> {
        let point = occasion.point();
        let mut decided: Vec<Decided> = Vec::new();
        let answer = {
            let answered = |plugin: &str| self.input.conversation.was_answered(point, plugin);
            let asking = self.input.hooks.pass(&self.scene, occasion, answered, &mut decided);
            tokio::select! {
                biased;
                halt = self.halted() => return Err(halt),
                answer = asking => answer,
            }
        };
        for decided in decided {
            self.record(decided.event(self.id)).await?;
        }
        Ok(answer)
    }
}
