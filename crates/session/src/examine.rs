//! Looks whether a session is whole: its log, and the blobs that the log names. Changes nothing.

use std::path::Path;

use hangar_protocol::{Event, EventBody, Seq, SessionId, SessionState, event::BlobRef, limits::EVENT_PAGE_MAX};
use hangar_store::{StoreError, open_for_reading};

use crate::{
    blobs::{self, Fault},
    log::{self, LogError},
};

/// Problems of one session that are told; there may be more.
const PROBLEMS_MAX: usize = 20;

/// What a look at one session found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Examined {
    /// Which.
    pub session: SessionId,
    /// The last event that can be read, with all before it.
    pub readable: Seq,
    /// What is wrong, in words; empty where it is whole.
    pub problems: Vec<String>,
}

/// Looks at the session in the folder of sessions. Beside a running server, what is written meanwhile may be looked at or not. Blocks.
///
/// # Errors
/// When there is no such session, or its log cannot be opened for a reason that is no damage.
pub fn examine(sessions_dir: &Path, session: &SessionId) -> Result<Examined, StoreError> {
    let folder = sessions_dir.join(session.as_str());
    let path = folder.join(log::FILE);
    let mut examined = Examined { session: session.clone(), readable: Seq::START, problems: Vec::new() };
    if let Some(problem) = damaged_pages(&path)? {
        examined.note(problem);
    }
    let walked = walk(&path, &mut examined, |blob, examined| {
        if let Some(fault) = blobs::fault(&folder, blob) {
            examined.note(format!("event {}: blob {} {}", examined.readable.next(), blob.sha256, word(fault)));
        }
    });
    match walked {
        Ok(()) => {}
        Err(LogError::Store(error @ (StoreError::Damaged(_) | StoreError::Sqlite(_)))) => {
            examined.note(format!("the log cannot be read after event {}: {error}", examined.readable));
        }
        Err(LogError::Store(error)) => return Err(error),
        Err(error @ (LogError::Json(_) | LogError::Fault(_))) => {
            examined.note(format!("the log cannot be understood after event {}: {error}", examined.readable));
        }
    }
    Ok(examined)
}

/// The first thing that SQLite finds wrong with the file.
fn damaged_pages(path: &Path) -> Result<Option<String>, StoreError> {
    let told = open_for_reading(path).and_then(|connection| {
        Ok(connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))?)
    });
    match told {
        Ok(told) if told == "ok" => Ok(None),
        Ok(told) => Ok(Some(format!("log.db is damaged: {}", told.replace('\n', " ")))),
        Err(error @ StoreError::Damaged(_)) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

fn walk(path: &Path, examined: &mut Examined, mut named: impl FnMut(&BlobRef, &mut Examined)) -> Result<(), LogError> {
    let mut state: Option<SessionState> = None;
    loop {
        let (rows, _head) = log::read_page(path, examined.readable, EVENT_PAGE_MAX)?;
        if rows.is_empty() {
            return match state {
                Some(_) => Ok(()),
                None => Err(hangar_protocol::state::LogFault::NoBeginning.into()),
            };
        }
        for row in rows {
            let event: Event = serde_json::from_str(&row.json)?;
            log::fold_in(&mut state, &event)?;
            if let Some(blob) = blob_of(&event.body) {
                named(blob, examined);
            }
            examined.readable = event.seq;
        }
    }
}

/// The blob that an event names.
pub(crate) fn blob_of(body: &EventBody) -> Option<&BlobRef> {
    match body {
        EventBody::ToolFinished { blob, .. } => blob.as_ref(),
        EventBody::SessionCreated { .. }
        | EventBody::ParticipantJoined { .. }
        | EventBody::TitleChanged { .. }
        | EventBody::PromptAdded { .. }
        | EventBody::PromptEdited { .. }
        | EventBody::ForkedFrom { .. }
        | EventBody::SessionForked { .. }
        | EventBody::ChildOf { .. }
        | EventBody::ChildSpawned { .. }
        | EventBody::ChildReported { .. }
        | EventBody::Rewound { .. }
        | EventBody::AttemptKept { .. }
        | EventBody::MemberAdded { .. }
        | EventBody::RoleChanged { .. }
        | EventBody::MemberRemoved { .. }
        | EventBody::OwnershipTaken { .. }
        | EventBody::VisibilityChanged { .. }
        | EventBody::InvitationMade { .. }
        | EventBody::InvitationRevoked { .. }
        | EventBody::SessionArchived
        | EventBody::SessionUnarchived
        | EventBody::SessionDeleted { .. }
        | EventBody::SessionRestored
        | EventBody::PromptMoved { .. }
        | EventBody::SteerRequested { .. }
        | EventBody::PromptSteered { .. }
        | EventBody::QueuePaused { .. }
        | EventBody::QueueResumed { .. }
        | EventBody::PromptCancelled { .. }
        | EventBody::TurnStarted { .. }
        | EventBody::TurnResumed { .. }
        | EventBody::TurnPaused { .. }
        | EventBody::TurnContinued { .. }
        | EventBody::BudgetChanged { .. }
        | EventBody::StopRequested { .. }
        | EventBody::TurnEnded { .. }
        | EventBody::SandboxChanged { .. }
        | EventBody::ModelRequested { .. }
        | EventBody::HarnessStarted { .. }
        | EventBody::GatewayRequested { .. }
        | EventBody::GatewayReplied { .. }
        | EventBody::ModelRetried { .. }
        | EventBody::ModelFellBack { .. }
        | EventBody::OutputsLeftOut { .. }
        | EventBody::ConversationSummarized { .. }
        | EventBody::ModelReplied { .. }
        | EventBody::ToolStarted { .. }
        | EventBody::TodoChanged { .. }
        | EventBody::QuestionAsked { .. }
        | EventBody::FilesChanged { .. }
        | EventBody::BranchPushed { .. }
        | EventBody::PluginDecided { .. }
        | EventBody::PushRefused { .. }
        | EventBody::PullRequestOpened { .. }
        | EventBody::PullRequestChanged { .. }
        | EventBody::ImageChosen { .. }
        | EventBody::BaseChanged { .. }
        | EventBody::SnapshotTaken { .. }
        | EventBody::NetworkDenied { .. }
        | EventBody::NetworkAllowed { .. }
        | EventBody::Warning { .. } => None,
    }
}

fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::Missing => "is missing",
        Fault::Changed => "is not what was written",
        Fault::Unreadable => "cannot be read",
    }
}

impl Examined {
    fn note(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}
