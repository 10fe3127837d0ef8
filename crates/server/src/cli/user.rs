//! `hangar user`: who may come in.

use clap::{Args, Subcommand, ValueEnum};
use hangar_protocol::{
    UserId,
    api::{Me, NewUser, Role},
};

use super::{
    connect,
    ended::{Ended, Outcome},
    link,
    table::{Cell, columns},
    terminal::{Look, Terminal},
};

/// Let people in, and list them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar user add ada --name \"Ada Lovelace\" --email ada@example.com
  hangar user ls")]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    Add(Add),
    Ls(Ls),
}

/// Let somebody in. Prints the link that signs them in for the first time. Owners only.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Their login here.
    #[arg(value_name = "LOGIN")]
    user: UserId,

    /// The name their commits carry.
    #[arg(long)]
    name: String,

    /// The address their commits carry.
    #[arg(long)]
    email: String,

    /// What they may do.
    #[arg(long, value_enum, default_value_t = GivenRole::Member)]
    role: GivenRole,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GivenRole {
    /// Everything, people and settings included.
    Owner,
    /// Work with repositories and sessions.
    Member,
}

/// List everybody who may come in.
#[derive(Debug, Args)]
pub(super) struct Ls {}

impl User {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        match self.command {
            UserCommand::Add(add) => add.carry_out(terminal).await,
            UserCommand::Ls(ls) => ls.carry_out(terminal).await,
        }
    }
}

impl Add {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let role = match self.role {
            GivenRole::Owner => Role::Owner,
            GivenRole::Member => Role::Member,
        };
        let user = NewUser { user: self.user, name: self.name, email: self.email, role };
        let link = connect()?.add_user(&user).await?;
        if terminal.is_json() {
            terminal.json(&link)?;
        } else {
            terminal.line(&link.url)?;
            terminal.remark(Look::Faint, &link::valid(&user.user, link.expires_ms));
        }
        Ok(Ended::Well)
    }
}

impl Ls {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let users = connect()?.users().await?;
        if terminal.is_json() {
            terminal.json(&users)?;
            return Ok(Ended::Well);
        }
        let rows: Vec<[Cell; 4]> = users.iter().map(row).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        Ok(Ended::Well)
    }
}

fn row(user: &Me) -> [Cell; 4] {
    let role = match user.role {
        Role::Owner => (Look::Notice, "owner".to_owned()),
        Role::Member => (Look::Plain, "member".to_owned()),
    };
    [
        (Look::Strong, user.person.user.to_string()),
        role,
        (Look::Plain, user.person.name.clone()),
        (Look::Faint, user.person.email.clone()),
    ]
}
