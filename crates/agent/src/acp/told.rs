//! What a program is told: about its surroundings, what was said before, and that it goes on after an interruption.

use hangar_protocol::{event::HarnessMemory, limits::clip_bytes};

use super::TOLD_BYTES_MAX;
use crate::{
    Conversation,
    conversation::{Before, Facts},
};

/// How a turn begins for its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Its prompt was given to nobody yet.
    Fresh,
    /// A program worked on it before, and was interrupted.
    Again,
}

/// The first words of a turn to its program.
pub(super) fn first_words(
    conversation: &Conversation,
    facts: &Facts,
    memory: HarnessMemory,
    beginning: Beginning,
) -> String {
    let said = conversation.said_to_turn(0).collect::<Vec<_>>().join("\n\n");
    let mut words = match memory {
        HarnessMemory::New | HarnessMemory::Told => surroundings(facts),
        HarnessMemory::Loaded => String::new(),
    };
    if memory == HarnessMemory::Told {
        let before = match beginning {
            Beginning::Fresh => Before::Turn,
            Beginning::Again => Before::Now,
        };
        words.push_str(&told_before(&conversation.transcript(before)));
    }
    if beginning == Beginning::Again {
        words.push_str(
            "[hangar: you were interrupted while you worked on what follows. Look what is done already, then go on.]\n\n",
        );
    }
    words + &said
}

/// What a program cannot see in its sandbox.
fn surroundings(Facts { repo, branch, base_branch, .. }: &Facts) -> String {
    format!(
        "[hangar: you work in a sandbox of your own, in a clone of {repo} at /workspace, on the branch {branch}, which began at {base_branch}. \
         Commit with plain git: author and committer are set. `git push` reaches that branch alone. People open the pull request.]\n\n"
    )
}

fn told_before(transcript: &str) -> String {
    let over = transcript.len().saturating_sub(TOLD_BYTES_MAX);
    let end = &transcript[clip_bytes(transcript, over).len()..];
    let cut = if over == 0 { "" } else { "[…]\n" };
    format!(
        "[hangar: this was said and done before in this session:]\n\n{cut}{end}[hangar: end of what was before.]\n\n"
    )
}

/// What a program is told that ended its turn because a call was refused.
pub(super) fn refused_words(refusals: &[String]) -> String {
    format!(
        "[hangar: a call of yours was refused, and not made: {}]\n\nGo on without it, or say why you cannot.",
        refusals.join(" · ")
    )
}
