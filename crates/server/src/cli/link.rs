//! `hangar link`: a new sign-in link for the browser.

use clap::Args;
use hangar_protocol::UserId;

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    words,
};

/// Make a link that signs you in once, in a browser.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar link              for yourself
  hangar link --user ada   for somebody else; owners only")]
pub(super) struct Link {
    /// Whom the link signs in [default: you].
    #[arg(long, value_name = "LOGIN")]
    user: Option<UserId>,
}

impl Link {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let user = match self.user {
            Some(user) => user,
            None => client.me().await?.person.user,
        };
        let link = client.sign_in_link(&user).await?;
        if terminal.is_json() {
            terminal.json(&link)?;
        } else {
            terminal.line(&link.url)?;
            terminal.remark(Look::Faint, &valid(&user, link.expires_ms));
        }
        Ok(Ended::Well)
    }
}

/// How long a link works, and how often.
pub(super) fn valid(user: &UserId, expires_ms: u64) -> String {
    format!("It signs {user} in once, within {}.", words::minutes_left(expires_ms))
}
