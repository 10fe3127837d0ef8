//! Makes a conversation shorter that has grown too long for its model: outputs of old calls are left out where that is enough, else the
//! model sums it up.

use futures::{FutureExt, future::ready};
use hangar_protocol::{EventBody, Seq};

use super::{
    Halt, Turn, calls,
    question::{NoReply, Question},
};
use crate::limits;

impl Turn {
    /// Before a request: makes room where the conversation nearly fills the model's window.
    pub(super) async fn make_room(&mut self, step: u32) -> Result<(), Halt> {
        let Some(room) = self.model.room_tokens else { return Ok(()) };
        let tokens = self.input.conversation.tokens();
        if tokens <= room {
            return Ok(());
        }
        let saved = self.input.conversation.saved_by_leaving_out(limits::REPLIES_KEPT);
        if tokens.saturating_sub(saved) <= room * limits::CONTEXT_ENOUGH_PERCENT / 100 {
            let (turn, replies_kept) = (self.id, limits::REPLIES_KEPT);
            return self.record(EventBody::OutputsLeftOut { turn, step, replies_kept, tokens_before: tokens }).await;
        }
        if self.input.conversation.replies_since_summary() < limits::REPLIES_BETWEEN_SUMMARIES {
            return Ok(());
        }
        self.sum_up(step).await
    }

    /// Whether a request may have been refused because of an image, by the words of the refusal. One that a service does not take (because it
    /// is damaged, or the model sees nothing) would be refused with every later request.
    pub(super) fn may_be_an_image(&self, reason: &str) -> bool {
        const SAID: [&str; 3] = ["image", "multimodal", "vision"];
        let reason = reason.to_lowercase();
        SAID.iter().any(|said| reason.contains(said)) && self.input.conversation.shows_images()
    }

    /// Leaves out all images, and the outputs of all calls with them.
    pub(super) async fn leave_out_images(&mut self, step: u32) -> Result<(), Halt> {
        let tokens_before = self.input.conversation.tokens();
        self.record(EventBody::OutputsLeftOut { turn: self.id, step, replies_kept: 0, tokens_before }).await
    }

    /// Lets the model sum up the conversation and goes on from that.
    pub(super) async fn sum_up(&mut self, step: u32) -> Result<(), Halt> {
        let tokens_before = self.input.conversation.tokens();
        let mut shortened = 0;
        let timed = loop {
            self.sink.admit_request(&self.model.price).map_err(Halt::Paused)?;
            let question = Question::Summary { step, shortened };
            match self.reply(question, ready(Ok(Seq(0))).shared()).await {
                Ok(timed) => break timed,
                Err(NoReply::Halt(halt)) => return Err(halt),
                Err(NoReply::GivenUp(reason)) => self.fall_back(step, reason).await?,
                Err(NoReply::TooLong(reason)) => {
                    shortened += 1;
                    if self.input.conversation.messages_to_sum_up(shortened).is_none() {
                        return Err(Halt::Failed(format!(
                            "The conversation is too long for the model {} ({reason}), and cannot be made shorter. Choose a model with \
                             a larger window, or begin a session anew.",
                            self.model.id
                        )));
                    }
                }
            }
        };
        let summary = self.input.conversation.kept_summary(&timed.reply.words());
        let usage = timed.reply.usage;
        let cost_micro_usd = self.model.price.cost_micro_usd(usage);
        let turn = self.id;
        self.record(EventBody::ConversationSummarized { turn, step, summary, tokens_before, usage, cost_micro_usd })
            .await?;
        // Instructions of the repository that went with the results they rode on are given again.
        self.instructed = calls::Instructed::new(&self.input.conversation);
        Ok(())
    }
}
