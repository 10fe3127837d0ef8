//! The model's service goes wrong in every way, over all wires: the turn's end is right and says why, nothing is shown twice, and a
//! reply is counted once.

use std::{collections::BTreeMap, net::SocketAddr};

use hangar_agent::scripted;
use hangar_client::Update;
use hangar_protocol::{
    Block, Event, EventBody, ModelUsage, SessionId,
    api::{NewPrompt, NewSession},
    event::TurnOutcome,
};
use hangar_testkit::{Fate, Person, Promises, Proxy, Reply, Setting, TestServer, Transcript, Watch, within};
use serde_json::json;
use tokio::net::TcpListener;

/// A model that hears what is said through a proxy, in this test's own process.
pub(crate) async fn play(transcript: &Transcript) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let transcript = scripted::Transcript::parse(&transcript.json().to_string()).unwrap();
    tokio::spawn(async move { scripted::serve(transcript, listener).await.unwrap() });
    address
}

/// How many attempts fail.
enum Retries {
    Exactly(usize),
    /// So many, and more where the machine is so busy that an answer in order takes longer than a hasty asker waits.
    AtLeast(usize),
}

/// What a wish meets.
struct Case {
    wish: &'static str,
    model: &'static str,
    /// How many attempts fail, and words of each reason.
    retries: (Retries, &'static str),
    /// Words of the cause where the turn fails.
    fails: Option<&'static str>,
}

const WORDS: &str = "Some words of the reply, which are said only once.";
/// How often a model is asked before the turn fails.
const ATTEMPTS: usize = 3;
/// Likewise by those who do not wait long, on a busy machine.
const ATTEMPTS_MANY: usize = 20;

fn cases() -> Vec<Case> {
    let below = |wish, model, words| Case { wish, model, retries: (Retries::Exactly(1), words), fails: None };
    let passing = |wish, words| below(wish, "plain", words);
    let waiting = |wish, model, words| Case { wish, model, retries: (Retries::AtLeast(1), words), fails: None };
    let failing = |wish, times, cause| Case {
        wish,
        model: "plain",
        retries: (Retries::Exactly(times), cause),
        fails: Some(cause),
    };
    vec![
        passing("too many", "HTTP 429"),
        passing("overloaded status", "HTTP 529"),
        passing("mid word", "broke off"),
        passing("malformed", "something that is no"),
        waiting("silent", "hasty", "silent for 3 s"),
        passing("overloaded event", "Overloaded"),
        waiting("no answer", "eager", "no answer within 3 s"),
        failing("always down", ATTEMPTS - 1, "HTTP 503"),
        failing("wrong key", 0, "refused the key"),
        failing("in an hour", 0, "come back in 3600 s"),
        below("answered garbage", "garbage", "cannot be reached"),
        below("cut below", "cut", "broke off"),
        below("closed in order", "half", ""),
        Case {
            wish: "nobody there",
            model: "nobody",
            retries: (Retries::Exactly(ATTEMPTS - 1), "cannot be reached"),
            fails: Some("onnection refused"),
        },
    ]
}

fn transcript() -> Transcript {
    let always = json!({"status": {"code": 503}});
    let after = json!({"after_chars": 20});
    let faults = [
        ("too many", json!([{"status": {"code": 429, "retry_after_s": 1}}])),
        ("overloaded status", json!([{"status": {"code": 529}}])),
        ("mid word", json!([{"drop": after}])),
        ("malformed", json!([{"malformed": after}])),
        ("silent", json!([{"silence": after}])),
        ("overloaded event", json!([{"overloaded": after}])),
        ("no answer", json!([{"no_answer": {}}])),
        ("always down", json!([always, always, always, always])),
        ("wrong key", json!([{"status": {"code": 401}}])),
        ("in an hour", json!([{"status": {"code": 429, "retry_after_s": 3600}}])),
        ("", json!([])),
    ];
    let reply = || Reply::say(WORDS).costing(11, 7);
    faults
        .into_iter()
        .fold(Transcript::new().pace(4, 5), |transcript, (wish, faults)| transcript.on(wish, [reply().meeting(faults)]))
}

/// A proxy whose first connection has a fate.
async fn first(target: SocketAddr, fate: Fate) -> Proxy {
    Proxy::with(target, move |connection| if connection == 0 { fate } else { Fate::Pass }).await
}

fn models(wire: &str, places: &[(&str, String)]) -> String {
    let path = if wire == "anthropic" { "" } else { "/v1" };
    let entry = |(name, url): &(&str, String)| {
        let patience = match *name {
            "hasty" => format!("silence_s = 3\nattempts_max = {ATTEMPTS_MANY}"),
            "eager" => format!("first_byte_s = 3\nattempts_max = {ATTEMPTS_MANY}"),
            _ => format!("attempts_max = {ATTEMPTS}"),
        };
        format!("[[models]]\nid = \"m/{name}\"\nwire = \"{wire}\"\nbase_url = \"{url}{path}\"\n{patience}\n")
    };
    places.iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_anthropic_messages() {
    over("anthropic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_chat_completions() {
    over("openai").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_openai_responses() {
    over("openai_responses").await;
}

async fn over(wire: &str) {
    let model = play(&transcript()).await;
    let garbage = first(model, Fate::Garbage).await;
    let cut = first(model, Fate::CutDown { after_bytes: 900 }).await;
    let half = first(model, Fate::Half { after_bytes: 900 }).await;
    let places = [
        ("plain", format!("http://{model}")),
        ("hasty", format!("http://{model}")),
        ("eager", format!("http://{model}")),
        ("garbage", garbage.url()),
        ("cut", cut.url()),
        ("half", half.url()),
        // The port of discarding, where nobody listens.
        ("nobody", "http://127.0.0.1:9".to_owned()),
    ];
    let mut server = TestServer::start_with(
        Setting::new(Transcript::new()).configured("titles = \"first_words\"").configured(&models(wire, &places)),
    )
    .await;
    server.tiny().await;
    let jane = server.owner().clone();
    let mut promises = Promises::default();
    let cases = cases();
    let told = futures::future::join_all(cases.iter().map(|case| tell(&jane, case))).await;
    for (case, (session, watch, shown)) in cases.iter().zip(told) {
        promises.saw(&session, watch.events());
        judge(wire, case, watch.events());
        let state = within("the state", jane.client().session(&session)).await.unwrap();
        let once = ModelUsage { input_tokens: 11, output_tokens: 7, ..ModelUsage::default() };
        let counted = if case.fails.is_none() { once } else { ModelUsage::default() };
        assert_eq!(state.usage, counted, "{wire} {}: counted once", case.wish);
        assert!(WORDS.starts_with(&shown), "{wire} {}: {shown:?} was shown", case.wish);
    }
    promises.kept(&jane).await;
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// A session with this wish, to the end of its turn: what its follower was told, and the words that stood there when the reply was complete.
async fn tell(jane: &Person, case: &Case) -> (SessionId, Watch, String) {
    let prompt = Some(NewPrompt { request_id: None, text: format!("Please meet: {}.", case.wish) });
    let model = Some(format!("m/{}", case.model));
    let new = NewSession {
        repo: "acme/tiny".parse().unwrap(),
        base_branch: None,
        model,
        agent: None,
        prompt,
        visibility: None,
    };
    let session = within("the session", jane.client().create_session(&new)).await.unwrap().id;
    let mut watch = Watch::new(jane, &session);
    let mut blocks: BTreeMap<(u32, u32), String> = BTreeMap::new();
    loop {
        match within(case.wish, watch.update()).await {
            Update::Text { step, block, offset, text, .. } => {
                let shown = blocks.entry((step, block)).or_default();
                assert_eq!(shown.len(), offset as usize, "{}: {shown:?}, then {text:?}", case.wish);
                shown.push_str(&text);
            }
            Update::TextReset { step, .. } => blocks.retain(|(of, _), _| *of != step),
            Update::Event(event) if matches!(event.body, EventBody::TurnEnded { .. }) => break,
            Update::Event(_)
            | Update::CaughtUp { .. }
            | Update::ToolOutput { .. }
            | Update::Presence { .. }
            | Update::Typing { .. }
            | Update::Interrupted { .. }
            | Update::Resumed => {}
        }
    }
    (session, watch, blocks.into_values().collect())
}

fn judge(wire: &str, case: &Case, events: &[Event]) {
    let at = format!("{wire} {}", case.wish);
    let mut reasons = Vec::new();
    let mut replies = Vec::new();
    let mut ended = None;
    for event in events {
        match &event.body {
            EventBody::ModelRetried { reason, .. } => reasons.push(reason.clone()),
            EventBody::ModelReplied { blocks, .. } => replies.push(blocks.clone()),
            EventBody::TurnEnded { outcome, .. } => ended = Some(outcome.clone()),
            _ => {}
        }
    }
    let (times, words) = &case.retries;
    match *times {
        Retries::Exactly(times) => assert_eq!(reasons.len(), times, "{at}: {reasons:?}"),
        Retries::AtLeast(times) => assert!(reasons.len() >= times, "{at}: {reasons:?}"),
    }
    assert!(reasons.iter().all(|reason| reason.contains(words)), "{at}: {reasons:?}");
    match (case.fails, ended) {
        (None, Some(TurnOutcome::Done)) => {
            assert_eq!(replies, [[Block::Text { text: WORDS.to_owned() }]], "{at}");
        }
        (Some(cause), Some(TurnOutcome::Failed { reason })) => {
            assert!(reason.contains(cause), "{at}: {reason}");
            assert_eq!(replies.len(), 0, "{at}");
        }
        (_, ended) => panic!("{at} ended as {ended:?}"),
    }
}
