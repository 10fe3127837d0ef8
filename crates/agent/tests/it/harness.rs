//! Turns of external agents: what a program says becomes events, and nothing that one does wrong leaves a turn or a process behind.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hangar_agent::{
    Bus, Hook, TurnEnd, Verdict,
    acp::{Harness, HarnessTimes, HarnessTurn, HookDoor, HookFormat, Launch, Program, Programs, run_harness_turn},
    hooks::{Installed, Occasion, Scene},
    limits::{OWN_HOOK_DEADLINE, TurnLimits},
};
use hangar_protocol::{
    Block, EventBody, Exhausted, HookPoint, OnFailure, TurnId,
    budget::{BudgetScope, Measure},
    event::{HarnessMemory, ToolStatus, TurnOutcome},
};
use tempfile::TempDir;
use tokio::{process::Command, sync::watch};
use tokio_util::sync::CancellationToken;

mod hooks;

use crate::{log::Log, program};

/// Scripts of one test, started in a directory.
struct Shell {
    directory: PathBuf,
    script: String,
    /// Where hooks ask.
    hooks_url: String,
    /// Whether the workspace can be written.
    writable: watch::Sender<bool>,
    /// Whether the sandbox is there.
    gone: AtomicBool,
}

#[async_trait]
impl Programs for Shell {
    async fn start(&self, launch: Launch) -> Result<Program, String> {
        if self.gone.load(Ordering::Acquire) {
            return Err("there is no sandbox".to_owned());
        }
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(format!("{}\n{}", include_str!("harness/peer.sh"), self.script))
            .current_dir(&self.directory)
            .envs(launch.command("http://gateway/-", "token", &self.hooks_url).env);
        program::start(command)
    }

