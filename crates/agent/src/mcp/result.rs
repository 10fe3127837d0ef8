//! What a server gave, as the model sees it: text, and one image; what can be neither is put into files of the sandbox.

use base64::Engine as _;
use bytes::Bytes;
use hangar_protocol::limits::{EVENT_OUTPUT_BYTES_MAX, clip};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

use crate::{
    tools::{CallContext, Picture, ToolOutput, output, picture_of},
    workspace::SandboxPath,
};

/// Files that one result may put into the sandbox.
const FILES_MAX: usize = 16;
/// Largest of them.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much of a name or an address is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// What stands for a piece of a kind that is not known.
const UNKNOWN: &str = "[something that hangar does not know]";

/// Gathers the pieces of a result.
struct Gathering<'a> {
    context: &'a CallContext<'a>,
    parts: Vec<String>,
    pictures: Vec<(Picture, String)>,
    files: usize,
}

/// The result in the form the model sees.
pub(crate) async fn shown(result: CallToolResult, context: &CallContext<'_>) -> ToolOutput {
    let mut gathering = Gathering { context, parts: Vec::new(), pictures: Vec::new(), files: 0 };
    let structured = result.structured_content.filter(|content| !said_already(&result.content, content));
    for block in result.content {
        gathering.take(block).await;
    }
    if let Some(content) = structured {
        gathering.parts.push(serde_json::to_string_pretty(&content).unwrap_or_default());
    }
    let (text, image) = gathering.finish().await;
    let text = if text.trim().is_empty() && image.is_none() { "(the tool gave no output)".to_owned() } else { text };
    ToolOutput { text, ok: result.is_error != Some(true), image }
}

/// Whether a text is the structured content written out, as the protocol wants it of servers.
fn said_already(blocks: &[ContentBlock], content: &Value) -> bool {
    blocks.iter().any(|block| match block {
        ContentBlock::Text(text) => serde_json::from_str::<Value>(&text.text).is_ok_and(|said| said == *content),
        _ => false,
    })
}

impl Gathering<'_> {
    async fn take(&mut self, block: ContentBlock) {
        match block {
            ContentBlock::Text(text) => self.parts.push(text.text),
            ContentBlock::Image(image) => match decoded(&image.data) {
                Ok(bytes) => self.image(bytes, &image.mime_type).await,
                Err(fault) => self.parts.push(format!("[an image: {fault}]")),
            },
            ContentBlock::Audio(audio) => self.bytes("a sound", &audio.data, &audio.mime_type).await,
            ContentBlock::Resource(embedded) => match embedded.resource {
                ResourceContents::TextResourceContents { uri, text, .. } => {
                    self.parts.push(format!("[{}]\n{text}", clip(&uri, SHOWN_CHARS_MAX)));
                }
                ResourceContents::BlobResourceContents { uri, blob, mime_type, .. } => {
                    let what = format!("the resource {}", clip(&uri, SHOWN_CHARS_MAX));
                    self.bytes(&what, &blob, mime_type.as_deref().unwrap_or_default()).await;
                }
                _ => self.parts.push(UNKNOWN.to_owned()),
            },
            ContentBlock::ResourceLink(link) => {
                let (name, uri) = (clip(&link.name, SHOWN_CHARS_MAX), clip(&link.uri, SHOWN_CHARS_MAX));
                self.parts.push(format!("[a link to {name}: {uri}]"));
            }
            _ => self.parts.push(UNKNOWN.to_owned()),
        }
    }

    async fn image(&mut self, bytes: Bytes, kind: &str) {
        let size = bytes.len() as u64;
        match picture_of("the image", &bytes, size) {
            Some(Ok(picture)) => self.pictures.push(picture),
            Some(Err(tell)) => {
                let place = self.file(&bytes, kind).await;
                self.parts.push(format!("[{tell} {place}]"));
            }
            None => {
                let place = self.file(&bytes, kind).await;
                self.parts.push(format!("[an image of a kind that is not shown: {place}]"));
            }
        }
    }

    async fn bytes(&mut self, what: &str, base64: &str, kind: &str) {
        let words = match decoded(base64) {
            Ok(bytes) => self.file(&bytes, kind).await,
            Err(fault) => fault,
        };
        self.parts.push(format!("[{what}: {words}]"));
    }

    /// Puts bytes into a file of the sandbox, and says where.
    async fn file(&mut self, bytes: &Bytes, kind: &str) -> String {
        self.files += 1;
        if self.files > FILES_MAX || bytes.len() > FILE_BYTES_MAX {
            return format!("{} bytes, not kept", bytes.len());
        }
        let ending: String =
            kind.rsplit('/').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let name = format!("{}.{}", self.files, if ending.is_empty() { "bin" } else { &ending });
        match self.keep(&name, bytes).await {
            Ok(path) => format!("{} bytes, in {path}", bytes.len()),
            Err(reason) => format!("{} bytes, which could not be kept: {reason}", bytes.len()),
        }
    }

    async fn keep(&self, name: &str, bytes: &Bytes) -> Result<SandboxPath, String> {
        let path = output::place(self.context.call, name).map_err(|fault| fault.to_string())?;
        let workspace = self.context.workspace().await.map_err(|error| error.to_string())?;
        workspace.write(&path, bytes.clone()).await.map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// The words, and the one image that is shown beside them. There is room for few words there: of more, or of several images, the images go into files.
    async fn finish(mut self) -> (String, Option<Picture>) {
        let few = self.parts.iter().map(|part| part.len() + 1).sum::<usize>() <= EVENT_OUTPUT_BYTES_MAX / 2;
        let mut pictures = std::mem::take(&mut self.pictures).into_iter();
        let shown = if few { pictures.next() } else { None };
        for (picture, told) in pictures {
            let place = self.file(&picture.bytes, picture.kind.media_type()).await;
            self.parts.push(format!("[{told} {place}; look at it with read]"));
        }
        let image = shown.map(|(picture, told)| {
            self.parts.push(format!("[{told}]"));
            picture
        });
        (self.parts.join("\n"), image)
    }
}

fn decoded(base64: &str) -> Result<Bytes, String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64.trim());
    bytes.map(Bytes::from).map_err(|error| format!("it is no base64 ({error})"))
}
