//! Agents that begin other sessions: in other repositories, through kills, within limits and budgets, and stopped with them or not.

use hangar_protocol::{
    Block, CallId, ChildPhase, EventBody, SessionId, SessionState, Visibility,
    api::{NewPrompt, NewRepo, NewSession, PromptMode, SessionSummary, StopTurn},
    budget::BudgetScope,
    command::Reach,
    event::TurnOutcome,
    state::{PullRequestStatus, SessionStatus},
};
use hangar_testkit::{Person, Reply, Setting, Story, TestServer, Transcript, Watch, commits_of, until, within};
use serde_json::{Value, json};

/// The model is asked and never answers, whoever asks: the session works, and needs no sandbox for it.
fn works_for_ever() -> Reply {
    let faults: Vec<Value> = (0..100).map(|_| json!({"no_answer": {}})).collect();
    Reply::say("Never.").meeting(faults.into())
}

fn spawn(repo: &str, prompt: &str) -> Value {
    json!({"repo": repo, "prompt": prompt})
}

/// A second repository, with the same files.
async fn other(server: &TestServer) {
    let source = server.directory().join("tiny").display().to_string();
    let new = NewRepo { repo: "acme/other".parse().unwrap(), source: Some(source) };
    within("the import", server.owner().client().add_repo(&new)).await.expect("the repository comes in");
}

async fn state(person: &Person, session: &SessionId) -> SessionState {
    within("the state", person.client().session(session)).await.unwrap()
}

async fn listed(person: &Person) -> Vec<SessionSummary> {
    within("the list", person.client().sessions()).await.unwrap()
}

/// What the calls of a session gave, in the model's order; those of one reply end in any.
fn outputs(watch: &Watch) -> Vec<String> {
    let bodies = || watch.events().iter().map(|event| &event.body);
    let calls = bodies().filter_map(|body| match body {
        EventBody::ModelReplied { blocks, .. } => Some(blocks),
        _ => None,
    });
    let calls = calls.flatten().filter_map(|block| match block {
        Block::ToolCall { call, .. } => Some(call),
        _ => None,
    });
    let output = |wanted: &CallId| {
        bodies().find_map(|body| match body {
            EventBody::ToolFinished { call, output, .. } if call == wanted => Some(output.clone()),
            _ => None,
        })
    };
    calls.filter_map(output).collect()
}

/// How the children of a session are, once it is so.
async fn children_are(person: &Person, session: &SessionId, wanted: &[ChildPhase]) -> SessionState {
    until("the children", async || {
        let state = person.client().session(session).await.ok()?;
        let phases: Vec<ChildPhase> = state.children.iter().map(|child| child.phase).collect();
        (phases == wanted).then_some(state)
    })
    .await
}

/// Research across repositories: the same question to each, the answers side by side.
fn researcher() -> Transcript {
    let ask = |repo: &str| spawn(repo, &format!("Question about {repo}: how does it greet? Change nothing."));
    Transcript::new()
        .on("question about acme/tiny", [Reply::bash("cat greet.sh"), Reply::say("It says Hello, greet.sh:2.")])
        .on("question about acme/other", [Reply::bash("cat greet.sh"), Reply::say("It says Hello too, greet.sh:2.")])
        .on(
            "compare how both greet",
            [
                Reply::say("Both at once.")
                    .and_call("spawn_session", ask("acme/tiny"))
                    .and_call("spawn_session", ask("acme/other")),
                Reply::say("").and_call("wait_sessions", json!({})),
                Reply::say("Both say Hello, in line 2 of greet.sh.")
                    .after("It says Hello too, greet.sh:2.", "They told nothing."),
            ],
        )
}

