//! `hangar-hook`: asks hangar before a call of an external agent is made.
//!
//! Agents start it before each of their calls, as they start any hook program: with a question in Claude Code's format on its standard input,
//! which Codex and Qwen Code share. It passes the question to hangar, outside the sandbox, and waits. An answer takes as long as plugins take, and
//! where the call may change something, as long as the workspace is held for its sync.
//!
//! ```text
//!   agent ──PreToolUse, JSON──▶ hangar-hook ──Question──▶ hangar: plugins, the sync
//!     ▲                             │ ◀──Answer──
//!     └── nothing or allow: make the call · deny, with words · allow, with other arguments
//! ```
//!
//! Architecture invariant: without an answer the call is refused. No door, no token, a question that makes no sense, one that is too large,
//! silence: each is a refusal, with words for the model.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use hangar_protocol::guest::hook::{
    ANSWER_BYTES_MAX, Answer, HELD_S_MAX, QUESTION_BYTES_MAX, Question, SAYS_ALLOW, TOKEN_VARIABLE, URL_VARIABLE,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The only moment that is answered.
const MOMENT: &str = "PreToolUse";
/// How long the way to hangar may take; it is on this machine.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Beyond this, an answer that did not come does not come any more. Hangar gives up first, and says why.
const ANSWER_MAX: Duration = Duration::from_secs(HELD_S_MAX + 60);
/// How much is shown of an answer that is none.
const SHOWN_BYTES_MAX: u64 = 2_000;
/// The exit status that refuses a call in every agent, with standard error as the words.
const REFUSED: u8 = 2;

/// What an agent says.
#[derive(Deserialize)]
struct Asked {
    hook_event_name: String,
    #[serde(flatten)]
    question: Question,
}

fn main() -> ExitCode {
    let answer = read().and_then(|question| ask(&question));
    let said = match answer {
        Ok(Answer::Allow) if std::env::args().nth(1).as_deref() == Some(SAYS_ALLOW) => {
            decision(&json!({"permissionDecision": "allow"}))
        }
        Ok(Answer::Allow) => return ExitCode::SUCCESS,
        Ok(Answer::Change { input }) => decision(&json!({"permissionDecision": "allow", "updatedInput": input})),
        Ok(Answer::Deny { words }) | Err(words) => {
            decision(&json!({"permissionDecision": "deny", "permissionDecisionReason": words}))
        }
    };
    match writeln!(io::stdout(), "{said}") {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads what was decided; the status alone still refuses.
        Err(_) => ExitCode::from(REFUSED),
    }
}

/// In the agents' format.
fn decision(decided: &Value) -> Value {
    let mut decided = decided.clone();
    decided["hookEventName"] = MOMENT.into();
    json!({"hookSpecificOutput": decided})
}

/// The question on standard input.
fn read() -> Result<Question, String> {
    let mut said = Vec::new();
    let most = QUESTION_BYTES_MAX as u64;
    let read = io::stdin().lock().take(most + 1).read_to_end(&mut said);
    read.map_err(|error| format!("hangar's hook cannot read what it is asked ({error}), so the call is not made."))?;
    if said.len() > QUESTION_BYTES_MAX {
        return Err(format!(
            "The call has arguments of more than {} MiB, so it is not made. Make it in smaller pieces.",
            QUESTION_BYTES_MAX / 1024 / 1024
        ));
    }
    let asked: Asked = serde_json::from_slice(&said).map_err(|error| {
        format!("hangar's hook was asked something it cannot read ({error}), so the call is not made.")
    })?;
    if asked.hook_event_name != MOMENT {
        return Err(format!("hangar's hook is for {MOMENT} alone, and was asked at {}.", asked.hook_event_name));
    }
    Ok(asked.question)
}

/// What hangar says to it.
fn ask(question: &Question) -> Result<Answer, String> {
    let variable = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            format!("hangar's hook has no {name} in its environment, so it can ask nobody, and the call is not made.")
        })
    };
    let (url, token) = (variable(URL_VARIABLE)?, variable(TOKEN_VARIABLE)?);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_MAX))
        .timeout_global(Some(ANSWER_MAX))
        .http_status_as_error(false)
        // The sandbox's proxies lead elsewhere.
        .proxy(None)
        .max_redirects(0)
        .build()
        .into();
    let unheard = |error: ureq::Error| {
        format!(
            "hangar cannot be asked about this call ({error}), so it is not made. Try again, or say that it cannot be done."
        )
    };
    let body = serde_json::to_vec(question)
        .map_err(|error| format!("hangar's hook cannot pass the call on ({error}), so it is not made."))?;
    let request = agent.post(&url).header("authorization", format!("Bearer {token}"));
    let mut response = request.content_type("application/json").send(&body[..]).map_err(unheard)?;
    if response.status() != ureq::http::StatusCode::OK {
        let words = response.body_mut().with_config().limit(SHOWN_BYTES_MAX).lossy_utf8(true).read_to_string();
        let words = words.unwrap_or_default();
        return Err(format!("hangar refuses to be asked about this call ({}): {}", response.status(), words.trim()));
    }
    let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX as u64).read_to_vec().map_err(unheard)?;
    serde_json::from_slice(&answer)
        .map_err(|error| format!("hangar gave an answer that its hook cannot read ({error}), so the call is not made."))
}
