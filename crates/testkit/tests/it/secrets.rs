//! What is secret is nowhere it does not belong: not in logs, not in events, not on disk, and never in a sandbox.

use std::{fs, path::Path};

use hangar_protocol::{
    EventBody, RepoPath,
    api::{BuildStatus, NewRepo},
    event::TurnOutcome,
};
use hangar_testkit::{Reply, Setting, TestServer, Transcript, Watch, tiny_repository, until, within};

/// A key as a person's environment has it. The pattern below finds it and not itself. In two pieces, as all of these: this file is in every sandbox.
const KEY: &str = concat!("sk-ant-", "canary0123456789");
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

/// The value of a `[[secrets]]` entry, which goes to its host alone.
const SERVICE: &str = concat!("svc-canary-", "9f8e7d6c5b4a");
/// A variable of the server's own environment that is nobody's business.
const NEIGHBOUR: &str = concat!("host-canary-", "1a2b3c4d5e6f");

/// Gathers whatever a build or a command could have been given by mistake, and keeps it in a file: were a secret in it, it would be in the layer.
fn gather(file: &str, marker: &str) -> String {
    format!(
        "(set +e; env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; cat ~/.git-credentials ~/.netrc .git/config /run/*; echo {marker}) >{file} 2>/dev/null || true; cat {file}"
    )
}

#[tokio::test]
async fn no_layer_snapshot_manifest_or_build_log_holds_a_secret() {
    let in_session = gather("/workspace/gathered", "marker-of-the-session");
    let transcript =
        Transcript::new().on("gather", [Reply::say("I gather.").and_bash(&in_session), Reply::say("Done.")]);
    let secrets = format!(
        "default_model = \"scripted/test\"\n[network]\nallow = [\"registries\", \"api.example.com\"]\n\
         [[secrets]]\nname = \"SERVICE_TOKEN\"\nhost = \"api.example.com\"\nvalue = \"{SERVICE}\"\n"
    );
    let setting =
        Setting::new(transcript).env("ANTHROPIC_API_KEY", KEY).env("NEIGHBOUR", NEIGHBOUR).configured(&secrets);
    let mut server = TestServer::start_with(setting).await;
    let jane = server.owner().clone();
    let source = tiny_repository(server.directory());
    fs::create_dir(source.join(".hangar")).unwrap();
    let in_build = gather("/workspace/gathered-at-build", "marker-of-the-build");
    let recipe = format!("setup = [\"\"\"{}\"\"\"]\n", in_build.replace('\\', "\\\\"));
    fs::write(source.join(".hangar/environment.toml"), recipe).unwrap();
    let repo: RepoPath = "acme/tiny".parse().unwrap();
    let new = NewRepo { repo: repo.clone(), source: Some(source.display().to_string()) };
    within("the import", jane.client().add_repo(&new)).await.unwrap();

    let build = jane.client().build_image(repo).await.unwrap().build;
    let built = until("the build's end", async || {
        let builds = jane.client().builds().await.unwrap();
        builds.into_iter().find(|info| info.build == build && info.ended_ms.is_some())
    })
    .await;
    let log = jane.client().build_log(build, 0).await.unwrap().text;
    assert_eq!(built.status, BuildStatus::Built, "{built:?}\n{log}");
    assert!(log.contains("marker-of-the-build"), "the build says what it gathered: {log}");

    let session = jane.begin("acme/tiny", "Please gather.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    watch.until("a snapshot", |event| matches!(event.body, EventBody::SnapshotTaken { .. })).await;
    let events = serde_json::to_string(&jane.log(&session).await).unwrap();
    assert!(events.contains("image_chosen") && events.contains("marker-of-the-session"), "{events}");
    server.stop().await;

    // What was gathered lies in the image's layer and in the session's snapshot, so a secret in it would lie there too.
    for (marker, file) in [("marker-of-the-build", "/gathered-at-build"), ("marker-of-the-session", "/gathered")] {
        let found = holders(server.data(), marker.as_bytes());
        assert!(found.iter().any(|path| path.ends_with(file)), "{marker} in {found:?}");
    }
    // A placeholder is what a program sees of the service's token.
    assert!(events.contains("SERVICE_TOKEN="), "the secret is offered: {events}");
    let server_log = server.log();
    let all =
        [("model key", KEY), ("service's token", SERVICE), ("neighbour", NEIGHBOUR), ("forge token", jane.token())];
    for (name, secret) in all {
        assert!(!log.contains(secret), "the {name} stands in the build's log");
        assert!(!events.contains(secret), "the {name} stands in the session's events");
        assert!(!server_log.contains(secret), "the {name} stands in the server's log");
        let found = holders(server.data(), secret.as_bytes());
        assert!(found.is_empty(), "the {name} stands in {found:?}");
    }
}

/// The files below a directory that hold these bytes, in their content, their name, or where they lead.
fn holders(directory: &Path, secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        let path = entry.path();
        let content = kind.is_file() && holds(&fs::read(&path).unwrap());
        let target = kind.is_symlink() && holds(fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes());
        if content || target || holds(entry.file_name().as_encoded_bytes()) {
            found.push(path.display().to_string());
        }
        if kind.is_dir() {
            found.extend(holders(&path, secret));
        }
    }
    found
}
