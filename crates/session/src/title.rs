//! A session's title, written by its model beside the first turn. Nobody waits for it.

use std::sync::Arc;

use hangar_agent::{models::Titles, title};
use hangar_protocol::{SessionState, limits::clip};

use crate::{
    budgets::Priced,
    clock::now_ms,
    decide::Report,
    driver::Message,
    home::{Home, Inbox},
};

/// How much of the first prompt becomes the title, in characters.
const FROM_PROMPT_CHARS: usize = 80;

/// The title of a session until it gets another: the first line of its prompt with words in it, cut to a title's length. `None` where there is none.
#[must_use]
pub fn first_words(prompt: &str) -> Option<String> {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty())?;
    let plain: String = line.chars().filter(|c| !c.is_control()).collect();
    Some(clip(&plain, FROM_PROMPT_CHARS))
}

/// Asks for a title, where the session's model is one that is asked. It comes as a report; where none comes, the server's log says why.
pub(crate) fn spawn(home: &Arc<Home>, state: &SessionState, inbox: Inbox) {
    let Some(model) = home.ports.models.find(&state.model) else { return };
    let Some(prompt) = state.prompts.first().map(|prompt| prompt.text.clone()) else { return };
    match model.titles {
        Titles::Written => {}
        Titles::FirstWords => return,
    }
    let author = state.prompts.first().map_or_else(|| home.owner.clone(), |prompt| prompt.author.clone());
    // A title is worth no exception.
    if let Err(exhausted) = home.meter.admit_request(&author, Priced::of(&model.price), now_ms()) {
        tracing::info!(session = %home.id, reason = exhausted.reason, "no title is asked for");
        return;
    }
    let home = Arc::clone(home);
    tokio::spawn(async move {
        let written = tokio::select! {
            written = title::write(&model, &prompt) => written,
            () = home.over.cancelled() => return,
        };
        match written {
            Ok(title::Title { text: title, usage, cost_micro_usd }) => {
                // A session that is gone keeps the title it has.
                drop(inbox.send(Message::Report(Report::Titled { title, usage, cost_micro_usd })).await);
            }
            Err(reason) => tracing::warn!(session = %home.id, model = %model.id, %reason, "no title was written"),
        }
    });
}
