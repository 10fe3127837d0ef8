//! What can be in the way of a start, and how it is told.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use hangar_protocol::{
    Refusal,
    RefusalCode::{self, BadRequest, Conflict, Unavailable},
};
use hangar_store::rusqlite::Connection;
use tempfile::TempDir;

use crate::hangar::{Hangar, config};

async fn refused(config: hangar::Config, code: RefusalCode) -> Refusal {
    match hangar::serve(config).await {
        Ok(server) => {
            server.shut_down().await;
            panic!("it started");
        }
        Err(refusal) => {
            assert_eq!(refusal.code, code, "{refusal}");
            assert!(!refusal.hint.is_empty(), "{refusal}");
            refusal
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.http.port = port;
    let refusal = refused(config, Conflict).await;
    assert!(refusal.message.contains(&format!("Port {port}")) && refusal.hint.contains("--port"), "{refusal}");
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let hangar = Hangar::start().await;
    let refusal = refused(config(hangar.dir.path()), Conflict).await;
    assert!(refusal.message.contains(&std::process::id().to_string()), "{refusal}");
    hangar.end().await;
    // Once the first has ended the next may come in.
    let dir = Hangar::past().await;
    let config = config(dir.path());
    Hangar::start_in(dir, config).await.end().await;
}

#[tokio::test]
async fn the_directory_is_nobody_elses() {
    let hangar = Hangar::start().await;
    let data = hangar.dir.path().join("data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for directory in ["", "sessions", "forge", "images", "run"] {
        assert_eq!(mode(&data.join(directory)), 0o700, "{directory}");
    }
    hangar.end().await;
}

#[tokio::test]
async fn a_directory_with_other_things_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.data = dir.path().join("home");
    fs::create_dir(&config.data).unwrap();
    fs::set_permissions(&config.data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(config.data.join("letter.txt"), "dear").unwrap();
    let data = config.data.clone();
    refused(config.clone(), Conflict).await;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    config.data = data.join("letter.txt");
    refused(config, Conflict).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    // Not even root may write here.
    config.data = PathBuf::from("/proc/hangar");
    let refusal = refused(config, Unavailable).await;
    assert!(refusal.message.contains("/proc/hangar"), "{refusal}");
}

/// A small disk that goes away with the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(mebibytes: u32) -> Self {
        let dir = TempDir::new().unwrap();
        let options = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.unwrap().success(), "this test needs root, as sandboxes do");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_before_anything_is_written() {
    let disk = SmallDisk::new(8);
    let mut config = config(disk.0.path());
    config.data = disk.0.path().to_owned();
    let refusal = refused(config, Unavailable).await;
    assert!(refusal.message.contains("MiB left"), "{refusal}");
    assert!(!disk.0.path().join("hangar.db").exists());
}

#[tokio::test]
async fn a_database_of_a_newer_hangar_is_left_alone() {
    let dir = Hangar::past().await;
    let file = dir.path().join("data/hangar.db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let refusal = refused(config(dir.path()), Conflict).await;
    assert!(refusal.message.contains("999"), "{refusal}");
}

#[tokio::test]
async fn a_default_model_that_is_not_there_is_named() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.default_model = "acme/none".to_owned();
    let refusal = refused(config, BadRequest).await;
    assert!(refusal.message.contains("acme/none") && refusal.hint.contains("scripted/"), "{refusal}");
}

#[tokio::test]
async fn port_0_takes_a_free_one() {
    let hangar = Hangar::start().await;
    assert_ne!(hangar.server.address().port(), 0);
    assert_eq!(hangar.server.url(), format!("http://{}", hangar.server.address()));
    hangar.end().await;
}
