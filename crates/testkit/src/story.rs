//! A session's log as text: a line for each event, without what differs between two runs.

use std::{collections::BTreeMap, fmt};

use hangar_protocol::{
    Block, Event, EventBody, GatewayOutcome, PluginDecision,
    command::Reach,
    event::{PullRequestChange, SandboxPhase, ToolStatus, TurnOutcome},
};

/// What is told of an output.
const OUTPUT_CHARS_MAX: usize = 120;

/// A told log. Commits are numbered in the order in which they appear, and the session is called `S`. What the sandbox reports by
/// itself (phases, snapshots, changed files) comes at its own times and is left out: see [`Story::sandbox`],
/// [`Story::kept`] and [`Story::files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    lines: Vec<String>,
    sandbox: Vec<String>,
    kept: Vec<String>,
    files: BTreeMap<String, String>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Story {
    /// Tells a log.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut teller = Teller::default();
        let mut story = Self { lines: Vec::new(), sandbox: Vec::new(), kept: Vec::new(), files: BTreeMap::new() };
        for event in events {
            match &event.body {
                EventBody::SandboxChanged { phase, .. } => story.sandbox.push(phase_word(*phase).to_owned()),
                EventBody::ImageChosen { .. } | EventBody::SnapshotTaken { .. } => {
                    story.kept.push(teller.tell(&event.body))
                }
                EventBody::FilesChanged { files, .. } => {
                    story.files.extend(
                        files.iter().map(|file| (file.path.clone(), format!("{:?}", file.kind).to_lowercase())),
                    );
                }
                body => story.lines.push(teller.tell(body)),
            }
        }
        story
    }

    /// The phases the sandbox went through.
    #[must_use]
    pub fn sandbox(&self) -> Vec<&str> {
        self.sandbox.iter().map(String::as_str).collect()
    }

    /// The image it started from, then its snapshots.
    #[must_use]
    pub fn kept(&self) -> Vec<&str> {
        self.kept.iter().map(String::as_str).collect()
    }

    /// What last happened to each file of the workspace.
    #[must_use]
    pub fn files(&self) -> Vec<(&str, &str)> {
        self.files.iter().map(|(path, kind)| (path.as_str(), kind.as_str())).collect()
    }
}

#[derive(Default)]
struct Teller {
    session: String,
    commits: Vec<String>,
}

