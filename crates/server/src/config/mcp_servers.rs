//! MCP servers whose tools the agent can call.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use hangar_agent::{
    acp::Command,
    mcp::{McpPlace, McpServer, ServerName},
};
use hangar_network::Origin;
use hangar_protocol::Refusal;
use hangar_sandbox::toolchains::Toolchain;

use super::{Shape, keys::section, load::refusal};

section! {
    /// `[[mcp_servers]]`: an MCP server whose tools the agent can call. See mcp.md.
    McpServerConfig in "mcp_servers" {
        /// Its name: letters, digits, `-` and single `_`. Its tools are called `mcp__<id>__<tool>`.
        id: String = String::new(), Shape::Text;
        /// The program, as commands in the sandbox find it, and its arguments: it runs inside the sandbox and is spoken with over its standard input and output. `${NAME}` stands for a variable that commands have, `${NAME:-words}` for one that may be missing.
        command: Vec<String> = Vec::new(), Shape::List;
        /// Variables that its program gets besides those of commands, as `NAME=value`.
        environment: Vec<String> = Vec::new(), Shape::List;
        /// A directory of this machine, mounted read only at `/opt/toolchains/mcp-<id>` in every sandbox over this machine's own programs. Images with a base of their own have to bring the program along.
        folder: Option<PathBuf> = None, Shape::Text;
        /// The address of a server that is reached over Streamable HTTP instead, through the border of the sandbox: `network.allow` has to name its host, and `[[secrets]]` for that host are added there.
        url: String = String::new(), Shape::Text;
        /// Headers of every request to that address, as `Name: value`.
        headers: Vec<String> = Vec::new(), Shape::List;
        /// The repositories it is for, e.g. `acme/*`; empty for all.
        repositories: Vec<String> = Vec::new(), Shape::List;
    }
}

impl McpServerConfig {
    /// The server, as sessions know it.
    ///
    /// # Errors
    /// What cannot be used, and how it is written.
    pub(crate) fn server(&self) -> Result<McpServer, Refusal> {
        let name = ServerName::parse(&self.id)
            .map_err(|fault| refusal(format!("mcp_servers.id: {fault}."), "Write a short name, e.g. github."))?;
        let place = match (self.command.is_empty(), self.url.is_empty()) {
            (false, true) => McpPlace::Program(Command {
                argv: self.command.clone(),
                env: self.pairs(&self.environment, '=', "environment", "NAME=value")?,
            }),
            (true, false) => {
                self.check_url()?;
                McpPlace::Address {
                    url: self.url.clone(),
                    headers: self.pairs(&self.headers, ':', "headers", "Name: value")?,
                }
            }
            (true, true) | (false, false) => {
                return Err(refusal(
                    format!("The MCP server {} needs either mcp_servers.command or mcp_servers.url.", self.id),
                    "Write the program that runs in the sandbox, or the address of a server outside, and not both.",
                ));
            }
        };
        Ok(McpServer { name, place })
    }

    /// Its directory, as sandboxes find it. Nothing of it is on `PATH`.
    pub(crate) fn toolchain(&self) -> Option<Toolchain> {
        Some(Toolchain {
            name: format!("mcp-{}", self.id),
            host_path: self.folder.clone()?,
            bin: vec![],
            also_at: vec![],
            env: BTreeMap::new(),
        })
    }

    /// An address in which variables stand is read when they are known.
    fn check_url(&self) -> Result<(), Refusal> {
        if self.url.contains("${") {
            return Ok(());
        }
        Origin::parse(&self.url).map(drop).map_err(|fault| {
            refusal(format!("mcp_servers.url of {}: {fault}.", self.id), "Write it like https://example.org/mcp.")
        })
    }

    /// Pairs of names and values. A value is not shown: it may be a secret.
    fn pairs(
        &self,
        entries: &[String],
        between: char,
        key: &str,
        form: &str,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let pair = |(number, entry): (usize, &String)| {
            let named = entry.split_once(between).map(|(name, value)| (name.trim(), value.trim()));
            match named.filter(|(name, _)| !name.is_empty()) {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(refusal(
                    format!("mcp_servers.{key} of {}: entry {} has no name.", self.id, number + 1),
                    &format!("Write {form}."),
                )),
            }
        };
        entries.iter().enumerate().map(pair).collect()
    }
}

/// # Errors
/// The first that cannot be used.
pub(super) fn check(servers: &[McpServerConfig]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for server in servers {
        let McpServer { name, .. } = server.server()?;
        if let Some(folder) = server.folder.as_ref().filter(|folder| !(folder.is_absolute() && folder.is_dir())) {
            return Err(refusal(
                format!("mcp_servers.folder of {} ({}) is no directory.", server.id, folder.display()),
                "Write the absolute path of the directory in which the server is installed.",
            ));
        }
        if !names.insert(name) {
            return Err(refusal(format!("mcp_servers.id {} is there twice.", server.id), "Give each its own name."));
        }
    }
    Ok(())
}
