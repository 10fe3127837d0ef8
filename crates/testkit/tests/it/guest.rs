//! Process 1 of a sandbox is killed in the middle of a call: the call ends with its cause, the turn goes on in a new sandbox over the same files.

use std::{fs, path::Path};

use hangar_protocol::{
    EventBody,
    event::{SandboxPhase, ToolStatus, TurnOutcome},
};
use hangar_testkit::{Promises, Reply, Story, TestServer, Transcript, Watch, until};
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
async fn a_sandbox_that_dies_in_a_call_is_made_anew_over_its_files() {
    // A number no other process sleeps for.
    let nap = format!("601.{}", std::process::id());
    let nap_in_it = format!("echo kept > kept.txt; sleep {nap}");
    let script = [Reply::say("I nap.").and_bash(&nap_in_it), Reply::bash("cat kept.txt"), Reply::say("Awake.")];
    let mut server = TestServer::start(Transcript::new().on("nap", script)).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Take a nap.").await.id;
    let mut watch = Watch::new(&jane, &session);
    let sleeper = until("the sleep", async || sleeper(&nap)).await;
    kill_process(first_of(sleeper), Signal::KILL).unwrap();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let mut ends = watch.events().iter().filter_map(|event| match &event.body {
        EventBody::ToolFinished { status, output, .. } => Some((*status, output.clone())),
        _ => None,
    });
    let (status, output) = ends.next().unwrap();
    assert!(status != ToolStatus::Ok && !output.trim().is_empty(), "{status:?} {output:?}");
    assert_eq!(ends.next(), Some((ToolStatus::Ok, "kept\n".to_owned())));
    let phases: Vec<SandboxPhase> = watch.events().iter().filter_map(|event| phase(&event.body)).collect();
    let failed = phases.iter().position(|phase| *phase == SandboxPhase::Failed);
    assert!(failed.is_some_and(|at| phases[at..].contains(&SandboxPhase::Ready)), "{phases:?}");
    let mut promises = Promises::default();
    promises.saw(&session, watch.events());
    promises.kept(&jane).await;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

fn phase(body: &EventBody) -> Option<SandboxPhase> {
    match body {
        EventBody::SandboxChanged { phase, .. } => Some(*phase),
        _ => None,
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn sleeper(nap: &str) -> Option<u32> {
    let words = format!("sleep\0{nap}\0").into_bytes();
    processes().find(|process| fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|found| found == words))
}

/// Process 1 of the namespace that a process is in.
fn first_of(process: u32) -> Pid {
    let space = |process: u32| fs::read_link(Path::new(&format!("/proc/{process}/ns/pid"))).ok();
    let is_first = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        numbers.is_some_and(|numbers| numbers.split_whitespace().next_back() == Some("1"))
    };
    let wanted = space(process);
    let first = processes().find(|other| space(*other) == wanted && is_first(*other));
    Pid::from_raw(i32::try_from(first.unwrap()).unwrap()).unwrap()
}
