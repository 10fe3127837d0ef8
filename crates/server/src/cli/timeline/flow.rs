//! Streamed text as lines that fit the terminal.
//!
//! Text comes in pieces of any size. What has become a whole line is given away for good; the line that is still growing
//! stays here and is shown anew with every piece.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

#[derive(Debug, Default)]
pub(super) struct Flow {
    growing: String,
}

impl Flow {
    /// Takes a piece in and gives back the lines that are whole now, each at most `width` columns wide.
    pub(super) fn push(&mut self, text: &str, width: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, part) in text.split('\n').enumerate() {
            if index > 0 {
                lines.push(std::mem::take(&mut self.growing));
            }
            self.growing.push_str(&part.replace('\t', "    "));
            while self.growing.width() > width {
                lines.push(self.break_off(width));
            }
        }
        lines
    }

    /// The line that is still growing.
    pub(super) fn growing(&self) -> &str {
        &self.growing
    }

    /// Gives the growing line away, because nothing will be added to it.
    pub(super) fn end(&mut self) -> Option<String> {
        (!self.growing.is_empty()).then(|| std::mem::take(&mut self.growing))
    }

    /// Breaks the growing line at the last space that fits, or in the middle of a word that is longer than a line.
    fn break_off(&mut self, width: usize) -> String {
        let mut columns = 0;
        let mut end = 0;
        let mut space = None;
        for (index, c) in self.growing.char_indices() {
            columns += c.width().unwrap_or(0);
            if columns > width && index > 0 {
                // A space that is one too many is the place to break, too.
                if c == ' ' {
                    space = Some(index);
                }
                break;
            }
            if c == ' ' && !self.growing[..index].trim().is_empty() {
                space = Some(index);
            }
            end = index + c.len_utf8();
        }
        let rest = match space {
            Some(space) => self.growing.split_off(space).trim_start().to_owned(),
            None => self.growing.split_off(end),
        };
        std::mem::replace(&mut self.growing, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_depend_on_how_the_text_was_cut() {
        let text = "A first line that is a little too long.\n\n- an item\nAveryveryverylongword日本語日本語 end\n";
        let whole = Flow::default().push(text, 16);
        assert_eq!(
            whole,
            [
                "A first line",
                "that is a little",
                "too long.",
                "",
                "- an item",
                "Averyveryverylon",
                "gword日本語日本",
                "語 end"
            ]
        );
        for size in 1..text.chars().count() {
            let mut flow = Flow::default();
            let mut lines = Vec::new();
            for piece in text.chars().collect::<Vec<_>>().chunks(size) {
                lines.extend(flow.push(&piece.iter().collect::<String>(), 16));
                assert!(flow.growing().width() <= 16);
            }
            assert_eq!(lines, whole, "pieces of {size}");
            assert_eq!(flow.end(), None);
        }
    }
}
