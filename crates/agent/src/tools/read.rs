//! `read`: a file, by lines.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallContext, Effect, Tell, Tool, ToolError, ToolOutput, ToolSpec, arguments};
use crate::{
    limits,
    workspace::{FileBytes, SandboxPath},
};

mod notebook;
pub(super) mod picture;

/// How much of one line is shown.
const LINE_CHARS_MAX: usize = 2_000;
/// How far into a file a NUL is looked for, which tells that it is no text.
const SNIFF_BYTES: usize = 8 * 1024;

pub(super) struct Read(ToolSpec);

#[derive(Deserialize)]
struct Arguments {
    path: String,
    #[serde(default)]
    offset: Option<usize>,
    #[serde(default)]
    limit: Option<usize>,
}

impl Read {
    pub(super) fn new() -> Self {
        Self(ToolSpec {
            name: "read",
            description: "Read a text file, a notebook as its cells and outputs, or look at an image (PNG, JPEG, GIF, WebP). Each line is shown as its number, a tab, and the line. Up to 2,000 lines or 50 KB; go on with offset.",
            schema: json!({"type": "object", "required": ["path"], "properties": {
                "path": {"type": "string"},
                "offset": {"type": "integer", "minimum": 1, "description": "First line, from 1"},
                "limit": {"type": "integer", "minimum": 1, "description": "Number of lines"},
            }}),
        })
    }
}

#[async_trait]
impl Tool for Read {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn effect(&self, _input: &Value) -> Effect {
        Effect::Reads
    }

    async fn run(&self, context: &CallContext<'_>, input: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { path, offset, limit } = arguments(input)?;
        let path = SandboxPath::parse(&path)?;
        let file = whole_file(context, &path).await?;
        if let Some(image) = picture::of(path.shown(), &file.bytes, file.size) {
            let (picture, told) = image?;
            return Ok(ToolOutput { image: Some(picture), ..ToolOutput::done(told) });
        }
        let mut text = text_of(file, &path)?;
        if path.as_str().ends_with(notebook::ENDING)
            && let Some(readable) = notebook::as_text(&text)
        {
            text = readable;
        }
        numbered(&text, offset.unwrap_or(1), limit.unwrap_or(usize::MAX)).map(ToolOutput::done).map_err(ToolError::Tell)
    }
}

/// The text of a file, for reading and editing.
pub(super) async fn whole_text(context: &CallContext<'_>, path: &SandboxPath) -> Result<String, ToolError> {
    text_of(whole_file(context, path).await?, path)
}

async fn whole_file(context: &CallContext<'_>, path: &SandboxPath) -> Result<FileBytes, ToolError> {
    Ok(context.workspace().await?.read(path, 0, limits::FILE_BYTES_MAX).await?)
}

fn text_of(file: FileBytes, path: &SandboxPath) -> Result<String, ToolError> {
    let name = path.shown();
    if file.size > limits::FILE_BYTES_MAX {
        let words =
            format!("{name} has {} bytes, which is too large for this tool. Use grep, or bash with sed -n.", file.size);
        return Err(Tell(words).into());
    }
    if file.bytes[..file.bytes.len().min(SNIFF_BYTES)].contains(&0) {
        return Err(Tell(format!("{name} is not a text file ({} bytes).", file.size)).into());
    }
    String::from_utf8(file.bytes.into())
        .map_err(|_| Tell(format!("{name} is not UTF-8 text. Use bash to look at it or to change it.")).into())
}

fn numbered(text: &str, offset: usize, limit: usize) -> Result<String, Tell> {
    let total = text.lines().count();
    if total == 0 {
        return Ok("(the file is empty)".to_owned());
    }
    if offset == 0 || offset > total {
        return Err(Tell(format!("The file has {total} lines; offset {offset} is none of them.")));
    }
    let mut shown = String::new();
    let mut next = offset;
    for line in text.lines().skip(offset - 1).take(limit.min(limits::OUTPUT_LINES_MAX - 2)) {
        let line = format!("{next}\t{}\n", hangar_protocol::limits::clip(line, LINE_CHARS_MAX));
        if shown.len() + line.len() > limits::OUTPUT_BYTES_MAX - 200 {
            break;
        }
        shown.push_str(&line);
        next += 1;
    }
    if next <= total {
        shown.push_str(&format!("[lines {offset} to {} of {total}; go on with offset {next}]", next - 1));
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_pages_say_where_to_go_on() {
        let text = "one\ntwo\nthree\n";
        assert_eq!(numbered(text, 1, 9).unwrap(), "1\tone\n2\ttwo\n3\tthree\n");
        assert_eq!(numbered(text, 2, 1).unwrap(), "2\ttwo\n[lines 2 to 2 of 3; go on with offset 3]");
        assert!(numbered(text, 4, 1).unwrap_err().0.contains("3 lines"));
        let long = "x".repeat(500) + "\n";
        let page = numbered(&long.repeat(1_000), 1, usize::MAX).unwrap();
        assert!(page.len() <= limits::OUTPUT_BYTES_MAX && page.contains("go on with offset"));
    }
}
