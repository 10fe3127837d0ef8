//! No room on the disk, from nothing to a few files: whatever is asked for is refused in words that name the disk, nothing half done is used, and with room
//! again the same call succeeds.

use std::{
    cell::RefCell,
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};

use hangar_sandbox::{
    Engine, EngineConfig, Error, ExecSpec, Guarantee, Root, SandboxSpec, adopt,
    layers::{About, Kind, LayerError, LayerId, LayerStore, begin, snapshots},
};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use tempfile::TempDir;

use crate::{
    bench::{engine_with_slots, output, until},
    layer_stacks::apart,
    remains,
};

/// Much; of memory the disk takes only what is written.
const ROOM: &str = "size=2g,nr_inodes=1000000";
/// More files than any of the calls makes, for the base is there already.
const FILES_MAX: u64 = 40;

/// A disk that nobody else on the machine sees, and that is as large as a test wants it at any moment.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// No more room than this beyond what is taken.
    async fn leave(&self, bytes: u64, files: u64) {
        // What a snapshot leaves to a thread would make room later.
        until("the end of old work directories", || !self.has_old_work()).await;
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        let bytes = (stat.f_blocks - stat.f_bfree) * stat.f_frsize + bytes;
        let files = stat.f_files - stat.f_ffree + files;
        self.resize(&format!("size={bytes},nr_inodes={files}"));
    }

    fn has_old_work(&self) -> bool {
        let sessions = fs::read_dir(self.path("sessions")).unwrap().flatten();
        let frozen = sessions.filter_map(|session| fs::read_dir(session.path().join("frozen")).ok());
        frozen.flatten().flatten().any(|entry| entry.path().extension().is_some_and(|end| end == "work"))
    }

    fn room_again(&self) {
        self.resize(ROOM);
    }

    fn resize(&self, options: &str) {
        let options = CString::new(options).unwrap();
        mount_remount(&self.at, MountFlags::empty(), options.as_c_str()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    fn spec(&self, name: &str) -> SandboxSpec {
        SandboxSpec::new(name, Root::host(vec![self.path("layer")]), self.path("sessions").join(name))
    }
}

/// Runs a test on such a disk, with one layer on it and a directory for sessions.
fn on_a_disk(test: impl AsyncFnOnce(&Disk) + Send) {
    let place = TempDir::new().unwrap();
    let disk = Disk { at: place.path().join("disk") };
    fs::create_dir(&disk.at).unwrap();
    apart(|| {
        mount("tmpfs", &disk.at, "tmpfs", MountFlags::empty(), Some(CString::new(ROOM).unwrap().as_c_str())).unwrap();
        fs::create_dir_all(disk.path("layer/workspace")).unwrap();
        fs::create_dir(disk.path("sessions")).unwrap();
        fs::write(disk.path("layer/workspace/README.md"), "hello\n").unwrap();
        adopt(&disk.path("layer/workspace")).unwrap();
        // Its threads see what this one sees.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test(&disk));
        drop(runtime);
        // A directory with something mounted on it cannot be removed.
        unmount(&disk.at, UnmountFlags::DETACH).unwrap();
    });
}

/// Asks for something with room for no file, for one, for two…, until it succeeds; each time again with room. Returns how often it was refused.
async fn until_it_fits<T>(
    disk: &Disk,
    what: &str,
    mut ask: impl AsyncFnMut(u64) -> Result<T, Error>,
    mut check: impl AsyncFnMut(u64, T),
) -> u64 {
    for files in 0..FILES_MAX {
        disk.leave(1 << 30, files).await;
        let asked = ask(files).await;
        disk.room_again();
        match asked {
            Ok(done) => {
                check(files, done).await;
                return files;
            }
            Err(error) => {
                let full = matches!(error, Error::DiskFull { .. } | Error::Layer(LayerError::DiskFull { .. }));
                assert!(full && error.to_string().contains("the disk is full"), "{what} with {files} files: {error:?}");
                let done = ask(files).await.unwrap_or_else(|error| panic!("{what} again after {files} files: {error}"));
                check(files, done).await;
            }
        }
    }
    panic!("{what} is refused with room for {FILES_MAX} files");
}

#[test]
fn creating_claiming_and_starting() {
    on_a_disk(async |disk| {
        let begin = || async {
            let engine = Engine::new(EngineConfig { slots: 0, ..EngineConfig::new(&disk.at) }).await;
            engine.map(|engine| engine.close())
        };
        drop(engine_with_slots(&disk.at, 0).await);
        // An engine of an earlier start has been here; its files are written anew.
        for files in [0, 1, 3, 10, 30] {
            while let Err(Error::StateDirInUse(_)) = begin().await {
                tokio::task::yield_now().await;
            }
            fs::remove_dir_all(disk.path("run/sandboxes/skeleton")).unwrap();
            disk.leave(1 << 30, files).await;
            let refused = loop {
                match begin().await {
                    Err(Error::StateDirInUse(_)) => tokio::task::yield_now().await,
                    other => break other.unwrap_err(),
                }
            };
            assert!(refused.to_string().contains("the disk is full"), "{refused:?}");
            disk.room_again();
        }
        let engine = engine_with_slots(&disk.at, 0).await;

        let name = |files: u64| format!("new-{files}");
        let refused = until_it_fits(
            disk,
            "creating",
            async |files| engine.create(disk.spec(&name(files))).await,
            async |_, sandbox| {
                assert_eq!(output(&sandbox, "cat README.md; echo x > new; cat new").await, "hello\nx\n");
                sandbox.destroy().await;
            },
        )
        .await;
        assert!(refused >= 3, "{refused}: its directories alone are three");
        // Over a session that is there already.
        let mut times = 0;
        until_it_fits(
            disk,
            "claiming",
            async |_| engine.create(disk.spec(&name(0))).await,
            async |_, sandbox| {
                times += 1;
                assert_eq!(
                    output(&sandbox, "cat README.md new; echo y >> more; cat more | wc -l").await,
                    format!("hello\nx\n{times}\n")
                );
                sandbox.destroy().await;
            },
        )
        .await;
        assert_eq!(remains::half_done(&disk.at), Vec::<String>::new());
        engine.close();
    });
}

#[test]
fn a_snapshot_by_rotation_and_one_by_copy() {
    on_a_disk(async |disk| {
        let engine = engine_with_slots(&disk.at, 0).await;
        let sandbox = engine.create(disk.spec("quiet")).await.unwrap();
        output(&sandbox, "echo 0 > file").await;
        let look = "cat file; ls; echo again >> log; wc -l < log";
        let mut lines = 0;
        let refused = until_it_fits(
            disk,
            "rotating",
            async |files| {
                let before = snapshots(&disk.path("sessions/quiet")).unwrap();
                let taken = sandbox.snapshot().await;
                match &taken {
                    // What was there before is there still, and nothing else.
                    Err(_) => assert_eq!(snapshots(&disk.path("sessions/quiet")).unwrap(), before, "{files}"),
                    Ok(frozen) => assert_eq!(frozen.guarantee, Guarantee::Quiescent),
                }
                taken
            },
            async |files, frozen| {
                lines += 1;
                assert!(frozen.tree.join("workspace/file").exists() || files > 0);
                let names = if lines == 1 { "README.md\nfile" } else { "README.md\nfile\nlog" };
                assert_eq!(output(&sandbox, look).await, format!("0\n{names}\n{lines}\n"), "{files}");
            },
        )
        .await;
        assert!(refused >= 3, "{refused}");
        sandbox.destroy().await;
        let again = engine.create(disk.spec("quiet")).await.unwrap();
        assert_eq!(output(&again, "cat file; wc -l < log").await, format!("0\n{lines}\n"));
        again.destroy().await;

        let busy = engine.create(disk.spec("busy")).await.unwrap();
        let mut exec = busy
            .exec_stream(&ExecSpec::shell("for i in 1 2 3 4 5; do echo $i > file-$i; done; echo go; sleep 1000"))
            .await;
        exec.as_mut().unwrap().next().await.unwrap();
        let refused = until_it_fits(
            disk,
            "copying",
            async |_| busy.snapshot().await,
            async |files, frozen| {
                assert_eq!(frozen.guarantee, Guarantee::Frozen);
                let copied = fs::read_dir(frozen.tree.join("workspace")).unwrap().count();
                assert_eq!(copied, 5, "{files}");
                assert_eq!(
                    fs::read_dir(disk.path("sessions/busy/copies")).unwrap().count(),
                    usize::try_from(files + 1).unwrap()
                );
            },
        )
        .await;
        assert!(refused > 5, "{refused}: there are five files");
        drop(exec);
        busy.destroy().await;
        engine.close();
    });
}

#[test]
fn sealing_and_restoring() {
    on_a_disk(async |disk| {
        let engine = engine_with_slots(&disk.at, 0).await;
        let store = LayerStore::open(&disk.at).unwrap();
        let sandbox = engine.create(disk.spec("origin")).await.unwrap();
        let session = disk.path("sessions/origin");
        let layers: RefCell<Vec<LayerId>> = RefCell::default();
        let mut number = 0;
        let refused = until_it_fits(
            disk,
            "sealing",
            async |files| {
                if snapshots(&session).unwrap().len() == layers.borrow().len() {
                    disk.room_again();
                    number += 1;
                    output(&sandbox, &format!("echo {number} > file-{number}")).await;
                    sandbox.snapshot().await.unwrap();
                    disk.leave(1 << 30, files).await;
                }
                store.seal_session(&session, &About::new(Kind::Snapshot, "full")).map_err(Error::from)
            },
            async |_, sealed| {
                sealed.iter().for_each(|layer| store.verify(layer).unwrap());
                assert_eq!(sealed[1..], layers.borrow()[..]);
                *layers.borrow_mut() = sealed;
            },
        )
        .await;
        assert!(refused >= 3, "{refused}");
        let layers = layers.into_inner();
        let expected = output(&sandbox, "cat file-*").await;
        sandbox.destroy().await;

        let restore = async |files: u64| {
            let spec = disk.spec(&format!("fork-{files}"));
            if snapshots(&spec.session_dir).unwrap().is_empty() {
                begin(&spec.session_dir, &layers)?;
            }
            engine.create(spec).await
        };
        let refused = until_it_fits(disk, "restoring", restore, async |_, fork| {
            assert_eq!(output(&fork, "cat file-*").await, expected);
            fork.destroy().await;
        })
        .await;
        assert!(refused > u64::try_from(layers.len()).unwrap(), "{refused}: a note for each layer");
        assert_eq!(remains::half_done(&disk.at), Vec::<String>::new());
        engine.close();
    });
}

#[test]
fn without_room_for_a_single_byte() {
    on_a_disk(async |disk| {
        let engine = engine_with_slots(&disk.at, 0).await;
        let sandbox = engine.create(disk.spec("bytes")).await.unwrap();
        output(&sandbox, "head -c 300000 /dev/urandom > big; sha256sum big > sum").await;
        disk.leave(0, 1000).await;
        // Whoever writes inside is told by the system. The look at the disk may end it even before.
        let write = ExecSpec::shell("head -c 300000 /dev/zero > more && sync && echo written");
        let written = sandbox.exec(&write).await.unwrap();
        assert!(!written.ended.status.success(), "{written:?}");
        // A layer has a manifest, which does not fit.
        let frozen = sandbox.snapshot().await.unwrap();
        let store = LayerStore::open(&disk.at).unwrap();
        let about = || About::new(Kind::Snapshot, "bytes");
        disk.leave(0, 1000).await;
        let refused = store.seal_session(&disk.path("sessions/bytes"), &about()).unwrap_err();
        assert!(matches!(refused, LayerError::DiskFull { .. }), "{refused}");
        assert!(frozen.tree.join("workspace/big").exists());
        disk.room_again();
        let layers = store.seal_session(&disk.path("sessions/bytes"), &about()).unwrap();
        sandbox.destroy().await;
        let spec = disk.spec("again");
        begin(&spec.session_dir, &layers).unwrap();
        let again = engine.create(spec).await.unwrap();
        assert_eq!(output(&again, "sha256sum -c sum").await, "big: OK\n");
        again.destroy().await;
        engine.close();
    });
}

/// Paths in messages are those of the disk.
#[test]
fn the_refusal_names_the_place() {
    on_a_disk(async |disk| {
        let engine = engine_with_slots(&disk.at, 0).await;
        disk.leave(1 << 30, 0).await;
        let refused = engine.create(disk.spec("nowhere")).await.err().unwrap().to_string();
        let place: &Path = &disk.path("sessions/nowhere");
        assert!(refused.contains(&place.to_string_lossy().into_owned()), "{refused}");
        engine.close();
    });
}
