//! Credentials that a server sends back are turned into placeholders again, in a stream whose pieces may cut them anywhere.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use hyper::header::HeaderValue;

use crate::{
    injection::{How, Injection, percent_encoded, percent_encoded_lower},
    secret::Secret,
};

/// What is looked for, and what stands in its place.
pub struct Masks {
    finder: AhoCorasick,
    patterns: Vec<Vec<u8>>,
    /// As long as the text may change its length.
    replacements: Vec<Vec<u8>>,
}

/// What stands for a credential that has no placeholder.
const HIDDEN: &[u8] = b"[hidden by hangar]";

impl Masks {
    /// For these credentials; `None` if there are none. Found are the credential itself, percent-encoded, and inside any
    /// base64 text (`user:SECRET`), in both alphabets.
    #[must_use]
    pub fn of<'a>(injections: impl Iterator<Item = &'a Injection>) -> Option<Self> {
        let mut masks = Vec::new();
        for injection in injections {
            let stand_in = match &injection.how {
                How::Replace { placeholder, .. } => placeholder.as_str().as_bytes(),
                How::Set(_) => HIDDEN,
            };
            for pattern in forms(&injection.secret) {
                masks.push((pattern, stand_in.to_vec()));
            }
        }
        Self::new(masks)
    }

    /// For patterns and what replaces them. Empty patterns are left out.
    #[must_use]
    pub fn new(masks: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Self> {
        let (patterns, replacements): (Vec<_>, Vec<_>) =
            masks.into_iter().filter(|(pattern, _)| !pattern.is_empty()).unzip();
        if patterns.is_empty() {
            return None;
        }
        let finder = AhoCorasickBuilder::new().match_kind(MatchKind::LeftmostLongest).build(&patterns).ok()?;
        Some(Self { finder, patterns, replacements })
    }

    /// The same, but what is found is overwritten with as many `*`: for streams whose lengths mean something (WebSockets).
    #[must_use]
    pub fn of_equal_length(self) -> Self {
        let replacements = self.patterns.iter().map(|pattern| vec![b'*'; pattern.len()]).collect();
        Self { replacements, ..self }
    }

    /// A header's value without credentials.
    pub(crate) fn header(&self, value: &HeaderValue) -> Option<HeaderValue> {
        if !self.finder.is_match(value.as_bytes()) {
            return None;
        }
        HeaderValue::from_bytes(&self.finder.replace_all_bytes(value.as_bytes(), &self.replacements)).ok()
    }

    /// Where the longest end of `text` begins that could be the beginning of a pattern.
    fn held_from(&self, text: &[u8]) -> usize {
        let longest = self.patterns.iter().map(Vec::len).max().unwrap_or(0);
        let first = text.len().saturating_sub(longest.saturating_sub(1));
        let could_begin = |at: &usize| {
            self.patterns.iter().any(|pattern| pattern.len() > text.len() - at && pattern.starts_with(&text[*at..]))
        };
        (first..text.len()).find(could_begin).unwrap_or(text.len())
    }
}

/// The shapes in which a credential comes back.
fn forms(secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.reveal();
    let mut forms = vec![text.as_bytes().to_vec()];
    for percent in [percent_encoded(text), percent_encoded_lower(text)] {
        if percent != text {
            forms.push(percent.into_bytes());
        }
    }
    for offset in 0..3 {
        // The characters that are the same whatever stands before and after: three bytes are four characters, and those at the
        // edges mix in the neighbours' bits.
        let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(text.bytes()).collect();
        let from = (offset * 8).div_ceil(6);
        let until = padded.len() * 8 / 6;
        for encoded in [STANDARD.encode(&padded), URL_SAFE.encode(&padded)] {
            let Some(inner) = encoded.as_bytes().get(from..until) else { continue };
            if !forms.iter().any(|form| form == inner) {
                forms.push(inner.to_vec());
            }
        }
    }
    forms
}

/// Masks one stream.
pub struct Masker<'a> {
    masks: &'a Masks,
    held: &'a mut Vec<u8>,
}

impl<'a> Masker<'a> {
    /// `held` is what the stream so far has left undecided; begin with an empty one.
    #[must_use]
    pub fn new(masks: &'a Masks, held: &'a mut Vec<u8>) -> Self {
        Self { masks, held }
    }

