//! Hooks of a program: each call is decided on once, whoever tells of it first, and what may change something waits for the workspace.

use super::*;

impl World {
    /// A turn whose program does this, and has hooks.
    async fn hooked(format: HookFormat, script: &str) -> Self {
        let mut world = Self::of(script);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hooks_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, world.door.router()).into_future());
        let shell = Arc::get_mut(&mut world.shell).unwrap();
        shell.hooks_url = hooks_url;
        world.hooks = Some(format);
        world
    }

    /// What the hook of a call was answered, with its status.
    fn answered(&self, call: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(call)).unwrap_or_default()
    }
}

/// Waits until this is so, for a minute at most.
async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it comes to that");
}

const ALLOW: &str = r#"{"verdict":"allow"}200"#;

#[tokio::test]
async fn a_call_that_its_hook_asks_about_first_is_decided_on_once() {
    let script = "greet; text Hi; hook c1 'rm x'; ended c1 x failed; hook c2 ls; call c2 ls; ended c2 y; over";
    let world = World::hooked(HookFormat::Codex, script).await.guarded(HookPoint::ToolExecuteBefore, "rm");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.answered("c1"), r#"{"verdict":"deny","words":"no rm"}200"#);
    assert_eq!(world.answered("c2"), ALLOW);
    assert_eq!(
        world.story(),
        [
            READY,
            "1: Hi | c1 bash rm x",
            "guard at tool.execute.before",
            "c1 Error no rm",
            "2: c2 bash ls",
            "c2 started",
            "c2 Ok y",
        ]
    );
}

#[tokio::test]
async fn a_call_that_is_told_first_is_decided_on_when_its_hook_asks() {
    let script = "greet; text Hi; call c1 'rm x'; hook c1 'rm x'; ask c1 'rm x'; ended c1 x failed; call c2 ls; hook c2 ls; ask c2 ls; ended c2 y; over";
    let world = World::hooked(HookFormat::OpenCode, script).await.guarded(HookPoint::ToolExecuteBefore, "rm");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.answered("c1"), r#"{"verdict":"deny","words":"no rm"}200"#);
    assert_eq!(world.answered("c2"), ALLOW);
    let heard = world.heard();
    assert!(heard.contains(r#""optionId":"no""#) && heard.contains(r#""optionId":"yes""#), "{heard}");
    assert_eq!(
        world.story(),
        [
            READY,
            "1: Hi | c1 bash rm x",
            "guard at tool.execute.before",
            "c1 Error no rm",
            "2: c2 bash ls",
            "c2 started",
            "c2 Ok y",
        ]
    );
}

#[tokio::test]
async fn a_hook_that_asks_twice_is_answered_alike_and_no_other_call_by_that_name() {
    let script = "greet; hook c1 'rm x'; hook c1 'rm x'; hook c1 ls; over";
    let world = World::hooked(HookFormat::Codex, script).await.guarded(HookPoint::ToolExecuteBefore, "rm");
    assert_eq!(world.run().await, TurnEnd::Done);
    let no = r#"{"verdict":"deny","words":"no rm"}200"#;
    let other = r#"{"verdict":"deny","words":"This call was asked about with other arguments before."}200"#;
    assert_eq!(world.answered("c1"), format!("{no}{no}{other}"));
    assert_eq!(world.story().iter().filter(|line| line.starts_with("guard")).count(), 1);
}

#[tokio::test]
async fn a_call_whose_hook_does_not_ask_is_decided_on_as_it_is_told_and_a_refused_one_ends_the_turn() {
    for script in ["greet; call c1 'rm x'; hear", "greet; call c1 'rm x'; ended c1 gone; hear"] {
        let mut world = World::hooked(HookFormat::OpenCode, script).await.guarded(HookPoint::ToolExecuteBefore, "rm");
        world.times.leave_max = Duration::from_millis(50);
        let reason = failure(world.run().await);
        assert!(reason.contains("made a call without asking leave") && reason.contains("no rm"), "{reason}");
        assert_eq!(world.story()[1..3], ["1: c1 bash rm x", "guard at tool.execute.before"]);
    }
}

#[tokio::test]
async fn what_may_change_something_is_held_for_the_sync_and_holds_up_nothing_else() {
    let script = "greet; hook c1 'rm x' & until [ -e asked ]; do sleep 0.01; done; TOOL=Read hook c2 y; touch read; wait %1; call c1 'rm x'; ended c1 z; over";
    let world = World::hooked(HookFormat::Codex, script).await;
    world.shell.writable.send_replace(false);
    let directory = world.directory.path();
    let watched = async {
        until(|| world.story().iter().any(|line| line == "c1 started")).await;
        std::fs::write(directory.join("asked"), "").unwrap();
        until(|| directory.join("read").exists()).await;
        assert_eq!((world.answered("c1"), world.answered("c2")), (String::new(), ALLOW.to_owned()));
        world.shell.writable.send_replace(true);
    };
    let (end, ()) = tokio::join!(world.run(), watched);
    assert_eq!(end, TurnEnd::Done);
    assert_eq!(world.answered("c1"), ALLOW);
}

#[tokio::test]
async fn a_stop_answers_a_hook_that_is_held() {
    let script = "greet; hook c1 'rm x' & hear; wait; over 3 cancelled";
    let world = World::hooked(HookFormat::Codex, script).await;
    world.shell.writable.send_replace(false);
    let stop = async {
        until(|| world.story().iter().any(|line| line == "c1 started")).await;
        world.stop.cancel();
    };
    let (end, ()) = tokio::join!(world.run(), stop);
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(world.answered("c1"), "The turn has ended.410");
}

#[tokio::test]
async fn the_door_is_open_for_the_token_of_the_turn_alone() {
    let script =
        "greet; hook c1 ls wrong; TOOL='\"' hook c2 ls; echo \"$HANGAR_HOOKS_TOKEN $HANGAR_HOOKS_URL\" >door; over";
    let world = World::hooked(HookFormat::Codex, script).await;
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.answered("c1").ends_with("401"), "{}", world.answered("c1"));
    assert!(world.answered("c2").ends_with("400"), "{}", world.answered("c2"));
    assert_eq!(world.story(), [READY], "nothing was asked");
    let door = world.answered("door");
    let (token, url) = door.trim().split_once(' ').unwrap();
    assert!(token.starts_with("hangar-hooks-"), "{token}");
    let asked = reqwest::Client::new().post(url).bearer_auth(token).body(r#"{"tool_name":"Bash"}"#).send().await;
    assert_eq!(asked.unwrap().status(), 401, "the turn is over");
}
