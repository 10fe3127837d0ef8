//! `hangar diff`: what a session changed.

use std::fmt::Write as _;

use clap::Args;
use hangar_protocol::api::{FileDiff, SessionDiff};

use super::{
    connect,
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Paint, Terminal},
    which_session::which_session,
    words,
};

/// How many signs a bar of `--stat` has at most.
const BAR_SIGNS_MAX: u64 = 40;

/// Show what a session changed against the commit it began from.
///
/// The output is a patch that `git apply` takes (binary files excepted).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar diff k3x9
  hangar diff k3x9 --stat
  hangar diff k3x9 | git apply")]
pub(super) struct Diff {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: String,

    /// Only the files and how many lines each gained and lost.
    #[arg(long)]
    stat: bool,
}

impl Diff {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let session = which_session(&client, &self.session).await?;
        let diff = client.diff(&session).await?;
        if terminal.is_json() {
            terminal.json(&diff)?;
            return Ok(Ended::Well);
        }
        show(terminal, &diff, self.stat)?;
        Ok(Ended::Well)
    }
}

/// Prints a diff, or (`stat`) its figures.
fn show(terminal: &mut Terminal, diff: &SessionDiff, stat: bool) -> Result<(), super::ended::Failure> {
    if diff.files.is_empty() {
        terminal.remark(Look::Faint, "Nothing has changed.");
    }
    let text = if stat { figures(terminal.painter(), diff) } else { patch(terminal.painter(), diff) };
    terminal.text(&text)?;
    if diff.omitted > 0 {
        let omitted = words::plural(u64::from(diff.omitted), "file");
        terminal.remark(Look::Notice, &format!("{omitted} more changed; the diff is too large to show them."));
    }
    Ok(())
}

/// A line per file and a sum.
pub(super) fn figures(paint: Paint, diff: &SessionDiff) -> String {
    let most = diff.files.iter().map(|file| u64::from(file.additions) + u64::from(file.deletions)).max().unwrap_or(0);
    let rows: Vec<[Cell; 5]> = diff.files.iter().map(|file| figure(file, most)).collect();
    let mut text = String::new();
    for line in columns(paint, &rows) {
        text.push_str(&line);
        text.push('\n');
    }
    if !diff.files.is_empty() {
        let sum = |of: fn(&FileDiff) -> u32| diff.files.iter().map(|file| u64::from(of(file))).sum::<u64>();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} changed, {} added, {} removed",
            words::plural(diff.files.len() as u64, "file"),
            words::plural(sum(|file| file.additions), "line"),
            words::plural(sum(|file| file.deletions), "line"),
        );
    }
    text
}

fn figure(file: &FileDiff, most: u64) -> [Cell; 5] {
    let scaled = |lines: u32| {
        let lines = u64::from(lines);
        let signs = if most > BAR_SIGNS_MAX { (lines * BAR_SIGNS_MAX).div_ceil(most) } else { lines };
        usize::try_from(signs).unwrap_or(0)
    };
    let number = |sign: char, lines: u32| if lines == 0 { String::new() } else { format!("{sign}{lines}") };
    let path = match &file.old_path {
        Some(old) => format!("{} → {}", words::one_line(old), words::one_line(&file.path)),
        None => words::one_line(&file.path),
    };
    let bar = match file.patch {
        None => (Look::Faint, "not shown".to_owned()),
        Some(_) if file.deletions > file.additions => (Look::Bad, "▪".repeat(scaled(file.additions + file.deletions))),
        Some(_) => (Look::Good, "▪".repeat(scaled(file.additions + file.deletions))),
    };
    [
        (Look::Faint, file.status.clone()),
        (Look::Plain, path),
        (Look::Good, number('+', file.additions)),
        (Look::Bad, number('-', file.deletions)),
        bar,
    ]
}

/// The whole diff in git's form.
pub(super) fn patch(paint: Paint, diff: &SessionDiff) -> String {
    diff.files.iter().map(|file| file_patch(paint, file)).collect()
}

