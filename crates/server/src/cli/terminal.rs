//! Where a command prints: standard output for what was asked for, standard error for what goes with it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use hangar_protocol::api::ErrorBody;
use serde::Serialize;

use super::ended::Failure;

/// The looks a piece of text can have. Few, so that the same means the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Names, headings.
    Strong,
    /// What matters less.
    Faint,
    /// It went well; an added line.
    Good,
    /// It went wrong; a removed line.
    Bad,
    /// Look here.
    Notice,
    /// Addresses, places, code.
    Place,
    /// As it is.
    Plain,
}

impl Look {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => colour(AnsiColor::Green),
            Self::Bad => colour(AnsiColor::Red),
            Self::Notice => colour(AnsiColor::Yellow),
            Self::Place => colour(AnsiColor::Cyan),
            Self::Plain => Style::new(),
        }
    }
}

/// Puts looks on text, or not: `NO_COLOR`, `CLICOLOR_FORCE` and a pipe are honoured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    coloured: bool,
}

impl Paint {
    /// Text that stays as it is.
    pub(super) const NONE: Paint = Paint { coloured: false };

    pub(super) fn paint(self, look: Look, text: &str) -> String {
        if !self.coloured || look == Look::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = look.style();
        format!("{style}{text}{style:#}")
    }
}

/// What a command prints to.
#[derive(Debug)]
pub(super) struct Terminal {
    json: bool,
    out: Paint,
    err: Paint,
}

impl Terminal {
    pub(super) fn of_process(json: bool) -> Self {
        let coloured = |choice: ColorChoice| Paint { coloured: choice != ColorChoice::Never };
        Self {
            json,
            out: coloured(AutoStream::choice(&io::stdout())),
            err: coloured(AutoStream::choice(&io::stderr())),
        }
    }

    /// Whether a program reads what is printed.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at standard output.
    pub(super) fn is_watched(&self) -> bool {
        !self.json && io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    pub(super) fn painter(&self) -> Paint {
        self.out
    }

    pub(super) fn paint(&self, look: Look, text: &str) -> String {
        self.out.paint(look, text)
    }

    /// One line of what was asked for.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    /// Text of what was asked for, with its own line ends.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// What was asked for, as one JSON object or array.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, value)?;
        writeln!(out)?;
        Ok(())
    }

    /// A remark beside it, for people alone. Lost when nobody can see it.
    pub(super) fn remark(&mut self, look: Look, text: &str) {
        if !self.json {
            let _ = writeln!(io::stderr().lock(), "{}", self.err.paint(look, text));
        }
    }

    /// Says why the command was not carried out, and gives its exit status.
    pub(super) fn tell_failure(&mut self, failure: &Failure) -> ExitCode {
        if let Some(error) = failure.refusal() {
            let mut err = io::stderr().lock();
            // Nobody can be told that telling failed.
            let _ = if self.json {
                let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
                writeln!(err, "{body}")
            } else {
                let hint = if error.hint.is_empty() { String::new() } else { format!("\n  {}", error.hint) };
                writeln!(err, "{} {}{hint}", self.err.paint(Look::Bad, "hangar:"), error.message)
            };
        }
        ExitCode::from(failure.exit_status())
    }
}

/// How many columns the terminal has; 80 where that is not known.
pub(super) fn columns() -> usize {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => 80,
    }
}
