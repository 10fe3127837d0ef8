//! The servers that a repository brings, in the format of Claude Code:
//! `{"mcpServers": {"name": {"command", "args", "env"} or {"type": "http", "url", "headers"}}}`.
//!
//! The format is documented at <https://code.claude.com/docs/en/mcp>. `docs/mcp.md` says what is heeded.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{McpPlace, McpServer, ServerName};
use crate::{acp::Command, hooks::Installed};

/// The servers that a commit of a repository names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct McpFiles {
    /// Each name once.
    pub servers: Vec<McpServer>,
    /// What cannot be used: the file, and why.
    pub faults: Vec<(&'static str, String)>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default, rename = "mcpServers")]
    servers: Map<String, Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl McpFiles {
    /// Files in which servers stand. Where both name one, the first counts.
    pub const FILES: [&str; 2] = [".hangar/mcp.json", ".mcp.json"];

    /// The servers of these files, each with its content, or why there is none to read.
    #[must_use]
    pub fn parse(files: &[(&'static str, Result<Vec<u8>, String>)]) -> Self {
        let mut found = Self::default();
        for (file, content) in files {
            let read = content.clone().and_then(|text| {
                serde_json::from_slice::<Settings>(&text).map_err(|error| format!("it cannot be used: {error}"))
            });
            match read {
                Ok(Settings { servers }) => servers.iter().for_each(|(name, entry)| found.take(file, name, entry)),
                Err(fault) => found.faults.push((file, fault)),
            }
        }
        found
    }

    /// What tells people of the faults when the session begins. Nothing is refused for them.
    #[must_use]
    pub fn told(&self) -> Vec<Installed> {
        self.faults.iter().map(|(file, fault)| Installed::fault_of(file, fault)).collect()
    }

    fn take(&mut self, file: &'static str, name: &str, entry: &Value) {
        match server(name, entry) {
            Ok(server) if self.servers.iter().any(|known| known.name == server.name) => {}
            Ok(server) => self.servers.push(server),
            Err(fault) => self.faults.push((file, fault)),
        }
    }
}

fn server(name: &str, entry: &Value) -> Result<McpServer, String> {
    let shown = hangar_protocol::limits::clip(name, 80);
    let of = |fault: String| format!("its server {shown:?} cannot be used: {fault}");
    let entry: Entry = serde_json::from_value(entry.clone()).map_err(|error| of(error.to_string()))?;
    let kind = entry.kind.as_deref().unwrap_or(if entry.command.is_some() { "stdio" } else { "http" });
    let place = match (kind, entry.command, entry.url) {
        ("stdio", Some(command), _) if !command.trim().is_empty() => {
            McpPlace::Program(Command { argv: [command].into_iter().chain(entry.args).collect(), env: entry.env })
        }
        ("stdio", _, _) => return Err(of("it has no command".to_owned())),
        ("http" | "streamable-http" | "streamable_http", _, Some(url)) => {
            McpPlace::Address { url, headers: entry.headers }
        }
        ("http" | "streamable-http" | "streamable_http", _, None) => return Err(of("it has no url".to_owned())),
        (other, _, _) => {
            let other = hangar_protocol::limits::clip(other, 40);
            return Err(of(format!("servers of type {other:?} are not spoken with here, only \"stdio\" and \"http\"")));
        }
    };
    Ok(McpServer { name: ServerName::near(name).map_err(|fault| of(fault.to_string()))?, place })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = ".mcp.json";

    fn of(servers: &Value) -> McpFiles {
        McpFiles::parse(&[(FILE, Ok(json!({"mcpServers": servers}).to_string().into_bytes()))])
    }

    #[test]
    fn programs_and_addresses_are_read() {
        let found = of(&json!({
            "db": {"command": "npx", "args": ["-y", "db-server"], "env": {"LEVEL": "${LEVEL:-info}"}, "disabledTools": []},
            "the wiki": {"type": "http", "url": "https://wiki.example.org/mcp", "headers": {"X-Key": "${KEY}"}},
        }));
        let name = |text: &str| ServerName::parse(text).unwrap();
        let argv = ["npx", "-y", "db-server"].map(str::to_owned).to_vec();
        let env = BTreeMap::from([("LEVEL".to_owned(), "${LEVEL:-info}".to_owned())]);
        let headers = BTreeMap::from([("X-Key".to_owned(), "${KEY}".to_owned())]);
        let url = "https://wiki.example.org/mcp".to_owned();
        let servers = vec![
            McpServer { name: name("db"), place: McpPlace::Program(Command { argv, env }) },
            McpServer { name: name("the_wiki"), place: McpPlace::Address { url, headers } },
        ];
        assert_eq!(found, McpFiles { servers, faults: vec![] });
        assert_eq!(of(&json!({})), McpFiles::default());
    }

    #[test]
    fn what_cannot_be_used_is_told_and_the_rest_stays() {
        let check = |entry: Value, fault: &str| {
            let found = of(&json!({"bad": entry, "good": {"command": "x"}}));
            assert_eq!(found.servers.len(), 1);
            let [(FILE, told)] = &found.faults[..] else { panic!("{found:?}") };
            assert!(told.starts_with("its server \"bad\" cannot be used: ") && told.contains(fault), "{told}");
        };
        check(json!({}), "it has no url");
        check(json!({"type": "stdio"}), "it has no command");
        check(json!({"command": " "}), "it has no command");
        check(json!({"type": "sse", "url": "https://a.example/sse"}), "servers of type \"sse\" are not spoken with");
        check(json!({"command": ["a", "b"]}), "invalid type");
        check(json!("x"), "invalid type");
        let unreadable =
            McpFiles::parse(&[(FILE, Ok(b"{".to_vec())), (".hangar/mcp.json", Err("it is no file".to_owned()))]);
        assert!(unreadable.faults[0].1.starts_with("it cannot be used: EOF"), "{unreadable:?}");
        assert_eq!(unreadable.faults[1], (".hangar/mcp.json", "it is no file".to_owned()));
        let told: Vec<String> = unreadable.told().into_iter().map(|told| told.plugin).collect();
        assert_eq!(told, ["repository:.mcp.json", "repository:.hangar/mcp.json"]);
    }

    #[test]
    fn the_first_file_counts_where_both_name_a_server() {
        let file = |command: &str| json!({"mcpServers": {"db": {"command": command}}}).to_string().into_bytes();
        let found = McpFiles::parse(&[(McpFiles::FILES[0], Ok(file("a"))), (McpFiles::FILES[1], Ok(file("b")))]);
        let [McpServer { place: McpPlace::Program(command), .. }] = &found.servers[..] else { panic!("{found:?}") };
        assert_eq!(command.argv, ["a"]);
    }
}
