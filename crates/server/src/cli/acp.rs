//! `hangar acp`: hangar's sessions in an editor that starts this program.

use clap::Args;
use futures::StreamExt as _;
use hangar_protocol::{Refusal, RefusalCode};
use tokio::{
    io::{AsyncWriteExt as _, stdin, stdout},
    sync::mpsc,
};
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{
    connect,
    ended::{Ended, Failure, Outcome},
    terminal::Terminal,
};
use crate::acp::{MESSAGE_BYTES_MAX, WAITING_MESSAGES_MAX, Wishes, serve};

/// Work on hangar's sessions in an editor that speaks the Agent Client Protocol, on standard input and output
///
/// The editor starts this program and shows sessions as conversations with an agent, in the name of whoever signed in on this terminal. The same is at /acp of every
/// hangar as a WebSocket, for editors that send a token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  In Zed's settings.json:
    \"agent_servers\": { \"hangar\": { \"command\": \"hangar\", \"args\": [\"acp\"] } }
  acpx --agent 'hangar acp --repo acme/app' 'Make the tests pass.'")]
pub(super) struct Acp {
    /// The repository of new sessions; left out, the one that the editor's directory is a clone of
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<String>,
    /// The model of new sessions
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The external agent of new sessions
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
}

impl Acp {
    pub(super) async fn carry_out(self, _terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let Self { repo, model, agent } = self;
        let (heard, incoming) = mpsc::channel(1);
        let (outgoing, mut told) = mpsc::channel::<String>(WAITING_MESSAGES_MAX);
        let reading = tokio::spawn(async move {
            let mut lines = FramedRead::new(stdin(), LinesCodec::new_with_max_length(MESSAGE_BYTES_MAX));
            while let Some(line) = lines.next().await {
                let line = line.map_err(|error| ended(&error.to_string()))?;
                if !line.trim().is_empty() && heard.send(line).await.is_err() {
                    break;
                }
            }
            Ok::<(), Failure>(())
        });
        let writing = tokio::spawn(async move {
            let mut out = stdout();
            while let Some(message) = told.recv().await {
                out.write_all(format!("{message}\n").as_bytes()).await?;
                out.flush().await?;
            }
            Ok::<(), std::io::Error>(())
        });
        serve(client, Wishes { repo, model, agent, on_this_machine: true }, incoming, outgoing).await?;
        let read = reading.await.map_err(|error| ended(&error.to_string()))?;
        drop(writing.await);
        read.map(|()| Ended::Well)
    }
}

fn ended(cause: &str) -> Failure {
    Refusal::new(
        RefusalCode::BadRequest,
        format!("Whoever started `hangar acp` did not speak the Agent Client Protocol: {cause}."),
        "Let an editor start it, such as Zed or `acpx`.",
    )
    .into()
}
