//! Forks, ways back and attempts with the real server: which files and which words there are afterwards.

use std::path::PathBuf;

use hangar_protocol::{
    Event, EventBody, RefusalCode, SessionId, TurnId,
    api::{NewAttempts, NewFork, NewPrompt, RewindRequest},
    event::TurnOutcome,
    state::{Place, SessionStatus},
};
use hangar_testkit::{AskedModel, Person, Reply, Setting, Story, TestServer, Transcript, Watch, refusal, within};
use reqwest::Method;
use serde_json::{Value, json};

async fn begin() -> (AskedModel, TestServer, Person) {
    let model = AskedModel::start().await;
    let server = TestServer::start_with(Setting::default().configured(&model.configuration())).await;
    server.tiny().await;
    let jane = server.owner().clone();
    (model, server, jane)
}

/// Says the next thing and waits until its turn and the snapshot after it are told.
async fn say(person: &Person, watch: &mut Watch, session: &SessionId, turn: u32, words: &str) {
    within("the prompt", person.client().prompt(session, words)).await.expect("it is accepted");
    settled(watch, turn).await;
}

async fn settled(watch: &mut Watch, turn: u32) {
    assert_eq!(watch.turn_ended(turn).await, TurnOutcome::Done, "{}", Story::of(watch.events()));
    let kept = |event: &Event| matches!(event.body, EventBody::SnapshotTaken { turn: Some(of), .. } if of.0 == turn);
    watch.until(&format!("the snapshot after turn {turn}"), kept).await;
}

/// Three turns that each write a file and a commit.
async fn three_turns(jane: &Person) -> (SessionId, Watch) {
    let session = jane.begin("acme/tiny", &format!("First, run: {}", work("one"))).await.id;
    let mut watch = Watch::new(jane, &session);
    settled(&mut watch, 1).await;
    say(jane, &mut watch, &session, 2, &format!("Then, run: {}", work("two"))).await;
    say(jane, &mut watch, &session, 3, &format!("Last, run: {}", work("three"))).await;
    (session, watch)
}

fn work(name: &str) -> String {
    format!("echo {name} > {name}.txt && git add -A && git commit -qm {name} && ls *.txt | xargs")
}

async fn fork(person: &Person, session: &SessionId, at: Option<u32>, words: &str) -> (SessionId, Watch) {
    let prompt = Some(NewPrompt { request_id: None, text: words.to_owned() });
    let wish = NewFork { at_turn: at.map(TurnId), prompt, ..NewFork::default() };
    let fork = within("the fork", person.client().fork(session, &wish)).await.expect("it is made").id;
    let watch = Watch::new(person, &fork);
    (fork, watch)
}

const LOOK: &str =
    "Look, run: ls *.txt | xargs; git log --format=%s | xargs; git symbolic-ref --short HEAD; git status --short";

