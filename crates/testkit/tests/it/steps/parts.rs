//! The parts of a session's life: what came before each, what people do in it, and what is true once it was put right.

use std::{collections::BTreeSet, fs, future::pending};

use hangar_client::{Error, Update};
use hangar_protocol::{
    Event, EventBody, RefusalCode, SessionId, TurnId,
    api::{NewFork, NewPrompt, NewSession, OpenPullRequest},
    state::PullRequestStatus,
};
use hangar_testkit::{Person, Promises, Reply, TestServer, Transcript, Watch, until, within};
use serde_json::json;

/// The part of a life in which a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A session begins and works on two prompts.
    Work,
    /// It opens a pull request.
    PullRequest,
    /// It is forked after its first turn, and the fork works.
    Fork,
    /// It goes back to its first turn, and works on from there.
    Rewind,
    /// It is deleted, and its time is over at once.
    Removal,
    /// The server ends in order while a turn runs.
    End,
    /// The server starts while a turn is open.
    Wake,
    /// A session without anything to do falls asleep.
    Sleep,
    /// Its agent begins another session, and waits for it.
    Spawn,
}

impl Part {
    /// All but falling asleep, which is a test of its own.
    pub(super) const WORKING: [Self; 8] =
        [Self::Work, Self::PullRequest, Self::Fork, Self::Rewind, Self::Removal, Self::Spawn, Self::End, Self::Wake];

    /// What must have happened before the part.
    pub(super) async fn before(self, jane: &Person, promises: &mut Promises) -> Option<SessionId> {
        match self {
            Self::Work | Self::Sleep => None,
            Self::PullRequest | Self::Fork | Self::Rewind | Self::Spawn => {
                let session = jane.begin("acme/tiny", "Please work.").await.id;
                promises.began(&session);
                let mut watch = Watch::new(jane, &session);
                settled(&mut watch, 1).await;
                if self == Self::Rewind {
                    within("the prompt", jane.client().prompt(&session, "Go further.")).await.unwrap();
                    settled(&mut watch, 2).await;
                }
                Some(session)
            }
            // Nobody was promised anything about it: it is to go.
            Self::Removal => {
                let session = jane.begin("acme/tiny", "Please work.").await.id;
                settled(&mut Watch::new(jane, &session), 1).await;
                Some(session)
            }
            Self::End | Self::Wake => {
                let session = jane.begin("acme/tiny", "Please wait.").await.id;
                promises.began(&session);
                Watch::new(jane, &session).tool_started("bash").await;
                Some(session)
            }
        }
    }

    /// What people do in the part. A call that finds no server never returns: whoever waits for the server's end waits beside it.
    pub(super) async fn act(self, jane: &Person, promises: &mut Promises, session: &Option<SessionId>, name: &str) {
        let given = || session.as_ref().expect("a session that was there before");
        match self {
            Self::Work => work(jane, promises, name).await,
            Self::PullRequest => {
                let wish = OpenPullRequest::default();
                if jane.client().open_pull_request(given(), &wish).await.is_err() {
                    pending().await
                }
            }
            Self::Fork => {
                let prompt = prompt(&format!("{name}-fork"), "Also look.");
                let wish = NewFork { at_turn: Some(TurnId(1)), prompt: Some(prompt), ..NewFork::default() };
                let Ok(fork) = jane.client().fork(given(), &wish).await else { return pending().await };
                promises.began(&fork.id);
                see_until(jane, promises, &fork.id, |body| is_end_of(body, 2)).await;
            }
            Self::Rewind => {
                if jane.client().rewind(given(), TurnId(1)).await.is_err() {
                    return pending().await;
                }
                // The files follow before the next sandbox is there.
                let id = format!("{name}-again");
                let Ok(Ok(accepted)) = jane.prompt(given(), &id, "Also look.").await else { return pending().await };
                promises.acknowledged(given(), &id, "Also look.", accepted.prompt);
                see_until(jane, promises, given(), |body| is_end_of(body, 3)).await;
            }
            Self::Spawn => {
                let id = format!("{name}-spawn");
                let Ok(Ok(accepted)) = jane.prompt(given(), &id, "Begin another.").await else {
                    return pending().await;
                };
                promises.acknowledged(given(), &id, "Begin another.", accepted.prompt);
                see_until(jane, promises, given(), |body| is_end_of(body, 2)).await;
            }
            Self::Removal => {
                if jane.client().delete_session(given()).await.is_err() {
                    pending().await
                }
            }
            Self::Sleep => {
                let Ok(begun) = jane.client().create_session(&new_session(None)).await else { return pending().await };
                promises.began(&begun.id);
                pending().await
            }
            Self::End | Self::Wake => pending().await,
        }
    }

