//! Programs that are spoken with over their standard input and output, started on this machine.

use std::process::Stdio;

use bytes::Bytes;
use hangar_agent::acp::{PIECES_AHEAD, Piece, Program};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// Starts a program in a process group of its own, which ends with it.
pub(crate) fn start(mut command: Command) -> Result<Program, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (input, mut to_write) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let (read, output) = mpsc::channel(PIECES_AHEAD);
    let running = CancellationToken::new();
    let told = running.clone();
    let over = tokio::spawn(async move {
        let writing = async move {
            while let Some(bytes) = to_write.recv().await {
                if stdin.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            drop(stdin);
            std::future::pending::<()>().await;
        };
        let reading = async {
            let (mut out, mut err) = (vec![0; 32 * 1024], vec![0; 32 * 1024]);
            let (mut more_out, mut more_err) = (true, true);
            while more_out || more_err {
                let piece = tokio::select! {
                    got = stdout.read(&mut out), if more_out => match got.unwrap() {
                        0 => { more_out = false; continue }
                        got => Piece::Out(Bytes::copy_from_slice(&out[..got])),
                    },
                    got = stderr.read(&mut err), if more_err => match got.unwrap() {
                        0 => { more_err = false; continue }
                        got => Piece::Err(Bytes::copy_from_slice(&err[..got])),
                    },
                };
                drop(read.send(piece).await);
            }
            let status = child.wait().await.unwrap();
            drop(read.send(Piece::Ended(format!("it ended with {status}"))).await);
        };
        tokio::select! {
            () = told.cancelled() => {}
            () = writing => {}
            () = reading => {}
        }
        // It may be gone already.
        let _gone = kill_process_group(group, Signal::KILL);
    });
    Ok(Program::new(input, output, running, over))
}