#[tokio::test]
async fn a_fork_has_the_files_and_words_of_its_turn_and_pushes_to_a_branch_of_its_own() {
    let (model, mut server, jane) = begin().await;
    let (session, mut watch) = three_turns(&jane).await;
    // Changes of files are told a moment after they were made.
    let third = |event: &Event| matches!(&event.body, EventBody::FilesChanged { files, .. } if files.iter().any(|file| file.path == "three.txt"));
    watch.until("the file of the third turn", third).await;
    let place = Place { host: "example.org".to_owned(), port: 443 };
    within("the way out", jane.client().allow_network(&session, &place)).await.unwrap();
    let before = within("the source", jane.client().session(&session)).await.unwrap();

    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let (forked, mut fork_watch) = fork(&ada, &session, Some(1), LOOK).await;
    settled(&mut fork_watch, 2).await;
    let first = format!("user: First, run: {}", work("one"));
    assert_eq!(
        model.last_shown(),
        [
            first.clone(),
            format!("assistant: call {}", work("one")),
            "user: result one.txt".to_owned(),
            "assistant: Done.".to_owned(),
            format!(
                "user: [From here on this is a session of its own, forked from {session}, with a branch of its own.]\n\nAda Byron (ada):\n{LOOK}"
            ),
            format!("assistant: call {}", LOOK.rsplit_once("run: ").unwrap().1),
            format!("user: result one.txt\none Import tiny\nhangar/{forked}"),
        ]
    );
    let state = within("the fork", jane.client().session(&forked)).await.unwrap();
    assert_eq!((state.owner.as_str(), state.branch), ("ada", format!("hangar/{forked}")));
    assert_eq!(state.allowed, [], "nobody opened anything for the fork");
    assert_eq!(state.usage.output_tokens, 4, "two requests of its own: what was copied was paid for before");
    let origin = state.forked_from.expect("where it comes from");
    assert_eq!((origin.session, origin.turn), (session.clone(), TurnId(1)));

    // The source goes on as if nothing had happened, and tells of its fork.
    let after = within("the source", jane.client().session(&session)).await.unwrap();
    let forks: Vec<(&SessionId, TurnId)> = after.forks.iter().map(|fork| (&fork.session, fork.turn)).collect();
    assert_eq!(forks, [(&forked, TurnId(1))]);
    let untouched =
        |state: &hangar_protocol::SessionState| (state.turns.clone(), state.files.clone(), state.snapshots.clone());
    assert_eq!(untouched(&after), untouched(&before));
    drop(watch);
    let mut watch = Watch::new(&jane, &session);
    say(&jane, &mut watch, &session, 4, LOOK).await;
    let branch = format!("hangar/{session}");
    assert!(
        model
            .last_shown()
            .last()
            .unwrap()
            .ends_with(&format!("one.txt three.txt two.txt\nthree two one Import tiny\n{branch}")),
        "{:?}",
        model.last_shown()
    );

    // A fork of the fork, after a turn that the fork copied and after one of its own; both push.
    let push = "Push, run: ls *.txt | xargs; git push -q origin HEAD 2>&1";
    for (at, turn) in [(1, 2), (2, 3)] {
        let (again, mut watch) = fork(&jane, &forked, Some(at), push).await;
        settled(&mut watch, turn).await;
        assert!(model.last_shown().last().unwrap().ends_with("one.txt"), "{:?}", model.last_shown());
        assert_eq!(model.last_shown()[0], first);
        let pushed = watch.until("the push", |event| matches!(event.body, EventBody::BranchPushed { .. })).await;
        let EventBody::BranchPushed { branch, .. } = pushed.body else { panic!("{pushed:?}") };
        assert_eq!(branch, format!("hangar/{again}"));
    }
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn a_session_goes_back_and_on_from_there_also_when_the_server_is_killed_in_between() {
    let (model, mut server, jane) = begin().await;
    let (session, mut watch) = three_turns(&jane).await;
    let wish =
        |to_turn: u32, id: &str| RewindRequest { to_turn: TurnId(to_turn), request_id: Some(id.parse().unwrap()) };
    let post = async |wish: RewindRequest| {
        let path = format!("/api/v1/sessions/{session}/rewind");
        within("going back", jane.request(Method::POST, &path).json(&wish).send()).await.unwrap()
    };
    let refused = refusal(post(wish(7, "r0")).await).await;
    assert_eq!(refused.message, "This session has no turn 7.");
    assert_eq!(post(wish(1, "r1")).await.status(), 200);
    assert_eq!(post(wish(1, "r1")).await.status(), 200, "asked again, it is answered as before");
    assert_eq!(refusal(post(wish(2, "r1")).await).await.code.http_status(), 409);
    say(&jane, &mut watch, &session, 4, LOOK).await;
    let seen = model.last_shown();
    assert_eq!(seen.len(), 7, "{seen:?}");
    assert_eq!(seen[3..5], ["assistant: Done.".to_owned(), format!("user: {LOOK}")]);
    assert_eq!(seen[6], format!("user: result one.txt\none Import tiny\nhangar/{session}"));
    let rewinds = watch.events().iter().filter(|event| matches!(event.body, EventBody::Rewound { .. })).count();
    assert_eq!(rewinds, 1);
    assert_eq!(refusal(post(wish(3, "r2")).await).await.message, "Turn 3 was undone when the session was taken back.");

    // The event is durable and the server dies before the files have followed: what the disk looked like before is put back.
    say(&jane, &mut watch, &session, 5, &format!("More, run: {}", work("five"))).await;
    server.stop().await;
    let saved = server.directory().join("saved");
    copy(&files_of(&server, &session), &saved);
    server.restart().await;
    assert_eq!(post(wish(4, "r3")).await.status(), 200);
    server.kill().await;
    for entry in std::fs::read_dir(files_of(&server, &session)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "floor.json" || name.starts_with("files") {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.unwrap();
        }
    }
    for entry in std::fs::read_dir(&saved).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "floor.json" || name.starts_with("files") {
            copy(&path, &files_of(&server, &session).join(&name));
        }
    }
    server.restart().await;
    say(&jane, &mut watch, &session, 6, LOOK).await;
    let seen = model.last_shown();
    assert_eq!(*seen.last().unwrap(), format!("user: result one.txt\none Import tiny\nhangar/{session}"), "{seen:?}");
    let folder: Vec<String> = std::fs::read_dir(files_of(&server, &session))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("files"))
        .collect();
    assert_eq!(folder.len(), 1, "only the files of now: {folder:?}");

    // To before the first turn.
    assert_eq!(post(wish(0, "r4")).await.status(), 200);
    say(&jane, &mut watch, &session, 7, "Look again, run: ls *.txt 2>/dev/null | xargs; git log --format=%s").await;
    assert_eq!(model.last_shown().len(), 3, "{:?}", model.last_shown());
    assert_eq!(model.last_shown()[2], "user: result Import tiny");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

