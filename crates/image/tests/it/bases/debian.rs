//! Debian systems by mmdebstrap. Needs a way to a Debian mirror.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hangar_image::base::{BaseError, BaseMaker, BaseSettings, Debian, Made, Note, Notes, Variant};
use hangar_sandbox::layers::LayerStore;

/// A maker over a data directory of its own.
fn maker(directory: &Path) -> (BaseMaker, Arc<LayerStore>) {
    let store = Arc::new(LayerStore::open(directory).unwrap());
    (BaseMaker::open(directory, Arc::clone(&store), BaseSettings::default()).unwrap(), store)
}

fn heard() -> (Notes, Arc<Mutex<Vec<Note>>>) {
    let notes = Arc::<Mutex<Vec<Note>>>::default();
    let heard = Arc::clone(&notes);
    (Arc::new(move |note| heard.lock().unwrap().push(note)), notes)
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// Makes a Debian system, and looks that it is made once and has nothing of this machine. Shared by the test that builds over it, because it takes its time.
pub(crate) async fn made_once_and_neutral(directory: &Path, maker: &BaseMaker, store: &Arc<LayerStore>) -> Made {
    let (notes, heard) = heard();
    let wanted = Debian { packages: vec!["make".into()], ..Debian::default() };
    let before = maker.debian_digest(&wanted).unwrap();
    let made = match maker.debian(&wanted, &notes).await {
        Ok(made) => made,
        Err(BaseError::Missing { program, .. }) => {
            panic!("{program} is needed for this test: run scripts/install.sh test")
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(made.name, "debian bookworm");
    assert!(before != made.digest && maker.debian_digest(&wanted).unwrap() == made.digest);
    assert_eq!(made.layers.len(), 2, "the system, and the agent's account on top");
    let [account, system] = [&made.layers[0], &made.layers[1]].map(|layer| store.tree(layer));
    let passwd = fs::read_to_string(account.join("etc/passwd")).unwrap();
    assert!(
        passwd.contains("root:x:0:0") && passwd.contains("agent:x:1000:1000:agent:/home/agent:/bin/bash"),
        "{passwd}"
    );
    assert!(system.join("usr/bin/make").exists() && system.join("usr/bin/git").exists());

    // Nothing of this machine: its name, its resolver, its mirror's settings, its people.
    assert!(!system.join("etc/hostname").exists() && !system.join("etc/resolv.conf").exists());
    let sources = fs::read_to_string(system.join("etc/apt/sources.list")).unwrap();
    assert!(sources.starts_with("deb http://deb.debian.org/debian bookworm main\n"), "{sources}");
    assert_eq!(fs::read_dir(system.join("etc/apt/sources.list.d")).unwrap().count(), 0);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let own = [directory.to_str().unwrap(), "/var/tmp/hangar-base-", "http_proxy", "Acquire::http::Proxy"];
    for file in files(&system.join("etc")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let words: Vec<_> = text.split_whitespace().collect();
        assert!(!words.contains(&host.trim()), "{} has the host's name", file.display());
        assert!(!own.iter().any(|word| text.contains(word)), "{}", file.display());
    }

    // Made once.
    heard.lock().unwrap().clear();
    assert_eq!(maker.debian(&wanted, &notes).await.unwrap(), made);
    assert_eq!(*heard.lock().unwrap(), []);
    let records = maker.records().unwrap();
    assert!(records[0].packages.iter().any(|package| package.starts_with("make=")), "{:?}", records[0].packages);
    assert!(maker.layers_in_use().unwrap().contains(&made.layers[1]));
    // Too old, it is to be made anew.
    let settings = BaseSettings { debian_age_max: Duration::ZERO, ..BaseSettings::default() };
    let impatient = BaseMaker::open(directory, Arc::clone(store), settings).unwrap();
    assert_eq!(impatient.debian_digest(&wanted).unwrap(), before);
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (maker, _) = maker(directory.path());
    let (notes, heard) = heard();
    for (suite, package) in [
        ("--help", "make"),
        ("bookworm; rm", "make"),
        ("bookworm", "-oAPT::x"),
        ("bookworm", "a,b"),
        ("bookworm", "../x.deb"),
    ] {
        let wanted = Debian { suite: suite.into(), packages: vec![package.into()], variant: Variant::Minbase };
        let error = maker.debian(&wanted, &notes).await.unwrap_err();
        assert!(matches!(error, BaseError::Unfit { .. }), "{suite} {package}: {error}");
    }
    assert_eq!(*heard.lock().unwrap(), []);
    let wanted = Debian { packages: vec!["no-such-package-anywhere".into()], ..Debian::default() };
    let error = maker.debian(&wanted, &notes).await.unwrap_err().to_string();
    assert!(error.contains("no-such-package-anywhere"), "{error}");
}

/// What the scratch directories of this data directory are called.
fn prefix(directory: &Path) -> String {
    let bases = fs::canonicalize(directory.join("bases")).unwrap();
    let digest = hangar_image::oci::Digest::of(bases.as_os_str().as_encoded_bytes());
    format!("hangar-base-{}-", &digest.hex()[..12])
}

/// Processes that work for this data directory: their environment names its scratch directory.
fn processes(directory: &Path) -> usize {
    let prefix = prefix(directory);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments.filter(|environment| String::from_utf8_lossy(environment).contains(&prefix)).count()
}

fn scratch(directory: &Path) -> usize {
    let prefix = prefix(directory);
    let entries = fs::read_dir("/var/tmp").unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_any_more_and_everything_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (maker, store) = maker(directory.path());
    let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
    let notes: Notes = Arc::new(move |note| {
        let _ = told.send(note);
    });
    let wanted = Debian::default();
    let seen = {
        let making = maker.debian(&wanted, &notes);
        tokio::pin!(making);
        // Until it installs.
        let seen = loop {
            tokio::select! {
                made = &mut making => panic!("{made:?}"),
                note = telling.recv() => match note.unwrap() {
                    Note::Output(line) if String::from_utf8_lossy(&line).contains("installing") => break processes(directory.path()),
                    Note::Output(_) | Note::Step(_) | Note::Warning(_) => {}
                }
            }
        };
        assert_eq!(scratch(directory.path()), 1);
        seen
    };
    assert!(seen > 1, "{seen} processes at work");
    let deadline = Instant::now() + Duration::from_secs(20);
    let left = || (processes(directory.path()), scratch(directory.path()));
    while left() != (0, 0) && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(left(), (0, 0));
    assert_eq!(store.list().unwrap(), []);
}
