//! A full disk: what cannot be kept is refused, what was accepted stays, and with room again work goes on.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use hangar_protocol::{EventBody, RefusalCode, SessionId, SessionState, event::TurnOutcome};
use hangar_testkit::{Person, Promises, Reply, Setting, TestServer, Transcript, Watch, until};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::soak;

/// A little more than a server wants to see free before it starts.
const DISK: &str = "96m";
/// Prompts of this length need new room each; none of them fits into what a database has left over.
const LONG: usize = 200 * 1024;
/// More of them than fit into the rest of a disk that was filled from outside.
const PROMPTS_MAX: u32 = 40;

/// Starts the server on a disk of its own that nobody else on the machine sees, and that ends with it.
fn small_disk() -> Setting {
    let work = [Reply::say("I write.").and_bash("echo line >> journal.txt; seq 1 3000"), Reply::say("Written.")];
    let nap = [Reply::bash("sleep 1"), Reply::say("Awake.")];
    let transcript = Transcript::new().on("say", [Reply::say("Words.")]).on("work", work).on("nap", nap);
    let script =
        format!("mkdir -p \"$HOME/../data\" && mount -t tmpfs -o size={DISK} tmpfs \"$HOME/../data\" && exec \"$@\"");
    Setting::new(transcript).wrapped(&["unshare", "--mount", "sh", "-c", &script, "sh"])
}