impl Teller {
    fn tell(&mut self, body: &EventBody) -> String {
        match body {
            EventBody::SessionCreated {
                session,
                owner,
                repo,
                base_branch,
                base_commit,
                branch,
                model,
                agent,
                title,
            } => {
                self.session = session.to_string();
                let base = self.commit(base_commit);
                let branch = self.plain(branch);
                format!(
                    "session_created S by {} on {repo} {base_branch} at {base}, branch {branch}, model {model}, {}title {title:?}",
                    owner.user,
                    agent.as_ref().map(|agent| format!("agent {agent}, ")).unwrap_or_default()
                )
            }
            EventBody::ParticipantJoined { person } => {
                format!("participant_joined {} {:?} {}", person.user, person.name, person.email)
            }
            EventBody::TitleChanged { title, .. } => format!("title_changed {title:?}"),
            EventBody::PromptAdded { prompt, author, text, .. } => {
                format!("prompt_added {prompt} by {author}: {text:?}")
            }
            EventBody::PromptCancelled { prompt, .. } => format!("prompt_cancelled {prompt}"),
            EventBody::PromptEdited { prompt, by, text, .. } => format!("prompt_edited {prompt} by {by}: {text:?}"),
            EventBody::PromptMoved { prompt, by, before: Some(before), .. } => {
                format!("prompt_moved {prompt} by {by} before {before}")
            }
            EventBody::PromptMoved { prompt, by, before: None, .. } => {
                format!("prompt_moved {prompt} by {by} to the end")
            }
            EventBody::SteerRequested { prompt, by, .. } => format!("steer_requested {prompt} by {by}"),
            EventBody::PromptSteered { prompt, turn } => format!("prompt_steered {prompt} into {turn}"),
            EventBody::QueuePaused { by } => format!("queue_paused by {by}"),
            EventBody::QueueResumed { by } => format!("queue_resumed by {by}"),
            EventBody::TurnStarted { turn, prompt } => format!("turn_started {turn} on prompt {prompt}"),
            EventBody::TurnResumed { turn, reason } => format!("turn_resumed {turn}: {reason}"),
            EventBody::TurnPaused { turn, exhausted } => format!("turn_paused {turn}: {}", exhausted.reason),
            EventBody::TurnContinued { turn } => format!("turn_continued {turn}"),
            EventBody::BudgetChanged { budget } => format!("budget_changed {budget:?}"),
            EventBody::StopRequested { turn, by, reach } => {
                let alone = match reach {
                    Reach::WithChildren => "",
                    Reach::Alone => ", alone",
                };
                format!("stop_requested {turn} by {by}{alone}")
            }
            EventBody::TurnEnded { turn, outcome } => format!("turn_ended {turn}: {}", outcome_words(outcome)),
            EventBody::ModelRequested { turn, step, model } => format!("model_requested {turn}.{step} {model}"),
            EventBody::ModelRetried { turn, step, attempt, .. } => {
                format!("model_retried {turn}.{step} attempt {attempt}")
            }
            EventBody::ModelFellBack { turn, step, from, to, .. } => {
                format!("model_fell_back {turn}.{step} from {from} to {to}")
            }
            EventBody::OutputsLeftOut { turn, step, replies_kept, .. } => {
                format!("outputs_left_out {turn}.{step} but of {replies_kept} replies")
            }
            EventBody::ConversationSummarized { turn, step, summary, .. } => {
                format!("conversation_summarized {turn}.{step}: {summary}")
            }
            EventBody::HarnessStarted { turn, agent, program, memory, .. } => {
                format!("harness_started {turn} {agent} ({program}), {memory:?}")
            }
            EventBody::GatewayRequested { turn, request, model } => {
                format!("gateway_requested {turn}.{request} {model}")
            }
            EventBody::GatewayReplied { turn, request, outcome, usage, .. } => {
                let outcome = match outcome {
                    GatewayOutcome::Answered => "answered".to_owned(),
                    GatewayOutcome::Failed { status, reason } => format!("failed {status:?}: {}", self.plain(reason)),
                    GatewayOutcome::CutOff => "cut off".to_owned(),
                };
                format!("gateway_replied {turn}.{request} {outcome}, {} tokens", usage.total())
            }
            EventBody::ModelReplied { turn, step, blocks, .. } => {
                format!("model_replied {turn}.{step}: {}", blocks_words(blocks))
            }
            EventBody::ToolStarted { turn, name, input, .. } => format!("tool_started {turn} {name} {input}"),
            EventBody::ToolFinished { turn, status, output, .. } => {
                let output = hangar_protocol::limits::clip(&self.plain(output), OUTPUT_CHARS_MAX);
                format!("tool_finished {turn} {}: {output:?}", status_word(*status))
            }
            EventBody::PluginDecided { turn, plugin, hook, decision, .. } => {
                format!("plugin_decided {turn} {plugin} at {}: {}", hook.name(), self.plain(&decision_words(decision)))
            }
            EventBody::TodoChanged { items } => format!("todo_changed {} items", items.len()),
            EventBody::QuestionAsked { turn, question, .. } => {
                format!("question_asked {turn}: {:?} of {:?}", question.text, question.choices)
            }
            EventBody::BranchPushed { branch, old, new } => {
                let old = old.as_ref().map_or_else(|| "nothing".to_owned(), |old| self.commit(old));
                let (branch, new) = (self.plain(branch), self.commit(new));
                format!("branch_pushed {branch} from {old} to {new}")
            }
            EventBody::PushRefused { reason } => format!("push_refused {}", self.plain(reason)),
            EventBody::PullRequestOpened { number, title, author, url } => {
                format!("pull_request_opened {number} by {author}: {title:?} at {}", self.plain(url))
            }
            EventBody::PullRequestChanged { number, change } => {
                format!("pull_request_changed {number}: {}", self.change(change))
            }
            EventBody::BaseChanged { commit, by } => format!("base_changed to {} by {by}", self.commit(commit)),
            EventBody::ImageChosen { commit, .. } => format!("image_chosen at {}", self.commit(commit)),
            EventBody::SnapshotTaken { turn, guarantee, .. } => {
                let turn = turn.map_or_else(|| "no turn".to_owned(), |turn| format!("turn {turn}"));
                format!("snapshot_taken after {turn}, {}", format!("{guarantee:?}").to_lowercase())
            }
            EventBody::NetworkDenied { host, port, .. } => format!("network_denied {host}:{port}"),
            EventBody::NetworkAllowed { host, port, by } => format!("network_allowed {host}:{port} by {by}"),
            EventBody::ForkedFrom { turn, until, .. } => format!("forked_from after turn {turn}, copied until {until}"),
            EventBody::SessionForked { turn, purpose, .. } => format!("session_forked after turn {turn}: {purpose:?}"),
            EventBody::ChildOf { turn, depth, .. } => format!("child_of turn {turn} of another session, depth {depth}"),
            EventBody::ChildSpawned { turn, repo, title, .. } => format!("child_spawned {turn} on {repo}: {title:?}"),
            EventBody::ChildReported { phase, words, pull_request, .. } => {
                let pull =
                    pull_request.as_ref().map(|pull| format!(", pull request {}", pull.number)).unwrap_or_default();
                format!("child_reported {}{pull}: {words:?}", phase.word())
            }
            EventBody::Rewound { to_turn, .. } => format!("rewound to turn {to_turn}"),
            EventBody::AttemptKept { round, .. } => format!("attempt_kept of round {round}"),
            EventBody::MemberAdded { person, role, invitation } => {
                let by = invitation.map(|number| format!(" by invitation {number}")).unwrap_or_default();
                format!("member_added {} {}{by}", person.user, role.word())
            }
            EventBody::RoleChanged { user, role, invitation } => {
                let by = invitation.map(|number| format!(" by invitation {number}")).unwrap_or_default();
                format!("role_changed {user} {}{by}", role.word())
            }
            EventBody::MemberRemoved { user } => format!("member_removed {user}"),
            EventBody::OwnershipTaken { person } => format!("ownership_taken by {}", person.user),
            EventBody::VisibilityChanged { visibility } => format!("visibility_changed {}", visibility.word()),
            EventBody::InvitationMade { invitation, role, by, .. } => {
                format!("invitation_made {invitation} {} by {by}", role.word())
            }
            EventBody::InvitationRevoked { invitation } => format!("invitation_revoked {invitation}"),
            EventBody::SessionArchived => "session_archived".to_owned(),
            EventBody::SessionUnarchived => "session_unarchived".to_owned(),
            EventBody::SessionDeleted { by, .. } => format!("session_deleted by {by}"),
            EventBody::SessionRestored => "session_restored".to_owned(),
            EventBody::Warning { text } => format!("warning {text:?}"),
            EventBody::SandboxChanged { phase, .. } => format!("sandbox_changed {}", phase_word(*phase)),
            EventBody::FilesChanged { files, more } => format!("files_changed {} and {more} more", files.len()),
        }
    }

