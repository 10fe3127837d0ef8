//! A patch as text, read.

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File: ";
const DELETE: &str = "*** Delete File: ";
const UPDATE: &str = "*** Update File: ";
const MOVE: &str = "*** Move to: ";
const END_OF_FILE: &str = "*** End of File";

/// A whole patch.
#[derive(Debug, PartialEq)]
pub(super) struct Patch<'a> {
    pub(super) changes: Vec<Change<'a>>,
}

/// What is done to one file.
#[derive(Debug, PartialEq)]
pub(super) enum Change<'a> {
    Add { path: &'a str, content: String },
    Delete { path: &'a str },
    Update { path: &'a str, moved_to: Option<&'a str>, hunks: Vec<Hunk<'a>> },
}

/// One place of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Hunk<'a> {
    /// Lines that stand above the place, the outermost first.
    pub(super) heads: Vec<&'a str>,
    /// Lines as they are, and as they will be.
    pub(super) lines: Vec<Line<'a>>,
    /// The last line of the hunk is the last of the file.
    pub(super) at_end: bool,
}

/// A line of a hunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Line<'a> {
    Stays(&'a str),
    Goes(&'a str),
    Comes(&'a str),
}

/// The paths that a text would change if it were a patch.
pub(super) fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| [ADD, DELETE, UPDATE, MOVE].into_iter().find_map(|head| after(line, head)))
}

/// What stands behind the head of a line.
fn after<'a>(line: &'a str, head: &str) -> Option<&'a str> {
    line.trim_end().strip_prefix(head).map(str::trim).filter(|path| !path.is_empty())
}

impl<'a> Patch<'a> {
    /// Reads a patch. What is wrong is said for the model.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let lines: Vec<&str> = text.trim().lines().collect();
        let [first, body @ .., last] = lines.as_slice() else { return Err(format!("it begins with {BEGIN}.")) };
        if first.trim() != BEGIN || last.trim() != END {
            return Err(format!("its first line is {BEGIN}, its last {END}."));
        }
        let mut changes: Vec<Change<'a>> = Vec::new();
        for line in body {
            if let Some(path) = after(line, ADD) {
                changes.push(Change::Add { path, content: String::new() });
            } else if let Some(path) = after(line, DELETE) {
                changes.push(Change::Delete { path });
            } else if let Some(path) = after(line, UPDATE) {
                changes.push(Change::Update { path, moved_to: None, hunks: Vec::new() });
            } else {
                let change =
                    changes.last_mut().ok_or_else(|| format!("{line:?} stands before any *** … File: PATH."))?;
                change.take(line)?;
            }
        }
        if changes.is_empty() {
            return Err("it changes nothing.".to_owned());
        }
        changes.iter().try_for_each(Change::check)?;
        Ok(Self { changes })
    }
}

impl<'a> Change<'a> {
    fn take(&mut self, line: &'a str) -> Result<(), String> {
        match self {
            Self::Add { content, path } => {
                let line = line
                    .strip_prefix('+')
                    .ok_or_else(|| format!("{path} is added, so {line:?} needs a + before it."))?;
                content.push_str(line);
                content.push('\n');
                Ok(())
            }
            Self::Delete { .. } if line.trim().is_empty() => Ok(()),
            Self::Delete { path } => {
                Err(format!("{path} is deleted, and nothing can follow but another file: {line:?}."))
            }
            Self::Update { moved_to, hunks, .. } => match after(line, MOVE) {
                Some(to) if hunks.is_empty() => {
                    *moved_to = Some(to);
                    Ok(())
                }
                Some(_) => Err(format!("{MOVE}stands before the hunks.")),
                None => take_hunk_line(hunks, line),
            },
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Add { .. } | Self::Delete { .. } => Ok(()),
            Self::Update { path, moved_to, hunks } => {
                let empty = hunks.iter().any(|hunk| hunk.lines.is_empty());
                if empty || (hunks.is_empty() && moved_to.is_none()) {
                    return Err(format!("a hunk of {path} has no lines."));
                }
                Ok(())
            }
        }
    }
}

fn take_hunk_line<'a>(hunks: &mut Vec<Hunk<'a>>, line: &'a str) -> Result<(), String> {
    if let Some(head) = line.strip_prefix("@@") {
        // Several heads before one place lead to it from outside in.
        if hunks.last().is_none_or(|hunk| !hunk.lines.is_empty()) {
            hunks.push(Hunk::default());
        }
        let head = head.trim();
        // Line numbers of a unified diff say nothing here.
        let numbers = head.starts_with('-') && head.contains('+');
        if let Some(hunk) = hunks.last_mut().filter(|_| !head.is_empty() && !numbers) {
            hunk.heads.push(head);
        }
        return Ok(());
    }
    if hunks.is_empty() {
        hunks.push(Hunk::default());
    }
    let Some(hunk) = hunks.last_mut() else { return Ok(()) };
    if line.trim_end() == END_OF_FILE {
        hunk.at_end = true;
        return Ok(());
    }
    hunk.lines.push(match line.split_at_checked(1) {
        None => Line::Stays(""),
        Some((" ", rest)) => Line::Stays(rest),
        Some(("-", rest)) => Line::Goes(rest),
        Some(("+", rest)) => Line::Comes(rest),
        Some(_) => return Err(format!("a line of a hunk begins with a space, - or +, and this does not: {line:?}.")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_format_is_read() {
        let text = "*** Begin Patch\n*** Add File: a.txt\n+one\n+\n*** Delete File: b.txt\n*** Update File: c.rs\n*** Move to: d.rs\n@@ mod m\n@@ fn f()\n x\n-y\n+z\n\n@@\n-last\n*** End of File\n*** End Patch\n";
        let hunks = vec![
            Hunk {
                heads: vec!["mod m", "fn f()"],
                lines: vec![Line::Stays("x"), Line::Goes("y"), Line::Comes("z"), Line::Stays("")],
                at_end: false,
            },
            Hunk { heads: vec![], lines: vec![Line::Goes("last")], at_end: true },
        ];
        let changes = vec![
            Change::Add { path: "a.txt", content: "one\n\n".into() },
            Change::Delete { path: "b.txt" },
            Change::Update { path: "c.rs", moved_to: Some("d.rs"), hunks },
        ];
        assert_eq!(Patch::parse(text), Ok(Patch { changes }));
        assert_eq!(named_paths(text).collect::<Vec<_>>(), ["a.txt", "b.txt", "c.rs", "d.rs"]);
    }

    #[test]
    fn what_is_no_patch_is_refused_in_words() {
        let check = |body: &str, expect: &str| {
            let why = Patch::parse(body).unwrap_err();
            assert!(why.contains(expect), "{why}");
        };
        let patch = |body: &str| format!("*** Begin Patch\n{body}\n*** End Patch");
        check("--- a\n+++ b", "its first line is *** Begin Patch");
        check("x", "it begins with");
        check(&patch("+x"), "before any");
        check(&patch("*** Add File: a\nx"), "needs a + before it");
        check(&patch("*** Update File: a\n@@\nx"), "begins with a space, - or +");
        check(&patch("*** Update File: a"), "has no lines");
        check(&patch("*** Delete File: a\n+x"), "nothing can follow");
    }
}
