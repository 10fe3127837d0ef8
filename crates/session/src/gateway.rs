//! The model gateway of one sandbox, as its session sees it: may a program ask now, and what came of it.

use async_trait::async_trait;
use hangar_agent::{
    Model,
    gateway::{Admission, GatewayHost, GatewayToken, NotAdmitted, Relayed},
};
use hangar_protocol::{
    SessionId,
    guest::{BORDER_ADDRESS, BORDER_HOST},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    budgets::Priced,
    clock::millis,
    decide::Report,
    driver::{Message, ModelWish},
};

/// Where the gateway is, on the host by which a sandbox knows hangar. No owner of a repository can be called so.
pub(crate) const GATEWAY_PATH: &str = "/-";
/// Where the hooks of an external agent ask, beside it.
pub(crate) const HOOKS_PATH: &str = "/-/hooks";
/// The variable that says where.
pub(crate) const URL_VARIABLE: &str = "HANGAR_MODELS_URL";
/// The variable that holds the token.
pub(crate) const TOKEN_VARIABLE: &str = "HANGAR_MODELS_TOKEN";

/// Whether programs that the agent starts find a model gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelGateway {
    /// They do not.
    #[default]
    Off,
    /// They do.
    Offered,
}

/// What a sandbox's commands find in their environment.
pub(crate) fn environment(token: &GatewayToken) -> [(String, String); 2] {
    [
        (URL_VARIABLE.to_owned(), format!("http://{BORDER_HOST}{GATEWAY_PATH}")),
        (TOKEN_VARIABLE.to_owned(), token.reveal().to_owned()),
    ]
}

/// The address at which hooks ask. A number: the hook program asks nobody for names, so that it works over whatever base.
pub(crate) fn hooks_url() -> String {
    format!("http://{BORDER_ADDRESS}{HOOKS_PATH}")
}

/// See the module's documentation.
pub(crate) struct SessionGateway {
    session: SessionId,
    /// Weak: a gateway that waits for requests keeps no session awake.
    inbox: mpsc::WeakSender<Message>,
}

impl SessionGateway {
    pub(crate) fn new(session: SessionId, inbox: mpsc::WeakSender<Message>) -> Self {
        Self { session, inbox }
    }
}

#[async_trait]
impl GatewayHost for SessionGateway {
    async fn admit(&self, model: &Model) -> Result<Admission, NotAdmitted> {
        let inbox = self.inbox.upgrade().ok_or(NotAdmitted::NoTurn)?;
        let (answer, answered) = oneshot::channel();
        let wish = ModelWish { model: model.id.clone(), priced: Priced::of(&model.price), answer };
        inbox.send(Message::AskModel(wish)).await.map_err(|_| NotAdmitted::NoTurn)?;
        answered.await.unwrap_or(Err(NotAdmitted::NoTurn))
    }

    async fn replied(&self, admission: &Admission, relayed: Relayed) {
        let Relayed { outcome, usage, cost_micro_usd, first_byte, whole } = relayed;
        let report = Report::GatewayReplied {
            turn: admission.turn,
            request: admission.request,
            outcome,
            usage,
            cost_micro_usd,
            first_byte_ms: millis(first_byte),
            duration_ms: millis(whole),
        };
        let (recorded, durable) = oneshot::channel();
        let sent = match self.inbox.upgrade() {
            Some(inbox) => inbox.send(Message::Record(report, recorded)).await.is_ok(),
            None => false,
        };
        if !sent || durable.await.ok().flatten().is_none() {
            tracing::warn!(
                session = %self.session,
                turn = admission.turn.0,
                request = admission.request,
                tokens = usage.total(),
                "what a request through the gateway used up is not in the session's log: the session was closing"
            );
        }
    }
}
