//! `hangar archive`, `unarchive`, `delete` and `undelete`: put a session away, and take it back.

use clap::Args;
use serde_json::json;

use super::{
    connect,
    ended::{Ended, Outcome},
    terminal::{Look, Terminal},
    which_session::which_session,
    words,
};

/// Put a session away: lists leave it out, and the next prompt takes it out again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar archive k3x9      exit status 5 while it is at work")]
pub(super) struct Archive {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
}

/// Take a session out of the archive.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar unarchive k3x9")]
pub(super) struct Unarchive {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
}

/// Delete a session: what runs is stopped. It can be taken back for a while, seven days unless the server says otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar delete k3x9
  hangar undelete k3x9       while it can be taken back
  hangar sessions --deleted  what can be taken back, and until when")]
pub(super) struct Delete {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
}

/// Take a deleted session back. Prompts that waited go on.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar undelete k3x9      exit status 5 when it is not deleted")]
pub(super) struct Undelete {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,
}

impl Archive {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        client.archive(&session).await?;
        if terminal.is_json() {
            terminal.json(&json!({"session": session, "archived": true}))?;
        } else {
            terminal
                .remark(Look::Good, &format!("Session {session} is put away; `hangar sessions --archived` lists it."));
        }
        Ok(Ended::Well)
    }
}

impl Unarchive {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        client.unarchive(&session).await?;
        if terminal.is_json() {
            terminal.json(&json!({"session": session, "archived": false}))?;
        } else {
            terminal.remark(Look::Good, &format!("Session {session} is listed again."));
        }
        Ok(Ended::Well)
    }
}

impl Delete {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let deletion = client.delete_session(&session).await?;
        if terminal.is_json() {
            terminal.json(&json!({"session": session, "deleted": deletion}))?;
        } else {
            let until = words::date(deletion.purge_ms);
            terminal.remark(
                Look::Good,
                &format!("Session {session} is deleted. `hangar undelete {session}` takes it back until {until}."),
            );
        }
        Ok(Ended::Well)
    }
}

impl Undelete {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        client.undelete_session(&session).await?;
        if terminal.is_json() {
            terminal.json(&json!({"session": session, "deleted": null}))?;
        } else {
            terminal.remark(Look::Good, &format!("Session {session} is there again."));
        }
        Ok(Ended::Well)
    }
}
