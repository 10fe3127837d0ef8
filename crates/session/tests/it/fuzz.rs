//! Logs, frames, questions and commands that were spoiled: they are refused or read, and nothing panics; what is read comes back as it was.
//!
//! What is spoiled is the JSON of real ones: values are put in other places, taken away, doubled, or replaced by odd ones, and letters of the text
//! are changed. Here the same few cases each time; `make fuzz` tries others for as long as asked (`HANGAR_FUZZ_SECONDS`) and prints the seed of one that
//! fails (`HANGAR_FUZZ_SEED` begins with it).

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use hangar_protocol::{
    Command, Event, Frame, Person, SessionState,
    command::Commanded,
    frame::{Ask, SessionFrame},
};
use hangar_session::decide::{Input, decide};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Cases in every test run.
const CASES: u64 = 400;
/// Changes that are made to one message; one is as likely as all other numbers together.
const CHANGES_MAX: u32 = 4;
/// Values that are put elsewhere are no larger, as text.
const VALUE_BYTES_MAX: usize = 500;
/// Commands that are given to one session.
const COMMANDS: usize = 12;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Real ones of everything.
struct Corpus {
    logs: Vec<Vec<Value>>,
    frames: Vec<Value>,
    asks: Vec<Value>,
    commands: Vec<Value>,
    /// Every value that occurs somewhere in them.
    values: Vec<Value>,
}

impl Corpus {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/fixtures");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let log = |file: &std::path::PathBuf| {
            let fixture: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            fixture["events"].as_array().unwrap().clone()
        };
        let logs: Vec<Vec<Value>> = files.iter().map(log).collect();
        let event = |event: &Value| json!({"frame": "event", "event": event});
        let mut frames: Vec<Value> = logs.iter().flatten().map(event).collect();
        frames.extend([
            json!({"frame": "caught_up", "seq": 7}),
            json!({"frame": "text", "turn": 1, "step": 1, "block": 0, "channel": "text", "offset": 3, "text": "wörds"}),
            json!({"frame": "text_reset", "turn": 1, "step": 1}),
            json!({"frame": "presence", "scope": "changed", "people": [{"user": "ann", "name": "Ann", "connections": 1}], "total": 1}),
            json!({"frame": "typing", "user": "ann", "name": "Ann", "for_ms": 5000}),
            json!({"frame": "cursor", "seq": 700}),
            json!({"frame": "bye", "reason": "restart", "after": 7}),
            json!({"session": "abc123", "frame": "list_complete"}),
        ]);
        let asks = vec![
            json!({"ask": "follow", "sessions": [{"session": "abc123", "after": 7, "presence": true}]}),
            json!({"ask": "unfollow", "sessions": ["abc123", "xyz"]}),
            json!({"ask": "typing", "session": "abc123"}),
        ];
        let commands = commands();
        let mut values = Vec::new();
        logs.iter().flatten().chain(&frames).chain(&asks).chain(&commands).for_each(|whole| gather(whole, &mut values));
        values.retain(|value| value.to_string().len() <= VALUE_BYTES_MAX);
        Self { logs, frames, asks, commands, values }
    }
}

/// One of every kind that a person can send to a session.
fn commands() -> Vec<Value> {
    let hash = "a".repeat(64);
    vec![
        json!({"type": "prompt", "request_id": "r1", "text": "Do it."}),
        json!({"type": "steer", "request_id": "r2", "text": "And that."}),
        json!({"type": "prompt_and_resume", "request_id": "r3", "text": "Go on."}),
        json!({"type": "cancel_prompt", "prompt": 1, "request_id": "r4"}),
        json!({"type": "edit_prompt", "prompt": 2, "request_id": "r5", "text": "Other words."}),
        json!({"type": "move_prompt", "prompt": 2, "request_id": "r6", "before": 1}),
        json!({"type": "steer_prompt", "prompt": 2, "request_id": "r7"}),
        json!({"type": "stop", "turn": 1, "then": "pause"}),
        json!({"type": "resume"}),
        json!({"type": "continue_turn"}),
        json!({"type": "retry_sandbox", "begin_at": "image"}),
        json!({"type": "set_budget", "cost_micro_usd": 1, "tokens": 10, "time_ms": 1000, "tool_calls": 1}),
        json!({"type": "rename", "title": "Another title"}),
        json!({"type": "allow_network", "host": "example.com", "port": 443}),
        json!({"type": "keep_attempt", "session": "xyz"}),
        json!({"type": "open_pull_request", "title": "T", "body": null}),
        json!({"type": "set_role", "person": {"user": "bob", "name": "Bob", "email": "bob@example.com"}, "role": "viewer"}),
        json!({"type": "remove_member", "user": "bob"}),
        json!({"type": "take_ownership"}),
        json!({"type": "set_visibility", "visibility": "private"}),
        json!({"type": "invite", "role": "prompter", "hash": hash, "expires_ms": 9, "now_ms": 1}),
        json!({"type": "revoke_invitation", "invitation": 1}),
        json!({"type": "join", "hash": hash, "now_ms": 2}),
        json!({"type": "archive"}),
        json!({"type": "unarchive"}),
        json!({"type": "delete", "purge_ms": 9}),
        json!({"type": "restore"}),
    ]
}

