//! How things are said in a terminal: durations, ages, sizes, tool calls.

use hangar_protocol::{
    Budget, TurnId,
    budget::Measure,
    limits::clip,
    state::{PullRequestState, PullRequestStatus, SessionStatus},
};
use serde_json::Value;

use super::terminal::Look;

/// How much of a tool's arguments is shown.
const TITLE_CHARS_MAX: usize = 120;
/// The arguments that say most about a call, best first.
const TELLING_ARGUMENTS: [&str; 8] = ["command", "path", "file_path", "pattern", "query", "url", "id", "text"];

/// `0.3 s`, `12.4 s`, `3 min 05 s`, `2 h 07 min`.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600.. => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `after turn 3`, `before the first turn`.
pub(super) fn after_turn(turn: TurnId) -> String {
    if turn.0 == 0 { "before the first turn".to_owned() } else { format!("after turn {turn}") }
}

/// `7 ms`, else as [`duration`] has it.
pub(super) fn short_duration(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { duration(ms) }
}

/// `just now`, `5 min ago`, `3 h ago`, `2 days ago`.
pub(super) fn age(then_ms: u64, now_ms: u64) -> String {
    let minutes = now_ms.saturating_sub(then_ms) / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..1_440 => format!("{} h ago", minutes / 60),
        1_440..2_880 => "yesterday".to_owned(),
        2_880.. => format!("{} days ago", minutes / 1_440),
    }
}

/// `15 min`: how long something is valid, to the next full minute.
pub(super) fn minutes_left(expires_ms: u64) -> String {
    format!("{} min", expires_ms.saturating_sub(now_ms()).div_ceil(60_000))
}

/// `2026-12-05 17:40`: a moment by this machine's clock and time zone.
pub(super) fn date(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let zoned = moment.unwrap_or(jiff::Timestamp::MAX).to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Milliseconds since 1970-01-01 UTC.
pub(super) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// `1`, `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `$0.0123`, `$1.20`.
pub(super) fn money(micro_usd: u64) -> String {
    let dollars = micro_usd / 1_000_000;
    let rest = micro_usd % 1_000_000;
    if dollars > 0 { format!("${dollars}.{:02}", rest / 10_000) } else { format!("$0.{:04}", rest / 100) }
}

/// `512 B`, `3.4 MiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut size = number as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

/// `1 file`, `3 files`.
pub(super) fn plural(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {one}s", count(number)) }
}

/// A tool call in one line: `$ cargo test`, `read src/lib.rs`, `grep "fn main" src`.
pub(crate) fn call(tool: &str, input: &Value) -> String {
    let argument = |name: &str| input.get(name).and_then(Value::as_str).map(one_line).filter(|text| !text.is_empty());
    let title = match (tool, argument("command"), argument("pattern")) {
        ("bash", Some(command), _) => format!("$ {command}"),
        (_, None, Some(pattern)) => match argument("path") {
            Some(path) => format!("{tool} {pattern:?} in {path}"),
            None => format!("{tool} {pattern:?}"),
        },
        (_, _, _) => match TELLING_ARGUMENTS.iter().find_map(|name| argument(name)) {
            Some(told) => format!("{tool} {told}"),
            None => tool.to_owned(),
        },
    };
    clip(&title, TITLE_CHARS_MAX)
}

/// Text on one line, without the characters that move a terminal's cursor or change its colours.
pub(super) fn one_line(text: &str) -> String {
    let text = text.trim();
    let mut line: String =
        text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    while line.contains("  ") {
        line = line.replace("  ", " ");
    }
    line
}

/// `at most $5.00 and 20 tool calls`, `without limits`.
pub(super) fn budget(budget: &Budget) -> String {
    let limits = [
        (Measure::Cost, budget.cost_micro_usd),
        (Measure::Tokens, budget.tokens),
        (Measure::Time, budget.time_ms),
        (Measure::ToolCalls, budget.tool_calls),
    ];
    let limits: Vec<String> = limits.into_iter().filter_map(|(measure, limit)| Some(measure.words(limit?))).collect();
    if limits.is_empty() { "without limits".to_owned() } else { format!("at most {}", limits.join(" and ")) }
}

/// Text as it may be printed: line ends and tabs stay, control characters of the agent's making do not reach the terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// A session's status and its look.
pub(super) fn session_status(status: SessionStatus) -> (Look, &'static str) {
    match status {
        SessionStatus::Idle => (Look::Plain, "idle"),
        SessionStatus::Running => (Look::Notice, "running"),
        SessionStatus::Paused => (Look::Bad, "paused"),
        SessionStatus::Asking => (Look::Notice, "asks you"),
        SessionStatus::Failed => (Look::Bad, "failed"),
        SessionStatus::Merged => (Look::Good, "merged"),
    }
}

/// A pull request's status and its look.
pub(super) fn pull_request_status(status: PullRequestStatus) -> (Look, &'static str) {
    match status {
        PullRequestStatus::Open => (Look::Notice, "open"),
        PullRequestStatus::Merged => (Look::Good, "merged"),
        PullRequestStatus::Closed => (Look::Faint, "closed"),
    }
}

/// `#3 merged`, or nothing.
pub(super) fn short_pull_request(pull_request: Option<&PullRequestState>) -> (Look, String) {
    match pull_request {
        None => (Look::Plain, String::new()),
        Some(known) => {
            let (look, status) = pull_request_status(known.status);
            (look, format!("#{} {status}", known.number))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_said_briefly() {
        assert_eq!(
            [duration(0), duration(1_249), duration(59_999), duration(185_000), duration(7_620_000)],
            ["0.0 s", "1.2 s", "59.9 s", "3 min 05 s", "2 h 07 min"]
        );
        let hour = 3_600_000;
        assert_eq!(
            [age(10, 5), age(0, 5 * 60_000), age(0, 23 * hour), age(0, 25 * hour), age(0, 72 * hour)],
            ["just now", "5 min ago", "23 h ago", "yesterday", "3 days ago"]
        );
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([money(0), money(12_345), money(1_209_999)], ["$0.0000", "$0.0123", "$1.20"]);
    }

    #[test]
    fn calls_are_said_in_one_line() {
        let check = |tool: &str, input: Value, expected: &str| assert_eq!(call(tool, &input), expected);
        check("bash", json!({"command": "cargo test \\\n  --all", "timeout_s": 5}), "$ cargo test \\ --all");
        check("read", json!({"path": "src/lib.rs", "offset": 3}), "read src/lib.rs");
        check("grep", json!({"pattern": "fn main", "path": "src"}), "grep \"fn main\" in src");
        check("todo", json!({"items": []}), "todo");
        check("bash", json!({"command": "printf '\u{1b}[31mred'"}), "$ printf '[31mred'");
        check("strange", json!("not an object"), "strange");
    }
}
