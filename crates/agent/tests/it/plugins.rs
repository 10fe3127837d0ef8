//! The bus: every call comes by it, its verdicts hold, its failures count as configured, and a restart changes nothing.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use hangar_agent::{
    Hook, TurnEnd, Verdict,
    hooks::{Installed, Occasion, Scene},
};
use hangar_protocol::{
    Cause, EventBody, HookPoint, OnFailure, Permission, PluginDecision, TurnId,
    event::{ForkPurpose, ToolStatus, TurnOutcome},
};
use serde_json::{Value, json};

use crate::{
    images::PIXEL,
    log::Log,
    mcp::server,
    world::{World, ada, calling},
};

/// Answers as a function says, and remembers where it was asked.
struct Asked<F> {
    at: Vec<HookPoint>,
    answer: F,
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl<F: Fn(Occasion<'_>) -> Result<Verdict, String> + Send + Sync> Hook for Asked<F> {
    fn listens(&self, point: HookPoint) -> bool {
        self.at.contains(&point)
    }

    async fn ask(&self, scene: &Scene, occasion: Occasion<'_>) -> Result<Verdict, String> {
        assert_eq!((scene.repo.to_string().as_str(), scene.author.as_str()), ("acme/strsim", "ada"));
        let what = match occasion {
            Occasion::ToolExecuteBefore(call) => format!("before {} {}", call.name, call.input),
            Occasion::PermissionAsk(call) => format!("permission {} {}", call.name, call.input),
            Occasion::ToolExecuteAfter(call, result) => format!("after {} {:?}", call.name, result.output),
            Occasion::PromptSubmit { by, text } => format!("prompt of {by}: {text}"),
            Occasion::SessionStart | Occasion::ContextInject | Occasion::TurnEnd { .. } => {
                occasion.point().name().to_owned()
            }
        };
        self.seen.lock().unwrap().push(what);
        (self.answer)(occasion)
    }
}

/// Never answers.
struct Silent;

#[async_trait]
impl Hook for Silent {
    fn listens(&self, point: HookPoint) -> bool {
        point == HookPoint::ToolExecuteBefore
    }