    /// Takes the next piece and gives what is decided: everything except an end that could be the beginning of a credential.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let text = std::mem::take(self.held);
        let mut out = Vec::with_capacity(text.len());
        let mut from = 0;
        let mut hold = self.masks.held_from(&text);
        while let Some(found) = self.masks.finder.find(&text[from..]) {
            let (start, end) = (from + found.start(), from + found.end());
            if start >= hold {
                break;
            }
            out.extend_from_slice(&text[from..start]);
            out.extend_from_slice(&self.masks.replacements[found.pattern().as_usize()]);
            from = end;
            if end > hold {
                hold = end + self.masks.held_from(&text[end..]);
            }
        }
        out.extend_from_slice(&text[from..hold]);
        *self.held = text[hold..].to_vec();
        out
    }

    /// The stream has ended: what was undecided.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.masks.finder.replace_all_bytes(&std::mem::take(self.held), &self.masks.replacements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostName;

    fn run(masks: &Masks, pieces: &[&[u8]]) -> Vec<u8> {
        let mut held = Vec::new();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(Masker::new(masks, &mut held).push(piece));
        }
        out.extend(Masker::new(masks, &mut held).finish());
        out
    }

    #[test]
    fn a_credential_is_found_however_it_is_cut() {
        let masks = Masks::new(vec![(b"s3cret-token".to_vec(), b"PLACE".to_vec())]).unwrap();
        let text = b"a s3cret-token b s3cret-tok s3s3cret-token";
        for first in 0..text.len() {
            for second in first..text.len() {
                let out = run(&masks, &[&text[..first], &text[first..second], &text[second..]]);
                assert_eq!(out, b"a PLACE b s3cret-tok s3PLACE");
            }
        }
    }

    #[test]
    fn only_what_could_be_a_credential_waits() {
        let masks = Masks::new(vec![(b"s3cret-token".to_vec(), b"PLACE".to_vec())]).unwrap();
        let mut held = Vec::new();
        assert_eq!(Masker::new(&masks, &mut held).push(b"data: hello\n\n"), b"data: hello\n\n");
        assert_eq!(Masker::new(&masks, &mut held).push(b"data: s3cr"), b"data: ");
        assert_eq!(Masker::new(&masks, &mut held).push(b"!"), b"s3cr!");
    }

    #[test]
    fn it_is_found_inside_base64_whatever_stands_around_it() {
        let secret = Secret::new("ghp_0123456789?>abcdef".to_owned()).unwrap();
        let injection = Injection::new("t", HostName::parse("a.test").unwrap(), secret.clone(), How::bearer());
        let masks = Masks::of(std::iter::once(&injection)).unwrap();
        for user in ["", "a", "ab", "abc", "x-access-token"] {
            for tail in ["", "1", "22", "333"] {
                let plain = format!("{user}:{}{tail}", secret.reveal());
                for encoded in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
                    let out = run(&masks, &[encoded.as_bytes()]);
                    assert!(out.windows(HIDDEN.len()).any(|window| window == HIDDEN), "{plain}");
                }
            }
        }
    }

    #[test]
    fn it_is_found_percent_encoded() {
        let secret = Secret::new("Ghp/0123+AB=".to_owned()).unwrap();
        let injection = Injection::new("t", HostName::parse("a.test").unwrap(), secret, How::bearer());
        let masks = Masks::of(std::iter::once(&injection)).unwrap();
        for encoded in ["?k=Ghp%2F0123%2BAB%3D&", "?k=Ghp%2f0123%2bAB%3d&", "?k=Ghp/0123+AB=&"] {
            assert_eq!(run(&masks, &[encoded.as_bytes()]), [b"?k=", HIDDEN, b"&"].concat(), "{encoded}");
        }
    }

    #[test]
    fn a_stream_with_lengths_keeps_them() {
        let masks = Masks::new(vec![(b"s3cret-token".to_vec(), b"PLACE".to_vec())]).unwrap().of_equal_length();
        assert_eq!(run(&masks, &[b"x s3cret", b"-token y"]), b"x ************ y");
    }
}
