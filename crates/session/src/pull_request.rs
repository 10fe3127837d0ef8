//! A session's work becomes a pull request: commit what is not committed, push through the broker, open it in a person's name.

use std::sync::Arc;

use hangar_agent::turn::identity::trailers;
use hangar_forge::{BranchName, ForgeError, NewPull};
use hangar_protocol::{
    Person, Refusal, RefusalCode, SessionState, UserId,
    api::OpenPullRequest,
    limits::{self, clip},
    state::{PullRequestState, PullRequestStatus},
};
use tokio::sync::oneshot;

use crate::{
    decide::Report,
    driver::Message,
    forge_words::forge_refusal,
    home::{Home, Inbox},
    sandbox_host::{Script, commit_env},
};

/// Longest words of git that a refusal carries.
const GIT_WORDS_CHARS_MAX: usize = 600;
/// After a rewind the branch may have commits at the forge that the workspace has no longer: the work goes on top of them, with its own files, so that the push moves
/// the branch forward and what was pushed stays.
const FOLLOW_PUSHED: &str = "if [ -n \"$HANGAR_PUSHED\" ]; then\n\
        git cat-file -e \"$HANGAR_PUSHED^{commit}\" 2>/dev/null || git fetch --quiet origin \"$HANGAR_PUSHED\"\n\
        if ! git merge-base --is-ancestor \"$HANGAR_PUSHED\" HEAD; then\n\
            git merge --quiet --strategy ours --message 'Go back to an earlier state' \"$HANGAR_PUSHED\"\n\
        fi\n\
    fi\n";
/// What the script says when there is nothing to push.
const NO_COMMITS: &str = "hangar: no commits";

/// Opens a pull request for the session's branch in `by`'s name. It is in the log when this answers.
///
/// # Errors
/// A refusal that says what is missing: nothing to commit or push, one is open already, the forge's own words.
pub(crate) async fn open(
    home: Arc<Home>,
    state: SessionState,
    by: Person,
    request: OpenPullRequest,
    inbox: Inbox,
) -> Result<PullRequestState, Refusal> {
    let author = home.ports.people.forge_user(&by.user).await?;
    let title = request.title.unwrap_or_else(|| clip(&state.title, limits::TITLE_CHARS_MAX - 1));
    let body = request.body.unwrap_or_else(|| first_words(&state));
    publish(&home, &state, &by, &title).await?;
    let repo = state.repo.to_string().parse().map_err(|error| forge_refusal(&ForgeError::Name(error)))?;
    let head = branch_name(&state.branch)?;
    let base = branch_name(&state.base_branch)?;
    let new = NewPull { title: title.clone(), body, head, base, draft: false };
    let pull = home.ports.forge.create_pull(&repo, new, &author).await.map_err(|error| forge_refusal(&error))?;
    let number = u32::try_from(pull.number).unwrap_or(u32::MAX);
    let opened = PullRequestState {
        number,
        title,
        author: by.user,
        url: page(&state),
        status: PullRequestStatus::Open,
        merge_commit: None,
        approved_by: Vec::new(),
    };
    record(&inbox, &opened).await?;
    Ok(opened)
}

/// The page that shows a session's pull request.
pub(crate) fn page(state: &SessionState) -> String {
    format!("/s/{}/pull-request", state.id)
}

/// What `PullRequestOpened` says of it.
pub(crate) fn report(opened: &PullRequestState, author: UserId) -> Report {
    Report::PullRequestOpened { number: opened.number, title: opened.title.clone(), author, url: opened.url.clone() }
}

async fn record(inbox: &Inbox, opened: &PullRequestState) -> Result<(), Refusal> {
    let (recorded, durable) = oneshot::channel();
    let message = Message::Record(report(opened, opened.author.clone()), recorded);
    let sent = inbox.send(message).await.is_ok();
    // `None` is an answer too: the forge was faster to report it.
    if sent && durable.await.is_ok() {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Unavailable,
        format!("Pull request #{} is open, but the session's log could not be written.", opened.number),
        "It will appear in the session as soon as that is mended.",
    ))
}

/// Commits what the last turn left, in the names of those who prompted and steered it (`by` where nobody did), and pushes.
async fn publish(home: &Home, state: &SessionState, by: &Person, title: &str) -> Result<(), Refusal> {
    let turn = state.last_turn().map(|turn| turn.id);
    let worker = turn.and_then(|turn| state.author_of(turn)).unwrap_or(by);
    let others: Vec<Person> =
        turn.map(|turn| state.co_authors_of(turn)).unwrap_or_default().into_iter().cloned().collect();
    let script = format!(
        "set -e\n\
         git add -A\n\
         git diff --cached --quiet || git commit --quiet --message \"$HANGAR_TITLE\" ${{HANGAR_TRAILERS:+--message \"$HANGAR_TRAILERS\"}}\n\
         if [ \"$(git rev-list --count '{}..HEAD')\" = 0 ]; then echo '{NO_COMMITS}'; exit 1; fi\n\
         {}\
         git push --quiet origin \"HEAD:refs/heads/{}\"",
        state.base_commit,
        if state.rewound.is_some() { FOLLOW_PUSHED } else { "" },
        state.branch
    );
    let mut env = commit_env(worker);
    env.push(("HANGAR_TITLE".to_owned(), title.to_owned()));
    env.push(("HANGAR_TRAILERS".to_owned(), trailers(&others)));
    env.push(("HANGAR_PUSHED".to_owned(), state.pushed.clone().unwrap_or_default()));
    let Script { ok, output } = home.sandbox.script(&script, env).await?;
    if ok {
        return Ok(());
    }
    // Nothing was pushed then: a refusal leaves no branch behind.
    if output.trim() == NO_COMMITS {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "The session has no commits to open a pull request for.",
            "Let the agent change something first; what it does not commit itself is committed for it.",
        ));
    }
    Err(Refusal::new(
        RefusalCode::Conflict,
        format!("The work could not be committed and pushed. Git says: {}", clip(output.trim(), GIT_WORDS_CHARS_MAX)),
        "Ask the agent to put this right, then open the pull request again.",
    ))
}

fn first_words(state: &SessionState) -> String {
    let quoted = state.prompts.first().map(|prompt| prompt.text.replace('\n', "\n> ")).unwrap_or_default();
    format!("> {quoted}\n")
}

/// A branch name that was checked when the session began.
pub(crate) fn branch_name(name: &str) -> Result<BranchName, Refusal> {
    name.parse().map_err(|error| forge_refusal(&ForgeError::Name(error)))
}
