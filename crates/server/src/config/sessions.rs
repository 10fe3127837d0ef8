//! Who sees new sessions, what their sandboxes may ask models, and how long deleted ones are kept.

use hangar_protocol::Visibility;
use hangar_session::ModelGateway;
use serde::{Deserialize, Serialize};

use super::{Shape, keys::section};

section! {
    /// `[sessions]`: who sees new sessions, what their sandboxes may ask models, and how long deleted ones are kept.
    SessionsConfig in "sessions" {
        /// Who sees a session unless whoever begins it says otherwise: `team` is everybody of this server, `private` its members alone.
        visibility: Visibility = Visibility::Team, Shape::Choice(&["team", "private"]);
        /// Who in a sandbox finds a model gateway: nobody (`off`), or the agent's commands and whatever they start (`commands`). Its address is in `HANGAR_MODELS_URL`, a token for it in `HANGAR_MODELS_TOKEN`. What is asked there counts against the session's budgets.
        model_gateway: GatewayWord = GatewayWord::Off, Shape::Choice(&["off", "commands"]);
        /// How long a deleted session can be taken back before it is removed for good; 0 removes it at once.
        restorable_hours: u32 = 168, Shape::Number("hours");
    }
}

/// Who in a sandbox finds a model gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayWord {
    /// Nobody.
    Off,
    /// Commands of hangar's own agent, and whatever they start.
    Commands,
}

impl From<GatewayWord> for ModelGateway {
    fn from(word: GatewayWord) -> Self {
        match word {
            GatewayWord::Off => Self::Off,
            GatewayWord::Commands => Self::Offered,
        }
    }
}
