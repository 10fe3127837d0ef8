//! What may be done to the sessions of a data directory beside its server, or without one: make their list anew, and look whether all is whole.

use std::{fs::File, path::Path};

use hangar_protocol::{Refusal, RefusalCode, SessionId};
use hangar_session::{AtRest, Compared, Examined, Rebuilt};
use hangar_store::StoreError;

use crate::data_dir::{DATABASE, SESSIONS, hold_unless_in_use, not_a_data_directory};

/// Makes the list of sessions of the data directory `data` anew from their logs, beside a running server too.
///
/// # Errors
/// A refusal that names what cannot be read or written.
pub async fn rebuild(data: &Path) -> Result<Rebuilt, Refusal> {
    let held = look(data)?;
    let sessions = data.join(SESSIONS);
    match hangar_session::rebuild_index(&sessions).await {
        Err(StoreError::Damaged(why)) => {
            if held.is_none() {
                return Err(Refusal::new(
                    RefusalCode::Conflict,
                    format!("The list of sessions is damaged ({why}), and a server has it open."),
                    "Stop the server and start it again, or say `hangar rebuild` while it is stopped.",
                ));
            }
            hangar_session::put_index_aside(&sessions).map_err(|error| unusable(&sessions, &error))?;
            hangar_session::rebuild_index(&sessions).await.map_err(|error| unusable(&sessions, &error))
        }
        rebuilt => rebuilt.map_err(|error| unusable(&sessions, &error)),
    }
}

/// Compares the list of sessions with their logs. Changes nothing. Blocks.
///
/// # Errors
/// A refusal that names what cannot be read.
pub fn compare(data: &Path) -> Result<Compared, Refusal> {
    let held = look(data)?;
    let at_rest = if held.is_some() { AtRest::Yes } else { AtRest::No };
    let sessions = data.join(SESSIONS);
    hangar_session::check_index(&sessions, at_rest).map_err(|error| unusable(&sessions, &error))
}

/// Looks whether these sessions are whole: their logs, and the blobs which the logs name. All of them where none is named. Changes nothing. Blocks.
///
/// # Errors
/// A refusal that names what cannot be read or is not there.
pub fn examine(data: &Path, wanted: &[SessionId]) -> Result<Vec<Examined>, Refusal> {
    look(data)?;
    let folder = data.join(SESSIONS);
    let there = hangar_session::sessions_in(&folder).map_err(|error| unusable(&folder, &error.into()))?;
    if let Some(unknown) = wanted.iter().find(|session| !there.contains(session)) {
        return Err(Refusal::new(
            RefusalCode::NotFound,
            format!("There is no session {unknown} in {}.", data.display()),
            "`hangar sessions` lists them; write the whole id.",
        ));
    }
    let chosen = if wanted.is_empty() { there.as_slice() } else { wanted };
    let looked = chosen.iter().map(|session| hangar_session::examine(&folder, session));
    looked.collect::<Result<_, _>>().map_err(|error| unusable(&folder, &error))
}

/// Refuses what is no data directory. Gives its lock where no server has it: none starts while it is held.
fn look(data: &Path) -> Result<Option<File>, Refusal> {
    if !data.join(DATABASE).is_file() {
        return Err(not_a_data_directory(data));
    }
    hold_unless_in_use(data)
}

fn unusable(path: &Path, error: &StoreError) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("{} cannot be used: {error}.", path.display()),
        "Run it as the user that the server runs as, and look at the disk.",
    )
}
