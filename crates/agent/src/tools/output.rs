//! How much of a tool's output a model sees: 2,000 lines or 50 KB, the beginning and the end, and where the rest is.

use bytes::Bytes;
use hangar_protocol::CallId;

use super::CallContext;
use crate::{
    limits,
    workspace::{PathFault, SandboxPath},
};

/// Where the whole of a long output is kept inside the sandbox, outside the repository.
const SPILL_DIRECTORY: &str = "/tmp/hangar-output";

/// An output as the model sees it. One that is too long is written to a file of the sandbox, which the shortened one names.
pub(crate) async fn fit(text: String, context: &CallContext<'_>) -> String {
    let lines = text.lines().count();
    if text.len() <= limits::OUTPUT_BYTES_MAX && lines <= limits::OUTPUT_LINES_MAX {
        return text;
    }
    let place = match spill(&text, context).await {
        Ok(path) => format!("the whole output is in {path}: read it with offset and limit, or grep it"),
        Err(reason) => format!("the whole output could not be kept: {reason}"),
    };
    shorten(&text, &format!("{} bytes in {lines} lines; {place}", text.len()))
}

/// Where what a call gave is kept inside the sandbox.
pub(crate) fn place(call: &CallId, ending: &str) -> Result<SandboxPath, PathFault> {
    SandboxPath::parse(&format!("{SPILL_DIRECTORY}/{}.{ending}", call.as_str().replace([':', '/'], "_")))
}

async fn spill(text: &str, context: &CallContext<'_>) -> Result<SandboxPath, String> {
    let file = place(context.call, "txt").map_err(|fault| fault.to_string())?;
    let workspace = context.workspace().await.map_err(|error| error.to_string())?;
    let kept = hangar_protocol::limits::clip_bytes(text, limits::SPILL_BYTES_MAX);
    workspace.write(&file, Bytes::copy_from_slice(kept.as_bytes())).await.map_err(|error| error.to_string())?;
    Ok(file)
}

/// The first and the last half of what fits, with a line between them that says what is missing.
fn shorten(text: &str, missing: &str) -> String {
    let room = limits::OUTPUT_BYTES_MAX - missing.len() - 64;
    let head = first_lines(hangar_protocol::limits::clip_bytes(text, room / 2), limits::OUTPUT_LINES_MAX / 2);
    let tail = last_lines(last_bytes(text, room / 2), limits::OUTPUT_LINES_MAX / 2 - 2);
    format!("{}\n[… output shortened: {missing} …]\n{tail}", head.trim_end_matches('\n'))
}

/// The first and the last part of a text, together at most `bytes` long.
pub(crate) fn ends(text: &str, bytes: usize) -> String {
    const CUT: &str = "\n[…]\n";
    let room = (bytes - CUT.len()) / 2;
    format!("{}{CUT}{}", hangar_protocol::limits::clip_bytes(text, room), last_bytes(text, room))
}

fn first_lines(text: &str, lines: usize) -> &str {
    match text.match_indices('\n').nth(lines - 1) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn last_lines(text: &str, lines: usize) -> &str {
    match text.rmatch_indices('\n').nth(lines) {
        Some((start, _)) => &text[start + 1..],
        None => text,
    }
}

/// The longest end of `text` that is at most `bytes` long and begins between two characters.
fn last_bytes(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_within_the_limits() {
        let by_lines: String = (0..5_000).map(|line| format!("line {line}\n")).collect();
        let by_bytes = "ä".repeat(100_000);
        for text in [by_lines.as_str(), by_bytes.as_str()] {
            let short = shorten(text, "why");
            assert!(short.len() <= limits::OUTPUT_BYTES_MAX, "{}", short.len());
            assert!(short.lines().count() <= limits::OUTPUT_LINES_MAX, "{}", short.lines().count());
            assert!(short.starts_with(&text[..8]) && short.ends_with(&text[text.len() - 8..]));
            assert!(short.contains("[… output shortened: why …]"));
        }
        let ends = ends(&by_lines, 4096);
        assert!(ends.len() <= 4096 && ends.starts_with("line 0\n") && ends.ends_with("line 4999\n"));
    }
}
