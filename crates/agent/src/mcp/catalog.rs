//! The tools of one server, as far as they are kept.

use std::collections::BTreeSet;

use hangar_protocol::limits::clip_bytes;
use rmcp::{
    model::{PaginatedRequestParams, Tool},
    service::{Peer, RoleClient, ServiceError},
};

use super::{CATALOG_BYTES_MAX, DESCRIPTION_BYTES_MAX, PAGES_MAX, SCHEMA_BYTES_MAX, ServerName, TOOLS_MAX};

/// A tool that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// What it is called here: `mcp__<server>__<tool>`.
    pub(super) name: String,
    /// What its server calls it.
    pub(super) own: String,
    /// What it does, in its server's words.
    pub(super) description: String,
    /// The JSON schema of its arguments, or why it is not shown.
    pub(super) schema: String,
}

/// The tools of one server.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// In the server's order.
    pub(super) tools: Vec<Offered>,
    /// Some were left out: there are too many, they are too large, or their names are none.
    pub(super) left_out: bool,
    bytes: usize,
    names: BTreeSet<String>,
}

impl Catalog {
    /// Asks a server for its tools, page by page, until there are enough.
    pub(super) async fn read(server: &ServerName, peer: &Peer<RoleClient>) -> Result<Self, ServiceError> {
        let mut catalog = Self::default();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
            page.tools.iter().for_each(|tool| catalog.take(server, tool));
            match page.next_cursor {
                Some(next) if !catalog.is_full() => cursor = Some(next),
                Some(_) => break,
                None => return Ok(catalog),
            }
        }
        catalog.left_out = true;
        Ok(catalog)
    }

    /// The tool that is called so.
    pub(super) fn find(&self, name: &str) -> Option<&Offered> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    fn is_full(&self) -> bool {
        self.tools.len() >= TOOLS_MAX || self.bytes >= CATALOG_BYTES_MAX
    }

    fn take(&mut self, server: &ServerName, tool: &Tool) {
        let Some(name) = server.tool(&tool.name).filter(|name| !self.is_full() && !self.names.contains(name)) else {
            self.left_out = true;
            return;
        };
        let description = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
        let mut description = description.trim().to_owned();
        if description.len() > DESCRIPTION_BYTES_MAX {
            description = format!("{} […]", clip_bytes(&description, DESCRIPTION_BYTES_MAX));
        }
        let schema = serde_json::Value::Object((*tool.input_schema).clone()).to_string();
        let schema = match schema.len() {
            0..=SCHEMA_BYTES_MAX => schema,
            bytes => format!("not shown: it has {bytes} bytes"),
        };
        self.bytes += name.len() + tool.name.len() + description.len() + schema.len();
        self.names.insert(name.clone());
        self.tools.push(Offered { name, own: tool.name.to_string(), description, schema });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn tool(name: &str, description: &str, schema: Value) -> Tool {
        let Value::Object(schema) = schema else { panic!("a schema is an object") };
        Tool::new(name.to_owned(), description.to_owned(), Arc::new(schema))
    }

    #[test]
    fn what_is_too_large_is_cut_and_what_is_too_much_left_out() {
        let server = ServerName::parse("s").unwrap();
        let mut catalog = Catalog::default();
        let properties: serde_json::Map<String, Value> =
            (0..1_000).map(|number| (format!("p{number}"), json!({"type": "string"}))).collect();
        catalog.take(&server, &tool("a.b", &"x".repeat(10_000), json!({"type": "object", "properties": properties})));
        // Another name that would be the same here could be mistaken for the first.
        catalog.take(&server, &tool("a/b", "", json!({})));
        catalog.take(&server, &tool("", "", json!({})));
        let [only] = &catalog.tools[..] else { panic!("{catalog:?}") };
        assert_eq!((only.name.as_str(), only.own.as_str()), ("mcp__s__a_b", "a.b"));
        assert!(only.description.len() <= DESCRIPTION_BYTES_MAX + 10 && only.description.ends_with(" […]"));
        assert!(only.schema.starts_with("not shown: it has "), "{}", only.schema);
        assert!(catalog.left_out);

        let mut many = Catalog::default();
        for number in 0..10_000 {
            many.take(&server, &tool(&format!("t{number}"), "A tool.", json!({"type": "object"})));
        }
        assert_eq!((many.tools.len(), many.left_out), (TOOLS_MAX, true));
        let mut large = Catalog::default();
        for number in 0..10_000 {
            large.take(&server, &tool(&format!("t{number}"), &"x".repeat(100_000), json!({"type": "object"})));
        }
        assert!(large.left_out && large.bytes < CATALOG_BYTES_MAX + 20_000, "{}", large.bytes);
    }
}
