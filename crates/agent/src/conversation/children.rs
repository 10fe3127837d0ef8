//! What a model is told about sessions that it began: what came of them while no turn ran stands before the next prompt.

use std::collections::BTreeMap;

use hangar_protocol::{ChildPhase, SessionId, limits::clip};

/// How much of a child's last words stands before the next prompt. All of them come with `session_status`.
const WORDS_CHARS_MAX: usize = 1_000;

/// What the agent of a session is told that another one began.
pub(super) fn begun_by(parent: &SessionId) -> String {
    format!(
        "The agent of session {parent} began this session and gave it what follows; the person named is the one it works for. Nobody answers questions. Your \
         last words are all that it reads of you: say what you found or did, with files and lines, what you could not verify, and the pull request if \
         you opened one."
    )
}

/// What was heard of children, and not yet told to the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Children {
    titles: BTreeMap<SessionId, String>,
    untold: BTreeMap<SessionId, (ChildPhase, String)>,
}

impl Children {
    pub(super) fn spawned(&mut self, child: &SessionId, title: &str) {
        self.titles.insert(child.clone(), title.to_owned());
    }

    pub(super) fn reported(&mut self, child: &SessionId, phase: ChildPhase, words: &str) {
        // That it works is what the model believes anyway.
        if phase == ChildPhase::Working {
            self.untold.remove(child);
        } else {
            self.untold.insert(child.clone(), (phase, words.to_owned()));
        }
    }

    /// The result of a call said it already.
    pub(super) fn told_in(&mut self, output: &str) {
        self.untold.retain(|child, _| !output.contains(child.as_str()));
    }

    /// What is to be told now; after this nothing is.
    pub(super) fn tell(&mut self) -> String {
        let told = std::mem::take(&mut self.untold).into_iter().map(|(child, (phase, words))| {
            let title = self.titles.get(&child).map(|title| format!(" ({title})")).unwrap_or_default();
            let words = clip(words.trim(), WORDS_CHARS_MAX);
            format!(
                "[Session {child}{title}, which you began, is {} since you last heard of it. {words}]\n\n",
                phase.word()
            )
        });
        told.collect()
    }
}
