//! Just enough Markdown for a terminal: headings, code, strong words. The text itself stays as it was written.

use crate::cli::terminal::{Look, Paint};

/// Dresses text line by line; remembers whether a code block is open.
#[derive(Debug)]
pub(super) struct Markdown {
    paint: Paint,
    in_code: bool,
}

impl Markdown {
    pub(super) fn new(paint: Paint) -> Self {
        Self { paint, in_code: false }
    }

    /// A new text begins.
    pub(super) fn begin(&mut self) {
        self.in_code = false;
    }

    /// Dresses a whole line.
    pub(super) fn line(&mut self, line: &str) -> String {
        let fence = line.trim_start().starts_with("```");
        let dressed = self.growing(line);
        if fence {
            self.in_code = !self.in_code;
        }
        dressed
    }

    /// Dresses a line that is still growing.
    pub(super) fn growing(&self, line: &str) -> String {
        let start = line.trim_start();
        if start.starts_with("```") {
            return self.paint.paint(Look::Faint, line);
        }
        if self.in_code {
            return self.paint.paint(Look::Place, line);
        }
        if start.starts_with('#') && start.trim_start_matches('#').starts_with(' ') {
            return self.paint.paint(Look::Strong, line);
        }
        self.spans(line)
    }

    /// `code` and **strong** words within a line. An opening mark without a closing one is plain text.
    fn spans(&self, line: &str) -> String {
        let mut dressed = String::new();
        let mut rest = line;
        while let Some(start) = rest.find(['`', '*']) {
            let (mark, look) = if rest[start..].starts_with("**") { ("**", Look::Strong) } else { ("`", Look::Place) };
            let inner = rest[start..].strip_prefix(mark).and_then(|inner| inner.split_once(mark));
            match inner.filter(|(words, _)| !words.is_empty() && words.trim() == *words) {
                Some((words, after)) => {
                    dressed.push_str(&rest[..start]);
                    dressed.push_str(&self.paint.paint(look, words));
                    rest = after;
                }
                None => {
                    dressed.push_str(&rest[..=start]);
                    rest = &rest[start + 1..];
                }
            }
        }
        dressed.push_str(rest);
        dressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_looks_and_loose_marks_stay() {
        let markdown = Markdown::new(Paint::NONE);
        let check = |line: &str, expected: &str| assert_eq!(markdown.growing(line), expected);
        check("run `cargo test` **now**", "run cargo test now");
        check("2 * 3 ** 4 and ` a loose one", "2 * 3 ** 4 and ` a loose one");
        check("**not closed `code`", "**not closed code");
        check("* item with `a` and `b`", "* item with a and b");
    }
}
