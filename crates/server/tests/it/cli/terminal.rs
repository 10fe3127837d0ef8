//! The program on a terminal: what it draws, what can be typed, and how it leaves the terminal behind.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::Child,
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::{
    cli::{
        online::with_repo,
        said::{done, owner},
    },
    hangar::Hangar,
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal of 100 columns with the program on it.
struct Screen {
    keys: File,
    /// The program's side, kept open so that its modes can be looked at after the program has ended.
    side: OwnedFd,
    pieces: mpsc::Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Screen {
    fn begin(hangar: &Hangar, arguments: &[&str]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let side = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&side, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let mut program = owner(hangar);
        program.args(arguments).env("TERM", "xterm-256color");
        program.stdin(side.try_clone().unwrap()).stdout(side.try_clone().unwrap()).stderr(side.try_clone().unwrap());
        let child = program.spawn().unwrap();
        let keys = File::from(keys);
        let mut reader = keys.try_clone().unwrap();
        let (sender, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = reader.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, side: side.into(), pieces, seen: String::new(), child }
    }

    /// Waits until this is on the screen, without looks.
    fn until(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !plain(&self.seen).contains(text) {
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("no {text:?} in {}", plain(&self.seen)),
            }
        }
    }

    fn write(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn has_its_own_ways(&self) -> bool {
        let modes = tcgetattr(&self.side).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn status(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Text without escape sequences.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // `ESC [ … letter`: all that is used here.
            letters.find(|c| c.is_ascii_alphabetic());
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_watches_speaks_and_leaves() {
    let hangar = with_repo().await;
    let session = done(&hangar, &["run", "--detach", "Please write it."]).await.trim().to_owned();
    let mut screen = Screen::begin(&hangar, &["attach", &session]);
    let screen = tokio::task::spawn_blocking(move || {
        screen.until("◆");
        screen.until("› jane: Please write it.");
        screen.until("  I write a file.");
        screen.until("✓ $ echo words > new.txt");
        screen.until("✓ done in ");
        assert!(!screen.has_its_own_ways(), "keys come one by one while a session is watched");
        screen.write("Please waiit");
        screen.until("› Please waiit");
        screen.write("\u{7f}\u{7f}t.\r");
        screen.until("› jane: Please wait.");
        screen.until("$ sleep 600");
        screen.write("/stop\r");
        screen.until("■ stopped by jane");
        screen.write("/fly\r");
        screen.until("There is no /fly.");
        screen.write("/quit\r");
        screen.until("You left; the session goes on.");
        assert_eq!(screen.status(), Some(0));
        assert!(screen.has_its_own_ways(), "the terminal is left as it was found");
        screen
    })
    .await
    .unwrap();
    assert!(screen.seen.contains("\u{1b}[32m✓"), "it is coloured");
    hangar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_by_itself_and_says_what_is_next() {
    let hangar = with_repo().await;
    let mut screen = Screen::begin(&hangar, &["run", "Please stumble."]);
    tokio::task::spawn_blocking(move || {
        // Whether the half reply was seen before it broke off is a matter of milliseconds; the whole one is seen for certain.
        screen.until("! the model gave no answer: ");
        screen.until("  I stumble and go on.");
        screen.until("✓ done in ");
        screen.until("hangar diff ");
        assert_eq!(screen.status(), Some(0));
        assert!(screen.has_its_own_ways());
    })
    .await
    .unwrap();
    hangar.end().await;
}
