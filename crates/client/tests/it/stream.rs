//! What a follower sees is the log, once and in order, whatever the connection does.

use std::time::Duration;

use hangar_client::{Client, Error, Patience, Stream, Token, Update};
use hangar_protocol::{
    Block, CallId, Cause, Event, EventBody, Frame, ModelUsage, RefusalCode, Seq, SessionId, StopReason, TurnId,
    event::ToolStatus, frame::TextChannel,
};

use crate::play::{Play, Scene, event, warning};

const BRISK: Patience = Patience {
    first_pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(20),
    away_max: Duration::from_secs(20),
};

fn session() -> SessionId {
    "abc123".parse().unwrap()
}

/// Reads updates until `count` of them are not about the connection itself.
async fn told(stream: &mut Stream, count: usize) -> Vec<Update> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("the stream stands still");
        match next.expect("the stream ended").expect("the stream failed") {
            Update::Interrupted { .. } | Update::Resumed => {}
            update => seen.push(update),
        }
    }
    seen
}

fn events(range: std::ops::RangeInclusive<u64>) -> Vec<Update> {
    range.map(|seq| Update::Event(Box::new(warning(seq)))).collect()
}

async fn error_of(stream: &mut Stream) -> Error {
    loop {
        match stream.next().await.expect("a stream ends with an error") {
            Ok(_) => {}
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the last thing a stream tells");
                return error;
            }
        }
    }
}

#[tokio::test]
async fn cuts_and_repetitions_change_nothing_for_the_reader() {
    let play = Play::new(vec![
        Scene::Cut(vec![event(1), event(2), event(2), event(1), event(3)]),
        Scene::BadGateway,
        Scene::Refuse(RefusalCode::Unavailable),
        Scene::Cut(vec![]),
        Scene::Cut(vec![event(2), event(3), event(4), Frame::CaughtUp { seq: Seq(4) }]),
        // A gap: 6 must not be handed on before 5.
        Scene::Stay(vec![event(6)]),
        Scene::Cut(vec![event(5), Frame::Bye { reason: "the server restarts".to_owned(), after: None }, event(99)]),
        Scene::ServerSent(vec![event(6), event(7), Frame::CaughtUp { seq: Seq(7) }], 7),
        Scene::Stay(vec![event(8), Frame::CaughtUp { seq: Seq(8) }, event(9)]),
    ])
    .await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    let mut expected = events(1..=4);
    expected.push(Update::CaughtUp { seq: Seq(4) });
    expected.extend(events(5..=9));
    assert_eq!(told(&mut stream, expected.len()).await, expected);
    assert_eq!(play.cursors(), [0, 3, 3, 3, 3, 4, 4, 5, 7]);
}

#[tokio::test]
async fn a_follower_that_comes_later_asks_for_the_rest_only() {
    let play = Play::new(vec![Scene::Stay(vec![event(8)])]).await;
    let mut stream = play.client().follow(&session(), Seq(7), BRISK);
    assert_eq!(told(&mut stream, 1).await, events(8..=8));
    assert_eq!(play.cursors(), [7]);
}

#[tokio::test]
async fn every_split_of_a_log_gives_the_same_reading() {
    // 30 events, cut after each possible number of them, and every connection repeats up to three old ones.
    let mut scenes = Vec::new();
    for end in 1..=30_u64 {
        scenes.push(Scene::Cut((end.saturating_sub(3).max(1)..=end).map(event).collect()));
    }
    let play = Play::new(scenes).await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    assert_eq!(told(&mut stream, 30).await, events(1..=30));
}

fn text(offset: u32, text: &str) -> Frame {
    Frame::Text { turn: TurnId(1), step: 1, block: 0, channel: TextChannel::Text, offset, text: text.to_owned() }
}

fn output(offset: u32, text: &str) -> Frame {
    Frame::ToolOutput { call: call(), offset, text: text.to_owned() }
}

fn call() -> CallId {
    "call-1".parse().unwrap()
}

fn numbered(seq: u64, body: EventBody) -> Frame {
    Frame::Event { event: Box::new(Event { seq: Seq(seq), time_ms: 0, cause: Cause::Turn { turn: TurnId(1) }, body }) }
}

#[tokio::test]
async fn text_and_output_arrive_once_across_connections() {
    let replied = numbered(
        1,
        EventBody::ModelReplied {
            turn: TurnId(1),
            step: 1,
            blocks: vec![Block::Text { text: "Hello, world".to_owned() }],
            usage: ModelUsage::default(),
            cost_micro_usd: None,
            stop: StopReason::EndTurn,
            first_token_ms: 1,
            duration_ms: 2,
        },
    );
    let finished = numbered(
        2,
        EventBody::ToolFinished {
            turn: TurnId(1),
            call: call(),
            status: ToolStatus::Ok,
            output: "ok 1\nok 2\n".to_owned(),
            blob: None,
            image: None,
            duration_ms: 3,
        },
    );
    let play = Play::new(vec![
        Scene::Cut(vec![text(0, "Hel"), text(3, "lo")]),
        // A new connection is told the text so far from its beginning.
        Scene::Cut(vec![text(0, "Hello, wor"), Frame::TextReset { turn: TurnId(1), step: 1 }, text(0, "Hello")]),
        Scene::Cut(vec![replied.clone(), text(5, ", world"), output(0, "ok 1\n")]),
        Scene::Stay(vec![output(0, "ok 1\nok 2\n"), finished.clone(), output(10, "late"), event(3)]),
    ])
    .await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    let shown: Vec<String> = told(&mut stream, 10)
        .await
        .into_iter()
        .map(|update| match update {
            Update::Text { offset, text, .. } => format!("text {offset} {text:?}"),
            Update::ToolOutput { offset, text, .. } => format!("output {offset} {text:?}"),
            Update::TextReset { .. } => "reset".to_owned(),
            Update::Event(event) => format!("event {}", event.seq),
            Update::CaughtUp { .. }
            | Update::Presence { .. }
            | Update::Typing { .. }
            | Update::Interrupted { .. }
            | Update::Resumed => "-".to_owned(),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "text 0 \"Hel\"",
            "text 3 \"lo\"",
            "text 5 \", wor\"",
            "reset",
            "text 0 \"Hello\"",
            "event 1",
            "output 0 \"ok 1\\n\"",
            "output 5 \"ok 2\\n\"",
            "event 2",
            "event 3",
        ]
    );
}

