//! A kernel that lacks what sandboxes need: hangar says so, and says what to do.

use std::fs;

use hangar_protocol::{
    EventBody,
    event::{SandboxPhase, TurnOutcome},
};
use hangar_testkit::{Ground, Ran, Reply, Setting, TestServer, Transcript, Watch, within};

/// Runs what follows where no user namespace can be made: inside one whose own limit is 0, and without root's rights over it. The
/// machine's limit is not touched.
const NO_NAMESPACES: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"",
];

fn without_namespaces() -> Vec<&'static str> {
    NO_NAMESPACES.iter().copied().chain(["sh"]).collect()
}

#[tokio::test]
async fn doctor_names_what_is_missing() {
    let ground = Ground::new();
    let mut words = without_namespaces().into_iter();
    let mut command = tokio::process::Command::new(words.next().unwrap());
    command
        .args(words)
        .arg(hangar_testkit::program())
        .args(["doctor", "--json", "--data"])
        .arg(ground.path().join("data"));
    ground.dress(&mut command);
    let ran = Ran::of(&mut command).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["ok"], false);
    let missing: Vec<_> =
        report["findings"].as_array().unwrap().iter().filter(|found| found["verdict"] == "missing").collect();
    assert!(
        missing.iter().any(|found| found["mend"].as_str().unwrap().contains("user.max_user_namespaces")),
        "{missing:#?}"
    );
    assert!(!ground.path().join("data").exists(), "doctor only looks");
}

#[tokio::test]
async fn a_turn_without_sandbox_says_why_and_the_session_stays() {
    let transcript = Transcript::new().on("write", [Reply::bash("echo words > new.txt"), Reply::say("Done.")]);
    let setting = Setting::new(transcript).wrapped(&without_namespaces());
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please write it.").await.id;
    let mut watch = Watch::new(&jane, &session);
    match watch.turn_ended(1).await {
        TurnOutcome::Failed { reason } => assert!(reason.contains("hangar doctor"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut phases = watch.events().iter().filter_map(|event| match event.body {
        EventBody::SandboxChanged { phase, .. } => Some(phase),
        _ => None,
    });
    assert_eq!(phases.next_back(), Some(SandboxPhase::Failed));
    assert!(
        fs::read_dir(server.data().join("run/sandboxes")).unwrap().flatten().all(|entry| entry.path().is_file()
            || ["nothing", "skeleton", "stage"].iter().any(|own| entry.file_name() == *own))
    );
    assert_eq!(within("the list", jane.client().sessions()).await.unwrap().len(), 1);
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}