    async fn ask(&self, _scene: &Scene, _occasion: Occasion<'_>) -> Result<Verdict, String> {
        std::future::pending().await
    }
}

fn installed(plugin: &str, hook: Arc<dyn Hook>, on_failure: OnFailure) -> Installed {
    Installed { plugin: plugin.to_owned(), hook, on_failure, deadline: Duration::from_secs(20) }
}

/// A closed plugin that is asked at these points.
fn plugin<F>(name: &str, at: &[HookPoint], answer: F) -> (Installed, Arc<Asked<F>>)
where
    F: Fn(Occasion<'_>) -> Result<Verdict, String> + Send + Sync + 'static,
{
    let hook = Arc::new(Asked { at: at.to_vec(), answer, seen: Mutex::default() });
    (installed(name, hook.clone(), OnFailure::Closed), hook)
}

/// What plugins decided, in order, as the log has it.
fn decisions(log: &Log) -> Vec<(String, HookPoint, PluginDecision)> {
    let decided = |body| match body {
        EventBody::PluginDecided { plugin, hook, decision, .. } => Some((plugin, hook, decision)),
        _ => None,
    };
    log.bodies().into_iter().filter_map(decided).collect()
}

fn started(log: &Log) -> Vec<Value> {
    let input = |body| match body {
        EventBody::ToolStarted { input, .. } => Some(input),
        _ => None,
    };
    log.bodies().into_iter().filter_map(input).collect()
}

/// Its wish was tried in a fork: there are tools for that.
fn tried(world: &World) {
    let (into, purpose) = ("fork1".parse().unwrap(), ForkPurpose::Attempt { round: 1 });
    world.log.append(Cause::System, EventBody::SessionForked { into, turn: TurnId(0), purpose });
}

#[tokio::test]
async fn no_tool_is_called_without_being_asked_about() {
    let mut probe = World::of(json!([calling("none", json!({})), {"say": "Done."}])).await;
    probe.servers = vec![server("test", "plain")];
    tried(&probe);
    probe.run().await;
    let told = probe.results()[0].1.clone();
    let tools: Vec<String> =
        told.split_once("The tools are: ").unwrap().1.trim_end_matches('.').split(", ").map(str::to_owned).collect();
    for name in ["bash", "web_fetch", "use_tool", "keep_attempt"] {
        assert!(tools.iter().any(|tool| tool == name), "{name} is not in {tools:?}");
    }

    // Every tool with arguments that would have an effect.
    let input = |tool: &str| match tool {
        "read" | "list" => json!({"path": "."}),
        "write" => json!({"path": "made", "content": "x"}),
        "edit" => json!({"path": "f", "old_string": "a", "new_string": "b"}),
        "apply_patch" => json!({"patch": "*** Begin Patch\n*** Add File: made\n+x\n*** End Patch"}),
        "glob" | "grep" => json!({"pattern": "a"}),
        "bash" => json!({"command": "touch made"}),
        "job" => json!({"action": "list"}),
        "todo" => json!({"items": [{"text": "x", "status": "pending"}]}),
        "open_pull_request" => json!({"title": "T", "body": "B"}),
        "ask" => json!({"question": "Which?"}),
        "spawn_session" => json!({"prompt": "x"}),
        "session_status" | "wait_sessions" | "compare_attempts" => json!({}),
        "message_session" => json!({"session": "child1", "text": "x"}),
        "cancel_session" | "keep_attempt" => json!({"session": "child1"}),
        "web_fetch" => json!({"url": "https://example.org/docs"}),
        "find_tool" => json!({"words": "make a file"}),
        "use_tool" => json!({"tool": "mcp__test__touch", "arguments": {"path": "made"}}),
        unknown => panic!("{unknown} is a new tool: give it arguments here"),
    };
    let calls: Vec<Value> = tools.iter().map(|tool| json!({"tool": tool, "input": input(tool)})).collect();
    let background = json!({"tool": "bash", "input": {"command": "touch made", "background": true}});
    let calls: Vec<Value> = calls.into_iter().chain([background]).collect();
    let count = calls.len();
    let mut world = World::of(json!([{"calls": calls}, {"say": "Done."}])).await;
    world.servers = vec![server("test", "plain")];
    world.put("f", "a");
    tried(&world);
    let (guard, asked) =
        plugin("guard", &[HookPoint::ToolExecuteBefore], |_| Ok(Verdict::Deny("Not today.".to_owned())));
    world.plugins.push(guard);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(asked.seen.lock().unwrap().len(), count);
    assert_eq!(world.results(), vec![(ToolStatus::Error, "Not today.".to_owned()); count]);
    let refused = PluginDecision::Denied { words: "Not today.".to_owned() };
    assert_eq!(decisions(&world.log), vec![("guard".to_owned(), HookPoint::ToolExecuteBefore, refused); count],);
    assert!(started(&world.log).is_empty());
    assert!(!world.path("made").exists());
    // No server was started to see what it has.
    assert!(!world.path("starts").exists());
    assert_eq!(world.text("f"), "a");
    assert!(world.log.pull_requests().is_empty());
    world.log.family(|family| assert!(family.children.is_empty() && family.said.is_empty()));
    assert!(!world.log.bodies().iter().any(|body| matches!(body, EventBody::TodoChanged { .. })));
}

#[tokio::test]
async fn each_hook_sees_what_those_before_it_left_and_hangars_own_guard_sees_the_last() {
    let mut world = World::of(json!([
        {"calls": [
            {"tool": "write", "input": {"path": "a", "content": "1"}},
            {"tool": "write", "input": {"path": "git", "content": "1"}},
        ]},
        {"say": "Done."},
    ]))
    .await;
    let elsewhere = |occasion: Occasion<'_>| match occasion {
        Occasion::ToolExecuteBefore(call) if call.input["path"] == "git" => {
            Ok(Verdict::Arguments(json!({"path": ".git/config", "content": "x"})))
        }
        Occasion::ToolExecuteBefore(_) => Ok(Verdict::Arguments(json!({"path": "b", "content": "2"}))),
        _ => Ok(Verdict::Allow),
    };
    let (first, _) = plugin("first", &[HookPoint::ToolExecuteBefore], elsewhere);
    let (second, seen) =
        plugin("second", &[HookPoint::ToolExecuteBefore, HookPoint::ToolExecuteAfter], |occasion| match occasion {
            Occasion::ToolExecuteAfter(_, result) => Ok(Verdict::Output(result.output.to_uppercase())),
            _ => Ok(Verdict::Allow),
        });
    let (third, last) =
        plugin("third", &[HookPoint::ToolExecuteAfter], |_| Ok(Verdict::Deny("You need not know.".to_owned())));
    world.plugins.extend([first, second, third]);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(world.text("b"), "2");
    assert!(!world.path("a").exists() && !world.path(".git").exists());
    // What was called is what is written down.
    assert_eq!(started(&world.log), [json!({"path": "b", "content": "2"})]);
    let mut seen = seen.seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(
        seen,
        [
            r#"after write "Created b (1 lines).""#,
            r#"before write {"content":"2","path":"b"}"#,
            r#"before write {"content":"x","path":".git/config"}"#,
        ]
    );
    assert_eq!(*last.seen.lock().unwrap(), [r#"after write "CREATED B (1 LINES).""#]);
    let results = world.results();
    assert!(results.contains(&(ToolStatus::Error, "You need not know.".to_owned())), "{results:?}");
    assert!(
        results.iter().any(
            |(_, output)| output.starts_with(".git/config is protected") || output.starts_with(".git is protected")
        ),
        "{results:?}"
    );
    let by = |name: &str| decisions(&world.log).iter().filter(|(plugin, ..)| plugin == name).count();
    assert_eq!((by("first"), by("second"), by("third"), by("hangar.protected-paths")), (2, 1, 1, 1));
}

#[tokio::test]
async fn a_plugin_that_fails_counts_as_it_was_installed() {
    let check = async |hook: Arc<dyn Hook>, deadline: Duration, on_failure, written: bool, why: &str| {
        let mut world =
            World::of(json!([calling("write", json!({"path": "f", "content": "x"})), {"say": "Done."}])).await;
        world.plugins.push(Installed { deadline, ..installed("broken", hook, on_failure) });
        assert_eq!(world.run().await, TurnEnd::Done);
        assert_eq!(world.path("f").exists(), written, "{why}");
        let failed = PluginDecision::Failed { reason: why.to_owned(), on_failure };
        assert_eq!(decisions(&world.log), [("broken".to_owned(), HookPoint::ToolExecuteBefore, failed)]);
        let told = format!("The plugin broken failed at tool.execute.before ({why}).");
        assert_eq!(world.results()[0].1.starts_with(&told), !written, "{:?}", world.results());
    };
    let patient = Duration::from_secs(20);
    let at = vec![HookPoint::ToolExecuteBefore];
    let fails =
        || Arc::new(Asked { at: at.clone(), answer: |_: Occasion<'_>| Err("no".to_owned()), seen: Mutex::default() });
    check(fails(), patient, OnFailure::Closed, false, "no").await;
    check(fails(), patient, OnFailure::Open, true, "no").await;
    // It never answers, so however slow the machine is, only its time can end it.
    let short = Duration::from_millis(20);
    check(Arc::new(Silent), short, OnFailure::Closed, false, "it took longer than 20 ms").await;
    check(Arc::new(Silent), short, OnFailure::Open, true, "it took longer than 20 ms").await;
    // A verdict for another place is no answer either.
    let misfit = |verdict: Verdict| {
        Arc::new(Asked { at: at.clone(), answer: move |_: Occasion<'_>| Ok(verdict.clone()), seen: Mutex::default() })
    };
    for verdict in [Verdict::Context("x".into()), Verdict::Output("x".into()), Verdict::Arguments(json!("x"))] {
        let why = "its answer does not fit tool.execute.before";
        check(misfit(verdict), patient, OnFailure::Closed, false, why).await;
    }
}

#[tokio::test]
async fn words_are_added_at_the_beginning_and_a_prompt_can_be_refused() {
    let mut world = World::of(json!([{"say": "Done."}])).await;
    let (adds, asked) = plugin(
        "on-call",
        &[HookPoint::SessionStart, HookPoint::PromptSubmit, HookPoint::ContextInject, HookPoint::TurnEnd],
        |occasion| match occasion {
            Occasion::SessionStart => Ok(Verdict::Context("It begins.".to_owned())),
            Occasion::ContextInject => Ok(Verdict::Context("Ada is on call.".to_owned())),
            _ => Ok(Verdict::Allow),
        },
    );
    world.plugins.push(adds);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert_eq!(*asked.seen.lock().unwrap(), ["prompt of ada: Do it.", "session.start", "context.inject", "turn.end"]);
    let request = world.last_request();
    let places =
        ["Do it.", "adds:]\\n\\nIt begins.", "adds:]\\n\\nAda is on call."].map(|words| request.find(words).unwrap());
    assert!(places.is_sorted(), "{request}");

    let mut world = World::of(json!([{"say": "Done."}])).await;
    let (refuses, _) = plugin("no-secrets", &[HookPoint::PromptSubmit], |_| Ok(Verdict::Deny("That is a key.".into())));
    world.plugins.push(refuses);
    assert_eq!(world.run().await, TurnEnd::Failed { reason: "That is a key.".into() });
    assert!(world.requests.lock().unwrap().is_empty(), "the model was asked");

    // What is said to a running turn is a prompt too.
    let wait = json!({"command": "until [ -e go ]; do sleep 0.01; done"});
    let mut world = World::of(json!([calling("bash", wait), {"say": "Done."}])).await;
    let (refuses, _) = plugin("no-secrets", &[HookPoint::PromptSubmit], |occasion| match occasion {
        Occasion::PromptSubmit { text: "sk-1", .. } => Ok(Verdict::Deny("That is a key.".into())),
        _ => Ok(Verdict::Allow),
    });
    world.plugins.push(refuses);
    world.put("README", "x");
    let (ended, ()) = tokio::join!(world.run(), async {
        world.log.until(|log| log.bodies().iter().any(|body| matches!(body, EventBody::ToolStarted { .. }))).await;
        world.log.steer(2, ada(), "sk-1");
        world.put("go", "");
    });
    assert_eq!(ended, TurnEnd::Failed { reason: "That is a key.".into() });
    assert_eq!(world.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_turn_is_sent_back_until_a_plugin_is_content_and_not_for_ever() {
    let script = json!({"name": "test", "scripts": [
        {"wish": "Test first", "replies": [calling("write", json!({"path": "tested", "content": ""})), {"say": "Tested."}]},
        {"replies": [{"say": "Done."}]},
    ]});
    let mut world = World::playing(&script, "Do it.").await;
    let tested = world.path("tested");
    let (gate, asked) = plugin("tests", &[HookPoint::TurnEnd], move |_| {
        if tested.exists() { Ok(Verdict::Allow) } else { Ok(Verdict::Deny("Test first.".into())) }
    });
    world.plugins.push(gate);
    assert_eq!(world.run().await, TurnEnd::Done);
    assert!(world.path("tested").exists());
    assert_eq!(asked.seen.lock().unwrap().len(), 2);
    assert!(world.last_request().contains("does not let the turn end yet:]\\n\\nTest first."));

    let mut world = World::of(json!([{"say": "Done."}])).await;
    let (gate, asked) = plugin("never", &[HookPoint::TurnEnd], |_| Ok(Verdict::Deny("Once more.".into())));
    world.plugins.push(gate);
    assert_eq!(world.run().await, TurnEnd::Done);
    let most = hangar_agent::limits::TURN_SENT_BACK_MAX as usize;
    assert_eq!(asked.seen.lock().unwrap().len(), most);
    assert_eq!(world.requests.lock().unwrap().len(), most + 1);

    let mut world = World::of(json!([{"say": "Done."}])).await;
    let (gate, _) = plugin("broken", &[HookPoint::TurnEnd], |_| Err("no".into()));
    world.plugins.push(gate);
    let ended = world.run().await;
    assert!(
        matches!(&ended, TurnEnd::Failed { reason } if reason.contains("broken failed at turn.end (no)")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_log_cut_at_any_event_asks_the_model_the_same() {
    let script = json!({"name": "test", "scripts": [
        {"wish": "Once more", "replies": [{"say": "Once more it is."}]},
        {"replies": [calling("read", json!({"path": "f"})), {"say": "Done."}]},
    ]});
    let make = async || {
        let mut world = World::playing(&script, "Do it.").await;
        world.put("f", "x");
        let current = Arc::new(Mutex::new(world.log.clone()));
        let log = current.clone();
        let (words, _) = plugin("words", &[HookPoint::SessionStart, HookPoint::ContextInject], |occasion| {
            Ok(Verdict::Context(format!("At {}.", occasion.point().name())))
        });
        let (upper, _) = plugin("upper", &[HookPoint::ToolExecuteAfter], |occasion| match occasion {
            Occasion::ToolExecuteAfter(_, result) => Ok(Verdict::Output(result.output.to_uppercase())),
            _ => Ok(Verdict::Allow),
        });
        // It looks at nothing but the log, as a plugin's answer must where it is to be the same after a restart.
        let (again, _) = plugin("again", &[HookPoint::TurnEnd], move |_| {
            let said = |body: &EventBody| matches!(body, EventBody::PluginDecided { hook: HookPoint::TurnEnd, .. });
            let sent_back = log.lock().unwrap().bodies().iter().any(said);
            if sent_back { Ok(Verdict::Allow) } else { Ok(Verdict::Deny("Once more.".into())) }
        });
        world.plugins.extend([words, upper, again]);
        (world, current)
    };
    let (whole, _) = make().await;
    assert_eq!(whole.run().await, TurnEnd::Done);
    let (events, requests) = (whole.log.events(), whole.requests.lock().unwrap().clone());
    assert_eq!((requests.len(), decisions(&whole.log).len()), (3, 4));
    for cut in 3..events.len() {
        let (world, current) = make().await;
        world.log.cut_after(cut);
        assert_eq!(world.run().await, TurnEnd::Over, "cut at {cut}");
        let resumed = Arc::new(Log::of(world.log.events(), world.log.blobs()));
        *current.lock().unwrap() = resumed.clone();
        assert_eq!(world.run_on(resumed.clone()).await, TurnEnd::Done, "cut at {cut}");
        let count = |wanted: HookPoint| decisions(&resumed).iter().filter(|(_, hook, _)| *hook == wanted).count();
        assert_eq!((count(HookPoint::SessionStart), count(HookPoint::ContextInject)), (1, 1), "cut at {cut}");
        assert!(count(HookPoint::TurnEnd) >= 1, "cut at {cut}");
        let interrupted = resumed.bodies().iter().any(|body| match body {
            EventBody::ToolFinished { status, .. } => *status == ToolStatus::Interrupted,
            _ => false,
        });
        if !interrupted {
            for sent in world.requests.lock().unwrap().iter() {
                assert!(requests.contains(sent), "cut at {cut}: {sent}");
            }
        }
    }
}

#[tokio::test]
async fn an_image_beside_a_result_that_a_plugin_withheld_or_replaced_is_not_shown() {
    let shown = async |verdict: Result<Verdict, String>, on_failure: OnFailure| {
        let mut world = World::of(json!([calling("read", json!({"path": "a.png"})), {"say": "Done."}])).await;
        std::fs::write(world.path("a.png"), PIXEL).unwrap();
        let (guard, _) = plugin("guard", &[HookPoint::ToolExecuteAfter], move |_| verdict.clone());
        world.plugins.push(Installed { on_failure, ..guard });
        assert_eq!(world.run().await, TurnEnd::Done);
        let image = |body| match body {
            EventBody::ToolFinished { image, .. } => image,
            _ => None,
        };
        world.log.bodies().into_iter().filter_map(image).count()
    };
    assert_eq!(shown(Ok(Verdict::Allow), OnFailure::Closed).await, 1);
    assert_eq!(shown(Ok(Verdict::Output("Something else.".to_owned())), OnFailure::Closed).await, 0);
    assert_eq!(shown(Ok(Verdict::Deny("Not this one.".to_owned())), OnFailure::Closed).await, 0);
    assert_eq!(shown(Err("broken".to_owned()), OnFailure::Closed).await, 0);
    assert_eq!(shown(Err("broken".to_owned()), OnFailure::Open).await, 1);
}

/// A call of an MCP server's tool is asked about by that tool's one name, however the model spells it, and with its own arguments.
#[tokio::test]
async fn tools_of_mcp_servers_are_asked_about_under_their_own_names() {
    let using = |tool: &str, arguments: Value| calling("use_tool", json!({"tool": tool, "arguments": arguments}));
    let mut world = World::of(json!([
        using("mcp__test__touch", json!({"path": "made"})),
        using(" mcp__test__show.all", json!({})),
        using("mcp__test__show/all", json!({})),
        using("mcp__test__echo", json!("{\"text\": \"a\"}")),
        using("test.touch", json!({"path": "made"})),
        using("mcp__test__touch", json!(["made"])),
        using("mcp__test__env", json!({"name": "HOME"})),
        {"say": "Done."},
    ]))
    .await;
    world.servers = vec![server("test", "plain")];
    let (guard, asked) =
        plugin("guard", &[HookPoint::ToolExecuteBefore, HookPoint::ToolExecuteAfter], |occasion| match occasion {
            Occasion::ToolExecuteBefore(call) => Ok(match call.name.as_str() {
                "mcp__test__touch" | "mcp__test__show_all" => Verdict::Deny("Not this.".to_owned()),
                "mcp__test__echo" => Verdict::Arguments(json!({"text": "b"})),
                "mcp__test__env" => Verdict::Ask("It looks around.".to_owned()),
                _ => Verdict::Allow,
            }),
            Occasion::ToolExecuteAfter(call, result) if call.name == "mcp__test__echo" => {
                Ok(Verdict::Output(format!("{} was said", result.output)))
            }
            _ => Ok(Verdict::Allow),
        });
    world.plugins.push(guard);
    assert_eq!(world.run().await, TurnEnd::Done);
    let results = world.results();
    let refused = (ToolStatus::Error, "Not this.".to_owned());
    assert_eq!(results[..3], vec![refused; 3]);
    assert!(results[3].1.starts_with("b was said"), "{results:?}");
    assert!(results[4..6].iter().all(|(_, told)| told.starts_with("Name the tool as find_tool does")), "{results:?}");
    let question = world.log.bodies().into_iter().find_map(|body| match body {
        EventBody::QuestionAsked { question, .. } => Some(question.text),
        _ => None,
    });
    let asks = "It looks around.\n\nThe agent wants to call `mcp__test__env`; the plugin guard asks.";
    assert!(question.as_ref().is_some_and(|text| text.starts_with(asks)), "{question:?}");
    let before: Vec<String> =
        asked.seen.lock().unwrap().iter().filter(|seen| seen.starts_with("before")).cloned().collect();
    assert_eq!(
        before,
        [
            "before mcp__test__touch {\"path\":\"made\"}",
            "before mcp__test__show_all {}",
            "before mcp__test__show_all {}",
            "before mcp__test__echo {\"text\":\"a\"}",
            "before use_tool {\"arguments\":{\"path\":\"made\"},\"tool\":\"test.touch\"}",
            "before use_tool {\"arguments\":[\"made\"],\"tool\":\"mcp__test__touch\"}",
            "before mcp__test__env {\"name\":\"HOME\"}",
        ]
    );
    assert!(!world.path("made").exists());
}

/// Everything a person decides: asked, refused, allowed for this one call, and asked again for the next.
#[tokio::test]
async fn a_call_that_a_person_has_to_allow_waits_for_their_word_and_is_made_once() {
    let write = |text: &str| calling("write", json!({"path": "a.txt", "content": text}));
    let mut world = World::of(json!([
        write("one"),
        write("one"),
        write("one"),
        write("one"),
        {"say": "Done."},
    ]))
    .await;
    let (asks, seen) = plugin("careful", &[HookPoint::PermissionAsk], |occasion| match occasion {
        Occasion::PermissionAsk(call) if call.name == "write" => Ok(Verdict::Ask("It is written to disk.".to_owned())),
        _ => Ok(Verdict::Allow),
    });
    world.plugins.push(asks);
    let answers = ["Not now.", Permission::ALLOW, Permission::ALLOW];
    for (turn, answer) in answers.into_iter().enumerate() {
        assert_eq!(world.run().await, TurnEnd::Done);
        let bodies = world.log.bodies();
        let question = bodies.iter().rev().find_map(|body| match body {
            EventBody::QuestionAsked { question, .. } => Some(question),
            _ => None,
        });
        let question = question.unwrap();
        assert!(
            question.text.starts_with("It is written to disk.") && question.text.contains("\"content\": \"one\""),
            "{question:?}"
        );
        assert_eq!(question.choices, [Permission::ALLOW, Permission::REFUSE]);
        // A turn that is taken up again after a kill asks nobody anew.
        assert_eq!(world.run().await, TurnEnd::Done);
        assert_eq!(world.log.bodies(), bodies);
        world.log.end_turn(TurnOutcome::Done);
        world.prompt(u32::try_from(turn).unwrap() + 2, "ada", answer);
        assert_eq!(world.path("a.txt").exists(), turn > 1, "before answer {turn}");
        if turn == 1 {
            // What was allowed is done, and the same call once more is another matter.
            assert_eq!(world.log.conversation().permitted().len(), 1);
        }
    }
    assert_eq!(world.run().await, TurnEnd::Done);
    let statuses: Vec<ToolStatus> = world.results().into_iter().map(|(status, _)| status).collect();
    // The scripted model makes its first two calls in each turn: what was allowed is done, and the same call once more is asked about.
    let (asked, done) = (ToolStatus::Error, ToolStatus::Ok);
    assert_eq!(statuses, [asked, asked, done, asked, done, asked]);
    assert_eq!(seen.seen.lock().unwrap().len(), statuses.len());
}