#[tokio::test]
async fn a_reader_who_was_away_when_a_reply_became_void_does_not_see_a_mixture() {
    let retried =
        EventBody::ModelRetried { turn: TurnId(1), step: 1, attempt: 1, wait_ms: 0, reason: "cut".to_owned() };
    let resumed = EventBody::TurnResumed { turn: TurnId(1), reason: "the server was killed".to_owned() };
    let play = Play::new(vec![
        Scene::Cut(vec![text(0, "First try")]),
        Scene::Cut(vec![numbered(1, retried), text(0, "Second")]),
        Scene::Stay(vec![numbered(2, resumed), text(0, "Third and last")]),
    ])
    .await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    let shown: Vec<String> = told(&mut stream, 7)
        .await
        .into_iter()
        .map(|update| match update {
            Update::Text { text, .. } => text,
            Update::Event(event) => format!("event {}", event.seq),
            other => format!("{other:?}"),
        })
        .collect();
    let reset = "TextReset { turn: TurnId(1), step: 1 }";
    assert_eq!(shown, ["First try", reset, "event 1", "Second", reset, "event 2", "Third and last"]);
}

#[tokio::test]
async fn the_reader_is_told_of_cuts_and_of_their_end() {
    let play = Play::new(vec![Scene::Cut(vec![event(1)]), Scene::Stay(vec![event(2)])]).await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    let mut kinds = Vec::new();
    while kinds.len() < 4 {
        kinds.push(match stream.next().await.unwrap().unwrap() {
            Update::Event(event) => format!("event {}", event.seq),
            Update::Interrupted { retry_in, .. } => {
                assert!(retry_in <= BRISK.first_pause, "{retry_in:?}");
                "interrupted".to_owned()
            }
            Update::Resumed => "resumed".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(kinds, ["event 1", "interrupted", "resumed", "event 2"]);
}

#[tokio::test]
async fn what_cannot_pass_ends_the_stream_at_once() {
    for code in [RefusalCode::NotFound, RefusalCode::Forbidden] {
        let play = Play::new(vec![Scene::Cut(vec![event(1)]), Scene::Refuse(code)]).await;
        match error_of(&mut play.client().follow(&session(), Seq::START, BRISK)).await {
            Error::Refused(refusal) => assert_eq!(refusal.code, code),
            other => panic!("{other}"),
        }
    }
    let play = Play::new(vec![]).await;
    let stranger = Client::new(play.client().url(), Token::new("hgr_wrong")).unwrap();
    match error_of(&mut stranger.follow(&session(), Seq::START, BRISK)).await {
        Error::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::Unauthenticated),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_unknown_hint_is_skipped_and_an_unknown_event_is_not() {
    let known = serde_json::to_string(&event(1)).unwrap();
    let hint = r#"{"frame":"presence","who":["ada"]}"#.to_owned();
    let strange =
        r#"{"frame":"event","event":{"seq":2,"time_ms":0,"cause":{"by":"system"},"body":{"type":"quantum_leap"}}}"#;
    let play = Play::new(vec![Scene::Raw(vec![hint, known, strange.to_owned()])]).await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    assert_eq!(told(&mut stream, 1).await, events(1..=1));
    match error_of(&mut stream).await {
        Error::NotHangar { cause, .. } => assert!(cause.contains("quantum_leap"), "{cause}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_server_that_never_was_there_is_told_at_once_and_one_that_left_is_awaited() {
    let play = Play::new(vec![Scene::Cut(vec![event(1)])]).await;
    let client = play.client();
    let mut stream = client.follow(&session(), Seq::START, Patience { away_max: Duration::from_millis(50), ..BRISK });
    assert_eq!(told(&mut stream, 1).await, events(1..=1));
    drop(play);
    let error = error_of(&mut stream).await;
    assert_eq!(error.exit_status(), 7, "{error}");

    let error = error_of(&mut client.follow(&session(), Seq::START, Patience::default())).await;
    assert_eq!(error.exit_status(), 7);
    let words = error.to_string();
    assert!(words.contains("No hangar answers at http://127.0.0.1:") && words.contains("hangar up"), "{words}");
    assert!(words.to_lowercase().contains("connection refused"), "{words}");
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let play = Play::new(vec![
        Scene::Cut((1..=2_000).map(event).collect()),
        Scene::Cut((1_500..=4_000).map(event).collect()),
        Scene::Stay((3_000..=5_000).map(event).collect()),
    ])
    .await;
    let mut stream = play.client().follow(&session(), Seq::START, BRISK);
    let first = told(&mut stream, 1).await;
    tokio::task::yield_now().await;
    let rest = told(&mut stream, 4_999).await;
    assert_eq!([first, rest].concat(), events(1..=5_000));
}