    fn commit(&mut self, sha: &str) -> String {
        let known = self.commits.iter().position(|known| known == sha);
        let number = known.unwrap_or_else(|| {
            self.commits.push(sha.to_owned());
            self.commits.len() - 1
        });
        format!("C{number}")
    }

    /// Text without the session's id.
    fn plain(&self, text: &str) -> String {
        if self.session.is_empty() { text.to_owned() } else { text.replace(&self.session, "S") }
    }

    fn change(&mut self, change: &PullRequestChange) -> String {
        match change {
            PullRequestChange::Synchronized { head } => format!("synchronized to {}", self.commit(head)),
            PullRequestChange::Reviewed { by, verdict } => format!("reviewed by {by}: {verdict}"),
            PullRequestChange::Merged { by, commit } => format!("merged by {by} as {}", self.commit(commit)),
            PullRequestChange::Closed { by } => format!("closed by {by}"),
            PullRequestChange::Reopened { by } => format!("reopened by {by}"),
        }
    }
}

fn outcome_words(outcome: &TurnOutcome) -> String {
    match outcome {
        TurnOutcome::Done => "done".to_owned(),
        TurnOutcome::Stopped { by } => format!("stopped by {by}"),
        TurnOutcome::Failed { reason } => format!("failed: {reason}"),
    }
}

fn blocks_words(blocks: &[Block]) -> String {
    let words = blocks.iter().map(|block| match block {
        Block::Text { text } => format!("{text:?}"),
        Block::Reasoning { .. } => "thoughts".to_owned(),
        Block::ToolCall { name, .. } => format!("call {name}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn decision_words(decision: &PluginDecision) -> String {
    match decision {
        PluginDecision::Replaced => "replaced".to_owned(),
        PluginDecision::Denied { words } => format!("denied: {words}"),
        PluginDecision::Asked { words } => format!("asked: {words}"),
        PluginDecision::Permitted { .. } => "permitted".to_owned(),
        PluginDecision::Injected { text } => format!("injected: {text:?}"),
        PluginDecision::Failed { reason, on_failure } => format!("failed, {on_failure:?}: {reason}"),
    }
}

fn phase_word(phase: SandboxPhase) -> &'static str {
    match phase {
        SandboxPhase::Absent => "absent",
        SandboxPhase::Preparing => "preparing",
        SandboxPhase::Syncing => "syncing",
        SandboxPhase::Ready => "ready",
        SandboxPhase::Failed => "failed",
    }
}

fn status_word(status: ToolStatus) -> &'static str {
    match status {
        ToolStatus::Ok => "ok",
        ToolStatus::Error => "error",
        ToolStatus::Interrupted => "interrupted",
    }
}
