//! `hangar token`: personal access tokens for scripts and git.

use clap::{Args, Subcommand};
use hangar_protocol::api::TokenInfo;

use super::{
    connect,
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// List, make and remove your personal access tokens.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar token ls
  hangar token create \"release script\"
  hangar token rm 3")]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    Ls(Ls),
    Create(Create),
    Rm(Rm),
}

/// List your tokens, without their secrets.
#[derive(Debug, Args)]
pub(super) struct Ls {}

/// Make a token. It is printed this once and never again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar token create laptop > token.txt
  git -c credential.helper= clone http://x:$(hangar token create git)@127.0.0.1:7433/git/acme/website.git")]
pub(super) struct Create {
    /// What it is for.
    label: String,
}

/// Remove a token: whoever uses it is locked out at once.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Its number, as `hangar token ls` shows it.
    #[arg(value_name = "NUMBER")]
    id: u32,
}

impl Token {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        match self.command {
            TokenCommand::Ls(ls) => ls.carry_out(terminal).await,
            TokenCommand::Create(create) => create.carry_out(terminal).await,
            TokenCommand::Rm(rm) => rm.carry_out(terminal).await,
        }
    }
}

impl Ls {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let tokens = connect()?.tokens().await?;
        if terminal.is_json() {
            terminal.json(&tokens)?;
            return Ok(Ended::Well);
        }
        let now_ms = words::now_ms();
        let rows: Vec<[Cell; 4]> = tokens.iter().map(|token| row(token, now_ms)).collect();
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        Ok(Ended::Well)
    }
}

fn row(token: &TokenInfo, now_ms: u64) -> [Cell; 4] {
    let used =
        token.used_ms.map_or_else(|| "never used".to_owned(), |used| format!("used {}", words::age(used, now_ms)));
    [
        (Look::Strong, token.id.to_string()),
        (Look::Plain, words::one_line(&token.label)),
        (Look::Faint, format!("made {}", words::age(token.created_ms, now_ms))),
        (Look::Faint, used),
    ]
}

impl Create {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let created = connect()?.create_token(&self.label).await?;
        if terminal.is_json() {
            terminal.json(&created)?;
        } else {
            terminal.line(&created.secret)?;
            terminal.remark(
                Look::Faint,
                &format!("Token {}. It is shown this once; `hangar token rm {0}` ends it.", created.info.id),
            );
        }
        Ok(Ended::Well)
    }
}

impl Rm {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        connect()?.remove_token(self.id).await?;
        if terminal.is_json() {
            terminal.json(&serde_json::json!({ "removed": self.id }))?;
        } else {
            terminal.remark(Look::Good, &format!("Token {} works no more.", self.id));
        }
        Ok(Ended::Well)
    }
}
