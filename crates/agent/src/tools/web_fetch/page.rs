//! A page as words: what people would read of it, with headings, lists, code and links as in Markdown.
//!
//! Pages are hostile. They are read token by token, in time and memory that grow with their length alone; nothing is nested here.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use url::Url;

/// What is inside these is not read.
const SKIPPED: [&str; 8] = ["script", "style", "noscript", "template", "svg", "head", "iframe", "object"];
/// These begin on a line of their own.
const BLOCKS: [&str; 25] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "footer",
    "nav",
    "aside",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "tr",
    "form",
    "fieldset",
    "figure",
    "figcaption",
    "blockquote",
    "details",
    "summary",
    "address",
    "hr",
];
/// Longest address of a link that is told.
const LINK_CHARS_MAX: usize = 500;

/// What can be read of a page, and its title.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) words: String,
}

/// Reads a page. `address` is where it is, for its links.
pub(super) fn read(html: &str, address: &Url) -> Page {
    let mut reader = Reader {
        address,
        words: String::new(),
        title: String::new(),
        skipped: None,
        in_title: false,
        pre: 0,
        link: None,
    };
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => reader.begin(&tag),
            Token::EndTag(tag) => reader.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(text) => reader.text(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    Page { title: in_one_line(&reader.title), words: tidy(&reader.words) }
}

struct Reader<'a> {
    address: &'a Url,
    words: String,
    title: String,
    /// The element that is not read, until its end.
    skipped: Option<String>,
    in_title: bool,
    /// How many `pre` are open.
    pre: u32,
    /// Where the link that is open leads.
    link: Option<String>,
}

impl Reader<'_> {
    fn begin(&mut self, tag: &StartTag<()>) {
        let name = String::from_utf8_lossy(&tag.name).into_owned();
        self.in_title = name == "title";
        // Browsers end the head where the body begins, whether it is closed or not.
        if name == "body" {
            self.skipped = None;
        }
        if self.skipped.is_some() {
            return;
        }
        if SKIPPED.contains(&name.as_str()) && !tag.self_closing {
            self.skipped = Some(name);
            return;
        }
        match name.as_str() {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let level = usize::from(name.as_bytes()[1] - b'0');
                self.words.push_str(&format!("\n\n{} ", "#".repeat(level)));
            }
            "li" => self.words.push_str("\n- "),
            "br" => self.words.push('\n'),
            "td" | "th" => self.words.push_str(" | "),
            "pre" => {
                self.pre += 1;
                self.words.push_str("\n\n```\n");
            }
            "code" if self.pre == 0 => self.words.push('`'),
            "img" => {
                if let Some(alt) = attribute(tag, b"alt").filter(|alt| !alt.trim().is_empty()) {
                    self.words.push_str(&format!("[picture: {}]", in_one_line(&alt)));
                }
            }
            "a" => {
                let target = attribute(tag, b"href").and_then(|href| self.address.join(href.trim()).ok());
                let outside = |url: &Url| matches!(url.scheme(), "http" | "https");
                self.link = target.filter(outside).map(|mut url| {
                    if url.path() == self.address.path() && url.host() == self.address.host() {
                        url.set_fragment(None);
                    }
                    url.to_string()
                });
                self.link =
                    self.link.take().filter(|link| *link != self.address.as_str() && link.len() <= LINK_CHARS_MAX);
                if self.link.is_some() {
                    self.words.push('[');
                }
            }
            other if BLOCKS.contains(&other) => self.words.push_str("\n\n"),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if name == "title" {
            self.in_title = false;
        }
        if let Some(skipped) = &self.skipped {
            if name == skipped {
                self.skipped = None;
            }
            return;
        }
        match name {
            "pre" if self.pre > 0 => {
                self.pre -= 1;
                self.words.push_str("\n```\n\n");
            }
            "code" if self.pre == 0 => self.words.push('`'),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.words.push_str("\n\n"),
            "a" => {
                if let Some(link) = self.link.take() {
                    self.words.push_str(&format!("]({link})"));
                }
            }
            other if BLOCKS.contains(&other) => self.words.push_str("\n\n"),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_title && self.title.is_empty() {
            self.title.push_str(text);
        }
        if self.skipped.is_some() || self.in_title {
            return;
        }
        if self.pre > 0 {
            self.words.push_str(text);
            return;
        }
        // Space is space, however much of it there is.
        if text.starts_with(char::is_whitespace) {
            self.words.push(' ');
        }
        self.words.push_str(&in_one_line(text));
        if text.ends_with(char::is_whitespace) {
            self.words.push(' ');
        }
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    tag.attributes
        .iter()
        .find(|(known, _)| known.as_slice() == name)
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// No space at the ends of lines, no more than one empty line, and code as it stands.
fn tidy(words: &str) -> String {
    let mut tidy = String::with_capacity(words.len());
    let (mut code, mut empty) = (false, true);
    for line in words.lines() {
        let fence = line.trim() == "```";
        let line = if code && !fence { line.trim_end() } else { line.trim() };
        code ^= fence;
        if line.is_empty() || line == "-" {
            if !empty {
                tidy.push('\n');
            }
            empty = true;
            continue;
        }
        tidy.push_str(line);
        tidy.push('\n');
        empty = false;
    }
    tidy.trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;

    fn words(html: &str) -> String {
        read(html, &"https://example.org/docs/a".parse().unwrap()).words
    }

    #[test]
    fn a_page_is_what_people_read_of_it() {
        let html = "<!doctype html><html><head><title>The\n page</title><style>p { color: red }</style></head><body>\
            <nav><a href='#top'>Top</a></nav><h1>Head <em>line</em></h1><p>Some   words &amp; a\n<a href='../b'>link</a>,\
            <code>x &lt; y</code>.</p><script>alert('<p>no</p>')</script><pre>fn main() {\n    x\n}</pre>\
            <ul><li>one<li>two <b>three</b></ul><table><tr><th>a<th>b</tr><tr><td>1<td>2</tr></table><img alt='A cat' src=x>\
            <a href='javascript:alert(1)'>nowhere</a></body></html>";
        let page = read(html, &"https://example.org/docs/a".parse().unwrap());
        assert_eq!(page.title, "The page");
        assert_eq!(
            page.words,
            "Top\n\n# Head line\n\nSome words & a [link](https://example.org/b),`x < y`.\n\n```\nfn main() {\n    x\n}\n```\n\n\
             - one\n- two three\n\n| a | b\n\n| 1 | 2\n\n[picture: A cat]nowhere"
        );
    }

    #[test]
    fn what_is_never_closed_hides_nothing_for_ever() {
        assert_eq!(words("<head><title>T<body>words"), "");
        assert_eq!(words("<head><body>words"), "words");
        assert_eq!(words("<p>one<p>two"), "one\n\ntwo");
        assert_eq!(words("</div></pre>text</a>"), "text");
        assert_eq!(words("<svg/>text"), "text");
    }

    #[test]
    fn a_page_that_is_nested_without_end_is_read() {
        let html = format!("{}x{}", "<div><b><a href=/y>".repeat(50_000), "</a></b></div>".repeat(50_000));
        assert!(words(&html).contains('x'));
    }
}