fn files_of(server: &TestServer, session: &SessionId) -> PathBuf {
    server.data().join("sessions").join(session.as_str())
}

/// With owners, times and attributes.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test]
async fn a_judge_reads_what_each_attempt_changed_and_chooses_one() {
    let chosen = Reply::say("The first does it.").and_call("keep_attempt", json!({"session": "${first}"}));
    let words = "The first does it, the other does the same later.";
    let transcript =
        Transcript::new().on("tidy up", [Reply::bash("echo tidy > tidy.txt"), Reply::say("It is tidy.")]).on(
            "judge them",
            [
                Reply::say("I compare.").and_call("compare_attempts", json!({})),
                chosen.capturing("first", "", " "),
                Reply::say(words),
            ],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let listed = server.run(&["run", "--repo", "acme/tiny", "--best-of", "2", "--judge", "Please tidy up."]).await;
    let listed: Value = serde_json::from_str(&listed.well()).unwrap();
    let kept: Vec<bool> = listed.as_array().unwrap().iter().map(|attempt| attempt["kept"].as_bool().unwrap()).collect();
    assert_eq!(kept, [true, false], "{listed}");
    let first: SessionId = listed[0]["id"].as_str().unwrap().parse().unwrap();
    let source = within("the attempt", jane.client().session(&first)).await.unwrap().forked_from.unwrap().session;
    let log = jane.log(&source).await;
    let compared = log.iter().find_map(|event| match &event.body {
        EventBody::ToolFinished { output, .. } => Some(output.clone()),
        _ => None,
    });
    let compared = compared.unwrap();
    assert_eq!(compared.matches("+tidy\n").count(), 2, "{compared}");
    assert_eq!(compared.matches("last words:\nIt is tidy.").count(), 2, "{compared}");
    // Where nothing was tried there is nothing to judge.
    let alone = jane.begin("acme/tiny", "Please tidy up.").await.id;
    assert_eq!(
        server.run(&["--json", "attempts", alone.as_str(), "--judge"]).await.refusal().code,
        RefusalCode::Conflict
    );
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

#[tokio::test]
async fn the_best_of_three_goes_on() {
    let (_model, mut server, jane) = begin().await;
    let listed =
        server.run(&["run", "--repo", "acme/tiny", "--best-of", "3", "Try, run: echo a > a.txt; echo $RANDOM"]).await;
    let listed: Value = serde_json::from_str(&listed.well()).unwrap();
    let attempts = listed.as_array().expect("attempts");
    assert_eq!(attempts.len(), 3, "{attempts:?}");
    for attempt in attempts {
        assert_eq!(attempt["diff"], json!({"files": 1, "additions": 1, "deletions": 0}), "{attempt}");
        assert_eq!((&attempt["status"], &attempt["tokens"], &attempt["round"]), (&json!("idle"), &json!(6), &json!(1)));
    }
    let all = within("the sessions", jane.client().sessions()).await.unwrap();
    assert_eq!(all.len(), 4);
    let chosen: SessionId = attempts[1]["id"].as_str().unwrap().parse().unwrap();
    let state = within("the attempt", jane.client().session(&chosen)).await.unwrap();
    let source = state.forked_from.expect("it is a fork").session;
    let kept = server.run(&["attempts", source.as_str(), "--keep", chosen.as_str()]).await.well();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let kept: Vec<&Value> = kept.as_array().unwrap().iter().map(|attempt| &attempt["kept"]).collect();
    assert_eq!(kept, [&json!(false), &json!(true), &json!(false)]);
    let refused = server.run(&["attempts", source.as_str(), "--keep", attempts[0]["id"].as_str().unwrap()]).await;
    assert_eq!(refused.refusal().code.http_status(), 409);
    let merged = server.run(&["pr", chosen.as_str(), "--merge"]).await.well();
    assert_eq!(serde_json::from_str::<Value>(&merged).unwrap()["status"], "merged");
    let state = within("the attempt", jane.client().session(&chosen)).await.unwrap();
    assert_eq!(state.status, SessionStatus::Merged);
    let too_many =
        NewAttempts { prompt: NewPrompt { request_id: None, text: "x".to_owned() }, count: 9, models: Vec::new() };
    let path = format!("/api/v1/sessions/{source}/attempts");
    let refused = within("the refusal", jane.request(Method::POST, &path).json(&too_many).send()).await.unwrap();
    assert_eq!(refusal(refused).await.hint, "Ask for 2 to 8.");
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}
