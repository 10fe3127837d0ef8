//! What handlers can reach.

use std::{ops::Deref, sync::Arc};

use hangar_agent::{Models, acp::Harnesses};
use hangar_forge::LocalForge;
use hangar_image::{Images, Pool, base::BaseMaker};
use hangar_protocol::{
    Refusal, RefusalCode, SessionId, SessionRole, UserId,
    api::{Role, SignInLink},
};
use hangar_sandbox::{Engine, toolchains::Toolchain};
use hangar_session::Sessions;

use crate::{
    config::Config,
    gate::{Asking, Busy, KnownHosts},
    people::{People, SignInRate},
    stream::StreamPlaces,
};

/// Everything a handler may need. Cloning it is cheap.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// The parts of [`App`].
pub(crate) struct Parts {
    pub(crate) config: Config,
    /// The address people type, without a trailing slash.
    pub(crate) url: String,
    pub(crate) people: People,
    pub(crate) forge: LocalForge,
    pub(crate) models: Models,
    pub(crate) harnesses: Harnesses,
    pub(crate) sessions: Sessions,
    pub(crate) images: Images,
    pub(crate) pool: Pool,
    pub(crate) bases: BaseMaker,
    pub(crate) engine: Engine,
    /// What the base `host` has besides the machine's own programs.
    pub(crate) toolchains: Vec<Toolchain>,
    pub(crate) known_hosts: KnownHosts,
    pub(crate) busy: Busy,
    pub(crate) sign_in_rate: SignInRate,
    pub(crate) streams: StreamPlaces,
}

impl App {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What the asking person may do in a session. Every route that reads one asks this first, and whatever writes asks the session.
    ///
    /// Where its log is damaged, nobody can know who may see it. Owners of the server, who may take any session over, read what is left of it then.
    ///
    /// # Errors
    /// When there is no such session, or they may not see it: the two look the same. When its log is damaged.
    pub(crate) async fn seen(&self, asking: &Asking, session: &SessionId) -> Result<SessionRole, Refusal> {
        let account = &asking.account;
        match (self.sessions.role(session, &account.person.user).await, account.role) {
            (Err(refusal), Role::Owner) if refusal.code == RefusalCode::Internal => {
                tracing::warn!(%session, by = %account.person.user, "a damaged session is read by an owner of the server");
                Ok(SessionRole::Viewer)
            }
            (role, Role::Owner | Role::Member) => role,
        }
    }

    /// A one-time link by which this user signs in.
    pub(crate) async fn sign_in_link(&self, user: &UserId) -> Result<SignInLink, Refusal> {
        let made = self.people.new_sign_in_code(user, self.config.people.sign_in_link_minutes).await?;
        // Behind `#`, the code is not sent when the page is fetched, and stands in nobody's log.
        Ok(SignInLink { url: format!("{}/sign-in#{}", self.url, made.code.reveal()), expires_ms: made.expires_ms })
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
