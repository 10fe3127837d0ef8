//! `hangar members` and `hangar visibility`: who may do what in a session.

use clap::{Args, ValueEnum};
use hangar_client::Client;
use hangar_protocol::{SessionId, SessionRole, UserId, Visibility};

use super::{
    bad_request, connect,
    ended::{Ended, Failure, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// Show who has a role of their own in a session, and change it.
///
/// A viewer reads; a prompter prompts, stops and opens pull requests; an owner may do everything. In a team session everybody of the
/// server is at least a prompter.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar members k3x9
  hangar members k3x9 --set ada=viewer --remove bob
  hangar members k3x9 --take      owners of the server: become an owner of it, which its log says")]
pub(super) struct Members {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Give somebody a role: viewer, prompter or owner.
    #[arg(long, value_name = "LOGIN=ROLE", value_parser = role_of)]
    set: Vec<(UserId, SessionRole)>,

    /// Take somebody's own role away, or your own.
    #[arg(long, value_name = "LOGIN")]
    remove: Vec<UserId>,

    /// Become an owner of it, also of a private one (owners of the server). It wants the whole id where you do not see it.
    #[arg(long)]
    take: bool,
}

/// Say who may see a session: everybody of the server, or its members alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar visibility k3x9 private")]
pub(super) struct VisibilityOf {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Who may see it.
    #[arg(value_enum)]
    visibility: GivenVisibility,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GivenVisibility {
    /// Everybody of the server, and everybody may prompt.
    Team,
    /// Its members alone.
    Private,
}

/// A role as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum GivenRole {
    /// Read.
    Viewer,
    /// Prompt, stop, open pull requests.
    Prompter,
    /// Everything.
    Owner,
}

impl From<GivenRole> for SessionRole {
    fn from(given: GivenRole) -> Self {
        match given {
            GivenRole::Viewer => Self::Viewer,
            GivenRole::Prompter => Self::Prompter,
            GivenRole::Owner => Self::Owner,
        }
    }
}

fn role_of(text: &str) -> Result<(UserId, SessionRole), String> {
    let (login, role) = text.split_once('=').ok_or("write it as LOGIN=ROLE, e.g. ada=viewer")?;
    let login = login.parse::<UserId>().map_err(|refusal| refusal.message)?;
    Ok((login, GivenRole::from_str(role, false)?.into()))
}

impl Members {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = self.find(&client).await?;
        if self.take {
            client.take_ownership(&session).await?;
        }
        for (user, role) in &self.set {
            client.set_role(&session, user, *role).await?;
        }
        for user in &self.remove {
            client.remove_member(&session, user).await?;
        }
        let state = match client.session(&session).await {
            Ok(state) => state,
            // Whoever left a private session does not see it any more; what was asked for is done.
            Err(_) if !self.remove.is_empty() => return Ok(Ended::Well),
            Err(error) => return Err(error.into()),
        };
        if terminal.is_json() {
            terminal.json(&state.members)?;
            return Ok(Ended::Well);
        }
        let rows: Vec<[Cell; 2]> = state
            .members
            .iter()
            .map(|(user, role)| [(Look::Strong, user.to_string()), (Look::Plain, role.word().to_owned())])
            .collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        terminal.remark(Look::Faint, seen_by(state.visibility));
        Ok(Ended::Well)
    }

    async fn find(&self, client: &Client) -> Result<SessionId, Failure> {
        if !self.take {
            return which_session(client, &self.session).await;
        }
        // One that is to be taken over is in no list of theirs.
        self.session.parse().map_err(|_| {
            bad_request("--take wants the session's whole id.", "`hangar sessions --everybody` lists them.")
        })
    }
}

fn seen_by(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Team => "A team session: everybody else of the server is a prompter.",
        Visibility::Private => "A private session: nobody else sees it.",
    }
}

impl VisibilityOf {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let visibility = match self.visibility {
            GivenVisibility::Team => Visibility::Team,
            GivenVisibility::Private => Visibility::Private,
        };
        client.set_visibility(&session, visibility).await?;
        if terminal.is_json() {
            terminal.json(&serde_json::json!({"session": session, "visibility": visibility}))?;
        } else {
            terminal.remark(Look::Good, seen_by(visibility));
        }
        Ok(Ended::Well)
    }
}
