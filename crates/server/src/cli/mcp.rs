//! `hangar mcp`: hangar's sessions as tools, for an agent that starts this program.

use clap::Args;
use hangar_protocol::{Refusal, RefusalCode};
use rmcp::{ServiceExt as _, transport::stdio};

use super::{
    connect,
    ended::{Ended, Failure, Outcome},
    terminal::Terminal,
};
use crate::mcp::SessionTools;

/// Offer hangar's sessions as tools of the Model Context Protocol, on standard input and output
///
/// Another agent starts this program and can then begin sessions, read them, answer their questions and stop them, in the name of whoever signed in on this terminal.
/// The same tools are at /mcp of every hangar, for agents that send a token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claude mcp add hangar -- hangar mcp
  codex mcp add hangar -- hangar mcp")]
pub(super) struct Mcp {}

impl Mcp {
    pub(super) async fn carry_out(self, _terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        // Says so at once where nobody is signed in, instead of at the first call.
        client.me().await?;
        let serving = SessionTools::of(client).serve(stdio()).await.map_err(|error| ended(&error.to_string()))?;
        serving.waiting().await.map_err(|error| ended(&error.to_string()))?;
        Ok(Ended::Well)
    }
}

fn ended(cause: &str) -> Failure {
    Refusal::new(
        RefusalCode::BadRequest,
        format!("Whoever started `hangar mcp` did not speak the Model Context Protocol: {cause}."),
        "Let an agent start it, such as `claude mcp add hangar -- hangar mcp`.",
    )
    .into()
}
