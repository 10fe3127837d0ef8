//! What an editor sends along with a prompt, as words for the agent.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::peer::Fault;

/// A piece of a prompt: <https://agentclientprotocol.com/protocol/v1/content>.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    Text {
        text: String,
    },
    ResourceLink {
        uri: String,
        #[serde(default)]
        name: String,
    },
    Resource {
        resource: Resource,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Resource {
    uri: String,
    text: Option<String>,
}

/// All pieces of a prompt in one text. Files below `cwd`, the editor's clone of the repository, are named as the agent finds them in its own.
pub(super) fn words(prompt: &Value, cwd: Option<&Path>) -> Result<String, Fault> {
    let pieces: Vec<Piece> = Deserialize::deserialize(prompt)
        .map_err(|error| Fault::bad_params(format!("This prompt cannot be read: {error}.")))?;
    let mut words = String::new();
    for piece in pieces {
        match piece {
            Piece::Text { text } => words.push_str(&text),
            Piece::ResourceLink { uri, name } => {
                let place = place(&uri, cwd);
                words.push_str(&if name.is_empty() || place.ends_with(&name) {
                    format!("`{place}`")
                } else {
                    format!("{name} (`{place}`)")
                });
            }
            Piece::Resource { resource: Resource { uri, text: Some(text) } } => {
                let fence = fence(&text);
                words.push_str(&format!("\n\n`{}`:\n{fence}\n{}\n{fence}\n", place(&uri, cwd), text.trim_end()));
            }
            Piece::Resource { resource: Resource { uri, text: None } } => {
                return Err(Fault::bad_params(format!("{uri} is no text. Send text alone.")));
            }
            Piece::Unknown => {
                return Err(Fault::bad_params("Prompts can have text and files of text, no pictures or sounds."));
            }
        }
    }
    Ok(words)
}

/// Backquotes enough to hold this text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn place(uri: &str, cwd: Option<&Path>) -> String {
    let Some(path) = uri.strip_prefix("file://") else { return uri.to_owned() };
    let below = cwd.and_then(|cwd| Path::new(path).strip_prefix(cwd).ok());
    below.map_or_else(|| path.to_owned(), |below| below.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_named_as_the_agent_finds_them() {
        let cwd = Some(Path::new("/home/ada/app"));
        let said = words(
            &json!([
                {"type": "text", "text": "Mend "},
                {"type": "resource_link", "uri": "file:///home/ada/app/src/lib.rs", "name": "lib.rs"},
                {"type": "text", "text": " as in "},
                {"type": "resource_link", "uri": "https://example.org/a", "name": "the report"},
                {"type": "resource", "resource": {"uri": "file:///etc/hosts", "text": "a ``` b\n"}},
            ]),
            cwd,
        );
        assert_eq!(
            said.unwrap(),
            "Mend `src/lib.rs` as in the report (`https://example.org/a`)\n\n`/etc/hosts`:\n````\na ``` b\n````\n"
        );
    }

    #[test]
    fn what_the_agent_could_not_see_is_refused() {
        for piece in [
            json!({"type": "image", "data": "AA==", "mimeType": "image/png"}),
            json!({"type": "resource", "resource": {"uri": "file:///a", "blob": "AA=="}}),
            json!({"type": "text"}),
        ] {
            assert!(words(&json!([piece]), None).is_err(), "{piece}");
        }
        assert!(words(&json!("text"), None).is_err());
    }
}
