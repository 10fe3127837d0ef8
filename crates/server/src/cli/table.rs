//! Rows of words under each other.

use unicode_width::UnicodeWidthStr as _;

use super::terminal::{Look, Paint};

/// The space between two columns.
const GAP: usize = 2;

/// A cell: its look and its text.
pub(super) type Cell = (Look, String);

/// Lays rows out in columns as wide as their widest cell. The last column is not padded; one without any text takes no room.
pub(super) fn columns<const N: usize>(paint: Paint, rows: &[[Cell; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, (_, text)) in widths.iter_mut().zip(row) {
            *width = text.width().max(*width);
        }
    }
    rows.iter().map(|row| lay_out(paint, row, &widths)).collect()
}

fn lay_out<const N: usize>(paint: Paint, row: &[Cell; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    let mut owed = 0;
    for ((look, text), width) in row.iter().zip(widths) {
        if !text.is_empty() {
            line.push_str(&" ".repeat(owed));
            owed = 0;
            line.push_str(&paint.paint(*look, text));
        }
        if *width > 0 {
            owed += width + GAP - text.width();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_end_without_spaces() {
        let cell = |text: &str| (Look::Plain, text.to_owned());
        let rows = [
            [cell("a"), cell("日本"), cell("x")],
            [cell("long"), cell(""), cell("y")],
            [cell("b"), cell("c"), cell("")],
        ];
        assert_eq!(columns(Paint::NONE, &rows), ["a     日本  x", "long        y", "b     c"]);
    }
}