fn file_patch(paint: Paint, file: &FileDiff) -> String {
    let new = file.path.as_str();
    let old = file.old_path.as_deref().unwrap_or(new);
    let mut head = format!("diff --git a/{old} b/{new}\n");
    let (from, to) = match file.status.as_str() {
        "added" => ("/dev/null".to_owned(), format!("b/{new}")),
        "removed" => (format!("a/{old}"), "/dev/null".to_owned()),
        _ => (format!("a/{old}"), format!("b/{new}")),
    };
    match file.status.as_str() {
        "added" => head.push_str("new file mode 100644\n"),
        "removed" => head.push_str("deleted file mode 100644\n"),
        "renamed" => head.push_str(&format!("rename from {old}\nrename to {new}\n")),
        _ => {}
    }
    let hunks = match file.patch.as_deref() {
        None => {
            head.push_str(&format!("Binary files {from} and {to} differ\n"));
            ""
        }
        Some(hunks) if hunks.trim().is_empty() => "",
        Some(hunks) => {
            head.push_str(&format!("--- {from}\n+++ {to}\n"));
            hunks
        }
    };
    let mut text = String::new();
    for line in head.lines() {
        text.push_str(&paint.paint(Look::Strong, line));
        text.push('\n');
    }
    for line in hunks.lines() {
        text.push_str(&paint.paint(look_of(line), line));
        text.push('\n');
    }
    text
}

fn look_of(line: &str) -> Look {
    match line.as_bytes().first() {
        Some(b'+') => Look::Good,
        Some(b'-') => Look::Bad,
        Some(b'@') => Look::Place,
        Some(b'\\') => Look::Faint,
        _ => Look::Plain,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, process::Stdio};

    use super::*;

    fn file(path: &str, old_path: Option<&str>, status: &str, patch: Option<&str>) -> FileDiff {
        let count = |sign: char| patch.unwrap_or_default().lines().filter(|line| line.starts_with(sign)).count() as u32;
        FileDiff {
            path: path.to_owned(),
            old_path: old_path.map(str::to_owned),
            status: status.to_owned(),
            additions: count('+'),
            deletions: count('-'),
            patch: patch.map(str::to_owned),
        }
    }

    fn diff() -> SessionDiff {
        SessionDiff {
            files: vec![
                file("new.txt", None, "added", Some("@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file")),
                file("gone.txt", None, "removed", Some("@@ -1 +0,0 @@\n-old\n")),
                file("src/to.txt", Some("from.txt"), "renamed", Some("@@ -1,2 +1,2 @@\n a\n-b\n+B\n")),
                file("moved.txt", Some("still.txt"), "renamed", Some("")),
            ],
            omitted: 0,
        }
    }

    #[test]
    fn git_applies_what_is_printed() {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in [("gone.txt", "old\n"), ("from.txt", "a\nb\n"), ("still.txt", "x\n")] {
            fs::write(tree.path().join(path), text).unwrap();
        }
        let mut git = std::process::Command::new("git")
            .args(["apply", "-"])
            .current_dir(tree.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        git.stdin.take().unwrap().write_all(patch(Paint::NONE, &diff()).as_bytes()).unwrap();
        assert!(git.wait().unwrap().success());
        let read = |path: &str| fs::read_to_string(tree.path().join(path)).ok();
        assert_eq!(
            ["new.txt", "gone.txt", "from.txt", "src/to.txt", "still.txt", "moved.txt"].map(read),
            [Some("one\ntwo"), None, None, Some("a\nB\n"), None, Some("x\n")].map(|text| text.map(str::to_owned))
        );
    }

    #[test]
    fn figures_are_a_line_a_file_and_a_sum() {
        let mut diff = diff();
        diff.files.push(file("logo.png", None, "added", None));
        assert_eq!(
            figures(Paint::NONE, &diff),
            "added    new.txt                +2      ▪▪\n\
             removed  gone.txt                   -1  ▪\n\
             renamed  from.txt → src/to.txt  +1  -1  ▪▪\n\
             renamed  still.txt → moved.txt\n\
             added    logo.png                       not shown\n\
             5 files changed, 3 lines added, 2 lines removed\n"
        );
    }
}