fn gather(value: &Value, into: &mut Vec<Value>) {
    into.push(value.clone());
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| gather(field, into)),
        _ => {}
    }
}

/// What spoils.
struct Fuzz<'a> {
    corpus: &'a Corpus,
    random: StdRng,
}

impl Fuzz<'_> {
    fn one_of<'b>(&mut self, all: &'b [Value]) -> &'b Value {
        &all[self.random.random_range(0..all.len())]
    }

    fn odd(&mut self) -> Value {
        match self.random.random_range(0..12) {
            0 => Value::Null,
            1 => json!(u64::MAX),
            2 => json!(i64::MIN),
            3 => json!(0),
            4 => json!(9_007_199_254_740_993_u64),
            5 => json!(-0.5),
            6 => json!(""),
            7 => json!("\u{0}\u{202e}\u{10ffff}é\n"),
            8 if self.random.random_range(0..20) == 0 => json!("x".repeat(self.random.random_range(1..70_000))),
            8 => json!("x".repeat(300)),
            9 => json!([]),
            10 => json!({}),
            _ => self.one_of(&self.corpus.values).clone(),
        }
    }

    /// A place somewhere inside, each step at random.
    fn place<'b>(&mut self, value: &'b mut Value) -> &'b mut Value {
        let mut pointer = String::new();
        let mut at = &*value;
        while self.random.random_range(0..4) > 0 {
            let (step, inside) = match at {
                Value::Array(items) if !items.is_empty() => {
                    let number = self.random.random_range(0..items.len());
                    (number.to_string(), &items[number])
                }
                Value::Object(fields) if !fields.is_empty() => {
                    let (key, field) = fields.iter().nth(self.random.random_range(0..fields.len())).unwrap();
                    (key.replace('~', "~0").replace('/', "~1"), field)
                }
                _ => break,
            };
            pointer = format!("{pointer}/{step}");
            at = inside;
        }
        value.pointer_mut(&pointer).unwrap()
    }

    fn spoil(&mut self, value: &mut Value) {
        let many = self.random.random_range(0..2) == 0;
        let changes = if many { self.random.random_range(1..=CHANGES_MAX) } else { 1 };
        for _ in 0..changes {
            let (odd, number) = (self.odd(), self.random.random_range(0..64));
            let kind = self.random.random_range(0..4);
            match (self.place(value), kind) {
                (Value::Object(fields), 0) if !fields.is_empty() => {
                    let key = fields.keys().nth(number % fields.len()).unwrap().clone();
                    fields.remove(&key);
                }
                (Value::Object(fields), 1) if !fields.is_empty() => {
                    let key = fields.keys().nth(number % fields.len()).unwrap().clone();
                    fields.insert(key, odd);
                }
                (Value::Array(items), 0) if !items.is_empty() => {
                    items.remove(number % items.len());
                }
                (Value::Array(items), 1) if !items.is_empty() => {
                    let twice = items[number % items.len()].clone();
                    items.push(twice);
                }
                (Value::Number(known), 2) if known.is_u64() => {
                    let near = known.as_u64().unwrap().wrapping_add(number as u64).wrapping_sub(32);
                    *known = near.into();
                }
                (other, _) => *other = odd,
            }
        }
    }

    /// A text like that of the value, with some of its bytes changed, or cut off.
    fn text(&mut self, value: &Value) -> Vec<u8> {
        let mut text = serde_json::to_vec(value).unwrap();
        if self.random.random_range(0..4) > 0 {
            return text;
        }
        for _ in 0..self.random.random_range(1..3) {
            let at = self.random.random_range(0..text.len());
            match self.random.random_range(0..3) {
                0 => text[at] = self.random.random_range(0..=255),
                1 => text.truncate(at.max(1)),
                _ => text.insert(at, b"{}[]\",:\\0-"[self.random.random_range(0..10)]),
            }
        }
        text
    }

    /// A spoiled one is read or refused; what is read is written and read again as the same.
    fn read<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(&mut self, value: &Value) -> Option<T> {
        let text = self.text(value);
        let read: T = serde_json::from_slice(&text).ok()?;
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<T>(&again).unwrap(), read, "{again}");
        Some(read)
    }

    fn spoiled(&mut self, all: &[Value]) -> Value {
        let mut value = self.one_of(all).clone();
        self.spoil(&mut value);
        value
    }

    /// A log with spoiled events in it: what can be read of it folds, and its state is written and read again as the same.
    fn log(&mut self) -> Option<SessionState> {
        let logs = &self.corpus.logs;
        let log = &logs[self.random.random_range(0..logs.len())];
        let mut state: Option<SessionState> = None;
        let spoiled_every = self.random.random_range(1..12);
        for (number, event) in log.iter().enumerate() {
            let mut event = event.clone();
            if number > 0 && number % spoiled_every == 0 {
                self.spoil(&mut event["body"]);
            }
            let Ok(mut event) = serde_json::from_value::<Event>(event) else { continue };
            match &mut state {
                None => state = SessionState::begin(&event),
                Some(state) => {
                    event.seq = state.seq.next();
                    state.apply(&event);
                }
            }
        }
        let state = state?;
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<SessionState>(&text).unwrap(), state, "{text}");
        Some(state)
    }

    /// Spoiled commands of several people to a session: each is refused or decided, and what is decided is taken in.
    fn command(&mut self, mut state: SessionState) -> u64 {
        let mut accepted = 0;
        for _ in 0..COMMANDS {
            let commands = &self.corpus.commands;
            let value = if self.random.random_range(0..3) == 0 {
                self.one_of(commands).clone()
            } else {
                self.spoiled(commands)
            };
            let Some(command) = self.read::<Command>(&value) else { continue };
            let user = ["jane", "bob", "zoe"][self.random.random_range(0..3)];
            let owner = self.random.random_range(0..2) == 0;
            let user = if owner { state.owner.clone() } else { user.parse().unwrap() };
            let by = Person { user, name: "N".to_owned(), email: "n@example.com".to_owned() };
            let Ok(decision) = decide(&state, Input::Command(Commanded { by, command })) else { continue };
            accepted += 1;
            for (cause, body) in decision.events {
                let event = Event { seq: state.seq.next(), time_ms: state.seq.0, cause, body };
                let text = serde_json::to_string(&event).unwrap();
                assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "what is decided can be read again");
                state.apply_next(&event).unwrap();
            }
        }
        accepted
    }
}