/// The server's data directory as the server sees it.
fn data_of(server: &TestServer) -> PathBuf {
    let inside = server.data().strip_prefix("/").unwrap();
    Path::new(&format!("/proc/{}/root", server.process())).join(inside)
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let mut server = TestServer::start_with(small_disk()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please say it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);

    let ballast = data_of(&server).join("ballast");
    fill(&ballast);
    let text = format!("Please say it again. {}", "x".repeat(LONG));
    let mut accepted = Vec::new();
    let mut refused = None;
    for number in 0..PROMPTS_MAX {
        let id = format!("full-{number}");
        match jane.prompt(&session, &id, &text).await.expect("the server answers") {
            Ok(prompt) => accepted.push((id, prompt.prompt)),
            Err(refusal) => {
                refused = Some((id, refusal));
                break;
            }
        }
    }
    let (refused_id, refusal) = refused.expect("a full disk refuses");
    assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal}");
    assert!(refusal.message.contains("disk is full") && refusal.hint.contains("Free space"), "{refusal}");
    // Nothing new can begin either, and what does not begin leaves nothing. What begins is smaller than what was refused.
    let rest = data_of(&server).join("rest");
    let full = Full::keep(&rest);
    let folders = || {
        fs::read_dir(data_of(&server).join("sessions")).unwrap().flatten().filter(|entry| entry.path().is_dir()).count()
    };
    assert_eq!(folders(), 1);
    let ran = server.run(&["run", "--repo", "acme/tiny", "--detach", "Please say it."]).await;
    assert_eq!(ran.refusal().code, RefusalCode::Unavailable);
    assert_eq!(folders(), 1);
    assert_eq!(jane.client().sessions().await.unwrap().len(), 1);

    drop(full);
    fs::remove_file(&ballast).unwrap();
    fs::remove_file(&rest).unwrap();
    // Sent again with room, the refused prompt is accepted, and only now.
    let again =
        until("a prompt with room again", async || jane.prompt(&session, &refused_id, &text).await.unwrap().ok()).await;
    accepted.push((refused_id, again.prompt));
    assert_eq!(watch.turn_ended(again.prompt.0).await, TurnOutcome::Done);
    let log = jane.log(&session).await;
    SessionState::fold(&log).expect("the log has no gap");
    for (id, number) in accepted {
        let added = log.iter().filter(|event| {
            matches!(&event.body,
            EventBody::PromptAdded { prompt, request_id, .. } if *prompt == number && request_id.as_str() == id)
        });
        assert_eq!(added.count(), 1, "{id} was accepted");
    }
    assert_eq!(watch.events(), &log[..watch.events().len()]);
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_turn_that_met_a_full_disk_goes_on_by_itself() {
    let mut server = TestServer::start_with(small_disk()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please nap.").await.id;
    Watch::new(&jane, &session).tool_started("bash").await;
    let ballast = data_of(&server).join("ballast");
    let full = Full::keep(&ballast);
    let cut_off = async || server.log().contains("the log cannot be written; the session's task ends").then_some(());
    until("the end of the session's task", cut_off).await;
    drop(full);
    fs::remove_file(&ballast).unwrap();
    let done = async || {
        let state = jane.client().session(&session).await.ok()?;
        (state.turns.last()?.outcome == Some(TurnOutcome::Done)).then_some(())
    };
    until("the turn's end", done).await;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// How often the disk is full, each time from another moment of what the session does.
const TIMES: u32 = 8;
/// How long there is room, and how long there is none.
const ROOM_MS: std::ops::Range<u64> = 20..1_500;
const NO_ROOM_MS: std::ops::Range<u64> = 20..700;
/// Prompts that may wait before no more are sent for a while.
const QUEUE_MAX: usize = 2;
const AGAIN: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_at_any_moment_loses_nothing() {
    let seed = soak::seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = TestServer::start_with(small_disk()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please work.").await.id;
    let over = AtomicBool::new(false);
    let ballast = data_of(&server).join("ballast");
    let filling = async {
        for _ in 0..TIMES {
            tokio::time::sleep(Duration::from_millis(random.random_range(ROOM_MS))).await;
            let full = Full::keep(&ballast);
            tokio::time::sleep(Duration::from_millis(random.random_range(NO_ROOM_MS))).await;
            drop(full);
            fs::remove_file(&ballast).unwrap();
        }
        over.store(true, Ordering::Release);
    };
    let ((promises, refused), ()) = tokio::join!(prompt_until(&jane, &session, &over), filling);
    let logs = promises.kept(&jane).await;
    let failed = logs[&session].iter().filter(|event| is_failure(&event.body)).count();
    println!(
        "HANGAR_SEED={seed}: {} prompts, {refused} refusals, {failed} turns failed, {} events",
        promises.prompts(),
        logs[&session].len()
    );
    assert!(promises.prompts() > 0);
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// Sends prompts, each until it is acknowledged; none any more once there is room for good.
async fn prompt_until(jane: &Person, session: &SessionId, over: &AtomicBool) -> (Promises, u32) {
    let (mut promises, mut refused) = (Promises::default(), 0);
    for number in 0.. {
        if over.load(Ordering::Acquire) {
            break;
        }
        let id = format!("work-{number}");
        let accepted = loop {
            match jane.prompt(session, &id, "Please work on.").await.expect("the server answers") {
                Ok(accepted) => break accepted,
                Err(refusal) => {
                    assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal}");
                    refused += 1;
                }
            }
            tokio::time::sleep(AGAIN).await;
        };
        promises.acknowledged(session, &id, "Please work on.", accepted.prompt);
        let short = async || {
            let state = jane.client().session(session).await.ok()?;
            (over.load(Ordering::Acquire) || state.queue().count() < QUEUE_MAX).then_some(())
        };
        until("a short queue", short).await;
    }
    (promises, refused)
}

fn is_failure(body: &EventBody) -> bool {
    matches!(body, EventBody::TurnEnded { outcome: TurnOutcome::Failed { .. }, .. })
}

/// A disk that stays full: what others give back is taken at once.
struct Full {
    over: Arc<AtomicBool>,
    filling: Option<JoinHandle<()>>,
}

impl Full {
    fn keep(path: &Path) -> Self {
        let mut file = File::create(path).unwrap();
        fill_up(&mut file);
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let filling = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                fill_up(&mut file);
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { over, filling: Some(filling) }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.filling.take().map(JoinHandle::join));
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    fill_up(&mut File::create(path).unwrap());
}

fn fill_up(file: &mut File) {
    for bytes in [1024 * 1024, 4096, 1] {
        let block = vec![0_u8; bytes];
        while file.write_all(&block).is_ok() {}
    }
}
