//! Hunks, put into a text: the place is found by the lines that stand there, not by numbers.

use super::parse::{Hunk, Line};

/// How much of a place that was not found is quoted.
const QUOTED_LINES_MAX: usize = 6;

/// The text with every hunk put in, in the order of the text.
pub(super) fn apply(text: &str, hunks: &[Hunk<'_>]) -> Result<String, String> {
    // Models write "\n" whatever the file's line ends are.
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let bare: Vec<&str> = lines.iter().map(|line| line.trim_end_matches(['\n', '\r'])).collect();
    let mut changed = String::with_capacity(text.len());
    let mut next = 0;
    for (number, hunk) in (1..).zip(hunks) {
        let place = find(&bare, next, hunk).map_err(|why| format!("hunk {number} does not fit: {why}"))?;
        lines[next..place].iter().for_each(|line| changed.push_str(line));
        next = place;
        for line in &hunk.lines {
            match line {
                // The file's own line stays, whatever white space the hunk has.
                Line::Stays(_) if next < lines.len() => {
                    changed.push_str(lines[next]);
                    next += 1;
                }
                Line::Stays(_) => {}
                Line::Goes(_) => next += 1,
                Line::Comes(new) => {
                    if !changed.is_empty() && !changed.ends_with('\n') {
                        changed.push_str(line_end);
                    }
                    changed.push_str(new);
                    changed.push_str(line_end);
                }
            }
        }
    }
    lines[next.min(lines.len())..].iter().for_each(|line| changed.push_str(line));
    Ok(changed)
}

/// The line at which a hunk begins, at or after `from`.
fn find(lines: &[&str], from: usize, hunk: &Hunk<'_>) -> Result<usize, String> {
    let mut from = from;
    for head in &hunk.heads {
        let begins = || Some(from + lines.get(from..)?.iter().position(|line| line.trim_start().starts_with(head))?);
        let place = position(lines, from, &[*head]).or_else(begins);
        from = place.ok_or_else(|| format!("no line {head:?} stands there."))? + 1;
    }
    let mut old: Vec<&str> = hunk
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Stays(text) | Line::Goes(text) => Some(*text),
            Line::Comes(_) => None,
        })
        .collect();
    if old.is_empty() {
        // Lines that only come stand below their head, or else at the end.
        return Ok(if hunk.heads.is_empty() { lines.len() } else { from });
    }
    if hunk.at_end
        && let Some(place) = lines.len().checked_sub(old.len()).filter(|place| *place >= from)
        && position(lines, place, &old) == Some(place)
    {
        return Ok(place);
    }
    if let Some(place) = position(lines, from, &old) {
        return Ok(place);
    }
    // Empty last lines are mostly the end of the patch's own text.
    while old.len() > 1 && old.pop_if(|line| line.is_empty()).is_some() {
        if let Some(place) = position(lines, from, &old).filter(|place| place + old.len() == lines.len()) {
            return Ok(place);
        }
    }
    let quoted: Vec<&str> = old.iter().copied().take(QUOTED_LINES_MAX).collect();
    Err(format!("these lines do not stand there in this order (read the file again):\n{}", quoted.join("\n")))
}

/// Where these lines stand: exactly, else but for white space at their ends, else but for all white space around them.
fn position(lines: &[&str], from: usize, wanted: &[&str]) -> Option<usize> {
    let same: [fn(&str, &str) -> bool; 3] = [
        |one, other| one == other,
        |one, other| one.trim_end() == other.trim_end(),
        |one, other| one.trim() == other.trim(),
    ];
    let rest = lines.get(from..)?;
    same.iter().find_map(|same| {
        let fits = |window: &[&str]| window.iter().zip(wanted).all(|(one, other)| same(one, other));
        rest.windows(wanted.len()).position(fits).map(|place| from + place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::apply_patch::parse::{Change, Patch};

    fn patched(text: &str, hunks: &str) -> Result<String, String> {
        let patch = format!("*** Begin Patch\n*** Update File: f\n{hunks}\n*** End Patch");
        let patch = Patch::parse(&patch).unwrap();
        let [Change::Update { hunks, .. }] = patch.changes.as_slice() else { panic!("{patch:?}") };
        apply(text, hunks)
    }

    #[test]
    fn hunks_are_put_where_their_lines_stand() {
        let check =
            |text: &str, hunks: &str, expect: &str| assert_eq!(patched(text, hunks).unwrap(), expect, "{hunks}");
        check("a\nb\nc\n", "@@\n a\n-b\n+B\n+B2\n c", "a\nB\nB2\nc\n");
        check("a\nb\n", "-b", "a\n");
        check("x\nfn f() {\nx\n}\n", "@@ fn f() {\n-x\n+y", "x\nfn f() {\ny\n}\n");
        check("m1\nf\n1\nm2\nf\n1\n", "@@ m2\n@@ f\n-1\n+2", "m1\nf\n1\nm2\nf\n2\n");
        // In order: the second finds its line after the first.
        check("a\nx\na\n", "@@\n-a\n+1\n@@\n-a\n+2", "1\nx\n2\n");
        check("a\nb\na\n", "@@\n-a\n+z\n*** End of File", "a\nb\nz\n");
        check("fn f() {\n}\n", "@@ fn f() {\n+    one();", "fn f() {\n    one();\n}\n");
        check("a\n", "+b", "a\nb\n");
        check("", "+b", "b\n");
        // White space: lines that stay are the file's own, lines that come get its line ends.
        check("  a \n\tb\n", "@@\n a\n-b\n+c", "  a \nc\n");
        check("a\r\nb\r\n", "@@\n a\n-b\n+c", "a\r\nc\r\n");
        check("a\nb", "@@\n a\n b\n+c", "a\nb\nc\n");
        check("a\nb\n", "@@\n a\n-b\n+c\n\n", "a\nc\n");
    }

    #[test]
    fn a_hunk_that_does_not_fit_is_quoted() {
        let why = patched("a\nb\n", "@@\n a\n-b\n+c\n@@\n-a\n+d").unwrap_err();
        assert_eq!(why, "hunk 2 does not fit: these lines do not stand there in this order (read the file again):\na");
        assert!(patched("a\n", "@@ fn g()\n-a\n+b").unwrap_err().contains("no line \"fn g()\""));
    }
}