    async fn writable(&self) -> Result<(), String> {
        self.writable.subscribe().wait_for(|writable| *writable).await.map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Refuses what `words` stand in, and turns of which this is the end.
struct Guard {
    point: HookPoint,
    words: &'static str,
}

#[async_trait]
impl Hook for Guard {
    fn listens(&self, point: HookPoint) -> bool {
        point == self.point
    }

    async fn ask(&self, _scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        let refused = match occasion {
            Occasion::ToolExecuteBefore(call) => call.input.to_string().contains(self.words),
            Occasion::PromptSubmit { text, .. } => text.contains(self.words),
            _ => true,
        };
        Ok(if refused { Verdict::Deny(format!("no {}", self.words)) } else { Verdict::Allow })
    }
}

struct World {
    directory: TempDir,
    log: Arc<Log>,
    shell: Arc<Shell>,
    refused: watch::Sender<Option<(TurnId, Exhausted)>>,
    plugins: Vec<Installed>,
    times: HarnessTimes,
    hooks: Option<HookFormat>,
    door: HookDoor,
    stop: CancellationToken,
}

impl World {
    /// A turn whose program does this.
    fn of(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shell = Shell {
            directory: directory.path().to_owned(),
            script: script.to_owned(),
            hooks_url: String::new(),
            writable: watch::Sender::new(true),
            gone: AtomicBool::new(false),
        };
        let log = Log::default();
        log.begin("Do it.");
        Self {
            log: Arc::new(log),
            shell: Arc::new(shell),
            directory,
            refused: watch::Sender::new(None),
            plugins: Vec::new(),
            // A busy machine reaches none of these.
            times: HarnessTimes {
                farewell_max: Duration::from_secs(60),
                leave_max: Duration::from_secs(60),
                ..HarnessTimes::default()
            },
            hooks: None,
            door: HookDoor::default(),
            stop: CancellationToken::new(),
        }
    }

    fn guarded(mut self, point: HookPoint, words: &'static str) -> Self {
        self.plugins.push(Installed {
            plugin: "guard".to_owned(),
            hook: Arc::new(Guard { point, words }),
            on_failure: OnFailure::Closed,
            deadline: OWN_HOOK_DEADLINE,
        });
        self
    }

    /// Another script for the next program.
    fn then(&mut self, script: &str) {
        let shell = Shell {
            directory: self.directory.path().to_owned(),
            script: script.to_owned(),
            hooks_url: String::new(),
            writable: watch::Sender::new(true),
            gone: AtomicBool::new(false),
        };
        self.shell = Arc::new(shell);
    }

    async fn run(&self) -> TurnEnd {
        let (id, command, hooks) = ("peer".to_owned(), vec!["peer".to_owned()], self.hooks);
        let harness = Harness { id, command, env: vec![], wire: None, model: None, hooks };
        let input = HarnessTurn {
            conversation: self.log.conversation(),
            harness,
            model: "test/model".to_owned(),
            programs: self.shell.clone(),
            refused: self.refused.subscribe(),
            door: self.door.clone(),
            hooks: Bus::new(self.plugins.clone()),
            limits: TurnLimits::default(),
            times: self.times,
        };
        let turn = run_harness_turn(input, self.log.clone(), self.stop.clone());
        tokio::time::timeout(Duration::from_secs(120), turn).await.expect("the turn ends")
    }

    /// What the programs heard.
    fn heard(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("heard")).unwrap_or_default()
    }

    /// What was written since the turn began, in short.
    fn story(&self) -> Vec<String> {
        let bodies = self.log.bodies();
        let begun = bodies.iter().rposition(|body| matches!(body, EventBody::TurnStarted { .. })).unwrap();
        bodies[begun + 1..].iter().map(short).collect()
    }
}

fn short(body: &EventBody) -> String {
    let block = |block: &Block| match block {
        Block::Text { text } => text.clone(),
        Block::Reasoning { text, .. } => format!("({text})"),
        Block::ToolCall { call, name, input } => format!("{call} {name} {}", input["command"].as_str().unwrap_or("")),
    };
    match body {
        EventBody::HarnessStarted { program, conversation, memory, .. } => {
            format!("{program} {conversation} {memory:?}")
        }
        EventBody::ModelReplied { step, blocks, .. } => {
            format!("{step}: {}", blocks.iter().map(block).collect::<Vec<_>>().join(" | "))
        }
        EventBody::ToolStarted { call, .. } => format!("{call} started"),
        EventBody::ToolFinished { call, status, output, .. } => format!("{call} {status:?} {output}"),
        EventBody::PluginDecided { plugin, hook, .. } => format!("{plugin} at {}", hook.name()),
        EventBody::TodoChanged { items } => {
            format!("todo {}", items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn failure(end: TurnEnd) -> String {
    match end {
        TurnEnd::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

const READY: &str = "peer 1 s1 New";

#[tokio::test]
async fn words_thoughts_plans_and_calls_become_the_sessions_events() {
    let world = World::of(
        r#"say "Welcome to peer."
        greet; thought "Hm"; thought "m."; text "I lo"; text "ok."; call a ls; call b pwd; ended b /workspace; ended a made.txt
        ended a twice; update '{"sessionUpdate":"plan","entries":[{"content":"One","status":"completed"},{"content":"Two"}]}'
        update '{"sessionUpdate":"who_knows"}'; ask c id; ended c me failed; text Done.; over"#,
    );
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(
        world.story(),
        [
            READY,
            "1: (Hmm.) | I look. | a bash ls",
            "a started",
            "2: b bash pwd",
            "b started",
            "b Ok /workspace",
            "a Ok made.txt",
            "todo One, Two",
            "3: c bash id",
            "c started",
            "c Error me",
            "4: Done.",
        ]
    );
    let heard = world.heard();
    assert!(heard.contains("branch hangar/s1") && heard.contains("Do it."), "{heard}");
    assert!(heard.contains(r#""optionId":"yes""#), "leave is given once, and never for good: {heard}");
    assert_eq!(world.log.shown(4), "Done.");
    assert_eq!(world.log.conversation().open_calls().count(), 0);
}

#[tokio::test]
async fn whatever_a_program_does_wrong_ends_the_turn_with_its_cause() {
    let cases = [
        ("exit 3", "is gone: it ended with exit status: 3"),
        (
            "greet; text Half; echo 'thread panicked: no' >&2; exit 7",
            "exit status: 7; the last line of its standard error: thread panicked: no",
        ),
        ("greet; say 'Segmentation fault'; hear", "it wrote a line that is no message"),
        ("greet; head -c 9000000 /dev/zero | tr '\\0' a; hear", "a line of more than 8 MiB"),
        (
            "greet; chunk=$(head -c 60000 /dev/zero | tr '\\0' a); for i in {1..100}; do text $chunk; done; hear",
            "a reply of more than 4 MiB",
        ),
        (
            concat!(
                "greet; printf '{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"update\":{\"sessionUpdate\":\"tool_call\",",
                "\"toolCallId\":\"a\",\"rawInput\":{\"text\":\"'; head -c 5000000 /dev/zero | tr '\\0' a; say '\"}}}}'; hear",
            ),
            "arguments of more than 4 MiB",
        ),
        ("greet; update '{\"sessionUpdate\":\"tool_call\",\"title\":\"no id\"}'; hear", "cannot read"),
        (
            "greet; say '{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-1,\"message\":\"No\",\"data\":{\"message\":\"no quota\"}}}'; hear",
            "cannot go on: No: no quota",
        ),
        ("greet; over 3 max_tokens", "limit of what it may write"),
        ("greet; over 3 refusal", "refused to go on"),
        ("greet; over 3 cancelled", "gave up without saying why"),
        ("hear; say '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":2}}'; hear", "speaks version 2"),
        (
            "hear; say '{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"Authentication required\"}}'; hear",
            "cannot begin: Authentication required",
        ),
    ];
    for (script, cause) in cases {
        let world = World::of(script);
        let reason = failure(world.run().await);
        assert!(reason.contains(cause), "{script}: {reason}");
        let kept = world.story().iter().any(|told| told == "1: Half");
        assert_eq!(kept, script.contains("Half"), "what it had said is kept: {:?}", world.story());
    }
    let world = World::of("greet");
    world.shell.gone.store(true, Ordering::Release);
    assert_eq!(failure(world.run().await), "The agent peer cannot be started: there is no sandbox");
}

#[tokio::test]
async fn a_program_that_says_nothing_is_not_waited_for_for_ever() {
    let mut world = World::of("sleep 100");
    world.times.start_max = Duration::from_millis(200);
    assert!(failure(world.run().await).contains("was not ready within 0 s"));
    let mut world = World::of("greet; call a 'sleep 100'; sleep 100");
    world.times.silence_max = Duration::from_millis(200);
    world.times.farewell_max = Duration::from_millis(200);
    assert!(failure(world.run().await).contains("said nothing for 0 s"));
    assert_eq!(world.log.conversation().open_calls().count(), 0);
}

#[tokio::test]
async fn a_stop_lets_a_program_say_its_last_and_ends_whatever_it_started() {
    let world = World::of("greet; text 'I be'; call a nap; hear; text gin.; over 3 cancelled");
    let stopping = async {
        world.log.until(|log| log.bodies().iter().any(|body| matches!(body, EventBody::ToolStarted { .. }))).await;
        world.stop.cancel();
    };
    let (end, ()) = tokio::join!(world.run(), stopping);
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(
        world.story(),
        [
            READY,
            "1: I be | a bash nap",
            "a started",
            "2: gin.",
            &format!("a Interrupted {}", hangar_agent::conversation::INTERRUPTED_CALL)
        ]
    );
    assert!(world.heard().contains("session/cancel"));

    let nap = format!("702.{}", std::process::id());
    let mut world = World::of(&format!("trap '' TERM; greet; call a nap; sleep {nap} & sleep {nap}; sleep {nap}"));
    world.times.farewell_max = Duration::from_millis(200);
    let stopping = async {
        world.log.until(|log| log.bodies().iter().any(|body| matches!(body, EventBody::ToolStarted { .. }))).await;
        until(|| running(&nap) == 2).await;
        world.stop.cancel();
    };
    let (end, ()) = tokio::join!(world.run(), stopping);
    assert_eq!(end, TurnEnd::Stopped);
    until(|| running(&nap) == 0).await;
}

#[tokio::test]
async fn a_refused_call_is_not_given_leave_and_the_program_is_told_why() {
    let script = "greet; call a 'rm -rf .'; ask a 'rm -rf .'; over 3 cancelled; text 'I leave it.'; over 4";
    let world = World::of(script).guarded(HookPoint::ToolExecuteBefore, "rm -rf");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(
        world.story(),
        [READY, "1: a bash rm -rf .", "guard at tool.execute.before", "a Error no rm -rf", "2: I leave it."]
    );
    let heard = world.heard();
    assert!(heard.contains(r#""optionId":"no""#) && heard.contains("was refused, and not made: no rm -rf"), "{heard}");
}

#[tokio::test]
async fn a_program_that_makes_a_refused_call_all_the_same_is_ended() {
    // One tells that it is done; the other does not even ask.
    for script in ["greet; call a 'rm -rf .'; ended a gone; hear", "greet; call a 'rm -rf .'; sleep 100"] {
        let mut world = World::of(script).guarded(HookPoint::ToolExecuteBefore, "rm -rf");
        world.times.leave_max = Duration::from_millis(300);
        world.times.farewell_max = Duration::from_millis(200);
        let reason = failure(world.run().await);
        assert!(reason.contains("without asking leave") && reason.contains("no rm -rf"), "{reason}");
    }
}

#[tokio::test]
async fn plugins_may_refuse_a_prompt_and_an_end() {
    let world = World::of("greet").guarded(HookPoint::PromptSubmit, "Do it");
    assert_eq!(failure(world.run().await), "no Do it");
    assert_eq!(world.heard(), "", "no program was started");

    let ends: String = (4..9).map(|number| format!("over {number};")).collect();
    let world = World::of(&format!("greet; over 3; {ends}")).guarded(HookPoint::TurnEnd, "tests");
    assert_eq!(world.run().await, TurnEnd::Done);
    let asked = world.heard().matches("does not let the turn end yet").count();
    assert_eq!(asked, hangar_agent::limits::TURN_SENT_BACK_MAX as usize);
}

#[tokio::test]
async fn leave_waits_until_the_workspace_can_be_written() {
    let world = World::of("greet; ask a 'touch x'; ended a ok; over");
    world.shell.writable.send_replace(false);
    let releasing = async {
        world.log.until(|log| log.bodies().iter().any(|body| matches!(body, EventBody::ToolStarted { .. }))).await;
        assert!(!world.heard().contains("optionId"), "{}", world.heard());
        world.shell.writable.send_replace(true);
    };
    let (end, ()) = tokio::join!(world.run(), releasing);
    assert_eq!(end, TurnEnd::Done);
    assert!(world.heard().contains(r#""optionId":"yes""#));
}

#[tokio::test]
async fn a_turn_waits_for_its_budget_and_goes_on_with_what_its_program_knows() {
    let exhausted = Exhausted {
        scope: BudgetScope::Session,
        measure: Measure::Tokens,
        spent: 1,
        limit: 1,
        reason: "It is used up.".to_owned(),
    };
    let mut world = World::of("LOADS=true; greet; text 'Half of it.'; hear");
    let refusing = async {
        world.log.until(|log| log.shown(1) == "Half of it.").await;
        world.refused.send_replace(Some((TurnId(1), exhausted.clone())));
    };
    let (end, ()) = tokio::join!(world.run(), refusing);
    assert_eq!(end, TurnEnd::Paused(exhausted));
    assert_eq!(world.story(), [READY, "1: Half of it."]);

    world.refused.send_replace(None);
    world.then("LOADS=true; greet; text 'The rest.'; over");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.story()[2..], ["peer 1 s1 Loaded", "2: The rest."]);
    let heard = world.heard();
    assert!(heard.contains("session/load") && heard.contains("you were interrupted"), "{heard}");

    // The calls that a turn may make are a budget too.
    let world = World::of("greet; call a ls; hear");
    world.log.leave_calls(Some(0));
    assert!(matches!(world.run().await, TurnEnd::Paused(_)));
    assert!(world.story().last().unwrap().starts_with("a Interrupted The turn ended before this call began"));
}

#[tokio::test]
async fn a_program_that_cannot_load_its_conversation_is_told_what_was_said() {
    let mut world = World::of("greet; text 'The first answer.'; call a ls; ended a made.txt; over");
    assert_eq!(world.run().await, TurnEnd::Done);
    world
        .log
        .append(hangar_protocol::Cause::System, EventBody::TurnEnded { turn: TurnId(1), outcome: TurnOutcome::Done });
    world.log.prompt(2, "ada", "And now?");
    world.then("greet; text Nothing.; over");
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.story(), ["peer 1 s1 Told", "1: Nothing."]);
    let heard = world.heard();
    let prompt = heard.lines().last().unwrap();
    for words in ["The first answer.", "made.txt", "[people]\\nDo it.", "And now?"] {
        assert!(prompt.contains(words), "{words} in {prompt}");
    }
    let memories = world.log.bodies().into_iter().filter_map(|body| match body {
        EventBody::HarnessStarted { memory, .. } => Some(memory),
        _ => None,
    });
    assert_eq!(memories.collect::<Vec<_>>(), [HarnessMemory::New, HarnessMemory::Told]);
    assert!(
        world
            .log
            .bodies()
            .iter()
            .all(|body| !matches!(body, EventBody::ToolFinished { status: ToolStatus::Interrupted, .. }))
    );
}

/// How many processes sleep for so long.
fn running(nap: &str) -> usize {
    let wanted = format!("sleep\0{nap}\0").into_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|words| words == wanted)).count()
}

async fn until(mut wanted: impl FnMut() -> bool) {
    let waiting = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it became so");
}
