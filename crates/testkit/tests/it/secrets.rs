//! What is secret is nowhere it does not belong: not in logs, not in events, not on disk, and never in a sandbox.

use std::{fs, path::Path};

use hangar_protocol::{EventBody, event::TurnOutcome};
use hangar_testkit::{Reply, Setting, TestServer, Transcript, Watch};

/// A key as a person's environment has it. The pattern below finds it and not itself.
const KEY: &str = "sk-ant-canary0123456789";
const PATTERN: &str = "sk-ant-canary[0-9]|hgr_[A-Za-z0-9_-]{16}";

/// Looks through the environments and command lines of all processes and all files outside /usr, and shows that the pattern finds things.
fn search() -> String {
    format!(
        "pattern='{PATTERN}'; \
         echo \"planted $(printf 'sk-ant-%s' canary77 | grep -aEc \"$pattern\")\"; \
         seen=$(cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'; env); \
         echo \"processes $(printf '%s' \"$seen\" | grep -aEc \"$pattern\") of $(printf '%s' \"$seen\" | grep -ac PATH=)\"; \
         echo \"files $(grep -raEl \"$pattern\" /workspace /home /tmp /etc /run /var /root /opt /srv 2>/dev/null | wc -l) of $(find /workspace -type f | wc -l)\""
    )
}

#[tokio::test]
async fn secrets_stay_where_they_belong() {
    let transcript = Transcript::new().on("look", [Reply::say("I look.").and_bash(&search()), Reply::say("Done.")]);
    let setting =
        Setting::new(transcript).env("ANTHROPIC_API_KEY", KEY).configured("default_model = \"scripted/test\"");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let models = jane.client().models().await.unwrap();
    assert!(models.iter().any(|model| model.id.starts_with("anthropic/")), "the key is in use: {models:?}");
    let session = jane.begin("acme/tiny", "Please look around.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let output = watch.events().iter().find_map(|event| match &event.body {
        EventBody::ToolFinished { output, .. } => Some(output.clone()),
        _ => None,
    });
    let output = output.expect("the tool ran");
    let number = |line: &str, word: usize| -> u32 {
        let found = output.lines().find(|found| found.starts_with(line)).and_then(|found| found.split(' ').nth(word));
        found.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line} in {output}"))
    };
    assert_eq!((number("planted", 1), number("processes", 1), number("files", 1)), (1, 0, 0), "{output}");
    assert!(number("processes", 3) > 0 && number("files", 3) > 0, "the search looked at something: {output}");

    let code = server.first_link().split_once('#').expect("a link has a code").1.to_owned();
    let events = serde_json::to_string(&jane.log(&session).await).unwrap();
    server.stop().await;
    let log = server.log();
    assert!(log.contains("signed in"), "the log tells of the sign-in: {log}");
    for (name, secret) in [("the key", KEY), ("the code", code.as_str()), ("the token", jane.token())] {
        assert!(!log.contains(secret), "{name} stands in the server's log");
        assert!(!events.contains(secret), "{name} stands in the session's log");
        let holders = holders(server.data(), secret.as_bytes());
        assert!(holders.is_empty(), "{name} stands in {holders:?}");
    }
    // The same look does find what is there.
    assert!(!holders(server.data(), b"Please look around.").is_empty());
}

/// The files below a directory that hold these bytes.
fn holders(directory: &Path, secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        let path = entry.path();
        if kind.is_dir() {
            found.extend(holders(&path, secret));
        } else if kind.is_file() && fs::read(&path).unwrap().windows(secret.len()).any(|window| window == secret) {
            found.push(path.display().to_string());
        }
    }
    found
}
