//! Programs that are spoken with over their standard input and output, in the session's sandbox: external agents and MCP servers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use hangar_agent::acp::{Command, Launch, PIECES_AHEAD, Piece, Program, Programs};
use hangar_protocol::guest::{ExitStatus, Stream};
use hangar_sandbox::{Ended, Error, Exec, ExecSpec};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{TOKEN_VARIABLE, URL_VARIABLE, hooks_url},
    home::Home,
    sandbox_host::{Place, sandbox_refusal},
    workspace::words_of,
};

/// See the module's documentation.
pub(crate) struct SandboxPrograms {
    pub(crate) home: Arc<Home>,
}

#[async_trait]
impl Programs for SandboxPrograms {
    async fn start(&self, launch: Launch) -> Result<Program, String> {
        let place = self.home.sandbox.get().await.map_err(|refusal| refusal.to_string())?;
        let (Some(url), Some(token)) = (place.env.get(URL_VARIABLE), place.env.get(TOKEN_VARIABLE)) else {
            return Err("Its sandbox has no model gateway. Set sessions.model_gateway to \"commands\" in hangar.toml, and begin a new \
                        session."
                .to_owned());
        };
        let command = launch.command(url, token, &hooks_url());
        run(place, command).await
    }

    async fn writable(&self) -> Result<(), String> {
        self.home.writable().await
    }
}

impl Home {
    /// Waits until the session's workspace can be written, and what commands need runs beside it.
    pub(crate) async fn writable(&self) -> Result<(), String> {
        let place = self.sandbox.get().await.map_err(|refusal| refusal.to_string())?;
        if let Some(beside) = place.synced.wait().await.map_err(|refusal| refusal.to_string())? {
            // What is still missing then is missing for commands of hangar's own agent too.
            drop(beside.wait().await);
        }
        Ok(())
    }
}

/// Starts a program in a sandbox, with the environment of commands there.
pub(crate) async fn run(place: Place, command: Command) -> Result<Program, String> {
    let Place { sandbox, env, gone, .. } = place;
    let spec = ExecSpec::argv(command.argv).stdin_piped().kill_leftovers();
    let spec = env.iter().chain(&command.env).fold(spec, |spec, (name, value)| spec.env(name, value));
    let exec = sandbox.exec_stream(&spec).await.map_err(|error| {
        note_gone(&gone, &error);
        sandbox_refusal(&error).to_string()
    })?;
    let (input, to_write) = mpsc::channel(PIECES_AHEAD);
    let (read, output) = mpsc::channel(PIECES_AHEAD);
    let running = CancellationToken::new();
    let over = tokio::spawn(serve(exec, to_write, read, running.clone(), gone));
    Ok(Program::new(input, output, running, over))
}

/// Carries what a program reads and writes, until it ends or is to end: then its whole process tree goes.
async fn serve(
    mut exec: Exec,
    mut input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<Piece>,
    running: CancellationToken,
    gone: Arc<AtomicBool>,
) {
    let stdin = exec.input();
    let writing = async {
        while let Some(bytes) = input.recv().await {
            if stdin.write(&bytes).await.is_err() {
                break;
            }
        }
        // Nobody writes any more.
        drop(stdin.end().await);
        // How it ended, its output says.
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            let piece = match exec.next().await {
                Ok(Some(chunk)) => match chunk.stream {
                    Stream::Stdout => Piece::Out(chunk.bytes),
                    Stream::Stderr => Piece::Err(chunk.bytes),
                },
                Ok(None) => return exec.ended().map_or_else(|| "it ended".to_owned(), words),
                Err(error) => {
                    note_gone(&gone, &error);
                    return error.to_string();
                }
            };
            // Nobody reads any more: whoever did cancels `running`.
            drop(output.send(piece).await);
        }
    };
    let ended = tokio::select! {
        () = running.cancelled() => None,
        () = writing => None,
        words = reading => Some(words),
    };
    drop(exec);
    if let Some(words) = ended {
        drop(output.send(Piece::Ended(words)).await);
    }
}

/// A sandbox that has ended is not given to the next turn: its guest is silent before its end is noticed.
fn note_gone(gone: &AtomicBool, error: &Error) {
    if let Error::Gone = error {
        gone.store(true, Ordering::Release);
    }
}

fn words(ended: Ended) -> String {
    let how = match ended.status {
        ExitStatus::Code(code) => format!("it ended with status {code}"),
        ExitStatus::Signal(signal) => format!("it was ended by signal {signal}"),
    };
    match ended.limit {
        Some(limit) => format!("{how} {}", words_of(limit).trim()),
        None => how,
    }
}
