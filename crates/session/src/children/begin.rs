//! An agent begins a session.

use std::{collections::BTreeMap, sync::Arc};

use hangar_agent::others::{SpawnWish, StartFrom};
use hangar_forge::{BranchName, ForgeError};
use hangar_protocol::{
    CallId, Cause, ChildFiles, ChildState, Event, EventBody, Parent, Person, Refusal, RefusalCode, SessionId,
    SessionRole, SessionState, TurnId, UserId,
    api::{NewPrompt, RepoTarget},
    event::FileChange,
    limits::{CHILDREN_DEPTH_MAX, EVENT_FILES_MAX, clip},
};

use super::id::child_id;
use crate::{
    BRANCH_PREFIX, Sessions,
    budgets::{Family, Member},
    decide::{Birth, begin_child, check_spawn, family_is_full, share_of},
    driver::closing,
    forge_words::forge_refusal,
    ground::Ground,
    home::Home,
    pull_request::branch_name,
    sandbox_host::ground_refusal,
    steps::SessionStep,
    title::first_words,
};

/// The call that begins a session.
pub(super) struct Spawning<'a> {
    pub(super) by: &'a Person,
    pub(super) turn: TurnId,
    pub(super) call: &'a CallId,
}

impl Sessions {
    /// Begins the session of a call, or finds the one that the call began before. When this answers, both logs say so.
    ///
    /// # Errors
    /// Words for the model; nothing is left behind.
    pub(super) async fn spawn(
        &self,
        home: &Home,
        spawning: Spawning<'_>,
        wish: SpawnWish,
    ) -> Result<ChildState, Refusal> {
        let id = child_id(&home.id, spawning.turn, spawning.call)?;
        let family = Arc::clone(home.meter.family());
        let _one_at_a_time = family.beginning.lock().await;
        if !self.folder_exists(&id).await {
            self.bear(home, &id, spawning, wish).await?;
        }
        SessionStep::ChildBegun.done();
        self.tell_parent(&id).await?;
        SessionStep::ChildTold.done();
        self.state(&home.id).await?.child(&id).cloned().ok_or_else(closing)
    }

    async fn bear(
        &self,
        home: &Home,
        id: &SessionId,
        Spawning { by, turn, call }: Spawning<'_>,
        wish: SpawnWish,
    ) -> Result<(), Refusal> {
        let parent = self.state(&home.id).await?;
        check_spawn(&parent, &by.user)?;
        // Whoever is no user of this server any more begins nothing.
        self.ports().people.forge_user(&by.user).await?;
        let (budget, spent) = home.meter.budget();
        let share = share_of(budget, spent, wish.budget_percent)?;
        let prompt = NewPrompt { request_id: None, text: wish.prompt.clone() };
        let (session, depth, call) = (home.id.clone(), parent.depth() + 1, call.clone());
        let files = match &wish.start {
            StartFrom::Branch(_) => ChildFiles::Branch,
            StartFrom::Workspace => ChildFiles::Workspace,
        };
        let target = self.child_target(&parent, id.clone(), wish).await?;
        let parent_of = Parent { session, turn, call, depth, files };
        let birth = Birth { parent: parent_of, members: members(&parent), share };
        let mut events = begin_child(target, by.clone(), birth)?;
        let ground = match files {
            ChildFiles::Branch => None,
            ChildFiles::Workspace => {
                let (ground, of_files) = self.workspace_of(home).await?;
                events.extend(of_files);
                Some(ground)
            }
        };
        let family = home.meter.family();
        if !family.admit(id, &home.id) {
            return Err(family_is_full());
        }
        self.families().join(id, family);
        let begun = self.create_from(id, events, by.clone(), prompt, ground.as_ref()).await;
        if begun.is_err() {
            family.forget(id);
        }
        begun.map(drop)
    }

    /// Looks up what the wish names: the repository, where its branch stands, the model.
    async fn child_target(
        &self,
        parent: &SessionState,
        session: SessionId,
        wish: SpawnWish,
    ) -> Result<RepoTarget, Refusal> {
        let ports = self.ports();
        let path = wish.repo.as_ref().unwrap_or(&parent.repo).to_string();
        let path = path.parse().map_err(|error| forge_refusal(&ForgeError::Name(error)))?;
        let repo = ports.forge.repo(&path).await.map_err(|error| forge_refusal(&error))?;
        let tip = async |base: BranchName| {
            let commit = ports.forge.branch_tip(&repo.path, &base).await.map_err(|error| forge_refusal(&error))?;
            Ok::<_, Refusal>((base.to_string(), commit.to_string()))
        };
        let (base_branch, base_commit) = match &wish.start {
            StartFrom::Branch(Some(branch)) => tip(branch_name(branch)?).await?,
            StartFrom::Branch(None) => tip(repo.default_branch.clone()).await?,
            StartFrom::Workspace => (parent.base_branch.clone(), parent.base_commit.clone()),
        };
        let model = match wish.model {
            Some(id) => ports.models.find(&id).map(|model| model.id.clone()).ok_or_else(|| self.no_model(&id))?,
            None => parent.model.clone(),
        };
        let title = wish.title.or_else(|| first_words(&wish.prompt));
        Ok(RepoTarget {
            branch: format!("{BRANCH_PREFIX}{session}"),
            session,
            repo: repo.path.to_string().parse()?,
            base_branch,
            base_commit,
            model,
            agent: parent.agent.clone(),
            title: title.unwrap_or_else(|| format!("Work on {}", repo.path)),
            visibility: parent.visibility,
        })
    }

