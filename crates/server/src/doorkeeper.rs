//! The forge and the sessions ask who people are; they are the same people.

use async_trait::async_trait;
use hangar_forge::{Access, Doorkeeper, ForgeError, ForgeUser, Owner, RepoPath, Token};
use hangar_protocol::{Refusal, RefusalCode, UserId, api::Role};

use crate::people::{Account, People};

/// Answers the forge's and the sessions' questions from `hangar.db`.
#[derive(Clone, Debug)]
pub(crate) struct Door(pub(crate) People);

/// A user, as the forge knows them.
pub(crate) fn forge_user(account: &Account) -> Result<ForgeUser, Refusal> {
    let login = account.person.user.as_str().parse::<Owner>();
    Ok(ForgeUser {
        id: account.id,
        login: login
            .map_err(|error| Refusal::new(RefusalCode::BadRequest, format!("{error}."), "Use another login."))?,
        name: account.person.name.clone(),
        email: account.person.email.clone(),
        ceiling: ceiling(account.role),
    })
}

/// Members work with every repository of this server; owners may also change the repositories themselves.
fn ceiling(role: Role) -> Access {
    match role {
        Role::Owner => Access::Admin,
        Role::Member => Access::Write,
    }
}

fn broken(refusal: &Refusal) -> ForgeError {
    ForgeError::Broken(refusal.message.clone())
}

#[async_trait]
impl Doorkeeper for Door {
    async fn user(&self, token: &Token) -> hangar_forge::Result<Option<ForgeUser>> {
        let account = self.0.of_token(token.reveal()).await.map_err(|refusal| broken(&refusal))?;
        account.map(|account| forge_user(&account).map_err(|refusal| broken(&refusal))).transpose()
    }

    async fn access(&self, user: &ForgeUser, _: &RepoPath) -> hangar_forge::Result<Access> {
        Ok(user.ceiling)
    }

    async fn may_create(&self, user: &ForgeUser, _: &Owner) -> hangar_forge::Result<bool> {
        Ok(user.ceiling >= Access::Write)
    }
}

#[async_trait]
impl hangar_session::People for Door {
    async fn forge_user(&self, user: &UserId) -> Result<ForgeUser, Refusal> {
        forge_user(&self.0.user(user).await?)
    }
}