    /// The server is there again. What was begun is done, by whoever wished for it where nobody was told of it. Gives the session that goes on.
    pub(super) async fn put_right(
        self,
        jane: &Person,
        server: &TestServer,
        session: Option<SessionId>,
    ) -> Option<SessionId> {
        match (self, &session) {
            (Self::PullRequest, Some(session)) => {
                until("the pull request", async || pull_request(jane, session).await).await;
            }
            (Self::Fork, Some(session)) => told_of_its_forks(jane, session).await,
            (Self::Rewind, Some(session)) => {
                let state = within("the state", jane.client().session(session)).await.unwrap();
                if state.rewound.is_none() {
                    within("the way back", jane.client().rewind(session, TurnId(1))).await.unwrap();
                }
            }
            (Self::Spawn, Some(session)) => knows_its_children(jane, session).await,
            (Self::Removal, Some(session)) => {
                removed(jane, server, session).await;
                return None;
            }
            _ => {}
        }
        session
    }

    /// The files of a session that goes on are those of the turn it went on from.
    pub(super) async fn check_files(self, jane: &Person, session: &SessionId) {
        if self == Self::Rewind {
            assert_eq!(changed(jane, session).await, ["made.txt"], "what came after turn 1 is gone");
        }
    }
}

/// What the model says to the wishes above.
pub(super) fn worker() -> Transcript {
    let write = |path: &str| json!({"path": path, "content": "made\n"});
    Transcript::new()
        .pace(12, 2)
        .on("please tell", [Reply::say("Told.")])
        .on(
            "another",
            [
                Reply::say("I ask.").and_call("spawn_session", json!({"prompt": "Please tell.", "copy": true})),
                Reply::say("I wait.").and_call("wait_sessions", json!({})),
                Reply::say("It told me.").after("Told.", "It told nothing."),
            ],
        )
        .on(
            "work",
            [
                // More than an event holds.
                Reply::say("I look at much.").and_bash("seq 1 3000"),
                Reply::say("I write.").and_call("write", write("made.txt")),
                Reply::say("That is done."),
            ],
        )
        .on("further", [Reply::say("More.").and_call("write", write("more.txt")), Reply::say("That is done, too.")])
        .on("also", [Reply::bash("cat made.txt"), Reply::say("Seen.")])
        .on("wait", [Reply::bash("sleep 600"), Reply::say("Waited.")])
}

fn prompt(request_id: &str, text: &str) -> NewPrompt {
    NewPrompt { request_id: Some(request_id.parse().unwrap()), text: text.to_owned() }
}

fn new_session(prompt: Option<NewPrompt>) -> NewSession {
    let repo = "acme/tiny".parse().unwrap();
    NewSession { repo, base_branch: None, model: None, agent: None, prompt, visibility: None }
}

fn is_end_of(body: &EventBody, number: u32) -> bool {
    matches!(body, EventBody::TurnEnded { turn, .. } if turn.0 == number)
}

/// The turn and the snapshot after it are told.
async fn settled(watch: &mut Watch, turn: u32) {
    watch.turn_ended(turn).await;
    let kept = |event: &Event| matches!(event.body, EventBody::SnapshotTaken { turn: Some(of), .. } if of.0 == turn);
    watch.until("its snapshot", kept).await;
}

