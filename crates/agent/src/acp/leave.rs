//! The end of a program that did not end by itself: it is asked to stop, and may say its last.

use hangar_protocol::{event::ToolStatus, frame::TextChannel};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    turn::{Speaker, Turn},
    words::{CallStatus, Incoming, Update, Updated},
};
use crate::turn::Halt;

impl Turn {
    /// Asks the program to stop, and takes in what it says until it has or its time for that is over.
    pub(super) async fn take_leave(&mut self, speaker: &mut Speaker) -> Result<(), Halt> {
        let until = Instant::now() + self.input.times.farewell_max;
        let cancelled = json!({"outcome": {"outcome": "cancelled"}});
        let farewell = async {
            if let Some(id) = self.asked_leave.take() {
                speaker.peer.answer(&id, cancelled).await?;
            }
            speaker.peer.notify("session/cancel", json!({"sessionId": speaker.conversation})).await
        };
        let mut goes = matches!(timeout_at(until, farewell).await, Ok(Ok(())));
        while goes {
            let Ok(Ok(incoming)) = timeout_at(until, speaker.peer.next()).await else { break };
            match incoming {
                Incoming { method: Some(method), id: None, params, .. } if method == "session/update" => {
                    goes = self.last_news(params).await?;
                }
                Incoming { method: Some(method), id: Some(id), .. } => {
                    let refused = timeout_at(until, speaker.peer.refuse(&id, &method)).await;
                    goes = matches!(refused, Ok(Ok(())));
                }
                Incoming { method: Some(_), .. } => {}
                // The answer to the prompt.
                Incoming { .. } => goes = false,
            }
        }
        Ok(())
    }

    /// What a program that was asked to stop still has to say; `false` when it is not listened to any more.
    async fn last_news(&mut self, params: Value) -> Result<bool, Halt> {
        let Ok(Updated { update }) = serde_json::from_value(params) else { return Ok(true) };
        match update {
            Update::AgentMessageChunk { content } => Ok(self.more(TextChannel::Text, &content).is_ok()),
            Update::AgentThoughtChunk { content } => Ok(self.more(TextChannel::Reasoning, &content).is_ok()),
            Update::CallNews(call) if call.status == Some(CallStatus::Completed) => {
                match self.end_call(&call.tool_call_id, ToolStatus::Ok, call.output()).await {
                    Err(Halt::Over) => Err(Halt::Over),
                    Ok(()) | Err(Halt::Stopped | Halt::Failed(_) | Halt::Paused(_)) => Ok(true),
                }
            }
            Update::ToolCall(_) | Update::CallNews(_) | Update::Plan { .. } | Update::Other => Ok(true),
        }
    }
}
