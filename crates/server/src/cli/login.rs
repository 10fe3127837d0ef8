//! `hangar login`: remember a server and a token.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use hangar_client::{Client, Settings, Token};

use super::{
    bad_request,
    ended::{Ended, Failure, Outcome},
    keyboard::read_hidden_line,
    terminal::{Look, Terminal},
};

/// Sign in to a hangar from this terminal.
///
/// The token is kept in ~/.config/hangar/client.toml, readable by you alone, and only ever sent to its own server. Make one in
/// the web app's settings, or with `hangar token create` where you are signed in already.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar login --url https://hangar.example.com                 asks for the token
  hangar login --url https://hangar.example.com --token - < f   reads it from standard input")]
pub(super) struct Login {
    /// The server's address.
    #[arg(long)]
    url: String,

    /// The personal access token; `-` reads it from standard input. Others on this machine can see what stands here.
    #[arg(long, env = "HANGAR_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Login {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let token = read_token(self.token)?;
        let client = Client::new(&self.url, token.clone())?;
        let me = client.me().await?;
        let path = Settings::path()?;
        let mut settings = Settings::load(&path)?;
        settings.remember(client.url(), &token)?;
        settings.save(&path)?;
        if terminal.is_json() {
            terminal.json(&me)?;
        } else {
            let name = terminal.paint(Look::Strong, me.person.user.as_str());
            terminal.line(&format!("Signed in to {} as {name}.", client.url()))?;
            terminal.remark(Look::Faint, &format!("Remembered in {}.", path.display()));
        }
        Ok(Ended::Well)
    }
}

fn read_token(given: Option<String>) -> Result<Token, Failure> {
    let text = match given.as_deref() {
        Some("-") => io::read_to_string(io::stdin())?,
        Some(text) => text.to_owned(),
        None if io::stdin().is_terminal() => {
            // Asked on standard error: standard output may be a file.
            write!(io::stderr(), "Token (not shown): ")?;
            let line = read_hidden_line()?;
            writeln!(io::stderr())?;
            line
        }
        None => String::new(),
    };
    let token = Token::new(&text);
    if token.is_empty() || token.reveal().contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad_request(
            "There is no token, or something else stands in its place.",
            "Give one word that begins with hgr_: with --token, HANGAR_TOKEN, or `--token -` and standard input.",
        ));
    }
    Ok(token)
}