#[test]
fn whatever_comes_in_is_read_or_refused() {
    let time = setting("HANGAR_FUZZ_SECONDS").map(Duration::from_secs);
    let fresh = || u64::from(std::process::id()) << 32;
    let first = setting("HANGAR_FUZZ_SEED").unwrap_or_else(|| time.map_or(0, |_| fresh()));
    let corpus = Corpus::read();
    for command in &corpus.commands {
        serde_json::from_value::<Command>(command.clone()).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    let (began, mut seed) = (Instant::now(), first);
    let (mut read, mut folded, mut accepted) = (0_u64, 0_u64, 0_u64);
    while time.map_or(seed < first + CASES, |time| began.elapsed() < time) {
        let case = std::panic::catch_unwind(|| {
            let mut fuzz = Fuzz { corpus: &corpus, random: StdRng::seed_from_u64(seed) };
            let (frame, ask) = (fuzz.spoiled(&corpus.frames), fuzz.spoiled(&corpus.asks));
            let read = [
                fuzz.read::<Frame>(&frame).is_some(),
                fuzz.read::<SessionFrame>(&frame).is_some(),
                fuzz.read::<Ask>(&ask).is_some(),
            ];
            let state = fuzz.log();
            let folded = state.is_some();
            (read.into_iter().filter(|read| *read).count() as u64, folded, state.map_or(0, |state| fuzz.command(state)))
        });
        let (now_read, now_folded, now_accepted) = case.unwrap_or_else(|_| panic!("HANGAR_FUZZ_SEED={seed}"));
        read += now_read;
        folded += u64::from(now_folded);
        accepted += now_accepted;
        seed += 1;
    }
    let _ = writeln!(
        std::io::stderr(),
        "seeds {first} to {}: {read} spoiled messages read, {folded} logs folded, {accepted} commands accepted",
        seed - 1
    );
    assert!(read > 0 && folded > 0 && accepted > 0, "nothing was tried");
}
