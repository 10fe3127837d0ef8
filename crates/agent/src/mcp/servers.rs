//! The servers of one turn: started when first needed, started again when they died, ended with the turn.

use std::sync::Arc;

use futures::future::join_all;
use rmcp::model::{CallToolResult, JsonObject};
use tokio::sync::Mutex;

use super::{McpInput, McpPlace, McpServer, SERVERS_MAX, STARTS_MAX, connection::Connection, names::server_of};

/// Names that are offered where a tool is not there.
const NEAR_MAX: usize = 5;

/// The servers of one turn.
pub(crate) struct Servers {
    input: McpInput,
    slots: Vec<Slot>,
}

/// A server, and what became of it in this turn.
pub(super) struct Slot {
    pub(super) server: McpServer,
    /// Held while it is started: whoever needs it meanwhile waits for that start.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    connection: Option<Arc<Connection>>,
    /// How often its program was started.
    starts: u32,
}

impl Servers {
    /// Those of a session, of which none runs.
    pub(crate) fn new(mut input: McpInput) -> Self {
        for left_out in input.servers.split_off(SERVERS_MAX.min(input.servers.len())) {
            input.faults.push(format!("the server {} is left out: a session has at most {SERVERS_MAX}", left_out.name));
        }
        let slots =
            input.servers.iter().map(|server| Slot { server: server.clone(), held: Mutex::default() }).collect();
        Self { input, slots }
    }

    /// Whether there is none, nor anything to tell about one.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.slots.iter().map(|slot| slot.server.name.as_str()).collect()
    }

    /// What cannot be used of the repository's own files.
    pub(super) fn faults(&self) -> &[String] {
        &self.input.faults
    }

    /// Calls a tool by its name here, in a workspace that can be written. `env` is added to the environment of a server that is started for it.
    ///
    /// # Errors
    /// Why there is no result, for the model.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        env: &[(String, String)],
    ) -> Result<CallToolResult, String> {
        let name = server_of(tool).unwrap_or_default();
        let Some(slot) = self.slots.iter().find(|slot| slot.server.name.as_str() == name) else {
            return Err(format!("There is no MCP server {name:?}. There are: {}.", self.names().join(", ")));
        };
        self.input.host.writable().await?;
        let of = |fault: String| format!("The MCP server {name} gave no result: {fault}.");
        let connection = self.connection(slot, env).await.map_err(of)?;
        let Some(offered) = connection.catalog.find(tool) else {
            let near = super::find::near(&connection.catalog, tool, NEAR_MAX);
            return Err(format!("The MCP server {name} has no tool {tool}. {near} find_tool finds others by words."));
        };
        let called = connection.call(offered, arguments).await;
        called.map_err(|fault| match connection.is_over() {
            true => of(format!("{fault}; the next call begins with it anew")),
            false => of(fault),
        })
    }

    /// Every server with its connection, or why there is none. Those that do not run are started, side by side.
    pub(super) async fn all(&self, env: &[(String, String)]) -> Vec<(&McpServer, Result<Arc<Connection>, String>)> {
        join_all(self.slots.iter().map(async |slot| (&slot.server, self.connection(slot, env).await))).await
    }

    /// Ends all that run, with everything that they started.
    pub(crate) async fn end(&self) {
        join_all(self.slots.iter().map(async |slot| {
            let connection = slot.held.lock().await.connection.take();
            if let Some(connection) = connection {
                connection.end().await;
            }
        }))
        .await;
    }

    async fn connection(&self, slot: &Slot, env: &[(String, String)]) -> Result<Arc<Connection>, String> {
        let mut held = slot.held.lock().await;
        let mut before = None;
        match held.connection.take() {
            Some(connection) if !connection.is_over() => {
                held.connection = Some(Arc::clone(&connection));
                return Ok(connection);
            }
            Some(over) => {
                before = Some(over.fault());
                over.end().await;
            }
            None => {}
        }
        if let McpPlace::Program(_) = slot.server.place {
            if held.starts >= STARTS_MAX {
                let before = before.map(|fault| format!("{fault}; ")).unwrap_or_default();
                return Err(format!(
                    "{before}it was started {STARTS_MAX} times in this turn and is not started again before the next prompt"
                ));
            }
            held.starts += 1;
        }
        let begun = Connection::begin(&slot.server, &*self.input.host, env, self.input.times).await;
        let connection = Arc::new(begun?);
        held.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }
}