#[tokio::test]
async fn a_question_goes_to_two_repositories_and_the_answers_come_back() {
    let mut server = TestServer::start(researcher()).await;
    server.tiny().await;
    other(&server).await;
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let session = ada.begin("acme/tiny", "Please compare how both greet.").await.id;
    let mut watch = Watch::new(&ada, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let story = Story::of(watch.events()).to_string();
    assert!(story.contains("Both say Hello, in line 2 of greet.sh."), "{story}");
    let parent = state(&ada, &session).await;
    let told: Vec<_> =
        parent.children.iter().map(|child| (child.repo.to_string(), child.phase, child.words.clone())).collect();
    assert_eq!(
        told,
        [
            ("acme/tiny".to_owned(), ChildPhase::Done, "It says Hello, greet.sh:2.".to_owned()),
            ("acme/other".to_owned(), ChildPhase::Done, "It says Hello too, greet.sh:2.".to_owned()),
        ]
    );
    // Each is a session like any other, and belongs to who asked.
    for child in &parent.children {
        let child = state(&ada, &child.session).await;
        assert_eq!((child.owner.as_str(), child.prompts[0].author.as_str()), ("ada", "ada"));
        let above = child.parent.clone().unwrap();
        assert_eq!((above.session.clone(), above.depth), (session.clone(), 1));
    }
    let parents = listed(&ada).await.into_iter().filter(|summary| summary.parent.as_ref() == Some(&session));
    assert_eq!(parents.count(), 2);
    // Nothing that the logs say is missing in the list.
    let data = server.data().display().to_string();
    let _ = server.run(&["rebuild", "--check", "--data", &data]).await.well();
    server.stop().await;
}

/// Many small pull requests: one child each.
fn pull_requester() -> Transcript {
    let change = |name: &str| {
        let commit = format!(
            "echo {name} > {name}.txt && git add -A && git commit --quiet --message 'Add {name}' && git push --quiet origin HEAD"
        );
        let open = json!({"title": format!("Add {name}"), "body": "One change."});
        [
            Reply::bash(&commit),
            Reply::say("").and_call("open_pull_request", open),
            Reply::say(&format!("Added {name}.")),
        ]
    };
    let spawns = ["one", "two", "three"].iter().fold(Reply::say("Three."), |reply, name| {
        reply.and_call("spawn_session", json!({"prompt": format!("Recipe: add the file {name}.")}))
    });
    Transcript::new()
        .on("add the file one", change("one"))
        .on("add the file two", change("two"))
        .on("add the file three", change("three"))
        .on(
            "a pull request for each",
            [
                spawns,
                Reply::say("").and_call("wait_sessions", json!({})),
                Reply::say("Three are open.").after("#3 open", "One is missing."),
            ],
        )
}

#[tokio::test]
async fn children_open_pull_requests_in_the_name_of_who_asked() {
    let mut server = TestServer::start(pull_requester()).await;
    server.tiny().await;
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let session = ada.begin("acme/tiny", "Please make a pull request for each.").await.id;
    let mut watch = Watch::new(&ada, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let parent = children_are(&ada, &session, &[ChildPhase::Done; 3]).await;
    assert!(Story::of(watch.events()).to_string().contains("Three are open."), "{}", Story::of(watch.events()));
    let repos = within("the repositories", ada.client().repos()).await.unwrap();
    for (child, name) in parent.children.iter().zip(["one", "two", "three"]) {
        let pull = child.pull_request.clone().expect("a pull request");
        assert_eq!((pull.author.as_str(), pull.status), ("ada", PullRequestStatus::Open));
        assert_eq!(pull.title, format!("Add {name}"));
        let branch = state(&ada, &child.session).await.branch;
        let commits = commits_of(&repos[0].clone_url, ada.token(), &branch, server.directory()).await;
        assert_eq!(commits[0], format!("Ada Byron <ada@example.org>: Add {name}"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_kill_between_spawn_and_wait_leaves_one_child_for_each_call() {
    let transcript = Transcript::new()
        .on("slow part", [Reply::bash("sleep 3; echo slept"), Reply::say("The slow part is done.")])
        .on("quick part", [Reply::say("The quick part is done.")])
        .on(
            "both parts",
            [
                Reply::say("Two.")
                    .and_call("spawn_session", json!({"prompt": "Do the slow part."}))
                    .and_call("spawn_session", json!({"prompt": "Do the quick part."})),
                Reply::say("").and_call("wait_sessions", json!({})),
                Reply::say("Both are done.").after("The quick part is done.", "Something is missing."),
            ],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please do both parts.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("wait_sessions").await;
    server.kill().await;
    server.restart().await;
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let story = Story::of(watch.events()).to_string();
    assert!(story.contains("Both are done.") && !story.contains("interrupted"), "{story}");
    assert_eq!(watch.events().iter().filter(|event| matches!(event.body, EventBody::ChildSpawned { .. })).count(), 2);
    assert_eq!(listed(&jane).await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn there_are_so_many_levels_and_so_many_at_once() {
    let many = (0..9).fold(Reply::say("Nine."), |reply, _| {
        reply.and_call("spawn_session", json!({"prompt": "Wait for ever.", "budget_percent": 1}))
    });
    let deeper = |wish: &str| {
        [
            Reply::say("").and_call("spawn_session", json!({"prompt": wish})),
            Reply::say("").and_call("wait_sessions", json!({})),
            Reply::say("So deep."),
        ]
    };
    let transcript = Transcript::new()
        .on("wait for ever", [works_for_ever()])
        .on("level three", [Reply::say("Too deep.")])
        .on(
            "level two",
            [
                Reply::say("").and_call("spawn_session", json!({"prompt": "Go to level three."})),
                Reply::say("No deeper.").after("2 levels below one that a person began", "It went deeper."),
            ],
        )
        .on("level one", deeper("Go to level two."))
        .on("go deep", deeper("Go to level one."))
        .on(
            "nine at once",
            [many, Reply::say("Eight it is.").after("8 sessions that this one began are at work", "All nine.")],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let deep = jane.begin("acme/tiny", "Please go deep.").await.id;
    let mut watch = Watch::new(&jane, &deep);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let (sessions, mut at, mut words) = (listed(&jane).await, deep, Vec::new());
    assert_eq!(sessions.len(), 3);
    while let Some(child) = state(&jane, &at).await.children.first() {
        words.push(child.words.clone());
        at = child.session.clone();
    }
    assert_eq!(words, ["So deep.", "No deeper."]);

    let wide = jane.begin("acme/tiny", "Please do nine at once.").await.id;
    let mut watch = Watch::new(&jane, &wide);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    assert!(Story::of(watch.events()).to_string().contains("Eight it is."), "{}", Story::of(watch.events()));
    let state = children_are(&jane, &wide, &[ChildPhase::Working; 8]).await;
    assert_eq!(state.status, SessionStatus::Idle);
    // Its own turn is over; a stop reaches those that work on.
    let _ = server.run(&["stop", wide.as_str()]).await.well();
    let state = children_are(&jane, &wide, &[ChildPhase::Stopped; 8]).await;
    assert_eq!(server.run(&["stop", wide.as_str()]).await.code, Some(5));
    let child = within("a child", jane.client().session(&state.children[0].session)).await.unwrap();
    assert_eq!(child.turns[0].outcome, Some(TurnOutcome::Stopped { by: "jane".parse().unwrap() }));
    server.stop().await;
}

/// Waits for one that never ends.
fn waiter() -> Transcript {
    Transcript::new().on("wait for ever", [works_for_ever()]).on(
        "begin one",
        [
            Reply::say("").and_call("spawn_session", json!({"prompt": "Wait for ever."})),
            Reply::say("").and_call("wait_sessions", json!({})),
        ],
    )
}

#[tokio::test]
async fn a_stop_takes_the_children_with_it_unless_told_not_to() {
    let mut server = TestServer::start(waiter()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    for (reach, wanted) in [(Reach::WithChildren, ChildPhase::Stopped), (Reach::Alone, ChildPhase::Working)] {
        let session = jane.begin("acme/tiny", "Please begin one.").await.id;
        let mut watch = Watch::new(&jane, &session);
        watch.tool_started("wait_sessions").await;
        let stop = StopTurn { reach, ..StopTurn::default() };
        within("the stop", ada.client().stop_turn(&session, &stop)).await.unwrap();
        assert_eq!(watch.turn_ended(1).await, TurnOutcome::Stopped { by: "ada".parse().unwrap() });
        let parent = children_are(&jane, &session, &[wanted]).await;
        let child = state(&jane, &parent.children[0].session).await;
        let stopped_by = child.turns[0].stop_requested_by.clone();
        assert_eq!(stopped_by.is_some_and(|by| by.as_str() == "ada"), reach == Reach::WithChildren);
    }
    // A deleted session takes them along, too.
    let session = jane.begin("acme/tiny", "Please begin one.").await.id;
    Watch::new(&jane, &session).tool_started("wait_sessions").await;
    within("the deletion", jane.client().delete_session(&session)).await.unwrap();
    let _ = children_are(&jane, &session, &[ChildPhase::Stopped]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_stop_that_the_server_did_not_live_to_pass_on_is_passed_on() {
    let mut server = TestServer::start(waiter()).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please begin one.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("wait_sessions").await;
    within("the stop", jane.client().stop(&session)).await.unwrap();
    server.kill().await;
    server.restart().await;
    let parent = children_are(&jane, &session, &[ChildPhase::Stopped]).await;
    assert_eq!(parent.children[0].stop_requested_by, None, "it was heard to have ended");
    server.stop().await;
}

#[tokio::test]
async fn an_agent_speaks_to_its_children_and_cancels_them() {
    let say = |text: &str| json!({"session": "${child}", "text": text});
    let transcript = Transcript::new()
        .on("a second look", [Reply::say("I looked twice.")])
        .on("look once", [Reply::say("I looked once.")])
        .on("wait for ever", [works_for_ever()])
        .on(
            "begin and speak",
            [
                Reply::say("").and_call("spawn_session", json!({"prompt": "Please look once.", "title": "A look"})),
                Reply::say("").capturing("child", "Session ", " works on").and_call("wait_sessions", json!({})),
                Reply::say("").and_call("message_session", say("Take a second look.")),
                Reply::say("").and_call("wait_sessions", json!({"sessions": ["${child}"]})),
                Reply::say("")
                    .after("I looked twice.", "It did not hear.")
                    .and_call("message_session", say("Now wait for ever.")),
                Reply::say("").and_call("cancel_session", json!({"session": "${child}"})),
                Reply::say("").and_call("wait_sessions", json!({"sessions": ["${child}"]})),
                Reply::say("")
                    .after("stopped", "It goes on.")
                    .and_call("cancel_session", json!({"session": "${child}"})),
                Reply::say("All as wished.").after("Nothing of", "It was stopped twice."),
            ],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please begin and speak.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let story = Story::of(watch.events()).to_string();
    assert!(story.contains("All as wished."), "{story}");
    let parent = state(&jane, &session).await;
    let child = state(&jane, &parent.children[0].session).await;
    assert_eq!((child.title.as_str(), child.prompts.len(), child.turns.len()), ("A look", 3, 3));
    assert!(child.prompts.iter().all(|prompt| prompt.author.as_str() == "jane"));
    // What came of it is told once more only where the model has not read it.
    assert_eq!(parent.children[0].phase, ChildPhase::Stopped);
    server.stop().await;
}

#[tokio::test]
async fn a_share_bounds_a_child_and_all_of_it_counts_for_the_family() {
    let transcript = Transcript::new()
        .on("work a lot", [Reply::bash("true"), Reply::bash("true"), Reply::bash("true"), Reply::say("Worked.")])
        .on(
            "let it work",
            [
                Reply::say("").and_call("spawn_session", json!({"prompt": "Please work a lot.", "budget_percent": 25})),
                Reply::say("").and_call("wait_sessions", json!({})),
                Reply::say("")
                    .after("paused", "It had enough.")
                    .and_call("spawn_session", json!({"prompt": "Please work a lot.", "budget_percent": 100})),
                Reply::say("").and_call("wait_sessions", json!({"until": "all"})),
                Reply::say("Enough."),
            ],
        );
    let setting = Setting::new(transcript).configured("[budgets]\nsession_tool_calls = 10");
    let mut server = TestServer::start_with(setting).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please let it work.").await.id;
    let mut watch = Watch::new(&jane, &session);
    // 1 spawn, then a quarter of the 9 that are left.
    watch.until("the second", |event| matches!(event.body, EventBody::ChildSpawned { .. }) && event.seq.0 > 12).await;
    let parent = state(&jane, &session).await;
    let first = state(&jane, &parent.children[0].session).await;
    assert_eq!((first.status, first.spent.tool_calls), (SessionStatus::Paused, 2));
    assert_eq!(first.turns[0].paused.as_ref().map(|why| why.scope), Some(BudgetScope::Session));
    // 3 of the parent's own (two spawns, a wait) and 2 are used up.
    assert_eq!(parent.children[1].share.tool_calls, Some(5));
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let parent = state(&jane, &session).await;
    assert_eq!(parent.children.iter().map(|child| child.spent.tool_calls).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(parent.spent.tool_calls, 4);

    // 9 are used up, whoever used them, through a restart, too; the next spawn is the tenth, and finds nothing left for anybody.
    server.kill().await;
    server.restart().await;
    jane.prompt(&session, "r2", "Please let it work.").await.unwrap().unwrap();
    let paused =
        watch.until("the pause", |event| matches!(event.body, EventBody::TurnPaused { turn, .. } if turn.0 == 2)).await;
    let EventBody::TurnPaused { exhausted, .. } = paused.body else { panic!("{paused:?}") };
    assert_eq!((exhausted.scope, exhausted.spent, exhausted.limit), (BudgetScope::Session, 10, 10));
    assert!(outputs(&watch).last().is_some_and(|last| last.contains("10 tool calls of 10 tool calls are used up")));
    // The child has some of its share left; the family has nothing.
    let child = parent.children[1].session.clone();
    jane.prompt(&child, "r3", "Please work a lot.").await.unwrap().unwrap();
    let mut below = Watch::new(&jane, &child);
    let paused = below.until("the pause", |event| matches!(event.body, EventBody::TurnPaused { .. })).await;
    let EventBody::TurnPaused { exhausted, .. } = paused.body else { panic!("{paused:?}") };
    assert_eq!(exhausted.scope, BudgetScope::Parent, "{exhausted:?}");
    // Raised above, it goes on below.
    let _ = server.run(&["budget", session.as_str(), "--tool-calls", "20"]).await.well();
    below.until("its going on", |event| matches!(event.body, EventBody::TurnContinued { .. })).await;
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_the_author_may_not_see_looks_like_none() {
    let ask = |id: &str| json!({"session": id});
    let transcript = Transcript::new().on("a secret", [Reply::say("It is 42.")]).on(
        "ask around",
        [
            Reply::bash("cat id.txt"),
            Reply::say("")
                .capturing("secret", "secret=", ";")
                .capturing("seen", "seen=", ";")
                .and_call("session_status", ask("${secret}"))
                .and_call("session_status", ask("nosuchsession"))
                .and_call("message_session", json!({"session": "${seen}", "text": "Hello."}))
                .and_call("cancel_session", ask("${seen}"))
                .and_call("session_status", ask("${seen}")),
            Reply::say("Asked."),
        ],
    );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let prompt = |text: &str| Some(NewPrompt { request_id: None, text: text.to_owned() });
    let new = |visibility| NewSession {
        repo: "acme/tiny".parse().unwrap(),
        base_branch: None,
        agent: None,
        model: None,
        prompt: prompt("Keep a secret."),
        visibility: Some(visibility),
    };
    let secret = within("a private session", ada.client().create_session(&new(Visibility::Private))).await.unwrap().id;
    let seen = within("a session", ada.client().create_session(&new(Visibility::Team))).await.unwrap().id;
    assert_eq!(Watch::new(&ada, &seen).turn_ended(1).await, TurnOutcome::Done);
    let notes = server.directory().join("tiny");
    std::fs::write(notes.join("id.txt"), format!("secret={secret}; seen={seen};")).unwrap();
    other(&server).await;
    let session = jane.begin("acme/other", "Please ask around.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let outputs = outputs(&watch);
    let words = |id: &str| format!("There is no session {id}. `hangar sessions` lists those that you can see.");
    assert_eq!(outputs[1..3], [words(secret.as_str()), words("nosuchsession")]);
    let not_own = format!("{seen} is no session that this one began.");
    assert_eq!(outputs[3..5], [not_own.clone(), not_own]);
    assert!(outputs[5].contains("It is 42.") && outputs[5].starts_with(&format!("{seen} done")), "{}", outputs[5]);
    server.stop().await;
}

#[tokio::test]
async fn what_came_of_children_is_told_with_the_next_prompt() {
    let transcript = Transcript::new()
        .on("since you last heard of it. It is 42.", [Reply::say("It came.")])
        .on("tell later", [Reply::bash("sleep 1"), Reply::say("It is 42.")])
        .on(
            "begin one and end",
            [
                Reply::say("").and_call("spawn_session", json!({"prompt": "Please tell later."})),
                Reply::say("It works."),
            ],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please begin one and end.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let parent = children_are(&jane, &session, &[ChildPhase::Done]).await;
    assert_eq!(parent.children[0].words, "It is 42.");
    assert_eq!(parent.turns.len(), 1, "nobody works because of it");
    jane.prompt(&session, "r2", "And now?").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    assert!(Story::of(watch.events()).to_string().contains("It came."), "{}", Story::of(watch.events()));
    server.stop().await;
}

#[tokio::test]
async fn a_child_may_begin_on_a_copy_of_the_files_as_they_are() {
    let look = "cat draft.txt && git status --short && git branch --show-current && echo mine > child.txt";
    let transcript = Transcript::new()
        .on("read the draft", [Reply::bash(look), Reply::say("Read.").after("of two lines", "There is none.")])
        .on(
            "draft something",
            [
                Reply::bash("echo 'a draft' > draft.txt && echo 'of two lines' >> draft.txt"),
                Reply::say("").and_call("spawn_session", json!({"prompt": "Please read the draft.", "copy": true})),
                Reply::say("").and_call("wait_sessions", json!({})),
                Reply::bash("ls && cat draft.txt"),
                Reply::say("").and_call(
                    "spawn_session",
                    json!({"prompt": "Please read the draft.", "copy": true, "branch": "main"}),
                ),
                Reply::say("Drafted.").after("leave out repo and branch", "It took both."),
            ],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let session = jane.begin("acme/tiny", "Please draft something.").await.id;
    let mut watch = Watch::new(&jane, &session);
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    assert!(Story::of(watch.events()).to_string().contains("Drafted."), "{}", Story::of(watch.events()));
    let parent = state(&jane, &session).await;
    assert_eq!((parent.children.len(), parent.children[0].words.as_str()), (1, "Read."));
    let here = outputs(&watch).into_iter().find(|output| output.contains("greet.sh\n")).unwrap_or_default();
    assert!(!here.contains("child.txt"), "each has files of its own: {here}");
    let child = state(&jane, &parent.children[0].session).await;
    let mut below = Watch::new(&jane, &child.id);
    assert_eq!(below.turn_ended(1).await, TurnOutcome::Done);
    assert!(outputs(&below)[0].contains(&format!("?? draft.txt\n{}\n", child.branch)), "{}", outputs(&below)[0]);
    let diff = within("the diff", jane.client().diff(&child.id)).await.unwrap();
    let paths: Vec<String> = diff.files.into_iter().map(|file| file.path).collect();
    assert_eq!(paths, ["child.txt", "draft.txt"]);
    // Before its first turn it had other files than its repository's.
    let back = within("the way back", jane.client().rewind(&child.id, hangar_protocol::TurnId(0))).await;
    assert!(back.is_err_and(|error| error.to_string().contains("the files of the one that began it")));
    server.stop().await;
}

#[tokio::test]
async fn whoever_steers_anothers_turn_reads_no_more_by_it_than_by_themselves() {
    let transcript = Transcript::new()
        .on("a secret", [Reply::say("It is 42.")])
        .on("wait a bit", [Reply::bash("sleep 2"), Reply::say("Waited.")])
        .on(
            "look at it",
            [
                Reply::bash("cat id.txt"),
                Reply::say("")
                    .capturing("secret", "secret=", ";")
                    .and_call("session_status", json!({"session": "${secret}"})),
                Reply::say("Looked."),
            ],
        );
    let mut server = TestServer::start(transcript).await;
    server.tiny().await;
    let jane = server.owner().clone();
    let ada = server.let_in("ada", "Ada Byron", "ada@example.org").await;
    let prompt = Some(NewPrompt { request_id: None, text: "Keep a secret.".to_owned() });
    let (repo, visibility) = ("acme/tiny".parse().unwrap(), Some(Visibility::Private));
    let new = NewSession { repo, base_branch: None, model: None, agent: None, prompt, visibility };
    let secret = within("a private session", jane.client().create_session(&new)).await.unwrap().id;
    assert_eq!(Watch::new(&jane, &secret).turn_ended(1).await, TurnOutcome::Done);
    std::fs::write(server.directory().join("tiny/id.txt"), format!("secret={secret};")).unwrap();
    other(&server).await;
    let session = jane.begin("acme/other", "Please wait a bit.").await.id;
    let mut watch = Watch::new(&jane, &session);
    watch.tool_started("bash").await;
    within("the steer", ada.client().say(&session, "Please look at it.", PromptMode::Steer)).await.unwrap();
    assert_eq!(watch.turn_ended(1).await, TurnOutcome::Done);
    let refused = format!("There is no session {secret}. `hangar sessions` lists those that you can see.");
    assert_eq!(outputs(&watch).last(), Some(&refused), "{}", Story::of(watch.events()));
    // Her own turn reads it.
    jane.prompt(&session, "r2", "Please look at it.").await.unwrap().unwrap();
    assert_eq!(watch.turn_ended(2).await, TurnOutcome::Done);
    assert!(outputs(&watch).last().is_some_and(|last| last.contains("It is 42.")));
    server.stop().await;
}
