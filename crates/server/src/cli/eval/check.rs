//! Whether a session's work is what was asked for, found out by the task's own check.
//!
//! The check is a session that its own repository ends before any model is asked. Its commit holds the package as the agent was given it, the agent's changes
//! as a patch, the check, and a hook (`UserPromptSubmit`) that puts these together, runs the check in the session's sandbox, and refuses the prompt with what
//! came of it. So agents' work is run in sandboxes alone, in one that no agent was ever in, and whatever else an agent did to its own is not there.

use std::time::Duration;

use hangar_client::{Client, Patience, Update};
use hangar_protocol::{
    EventBody, HookPoint, PluginDecision, Seq, SessionId, Visibility,
    api::{NewPrompt, NewSession, StopTurn},
};
use rand::RngExt as _;
use serde_json::json;

use super::{
    ground::{Branch, Ground, Tree},
    task::{CHECK, Task},
};

/// What setting a check up may take besides: its sandbox, the patch, the files.
const SET_UP_S: u32 = 30;
/// And what the session may take until it begins: sandboxes may have to be waited for.
const BEGIN_MAX: Duration = Duration::from_secs(300);
/// Of what a check says, its end is kept: what fits into a hook's words.
const SAID_BYTES_MAX: usize = 3_000;
/// Exit status of the hook's own where the agent's changes do not fit the package.
const DOES_NOT_APPLY: i32 = 91;
/// Exit status of `timeout` where its time is up.
const TOO_LONG: i32 = 124;
/// Where a check's own things are in the workspace, until it begins.
const PLACE: &str = ".hangar/eval";

/// What a check found.
pub(super) enum Found {
    /// The work is what was asked for.
    Good,
    /// It is not, and why.
    Bad(String),
    /// The check itself could not be made, and why.
    Unknown(String),
}

/// Makes the check of a task over the changes of a session.
pub(super) async fn check(client: &Client, ground: &Ground, task: &Task, tree: &Tree, patch: &str) -> Found {
    let mark = format!("{:016x}", rand::rng().random::<u64>());
    let branch = match add(task, tree, patch, &mark) {
        Ok(()) => ground.bring_check(tree, &format!("{}-{mark}", task.name)).await,
        Err(error) => Err(error.to_string()),
    };
    let branch = match branch {
        Ok(branch) => branch,
        Err(why) => return Found::Unknown(why),
    };
    let found = run(client, &branch, task, &mark).await;
    // It stays where it cannot be taken away: nobody but who may read the repository sees it.
    if let Err(why) = ground.remove_check(&branch).await {
        tracing::warn!(%why, branch = %branch.name, "a check's branch stays");
    }
    found.unwrap_or_else(Found::Unknown)
}

/// Puts the check's own things beside the package.
fn add(task: &Task, tree: &Tree, patch: &str, mark: &str) -> std::io::Result<()> {
    let hook = json!({
        "type": "command", "command": format!("bash {PLACE}/hook.sh {mark}"), "timeout": task.about.check_s + SET_UP_S, "onFailure": "block",
    });
    let hooks = json!({"hooks": {"UserPromptSubmit": [{"hooks": [hook]}]}});
    tree.put(".hangar/hooks.json", hooks.to_string().as_bytes())?;
    tree.put(&format!("{PLACE}/hook.sh"), hook_script(task.about.check_s).as_bytes())?;
    tree.put(&format!("{PLACE}/changes.patch"), patch.as_bytes())?;
    tree.put(&format!("{PLACE}/{CHECK}"), task.file(CHECK).unwrap_or_default())?;
    for (path, content) in task.below("check") {
        tree.put(&format!("{PLACE}/over/{path}"), content)?;
    }
    Ok(())
}

/// The hook: its own things leave the workspace before anything of the agent's runs.
fn hook_script(check_s: u32) -> String {
    format!(
        "mark=$1 own=$(mktemp -d)\n\
         mv {PLACE}/* \"$own\" && rm -rf .hangar\n\
         (\n\
         if [ -s \"$own/changes.patch\" ]; then git apply --whitespace=nowarn \"$own/changes.patch\" || exit {DOES_NOT_APPLY}; fi\n\
         if [ -d \"$own/over\" ]; then cp -R \"$own/over/.\" . || exit 1; fi\n\
         timeout -k 5 {check_s} bash \"$own/{CHECK}\"\n\
         ) >\"$own/said\" 2>&1 </dev/null\n\
         status=$?\n\
         {{ echo \"$mark $status\"; tail -c {SAID_BYTES_MAX} \"$own/said\"; }} >&2\n\
         exit 2\n"
    )
}

async fn run(client: &Client, branch: &Branch, task: &Task, mark: &str) -> Result<Found, String> {
    let session = NewSession {
        repo: branch.repo.clone(),
        base_branch: Some(branch.name.clone()),
        model: None,
        agent: None,
        prompt: Some(NewPrompt { request_id: None, text: format!("The check of {}.", task.name) }),
        visibility: Some(Visibility::Private),
    };
    let id = client.create_session(&session).await.map_err(words)?.id;
    let limit = BEGIN_MAX + Duration::from_secs(u64::from(task.about.check_s + SET_UP_S));
    let heard = tokio::time::timeout(limit, hear(client, &id, mark)).await;
    let found = match heard {
        Ok(found) => found,
        Err(_) => {
            // It goes with the session in any case.
            let _ = client.stop_turn(&id, &StopTurn::default()).await;
            Err(format!("the check's session {id} did not come to its end"))
        }
    };
    client.delete_session(&id).await.map_err(words)?;
    found.map(|(status, said)| judged(task, status, &said))
}

/// How the check ended, and what it said.
async fn hear(client: &Client, session: &SessionId, mark: &str) -> Result<(i32, String), String> {
    let mut stream = client.follow(session, Seq::START, Patience::default());
    while let Some(update) = stream.next().await {
        let Update::Event(event) = update.map_err(words)? else { continue };
        match &event.body {
            EventBody::PluginDecided { hook: HookPoint::PromptSubmit, decision, .. } => match decision {
                PluginDecision::Denied { words } => {
                    let told = words.strip_prefix(mark).and_then(|rest| rest.trim_start().split_once('\n'));
                    let (status, said) = told.unwrap_or_else(|| (words.trim_start_matches(mark).trim(), ""));
                    let status = status.trim().parse().map_err(|_| format!("something else refused it: {words}"))?;
                    return Ok((status, said.to_owned()));
                }
                PluginDecision::Failed { reason, .. } => return Err(format!("the check's hook failed: {reason}")),
                _ => {}
            },
            EventBody::TurnPaused { .. } => return Err("the check waits: a budget is used up".to_owned()),
            EventBody::TurnEnded { outcome, .. } => {
                return Err(format!("the check's session ended without it: {outcome:?}"));
            }
            _ => {}
        }
    }
    Err("the check's session could not be followed".to_owned())
}

fn judged(task: &Task, status: i32, said: &str) -> Found {
    match status {
        0 => Found::Good,
        TOO_LONG => Found::Bad(format!("its check took longer than {} s", task.about.check_s)),
        DOES_NOT_APPLY => Found::Bad(format!("its changes do not fit the package: {}", last_line(said))),
        _ => Found::Bad(last_line(said)),
    }
}

/// The last thing that was said: a check ends with why it failed.
fn last_line(said: &str) -> String {
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.unwrap_or("its check failed and said nothing").to_owned()
}

fn words(error: hangar_client::Error) -> String {
    error.to_string()
}
