//! What may grow, and how far. Each number has its unit in its name.

/// Longest prompt a client may send.
pub const PROMPT_BYTES_MAX: usize = 256 * 1024;
/// Prompts that may wait in one session's queue.
pub const QUEUED_PROMPTS_MAX: usize = 50;
/// Prompts one session may ever receive.
pub const SESSION_PROMPTS_MAX: u32 = 10_000;
/// Requests about the queue whose ids the folded state remembers, so that one that is sent again is known: the newest.
pub const STATE_REQUESTS_MAX: usize = 200;
/// Longest title that a model gives a session.
pub const MODEL_TITLE_CHARS_MAX: usize = 60;
/// Longest title of a session or pull request.
pub const TITLE_CHARS_MAX: usize = 200;
/// Longest body of a pull request.
pub const PULL_REQUEST_BODY_BYTES_MAX: usize = 64 * 1024;
/// People who may take part in one session.
pub const PARTICIPANTS_MAX: usize = 500;
/// People who may have a role of their own in one session.
pub const MEMBERS_MAX: usize = 500;
/// Invitations of one session that may be open at the same time.
pub const OPEN_INVITATIONS_MAX: usize = 20;
/// Longest time an invitation may be open: 30 days, in seconds.
pub const INVITATION_LIFE_S_MAX: u32 = 30 * 24 * 3600;
/// How long an invitation is open unless somebody says otherwise: 7 days, in seconds.
pub const INVITATION_LIFE_S: u32 = 7 * 24 * 3600;
/// Sessions one page of a list may hold.
pub const SESSION_PAGE_MAX: u32 = 500;
/// How much of a tool's output stands in its event; the rest is a blob.
pub const EVENT_OUTPUT_BYTES_MAX: usize = 4 * 1024;
/// Paths named in one `files_changed` event; the event counts the rest.
pub const EVENT_FILES_MAX: usize = 200;
/// The longest that counts as work between two events of a turn: a command may run for 10 minutes, a reply may take as long. What is more is a clock that jumped.
pub const TURN_QUIET_MS_MAX: u64 = 30 * 60 * 1000;
/// Changed paths the folded state remembers.
pub const STATE_FILES_MAX: usize = 5_000;
/// Snapshots the folded state remembers.
pub const STATE_SNAPSHOTS_MAX: usize = 1_000;
/// Forks one session may have.
pub const FORKS_MAX: usize = 100;
/// Attempts at one wish side by side, fewest.
pub const ATTEMPTS_MIN: u32 = 2;
/// Attempts at one wish side by side, most.
pub const ATTEMPTS_MAX: u32 = 8;
/// Levels of sessions that agents began, below one that a person began.
pub const CHILDREN_DEPTH_MAX: u32 = 2;
/// Children of one session that may be at work at the same time.
pub const CHILDREN_AT_ONCE_MAX: usize = 8;
/// Sessions below one that a person began, on all levels, for as long as it lives.
pub const DESCENDANTS_MAX: usize = 64;
/// How much of a child's last words its parent's log keeps.
pub const CHILD_WORDS_BYTES_MAX: usize = 4 * 1024;
/// Longest name of a host (RFC 1035, 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;
/// Places in the network the folded state remembers, denied and allowed each.
pub const STATE_PLACES_MAX: usize = 200;
/// How much of a prompt the folded state keeps once the prompt has run.
pub const STATE_PROMPT_CHARS_MAX: usize = 300;
/// Entries of a to-do list.
pub const TODO_ITEMS_MAX: usize = 100;
/// Longest question of an agent.
pub const QUESTION_CHARS_MAX: usize = 2_000;
/// Answers that a question may offer.
pub const QUESTION_CHOICES_MAX: usize = 6;
/// Longest answer that a question may offer.
pub const QUESTION_CHOICE_CHARS_MAX: usize = 200;
/// Events one page of history may hold.
pub const EVENT_PAGE_MAX: u32 = 1_000;
/// Sessions one stream may follow.
pub const STREAM_SESSIONS_MAX: usize = 500;
/// People named in one `presence` frame.
pub const PRESENCE_PEOPLE_MAX: usize = 100;
/// For how long a `typing` frame holds, in milliseconds.
pub const TYPING_MS: u32 = 5_000;

/// Longest text that sessions are searched for.
pub const SEARCH_BYTES_MAX: usize = 500;
/// Words of it that are looked for; the rest is ignored.
pub const SEARCH_TERMS_MAX: usize = 8;
/// Sessions that a search finds: the newest.
pub const SEARCH_RESULTS_MAX: u32 = 50;

/// The first `chars` characters of `text`, with `…` where something was cut.
#[must_use]
pub fn clip(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The longest prefix of `text` that is at most `bytes` bytes long and ends between two characters.
#[must_use]
pub fn clip_bytes(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
