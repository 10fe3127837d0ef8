//! One thing a line, with a word in front of it: for pipes, logs and terminals that cannot move their cursor.

use std::io::{self, Write as _};

use hangar_client::Update;
use hangar_protocol::Event;

use super::{
    Timeline,
    story::{Line, Mark, Story},
};
use crate::cli::{
    ended::Failure,
    terminal::{Look, Paint},
};

/// The width of the word in front, with the space behind it.
const LABEL_WIDTH: usize = 9;

pub(super) struct Plain {
    story: Story,
    paint: Paint,
}

impl Plain {
    pub(super) fn new(story: Story, paint: Paint) -> Self {
        Self { story, paint }
    }

    fn dress(&self, line: &Line) -> String {
        dress(line, self.paint)
    }
}

impl Story {
    /// What there is to tell of an event, without colours: what a pipe is given.
    pub(crate) fn words(&mut self, event: &Event) -> Option<String> {
        Some(dress(&self.tell(event)?, Paint::NONE))
    }
}

fn dress(line: &Line, paint: Paint) -> String {
    let (look, label) = label(&line.mark);
    let aside = if line.aside.is_empty() { String::new() } else { format!(" ({})", line.aside) };
    // The word in front has said it already: `done     in 12.4 s`.
    let text = match line.mark {
        Mark::Done | Mark::Stopped => line.text.strip_prefix(&format!("{label} ")).unwrap_or(&line.text),
        _ => &line.text,
    };
    let label = format!("{label:<width$}", width = LABEL_WIDTH - 1);
    let text = text.replace('\n', &format!("\n{}", " ".repeat(LABEL_WIDTH)));
    format!("{} {text}{}", paint.paint(look, &label), paint.paint(Look::Faint, &aside))
}

impl Timeline for Plain {
    fn show(&mut self, update: &Update) -> Result<(), Failure> {
        match update {
            Update::Event(event) => {
                if let Some(line) = self.story.tell(event) {
                    let mut out = io::stdout().lock();
                    writeln!(out, "{}", self.dress(&line))?;
                    out.flush()?;
                }
            }
            Update::Interrupted { cause, .. } => {
                self.remark(Look::Notice, &format!("The connection is gone ({cause}); trying again."))
            }
            Update::Resumed => self.remark(Look::Faint, "The connection is there again; nothing is missing."),
            Update::CaughtUp { .. }
            | Update::Text { .. }
            | Update::TextReset { .. }
            | Update::ToolOutput { .. }
            | Update::Presence { .. }
            | Update::Typing { .. } => {}
        }
        Ok(())
    }

    fn remark(&mut self, look: Look, text: &str) {
        // Lost when nobody can see it.
        let _ = writeln!(io::stderr().lock(), "{}", self.paint.paint(look, text));
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

fn label(mark: &Mark) -> (Look, String) {
    let (look, word) = match mark {
        Mark::Person(login) => return (Look::Strong, login.clone()),
        Mark::Session => (Look::Strong, "session"),
        Mark::Agent => (Look::Strong, "agent"),
        Mark::ToolOk => (Look::Good, "ok"),
        Mark::ToolError => (Look::Bad, "error"),
        Mark::ToolCut => (Look::Notice, "cut"),
        Mark::Todo => (Look::Faint, "to-do"),
        Mark::Question => (Look::Notice, "asks"),
        Mark::Files => (Look::Place, "files"),
        Mark::Pushed => (Look::Place, "pushed"),
        Mark::PullRequest => (Look::Place, "pr"),
        Mark::Note => (Look::Faint, "note"),
        Mark::Warning => (Look::Notice, "warning"),
        Mark::Done => (Look::Good, "done"),
        Mark::Stopped => (Look::Notice, "stopped"),
        Mark::Failed => (Look::Bad, "failed"),
    };
    (look, word.to_owned())
}