    /// The session's files as they are now, kept, and the events that say what they are.
    async fn workspace_of(&self, home: &Home) -> Result<(Ground, Vec<(Cause, EventBody)>), Refusal> {
        let task = self.wake(&home.id).await?;
        self.told(&task).await?;
        let before = self.state(&home.id).await?;
        let state = self.kept_now(&home.id, &task, &before).await?;
        let ground = home.sandbox.ground_at(state.snapshots.clone()).await.map_err(|error| ground_refusal(&error))?;
        let log = self.log_until(&home.id, state.seq).await?;
        Ok((ground, copied_files(&state, &log)))
    }

    fn no_model(&self, id: &str) -> Refusal {
        let known: Vec<String> = self.ports().models.list().into_iter().map(|model| model.id).collect();
        let message = format!("There is no model {:?}.", clip(id, 80));
        Refusal::new(RefusalCode::NotFound, message, format!("There are: {}.", known.join(", ")))
    }

    /// Those whose spending counts together with a session's: read from their logs, unless one of them is awake.
    pub(crate) async fn family(&self, state: &SessionState) -> Arc<Family> {
        if let Some(known) = self.families().of(&state.id) {
            return known;
        }
        let mut top = state.clone();
        for _ in 0..CHILDREN_DEPTH_MAX {
            let Some(parent) = &top.parent else { break };
            // One that was removed has no budget any more; the shares that it gave hold.
            let Ok(above) = self.state_on_disk(&parent.session).await else { break };
            top = above;
        }
        let mut members = BTreeMap::new();
        let mut to_read = vec![top];
        while let Some(next) = to_read.pop() {
            for child in &next.children {
                if child.session == state.id {
                    to_read.push(state.clone());
                    continue;
                }
                match self.state_on_disk(&child.session).await {
                    Ok(read) => to_read.push(read),
                    Err(_gone) => drop(members.insert(child.session.clone(), Member::gone(&next.id, child.spent))),
                }
            }
            members.insert(next.id.clone(), Member::of(&next));
        }
        members.entry(state.id.clone()).or_insert_with(|| Member::of(state));
        self.families().enter(Family::new(members))
    }
}

/// What a child's log says of the files that it begins on: their snapshots, of no turn of its own, and what they change of its base.
fn copied_files(state: &SessionState, log: &[Event]) -> Vec<(Cause, EventBody)> {
    let mut events = Vec::new();
    for known in &state.snapshots {
        let told = log.iter().rev().find_map(|event| match &event.body {
            EventBody::SnapshotTaken { snapshot, guarantee, files, bytes, duration_ms, .. }
                if *snapshot == known.snapshot =>
            {
                let (guarantee, files, bytes, duration_ms) = (*guarantee, *files, *bytes, *duration_ms);
                Some(EventBody::SnapshotTaken {
                    snapshot: snapshot.clone(),
                    turn: None,
                    guarantee,
                    files,
                    bytes,
                    duration_ms,
                })
            }
            _ => None,
        });
        events.extend(told.map(|body| (Cause::System, body)));
    }
    let files: Vec<FileChange> =
        state.files.iter().map(|(path, kind)| FileChange { path: path.clone(), kind: *kind }).collect();
    let chunks = files.chunks(EVENT_FILES_MAX);
    events.extend(chunks.map(|files| (Cause::System, EventBody::FilesChanged { files: files.to_vec(), more: 0 })));
    events
}

/// Who has a role in a session, with their names as far as those are known there.
fn members(state: &SessionState) -> Vec<(Person, SessionRole)> {
    let named = |user: &UserId| {
        let known = state.participants.iter().find(|person| person.user == *user).cloned();
        known.unwrap_or_else(|| Person { user: user.clone(), name: user.to_string(), email: String::new() })
    };
    state.members.iter().map(|(user, role)| (named(user), *role)).collect()
}
