//! Where a turn reports to. The session's driver implements it; it is the only one who writes the log.

use async_trait::async_trait;
use bytes::Bytes;
use hangar_protocol::{
    CallId, EventBody, Exhausted, Seq, api::OpenPullRequest, event::BlobRef, frame::TextChannel,
    state::PullRequestState,
};

use crate::{conversation::Steer, models::Price, others::OtherSessions, tools::Tell};

/// The turn is no longer the session's: it was ended from outside, or its log cannot be written. Stop at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the turn is over")]
pub struct TurnOver;

/// What a turn tells and asks its session.
#[async_trait]
pub trait TurnSink: OtherSessions {
    /// Appends an event, caused by the turn. It is durable when this returns: the effect that it announces may begin.
    ///
    /// # Errors
    /// [`TurnOver`] when nothing more may be written; the turn then ends without another word.
    async fn record(&self, body: EventBody) -> Result<Seq, TurnOver>;

    /// What people want to say to the turn: each is in the log as said when this returns, and is given once. Ask only when every call
    /// has its result. Costs next to nothing when there is nothing.
    ///
    /// # Errors
    /// [`TurnOver`] as with [`TurnSink::record`].
    async fn steers(&self) -> Result<Vec<Steer>, TurnOver>;

    /// Whether a model of this price may be asked once more.
    ///
    /// # Errors
    /// The budget that is used up, or money that is limited while the price is not known: the turn then stops where it is, and is
    /// taken up again later.
    fn admit_request(&self, price: &Price) -> Result<(), Exhausted>;

    /// Whether a tool may be called. A call that was let through counts.
    ///
    /// # Errors
    /// As for [`TurnSink::admit_request`].
    fn admit_call(&self) -> Result<(), Exhausted>;

    /// Shows text of a reply that is being written. `offset` counts the bytes of the block before `text`. Never waits.
    fn text(&self, step: u32, block: u32, channel: TextChannel, offset: u32, text: &str);

    /// What was shown of this reply is void. Never waits.
    fn text_reset(&self, step: u32);

    /// Shows output of a running tool. `offset` counts the bytes of output before `text`. Never waits.
    fn tool_output(&self, call: &CallId, offset: u32, text: &str);

    /// Keeps bytes beside the log. They are durable when this returns.
    ///
    /// # Errors
    /// [`TurnOver`] as with [`TurnSink::record`].
    async fn blob(&self, bytes: Bytes) -> Result<BlobRef, TurnOver>;

    /// Bytes that were kept before.
    ///
    /// # Errors
    /// [`TurnOver`] when they cannot be read.
    async fn read_blob(&self, blob: &BlobRef) -> Result<Bytes, TurnOver>;

    /// Opens a pull request from the session's branch in the name of the turn's author. Records its own event.
    ///
    /// # Errors
    /// Words for the model: nothing was pushed, there is one already, the forge refuses.
    async fn open_pull_request(&self, wish: OpenPullRequest) -> Result<PullRequestState, Tell>;
}
