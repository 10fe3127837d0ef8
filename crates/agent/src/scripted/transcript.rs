//! A transcript file, in JSON. `docs/models.md` describes it for people.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{NO_LINE, history::History};
use crate::models::Titles;

/// Prepared replies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// What it is called: its model is `scripted/<name>`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pace: Pace,
    scripts: Vec<Script>,
}

/// A transcript that cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("the transcript cannot be read: {0}")]
pub struct TranscriptFault(#[from] serde_json::Error);

/// How fast it is said.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    /// Characters of text in one chunk.
    pub(super) chunk_chars: usize,
    /// Pause before each chunk.
    pub(super) pause_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { chunk_chars: 16, pause_ms: 0 }
    }
}

/// The replies to one wish.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    /// Words that the prompt must contain, letter case aside. None: any prompt.
    #[serde(default)]
    wish: Option<String>,
    /// What is said when a title is asked for. None: no title is asked for.
    #[serde(default)]
    title: Option<String>,
    replies: Vec<Line>,
}

/// One reply.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Words that the results of the calls before must contain; otherwise `otherwise` is said.
    #[serde(default)]
    after: Option<String>,
    /// What is said instead when `after` does not hold. It ends the script.
    #[serde(default)]
    otherwise: Option<String>,
    /// When the results of this line's own calls hold these words, the line is said once more.
    #[serde(default)]
    repeat_when: Option<String>,
    /// Pieces of the results of the calls before, to stand for `${name}` from here on.
    #[serde(default)]
    capture: BTreeMap<String, Between>,
    /// Thoughts.
    #[serde(default)]
    pub(super) think: String,
    /// Words.
    #[serde(default)]
    pub(super) say: String,
    /// Calls.
    #[serde(default)]
    pub(super) calls: Vec<ScriptedCall>,
    /// Why the model stops; by default `tool_use` or `end_turn`.
    #[serde(default)]
    pub(super) stop: Option<String>,
    /// Tokens to be counted; by default none, for a script uses none.
    #[serde(default)]
    pub(super) usage: ScriptedUsage,
    /// What goes wrong first: the first attempt meets the first fault, and so on.
    #[serde(default)]
    faults: Vec<Fault>,
}

/// The text between two others.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    from: String,
    to: String,
}

/// A call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptedCall {
    pub(super) tool: String,
    /// Arguments; a text is sent as it is, so that a test can send what is no JSON.
    pub(super) input: Value,
}

/// Tokens to be counted.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScriptedUsage {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

/// Something that goes wrong on the wire.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// This status instead of a reply.
    Status {
        code: u16,
        #[serde(default)]
        retry_after_s: Option<f64>,
    },
    /// The request is refused as one that the model cannot read whole.
    TooLong {},
    /// The request is refused because of an image in it, as long as it holds one.
    BadImage {},
    /// The request is never answered.
    NoAnswer {},
    /// The connection breaks after so many characters of text.
    Drop { after_chars: usize },
    /// An event that is no JSON comes after so many characters of text.
    Malformed { after_chars: usize },
    /// Nothing more comes after so many characters of text.
    Silence { after_chars: usize },
    /// An error event comes after so many characters of text.
    Overloaded { after_chars: usize },
}

/// What is played for a request.
pub(super) struct Chosen<'a> {
    pub(super) line: Line,
    pub(super) pace: Pace,
    pub(super) faults: &'a [Fault],
}

impl Transcript {
    /// Reads a transcript file.
    ///
    /// # Errors
    /// [`TranscriptFault`] names the place and what is wrong.
    pub fn parse(text: &str) -> Result<Self, TranscriptFault> {
        Ok(serde_json::from_str(text)?)
    }

    /// The transcript that comes with hangar: a change to the crate `strsim`, as `make demo` shows it.
    ///
    /// # Errors
    /// Never, as this crate's tests show; it is read like any other.
    pub fn demo() -> Result<Self, TranscriptFault> {
        Self::parse(include_str!("../../transcripts/demo.json"))
    }

    /// Whether any of its scripts has a title.
    #[must_use]
    pub fn titles(&self) -> Titles {
        let scripted = self.scripts.iter().any(|script| script.title.is_some());
        if scripted { Titles::Written } else { Titles::FirstWords }
    }

    /// The line for a request.
    pub(super) fn choose(&self, history: &History) -> Chosen<'_> {
        let wish = history.wish.to_lowercase();
        let fits = |script: &&Script| script.wish.as_ref().is_none_or(|words| wish.contains(&words.to_lowercase()));
        let script = self.scripts.iter().find(fits);
        if history.wants_title {
            return self.saying(script.and_then(|script| script.title.as_deref()).unwrap_or_default());
        }
        let Some(script) = script else { return self.saying(NO_LINE) };
        let heard = script.heard(&history.results);
        let place = heard.len();
        let Some(line) = script.replies.get(place) else { return self.saying(NO_LINE) };
        let before = heard.last().map_or("", |last| last.as_str());
        if line.after.as_ref().is_some_and(|words| !before.contains(words.as_str())) {
            return self.saying(line.otherwise.as_deref().unwrap_or(NO_LINE));
        }
        let captured = captures(&script.replies[..=place], &heard);
        Chosen { line: line.filled(&captured), pace: self.pace, faults: &line.faults }
    }

    fn saying(&self, words: &str) -> Chosen<'_> {
        Chosen { line: Line { say: words.to_owned(), ..Line::default() }, pace: self.pace, faults: &[] }
    }
}

/// What the lines so far have captured, each from the results before it.
fn captures(lines: &[Line], results: &[&String]) -> BTreeMap<String, String> {
    let mut captured = BTreeMap::new();
    for (line, before) in lines.iter().skip(1).zip(results) {
        for (name, Between { from, to }) in &line.capture {
            let found = before.split_once(from.as_str()).and_then(|(_, rest)| rest.split_once(to.as_str()));
            if let Some((text, _)) = found {
                captured.insert(name.clone(), text.to_owned());
            }
        }
    }
    captured
}

impl Script {
    /// The results of the lines so far, without those of lines that are said once more.
    fn heard<'a>(&self, results: &'a [String]) -> Vec<&'a String> {
        let mut heard = Vec::new();
        for result in results {
            let line: Option<&Line> = self.replies.get(heard.len());
            let words = line.and_then(|line| line.repeat_when.as_ref());
            if !words.is_some_and(|words| result.contains(words.as_str())) {
                heard.push(result);
            }
        }
        heard
    }
}

impl Line {
    fn filled(&self, captured: &BTreeMap<String, String>) -> Self {
        let mut line = self.clone();
        line.say = fill(&line.say, captured);
        for call in &mut line.calls {
            fill_value(&mut call.input, captured);
        }
        line
    }
}

fn fill(text: &str, captured: &BTreeMap<String, String>) -> String {
    captured.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

fn fill_value(value: &mut Value, captured: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = fill(text, captured),
        Value::Array(values) => values.iter_mut().for_each(|value| fill_value(value, captured)),
        Value::Object(fields) => fields.values_mut().for_each(|value| fill_value(value, captured)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