async fn work(jane: &Person, promises: &mut Promises, name: &str) {
    let new = new_session(Some(prompt(&format!("{name}-first"), "Please work.")));
    let Ok(begun) = jane.client().create_session(&new).await else { return pending().await };
    promises.began(&begun.id);
    let second = format!("{name}-second");
    let Ok(Ok(accepted)) = jane.prompt(&begun.id, &second, "Also look.").await else { return pending().await };
    promises.acknowledged(&begun.id, &second, "Also look.", accepted.prompt);
    // Both turns and what was kept after the second.
    let kept = |body: &EventBody| matches!(body, EventBody::SnapshotTaken { turn: Some(TurnId(2)), .. });
    see_until(jane, promises, &begun.id, kept).await;
}

/// Follows a session, through whatever becomes of the server, and keeps what it was shown.
async fn see_until(jane: &Person, promises: &mut Promises, session: &SessionId, last: impl Fn(&EventBody) -> bool) {
    let mut watch = Watch::new(jane, session);
    loop {
        let Update::Event(event) = watch.stubborn_update().await else { continue };
        promises.saw(session, std::slice::from_ref(&event));
        if last(&event.body) {
            break;
        }
    }
}

/// The session's open pull request, asked for until there is one.
async fn pull_request(jane: &Person, session: &SessionId) -> Option<()> {
    match jane.client().open_pull_request(session, &OpenPullRequest::default()).await {
        Ok(_) => {}
        Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Conflict => {}
        Err(_) => return None,
    }
    let state = jane.client().session(session).await.ok()?;
    let open: Vec<_> = state.pull_requests.iter().filter(|known| known.status == PullRequestStatus::Open).collect();
    assert!(open.len() <= 1, "{open:?}");
    (open.len() == 1).then_some(())
}

/// A session knows exactly the forks that there are of it, and each has the files of its turn.
async fn told_of_its_forks(jane: &Person, session: &SessionId) {
    let known = within("the source", jane.client().session(session)).await.unwrap().forks;
    let known: BTreeSet<SessionId> = known.into_iter().map(|fork| fork.session).collect();
    let mut there = BTreeSet::new();
    for listed in within("the list", jane.client().sessions()).await.unwrap() {
        let state = within("the state", jane.client().session(&listed.id)).await.unwrap();
        if state.forked_from.is_some_and(|origin| origin.session == *session) {
            there.insert(listed.id);
        }
    }
    assert_eq!(known, there, "the forks that the source knows, and those that there are");
    for fork in &there {
        assert_eq!(changed(jane, fork).await, ["made.txt"], "the files of the fork");
    }
}

/// A session has one child for the one call of its agent, knows exactly the sessions that there are below it, and hears of their end.
async fn knows_its_children(jane: &Person, session: &SessionId) {
    let known = until("the end of its children", async || {
        let state = jane.client().session(session).await.ok()?;
        let rests = state.open_turn().is_none() && state.children_at_work().next().is_none();
        rests.then_some(state.children)
    })
    .await;
    let known: BTreeSet<SessionId> = known.into_iter().map(|child| child.session).collect();
    let below = within("the list", jane.client().sessions()).await.unwrap().into_iter();
    let below: BTreeSet<SessionId> =
        below.filter(|listed| listed.parent.as_ref() == Some(session)).map(|listed| listed.id).collect();
    assert!(known.len() <= 1, "{known:?}");
    assert_eq!(known, below, "the children that the session knows, and those that there are");
    for child in &known {
        assert_eq!(changed(jane, child).await, ["made.txt"], "the files of the child");
    }
}

/// Nothing is left of a session that was deleted.
async fn removed(jane: &Person, server: &TestServer, session: &SessionId) {
    until("the end of its removal", async || {
        let names = fs::read_dir(server.data().join("sessions")).unwrap().flatten().map(|entry| entry.file_name());
        let left = names.filter(|name| name.to_string_lossy().contains(session.as_str())).count();
        (left == 0).then_some(())
    })
    .await;
    match within("its state", jane.client().session(session)).await {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::NotFound),
        other => panic!("a removed session answers {other:?}"),
    }
    let listed = within("the list", jane.client().sessions()).await.unwrap();
    assert!(listed.iter().all(|listed| listed.id != *session), "it is listed still");
}

/// The files that a session changed.
async fn changed(jane: &Person, session: &SessionId) -> Vec<String> {
    let diff = within("the diff", jane.client().diff(session)).await.unwrap();
    diff.files.into_iter().map(|file| file.path).collect()
}
