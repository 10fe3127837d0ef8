//! How a session is shown while it is followed: on a terminal, in a pipe, or as JSON for a program.

mod flow;
mod json;
mod live;
mod markdown;
mod others;
mod people;
mod plain;
mod story;

use hangar_client::Update;
pub(crate) use story::Story;

use super::{
    ended::Failure,
    terminal::{Look, Terminal},
};

/// Something that shows what happens in a session.
pub(super) trait Timeline {
    /// Shows an update.
    fn show(&mut self, update: &Update) -> Result<(), Failure>;

    /// Time has passed: spinners turn.
    fn tick(&mut self) {}

    /// The line that is being typed has changed.
    fn typed(&mut self, _line: &str) {}

    /// Says something that is not part of the session.
    fn remark(&mut self, look: Look, text: &str);

    /// Takes away whatever was only there for the moment.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// The timeline that suits who reads: a person at a terminal, a pipe, a program.
pub(super) fn timeline(terminal: &Terminal, server: &str) -> Box<dyn Timeline + Send> {
    let story = story::Story::new(server);
    match (terminal.is_json(), terminal.is_watched()) {
        (true, _) => Box::new(json::Json),
        (false, true) => Box::new(live::Live::new(story, terminal.painter())),
        (false, false) => Box::new(plain::Plain::new(story, terminal.painter())),
    }
}
