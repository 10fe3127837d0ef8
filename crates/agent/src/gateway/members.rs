//! Where the members of a JSON object stand in its text, so that one can be changed and every other byte stays: what a service keeps in its
//! cache, and in which order a tool's arguments are described, depends on the very bytes.
//!
//! An object that names a member twice is refused: the service might read the other one than was looked at here.

use std::{collections::BTreeSet, ops::Range};

use serde_json::Value;

/// A request's body: its text, its value, and where each member of it stands.
pub(super) struct Members {
    text: Vec<u8>,
    value: Value,
    places: Vec<(String, Range<usize>)>,
}

impl Members {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it, for whoever sent it.
    pub(super) fn read(text: Vec<u8>) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(&text).map_err(|error| format!("The body is no JSON: {error}."))?;
        if !value.is_object() {
            return Err("The body is no JSON object.".to_owned());
        }
        let mut scan = Scan { text: &text, at: 0, places: Vec::new() };
        scan.value(Depth::Top)?;
        let places = scan.places;
        Ok(Self { text, value, places })
    }

    /// What it says.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// The text with these members set; every other byte is as it came.
    pub(super) fn with(self, changes: &[(&str, Value)]) -> Vec<u8> {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        // Behind the opening brace, which comes first in every object but for white space.
        let begin = self.text.iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
        let mut follows = !self.places.is_empty();
        for (name, value) in changes {
            match self.places.iter().find(|(known, _)| known == name) {
                Some((_, place)) => edits.push((place.clone(), value.to_string())),
                None => {
                    let comma = if follows { "," } else { "" };
                    edits.push((begin..begin, format!("{}:{value}{comma}", Value::from(*name))));
                    follows = true;
                }
            }
        }
        // From the end, so that what is before an edit stays where it is.
        edits.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        let mut text = self.text;
        for (place, new) in edits {
            drop(text.splice(place, new.into_bytes()));
        }
        text
    }
}

/// How deep a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Top,
    Below,
}

/// Walks through JSON that is known to be well formed, and not deeper than its parser allows.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    places: Vec<(String, Range<usize>)>,
}

impl Scan<'_> {
    fn peek(&mut self) -> u8 {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn value(&mut self, depth: Depth) -> Result<(), String> {
        match self.peek() {
            b'{' => self.object(depth),
            b'[' => self.list(),
            b'"' => {
                self.string();
                Ok(())
            }
            _ => {
                let rest = &self.text[self.at..];
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b",]}".contains(byte);
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                Ok(())
            }
        }
    }

    fn object(&mut self, depth: Depth) -> Result<(), String> {
        self.at += 1;
        let mut names: BTreeSet<String> = BTreeSet::new();
        while self.peek() != b'}' && self.at < self.text.len() {
            if self.peek() == b',' {
                self.at += 1;
            }
            let _quote = self.peek();
            let name = self.string();
            let name: String = serde_json::from_slice(&self.text[name]).map_err(|error| error.to_string())?;
            // The colon.
            let _colon = self.peek();
            self.at += 1;
            let _first = self.peek();
            let start = self.at;
            self.value(Depth::Below)?;
            if depth == Depth::Top {
                self.places.push((name.clone(), start..self.at));
            }
            if let Some(twice) = names.replace(name) {
                return Err(format!("The body names {twice:?} twice in one object."));
            }
        }
        self.at += 1;
        Ok(())
    }

    fn list(&mut self) -> Result<(), String> {
        self.at += 1;
        while self.peek() != b']' && self.at < self.text.len() {
            if self.peek() == b',' {
                self.at += 1;
            }
            self.value(Depth::Below)?;
        }
        self.at += 1;
        Ok(())
    }

    /// Goes behind a string, and says where it stands with its quotes.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    break;
                }
                _ => self.at += 1,
            }
        }
        start..self.at.min(self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Members, String> {
        Members::read(text.as_bytes().to_vec())
    }

    #[test]
    fn a_member_is_changed_and_every_other_byte_stays() {
        let check = |text: &str, changes: &[(&str, Value)], expect: &str| {
            let changed = String::from_utf8(read(text).unwrap().with(changes)).unwrap();
            assert_eq!(changed, expect);
        };
        let model = [("model", json!("new"))];
        check(
            r#"{"z":1, "model" : "old" ,"a":{"model":"kept"}}"#,
            &model,
            r#"{"z":1, "model" : "new" ,"a":{"model":"kept"}}"#,
        );
        check(r#" { "z" : [1, {"b":2,"a":1}] }"#, &model, r#" {"model":"new", "z" : [1, {"b":2,"a":1}] }"#);
        check("{}", &model, r#"{"model":"new"}"#);
        check("{}", &[("a", json!(1)), ("b", json!(2))], r#"{"b":2,"a":1}"#);
        check(r#"{"m\u006fdel":"a\"}b\\","x":-1.5e3}"#, &model, r#"{"m\u006fdel":"new","x":-1.5e3}"#);
        let two = [("model", json!("n")), ("more", json!({"a": true}))];
        check(r#"{"model":null}"#, &two, r#"{"more":{"a":true},"model":"n"}"#);
        check(r#"{"more":[],"model":"x"}"#, &two, r#"{"more":{"a":true},"model":"n"}"#);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for text in
            [r#"{"model":"a","model":"b"}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, r#"{"model":"a","m\u006fdel":"b"}"#]
        {
            assert!(read(text).err().unwrap().contains("twice"), "{text}");
        }
        for text in ["", "[]", "1", "{", r#"{"a":}"#, "{} {}"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(r#"{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]}"#).is_ok());
    }
}
