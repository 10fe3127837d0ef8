//! The floor of fan-out: the same frames from a loop that does nothing else, over the same WebSocket library, in a process of its own.
//!
//! One task a group of readers makes a frame at the set pace; one task a reader sends the newest. There is no log, no cursor, no sign-in.

use std::{io::Read as _, net::Ipv4Addr, path::PathBuf, process::Stdio, str::FromStr, time::Duration};

use futures::SinkExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{Request, Response},
        protocol::WebSocketConfig,
    },
};

use super::{cannot, sockets::now_us};
use crate::cli::ended::Failure;

/// What the loop is to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) groups: usize,
    pub(super) frame_bytes: usize,
    pub(super) frames_per_s: u32,
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<u32> = text.split(',').filter_map(|part| part.parse().ok()).collect();
        let [groups, frame_bytes, frames_per_s] = parts[..] else { return Err("three numbers".to_owned()) };
        Ok(Self { groups: groups as usize, frame_bytes: frame_bytes as usize, frames_per_s })
    }
}

/// The loop, running in another process; dropping it ends it.
pub(super) struct BareLoop {
    _child: Child,
    pub(super) address: std::net::SocketAddr,
}

impl BareLoop {
    pub(super) async fn start(pace: Pace) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| cannot("start the bare loop", error);
        let program: PathBuf = std::env::current_exe().map_err(failed)?;
        let pace = format!("{},{},{}", pace.groups, pace.frame_bytes, pace.frames_per_s);
        let mut command = Command::new(program);
        command.args(["bench", "stream", "--bare", &pace]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let Some(out) = child.stdout.take() else { return Err(cannot("start the bare loop", "it has no output")) };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).await.map_err(failed)?;
        let address = line.trim().parse().map_err(|error| cannot("start the bare loop", error))?;
        Ok(Self { _child: child, address })
    }
}

/// Is the loop: tells its address by `say`, and ends when its standard input does.
pub(super) async fn run(pace: Pace, say: impl FnOnce(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| cannot("listen", error))?;
    say(&listener.local_addr().map_err(|error| cannot("listen", error))?.to_string())?;
    let groups: Vec<watch::Sender<Utf8Bytes>> = (0..pace.groups).map(|_| watch::Sender::default()).collect();
    for group in &groups {
        tokio::spawn(beat(group.clone(), pace));
    }
    let serving = async {
        loop {
            if let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, groups.clone()));
            }
        }
    };
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    tokio::select! {
        () = serving => {}
        // Whoever started it has ended.
        _ = input => {}
    }
    Ok(())
}

async fn beat(group: watch::Sender<Utf8Bytes>, pace: Pace) {
    let mut ticks = interval(Duration::from_secs(1) / pace.frames_per_s);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        // The shape of a text frame's beginning, so that readers do the same work.
        let head = format!(r#"{{"frame":"text","text":"{:017} "#, now_us());
        let fill = "x".repeat(pace.frame_bytes.saturating_sub(head.len() + 2));
        group.send_replace(format!("{head}{fill}\"}}").into());
    }
}

async fn serve(connection: TcpStream, groups: Vec<watch::Sender<Utf8Bytes>>) {
    let _ = connection.set_nodelay(true);
    let mut asked = 0;
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let note = |request: &Request, response: Response| {
        asked = request.uri().path().trim_start_matches('/').parse().unwrap_or_default();
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0);
    let Ok(mut socket) = accept_hdr_async_with_config(connection, note, Some(config)).await else { return };
    let Some(group) = groups.get(asked) else { return };
    let mut newest = group.subscribe();
    // What `open_all` waits for.
    let mut frame: Utf8Bytes = r#"{"frame":"caught_up","seq":0}"#.into();
    while socket.send(Message::Text(frame)).await.is_ok() && newest.changed().await.is_ok() {
        frame = newest.borrow_and_update().clone();
    }
}
