//! What can be in the way of `hangar up`: clear words, the right exit status, and nothing left half done.

use std::{fs, net::TcpListener, process::Stdio};

use hangar_protocol::RefusalCode::{self, BadRequest, Conflict, Unavailable};
use hangar_testkit::{Ground, Ran, TestServer, Transcript};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Starts a server that must be refused, and checks what it says. `expected`: words of the message and of the hint.
async fn refused(ground: &Ground, arguments: &[&str], code: RefusalCode, expected: [&str; 2]) {
    let mut command = ground.command(&["up", "--json", "--port", "0"]);
    let refusal = Ran::of(command.args(arguments)).await.refusal();
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert!(refusal.message.contains(expected[0]), "{:?} in {refusal:?}", expected[0]);
    assert!(refusal.hint.contains(expected[1]), "{:?} in {refusal:?}", expected[1]);
}

#[tokio::test]
async fn a_broken_configuration_is_explained() {
    let ground = Ground::new();
    let file = ground.path().join("hangar.toml");
    let (file_name, data) = (file.to_str().unwrap(), ground.path().join("data"));
    let arguments = ["--config", file_name, "--data", data.to_str().unwrap()];
    for (text, expected) in [
        ("[http\nport = 1\n", ["hangar.toml", ""]),
        ("[http]\nprot = 7433\n", ["prot", "port"]),
        ("defualt_model = \"a/b\"\n", ["defualt_model", "default_model"]),
        ("[htpt]\nport = 1\n", ["htpt", "http"]),
        ("[http]\nrequest_timeout_s = \"many\"\n", ["http.request_timeout_s", "number"]),
        ("scripted_transcript = \"/nowhere.json\"\n", ["/nowhere.json", "transcript"]),
    ] {
        fs::write(&file, text).unwrap();
        refused(&ground, &arguments, BadRequest, expected).await;
    }
    fs::remove_file(&file).unwrap();
    refused(&ground, &arguments, BadRequest, [file_name, "exists"]).await;
    let mut misspelt = ground.command(&["up", "--json", "--data", data.to_str().unwrap()]);
    let refusal = Ran::of(misspelt.env("HANGAR_HTTP_PROT", "1")).await.refusal();
    assert!(refusal.message.contains("HANGAR_HTTP_PROT") && refusal.hint.contains("HANGAR_HTTP_PORT"), "{refusal}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let ground = Ground::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = ground.path().join("data");
    let mut command = ground.command(&["up", "--json", "--port", &port, "--data", data.to_str().unwrap()]);
    let refusal = Ran::of(&mut command).await.refusal();
    assert_eq!(refusal.code, Conflict);
    assert!(refusal.message.contains(&port) && refusal.hint.contains("--port"), "{refusal}");
    assert!(!data.join("hangar.db").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_sent_away() {
    let mut server = TestServer::start(Transcript::new()).await;
    let data = server.data().to_str().unwrap().to_owned();
    let process = server.process().to_string();
    refused(&Ground::new(), &["--data", &data], Conflict, [&process, "--data"]).await;
    // The first one is not disturbed.
    assert_eq!(server.run(&["sessions"]).await.well().trim(), "[]");
    server.stop().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let ground = Ground::new();
    fs::write(ground.path().join("file"), "words").unwrap();
    let below = ground.path().join("file/data");
    let below = below.to_str().unwrap();
    refused(&ground, &["--data", below], Unavailable, [below, "--data"]).await;
    let file = ground.path().join("file");
    let file = file.to_str().unwrap();
    refused(&ground, &["--data", file], Conflict, [file, "--data"]).await;
    // Not even root may write here.
    refused(&ground, &["--data", "/proc/hangar"], Unavailable, ["/proc/hangar", "--data"]).await;
}

/// Starts a server as a person does, without a terminal. What it says beside its answer up to the line that says that it listens; whether `sessions` works
/// at that moment.
async fn told_until_it_listens(ground: &Ground) -> (Vec<String>, Ran) {
    let data = ground.path().join("data");
    let mut command = ground.command(&["up", "--port", "0", "--data", data.to_str().unwrap()]);
    // What it logs has an order of its own.
    command.env("HANGAR_LOG_FILTER", "off").stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut server = command.spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        told.push(line);
        if told.last().is_some_and(|line| line.contains("listening on")) {
            break;
        }
    }
    let sessions = Ran::of(&mut ground.command(&["sessions", "--json"])).await;
    kill_process(Pid::from_raw(server.id().unwrap().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(server.wait().await.unwrap().success());
    (told, sessions)
}

#[tokio::test]
async fn whoever_is_told_that_it_listens_can_come_in() {
    let (_, sessions) = told_until_it_listens(&Ground::new()).await;
    assert_eq!(sessions.well().trim(), "[]");
    // Where the token cannot be kept, that is told before, not after.
    let ground = Ground::new();
    fs::remove_dir(ground.path().join("config")).unwrap();
    fs::write(ground.path().join("config"), "no directory").unwrap();
    let (told, sessions) = told_until_it_listens(&ground).await;
    assert!(told.iter().any(|line| line.contains("The command line is not signed in")), "{told:?}");
    assert_ne!(sessions.code, Some(0));
}
