//! Killed at every step, or out of disk: nothing is lost, nothing half done is used, nothing stays.

use std::{
    collections::HashSet,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hangar_sandbox::{
    layers::{About, Below, Given, Kind, LayerError, LayerId, LayerStore, sealed_as},
    steps::Step,
};
use rustix::mount::{MountFlags, mount};

use crate::{
    layer_stacks::apart,
    layers::{Shelf, everything, own},
};

/// Runs the program; with a step, it kills itself there. `None`: it does not come to that step.
fn program(directory: &Path, words: &[&str], step: Step) -> Option<Output> {
    let output = Command::new(env!("CARGO_BIN_EXE_layers-try"))
        .arg(directory)
        .args(words)
        .env("HANGAR_END_AFTER", step.name())
        .output()
        .unwrap();
    (output.status.signal() == Some(9)).then_some(output)
}

/// Nothing but layers is left, and all of them are whole.
fn tidy(directory: &Path) -> Vec<LayerId> {
    let store = LayerStore::open(directory).unwrap();
    let names = fs::read_dir(directory.join("layers")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: HashSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    let layers: Vec<LayerId> = store.list().unwrap().into_iter().map(|manifest| manifest.id).collect();
    for name in &names {
        if name == "scratch" {
            assert_eq!(fs::read_dir(directory.join("layers/scratch")).unwrap().count(), 0);
            continue;
        }
        assert!(layers.iter().any(|id| id.as_str() == name), "{name} was left behind");
    }
    layers.iter().for_each(|id| store.verify(id).unwrap());
    layers
}

#[test]
fn a_seal_that_is_killed_loses_nothing_and_is_done_again() {
    let expected = {
        let shelf = Shelf::new();
        shelf.seal(&shelf.tree("tree")).unwrap()
    };
    let mut killed = Vec::new();
    for &step in Step::ALL {
        let shelf = Shelf::new();
        let tree = shelf.tree("tree");
        let directory = shelf.closed();
        let directory = directory.path();
        if program(directory, &["seal", tree.to_str().unwrap()], step).is_none() {
            continue;
        }
        killed.push(step);
        let layers = tidy(directory);
        // The tree is in exactly one place.
        assert_eq!(tree.exists(), layers.is_empty(), "{step:?}");
        if !tree.exists() {
            assert_eq!(sealed_as(&tree).unwrap(), Some(expected.clone()), "{step:?}");
        }
        let store = LayerStore::open(directory).unwrap();
        assert_eq!(store.seal(&tree, About::new(Kind::Snapshot, "again")).unwrap(), expected, "{step:?}");
        assert_eq!(tidy(directory), vec![expected.clone()], "{step:?}");
    }
    assert_eq!(killed.len(), 7, "{killed:?}");
}

#[test]
fn squash_and_collect_that_are_killed_leave_whole_layers() {
    let mut killed = Vec::new();
    for &step in Step::ALL {
        let shelf = Shelf::new();
        let lower = shelf.seal(&shelf.tree("lower")).unwrap();
        let upper = shelf.tree("upper");
        fs::write(upper.join("workspace/more"), "more").unwrap();
        own(&upper);
        let upper = shelf.seal(&upper).unwrap();
        let directory = shelf.closed();
        let directory = directory.path();
        if program(directory, &["squash", upper.as_str(), lower.as_str()], step).is_some() {
            killed.push(step);
            let layers = tidy(directory);
            assert!(layers.contains(&upper) && layers.contains(&lower), "{step:?}");
            let again = LayerStore::open(directory).unwrap();
            again.squash(&[upper.clone(), lower.clone()], Below::Nothing, "again").unwrap();
        }
        if program(directory, &["collect"], step).is_some() {
            killed.push(step);
            let left = tidy(directory);
            assert!(!left.is_empty(), "only one was being removed: {step:?}");
        }
    }
    assert_eq!(killed.len(), 10, "{killed:?}");
}

#[test]
fn a_layer_whose_move_was_cut_off_and_that_is_wrong_is_set_aside() {
    let shelf = Shelf::new();
    let tree = shelf.tree("tree");
    let directory = shelf.closed();
    let layers = directory.path().join("layers");
    assert!(program(directory.path(), &["seal", tree.to_str().unwrap()], Step::SealTreeMoved).is_some());
    let sealing = fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap().path());
    let sealing = sealing.into_iter().find(|path| path.extension().is_some_and(|end| end == "sealing")).unwrap();
    // As after a power cut on a disk that lies about its syncs.
    fs::write(sealing.join("tree/workspace/src/main.rs"), "").unwrap();
    let id = sealed_as(&tree).unwrap().unwrap();
    let store = LayerStore::open(directory.path()).unwrap();
    assert!(matches!(store.verify(&id), Err(LayerError::Missing(_))));
    assert!(fs::read_dir(&layers).unwrap().any(|entry| entry.unwrap().path().extension().unwrap() == "damaged"));
}

/// A file system of its own with so much room.
fn small_disk(at: &Path, bytes: u64) {
    fs::create_dir_all(at).unwrap();
    let options = std::ffi::CString::new(format!("size={bytes},mode=0755")).unwrap();
    mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
}

/// Fills the disk but for so many bytes; returns the file to delete.
fn fill(disk: &Path, rest: u64) -> PathBuf {
    let file = disk.join("filler");
    let free = rustix::fs::statvfs(disk).unwrap();
    let free = free.f_bavail * free.f_frsize;
    fs::write(&file, vec![1; usize::try_from(free.saturating_sub(rest)).unwrap()]).unwrap();
    file
}

#[test]
fn a_full_disk_stops_the_work_and_loses_nothing() {
    apart(|| {
        let place = tempfile::TempDir::new().unwrap();
        let disk = place.path().join("disk");
        small_disk(&disk, 8 * 1024 * 1024);
        let mut store = LayerStore::open(&disk).unwrap();
        let mut refused = 0;
        // Room for nothing, for one file of the store, for two…
        for rest in [0, 4096, 2 * 4096, 3 * 4096, 64 * 4096] {
            let tree = disk.join("tree");
            everything(&tree);
            fs::write(tree.join(format!("{rest}")), vec![2; 200_000]).unwrap();
            own(&tree);
            let filler = fill(&disk, rest);
            match store.seal(&tree, About::new(Kind::Snapshot, "full")) {
                Ok(id) => store.verify(&id).unwrap(),
                Err(LayerError::DiskFull { .. }) => {
                    refused += 1;
                    assert!(tree.join("workspace/run.sh").exists());
                    assert_eq!(sealed_as(&tree).unwrap(), None);
                    fs::remove_file(&filler).unwrap();
                    let id = store.seal(&tree, About::new(Kind::Snapshot, "room again")).unwrap();
                    store.verify(&id).unwrap();
                }
                Err(other) => panic!("{rest}: {other}"),
            }
            let _ = fs::remove_file(&filler);
            // Another start.
            drop(store);
            tidy(&disk);
            store = LayerStore::open(&disk).unwrap();
        }
        assert!(refused > 0);

        // Copies need room: squash and adopt.
        let layers = tidy(&disk);
        let filler = fill(&disk, 100_000);
        let error = store.squash(&layers, Below::Nothing, "full").unwrap_err();
        assert!(matches!(error, LayerError::DiskFull { .. }), "{error}");
        assert_eq!(tidy(&disk), layers);
        let tree = disk.join("linked");
        fs::create_dir(&tree).unwrap();
        fs::hard_link(&filler, tree.join("filler")).unwrap();
        let error = store.adopt(&tree, Given::ToAgent).unwrap_err();
        assert!(matches!(error, LayerError::DiskFull { .. }), "{error}");
        fs::remove_dir_all(&tree).unwrap();
        fs::remove_file(&filler).unwrap();
        store.squash(&layers, Below::Nothing, "room again").unwrap();
        // A directory with something mounted on it cannot be removed.
        rustix::mount::unmount(&disk, rustix::mount::UnmountFlags::DETACH).unwrap();
    });
}
