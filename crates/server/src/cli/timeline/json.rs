//! One event a line, as the API gives it. Hints are left out: events say everything.

use std::io::{self, Write as _};

use hangar_client::Update;

use super::Timeline;
use crate::cli::{ended::Failure, terminal::Look};

pub(super) struct Json;

impl Timeline for Json {
    fn show(&mut self, update: &Update) -> Result<(), Failure> {
        let Update::Event(event) = update else { return Ok(()) };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
        // A program that reads line by line must not wait for a buffer to fill.
        Ok(out.flush()?)
    }

    fn remark(&mut self, _look: Look, _text: &str) {}

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
