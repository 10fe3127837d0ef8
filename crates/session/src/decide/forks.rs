//! The rules for going back, for forks, and for attempts side by side.

use std::collections::BTreeSet;

use hangar_protocol::{
    Cause, ChildFiles, EventBody, Person, PromptId, Refusal, RefusalCode, SessionId, SessionRole, SessionState, TurnId,
    UserId,
    api::Rewind,
    event::{FileChange, ForkPurpose},
    limits,
    state::ForkState,
};

use super::{
    Decision, Effect, Past,
    who_may::{check_kept, check_role},
};

/// Takes a session back, and says what its files and to-dos were then.
pub(super) fn rewind(state: &SessionState, by: Person, wish: Rewind, past: Past) -> Result<Decision, Refusal> {
    check_rewind(state, &by.user, &wish)?;
    if is_repeated(state, &wish)? {
        return Ok(Decision::default());
    }
    let Rewind { to_turn, request_id } = wish;
    let mut events = vec![(Cause::User { user: by.user }, EventBody::Rewound { to_turn, request_id })];
    let files: Vec<FileChange> = past.files.into_iter().map(|(path, kind)| FileChange { path, kind }).collect();
    for files in files.chunks(limits::EVENT_FILES_MAX) {
        events.push((Cause::System, EventBody::FilesChanged { files: files.to_vec(), more: 0 }));
    }
    if !past.todos.is_empty() {
        events.push((Cause::System, EventBody::TodoChanged { items: past.todos }));
    }
    Ok(Decision { events, effects: vec![Effect::TakeBackFiles], ..Decision::default() })
}

/// Whether the wish was carried out before.
fn is_repeated(state: &SessionState, wish: &Rewind) -> Result<bool, Refusal> {
    match &state.rewound {
        Some(last) if last.request_id == wish.request_id && last.to_turn == wish.to_turn => Ok(true),
        Some(last) if last.request_id == wish.request_id => Err(Refusal::new(
            RefusalCode::Conflict,
            format!("The request id {} was used to go back to turn {}.", last.request_id, last.to_turn),
            "Send the new wish with a new request id.",
        )),
        Some(_) | None => Ok(false),
    }
}

/// Refuses to go back where that cannot be done, or is not this person's to do.
///
/// # Errors
/// The refusal. A wish that was carried out already is none.
pub fn check_rewind(state: &SessionState, by: &UserId, wish: &Rewind) -> Result<(), Refusal> {
    check_role(state, by, SessionRole::Prompter)?;
    check_kept(state)?;
    if is_repeated(state, wish)? {
        return Ok(());
    }
    check_rests(state)?;
    check_turn(state, wish.to_turn)?;
    let undone = state.turns.iter().filter(|turn| turn.id > wish.to_turn && !turn.undone);
    let undone: BTreeSet<PromptId> = undone.map(|turn| turn.prompt).collect();
    let of_others = state.prompts.iter().find(|prompt| undone.contains(&prompt.id) && prompt.author != *by);
    match of_others {
        Some(prompt) if state.role_of(by) != Some(SessionRole::Owner) => Err(Refusal::new(
            RefusalCode::Forbidden,
            format!("That would undo what {} asked for.", prompt.author),
            "An owner of the session can go back, or whoever wrote all prompts since. A fork is everybody's to make.",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a fork that cannot be made. `None`: everything up to now.
///
/// # Errors
/// The refusal.
pub fn check_fork(state: &SessionState, at_turn: Option<TurnId>, forks: usize) -> Result<(), Refusal> {
    check_kept(state)?;
    match at_turn {
        Some(turn) => check_turn(state, turn)?,
        None => check_rests(state)?,
    }
    if state.forks.len() + forks > limits::FORKS_MAX {
        return Err(Refusal::new(
            RefusalCode::TooMany,
            format!("A session can be forked {} times; this one was {} times.", limits::FORKS_MAX, state.forks.len()),
            "Fork one of its forks.",
        ));
    }
    Ok(())
}

fn check_rests(state: &SessionState) -> Result<(), Refusal> {
    let Some(turn) = state.open_turn() else { return Ok(()) };
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("Turn {} is still running.", turn.id),
        "Wait for it, or stop it first. An earlier turn can be forked at any time.",
    ))
}

/// The turn must have ended, count, and have its files kept.
fn check_turn(state: &SessionState, wanted: TurnId) -> Result<(), Refusal> {
    let conflict = |words: String, hint: String| Err(Refusal::new(RefusalCode::Conflict, words, hint));
    let Some(turn) = state.turns.iter().find(|turn| turn.id == wanted) else {
        return match wanted.0 {
            0 if is_copy(state) => conflict(
                "Before its first turn this session had the files of the one that began it.".to_owned(),
                format!("There are: {}.", listed(state)),
            ),
            0 => Ok(()),
            _ => Err(Refusal::new(
                RefusalCode::NotFound,
                format!("This session has no turn {wanted}."),
                format!("There are: {}.", listed(state)),
            )),
        };
    };
    if turn.undone {
        let words = format!("Turn {wanted} was undone when the session was taken back.");
        return conflict(words, format!("There are: {}.", listed(state)));
    }
    if turn.outcome.is_none() {
        return conflict(format!("Turn {wanted} is still running."), "Wait for it, or stop it first.".to_owned());
    }
    if state.snapshots.iter().all(|snapshot| snapshot.turn != Some(wanted)) {
        let words =
            format!("The files were not kept after turn {wanted}: its sandbox had ended, or the server was killed.");
        return conflict(words, format!("Their files were kept: {}.", listed(state)));
    }
    Ok(())
}

/// Whether it began on another session's files.
fn is_copy(state: &SessionState) -> bool {
    state.parent.as_ref().is_some_and(|parent| parent.files == ChildFiles::Workspace)
}

/// The turns to which there is a way back.
fn listed(state: &SessionState) -> String {
    let kept: BTreeSet<TurnId> = state.snapshots.iter().filter_map(|snapshot| snapshot.turn).collect();
    let turns = kept.iter().map(|turn| format!("turn {turn}"));
    let first = (!is_copy(state)).then(|| "0 (before the first turn)".to_owned());
    first.into_iter().chain(turns).collect::<Vec<_>>().join(", ")
}

/// Notes which attempt goes on.
pub(super) fn keep_attempt(state: &SessionState, by: Person, session: &SessionId) -> Result<Decision, Refusal> {
    let known = state.forks.iter().find(|known| known.session == *session);
    let Some((round, fork)) = known.and_then(|known| Some((round_of(known)?, known))) else {
        return Err(Refusal::new(
            RefusalCode::NotFound,
            format!("Session {session} is no attempt of this one."),
            "`hangar attempts` lists them.",
        ));
    };
    if fork.kept {
        return Ok(Decision::default());
    }
    if let Some(other) = state.forks.iter().find(|other| other.kept && round_of(other) == Some(round)) {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("Attempt {} was chosen already.", other.session),
            "Go on in the attempt that you prefer: each is a session of its own.",
        ));
    }
    let kept = EventBody::AttemptKept { session: session.clone(), round };
    Ok(Decision { events: vec![(Cause::User { user: by.user }, kept)], ..Decision::default() })
}

/// In which round of attempts a fork is one.
pub(crate) fn round_of(fork: &ForkState) -> Option<u32> {
    match fork.purpose {
        ForkPurpose::Attempt { round } => Some(round),
        ForkPurpose::Fork => None,
    }
}
